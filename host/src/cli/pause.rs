//! The options that say how long and what for something is paused, and the pause in words.

use clap::Args;

use super::moment;
use crate::http::shapes;
use crate::model::{Pause, Timestamp};

/// How long and what for.
#[derive(Args)]
pub(super) struct PauseArgs {
    /// Resume by itself at this time: RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    until: Option<String>,
    /// Resume by itself after this long: for example 90s, 1h30m or 2d
    #[arg(long = "for", id = "span", value_name = "DURATION")]
    span: Option<String>,
    /// What for
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

impl PauseArgs {
    /// As the API takes it.
    pub(super) fn to_request(&self) -> shapes::Pause {
        shapes::Pause { until: self.until.clone(), span: self.span.clone(), note: self.note.clone() }
    }
}

/// `since 2027-03-14 15:09:26Z (2h ago) until it is resumed: database upgrade`.
pub(super) fn in_words(pause: &Pause, now: Timestamp) -> String {
    let until = pause.until.map_or("until it is resumed".into(), |until| format!("until {}", moment::with_hint(until, now)));
    let note = if pause.note.is_empty() { String::new() } else { format!(": {}", pause.note) };
    format!("since {} {until}{note}", moment::with_hint(pause.since, now))
}
