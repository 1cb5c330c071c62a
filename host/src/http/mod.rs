//! The HTTP door: JSON over HTTP/1.1, with a bearer token.
//!
//! Called by `cli/serve.rs` and `cli/dev`, and by embedders who want the same API in their own server. It parses, asks the
//! [`Scheduler`] and writes what that answers; it decides nothing about runs. Every route and the role it needs stands in the
//! table of `api/mod.rs`. There are no cookies and no CORS headers: no browser calls this from another origin. Other protocols share its
//! listener and its gate as a [`Door`].

#![allow(clippy::result_large_err, reason = "a refusal is rare, and moved once or twice on its way out")]

mod answer;
mod api;
mod auth;
mod body;
mod connections;
mod door;
pub mod error;
pub mod filter;
mod host_header;
mod http2;
mod if_match;
mod json;
mod rates;
pub mod shapes;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::{Router, middleware};
use tokio::net::TcpListener;

use crate::scheduler::Scheduler;
use connections::Routers;
use door::{Form, in_form};
use error::Problem;

pub use api::{Endpoint, endpoints};
pub use auth::Caller;
pub use door::{Door, Way, needs};
pub use json::Json;
pub use rates::{Peer, Rates};

/// The whole API over this scheduler, for each token and address as often as `rates` says. A token opens its own namespace, whichever one
/// `scheduler` is bound to.
pub fn router(scheduler: Scheduler, rates: Rates) -> Router {
    let gate = auth::Gate { scheduler, meters: Arc::new(rates::Meters::new(rates)) };
    gated(api::router(), &gate).layer(middleware::from_fn(answer::finish))
}

/// Serves the API on `listener` until `shutdown` ends; requests in flight have 5 s to end then.
pub async fn serve(scheduler: Scheduler, rates: Rates, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    serve_with(Vec::new(), scheduler, rates, listener, shutdown).await
}

/// The same, with other protocols beside the API.
pub async fn serve_with(
    doors: Vec<Door>,
    scheduler: Scheduler,
    rates: Rates,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let gate = auth::Gate { scheduler, meters: Arc::new(rates::Meters::new(rates)) };
    let loopback = listener.local_addr()?.ip().is_loopback();
    let finish = |routes: Router, forms: Vec<Form>| {
        let routes = if loopback { routes.layer(middleware::from_fn(host_header::check)) } else { routes };
        forms.into_iter().fold(routes, in_form).layer(middleware::from_fn(answer::finish))
    };
    let (mut http1, mut forms, mut http2) = (api::router(), Vec::new(), None);
    for door in doors {
        let form = Form { way: door.way, refuse: door.refuse };
        match door.way {
            Way::Below(_) => {
                http1 = http1.merge(door.routes);
                forms.push(form);
            }
            Way::Http2 => http2 = Some(finish(gated(door.routes, &gate), vec![form])),
        }
    }
    let routers = Routers { http1: finish(gated(http1, &gate), forms), http2 };
    connections::serve(routers, listener, shutdown).await;
    Ok(())
}

/// These routes for callers whom the gate lets pass.
fn gated(routes: Router<Scheduler>, gate: &auth::Gate) -> Router {
    routes
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this address takes the methods in `Allow`")
        })
        .layer(middleware::from_fn_with_state(gate.clone(), auth::authenticate))
        .with_state(gate.scheduler.clone())
}
