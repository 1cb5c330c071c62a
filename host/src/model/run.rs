//! A run and its state machine.
//!
//! ```text
//!              trigger time            a slot                  the task returns
//!  scheduled ───────────────▶ queued ─────────▶ running ──────────────────────────▶ succeeded
//!      │  ▲                     ▲ ▲                │ ├── no attempt left, or rejected ▶ failed
//!      │  │ trigger by hand     │ │ host shut down │ ├── cancelled ───────────────────▶ cancelled
//!      │  │                     │ └────────────────┤ │
//!      ▼  │        delay over   │                  │ └── failed or snoozed ─▶ backoff ─┐
//!     missed                    └──────────────────┼─────────────────────────────────┘
//!   (its time passed while no host ran)            └── host crashed ▶ queued, or failed the third time
//! ```
//!
//! `queued` is `scheduled` whose time has come: nothing is written when a time comes. A run that waits can be cancelled;
//! one that is scheduled can be moved and deleted.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::limits::{CHAIN_PACE, CRASHES_MAX, DEPTH_MAX, SNOOZE_MIN};
use super::{Because, FailureReason, Idempotency, Jitter, Metadata, Name, Outcome, Payload, RetryPolicy, RunId, Task, Timestamp, Unique};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Its trigger time lies ahead.
    Scheduled,
    /// Due, waiting for a slot.
    Queued,
    /// An attempt is in flight.
    Running,
    /// Another attempt is planned.
    Backoff,
    /// The task returned.
    Succeeded,
    /// No further attempt will be made.
    Failed,
    /// Cancelled before it could end by itself.
    Cancelled,
    /// Its time passed, and a policy said not to run it.
    Missed,
}

impl Status {
    /// All of them, in the order of a run's life.
    pub const ALL: [Self; 8] =
        [Self::Scheduled, Self::Queued, Self::Running, Self::Backoff, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Missed];

    /// The word for it on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Missed => "missed",
        }
    }

    /// Parses that word.
    pub fn parse(text: &str) -> Result<Self, super::Invalid> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            super::Invalid::new("invalid-status", "status", format!("one of {words}")).seen(text)
        })
    }

    /// Whether nothing will happen to the run any more by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Missed)
    }
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Who made a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A client of the host.
    Api,
    /// A guest, during an attempt.
    Guest,
    /// An occurrence of a cron.
    Cron,
    /// A schedule that a component's code declares.
    Code,
    /// A webhook.
    Trigger,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Api, Self::Guest, Self::Cron, Self::Code, Self::Trigger];

    /// The word for it on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Guest => "guest",
            Self::Cron => "cron",
            Self::Code => "code",
            Self::Trigger => "trigger",
        }
    }

    /// Parses that word.
    pub fn parse(text: &str) -> Result<Self, super::Invalid> {
        Self::ALL
            .into_iter()
            .find(|origin| origin.as_str() == text)
            .ok_or_else(|| super::Invalid::new("invalid-origin", "origin", "one of api, guest, cron, code, trigger").seen(text))
    }
}

impl serde::Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A run as it stood when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The task it executes.
    pub task: Name,
    /// Where it stands.
    pub status: Status,
    /// Why it stands there, as a stable code; `None` while there is nothing to explain.
    pub reason: Option<Cow<'static, str>>,
    /// The reason in words: what a failure said.
    pub message: Option<String>,
    /// What the reason refers to, if it is another run or a span of time.
    pub because: Option<Because>,
    /// When it becomes, or became, due.
    pub trigger_at: Timestamp,
    /// When the next attempt may start; `None` while it runs and once it has ended.
    pub due_at: Option<Timestamp>,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// When its last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many attempts were started.
    pub attempts: u32,
    /// How many of them failed, since it last began anew.
    pub failures: u32,
    /// Overrides the task's policy.
    pub max_attempts: Option<u32>,
    /// Overrides the task's policy.
    pub timeout: Option<Duration>,
    /// Whether somebody asked for a running run to be cancelled.
    pub cancel_requested: bool,
    /// 1 to 3.
    pub priority: u8,
    /// Who made it.
    pub origin: Origin,
    /// The run that scheduled it.
    pub parent: Option<RunId>,
    /// The run that its chain began with.
    pub root: Option<RunId>,
    /// Whether it was made because its parent had failed.
    pub on_failure: bool,
    /// What it can be found by.
    pub metadata: Metadata,
    /// What makes it unique.
    pub unique_key: Option<String>,
    /// What its task is given.
    pub input: Payload,
    /// What its task returned.
    pub output: Option<Payload>,
    /// How far the attempt in flight says it has come.
    pub progress: Option<Progress>,
    /// Which occurrence of a cron it is; `None` for a run that no cron made.
    pub occurrence: Option<CronOccurrence>,
}

/// Which occurrence of a cron a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronOccurrence {
    /// The cron, if it is still there.
    pub cron: Option<Name>,
    /// The rule's time; `None` for a run that somebody made by hand.
    pub planned_at: Option<Timestamp>,
    /// How many occurrences this row stands for that were skipped, and the time of the last one.
    pub skipped: Option<(u32, Timestamp)>,
}

/// How far an attempt says it has come. Kept while it is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all; 0: unknown.
    pub total: u64,
    /// In words.
    pub note: String,
}

/// A run that is about to be stored. Everything in it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Its id, already final.
    pub id: RunId,
    /// The task it executes.
    pub task: Arc<Task>,
    /// When it becomes due.
    pub trigger_at: Timestamp,
    /// What its task is given.
    pub input: Payload,
    /// What it can be found by.
    pub metadata: Metadata,
    /// What makes it unique.
    pub unique_key: Option<Unique>,
    /// Tells whether the same request was sent before.
    pub idempotency: Option<Box<Idempotency>>,
    /// Who made it.
    pub origin: Origin,
    /// Where it hangs in its chain; `None` for a run that no guest scheduled.
    pub lineage: Option<Lineage>,
    /// Which occurrence of a cron a guest makes it of; `None` for any other run.
    pub occurrence: Option<CronOccurrence>,
    /// Overrides the task's policy.
    pub max_attempts: Option<u32>,
    /// Overrides the task's policy.
    pub timeout: Option<Duration>,
    /// Overrides the task's policy.
    pub priority: Option<u8>,
}

/// What a guest's own run contributes to the lineage of its follow-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentRun {
    /// The run whose attempt schedules.
    pub id: RunId,
    /// Its lineage, if a guest scheduled it too.
    pub lineage: Option<Lineage>,
}

/// Where a follow-up hangs in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The run that scheduled it.
    pub parent: RunId,
    /// The run that the chain began with.
    pub root: RunId,
    /// Hops that were faster than [`CHAIN_PACE`].
    pub depth: u32,
}

impl Lineage {
    /// The lineage of a follow-up due at `trigger_at`; `Err` holds the depth that would exceed the limit.
    ///
    /// Only hops that are due sooner than a second count, so that a task may reschedule itself for ever, but not in a hot loop.
    pub fn follow_up(parent: ParentRun, trigger_at: Timestamp, now: Timestamp) -> Result<Self, u32> {
        let before = parent.lineage.map_or(0, |lineage| lineage.depth);
        let depth = if trigger_at.since(now) >= CHAIN_PACE { before } else { before + 1 };
        if depth > DEPTH_MAX {
            return Err(depth);
        }
        Ok(Self { parent: parent.id, root: parent.lineage.map_or(parent.id, |lineage| lineage.root), depth })
    }
}

/// What decides, beside its outcome, what follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptCounters {
    /// Failed attempts before this one.
    pub failures: u32,
    /// When the first of them started. How long the run waited before is not the task's fault, and leaves its retries their time.
    pub failing_since: Option<Timestamp>,
    /// Whether somebody asked for the run to be cancelled.
    pub cancel_requested: bool,
}

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The run succeeded.
    Succeeded {
        /// What the task returned.
        output: Option<Payload>,
    },
    /// The run failed for good.
    Failed {
        /// Why.
        reason: FailureReason,
        /// Why, in words.
        message: String,
    },
    /// Another attempt is planned, because this one failed.
    Backoff {
        /// Not before this.
        due_at: Timestamp,
        /// Why this attempt failed.
        reason: FailureReason,
        /// Why, in words.
        message: String,
    },
    /// Another attempt is planned, because the task asked for it. Its writes are committed.
    Snoozed {
        /// Not before this.
        due_at: Timestamp,
    },
    /// The attempt is repeated as soon as a host can: this one does not count.
    Requeued,
    /// The attempt is repeated as soon as the host has room for it: this one does not count.
    GivenBack,
    /// The run was cancelled.
    Cancelled,
}

impl Next {
    /// Whether the attempt's writes are committed with it.
    pub const fn commits_writes(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Snoozed { .. })
    }

    /// The status that the run has then.
    pub const fn status(&self) -> Status {
        match self {
            Self::Succeeded { .. } => Status::Succeeded,
            Self::Failed { .. } => Status::Failed,
            Self::Backoff { .. } | Self::Snoozed { .. } => Status::Backoff,
            Self::Requeued | Self::GivenBack => Status::Queued,
            Self::Cancelled => Status::Cancelled,
        }
    }
}

/// Decides what follows an attempt that ended at `now` with `outcome`.
///
/// - Success wins over a request to cancel; every other outcome of a run that is to be cancelled ends it as cancelled.
/// - A permanent failure, the last allowed one, or one whose next attempt would lie beyond the window fails the run.
/// - A snooze, a shutdown, and want of room in the host are not failures. A snooze may go on for ever; one shorter than [`SNOOZE_MIN`] is lengthened
///   to that.
pub fn next_after_attempt(policy: &RetryPolicy, counters: AttemptCounters, outcome: Outcome, now: Timestamp, jitter: Jitter) -> Next {
    match outcome {
        Outcome::Done(output) => Next::Succeeded { output },
        Outcome::Cancelled => Next::Cancelled,
        _ if counters.cancel_requested => Next::Cancelled,
        Outcome::ShutDown => Next::Requeued,
        Outcome::NoRoom => Next::GivenBack,
        Outcome::Snooze(span) => Next::Snoozed { due_at: now.saturating_add_ceil(span.max(SNOOZE_MIN)) },
        Outcome::Failed { reason, message, .. } if reason.is_permanent() => Next::Failed { reason, message },
        Outcome::Failed { reason, message, after } => {
            let failures = counters.failures + 1;
            let due_at = now.saturating_add_ceil(policy.delay(failures, after, jitter));
            let too_late = counters.failing_since.is_some_and(|since| policy.is_too_late(since, due_at));
            if failures >= policy.max_attempts || too_late {
                Next::Failed { reason, message }
            } else {
                Next::Backoff { due_at, reason, message }
            }
        }
    }
}

/// Decides what becomes of a run whose host died during an attempt, `crashes` times so far including this one.
///
/// A crash is the host's failure until it repeats: the run is tried again at once, and quarantined the third time, so that
/// a run that kills its host can't do so for ever.
pub fn next_after_host_crash(crashes: u32, cancel_requested: bool) -> Next {
    if cancel_requested {
        return Next::Cancelled;
    }
    if crashes >= CRASHES_MAX {
        let message = format!("the host died during {crashes} attempts of this run; it is not tried again until somebody triggers it");
        return Next::Failed { reason: FailureReason::Quarantined, message };
    }
    Next::Requeued
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    /// What follows the attempt after `failures` failures, at second 100 of a run due at second 0, in words.
    fn next(failures: u32, cancel_requested: bool, outcome: Outcome) -> String {
        let policy = RetryPolicy { max_attempts: 3, window: Duration::from_secs(1000), ..RetryPolicy::default() };
        let counters = AttemptCounters { failures, failing_since: (failures > 0).then(|| at(0)), cancel_requested };
        match next_after_attempt(&policy, counters, outcome, at(100), Jitter::new(1.0)) {
            Next::Succeeded { .. } => "succeeded".into(),
            Next::Failed { reason, .. } => format!("failed {}", reason.code()),
            Next::Backoff { due_at, reason, .. } => format!("backoff {} {}", due_at.as_micros() / 1_000_000, reason.code()),
            Next::Snoozed { due_at } => format!("snoozed {}", due_at.as_micros() / 1_000_000),
            Next::Requeued => "requeued".into(),
            Next::GivenBack => "given back".into(),
            Next::Cancelled => "cancelled".into(),
        }
    }

    #[test]
    fn every_outcome_in_every_situation() {
        use FailureReason::*;
        let failed = |reason, after: Option<u64>| Outcome::Failed { reason, message: String::new(), after: after.map(Duration::from_secs) };
        for (failures, cancel, outcome, expected) in [
            (0, false, Outcome::Done(None), "succeeded"),
            (2, true, Outcome::Done(None), "succeeded"),
            (0, false, Outcome::Snooze(Duration::from_secs(5)), "snoozed 105"),
            (2, false, Outcome::Snooze(Duration::from_secs(5)), "snoozed 105"),
            (0, false, Outcome::Snooze(Duration::ZERO), "snoozed 101"),
            (0, false, Outcome::Snooze(Duration::from_millis(999)), "snoozed 101"),
            (0, true, Outcome::Snooze(Duration::from_secs(5)), "cancelled"),
            (0, false, failed(Trap, None), "backoff 110 trap"),
            (1, false, failed(Timeout, None), "backoff 120 timeout"),
            (2, false, failed(Trap, None), "failed trap"),
            (0, false, failed(Returned, Some(60)), "backoff 160 failed"),
            (0, false, failed(Returned, Some(2000)), "backoff 2100 failed"),
            (1, false, failed(Returned, Some(900)), "backoff 1000 failed"),
            (1, false, failed(Returned, Some(901)), "failed failed"),
            (0, false, failed(Rejected, None), "failed rejected"),
            (0, false, failed(QuotaExceeded, None), "failed quota-exceeded"),
            (0, true, failed(Trap, None), "cancelled"),
            (0, false, Outcome::Cancelled, "cancelled"),
            (2, false, Outcome::ShutDown, "requeued"),
            (0, true, Outcome::ShutDown, "cancelled"),
            (2, false, Outcome::NoRoom, "given back"),
            (0, true, Outcome::NoRoom, "cancelled"),
        ] {
            assert_eq!(next(failures, cancel, outcome.clone()), expected, "{failures} {cancel} {outcome:?}");
        }
    }

    #[test]
    fn crashes_are_forgiven_twice() {
        assert_eq!(next_after_host_crash(1, false), Next::Requeued);
        assert_eq!(next_after_host_crash(2, false), Next::Requeued);
        assert!(matches!(next_after_host_crash(3, false), Next::Failed { reason: FailureReason::Quarantined, .. }));
        assert_eq!(next_after_host_crash(1, true), Next::Cancelled);
    }

    #[test]
    fn only_success_and_snooze_commit_writes() {
        let due_at = at(1);
        assert!(Next::Succeeded { output: None }.commits_writes() && Next::Snoozed { due_at }.commits_writes());
        for next in [
            Next::Requeued,
            Next::GivenBack,
            Next::Cancelled,
            Next::Failed { reason: FailureReason::Trap, message: String::new() },
            Next::Backoff { due_at, reason: FailureReason::Trap, message: String::new() },
        ] {
            assert!(!next.commits_writes());
        }
    }

    #[test]
    fn chains_may_go_on_for_ever_at_a_walking_pace() {
        let id = RunId::from_key(1, 0);
        let hop = |lineage, delay: i64| Lineage::follow_up(ParentRun { id, lineage }, at(100 + delay), at(100));
        let mut lineage = None;
        for depth in 1..=DEPTH_MAX {
            lineage = Some(hop(lineage, 0).unwrap());
            assert_eq!(lineage.unwrap().depth, depth);
        }
        assert_eq!(hop(lineage, 0), Err(DEPTH_MAX + 1));
        assert_eq!(hop(lineage, 1).unwrap().depth, DEPTH_MAX);
    }

    #[test]
    fn words_parse_to_themselves() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()).unwrap(), status);
        }
        for origin in Origin::ALL {
            assert_eq!(Origin::parse(origin.as_str()).unwrap(), origin);
        }
        assert!(Status::parse("done").is_err() && Origin::parse("me").is_err());
    }
}
