//! Scheduling one run.

use std::sync::Arc;
use std::time::Duration;

use super::input_check::{check_here, check_input};
use super::{Error, Scheduler};
use crate::model::limits::RUNS_AT_ONCE_MAX;
use crate::model::{
    Due, Effort, Existing, Idempotency, Invalid, Metadata, NewRun, Origin, Payload, Request, RunId, Task, Timestamp, Unique, UniqueKey,
    UniqueMode,
};
use crate::model::{check_max_attempts, check_priority, check_timeout};
use crate::storage::Created;

/// A run about to be scheduled: set what it needs, then [`send`](Self::send) it.
#[must_use = "nothing is scheduled until it is sent"]
pub struct Schedule<'a> {
    scheduler: &'a Scheduler,
    task: String,
    due: Due,
    input: Payload,
    metadata: Metadata,
    unique_key: Option<Unique>,
    unique_for: Option<Duration>,
    idempotency_key: Option<UniqueKey>,
    max_attempts: Option<u32>,
    timeout: Option<Duration>,
    priority: Option<u8>,
    /// The first thing that was wrong: reported by `send`, so that the setters can be chained.
    wrong: Option<Invalid>,
}

/// A run that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The run.
    pub id: RunId,
    /// When it becomes due. Of a run that was there already, what this request asked for.
    pub trigger_at: Timestamp,
    /// False if a run was there already under the same key: one of an equal request, or one that was postponed.
    pub created: bool,
    /// The run that was there already: how it stands, how it ended, and until when it holds the key.
    pub existing: Option<Box<Existing>>,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(scheduler: &'a Scheduler, task: &str) -> Self {
        Self {
            scheduler,
            task: task.into(),
            due: Due::Now,
            input: Payload::null(),
            metadata: Metadata::default(),
            unique_key: None,
            unique_for: None,
            idempotency_key: None,
            max_attempts: None,
            timeout: None,
            priority: None,
            wrong: None,
        }
    }

    /// Due at this moment (a [`Timestamp`], or a chrono `DateTime<Utc>`); a moment in the past means at once.
    pub fn at<T: TryInto<Timestamp>>(mut self, at: T) -> Self
    where
        T::Error: Into<Invalid>,
    {
        match at.try_into() {
            Ok(at) => self.due = Due::At(at),
            Err(error) => self.note(error.into()),
        }
        self
    }

    /// Due this long after it is sent.
    pub fn after(mut self, span: Duration) -> Self {
        self.due = Due::After(span);
        self
    }

    /// Due as said by a [`Due`].
    pub fn due(mut self, due: Due) -> Self {
        self.due = due;
        self
    }

    /// With this value, as JSON, as the task's input.
    pub fn input<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        self.input = Payload::from_value(value, "input")?;
        Ok(self)
    }

    /// With these bytes as the task's input.
    pub fn payload(mut self, input: Payload) -> Self {
        self.input = input;
        self
    }

    /// With an entry of additional metadata, to find it by.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        if let Err(invalid) = self.metadata.set(key, value) {
            self.note(invalid);
        }
        self
    }

    /// With all of these entries.
    pub fn all_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// At most once: a second request with this key returns the first one's run, while that is unfinished and for 24 h after. A run that is
    /// deleted, or that ends before its first attempt, frees its key at once.
    pub fn unique_key(self, key: &str) -> Self {
        self.unique(key, UniqueMode::Existing)
    }

    /// The same, saying what this request does if the key is held: see [`UniqueMode`].
    pub fn unique(mut self, key: &str, mode: UniqueMode) -> Self {
        let parsed = UniqueKey::parse(key, "unique_key").and_then(|key| match mode {
            // Fields of the contract are spelled with dashes, those of a request with underscores.
            UniqueMode::Debounce { wait, max_wait } => {
                Unique::debounce(key, wait, max_wait).map_err(|invalid| Invalid { field: invalid.field.replace('-', "_"), ..invalid })
            }
            mode => Ok(Unique { mode, ..key.into() }),
        });
        match parsed {
            Ok(unique) => self.unique_key = Some(unique),
            Err(invalid) => self.note(invalid),
        }
        self
    }

    /// Holds the unique key for this long after the run's end, instead of 24 h.
    pub fn unique_for(mut self, span: Duration) -> Self {
        self.unique_for = Some(span);
        self
    }

    /// The same request, sent again under this key, gets the run that the first one got, and another request is refused: for 24 h, while that
    /// run has not ended, and for 24 h after its end. It gets it whatever became of that run, even if the run was deleted.
    ///
    /// It can go with a unique key, which is another promise: there the key is free once the run can't come any more.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        match UniqueKey::parse(key, "Idempotency-Key") {
            Ok(key) => self.idempotency_key = Some(key),
            Err(invalid) => self.note(Invalid { code: "invalid-idempotency-key", ..invalid }),
        }
        self
    }

    /// One run for a burst of requests under this key: due `wait` after the last of them, with its input, but not later than `max_wait`
    /// after the first. It says its own time: give none beside it.
    pub fn debounce(self, key: &str, wait: Duration, max_wait: Duration) -> Self {
        self.unique(key, UniqueMode::Debounce { wait, max_wait })
    }

    /// Fails after this many failed attempts: 1 to 100.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        match check_max_attempts(attempts, "max_attempts") {
            Ok(attempts) => self.max_attempts = Some(attempts),
            Err(invalid) => self.note(invalid),
        }
        self
    }

    /// Stops an attempt after this long: 1 ms to 24 h.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        match check_timeout(timeout, "timeout") {
            Ok(timeout) => self.timeout = Some(timeout),
            Err(invalid) => self.note(invalid),
        }
        self
    }

    /// Before runs of lower priority that are due at the same time: 1 to 3.
    pub fn priority(mut self, priority: u8) -> Self {
        match check_priority(priority, "priority") {
            Ok(priority) => self.priority = Some(priority),
            Err(invalid) => self.note(invalid),
        }
        self
    }

    /// Stores the run; it is durable when this returns.
    pub async fn send(self) -> Result<RunId, Error> {
        Ok(self.send_unique().await?.id)
    }

    /// Stores the run, and says whether it was there already under its unique key.
    pub async fn send_unique(self) -> Result<Scheduled, Error> {
        let scheduler = self.scheduler;
        let task = self.checked(&mut Effort::at_once()).await?;
        let now = scheduler.now();
        let run = self.into_run(task, now)?;
        let trigger_at = run.trigger_at;
        let mut created = scheduler.changes.create(scheduler.namespace.id, vec![run], now).await?;
        Ok(scheduled(created.swap_remove(0), trigger_at))
    }

    /// Stores the run inside the caller's own transaction on the same database file: it exists if and only if that commits,
    /// and becomes due no earlier. Nothing is durable until then.
    ///
    /// Under a unique key, a run that holds it can't be replaced or put off from here: that is refused as taken.
    pub fn send_in(self, transaction: &rusqlite::Transaction<'_>) -> Result<Scheduled, Error> {
        let scheduler = self.scheduler;
        let task = self.task()?;
        check_here(&task, &self.input, "input")?;
        let now = scheduler.now();
        let run = self.into_run(task, now)?;
        let trigger_at = run.trigger_at;
        let created = scheduler.core.sqlite.create_in(transaction, scheduler.namespace.id, run, now)?;
        Ok(scheduled(created, trigger_at))
    }

    /// The task, unless a setter was given something wrong.
    fn task(&self) -> Result<Arc<Task>, Error> {
        if let Some(invalid) = &self.wrong {
            return Err(invalid.clone().into());
        }
        self.scheduler.task(&self.task).ok_or_else(|| Error::TaskNotFound(self.task.clone()))
    }

    /// The task, if the input fits its schema.
    async fn checked(&self, effort: &mut Effort) -> Result<Arc<Task>, Error> {
        let task = self.task()?;
        check_input(&self.scheduler.core.long, &task, &self.input, "input", effort).await?;
        Ok(task)
    }

    /// The run of a task whose schema the input fits.
    fn into_run(self, task: Arc<Task>, now: Timestamp) -> Result<NewRun, Error> {
        let scheduler = self.scheduler;
        task.check_lane(&self.input, &self.metadata)?;
        let unique_key = match (self.unique_key, self.unique_for) {
            (Some(unique), Some(span)) => Some(unique.held_for(span, "unique_for")?),
            (None, Some(_)) => return Err(Invalid::new("invalid-unique-for", "unique_for", "goes with a unique key").into()),
            (unique, None) => unique,
        };
        let debounced = unique_key.as_ref().and_then(|unique| unique.due(now));
        if debounced.is_some() && self.due != Due::Now {
            return Err(Invalid::new("invalid-debounce", "debounce", "says its own time: leave out the other one").into());
        }
        let idempotency = self.idempotency_key.map(|key| {
            let request = Request {
                task: &task.name,
                due: self.due,
                input: &self.input,
                metadata: &self.metadata,
                unique: unique_key.as_ref(),
                max_attempts: self.max_attempts,
                timeout: self.timeout,
                priority: self.priority,
            };
            Box::new(Idempotency::new(key, &request))
        });
        Ok(NewRun {
            id: scheduler.core.storage.next_run_id(now),
            task,
            trigger_at: debounced.unwrap_or_else(|| self.due.trigger_at(now)),
            input: self.input,
            metadata: self.metadata,
            unique_key,
            idempotency,
            origin: Origin::Api,
            lineage: None,
            occurrence: None,
            max_attempts: self.max_attempts,
            timeout: self.timeout,
            priority: self.priority,
        })
    }

    fn note(&mut self, invalid: Invalid) {
        self.wrong.get_or_insert(invalid);
    }
}

impl Scheduler {
    /// Stores several runs at once: all of them, durable when this returns, or none if one is refused. At most 1,000.
    pub async fn schedule_all(&self, runs: Vec<Schedule<'_>>) -> Result<Vec<Scheduled>, Error> {
        if runs.len() > RUNS_AT_ONCE_MAX {
            let reason = format!("at most {RUNS_AT_ONCE_MAX} runs at once; send them in portions");
            return Err(Invalid::new("invalid-bulk", "runs", reason).seen(runs.len().to_string()).into());
        }
        let (mut effort, mut tasks) = (Effort::at_once(), Vec::with_capacity(runs.len()));
        for run in &runs {
            tasks.push(run.checked(&mut effort).await?);
        }
        let now = self.now();
        let runs = runs.into_iter().zip(tasks).map(|(run, task)| run.into_run(task, now)).collect::<Result<Vec<_>, _>>()?;
        let times: Vec<_> = runs.iter().map(|run| run.trigger_at).collect();
        let created = self.changes.create(self.namespace.id, runs, now).await?;
        Ok(created.into_iter().zip(times).map(|(created, trigger_at)| scheduled(created, trigger_at)).collect())
    }
}

fn scheduled(created: Created, asked: Timestamp) -> Scheduled {
    match created {
        Created::New(id) => Scheduled { id, trigger_at: asked, created: true, existing: None },
        Created::Existing(existing) | Created::PutOff(existing) => {
            Scheduled { id: existing.run, trigger_at: existing.trigger_at, created: false, existing: Some(existing) }
        }
    }
}
