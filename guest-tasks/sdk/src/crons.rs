//! Crons: rules that make runs again and again. Needs the grant `crons`.
//!
//! `cron("nightly").expression("0 2 * * *").create("report")?` commits with this attempt, and so does everything else here.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::policy::{CatchUp, MissedPolicy};
use crate::seam::{CronView, Here, Host, NewCron};
use crate::time::{Duration, Instant};
use crate::values::{Origin, RunId};

/// Crons that [`list`] asks for at once.
const PAGE_SIZE: u32 = 100;

/// Begins to make, or to change, the cron of this name.
pub fn cron(name: &str) -> Setting {
    Setting { name: name.to_owned(), cron: NewCron::default(), wrong: None }
}

/// What is said of a cron. Nothing happens until it is created or updated.
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it is created or updated: `.create(\"task\")?`"]
pub struct Setting {
    name: String,
    cron: NewCron,
    wrong: Option<Error>,
}

impl Setting {
    /// The rule: five or six fields, a nickname such as `@daily`, or `@every 90s`.
    pub fn expression(mut self, expression: &str) -> Self {
        self.cron.expression = Some(expression.to_owned());
        self
    }

    /// The IANA time zone whose clocks it goes by. A new cron goes by UTC unless it is said.
    pub fn timezone(mut self, name: &str) -> Self {
        self.cron.timezone = Some(name.to_owned());
        self
    }

    /// It does not fire before this, and an interval counts from here.
    pub fn start(mut self, at: Instant) -> Self {
        self.cron.start = Some(at);
        self
    }

    /// It fires before this only.
    pub fn end(mut self, at: Instant) -> Self {
        self.cron.end = Some(Some(at));
        self
    }

    /// It has no end any more.
    pub fn lift_end(mut self) -> Self {
        self.cron.end = Some(None);
        self
    }

    /// It fires so often and no more.
    pub fn max_count(mut self, count: u32) -> Self {
        self.cron.max_count = Some(Some(count));
        self
    }

    /// It fires as often as its rule says again.
    pub fn lift_max_count(mut self) -> Self {
        self.cron.max_count = Some(None);
        self
    }

    /// Spreads its runs evenly over this span behind their planned times: at most 24 h.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.cron.jitter = Some(jitter);
        self
    }

    /// What each run is given.
    pub fn input(mut self, input: &impl Serialize) -> Self {
        match serde_json::to_vec(input) {
            Ok(json) => self.cron.input = Some(json),
            Err(error) => self.wrong = Some(Error::invalid("input", error)),
        }
        self
    }

    /// Adds one entry of additional metadata to each run. Of a cron that there is, what is said replaces all there was.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.cron.metadata.get_or_insert_default().push((key.to_owned(), value.to_owned()));
        self
    }

    /// Its runs have no additional metadata any more.
    pub fn lift_metadata(mut self) -> Self {
        self.cron.metadata = Some(Vec::new());
        self
    }

    /// The priority of its runs, 1 to 3, instead of the task's.
    pub fn priority(mut self, priority: u8) -> Self {
        self.cron.priority = Some(Some(priority));
        self
    }

    /// The priority of its runs is the task's again.
    pub fn lift_priority(mut self) -> Self {
        self.cron.priority = Some(None);
        self
    }

    /// Which of the occurrences run that pass while no host is running, of at most how long ago, and at most how many.
    pub fn missed(mut self, which: CatchUp, window: Option<Duration>, max: Option<u32>) -> Self {
        self.cron.missed = Some(Some((which, window, max)));
        self
    }

    /// What becomes of missed occurrences is as the task says again.
    pub fn lift_missed(mut self) -> Self {
        self.cron.missed = Some(None);
        self
    }

    /// Makes the cron, which runs this task. Fails with [`Error::CronExists`] if there is one of its name.
    pub fn create(self, task: &str) -> Result<(), Error> {
        match self.wrong {
            Some(error) => Err(error),
            None => Here::create_cron(&self.name, task, &self.cron),
        }
    }

    /// Changes what is said, takes back what is lifted, and leaves the rest.
    pub fn update(self) -> Result<(), Error> {
        match self.wrong {
            Some(error) => Err(error),
            None => Here::update_cron(&self.name, &self.cron),
        }
    }
}

/// A cron as it stood when it was read.
// `CronView::` throughout: the bindings' own type has methods of the same names, in its own types.
#[derive(Debug)]
pub struct Cron(<Here as Host>::CronView);

impl Cron {
    /// Its name.
    pub fn name(&self) -> String {
        CronView::name(&self.0)
    }

    /// The task that each of its runs executes.
    pub fn task(&self) -> String {
        CronView::task(&self.0)
    }

    /// Its rule.
    pub fn expression(&self) -> String {
        CronView::expression(&self.0)
    }

    /// The time zone whose clocks it goes by.
    pub fn timezone(&self) -> String {
        CronView::timezone(&self.0)
    }

    /// It does not fire before this, and an interval counts from here.
    pub fn start(&self) -> Instant {
        CronView::start(&self.0)
    }

    /// It fires before this only; none if it has no end.
    pub fn end(&self) -> Option<Instant> {
        CronView::end(&self.0)
    }

    /// Its runs are spread evenly over this span behind their planned times.
    pub fn jitter(&self) -> Duration {
        CronView::jitter(&self.0)
    }

    /// It fires so often and no more; none if there is no limit.
    pub fn max_count(&self) -> Option<u32> {
        CronView::max_count(&self.0)
    }

    /// The priority of its runs; none if it is the task's.
    pub fn priority(&self) -> Option<u8> {
        CronView::priority(&self.0)
    }

    /// Its own policy for missed occurrences; none if it is the task's. Fails with [`Error::Other`] if it is one that this version does not name.
    pub fn missed(&self) -> Result<Option<MissedPolicy>, Error> {
        CronView::missed(&self.0)
    }

    /// Its next planned time; none while it is paused without an end, and when it will not fire any more.
    pub fn next_at(&self) -> Option<Instant> {
        CronView::next_at(&self.0)
    }

    /// How often it has fired.
    pub fn fired(&self) -> u32 {
        CronView::fired(&self.0)
    }

    /// The note that was left when it was paused; none if it is not.
    pub fn paused(&self) -> Option<String> {
        CronView::paused(&self.0)
    }

    /// When its pause ends by itself; none if it is not paused, and if it is until somebody resumes it.
    pub fn paused_until(&self) -> Option<Instant> {
        CronView::paused_until(&self.0)
    }

    /// Rises with every change of it.
    pub fn version(&self) -> u32 {
        CronView::version(&self.0)
    }

    /// Who made it.
    pub fn origin(&self) -> Origin {
        CronView::origin(&self.0)
    }

    /// What each run is given.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&CronView::input(&self.0)).map_err(|error| Error::invalid("input", error))
    }

    /// The additional metadata of each run, in order of key.
    pub fn metadata(&self) -> Vec<(String, String)> {
        CronView::metadata(&self.0)
    }
}

/// Reads one cron.
pub fn get(name: &str) -> Result<Cron, Error> {
    Here::cron(name).map(Cron)
}

/// The crons of a task, or all, in order of name.
pub fn list(task: Option<&str>) -> Result<Vec<Cron>, Error> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (crons, next) = Here::crons(task, PAGE_SIZE, cursor.as_deref())?;
        all.extend(crons.into_iter().map(Cron));
        cursor = next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// Pauses a cron until it is resumed, or until this time. What would come meanwhile does not exist.
pub fn pause(name: &str, until: Option<Instant>, note: &str) -> Result<(), Error> {
    Here::pause_cron(name, until, note)
}

/// Lets a paused cron go on.
pub fn resume(name: &str) -> Result<(), Error> {
    Here::resume_cron(name)
}

/// Deletes a cron and its runs that have not triggered. Refused for crons that a component's code declares.
pub fn delete(name: &str) -> Result<(), Error> {
    Here::delete_cron(name)
}

/// The next planned times of a cron, 1 to 500 of them, as its pause lets it fire. The fake host knows none: what an expression means, the
/// real one knows.
pub fn next(name: &str, count: u32) -> Result<Vec<Instant>, Error> {
    Here::next_of_cron(name, count)
}

/// Makes a run of a cron at once, beside the planned ones: a follow-up of this run.
pub fn trigger(name: &str) -> Result<RunId, Error> {
    Here::trigger_cron(name)
}

/// Makes the runs of a past range of a cron, both ends included, that were never made, due at once. Returns how many. They are follow-ups of
/// this run; more than an attempt may write are refused, all together. The fake host knows no planned times, and makes none.
pub fn backfill(name: &str, from: Instant, until: Instant) -> Result<u32, Error> {
    Here::backfill_cron(name, from, until)
}
