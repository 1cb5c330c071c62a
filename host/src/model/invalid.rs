//! Bad input: which field, what is wrong, what was seen, how to mend it.
//!
//! Every door turns one of these into its own form of refusal; nothing below the doors knows how.

use std::fmt;

/// Input that can't be accepted. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// A stable, machine-readable code, for example `invalid-time`.
    pub code: &'static str,
    /// The path of the field, for example `metadata.customer`.
    pub field: String,
    /// What is wrong, the limit, and how to mend it.
    pub reason: String,
    /// The value seen, cut to 64 characters and escaped.
    pub seen: Option<String>,
}

impl Invalid {
    /// A refusal of `field` under a stable `code`.
    pub fn new(code: &'static str, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code, field: field.into(), reason: reason.into(), seen: None }
    }

    /// Adds the offending value, cut and escaped so that it is safe to show anywhere.
    pub fn seen(mut self, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        let mut text: String = value.chars().take(64).flat_map(char::escape_default).collect();
        if value.chars().nth(64).is_some() {
            text.push('…');
        }
        self.seen = Some(text);
        self
    }

    /// Puts a prefix before the field, for input that is nested in other input.
    pub fn within(mut self, prefix: &str) -> Self {
        self.field = format!("{prefix}.{}", self.field);
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)?;
        match &self.seen {
            Some(seen) => write!(f, " (seen: \"{seen}\")"),
            None => Ok(()),
        }
    }
}

/// For conversions that can't fail, where a signature allows for those that can.
impl From<std::convert::Infallible> for Invalid {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
