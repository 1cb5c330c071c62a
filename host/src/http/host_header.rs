//! On loopback, answers only requests that were meant for loopback.
//!
//! A web page can point its own name at 127.0.0.1 and then talk to whatever listens there (DNS rebinding). Its requests still
//! carry its own name.

use axum::extract::Request;
use axum::http::{StatusCode, header};

use super::error::Problem;

/// Refuses requests for other names than those of this machine.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let host = named.next().map_or_else(|| request.uri().authority().map(|authority| authority.as_str()), |host| host.to_str().ok());
    if named.next().is_none() && host.is_some_and(is_loopback) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "this server answers to localhost, 127.0.0.1 and [::1] only"))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["localhost", "LOCALHOST:7180", "127.0.0.1:7180", "127.0.0.1", "[::1]", "[::1]:80"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7180", "localhost:", "::1", "127.0.0.2", "[::1]x"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
