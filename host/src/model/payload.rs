//! What a run is given and what it returns.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Invalid;
use super::limits::{JSON_DEPTH_MAX, MEDIA_TYPE_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// Bytes with their media type. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// `None` is JSON, by far the most common: it costs nothing to store.
    media_type: Option<Arc<str>>,
    bytes: Arc<[u8]>,
}

impl Payload {
    /// The media type of JSON.
    pub const JSON: &'static str = "application/json";

    /// The JSON `null`: the input of a run that was given none.
    pub fn null() -> Self {
        Self { media_type: None, bytes: Arc::from(*b"null") }
    }

    /// JSON text. `field` names it in the error.
    pub fn json(text: &[u8], field: &str) -> Result<Self, Invalid> {
        Self::new(Self::JSON, text, field)
    }

    /// JSON that was read as such. `field` names it in the error.
    pub fn raw_json(json: &RawValue, field: &str) -> Result<Self, Invalid> {
        check_length(json.get().as_bytes(), field)?;
        check_depth(json.get().as_bytes(), field)?;
        Ok(Self { media_type: None, bytes: json.get().as_bytes().into() })
    }

    /// A value as JSON.
    pub fn from_value<T: serde::Serialize + ?Sized>(value: &T, field: &str) -> Result<Self, Invalid> {
        let text =
            serde_json::to_vec(value).map_err(|error| Invalid::new("invalid-json", field, format!("can't be written as JSON: {error}")))?;
        Self::json(&text, field)
    }

    /// Bytes of any media type; JSON is checked for being JSON. `field` names it in the error.
    pub fn new(media_type: &str, bytes: &[u8], field: &str) -> Result<Self, Invalid> {
        check_length(bytes, field)?;
        if media_type == Self::JSON {
            check_json(bytes, field)?;
            return Ok(Self { media_type: None, bytes: bytes.into() });
        }
        let printable = media_type.bytes().all(|c| c.is_ascii_graphic() || c == b' ');
        if media_type.len() > MEDIA_TYPE_BYTES_MAX || !media_type.contains('/') || !printable {
            return Err(Invalid::new(
                "invalid-media-type",
                format!("{field}.media-type"),
                format!("a media type looks like text/plain and has at most {MEDIA_TYPE_BYTES_MAX} bytes"),
            )
            .seen(media_type));
        }
        Ok(Self { media_type: Some(media_type.into()), bytes: bytes.into() })
    }

    /// For storage, which reads back what [`new`](Self::new) accepted.
    pub fn from_stored(media_type: Option<&str>, bytes: &[u8]) -> Self {
        Self { media_type: media_type.map(Into::into), bytes: bytes.into() }
    }

    /// The media type, as storage keeps it: `None` for JSON.
    pub fn stored_media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The media type.
    pub fn media_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(Self::JSON)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, if this is JSON.
    pub fn as_json(&self) -> Option<&str> {
        self.media_type.is_none().then(|| std::str::from_utf8(&self.bytes).expect("JSON was checked when it was accepted"))
    }
}

fn check_length(bytes: &[u8], field: &str) -> Result<(), Invalid> {
    if bytes.len() <= PAYLOAD_BYTES_MAX {
        return Ok(());
    }
    let reason = format!("{} bytes, the limit is {PAYLOAD_BYTES_MAX}; store the data elsewhere and pass its address", bytes.len());
    Err(Invalid::new("payload-too-large", field, reason))
}

fn check_json(bytes: &[u8], field: &str) -> Result<(), Invalid> {
    serde_json::from_slice::<&RawValue>(bytes).map_err(|error| Invalid::new("invalid-json", field, format!("not JSON: {error}")))?;
    check_depth(bytes, field)
}

/// Of JSON.
fn check_depth(bytes: &[u8], field: &str) -> Result<(), Invalid> {
    // serde_json bounds its own recursion at 128; ours is tighter, so that every reader downstream can cope.
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if deepest > JSON_DEPTH_MAX {
        return Err(Invalid::new(
            "invalid-json",
            field,
            format!("nested {deepest} levels deep, the limit is {JSON_DEPTH_MAX}; flatten it"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_checked() {
        for good in ["null", "{\"a\":[1,\"]]]}\\\"\"]}", "1", &format!("{}{}", "[".repeat(32), "]".repeat(32))] {
            assert_eq!(Payload::json(good.as_bytes(), "input").unwrap().as_json(), Some(good));
        }
        for bad in [
            "",
            "{",
            "nul",
            "[1,]",
            "\u{feff}null",
            "null null",
            "NaN",
            &format!("{}{}", "[".repeat(33), "]".repeat(33)),
            &"[".repeat(100_000),
        ] {
            assert_eq!(Payload::json(bad.as_bytes(), "input").unwrap_err().code, "invalid-json");
        }
        assert!(Payload::json(b"\"\xff\"", "input").is_err());
        assert_eq!(Payload::json(&vec![b' '; PAYLOAD_BYTES_MAX + 1], "input").unwrap_err().code, "payload-too-large");
    }

    #[test]
    fn media_types_are_checked() {
        assert_eq!(Payload::new("text/plain", b"\xff", "input").unwrap().media_type(), "text/plain");
        for bad in ["", "text", "a/b\n", &format!("a/{}", "b".repeat(127))] {
            assert_eq!(Payload::new(bad, b"", "input").unwrap_err().code, "invalid-media-type");
        }
    }
}
