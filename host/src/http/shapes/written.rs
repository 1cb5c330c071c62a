//! Times and spans as they were written: for the fields of requests that hold either.
//!
//! Both are text, and are checked where it is known what they are for. What is no text at all (a number of milliseconds, say) is kept as it was written, so
//! that it is refused there like any other text that is no time, with what a right one looks like, and not as text of which nobody knows what it should say.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A field that must be given.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Written::deserialize(deserializer).map(|written| written.0)
}

/// A field that may be left out, or null.
pub(in crate::http) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<Written>::deserialize(deserializer).map(|written| written.map(|written| written.0))
}

/// A field that may be left out, but not null: null is kept, and refused like any other value that is no time.
pub(in crate::http) fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    required(deserializer).map(Some)
}

/// A field of which null says something else than leaving it out.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    optional(deserializer).map(Some)
}

struct Written(String);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(json.get()).unwrap_or_else(|_| json.get().into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fields {
        #[serde(deserialize_with = "required")]
        from: String,
        #[serde(default, deserialize_with = "optional")]
        until: Option<String>,
        #[serde(default, deserialize_with = "given")]
        end: Option<Option<String>>,
    }

    #[test]
    fn what_is_no_text_is_kept_as_it_was_written() {
        for (written, kept) in [
            ("\"2027-03-14T15:09:26Z\"", "2027-03-14T15:09:26Z"),
            ("\"a\\u0062\"", "ab"),
            ("1e20", "1e20"),
            ("100000000000000000000", "100000000000000000000"),
            ("-0.5", "-0.5"),
            ("true", "true"),
            ("[1, 2]", "[1, 2]"),
            ("{}", "{}"),
        ] {
            let fields: Fields = serde_json::from_str(&format!(r#"{{"from":{written},"until":{written},"end":{written}}}"#)).unwrap();
            assert_eq!((&fields.from[..], fields.until.as_deref(), fields.end), (kept, Some(kept), Some(Some(kept.into()))), "{written}");
        }
        let fields: Fields = serde_json::from_str(r#"{"from":null,"until":null,"end":null}"#).unwrap();
        assert_eq!((&fields.from[..], fields.until, fields.end), ("null", None, Some(None)));
        let fields: Fields = serde_json::from_str(r#"{"from":""}"#).unwrap();
        assert_eq!((&fields.from[..], fields.until, fields.end), ("", None, None));
    }
}
