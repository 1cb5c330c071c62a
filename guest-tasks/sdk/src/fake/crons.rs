//! The crons of the fake scheduler: kept, changed and taken back, and never fired.

use crate::error::Error;
use crate::policy::MissedPolicy;
use crate::seam::{CronView, NewCron};
use crate::time::{Duration, Instant, hours};
use crate::values::Origin;

use super::State;

/// One cron of the fake scheduler.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FakeCron {
    pub(crate) name: String,
    pub(crate) task: String,
    pub(crate) cron: NewCron,
    pub(crate) paused: Option<(Option<Instant>, String)>,
    pub(crate) origin: Origin,
    pub(crate) created_at: Instant,
    pub(crate) version: u32,
}

impl State {
    pub(super) fn create_cron(&mut self, name: &str, task: &str, cron: &NewCron) -> Result<(), Error> {
        self.registered(task)?;
        if self.writes.crons.contains_key(name) {
            return Err(Error::CronExists(name.to_owned()));
        }
        // What an expression means, the host knows.
        if cron.expression.as_ref().is_none_or(|expression| expression.trim().is_empty()) {
            return Err(Error::invalid("expression", "a cron needs one, for example `0 9 * * 1-5`"));
        }
        let (name, task) = (name.to_owned(), task.to_owned());
        let (origin, created_at) = (Origin::Guest, self.now);
        let made = FakeCron { name: name.clone(), task, cron: cron.clone(), paused: None, origin, created_at, version: 1 };
        self.writes.crons.insert(name, made);
        Ok(())
    }

    pub(super) fn cron(&mut self, name: &str) -> Result<&mut FakeCron, Error> {
        self.writes.crons.get_mut(name).ok_or_else(|| Error::CronNotFound(name.to_owned()))
    }

    fn changeable_cron(&mut self, name: &str) -> Result<&mut FakeCron, Error> {
        match self.cron(name)? {
            cron if cron.origin == Origin::Code => Err(Error::CronDefinedByCode(name.to_owned())),
            cron => Ok(cron),
        }
    }

    pub(super) fn update_cron(&mut self, name: &str, change: &NewCron) -> Result<(), Error> {
        let cron = self.changeable_cron(name)?;
        cron.version += 1;
        let cron = &mut cron.cron;
        let change = change.clone();
        *cron = NewCron {
            expression: change.expression.or(cron.expression.take()),
            timezone: change.timezone.or(cron.timezone.take()),
            start: change.start.or(cron.start),
            end: change.end.or(cron.end),
            max_count: change.max_count.or(cron.max_count),
            jitter: change.jitter.or(cron.jitter),
            input: change.input.or(cron.input.take()),
            metadata: change.metadata.or(cron.metadata.take()),
            priority: change.priority.or(cron.priority),
            missed: change.missed.or(cron.missed),
        };
        Ok(())
    }

    pub(super) fn pause_cron(&mut self, name: &str, pause: Option<(Option<Instant>, String)>) -> Result<(), Error> {
        let cron = self.cron(name)?;
        (cron.paused, cron.version) = (pause, cron.version + 1);
        Ok(())
    }

    pub(super) fn delete_cron(&mut self, name: &str) -> Result<(), Error> {
        self.changeable_cron(name)?;
        self.writes.crons.remove(name);
        Ok(())
    }
}

impl CronView for FakeCron {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn task(&self) -> String {
        self.task.clone()
    }

    fn expression(&self) -> String {
        self.cron.expression.clone().unwrap_or_default()
    }

    fn timezone(&self) -> String {
        self.cron.timezone.clone().unwrap_or_else(|| "UTC".to_owned())
    }

    fn start(&self) -> Instant {
        self.cron.start.unwrap_or(self.created_at)
    }

    fn end(&self) -> Option<Instant> {
        self.cron.end.flatten()
    }

    fn jitter(&self) -> Duration {
        self.cron.jitter.unwrap_or_default()
    }

    fn max_count(&self) -> Option<u32> {
        self.cron.max_count.flatten()
    }

    fn priority(&self) -> Option<u8> {
        self.cron.priority.flatten()
    }

    fn missed(&self) -> Result<Option<MissedPolicy>, Error> {
        let said = self.cron.missed.flatten();
        let policy = said.map(|(catch_up, window, max)| (catch_up, window.unwrap_or(hours(24)), max.unwrap_or(100)));
        Ok(policy.map(|(catch_up, window, max)| MissedPolicy { catch_up, window, max }))
    }

    fn next_at(&self) -> Option<Instant> {
        None
    }

    fn fired(&self) -> u32 {
        0
    }

    fn paused(&self) -> Option<String> {
        self.paused.as_ref().map(|(_, note)| note.clone())
    }

    fn paused_until(&self) -> Option<Instant> {
        self.paused.as_ref().and_then(|(until, _)| *until)
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn input(&self) -> Vec<u8> {
        self.cron.input.clone().unwrap_or_else(|| b"null".to_vec())
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let entries: std::collections::BTreeMap<_, _> = self.cron.metadata.iter().flatten().cloned().collect();
        entries.into_iter().collect()
    }
}
