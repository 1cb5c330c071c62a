//! What a guest may ask for about crons during one attempt.
//!
//! Each write is checked at once against what is stored and what the attempt wrote before; the attempt's outcome commits it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::guest_calls::{GuestCalls, unavailable};
use crate::executor::{CallError, CronCalls, ScheduleRequest};
use crate::model::limits::{PAYLOAD_BYTES_MAX, WRITES_PER_ATTEMPT_MAX};
use crate::model::{
    Cron, CronFilter, CronOccurrence, CronSettings, CronSpec, Due, Name, NewRun, Occurrence, Origin, Pause, Payload, RunId, Task,
    Timestamp, Write,
};

/// Bytes of inputs after which a page of crons ends early.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Crons that are read at once: with the longest inputs, twice the bytes of a page.
const READ_AT_ONCE: usize = 2 * PAGE_BYTES_MAX / PAYLOAD_BYTES_MAX;

/// The crons that an attempt's writes concern, as it sees them; `None` for one that it deleted.
pub(super) type OwnCrons = BTreeMap<Name, Option<OwnCron>>;

/// One of them.
#[derive(Clone)]
pub(super) struct OwnCron {
    /// Of a stored cron whose input the attempt did not change, without that input: the inputs of all crons that an attempt touches could fill the
    /// memory of the host.
    seen: Cron,
    has_input: bool,
}

impl GuestCalls {
    fn find_cron(&self, name: &Name) -> Result<Option<Cron>, CallError> {
        match self.own_crons.get(name) {
            Some(None) => Ok(None),
            Some(Some(own)) => self.with_input(own).map(Some),
            None => self.stored_cron(name),
        }
    }

    fn with_input(&self, own: &OwnCron) -> Result<Cron, CallError> {
        let mut cron = own.seen.clone();
        if !own.has_input
            // One that was deleted meanwhile has none; the commit will find the conflict.
            && let Some(stored) = self.stored_cron(&cron.name)?
        {
            cron.spec.input = stored.spec.input;
        }
        Ok(cron)
    }

    fn stored_cron(&self, name: &Name) -> Result<Option<Cron>, CallError> {
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
    async fn check_cron(&self, spec: &CronSpec) -> Result<(), CallError> {
        let task = self.task_for(&spec.task, &spec.input).await?;
        task.check_lane(&spec.input, &spec.metadata).map_err(CallError::from)
    }

    /// Keeps a changed cron as the attempt's reads see it. `new_input`: its input is part of this write.
    fn see_cron(&mut self, cron: Cron, new_input: bool, now: Timestamp) {
        let may_fire = cron.spec.max_count.is_none_or(|count| cron.fired < count);
        let next_at = cron.fires_after(now).filter(|_| may_fire).and_then(|after| cron.spec.rule.next_after(after));
        let mut seen = Cron { next_at, version: cron.version + 1, updated_at: now, ..cron };
        let has_input = new_input || matches!(self.own_crons.get(&seen.name), Some(Some(own)) if own.has_input);
        if !has_input {
            seen.spec.input = Payload::null();
        }
        self.own_crons.insert(seen.name.clone(), Some(OwnCron { seen, has_input }));
    }
}

/// Bytes that a cron adds to a page.
fn size(cron: &Cron) -> usize {
    cron.spec.input.bytes().len()
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
    async fn occur(&mut self, task: Arc<Task>, cron: &Cron, planned_at: Option<Timestamp>, now: Timestamp) -> Result<RunId, CallError> {
        let run = self.new_run(task, occurrence_of(cron), now)?;
        let occurrence = Some(CronOccurrence { cron: Some(cron.name.clone()), planned_at, skipped: None });
        self.follow_up(NewRun { occurrence, ..run }, now).await
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

#[async_trait]
impl CronCalls for GuestCalls {
    async fn create_cron(&mut self, name: Name, task: Name, settings: CronSettings) -> Result<(), CallError> {
        let now = self.clock.now();
        let spec = settings.create(task, now, &self.storage.zones().current())?;
        self.check_cron(&spec).await?;
        if self.find_cron(&name)?.is_some() {
            return Err(CallError::CronExists(name.to_string()));
        }
        self.push(Write::CreateCron(name.clone(), Box::new(spec.clone())))?;
        let (origin, pause, next_at) = (Origin::Guest, None, None);
        self.see_cron(Cron { name, spec, origin, pause, next_at, fired: 0, version: 0, created_at: now, updated_at: now }, true, now);
        Ok(())
    }

    fn cron(&mut self, name: &Name) -> Result<Cron, CallError> {
        self.find_cron(name)?.ok_or_else(|| CallError::CronNotFound(name.to_string()))
    }

    async fn crons(&mut self, filter: &CronFilter) -> Result<(Vec<Cron>, Option<Name>), CallError> {
        // One more than fits, to know whether the page is the last one.
        let wanted = filter.limit + 1;
        let mut asked = CronFilter { limit: wanted.min(READ_AT_ONCE), ..filter.clone() };
        let (mut crons, mut bytes): (Vec<Cron>, usize) = (Vec::new(), 0);
        let is_whole = loop {
            let page = asked.clone();
            let stored = self.read(move |storage, namespace, now| storage.crons(namespace, &page, now)).await?;
            // A page of storage may end early, because its inputs are large.
            let is_whole = stored.is_empty();
            asked.after = stored.last().map(|cron| cron.name.clone());
            crons.extend(stored.into_iter().filter(|cron| !self.own_crons.contains_key(&cron.name)).inspect(|cron| bytes += size(cron)));
            if is_whole || crons.len() >= wanted || bytes > PAGE_BYTES_MAX {
                break is_whole;
            }
        };
        // Storage has shown everything up to here: what the attempt put beyond it belongs to a later page.
        let end = if is_whole { None } else { asked.after };
        let own = self.own_crons.values().flatten().filter(|own| {
            let cron = &own.seen;
            filter.task.as_ref().is_none_or(|task| cron.spec.task == *task)
                && filter.after.as_ref().is_none_or(|after| cron.name > *after)
                && end.as_ref().is_none_or(|end| cron.name <= *end)
        });
        crons.extend(own.map(|own| own.seen.clone()));
        crons.sort_by(|a, b| a.name.cmp(&b.name));
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut rest = crons.into_iter();
        while page.len() < filter.limit && bytes <= PAGE_BYTES_MAX {
            let Some(cron) = rest.next() else { break };
            let cron = match self.own_crons.get(&cron.name) {
                Some(Some(own)) => self.with_input(own)?,
                _ => cron,
            };
            bytes += size(&cron);
            page.push(cron);
        }
        let is_last = rest.next().is_none() && end.is_none();
        let next = page.last().map(|cron| cron.name.clone()).filter(|_| !is_last);
        Ok((page, next))
    }

    async fn next_of_cron(&mut self, name: &Name, count: usize) -> Result<Vec<Occurrence>, CallError> {
        let (cron, now) = (self.cron(name)?, self.clock.now());
        // Of a rule that fires rarely, each of them takes some milliseconds to find.
        self.compute(move || cron.next(now, count)).await
    }

    async fn update_cron(&mut self, name: &Name, settings: CronSettings) -> Result<(), CallError> {
        let now = self.clock.now();
        let cron = self.changeable_cron(name)?;
        let new_input = settings.input.is_some();
        let change = settings.change(&cron.spec, cron.version, now, &self.storage.zones().current())?;
        self.check_cron(&cron.spec.clone().with(change.clone())).await?;
        self.push(Write::ChangeCron(name.clone(), Box::new(change.clone())))?;
        self.see_cron(Cron { spec: cron.spec.clone().with(change), ..cron }, new_input, now);
        Ok(())
    }

    fn pause_cron(&mut self, name: &Name, until: Option<Timestamp>, note: &str) -> Result<(), CallError> {
        let now = self.clock.now();
        let pause = Pause::new(now, until, note)?;
        let cron = self.cron(name)?;
        let pause = Some(pause.in_place_of(cron.pause.as_ref(), now));
        self.push(Write::PauseCron(name.clone(), pause.clone()))?;
        self.see_cron(Cron { pause, ..cron }, false, now);
        Ok(())
    }

    fn resume_cron(&mut self, name: &Name) -> Result<(), CallError> {
        let cron = self.cron(name)?;
        self.push(Write::PauseCron(name.clone(), None))?;
        self.see_cron(Cron { pause: None, ..cron }, false, self.clock.now());
        Ok(())
    }

    fn delete_cron(&mut self, name: &Name) -> Result<(), CallError> {
        self.changeable_cron(name)?;
        self.push(Write::DeleteCron(name.clone()))?;
        self.own_crons.insert(name.clone(), None);
        Ok(())
    }

    async fn trigger_cron(&mut self, name: &Name) -> Result<RunId, CallError> {
        let cron = self.cron(name)?;
        let task = self.task_for(&cron.spec.task, &cron.spec.input).await?;
        self.occur(task, &cron, None, self.clock.now()).await
    }

    async fn backfill_cron(&mut self, name: &Name, from: Timestamp, until: Timestamp) -> Result<u32, CallError> {
        let (cron, now) = (self.cron(name)?, self.clock.now());
        let rule = cron.spec.rule.clone();
        let mut planned = self.compute(move || rule.past(from, until, now)).await??;
        let wanted = name.clone();
        let made = self.read(move |storage, namespace, _| storage.made(namespace, &wanted, from, until)).await?;
        let made: BTreeSet<_> = made.into_iter().chain(self.own_occurrences(name)).collect();
        planned.retain(|planned| !made.contains(planned));
        let room = self.writes().room();
        if planned.len() > room {
            let asked = (WRITES_PER_ATTEMPT_MAX - room + planned.len()) as u64;
            return Err(CallError::Limit { limit: "writes-per-attempt", max: WRITES_PER_ATTEMPT_MAX as u64, asked });
        }
        let task = self.task_for(&cron.spec.task, &cron.spec.input).await?;
        for planned in &planned {
            self.occur(task.clone(), &cron, Some(*planned), now).await?;
        }
        Ok(planned.len() as u32)
    }
}
