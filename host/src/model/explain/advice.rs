//! What the reader of an explanation can do about it, in the words of the command line.

use serde::Serialize;

use super::super::{Name, RunId, Status};
use super::{Cause, Known};

/// One thing to do. As JSON it is an object with its `action` and what it is done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Advice {
    /// Have it start at once, or anew.
    Trigger {
        /// The run.
        run: RunId,
    },
    /// Cancel it.
    Cancel {
        /// The run.
        run: RunId,
    },
    /// Cancel another run, which has what this one waits for.
    Free {
        /// That run.
        run: RunId,
    },
    /// See why that run stands where it stands.
    Explain {
        /// The run.
        run: RunId,
    },
    /// See what its attempts wrote.
    Logs {
        /// The run.
        run: RunId,
    },
    /// Let the task go on.
    Resume {
        /// The task.
        task: Name,
    },
    /// See what its policy says: another one is set at its registration.
    Policy {
        /// The task.
        task: Name,
    },
    /// Make the runs of what was skipped, one by one.
    Backfill {
        /// The cron.
        cron: Name,
        /// From this time on.
        from: super::Timestamp,
        /// Up to this time.
        until: super::Timestamp,
    },
}

impl Advice {
    /// What it does.
    pub fn purpose(&self) -> &'static str {
        match self {
            Self::Trigger { .. } => "have it run at once",
            Self::Cancel { .. } => "cancel it",
            Self::Free { .. } => "cancel that run, which frees its place",
            Self::Explain { .. } => "see why that run is where it is",
            Self::Logs { .. } => "see what its attempts wrote",
            Self::Resume { .. } => "let the task go on",
            Self::Policy { .. } => "see the task's policy",
            Self::Backfill { .. } => "make a run for each occurrence that was skipped",
        }
    }

    /// What to type.
    pub fn command(&self) -> String {
        match self {
            Self::Trigger { run } => format!("runlater runs trigger {run}"),
            Self::Cancel { run } | Self::Free { run } => format!("runlater runs cancel {run}"),
            Self::Explain { run } => format!("runlater explain {run}"),
            Self::Logs { run } => format!("runlater runs logs {run}"),
            Self::Resume { task } => format!("runlater tasks resume {task}"),
            Self::Policy { task } => format!("runlater tasks show {task}"),
            Self::Backfill { cron, from, until } => format!("runlater crons backfill {cron} --from {from} --until {until}"),
        }
    }
}

pub(super) fn advice(known: &Known<'_>, causes: &[Cause]) -> Vec<Advice> {
    let (run, task) = (known.run.id, || known.run.task.clone());
    let mut advice = Vec::new();
    for cause in causes {
        match cause {
            Cause::TaskPaused { task, .. } => advice.push(Advice::Resume { task: task.clone() }),
            Cause::LaneFull { .. } | Cause::TaskFull { .. } | Cause::RateReached { .. } => advice.push(Advice::Policy { task: task() }),
            // The first holder is enough to go on from.
            Cause::SlotHeld { run, .. } | Cause::PlaceKept { run, .. }
                if !advice.iter().any(|one| matches!(one, Advice::Explain { .. })) =>
            {
                advice.extend([Advice::Explain { run: *run }, Advice::Free { run: *run }]);
            }
            Cause::LastChance { run: Some(other) } => advice.push(Advice::Explain { run: *other }),
            Cause::OccurrencesSkipped { since, until, .. } => {
                let cron = known.run.occurrence.as_ref().and_then(|occurrence| occurrence.cron.clone());
                advice.extend(cron.map(|cron| Advice::Backfill { cron, from: *since, until: *until }));
            }
            Cause::Overlapped { run: Some(other), .. } | Cause::MadeWay { run: Some(other), .. } => {
                advice.push(Advice::Explain { run: *other })
            }
            Cause::AttemptFailed { .. } | Cause::Failed { .. } => advice.push(Advice::Logs { run }),
            _ => {}
        }
    }
    match known.run.status {
        Status::Scheduled | Status::Backoff => advice.extend([Advice::Trigger { run }, Advice::Cancel { run }]),
        Status::Queued | Status::Running => advice.push(Advice::Cancel { run }),
        Status::Missed | Status::Failed | Status::Cancelled => advice.push(Advice::Trigger { run }),
        Status::Succeeded => {}
    }
    advice
}
