//! Scheduling a run: `schedule("task").after(days(1)).send(&input)?`.

use serde::Serialize;

use crate::error::Error;
use crate::seam::{Here, Host, NewRun, Options};
use crate::time::{Duration, Instant};
use crate::values::{Due, RunId, UniqueMode};

/// Begins to schedule a run of this task, due now unless another time is said.
pub fn schedule(task: &str) -> Schedule {
    Schedule { run: NewRun { task: task.to_owned(), due: Due::Now, input: Vec::new(), options: Options::default() } }
}

/// A run that is about to be scheduled. Nothing happens until it is sent.
#[derive(Clone, Debug)]
#[must_use = "nothing is scheduled until it is sent: `.send(&input)?`"]
pub struct Schedule {
    run: NewRun,
}

impl Schedule {
    /// Due as soon as this attempt has committed.
    pub fn now(self) -> Self {
        self.due(Due::Now)
    }

    /// Due at this moment. A moment in the past means now.
    pub fn at(self, at: Instant) -> Self {
        self.due(Due::At(at))
    }

    /// Due this long after it is sent.
    pub fn after(self, delay: Duration) -> Self {
        self.due(Due::After(delay))
    }

    /// Due then.
    pub fn due(mut self, due: Due) -> Self {
        self.run.due = due;
        self
    }

    /// Adds one entry of additional metadata. At most 32 entries; key and value of 1 to 128 bytes.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.run.options.metadata.push((key.to_owned(), value.to_owned()));
        self
    }

    /// At most one run with this key is unfinished, or finished within the last 24 hours.
    ///
    /// Sending the same task, input and metadata again under the key returns the first run's id; anything else fails
    /// with [`Error::UniqueKeyTaken`]. [`runs::find_by_unique_key`](crate::runs::find_by_unique_key) returns the status of that run and when the
    /// key becomes free. A run that is deleted, or that ends before its first attempt (cancelled or missed), frees its key at once.
    pub fn unique_key(mut self, key: &str) -> Self {
        self.run.options.unique_key = Some(key.to_owned());
        self
    }

    /// The same, saying what this request does if the key is held.
    pub fn unique(mut self, key: &str, mode: UniqueMode) -> Self {
        self.run.options.unique_key = Some(key.to_owned());
        self.run.options.unique = mode;
        self
    }

    /// Holds the unique key for this long after the run's end, instead of 24 hours. Refused for a run without one.
    pub fn unique_for(mut self, span: Duration) -> Self {
        self.run.options.held_for = Some(span);
        self
    }

    /// One run for a burst of requests under this key: due `wait` after the last of them, with that one's input, but not later than
    /// `max_wait` after the first. It says its own time: give none beside it.
    pub fn debounce(self, key: &str, wait: Duration, max_wait: Duration) -> Self {
        self.unique(key, UniqueMode::Debounce { wait, max_wait })
    }

    /// How many attempts may fail before the run does: 1 to 100.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.run.options.max_attempts = Some(attempts);
        self
    }

    /// How long one attempt may take: 1 ms to 24 h.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.run.options.timeout = Some(timeout);
        self
    }

    /// 1 (default) to 3; runs that are due at the same time start in falling order of priority.
    pub fn priority(mut self, priority: u8) -> Self {
        self.run.options.priority = Some(priority);
        self
    }

    /// Schedules the run with this input, and returns its final id. Commits when this attempt succeeds.
    pub fn send(mut self, input: &impl Serialize) -> Result<RunId, Error> {
        self.run.input = json(input)?;
        self.check_time()?;
        Here::schedule(&self.run)
    }

    /// Schedules the run at once, whatever becomes of this attempt.
    ///
    /// A retried attempt gets here again, so the key is required: then the first run's id is returned.
    pub fn send_detached(mut self, unique_key: &str, input: &impl Serialize) -> Result<RunId, Error> {
        self.run.input = json(input)?;
        if self.run.options.held_for.is_some() {
            // What is said of a key goes with one.
            self.run.options.unique_key.get_or_insert_with(|| unique_key.to_owned());
        }
        self.check_time()?;
        Here::schedule_detached(&self.run, unique_key)
    }

    /// A debounced run says when it becomes due, and for how long its key is held; one without a key holds none.
    fn check_time(&self) -> Result<(), Error> {
        let options = &self.run.options;
        if options.held_for.is_some() && options.unique_key.is_none() {
            return Err(Error::invalid("unique-for", "goes with a unique key"));
        }
        let said = self.run.due != Due::Now || options.held_for.is_some();
        match options.unique {
            UniqueMode::Debounce { .. } if said => Err(Error::invalid("debounce", "says its own times: give none beside it")),
            _ => Ok(()),
        }
    }
}

fn json(input: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(input).map_err(|error| Error::invalid("input", error))
}
