//! Additional metadata as these clients send it and read it: a JSON object whose values are any JSON.
//!
//! A run's own metadata is text. A value that is no string is stored as its JSON text and marked, so that it comes back as the value that was
//! sent, while filters and all other doors see the text.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::{Invalid, Metadata, parse_entry};

const FIELD: &str = "additionalMetadata";

/// Reads the JSON text of an object. Nothing, an empty text and null mean `{}`.
pub(super) fn read(text: Option<&str>) -> Result<Metadata, Invalid> {
    let text = text.map(str::trim).filter(|text| !text.is_empty() && *text != "null").unwrap_or("{}");
    let refused = |error: serde_json::Error| Invalid::new("invalid-metadata", FIELD, format!("must be a JSON object: {error}")).seen(text);
    let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(refused)?;
    let mut metadata = Metadata::default();
    for (key, value) in &entries {
        // Of the raw value, because a number may have more digits than ours keep; parsed all the same, because not every raw text is a value.
        let set = match serde_json::from_str(value.get()).map_err(refused)? {
            Value::String(text) => metadata.set(key, &text),
            _ => metadata.set_json(key, &compact(value.get())),
        };
        set.map_err(|invalid| Invalid { field: invalid.field.replacen("metadata", FIELD, 1), ..invalid })?;
    }
    Ok(metadata)
}

/// JSON text without the white space between its parts.
fn compact(json: &str) -> String {
    let (mut within, mut escaped) = (false, false);
    let kept = json.chars().filter(|c| {
        let keep = within || !c.is_ascii_whitespace();
        within ^= *c == '"' && !escaped;
        escaped = within && *c == '\\' && !escaped;
        keep
    });
    kept.collect()
}

/// Metadata as these clients read it.
pub(super) struct Typed<M>(pub(super) M);

impl<M: std::borrow::Borrow<Metadata>> Serialize for Typed<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let metadata = self.0.borrow();
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in metadata.iter() {
            match serde_json::from_str::<&RawValue>(value) {
                Ok(json) if metadata.is_json(key) => map.serialize_entry(key, json)?,
                _ => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

/// One entry of a filter, `key:value`, with all that its text may mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilterEntry {
    /// What it means here: split at the first colon, or behind a key that is written as a JSON string.
    pub(super) meant: (String, String),
    /// What it would mean if its author took a later colon for the separator, or a quote for a part of the key. The SDKs join key and value by
    /// a colon and escape neither, so the text alone can't tell.
    pub(super) others: Vec<(String, String)>,
}

impl FilterEntry {
    /// Reads the text of an entry.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let mut readings: Vec<_> = text.match_indices(':').map(|(at, _)| (text[..at].to_owned(), text[at + 1..].to_owned())).collect();
        // Behind a quoted key `parse_entry` takes either separator; here there is one.
        let quoted = parse_entry(text).ok().filter(|(_, value)| text.starts_with('"') && text[..text.len() - value.len()].ends_with(':'));
        if let Some(quoted) = quoted {
            readings.insert(0, quoted);
        }
        if readings.is_empty() {
            return Err(Invalid::new("invalid-metadata", FIELD, "write key:value").seen(text));
        }
        let meant = readings.remove(0);
        let mut check = Metadata::default();
        check.set(&meant.0, &meant.1).map_err(|invalid| Invalid::new(invalid.code, FIELD, invalid.reason).seen(text))?;
        // What no run can have is no other meaning.
        let possible = |(key, value): &(String, String)| Metadata::default().set(key, value).is_ok();
        let others = readings.into_iter().filter(possible).map(as_json).collect();
        Ok(Self { meant: as_json(meant), others })
    }

    /// Refuses the entry, because there are runs of which it may speak by `other`.
    pub(super) fn ambiguous(&self, other: &(String, String)) -> Invalid {
        let colon = |(key, value): &(String, String)| format!("{}:{value}", serde_json::to_string(key).expect("text is JSON"));
        let reason = "has two meanings, and there are runs with the other one; write the key in quotes";
        let seen = format!("{} or {}", colon(&self.meant), colon(other));
        Invalid::new("invalid-metadata", FIELD, reason).seen(seen)
    }
}

/// Python writes its booleans so; they are stored as JSON has them.
fn as_json((key, value): (String, String)) -> (String, String) {
    let value = match value.as_str() {
        "True" => "true".into(),
        "False" => "false".into(),
        _ => value,
    };
    (key, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_sent() {
        for (sent, text) in [
            (r#""7""#, "7"),
            ("7", "7"),
            ("1.50", "1.50"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("true", "true"),
            ("null", "null"),
            (r#""null""#, "null"),
            (r#"[1, "a b", {"c" : "\" \\"}]"#, r#"[1,"a b",{"c":"\" \\"}]"#),
        ] {
            let stored = read(Some(&format!(r#"{{"k": {sent}}}"#))).unwrap();
            assert_eq!(stored.get("k"), Some(text));
            let back: BTreeMap<String, Value> = serde_json::from_value(serde_json::to_value(Typed(&stored)).unwrap()).unwrap();
            assert_eq!(back["k"], serde_json::from_str::<Value>(sent).unwrap(), "{sent}");
            assert_eq!(serde_json::to_value(&stored).unwrap()["k"], text, "our own doors show text");
        }
        assert!(read(None).unwrap().is_empty() && read(Some("null")).unwrap().is_empty());
        for bad in ["[]", "{", "1", "{\"a\":\"\"}", "{\"a\":1e400}"] {
            assert_eq!(read(Some(bad)).unwrap_err().code, "invalid-metadata", "{bad}");
        }
        assert_eq!(read(Some(r#"{"customer":""}"#)).unwrap_err().field, "additionalMetadata.customer");
    }

    #[test]
    fn entries_tell_what_else_they_may_mean() {
        let pair = |(key, value): (&str, &str)| (key.to_string(), value.to_string());
        for (text, meant, others) in [
            ("a:1", ("a", "1"), vec![]),
            ("paid:True", ("paid", "true"), vec![]),
            ("at:12:30", ("at", "12:30"), vec![("at:12", "30")]),
            (r#""at:12":30"#, ("at:12", "30"), vec![("\"at", "12\":30"), ("\"at:12\"", "30")]),
            ("\"x:7", ("\"x", "7"), vec![]),
            ("a=b:c", ("a=b", "c"), vec![]),
            ("a:b:", ("a", "b:"), vec![]),
        ] {
            let entry = FilterEntry::parse(text).unwrap();
            assert_eq!((entry.meant, entry.others), (pair(meant), others.into_iter().map(pair).collect()), "{text}");
        }
        for bad in ["", "a", ":x", "a:", r#""a"=b"#] {
            let refused = FilterEntry::parse(bad).unwrap_err();
            assert_eq!((refused.code, refused.field.as_str()), ("invalid-metadata", "additionalMetadata"), "{bad}");
        }
    }
}
