//! Crons at the façade: what makes a run again and again, and everything that can be done to it.

use std::time::Duration;

use super::input_check::check_input;
use super::{Error, Scheduler};
use crate::model::limits::PAGE_SIZE_MAX;
use crate::model::{
    Cron, CronChange, CronFilter, CronRule, CronSpec, Effort, Invalid, Metadata, MissedPolicy, Name, Occurrence, Origin, Pause, Payload,
    RunId, Timestamp, check_priority,
};
use crate::storage::CronError;

/// Occurrences that are made into runs between two commits.
const BACKFILL_SLICE: usize = 100;

/// A cron about to be made: say what it does, then [`create`](Self::create) it.
#[must_use = "no cron is made until it is created"]
pub struct NewCron<'a> {
    scheduler: &'a Scheduler,
    name: String,
    task: String,
    expression: String,
    timezone: String,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    jitter: Duration,
    max_count: Option<u32>,
    input: Payload,
    metadata: Metadata,
    priority: Option<u8>,
    missed: Option<MissedPolicy>,
    wrong: Option<Invalid>,
}

impl<'a> NewCron<'a> {
    /// The rule: five or six fields, a nickname such as `@daily`, or `@every 90s`.
    pub fn expression(mut self, expression: &str) -> Self {
        self.expression = expression.into();
        self
    }

    /// The IANA time zone whose clocks it goes by; UTC if none is named.
    pub fn timezone(mut self, timezone: &str) -> Self {
        self.timezone = timezone.into();
        self
    }

    /// It does not fire before this, and an interval counts from here; otherwise from now.
    pub fn start(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// It fires before this only.
    pub fn end(mut self, end: Timestamp) -> Self {
        self.end = Some(end);
        self
    }

    /// Spreads its runs evenly over this span behind their planned times: at most 24 h.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// It fires so often and no more.
    pub fn max_count(mut self, count: u32) -> Self {
        self.max_count = Some(count);
        self
    }

    /// With this value, as JSON, as each run's input.
    pub fn input<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        self.input = Payload::from_value(value, "input")?;
        Ok(self)
    }

    /// With these bytes as each run's input.
    pub fn payload(mut self, input: Payload) -> Self {
        self.input = input;
        self
    }

    /// With an entry of metadata on each run.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        if let Err(invalid) = self.metadata.set(key, value) {
            self.wrong.get_or_insert(invalid);
        }
        self
    }

    /// With all of these entries.
    pub fn all_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// With this priority instead of the task's.
    pub fn priority(mut self, priority: u8) -> Self {
        match check_priority(priority, "priority") {
            Ok(priority) => self.priority = Some(priority),
            Err(invalid) => _ = self.wrong.get_or_insert(invalid),
        }
        self
    }

    /// What becomes of occurrences that pass while no host is running, instead of what the task says.
    pub fn missed(mut self, missed: MissedPolicy) -> Self {
        match missed.checked() {
            Ok(missed) => self.missed = Some(missed),
            Err(invalid) => _ = self.wrong.get_or_insert(invalid),
        }
        self
    }

    /// Stores it.
    pub async fn create(self) -> Result<Cron, Error> {
        let scheduler = self.scheduler;
        if let Some(invalid) = self.wrong {
            return Err(invalid.into());
        }
        let (name, task) = (Name::parse(&self.name, "name")?, Name::parse(&self.task, "task")?);
        if let Some(task) = scheduler.task(task.as_str()) {
            check_input(&scheduler.core.long, &task, &self.input, "input", &mut Effort::at_once()).await?;
            task.check_lane(&self.input, &self.metadata)?;
        }
        let now = scheduler.now();
        check_max_count(self.max_count)?;
        let zone = scheduler.core.storage.zones().zone(&self.timezone)?;
        let rule = CronRule::new(&self.expression, zone, self.start.unwrap_or(now), self.end, self.jitter)?;
        let spec = CronSpec {
            task,
            rule,
            max_count: self.max_count,
            input: self.input,
            metadata: self.metadata,
            priority: self.priority,
            missed: self.missed,
        };
        scheduler.has_caught_up().await;
        Ok(scheduler.changes.create_cron(scheduler.namespace.id, name, spec, Origin::Api, now).await??)
    }
}

fn check_max_count(count: Option<u32>) -> Result<(), Invalid> {
    match count {
        Some(0) => Err(Invalid::new("invalid-max-count", "max_count", "a cron fires at least once; leave it out for no limit").seen("0")),
        _ => Ok(()),
    }
}

/// What a cron is to become: what is left out stays.
#[derive(Clone, Debug, Default)]
pub struct CronUpdate {
    /// Another expression.
    pub expression: Option<String>,
    /// Another time zone.
    pub timezone: Option<String>,
    /// Another beginning.
    pub start: Option<Timestamp>,
    /// Another end; `Some(None)`: none.
    pub end: Option<Option<Timestamp>>,
    /// Another spread.
    pub jitter: Option<Duration>,
    /// What else changes. Its rule is made of the fields above.
    pub change: CronChange,
}

/// What a backfill made, or would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// The planned times in the range.
    pub planned: Vec<Timestamp>,
    /// How many runs were made: those that have none yet. 0 in a dry run.
    pub made: usize,
}

impl Scheduler {
    /// Begins a cron of this name that runs this task.
    pub fn cron(&self, name: &str, task: &str) -> NewCron<'_> {
        NewCron {
            scheduler: self,
            name: name.into(),
            task: task.into(),
            expression: String::new(),
            timezone: "UTC".into(),
            start: None,
            end: None,
            jitter: Duration::ZERO,
            max_count: None,
            input: Payload::null(),
            metadata: Metadata::default(),
            priority: None,
            missed: None,
            wrong: None,
        }
    }

    /// Reads one cron.
    pub async fn get_cron(&self, name: &str) -> Result<Cron, Error> {
        let name = Name::parse(name, "name")?;
        let wanted = name.clone();
        let found = self.read(move |storage, namespace, now| Ok(storage.cron(namespace, &wanted)?.map(|cron| as_of(cron, now)))).await?;
        found.ok_or_else(|| CronError::NotFound(name).into())
    }

    /// Reads a page of the crons that match, in order of name.
    pub async fn list_crons(&self, filter: &CronFilter) -> Result<Vec<Cron>, Error> {
        let filter = CronFilter { limit: if filter.limit == 0 { 50 } else { filter.limit.min(PAGE_SIZE_MAX) }, ..filter.clone() };
        self.read(move |storage, namespace, now| storage.crons(namespace, &filter, now)).await
    }

    /// Changes a cron. Its runs that have not triggered are made anew.
    pub async fn update_cron(&self, name: &str, update: CronUpdate) -> Result<Cron, Error> {
        let before = self.get_cron(name).await?;
        let CronUpdate { expression, timezone, start, end, jitter, mut change } = update;
        if let Some(task) = self.task(before.spec.task.as_str()) {
            let spec = before.spec.clone().with(change.clone());
            check_input(&self.core.long, &task, &spec.input, "input", &mut Effort::at_once()).await?;
            task.check_lane(&spec.input, &spec.metadata)?;
        }
        check_max_count(change.max_count.flatten())?;
        if let Some(priority) = change.priority.flatten() {
            check_priority(priority, "priority")?;
        }
        if let Some(missed) = change.missed.flatten() {
            missed.checked()?;
        }
        if expression.is_some() || timezone.is_some() || start.is_some() || end.is_some() || jitter.is_some() {
            let rule = &before.spec.rule;
            // An interval that is new counts from now; one that stays keeps its beat.
            let same_beat = expression.as_deref().is_none_or(|expression| expression.trim() == rule.text());
            let start = start.unwrap_or(if same_beat { rule.start() } else { self.now().max(rule.start()) });
            let text = expression.as_deref().unwrap_or(rule.text());
            // Asked for by name, also where it stays: one that is unknown is refused as such.
            let zone = self.core.storage.zones().zone(timezone.as_deref().unwrap_or(rule.zone()))?;
            change.rule = Some(CronRule::new(text, zone, start, end.unwrap_or(rule.end()), jitter.unwrap_or(rule.jitter()))?);
            // The rule was made of what was read: nobody may have changed it meanwhile.
            change.if_version = change.if_version.or(Some(before.version));
        }
        self.has_caught_up().await;
        Ok(self.changes.change_cron(self.namespace.id, before.name, change, self.now()).await??)
    }

    /// Pauses a cron, until somebody resumes it or until the time given. What would come meanwhile does not exist.
    pub async fn pause_cron(&self, name: &str, until: Option<Timestamp>, note: &str) -> Result<Cron, Error> {
        let (name, now) = (Name::parse(name, "name")?, self.now());
        let pause = Pause::new(now, until, note)?;
        self.has_caught_up().await;
        Ok(self.changes.pause_cron(self.namespace.id, name, Some(pause), now).await??)
    }

    /// Lets a cron go on.
    pub async fn resume_cron(&self, name: &str) -> Result<Cron, Error> {
        let name = Name::parse(name, "name")?;
        self.has_caught_up().await;
        Ok(self.changes.pause_cron(self.namespace.id, name, None, self.now()).await??)
    }

    /// Deletes a cron and its runs that have not triggered.
    pub async fn delete_cron(&self, name: &str) -> Result<(), Error> {
        let name = Name::parse(name, "name")?;
        self.has_caught_up().await;
        Ok(self.changes.delete_cron(self.namespace.id, name, self.now()).await??)
    }

    /// Makes a run of a cron at once, beside the planned ones.
    pub async fn trigger_cron(&self, name: &str) -> Result<RunId, Error> {
        let name = Name::parse(name, "name")?;
        self.has_caught_up().await;
        Ok(self.changes.trigger_cron(self.namespace.id, name, self.now()).await??)
    }

    /// Makes the runs of a past range of a cron, due at once, except those that were made before.
    pub async fn backfill_cron(&self, name: &str, from: Timestamp, until: Timestamp, dry_run: bool) -> Result<Backfill, Error> {
        let cron = self.get_cron(name).await?;
        let now = self.now();
        let rule = cron.spec.rule;
        let planned = self.core.long.run(self.namespace.id, move || rule.past(from, until, now)).await??;
        let mut made = 0;
        if !dry_run {
            let count = planned.len();
            let room = self.read(move |storage, namespace, now| storage.has_room(namespace, count, now)).await?;
            room.map_err(|max| Error::Quota(format!("{max} runs may wait in this namespace; delete some, or choose a shorter range")))?;
            self.has_caught_up().await;
            for slice in planned.chunks(BACKFILL_SLICE) {
                made += self.changes.backfill_cron(self.namespace.id, cron.name.clone(), slice.to_vec(), now).await??;
            }
        }
        Ok(Backfill { planned, made })
    }

    /// The next planned times of a cron, with what the clocks do to them: at most 500.
    pub async fn next_of_cron(&self, name: &str, count: usize) -> Result<Vec<Occurrence>, Error> {
        let (cron, now) = (self.get_cron(name).await?, self.now());
        // Of a rule that fires rarely, each of them takes some milliseconds to find.
        Ok(self.core.long.run(self.namespace.id, move || cron.next(now, count.min(PAGE_SIZE_MAX))).await?)
    }
}

/// The cron as it stands now: a pause that has ended is none.
fn as_of(mut cron: Cron, now: Timestamp) -> Cron {
    cron.pause = cron.pause.filter(|pause| pause.holds(now));
    cron
}

/// The next planned times of a rule later than `after`, at most 500.
pub fn next(rule: &CronRule, after: Timestamp, count: usize) -> Vec<Occurrence> {
    let planned = rule.occurrences(after, Timestamp::MAX, count.min(PAGE_SIZE_MAX));
    planned.into_iter().map(|at| rule.occurrence(at)).collect()
}
