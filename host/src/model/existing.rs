//! The run that a request found under its key, instead of making one.

use std::borrow::Cow;
use std::fmt;

use super::{RunId, Status, Timestamp};

/// The run that holds a unique key or an `Idempotency-Key`, as it stood when another request came under that key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The run.
    pub run: RunId,
    /// Its status. `None` means that the run was deleted, which only an `Idempotency-Key` outlives.
    pub status: Option<Status>,
    /// Why it has that status: a stable code.
    pub reason: Option<Cow<'static, str>>,
    /// When it becomes, or became, due.
    pub trigger_at: Timestamp,
    /// When it ended. `None` while it has not.
    pub ended_at: Option<Timestamp>,
    /// Until when the key is held. `None` while the run has not ended, because the span counts from its end.
    pub held_until: Option<Timestamp>,
}

impl Existing {
    /// The word for a run that was deleted, in the place of a status.
    pub const DELETED: &'static str = "deleted";

    /// The word for its status.
    pub fn status_str(&self) -> &'static str {
        self.status.map_or(Self::DELETED, Status::as_str)
    }
}

impl fmt::Display for Existing {
    /// For example `run 0198…, failed (timeout) at 2027-03-14T15:09:26Z, which holds the key until 2027-03-15T15:09:26Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}, {}", self.run, self.status_str())?;
        if let Some(reason) = self.reason.as_deref().filter(|reason| *reason != self.status_str()) {
            write!(f, " ({reason})")?;
        }
        match (self.ended_at, self.status) {
            (Some(at), _) => write!(f, " at {at}")?,
            (None, Some(Status::Scheduled)) => write!(f, " for {}", self.trigger_at)?,
            (None, _) => {}
        }
        match self.held_until {
            Some(until) => write!(f, ", which holds the key until {until}"),
            None => f.write_str(", which holds the key until it has ended, and for the span of the key after that"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_the_run_stands_and_until_when_it_holds_the_key() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000).unwrap();
        let run = RunId::from_key(1, 1);
        let waiting = Existing { run, status: Some(Status::Scheduled), reason: None, trigger_at: at(60), ended_at: None, held_until: None };
        let failed = Existing {
            status: Some(Status::Failed),
            reason: Some(Cow::Borrowed("timeout")),
            ended_at: Some(at(61)),
            held_until: Some(at(90)),
            ..waiting.clone()
        };
        let deleted = Existing { status: None, held_until: Some(at(90)), ..waiting.clone() };
        for (existing, expected) in [
            (
                waiting,
                ", scheduled for 1970-01-01T00:01:00Z, which holds the key until it has ended, and for the span of the key after that",
            ),
            (failed, ", failed (timeout) at 1970-01-01T00:01:01Z, which holds the key until 1970-01-01T00:01:30Z"),
            (deleted, ", deleted, which holds the key until 1970-01-01T00:01:30Z"),
        ] {
            assert_eq!(existing.to_string(), format!("run {run}{expected}"));
        }
    }
}
