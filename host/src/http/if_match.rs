//! The header `If-Match`: changes what the caller saw, or nothing.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};

use super::error::Problem;
use crate::model::Version;

/// The versions that the caller takes; `None`: any.
pub(super) struct IfMatch(pub(super) Option<Vec<Version>>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let lines: Option<Vec<&str>> = parts.headers.get_all(header::IF_MATCH).iter().map(|line| line.to_str().ok()).collect();
        match lines {
            Some(lines) if lines.is_empty() => Ok(Self(None)),
            Some(lines) => parse(&lines.join(",")).map(Self).ok_or_else(refused),
            None => Err(refused()),
        }
    }
}

/// A list of tags in quotes, of which those that we never gave out match nothing; or `*`.
fn parse(list: &str) -> Option<Option<Vec<Version>>> {
    if list.trim() == "*" {
        return Some(None);
    }
    let mut versions = Vec::new();
    for tag in list.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        let (weak, quoted) = tag.strip_prefix("W/").map_or((false, tag), |rest| (true, rest));
        let inner = quoted.strip_prefix('"')?.strip_suffix('"').filter(|inner| !inner.contains('"'))?;
        // RFC 9110, 13.1.1: a weak tag never matches here.
        versions.extend(Version::parse(inner).filter(|_| !weak));
    }
    (!list.chars().all(|c| c == ',' || c.is_whitespace())).then_some(Some(versions))
}

fn refused() -> Problem {
    let detail = "write the ETag that the run was read with, in its quotes: If-Match: \"0123456789abcdef\"";
    Problem::new(StatusCode::BAD_REQUEST, "invalid-if-match", detail).at("If-Match")
}

/// The header by which an answer tells the version of what is in it.
pub(super) type Etag = [(HeaderName, HeaderValue); 1];

pub(super) fn etag(version: Version) -> Etag {
    let value = HeaderValue::try_from(format!("\"{version}\"")).expect("hexadecimal digits in quotes are a header's value");
    [(header::ETAG, value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags() {
        let one = Version::parse("00000000000000ab");
        let count = |list: &str| parse(list).map(|any| any.map(|versions| versions.len()));
        assert_eq!(parse("\"00000000000000ab\"").unwrap().unwrap().first().copied(), one);
        assert_eq!((count("*"), count(" * ")), (Some(None), Some(None)));
        assert_eq!(count("\"00000000000000ab\" , \"00000000000000cd\",\"other\""), Some(Some(2)));
        assert_eq!(count("W/\"00000000000000ab\""), Some(Some(0)));
        for bad in ["", ",", " , ", "x", "00000000000000ab", "\"", "\"a", "a\"", "\"a\"b\"", "*,\"a\""] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }
}
