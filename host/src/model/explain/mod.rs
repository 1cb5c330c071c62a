//! Why a run waits, did not run, or ended as it did: its causes, nearest first, from what is known of it at one moment.
//!
//! Pure. The scheduler gathers what is known; doors show them. What waits is explained in `waiting.rs`, what has ended in `ended.rs`,
//! who made a run in `origin.rs`, and what the reader can do in `advice.rs`.

mod advice;
mod cause;
mod ended;
mod origin;
#[cfg(test)]
mod tests;
mod waiting;

use super::{Attempt, AuditAction, AuditEntry, Cron, Hold, Name, Run, RunId, Status, Task, Timestamp};

pub use advice::Advice;
pub use cause::Cause;

/// Why a run stands where it stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The run.
    pub run: RunId,
    /// Its task.
    pub task: Name,
    /// Where it stood.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// Nearest first: what keeps it there, then what led to that, and at the end who made the run. Never empty.
    pub causes: Vec<Cause>,
    /// What the reader can do about it.
    pub advice: Vec<Advice>,
}

/// What is known of a run and of what surrounds it. Whatever is not known is left out, and so of the explanation.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The run.
    pub run: &'a Run,
    /// Its last attempts, oldest first. Their logs don't matter.
    pub attempts: &'a [Attempt],
    /// When the first of its failed attempts that count started.
    pub failing_since: Option<Timestamp>,
    /// Its task, as it is registered now.
    pub task: Option<&'a Task>,
    /// The cron that made it.
    pub cron: Option<&'a Cron>,
    /// What keeps it from starting, if it is due.
    pub hold: Option<&'a Hold>,
    /// How many bytes of guest memory its attempt waits for, if it waits.
    pub awaited_memory: Option<u64>,
    /// When it was first asked for, if it is debounced and was put off since.
    pub first_asked_for: Option<Timestamp>,
    /// What callers did to it, the latest first.
    pub record: &'a [AuditEntry],
    /// Runs of the same namespace that the others name: its parent, who holds a slot, whom it made way for, who follows its failure.
    pub others: &'a [Run],
    /// Why the host can't write, if it can't.
    pub trouble: Option<&'a str>,
    /// The moment.
    pub now: Timestamp,
}

impl Known<'_> {
    fn other(&self, run: RunId) -> Option<&Run> {
        self.others.iter().find(|other| other.id == run)
    }

    /// The latest thing of this kind that a caller did.
    fn latest(&self, action: AuditAction) -> Option<&AuditEntry> {
        self.record.iter().find(|entry| entry.action == action)
    }

    fn max_attempts(&self) -> Option<u32> {
        self.run.max_attempts.or(self.task.map(|task| task.policy.retry.max_attempts))
    }
}

/// Explains a run.
pub fn explain(known: &Known<'_>) -> Explanation {
    let run = known.run;
    let mut causes = match run.status {
        Status::Scheduled => waiting::scheduled(known),
        Status::Queued => waiting::queued(known),
        Status::Backoff => waiting::backoff(known),
        Status::Running => waiting::running(known),
        Status::Succeeded => ended::succeeded(known),
        Status::Failed => ended::failed(known),
        Status::Cancelled => ended::cancelled(known),
        Status::Missed => ended::missed(known),
    };
    causes.push(origin::origin(known));
    Explanation { run: run.id, task: run.task.clone(), status: run.status, at: known.now, advice: advice::advice(known, &causes), causes }
}

impl Explanation {
    /// The same for those who may not know who did what.
    pub fn concealed(mut self) -> Self {
        self.causes.iter_mut().for_each(Cause::conceal);
        self
    }
}
