//! Strict JSON bodies.
//!
//! [`Json`] is what handlers take their request from. Beyond what serde refuses: an object with one key twice, whose meaning
//! depends on who reads it; and text that is not plain UTF-8. The answer names the place.

use std::borrow::Cow;
use std::fmt;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};

use super::auth::Caller;
use super::body;
use super::error::Problem;
use super::filter::EMPTY_CONDITION;
use crate::model::BulkFilter;
use crate::model::limits::{ATTEMPTS_MAX, CATCH_UP_MAX, PRIORITY_MAX};

/// Bytes of a JSON body.
pub(super) const JSON_BYTES_MAX: usize = 1 << 20;

/// A request's body, parsed. Takes at most 1 MiB.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (head, content) = request.into_parts();
        body::check_media_type(&head.headers, "application/json")?;
        let (bytes, slow) = body::read(&head.headers, content, JSON_BYTES_MAX).await?;
        if let (body::Slow(true), Some(caller)) = (slow, head.extensions.get::<Caller>()) {
            caller.check()?;
        }
        parse(&bytes).map(Self)
    }
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bad = |code, detail: &str| Problem::new(StatusCode::BAD_REQUEST, code, detail);
    if bytes.is_empty() {
        return Err(bad("invalid-json", "the body is empty; send a JSON object"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(bad("invalid-json", "the body begins with a byte order mark; send plain UTF-8"));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes[..bytes.len().min(4)].contains(&0) {
        return Err(bad("invalid-json", "the body looks like UTF-16 or UTF-32; send UTF-8"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| bad("invalid-json", &format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;

    // First what is not JSON, or means different things to different readers: 400. Then what we don't take: 422. Where it went wrong is found
    // by reading it again, slowly: most of it is right.
    let whole = || serde_json::Deserializer::from_str(text);
    if let Err(error) = serde_json::from_str::<Checked>(text) {
        let located = serde_path_to_error::deserialize::<_, Checked>(&mut whole());
        return Err(match located {
            Err(error) => problem(StatusCode::BAD_REQUEST, "invalid-json", &error),
            // It is well as far as it goes, and goes on.
            Ok(_) => bad("invalid-json", &error.to_string()),
        });
    }
    // Serde would read a list as an object whose fields are given in order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", "the body is not a JSON object; send one"));
    }
    serde_json::from_str(text).or_else(|_| {
        serde_path_to_error::deserialize(&mut whole()).map_err(|error| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", &error))
    })
}

/// What the number in this field may be, where its kind alone allows more.
fn range_of(path: &str) -> Option<String> {
    let max: u64 = match path.rsplit('.').next()? {
        "priority" => PRIORITY_MAX.into(),
        "max_attempts" => ATTEMPTS_MAX.into(),
        "max_count" => u32::MAX.into(),
        "max" => CATCH_UP_MAX.into(),
        _ => return None,
    };
    Some(format!("1 to {max}"))
}

fn problem(status: StatusCode, code: &'static str, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let (path, detail) = (error.path().to_string(), error.inner().to_string());
    let detail = ["u8", "u32"].into_iter().fold(detail, |detail, kind| match range_of(&path) {
        Some(range) => detail.replace(&format!("expected {kind}"), &format!("expected a whole number from {range}")),
        None => detail,
    });
    let code = match () {
        () if detail.starts_with("duplicate key") => "duplicate-key",
        () if detail.starts_with(EMPTY_CONDITION) => BulkFilter::EMPTY,
        () => code,
    };
    // Control characters are escaped: what was sent may be quoted here.
    let detail: String =
        detail.chars().take(300).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    let problem = Problem::new(status, code, detail);
    // Where the text itself is broken, the last step of the path is unknown.
    let path = path.trim_end_matches('?').trim_end_matches('.');
    if path.is_empty() { problem } else { problem.at(path.chars().take(200).collect::<String>()) }
}

/// Any JSON in which no object has one key twice.
struct Checked;

/// A key, as it stands in the text wherever that is possible.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(key.into()))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(key.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> serde::Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Checked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_unit<E>(self) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
                while items.next_element::<Checked>()?.is_some() {}
                Ok(Checked)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Checked, A::Error> {
                let mut keys = Vec::new();
                while let Some(Key(key)) = entries.next_key()? {
                    entries.next_value::<Checked>()?;
                    keys.push(key);
                }
                // Most objects have a handful of keys, which are sorted sooner than hashed.
                keys.sort_unstable();
                match keys.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(pair) => Err(serde::de::Error::custom(format_args!("duplicate key {:?}", pair[0]))),
                    None => Ok(Checked),
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes::ScheduleRun;
    use super::*;

    #[test]
    fn good_bodies() {
        let run: ScheduleRun = parse(br#" {"task":"a","input":{"n":9007199254740993,"z":-0},"metadata":{"k":"v"},"after":"2s"} "#).unwrap();
        assert_eq!(run.input.unwrap().get(), r#"{"n":9007199254740993,"z":-0}"#, "an input is passed on as it was written");
        assert_eq!(run.metadata["k"], "v");
    }

    #[test]
    fn numbers_are_told_their_range() {
        for (body, words) in [
            (r#"{"task":"a","priority":300}"#, "`300`, expected a whole number from 1 to 3"),
            (r#"{"task":"a","priority":1.5}"#, "`1.5`, expected a whole number from 1 to 3"),
            (r#"{"task":"a","max_attempts":-1}"#, "`-1`, expected a whole number from 1 to 100"),
            (r#"{"task":"a","max_attempts":"7"}"#, "expected a whole number from 1 to 100"),
        ] {
            let refused = parse::<ScheduleRun>(body.as_bytes()).unwrap_err();
            assert!(refused.detail.contains(words), "{}", refused.detail);
        }
    }

    #[test]
    fn bad_bodies() {
        let deep = format!(r#"{{"task":"a","input":{}"#, "[".repeat(100_000));
        for (body, status, code, field) in [
            (&b""[..], 400, "invalid-json", None),
            (b"{", 400, "invalid-json", None),
            (b"nonsense", 400, "invalid-json", None),
            (br#"{"task":"a",}"#, 400, "invalid-json", None),
            (b"\xef\xbb\xbf{}", 400, "invalid-json", None),
            (b"\xff\xfe{\0}\0", 400, "invalid-json", None),
            (b"{\0}\0", 400, "invalid-json", None),
            (b"{\"task\":\"\xff\"}", 400, "invalid-json", None),
            (br#"{"task":"\ud800"}"#, 400, "invalid-json", Some("task")),
            (br#"{"task":"a","task":"b"}"#, 400, "duplicate-key", None),
            (br#"{"task":"a","metadata":{"k":"1","k":"2"}}"#, 400, "duplicate-key", Some("metadata")),
            (br#"{"task":"a","input":[{"x":{"y":1,"y":1}}]}"#, 400, "duplicate-key", Some("input[0].x")),
            (br#"{"task":"a","input":1e400}"#, 400, "invalid-json", Some("input")),
            (br#"{"task":"a","input":NaN}"#, 400, "invalid-json", Some("input")),
            (deep.as_bytes(), 400, "invalid-json", Some("")),
            (br#"{"task":"a"} {}"#, 400, "invalid-json", None),
            (br#"{}"#, 422, "invalid-field", None),
            (br#"[]"#, 422, "invalid-field", None),
            (br#"{"task":null}"#, 422, "invalid-field", Some("task")),
            (br#"{"task":7}"#, 422, "invalid-field", Some("task")),
            (br#"{"task":"a","metadata":{"k":1}}"#, 422, "invalid-field", Some("metadata.k")),
            (br#"{"task":"a","wehn":"now"}"#, 422, "invalid-field", Some("wehn")),
            (br#"{"task":"a","priority":300}"#, 422, "invalid-field", Some("priority")),
        ] {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            let refused = parse::<ScheduleRun>(body).unwrap_err();
            assert_eq!((refused.status, refused.code.as_ref()), (status, code), "{shown}: {}", refused.detail);
            if field != Some("") {
                assert_eq!(refused.field.as_deref(), field, "{shown}: {}", refused.detail);
            }
        }
    }
}
