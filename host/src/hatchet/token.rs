//! Client tokens: tokens of ours with the claims around them that the SDKs read.
//!
//! Both SDKs take from the second part of a token where the server is and who the tenant is. Neither checks it; this host does, when the token
//! comes back: see [`token_with_claims`](crate::scheduler::Scheduler::token_with_claims).

use axum::Json as Answer;
use axum::http::{StatusCode, Uri};
use axum::routing::MethodFilter;
use axum::{Router, http};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ids;
use crate::http::error::Problem;
use crate::http::shapes::{CreateToken, Token};
use crate::http::{Caller, Json, needs};
use crate::model::Invalid;
use crate::scheduler::Role;

/// Where such tokens are made. Beside the API's own tokens, because it is ours and none of Hatchet's.
pub const PATH: &str = "/v1/hatchet/tokens";
const SERVER_URL_BYTES_MAX: usize = 256;

/// Asks for a client token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateClientToken {
    /// What it may do, and for how long.
    pub token: CreateToken,
    /// Where clients reach this host, such as `http://127.0.0.1:7180`.
    pub server_url: String,
}

/// A client token that was just made. It is shown this once.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewClientToken {
    /// The token.
    pub token: String,
    /// Whether clients must use TLS, which they do unless they are told `none`.
    pub tls: bool,
    /// What else there is to know.
    pub record: Token,
}

/// Where clients reach the host: over REST, and over gRPC.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    url: String,
    host_port: String,
    tls: bool,
}

pub(super) fn routes() -> Router {
    Router::new().route(PATH, needs(MethodFilter::POST, Role::Admin, create))
}

async fn create(caller: Caller, Json(request): Json<CreateClientToken>) -> Result<(StatusCode, Answer<NewClientToken>), Problem> {
    let place = Place::parse(&request.server_url)?;
    let scheduler = &caller.scheduler;
    let now = scheduler.now();
    let new = request.token.to_new(now).map_err(|invalid| invalid.within("token"))?;
    let (token, record) = scheduler.create_token(new).await?;
    let seconds = |at: crate::model::Timestamp| at.as_micros() / 1_000_000;
    let mut claims = json!({
        "sub": ids::tenant(scheduler), "iss": place.url, "aud": place.url, "iat": seconds(now), "token_id": record.id,
        "server_url": place.url, "grpc_broadcast_address": place.host_port,
    });
    if let Some(expires) = record.expires_at {
        claims["exp"] = seconds(expires).into();
    }
    let token = scheduler.token_with_claims(&token, &claims.to_string());
    Ok((StatusCode::CREATED, Answer(NewClientToken { token, tls: place.tls, record: record.into() })))
}

impl Place {
    /// Reads the address of a server, of which the SDKs want no more than scheme, host and port: they append their paths to it.
    fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || {
            Invalid::new("invalid-url", "server_url", "write where clients reach the host, without a path: http://127.0.0.1:7180")
                .seen(text)
        };
        let uri: Uri =
            Some(text).filter(|text| text.len() <= SERVER_URL_BYTES_MAX).and_then(|text| text.parse().ok()).ok_or_else(refused)?;
        let http::uri::Parts { scheme, authority, path_and_query, .. } = uri.into_parts();
        let (scheme, authority) = scheme.zip(authority).ok_or_else(refused)?;
        let bare = path_and_query.is_none_or(|path| path.as_str() == "/") && !authority.as_str().contains('@') && !text.contains('#');
        let (tls, default_port) = match scheme.as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(refused()),
        };
        if !bare || authority.host().is_empty() {
            return Err(refused());
        }
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self { url: format!("{scheme}://{authority}"), host_port: format!("{}:{port}", authority.host()), tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |text: &str| Place::parse(text).map(|place| (place.url, place.host_port, place.tls)).map_err(|invalid| invalid.code);
        let (url, port) = ("http://127.0.0.1:7180".to_string(), "127.0.0.1:7180".to_string());
        assert_eq!(place("http://127.0.0.1:7180/"), Ok((url, port, false)));
        assert_eq!(place("https://runs.example"), Ok(("https://runs.example".into(), "runs.example:443".into(), true)));
        assert_eq!(place("http://[::1]:80").unwrap().1, "[::1]:80");
        for bad in ["", "127.0.0.1:7180", "ftp://a", "http://", "http://a/b", "http://a?b", "http://u:p@a", "http://a#b", &"h".repeat(300)]
        {
            assert_eq!(place(bad), Err("invalid-url"), "{bad}");
        }
    }
}
