//! Percent-encoding of query strings: what can't be decoded without a guess is refused.

use axum::http::StatusCode;

use super::error::Problem;

/// Refuses a query string whose percent-encoding is cut short, or is not UTF-8 once it is decoded. A lenient reader would put other characters in
/// their place, and so select other runs.
pub(super) fn check(query: &str) -> Result<(), Problem> {
    let wrong = |place: usize, what: &str| {
        let detail =
            format!("{what} at byte {place} of the query string; encode the UTF-8 bytes of a character as %XX, and % itself as %25");
        Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-query", detail))
    };
    let (mut decoded, mut places, mut rest) = (Vec::new(), Vec::new(), query.bytes().enumerate());
    while let Some((place, byte)) = rest.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(rest.next()?.1).to_digit(16);
            let Some(value) = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high << 4 | low).ok()) else {
                return wrong(place, "a % without two hexadecimal digits");
            };
            value
        } else {
            byte
        };
        decoded.push(byte);
        places.push(place);
    }
    match std::str::from_utf8(&decoded) {
        Ok(_) => Ok(()),
        Err(error) => wrong(places[error.valid_up_to()], "text that is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_decoded_passes() {
        for query in ["", "a=b&c=d", "metadata=k%3Dv%20w+x", "a=%c3%bc", "a=ü", "a=%25"] {
            assert!(check(query).is_ok(), "{query}");
        }
        for (query, place) in [("a=%", 2), ("a=%4", 2), ("a=%zz", 2), ("a=%+1", 2), ("a=b%ff", 3), ("a=%c3%28", 2), ("%ed%a0%80", 0)] {
            let refused = check(query).unwrap_err();
            assert_eq!((refused.status, refused.code.as_ref()), (400, "invalid-query"));
            assert!(refused.detail.contains(&format!("at byte {place} of")), "{query}: {}", refused.detail);
        }
    }
}
