//! What a guest may ask for about crons during one attempt.
//!
//! Each write is checked at once against what is stored and what the attempt wrote before; the attempt's outcome commits it.

use std::collections::{BTreeMap, BTreeSet};

use super::guest_calls::{GuestCalls, unavailable};
use crate::executor::{CallError, CronCalls, ScheduleRequest};
use crate::model::limits::WRITES_PER_ATTEMPT_MAX;
use crate::model::{Cron, CronFilter, CronOccurrence, CronSettings, CronSpec, Due, Name, NewRun, Origin, Pause, RunId, Timestamp, Write};

/// The crons that an attempt's writes concern, as it sees them; `None` for one that it deleted.
pub(super) type OwnCrons = BTreeMap<Name, Option<Cron>>;

impl GuestCalls {
    fn find_cron(&self, name: &Name) -> Result<Option<Cron>, CallError> {
        if let Some(own) = self.own_crons.get(name) {
            return Ok(own.clone());
        }
        let now = self.clock.now();
        let stored = self.storage.cron(self.namespace, name).map_err(unavailable)?;
        Ok(stored.map(|cron| Cron { pause: cron.pause.filter(|pause| pause.holds(now)), ..cron }))
    }

    /// The cron, if others than its component's code may change it.
    fn changeable_cron(&self, name: &Name) -> Result<Cron, CallError> {
        match self.find_cron(name)? {
            None => Err(CallError::CronNotFound(name.to_string())),
            Some(cron) if cron.origin == Origin::Code => Err(CallError::CronDefinedByCode(name.to_string())),
            Some(cron) => Ok(cron),
        }
    }

    /// Its runs must be runs that its task takes.
    fn check_cron(&self, spec: &CronSpec) -> Result<(), CallError> {
        let task = self.storage.task(self.namespace, spec.task.as_str()).ok_or_else(|| CallError::TaskNotFound(spec.task.to_string()))?;
        task.check_input(&spec.input, "input")?;
        task.check_lane(&spec.input, &spec.metadata).map_err(CallError::from)
    }

    /// Keeps a changed cron as the attempt's reads see it.
    fn see_cron(&mut self, cron: Cron, now: Timestamp) {
        let may_fire = cron.spec.max_count.is_none_or(|count| cron.fired < count);
        let next_at = cron.fires_after(now).filter(|_| may_fire).and_then(|after| cron.spec.rule.next_after(after));
        let seen = Cron { next_at, version: cron.version + 1, updated_at: now, ..cron };
        self.own_crons.insert(seen.name.clone(), Some(seen));
    }
}

/// What an occurrence of a cron is scheduled with: as the cron says, at once.
fn occurrence_of(cron: &Cron) -> ScheduleRequest {
    ScheduleRequest {
        task: cron.spec.task.clone(),
        due: Due::Now,
        input: cron.spec.input.clone(),
        metadata: cron.spec.metadata.clone(),
        unique_key: None,
        max_attempts: None,
        timeout: None,
        priority: cron.spec.priority,
    }
}

impl GuestCalls {
    /// Schedules a run of a cron: a follow-up of this attempt, which counts as one.
    fn occur(&mut self, cron: &Cron, planned_at: Option<Timestamp>, now: Timestamp) -> Result<RunId, CallError> {
        let run = self.new_run(occurrence_of(cron), now)?;
        let occurrence = Some(CronOccurrence { cron: Some(cron.name.clone()), planned_at, skipped: None });
        self.follow_up(NewRun { occurrence, ..run }, now)
    }

    /// The planned times of the cron for which this attempt has made runs.
    fn own_occurrences(&self, cron: &Name) -> impl Iterator<Item = Timestamp> {
        self.writes().iter().filter_map(move |write| match write {
            Write::Schedule(run) => run
                .occurrence
                .as_ref()
                .filter(|occurrence| occurrence.cron.as_ref() == Some(cron))
                .and_then(|occurrence| occurrence.planned_at),
            _ => None,
        })
    }
}

impl CronCalls for GuestCalls {
    fn create_cron(&mut self, name: Name, task: Name, settings: CronSettings) -> Result<(), CallError> {
        let now = self.clock.now();
        let spec = settings.create(task, now, &self.storage.zones().current())?;
        self.check_cron(&spec)?;
        if self.find_cron(&name)?.is_some() {
            return Err(CallError::CronExists(name.to_string()));
        }
        self.push(Write::CreateCron(name.clone(), Box::new(spec.clone())))?;
        let (origin, pause, next_at) = (Origin::Guest, None, None);
        self.see_cron(Cron { name, spec, origin, pause, next_at, fired: 0, version: 0, created_at: now, updated_at: now }, now);
        Ok(())
    }

    fn cron(&mut self, name: &Name) -> Result<Cron, CallError> {
        self.find_cron(name)?.ok_or_else(|| CallError::CronNotFound(name.to_string()))
    }

    fn crons(&mut self, filter: &CronFilter) -> Result<(Vec<Cron>, Option<Name>), CallError> {
        // One more than fits, to know whether the page is the last one.
        let wanted = filter.limit + 1;
        let mut asked = CronFilter { limit: wanted, ..filter.clone() };
        let mut crons: Vec<Cron> = Vec::new();
        loop {
            let stored = self.storage.crons(self.namespace, &asked, self.clock.now()).map_err(unavailable)?;
            let is_whole = stored.len() < wanted;
            asked.after = stored.last().map(|cron| cron.name.clone());
            crons.extend(stored.into_iter().filter(|cron| !self.own_crons.contains_key(&cron.name)));
            if is_whole || crons.len() >= wanted {
                break;
            }
        }
        // What the attempt put beyond a full page belongs to a later one.
        let end = (crons.len() >= wanted).then(|| crons.last().map(|cron| cron.name.clone())).flatten();
        let own = self.own_crons.values().flatten().filter(|cron| {
            filter.task.as_ref().is_none_or(|task| cron.spec.task == *task)
                && filter.after.as_ref().is_none_or(|after| cron.name > *after)
                && end.as_ref().is_none_or(|end| cron.name <= *end)
        });
        crons.extend(own.cloned());
        crons.sort_by(|a, b| a.name.cmp(&b.name));
        let is_last = crons.len() <= filter.limit;
        crons.truncate(filter.limit);
        let next = crons.last().map(|cron| cron.name.clone()).filter(|_| !is_last);
        Ok((crons, next))
    }

    fn update_cron(&mut self, name: &Name, settings: CronSettings) -> Result<(), CallError> {
        let now = self.clock.now();
        let cron = self.changeable_cron(name)?;
        let change = settings.change(&cron.spec, cron.version, now, &self.storage.zones().current())?;
        self.check_cron(&cron.spec.clone().with(change.clone()))?;
        self.push(Write::ChangeCron(name.clone(), Box::new(change.clone())))?;
        self.see_cron(Cron { spec: cron.spec.clone().with(change), ..cron }, now);
        Ok(())
    }

    fn pause_cron(&mut self, name: &Name, until: Option<Timestamp>, note: &str) -> Result<(), CallError> {
        let now = self.clock.now();
        let pause = Pause::new(now, until, note)?;
        let cron = self.cron(name)?;
        let pause = Some(pause.in_place_of(cron.pause.as_ref(), now));
        self.push(Write::PauseCron(name.clone(), pause.clone()))?;
        self.see_cron(Cron { pause, ..cron }, now);
        Ok(())
    }

    fn resume_cron(&mut self, name: &Name) -> Result<(), CallError> {
        let cron = self.cron(name)?;
        self.push(Write::PauseCron(name.clone(), None))?;
        self.see_cron(Cron { pause: None, ..cron }, self.clock.now());
        Ok(())
    }

    fn delete_cron(&mut self, name: &Name) -> Result<(), CallError> {
        self.changeable_cron(name)?;
        self.push(Write::DeleteCron(name.clone()))?;
        self.own_crons.insert(name.clone(), None);
        Ok(())
    }

    fn trigger_cron(&mut self, name: &Name) -> Result<RunId, CallError> {
        let cron = self.cron(name)?;
        self.occur(&cron, None, self.clock.now())
    }

    fn backfill_cron(&mut self, name: &Name, from: Timestamp, until: Timestamp) -> Result<u32, CallError> {
        let (cron, now) = (self.cron(name)?, self.clock.now());
        let mut planned = cron.spec.rule.past(from, until, now)?;
        let made = self.storage.made(self.namespace, name, from, until).map_err(unavailable)?;
        let made: BTreeSet<_> = made.into_iter().chain(self.own_occurrences(name)).collect();
        planned.retain(|planned| !made.contains(planned));
        let room = self.writes().room();
        if planned.len() > room {
            let asked = (WRITES_PER_ATTEMPT_MAX - room + planned.len()) as u64;
            return Err(CallError::Limit { limit: "writes-per-attempt", max: WRITES_PER_ATTEMPT_MAX as u64, asked });
        }
        for planned in &planned {
            self.occur(&cron, Some(*planned), now)?;
        }
        Ok(planned.len() as u32)
    }
}
