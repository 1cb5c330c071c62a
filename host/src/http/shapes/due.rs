//! When a run becomes due: `at` a moment, or `after` a span.

use crate::model::{Due, Invalid, Timestamp, parse_duration};

/// When: `at` a moment, or `after` a span; neither means now.
pub fn due(at: Option<&str>, after: Option<&str>) -> Result<Due, Invalid> {
    match (at, after) {
        (Some(_), Some(_)) => Err(Invalid::new("invalid-time", "after", "give either `at` or `after`, not both")),
        (Some(at), None) => Timestamp::parse(at, "at").map(Due::At),
        (None, Some(after)) => parse_duration(after, "after").map(Due::After),
        (None, None) => Ok(Due::Now),
    }
}

/// As [`due`], but one of both must be given.
pub fn due_required(at: Option<&str>, after: Option<&str>) -> Result<Due, Invalid> {
    match due(at, after)? {
        Due::Now => Err(Invalid::new("invalid-time", "at", "say when: `at` a moment or `after` a span")),
        due => Ok(due),
    }
}
