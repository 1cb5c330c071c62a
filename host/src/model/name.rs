//! Names that people choose: of tasks and namespaces, and the keys that make a run unique.

use std::fmt;
use std::sync::Arc;

use super::Invalid;
use super::limits::{NAME_CHARS_MAX, UNIQUE_KEY_BYTES_MAX};

/// The name of a task or a namespace: 1 to 128 of `a-z 0-9 . _ -`, beginning with a letter or a digit.
///
/// Lower case only, so that names can't differ by case alone; no slash, so that a name is one segment of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text`; `field` names it in the error.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-');
        let well_begun = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if well_begun && text.len() <= NAME_CHARS_MAX && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(
            "invalid-name",
            field,
            format!("a name has 1 to {NAME_CHARS_MAX} characters of a-z 0-9 . _ - and begins with a letter or a digit"),
        )
        .seen(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text, "name").map_err(|invalid| serde::de::Error::custom(invalid.reason))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a caller says to get one run out of several equal requests: 1 to 256 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniqueKey(String);

impl UniqueKey {
    /// Checks `text`; `field` names it in the error.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        if (1..=UNIQUE_KEY_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(
            "invalid-unique-key",
            field,
            format!("a unique key has 1 to {UNIQUE_KEY_BYTES_MAX} bytes and no control characters; hash longer ones"),
        )
        .seen(text))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "remind", "acme.billing-2_x", "0", &"x".repeat(128)] {
            assert_eq!(Name::parse(good, "task").unwrap().as_str(), good);
        }
        for bad in ["", "A", "../x", "a b", "-a", ".a", "a/b", "a\0b", "naïve", "%2e", &"x".repeat(129)] {
            let refused = Name::parse(bad, "task").unwrap_err();
            assert_eq!((refused.code, refused.field.as_str()), ("invalid-name", "task"), "{bad:?}");
        }
    }

    #[test]
    fn unique_keys() {
        assert!(UniqueKey::parse("order 17 / ü", "k").is_ok());
        for bad in ["", "a\nb", "a\0", &"k".repeat(257)] {
            assert!(UniqueKey::parse(bad, "k").is_err(), "{bad:?}");
        }
    }
}
