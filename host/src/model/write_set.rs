//! What an attempt asked for, until its outcome commits it.

use super::limits::{WRITE_BYTES_PER_ATTEMPT_MAX, WRITES_PER_ATTEMPT_MAX};
use super::{CronChange, CronSpec, Name, NewRun, Pause, RunId, Timestamp};

/// One write of a guest, validated and not yet committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Schedule this run. Its id is final.
    Schedule(Box<NewRun>),
    /// Move this run, which was still scheduled when the guest asked.
    Reschedule(RunId, Timestamp),
    /// Delete this run, which was still scheduled when the guest asked.
    Delete(RunId),
    /// Cancel this run, which had not ended when the guest asked.
    Cancel(RunId),
    /// Make this run due, which was neither due nor succeeded when the guest asked.
    Trigger(RunId),
    /// Make this cron, of which there was none when the guest asked.
    CreateCron(Name, Box<CronSpec>),
    /// Change this cron, if it still is as the guest saw it.
    ChangeCron(Name, Box<CronChange>),
    /// Pause this cron, or let it go on.
    PauseCron(Name, Option<Pause>),
    /// Delete this cron.
    DeleteCron(Name),
    /// Pause this task, or let it go on.
    PauseTask(Name, Option<Pause>),
}

impl Write {
    /// The run that it concerns; `None` if it concerns a cron or a task.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Schedule(run) => Some(run.id),
            Self::Reschedule(run, _) | Self::Delete(run) | Self::Cancel(run) | Self::Trigger(run) => Some(*run),
            Self::CreateCron(..) | Self::ChangeCron(..) | Self::PauseCron(..) | Self::DeleteCron(_) | Self::PauseTask(..) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Schedule(run) => run.input.bytes().len() + run.metadata.bytes(),
            Self::CreateCron(_, spec) => spec.input.bytes().len() + spec.metadata.bytes(),
            Self::ChangeCron(_, change) => {
                change.input.as_ref().map_or(0, |input| input.bytes().len()) + change.metadata.as_ref().map_or(0, |entries| entries.bytes())
            }
            _ => 0,
        }
    }
}

/// The writes of one attempt, in the order in which the guest made them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet {
    writes: Vec<Write>,
    bytes: usize,
}

impl WriteSet {
    /// Adds a write, or says which limit it would exceed: its name, the maximum, and what was asked for.
    pub fn push(&mut self, write: Write) -> Result<(), (&'static str, u64, u64)> {
        let bytes = write.bytes();
        if self.writes.len() == WRITES_PER_ATTEMPT_MAX {
            return Err(("writes-per-attempt", WRITES_PER_ATTEMPT_MAX as u64, WRITES_PER_ATTEMPT_MAX as u64 + 1));
        }
        if self.bytes + bytes > WRITE_BYTES_PER_ATTEMPT_MAX {
            return Err(("write-bytes-per-attempt", WRITE_BYTES_PER_ATTEMPT_MAX as u64, (self.bytes + bytes) as u64));
        }
        self.bytes += bytes;
        self.writes.push(write);
        Ok(())
    }

    /// Takes back the last write that concerns this run, so that it is as if it had never been made.
    pub fn take_back(&mut self, run: RunId) -> Option<Write> {
        let last = self.writes.iter().rposition(|write| write.run() == Some(run))?;
        let write = self.writes.remove(last);
        self.bytes -= write.bytes();
        Some(write)
    }

    /// How many further writes fit.
    pub fn room(&self) -> usize {
        WRITES_PER_ATTEMPT_MAX - self.writes.len()
    }

    /// In the order in which they were made.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Write> {
        self.writes.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// Why a write-set can't be committed although each write was valid when it was made. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteRefused {
    /// Somebody else changed what it builds on; a further attempt may succeed.
    Conflict(String),
    /// It would exceed what the chain of runs may have; a further attempt will too.
    Quota(String),
}
