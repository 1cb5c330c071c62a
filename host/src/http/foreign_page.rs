//! Refuses what a page of another origin makes a browser send.
//!
//! Nothing here is authenticated by a cookie, so such a request could do nothing anyway; it is told apart so that its maker learns what to do,
//! and so that this holds even if cookies should ever come. Called by `auth.rs`. There are no CORS headers: no such page reads an answer.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::error::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that would change something and comes from a foreign page, unless it has a token: that no page has by chance.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    if request.method().is_safe() || headers.contains_key(header::AUTHORIZATION) || !is_foreign(headers, request.uri()) {
        return Ok(());
    }
    let detail = "a page of another origin sent this, without a token: send `Authorization: Bearer rl_api_…`; cookies are never accepted";
    Err(Problem::new(StatusCode::FORBIDDEN, "csrf", detail))
}

/// Whether a browser says that the request comes from a page of another origin than the one it goes to. Whoever is no browser says nothing.
fn is_foreign(headers: &HeaderMap, address: &Uri) -> bool {
    if headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "cross-site") {
        return true;
    }
    // HTTP/2 has it in the address.
    let host = sole(headers, header::HOST).and_then(text).or_else(|| address.authority().map(Authority::as_str));
    match headers.contains_key(header::ORIGIN) {
        true => !sole(headers, header::ORIGIN).and_then(text).zip(host).is_some_and(|(origin, host)| is_same(origin, host)),
        false => false,
    }
}

/// Whether an origin such as `https://runs.example:8443` is that of this host. The scheme is not compared, as a proxy may speak TLS for us: it
/// only says which port is meant where none is written. `null`, the origin of a page that may not say it, is nobody's.
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else { return false };
    let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let place = |text: &str| {
        let authority: Authority = text.parse().ok()?;
        Some((authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default)))
    };
    place(origin).is_some_and(|origin| place(host) == Some(origin))
}

/// The value of a header that is there once.
fn sole(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    /// The code with which a request is refused.
    fn refused(method: &str, address: &str, headers: &[(&str, &str)]) -> Option<String> {
        let request =
            headers.iter().fold(Request::builder().method(method).uri(address), |request, (name, value)| request.header(*name, *value));
        check(&request.body(Body::empty()).unwrap()).err().map(|problem| format!("{} {}", problem.status, problem.code))
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let host = ("host", "runs.example");
        for (headers, foreign) in [
            (&[host][..], false),
            (&[host, ("origin", "https://runs.example")], false),
            (&[host, ("origin", "http://RUNS.example")], false),
            (&[host, ("origin", "https://runs.example:443")], false),
            (&[("host", "runs.example:7180"), ("origin", "http://runs.example:7180")], false),
            (&[("host", "[::1]:7180"), ("origin", "http://[::1]:7180")], false),
            (&[host, ("sec-fetch-site", "same-origin")], false),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("origin", "https://evil.example")], true),
            (&[host, ("origin", "https://runs.example.evil.example")], true),
            (&[host, ("origin", "https://runs.example:8443")], true),
            (&[host, ("origin", "http://runs.example:443")], true),
            (&[("host", "localhost:7180"), ("origin", "http://localhost:3000")], true),
            (&[("host", "localhost:7180"), ("origin", "http://127.0.0.1:7180")], true),
            (&[host, ("origin", "null")], true),
            (&[host, ("origin", "")], true),
            (&[host, ("origin", "runs.example")], true),
            (&[host, ("origin", "https://runs.example"), ("origin", "https://evil.example")], true),
            (&[host, host, ("origin", "https://runs.example")], true),
            (&[("origin", "https://runs.example")], true),
            (&[host, ("sec-fetch-site", "cross-site")], true),
            (&[host, ("origin", "https://runs.example"), ("sec-fetch-site", "cross-site")], true),
        ] {
            let with_token = [headers, &[("authorization", "Bearer x")]].concat();
            for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
                assert_eq!(refused(method, "/v1/runs", headers), foreign.then(|| "403 csrf".into()), "{method} {headers:?}");
                assert_eq!(refused(method, "/v1/runs", &with_token), None, "{method} {headers:?}");
            }
            for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
                assert_eq!(refused(method, "/v1/runs", headers), None, "{method} {headers:?}");
            }
        }
        // HTTP/2 has no Host.
        let own = [("origin", "https://runs.example")];
        assert_eq!(refused("POST", "https://runs.example/v1/runs", &own), None);
        assert_eq!(refused("POST", "https://other.example/v1/runs", &own), Some("403 csrf".into()));
    }
}
