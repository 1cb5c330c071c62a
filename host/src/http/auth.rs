//! Who calls, and whether they may.
//!
//! [`authenticate`] stands before every route but the public ones, unknown routes too; [`require`] stands before each route
//! with the role that the table in `api/mod.rs` names. Handlers get the scheduler only as [`Caller`], which only `authenticate`
//! makes: there is no way to it without a token.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use crate::scheduler::{Role, Scheduler};

/// Routes that need no token.
const PUBLIC: [&str; 1] = ["/healthz"];

/// A caller that was authenticated: the scheduler bound to the namespace of its token.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) scheduler: Scheduler,
    role: Role,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthorized)
    }
}

/// Lets nobody pass without a token in force.
pub(super) async fn authenticate(State(scheduler): State<Scheduler>, mut request: Request, next: Next) -> Response {
    if let Some(query) = request.uri().query().filter(|query| holds_token(query)) {
        // The address may end up in logs and histories of others: the token in it is burnt, and must not work here either.
        let _ = query;
        let detail = "an address must not hold a token, since addresses are logged: send it as a header, and revoke this one";
        return Problem::new(StatusCode::BAD_REQUEST, "token-in-url", detail).into_response();
    }
    if PUBLIC.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Some(token) = bearer(request.headers()) else { return Problem::unauthorized().into_response() };
    match scheduler.authenticate(token) {
        Ok(Some((scheduler, role))) => {
            request.extensions_mut().insert(Caller { scheduler, role });
            next.run(request).await
        }
        Ok(None) => Problem::unauthorized().into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Lets those pass whose role is enough.
pub(super) async fn require(State(needed): State<Role>, caller: Caller, request: Request, next: Next) -> Response {
    if caller.role.allows(needed) { next.run(request).await } else { Problem::forbidden(caller.role, needed).into_response() }
}

/// The token of the one Authorization header, if there is exactly one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (only, more) = (all.next()?, all.next());
    if more.is_some() {
        return None;
    }
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    // RFC 9110: the name of the scheme is case-insensitive.
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn holds_token(query: &str) -> bool {
    const NAMES: [&str; 4] = ["token=", "access_token=", "api_key=", "authorization="];
    query.contains("rl_api_") || query.split('&').any(|pair| NAMES.iter().any(|name| pair.to_ascii_lowercase().starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_with_one_token() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|value| _ = headers.append(header::AUTHORIZATION, value.parse().unwrap()));
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer x"])), Some("x"));
        assert_eq!(bearer(&headers(&["bearer x"])), Some("x"));
        for bad in [&[][..], &["Bearer"], &["Basic x"], &["x"], &["Bearer x", "Bearer x"]] {
            assert_eq!(bearer(&headers(bad)), None);
        }
    }

    #[test]
    fn tokens_in_addresses_are_noticed() {
        for query in ["token=x", "a=b&access_token=x", "Token=x", "q=rl_api_00000000_x"] {
            assert!(holds_token(query), "{query}");
        }
        assert!(!holds_token("task=token&metadata=token:x"));
    }
}
