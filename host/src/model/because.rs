//! What a run's reason refers to, for programs: the code alone says what happened, and the message says it to people.

use super::{RunId, Timestamp};

/// Another run, or a span of time, that a run's reason is about.
///
/// Of what was missed because no host was running (`host-down`): how long that was. Of what another run stood in the way of
/// (`overlap`), or took the place of: that run, and since when it held the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Because {
    /// The other run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// From this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Up to this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Because {
    /// No host was running from `since` to `until`.
    pub const fn of_span(since: Timestamp, until: Timestamp) -> Self {
        Self { run: None, since: Some(since), until: Some(until) }
    }

    /// This run was in the way, since then.
    pub const fn of_run(run: RunId, since: Option<Timestamp>) -> Self {
        Self { run: Some(run), since, until: None }
    }
}
