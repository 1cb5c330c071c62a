//! Who calls, and whether they may.
//!
//! The [`Gate`] stands before every route but the public ones, unknown routes too; [`Needs`] stands before each handler
//! with the role that the table in `api/mod.rs` names. Handlers get the scheduler only as [`Caller`], or as [`Anybody`] where no token is asked
//! for, and only the gate makes these: there is no other way to it.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;

use super::error::Problem;
use super::foreign_page;
use super::rates::{Meters, Peer};
use crate::model::Timestamp;
use crate::scheduler::{Error, Role, Scheduler, Token};
use crate::storage::NamespaceError;

/// What is asked of every request before it reaches its route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) scheduler: Scheduler,
    pub(super) meters: Arc<Meters>,
}

/// The header in which an operator names the namespace to act in.
pub const NAMESPACE: HeaderName = HeaderName::from_static("runlater-namespace");

/// Routes that need no token.
const PUBLIC: [&str; 1] = ["/healthz"];

/// A caller that was authenticated: the scheduler bound to the namespace of its token.
#[derive(Clone)]
pub struct Caller {
    /// The scheduler, in the namespace and on behalf of the token.
    pub scheduler: Scheduler,
    role: Role,
    meters: Arc<Meters>,
}

impl Caller {
    /// Whether the caller may do what this role may.
    pub(super) fn is(&self, role: Role) -> bool {
        self.role.allows(role)
    }

    /// Counts a component that the caller is about to send, or refuses to read it.
    pub(super) fn count_upload(&self) -> Result<(), Problem> {
        self.meters.upload(self.scheduler.namespace().id, Timestamp::MIN.saturating_add(self.scheduler.elapsed()))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthorized)
    }
}

/// Whoever asks at an address that needs no token.
#[derive(Clone)]
pub(super) struct Anybody {
    /// The scheduler itself, in no namespace in particular.
    pub(super) scheduler: Scheduler,
}

impl<S: Sync> FromRequestParts<S> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthorized)
    }
}

impl Gate {
    /// Lets nobody pass without a token in force, and nobody too often.
    pub(super) fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        if holds_token(request.uri()) {
            // The address may end up in logs and histories of others: the token in it is burnt, and must not work here either.
            let detail = "an address must not hold a token, since addresses are logged: send it as a header, and revoke this one";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "token-in-url", detail));
        }
        match self.caller(request)? {
            Some(caller) => drop(request.extensions_mut().insert(caller)),
            None => drop(request.extensions_mut().insert(Anybody { scheduler: self.scheduler.clone() })),
        }
        Ok(())
    }

    /// Who calls; `None` where nobody asks.
    fn caller(&self, request: &Request) -> Result<Option<Caller>, Problem> {
        let peer = request.extensions().get::<Peer>().copied();
        let elapsed = Timestamp::MIN.saturating_add(self.scheduler.elapsed());
        self.meters.address(peer, elapsed)?;
        if PUBLIC.contains(&request.uri().path()) {
            return Ok(None);
        }
        foreign_page::check(request)?;
        let token = bearer(request.headers()).and_then(|text| self.scheduler.read_token(text));
        let opened = match &token {
            Some(token) => self.scheduler.open(token)?,
            None => None,
        };
        let (Some(token), Some((scheduler, role))) = (token, opened) else {
            self.meters.failure(peer, elapsed);
            return Err(Problem::unauthorized());
        };
        self.meters.token(token.id(), elapsed)?;
        let scheduler = match named_namespace(request.headers()) {
            None => scheduler,
            // Whichever name it is, so that nobody learns which there are.
            Some(_) if !role.allows(Role::Operator) => return Err(Problem::forbidden(role, Role::Operator)),
            Some(name) => {
                scheduler.find_namespace(name).ok_or_else(|| Error::from(NamespaceError::NotFound(name.chars().take(128).collect())))?
            }
        };
        Ok(Some(Caller { scheduler, role, meters: self.meters.clone() }))
    }
}

/// A handler for those alone whose role is enough. Not a layer, of which there would be a copy to make for each request.
#[derive(Clone)]
pub(super) struct Needs<H> {
    pub(super) role: Role,
    pub(super) handler: H,
}

impl<H: Handler<T, S>, T, S> Handler<T, S> for Needs<H> {
    type Future = Either<H::Future, Ready<Response>>;

    fn call(self, request: Request, state: S) -> Self::Future {
        let refused = match request.extensions().get::<Caller>() {
            Some(caller) if caller.is(self.role) => return Either::Left(self.handler.call(request, state)),
            Some(caller) => Problem::forbidden(caller.role, self.role),
            None => Problem::unauthorized(),
        };
        Either::Right(ready(refused.into_response()))
    }
}

/// The namespace in which an operator wants to act, other than that of its token. What is no text, or is said twice, is the name of none.
fn named_namespace(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(NAMESPACE).iter();
    let (only, more) = (all.next()?, all.next());
    Some(if more.is_some() { "" } else { only.to_str().unwrap_or("") })
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

/// Whether an address holds a token, as far as can be seen.
pub(super) fn holds_token(address: &Uri) -> bool {
    const NAMES: [&str; 4] = ["token=", "access_token=", "api_key=", "authorization="];
    let named = |pair: &str| NAMES.iter().any(|name| pair.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
    let holds = |text: &str| [Token::PREFIX, Token::BEGINNING_WITH_CLAIMS].iter().any(|beginning| text.contains(beginning));
    holds(address.path()) || address.query().is_some_and(|query| holds(query) || query.split('&').any(named))
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
        let noticed = |address: &str| holds_token(&address.parse().unwrap());
        for address in ["/?token=x", "/?a=b&access_token=x", "/?Token=x", "/?q=rl_api_00000000_x", "/v1/tasks/rl_api_00000000_x"] {
            assert!(noticed(address), "{address}");
        }
        assert!(noticed(&format!("/v1/tasks/{}x.y", Token::BEGINNING_WITH_CLAIMS)));
        assert!(!noticed("/v1/tasks/token?task=token&metadata=token:x") && !noticed("/?t&to&\u{fc}&tok\u{e9}n"));
    }
}
