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
use futures_util::future::{BoxFuture, Either};

use super::error::Problem;
use super::foreign_page;
use super::in_flight::{Charge, Charged, InFlight};
use super::rates::{Meters, Peer};
use crate::model::{Invalid, NamespaceId, Timestamp};
use crate::scheduler::{Error, Role, Scheduler, Token};
use crate::storage::NamespaceError;

/// What is asked of every request before it reaches its route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) scheduler: Scheduler,
    pub(super) meters: Arc<Meters>,
    pub(super) held: Held,
}

/// What is held for callers at a time, of each kind.
#[derive(Clone)]
pub(super) struct Held {
    /// Requests that are read or under way, and answers that are made or sent.
    pub(super) messages: Arc<InFlight>,
    /// Components.
    pub(super) uploads: Arc<InFlight>,
    /// Waits for runs to end. Not of the messages: telling that a run has ended takes a message, so waits must leave room for these.
    pub(super) waits: Arc<InFlight>,
}

impl Default for Held {
    /// Each has a quarter on top for namespaces that hold nothing.
    fn default() -> Self {
        Self { messages: InFlight::new(256 << 20), uploads: InFlight::new(256 << 20), waits: InFlight::new(128 << 20) }
    }
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
    token: Arc<Token>,
    meters: Arc<Meters>,
    held: Held,
}

impl Caller {
    /// Refuses a caller whose token was revoked, or whose namespace was deleted, since the request began. For requests that take their time.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        self.scheduler.open(&self.token)?.map(drop).ok_or_else(Problem::unauthorized)
    }

    /// Whether the caller may do what this role may.
    pub(super) fn is(&self, role: Role) -> bool {
        self.role.allows(role)
    }

    /// Counts a component that the caller is about to send, and takes the bytes for it; or refuses to read it. They are held until this is dropped.
    pub(super) fn begin_upload(&self, bytes: u64) -> Result<Charge, Problem> {
        let namespace = self.scheduler.namespace().id;
        self.meters.upload(namespace, Timestamp::MIN.saturating_add(self.scheduler.elapsed()))?;
        let mut charge = self.held.uploads.charge(namespace);
        if charge.try_grow(bytes) {
            return Ok(charge);
        }
        let reason =
            "this namespace sends as many bytes of components at a time as it may; send one after the other, or try again in a minute";
        Err(Invalid::new("compiler-busy", "component", reason).into())
    }

    /// A charge for bytes of requests and answers, of none so far.
    pub(crate) fn charge(&self) -> Charge {
        self.held.messages.charge(self.scheduler.namespace().id)
    }

    /// A charge for what waits for runs to end, of none so far.
    #[cfg(feature = "hatchet")]
    pub(crate) fn charge_of_waits(&self) -> Charge {
        self.held.waits.charge(self.scheduler.namespace().id)
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
    ///
    /// Returns the namespace that the token opens; `None` where no token is asked for.
    pub(super) fn admit(&self, request: &mut Request) -> Result<Option<NamespaceId>, Problem> {
        if holds_token(request.uri()) {
            // The address may end up in logs and histories of others: the token in it is burnt, and must not work here either.
            let detail = "an address must not hold a token, since addresses are logged: send it as a header, and revoke this one";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "token-in-url", detail));
        }
        let caller = self.caller(request)?;
        let namespace = caller.as_ref().map(|caller| caller.scheduler.namespace().id);
        match caller {
            Some(caller) => drop(request.extensions_mut().insert(caller)),
            None => drop(request.extensions_mut().insert(Anybody { scheduler: self.scheduler.clone() })),
        }
        Ok(namespace)
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
        Ok(Some(Caller { scheduler, role, token: Arc::new(token), meters: self.meters.clone(), held: self.held.clone() }))
    }
}

/// A handler for those alone whose role is enough. Not a layer, of which there would be a copy to make for each request.
#[derive(Clone)]
pub(super) struct Needs<H> {
    pub(super) role: Role,
    pub(super) handler: H,
}

/// A handler whose answer may be large. Bytes for it are taken before it is made, and what is not used is given back when its size is known.
#[derive(Clone)]
pub struct Large<H> {
    bytes: u64,
    handler: H,
}

impl<H> Large<H> {
    /// A page of a list.
    pub const PAGE: u64 = 16 << 20;

    /// A handler whose answer, with what it is made of, has about so many bytes at most.
    pub fn new(bytes: u64, handler: H) -> Self {
        Self { bytes, handler }
    }
}

impl<H: Handler<T, S>, T, S: Send + 'static> Handler<T, S> for Large<H> {
    type Future = BoxFuture<'static, Response>;

    fn call(self, request: Request, state: S) -> Self::Future {
        let charge = request.extensions().get::<Caller>().map(Caller::charge);
        Box::pin(async move {
            let Some(mut charge) = charge else { return Problem::unauthorized().into_response() };
            match charge.grow(self.bytes).await {
                Ok(()) => Charged(self.handler.call(request, state).await, charge).into_response(),
                Err(problem) => problem.into_response(),
            }
        })
    }
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
