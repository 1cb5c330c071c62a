//! The HTTP door: JSON over HTTP/1.1, with a bearer token.
//!
//! Called by `cli/serve.rs` and `cli/dev`, and by embedders who want the same API in their own server. It parses, asks the
//! [`Scheduler`] and writes what that answers; it decides nothing about runs. Every route and the role it needs stands in the
//! table of `api/mod.rs`. There are no cookies and no CORS headers: no browser calls this from another origin.

#![allow(clippy::result_large_err, reason = "a refusal is rare, and moved once or twice on its way out")]

mod answer;
mod api;
mod auth;
mod body;
mod connections;
pub mod error;
pub mod filter;
mod host_header;
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
use error::Problem;

pub use api::{Endpoint, endpoints};
pub use rates::{Peer, Rates};

/// The whole API over this scheduler, for each token and address as often as `rates` says. A token opens its own namespace, whichever one
/// `scheduler` is bound to.
pub fn router(scheduler: Scheduler, rates: Rates) -> Router {
    routes(scheduler, rates).layer(middleware::from_fn(answer::finish))
}

/// Serves the API on `listener` until `shutdown` ends; requests in flight have 5 s to end then.
pub async fn serve(scheduler: Scheduler, rates: Rates, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let mut routes = routes(scheduler, rates);
    if listener.local_addr()?.ip().is_loopback() {
        routes = routes.layer(middleware::from_fn(host_header::check));
    }
    connections::serve(routes.layer(middleware::from_fn(answer::finish)), listener, shutdown).await;
    Ok(())
}

fn routes(scheduler: Scheduler, rates: Rates) -> Router {
    let gate = auth::Gate { scheduler: scheduler.clone(), meters: Arc::new(rates::Meters::new(rates)) };
    api::router()
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this address takes the methods in `Allow`")
        })
        .layer(middleware::from_fn_with_state(gate, auth::authenticate))
        .with_state(scheduler)
}
