//! The HTTP door: JSON over HTTP/1.1, with a bearer token.
//!
//! Called by `cli/serve.rs` and `cli/dev`, and by embedders who want the same API in their own server. It parses, asks the
//! [`Scheduler`] and writes what that answers; it decides nothing about runs. Every route and the role it needs stands in the
//! table of `api/mod.rs`. There are no cookies and no CORS headers: no browser calls this from another origin (see `foreign_page.rs`). Other protocols share its
//! listener and its gate as a [`Door`].

#![allow(clippy::result_large_err, reason = "a refusal is rare, and moved once or twice on its way out")]

mod answer;
mod answer_body;
mod api;
mod auth;
mod body;
mod connections;
mod door;
mod entrance;
pub mod error;
pub mod filter;
mod foreign_page;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod host_header;
mod http2;
mod if_match;
mod in_flight;
mod json;
mod percent;
mod rates;
mod seats;
pub mod shapes;
mod spare_files;
mod watched_stream;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use crate::scheduler::Scheduler;
use connections::Routers;
use door::Form;
use entrance::Entrance;

pub use api::{Endpoint, endpoints};
pub use auth::{Caller, Large, NAMESPACE};
pub use door::{Door, Way, needs};
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::{fuzz_body, fuzz_list_query};
#[cfg(feature = "hatchet")]
pub(crate) use in_flight::Charge;
#[cfg(any(all(test, feature = "hatchet"), feature = "fuzzing"))]
pub(crate) use in_flight::InFlight;
pub use json::Json;
pub use rates::{Peer, Rates};
#[cfg(feature = "hatchet")]
pub(crate) use seats::Seat;

/// The whole API over this scheduler, for each token and address as often as `rates` says. A token opens its own namespace, whichever one
/// `scheduler` is bound to.
pub fn router(scheduler: Scheduler, rates: Rates) -> Router {
    let gate = auth::Gate { scheduler, meters: Arc::new(rates::Meters::new(rates)), held: Default::default() };
    Entrance { gate, loopback: false, forms: Vec::new() }.before(api::router())
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
    scheduler.guard_listener(listener.local_addr()?);
    let gate = auth::Gate { scheduler, meters: Arc::new(rates::Meters::new(rates)), held: Default::default() };
    let loopback = listener.local_addr()?.ip().is_loopback();
    let behind = |routes: Router, forms: Vec<Form>| Entrance { gate: gate.clone(), loopback, forms }.before(routes);
    let (mut http1, mut forms, mut http2) = (api::router(), Vec::new(), None);
    for door in doors {
        let form = Form { way: door.way, refuse: door.refuse };
        match door.way {
            Way::Below(_) => {
                http1 = http1.merge(door.routes);
                forms.push(form);
            }
            Way::Http2 => http2 = Some(behind(door.routes, vec![form])),
        }
    }
    connections::serve(Routers { http1: behind(http1, forms), http2 }, listener, shutdown).await;
    Ok(())
}
