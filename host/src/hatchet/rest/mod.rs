//! REST: every route with the role that it needs. One file per verb.

mod bulk_delete;
mod bulk_update;
mod create;
mod delete;
mod get;
mod list;
mod path;
mod refuse;
mod row;
mod tenant;
mod trigger;
mod update;
mod workflows;

use axum::Router;
use axum::routing::MethodFilter as Method;

use super::token;
use crate::http::{Door, Large, Way, needs};
use crate::scheduler::Role::{Read, Trigger, Write};

/// Runs in one bulk request, as their clients know it.
const BULK_MAX: usize = 500;

pub(super) fn door() -> Door {
    let one = needs(Method::GET, Read, get::get)
        .merge(needs(Method::PATCH, Write, update::update))
        .merge(needs(Method::DELETE, Write, delete::delete))
        .merge(needs(Method::POST, Trigger, trigger::trigger));
    let routes = Router::new()
        .route("/api/v1/tenants/{tenant}", needs(Method::GET, Read, tenant::tenant))
        .route("/api/v1/tenants/{tenant}/workflows", needs(Method::GET, Read, workflows::list))
        .route("/api/v1/tenants/{tenant}/workflows/{workflow}/scheduled", needs(Method::POST, Trigger, create::create))
        // A workflow may be called `scheduled`: then this looks like a run of that id, which no run has.
        .route("/api/v1/tenants/{tenant}/workflows/scheduled/scheduled", needs(Method::POST, Trigger, create::create_scheduled))
        .route("/api/v1/tenants/{tenant}/workflows/scheduled", needs(Method::GET, Read, Large::new(2 * Large::<()>::PAGE, list::list)))
        .route("/api/v1/tenants/{tenant}/workflows/scheduled/bulk-delete", needs(Method::POST, Write, bulk_delete::bulk_delete))
        .route("/api/v1/tenants/{tenant}/workflows/scheduled/bulk-update", needs(Method::POST, Write, bulk_update::bulk_update))
        .route("/api/v1/tenants/{tenant}/workflows/scheduled/{id}", one)
        .merge(token::routes());
    Door { routes, way: Way::Below("/api/v1/"), refuse: refuse::refuse }
}
