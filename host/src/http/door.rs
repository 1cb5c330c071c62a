//! What another protocol needs to be served beside the API: on the same listener, behind the same gate, within the same bounds.
//!
//! Made by a door such as `hatchet`, put together with the API by [`serve_with`](super::serve_with). This module knows none of them.

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::auth::Needs;
use super::error::Problem;
use crate::scheduler::Role;

/// Another protocol. Its handlers refuse with a [`Problem`], as those of the API do; `refuse` gives every refusal, also those of the gate,
/// the form that its clients understand.
#[derive(Clone)]
pub struct Door {
    /// Its routes, each made with [`needs`].
    pub routes: Router,
    /// How they are reached.
    pub way: Way,
    /// A refusal in its own form.
    pub refuse: fn(&Problem) -> Response,
}

/// How a door is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Beside the API over HTTP/1.1, at addresses that begin with this.
    Below(&'static str),
    /// Alone over HTTP/2. The API has no use for that, so that its floods find nothing there.
    Http2,
}

/// A handler for one method that needs a token with this role.
pub fn needs<H, T>(method: MethodFilter, role: Role, handler: H) -> MethodRouter
where
    H: Handler<T, ()>,
    T: 'static,
{
    on(method, Needs { role, handler })
}

/// Whose refusals are told in which form.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) way: Way,
    pub(super) refuse: fn(&Problem) -> Response,
}

impl Form {
    /// Whether what comes to this path is refused in this form.
    pub(super) fn is_for(&self, path: &str) -> bool {
        match self.way {
            Way::Below(prefix) => path.starts_with(prefix),
            Way::Http2 => true,
        }
    }

    /// Gives a refusal this form, and leaves every other answer as it is.
    pub(super) fn reshape(&self, mut response: Response, is_http1: bool) -> Response {
        let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
        let mut refusal = (self.refuse)(&problem);
        for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::ALLOW] {
            if let Some(value) = response.headers_mut().remove(&name) {
                refusal.headers_mut().insert(name, value);
            }
        }
        // HTTP/2 has frames for where a request ends.
        if is_http1 && super::answer::leaves_doubt(&problem) {
            refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        refusal
    }
}
