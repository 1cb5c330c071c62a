//! The fake scheduler of native unit tests: one for each thread, in memory, without time of its own.
//!
//! It holds what the contract says of an attempt: writes are seen by the attempt's own reads, ids are final, and
//! unknown ids are errors. It starts nothing by itself; `testing` is what a test sees of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::runs::{BulkOutcome, Filter, KeyHolder, Order};
use crate::seam::{CronView, Host, NewCron, NewRun, Options, Page, View};
use crate::time::{Duration, Instant, hours, minutes};
use crate::values::{Due, Level, Origin, RunId, Shift, Status, UniqueMode};

mod check;
mod crons;

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

/// Runs that a bulk call by filter names among those that it refused.
const REFUSED_LISTED_MAX: usize = 100;

pub(crate) use crons::FakeCron;

/// One run of the fake scheduler.
#[derive(Clone, Debug)]
pub(crate) struct FakeRun {
    pub(crate) id: RunId,
    pub(crate) task: String,
    pub(crate) input: Vec<u8>,
    pub(crate) output: Option<Vec<u8>>,
    pub(crate) trigger_at: Instant,
    pub(crate) created_at: Instant,
    pub(crate) status: Status,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) attempts: u32,
    pub(crate) origin: Origin,
    pub(crate) parent: Option<RunId>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) unique_key: Option<String>,
    /// How long the unique key is held after the end of the run.
    pub(crate) held_for: Duration,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) priority: Option<u8>,
    pub(crate) detached: bool,
}

impl FakeRun {
    /// Sets its status, and with a final one the time of its end.
    pub(crate) fn set_status(&mut self, status: Status, now: Instant) {
        let is_final = matches!(status, Status::Succeeded | Status::Failed | Status::Cancelled | Status::Missed);
        (self.status, self.ended_at) = (status, is_final.then_some(now));
    }

    /// Whether it ended before its first attempt, and so does not hold its unique key.
    fn never_came(&self) -> bool {
        matches!(self.status, Status::Cancelled | Status::Missed) && self.attempts == 0
    }

    /// When its unique key becomes free; `None` if it has not ended.
    fn held_until(&self) -> Option<Instant> {
        self.ended_at.map(|at| at + self.held_for)
    }

    /// Whether it holds this unique key.
    fn holds(&self, key: &str, now: Instant) -> bool {
        self.unique_key.as_deref() == Some(key) && !self.never_came() && self.held_until().is_none_or(|until| now < until)
    }
}

/// What writes change, and a failed attempt takes back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    pub(crate) runs: BTreeMap<RunId, FakeRun>,
    pub(crate) moved: Vec<(RunId, Instant)>,
    pub(crate) deleted: Vec<RunId>,
    pub(crate) cancelled: Vec<RunId>,
    pub(crate) triggered: Vec<RunId>,
    pub(crate) crons: BTreeMap<String, FakeCron>,
    pub(crate) pauses: BTreeMap<String, (Option<Instant>, String)>,
}

/// Everything of one fake scheduler, and the attempt that it plays.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) writes: Writes,
    pub(crate) tasks: Option<BTreeSet<String>>,
    pub(crate) runs_made: u32,
    pub(crate) now: Instant,
    pub(crate) id: RunId,
    pub(crate) task: String,
    pub(crate) attempt: u32,
    pub(crate) trigger_at: Option<Instant>,
    pub(crate) timeout: Duration,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) origin: Origin,
    pub(crate) parent: Option<RunId>,
    pub(crate) is_cancelled: bool,
    pub(crate) progress: Vec<(u64, u64, String)>,
    pub(crate) log: Vec<(Level, String)>,
}

impl State {
    pub(crate) fn new() -> Self {
        State {
            writes: Writes::default(),
            tasks: None,
            runs_made: 0,
            now: Instant::from_unix(1_767_225_600, 0),
            id: RunId::from("01900000-0000-7000-8000-000000000000"),
            task: "task".to_owned(),
            attempt: 1,
            trigger_at: None,
            timeout: minutes(1),
            metadata: BTreeMap::new(),
            origin: Origin::Api,
            parent: None,
            is_cancelled: false,
            progress: Vec::new(),
            log: Vec::new(),
        }
    }

    fn moment(&self, due: Due) -> Instant {
        match due {
            Due::Now => self.now,
            Due::At(at) => at.max(self.now),
            Due::After(delay) => self.now + delay,
        }
    }

    fn registered(&self, task: &str) -> Result<(), Error> {
        let is_unknown = self.tasks.as_ref().is_some_and(|tasks| !tasks.contains(task));
        if is_unknown { Err(Error::TaskNotFound(task.to_owned())) } else { Ok(()) }
    }

    fn pause_task(&mut self, task: &str, until: Option<Instant>, note: &str) -> Result<(), Error> {
        check::pause(self.now, until, note)?;
        self.registered(task)?;
        self.writes.pauses.insert(task.to_owned(), (until, note.to_owned()));
        Ok(())
    }

    fn schedule(&mut self, new: &NewRun, detached: bool) -> Result<RunId, Error> {
        check::run(new)?;
        self.registered(&new.task)?;
        let mut metadata: Vec<_> = new.options.metadata.iter().cloned().collect::<BTreeMap<_, _>>().into_iter().collect();
        metadata.sort();
        if let Some(key) = &new.options.unique_key
            && let Some(first) = self.holder(key).cloned()
        {
            let same = first.task == new.task && first.input == new.input && first.metadata == metadata;
            let waits = first.task == new.task && self.scheduled(&first.id).is_ok();
            match new.options.unique {
                UniqueMode::Existing if same => return Ok(first.id),
                UniqueMode::Replace if waits => self.delete(&first.id)?,
                UniqueMode::Debounce { wait, max_wait } if waits => {
                    let trigger_at = (self.now + wait).min(first.created_at + max_wait).max(self.now);
                    let put_off = FakeRun { input: new.input.clone(), metadata, trigger_at, ..first };
                    let id = put_off.id.clone();
                    self.writes.runs.insert(id.clone(), put_off);
                    return Ok(id);
                }
                // It has triggered, and holds its key no longer.
                UniqueMode::Debounce { .. } if first.task == new.task => {
                    self.writes.runs.entry(first.id).and_modify(|run| run.unique_key = None);
                }
                _ => return Err(Error::UniqueKeyTaken(first.id)),
            }
        }
        self.runs_made += 1;
        let id = RunId::from(format!("01900000-0000-7000-8000-{:012x}", self.runs_made));
        let run = FakeRun {
            id: id.clone(),
            task: new.task.clone(),
            input: new.input.clone(),
            output: None,
            trigger_at: match new.options.unique {
                UniqueMode::Debounce { wait, .. } => self.now + wait,
                _ => self.moment(new.due),
            },
            created_at: self.now,
            status: Status::Scheduled,
            ended_at: None,
            attempts: 0,
            origin: Origin::Guest,
            parent: Some(self.id.clone()),
            metadata,
            unique_key: new.options.unique_key.clone(),
            held_for: match new.options.unique {
                UniqueMode::Debounce { .. } => Duration::from_nanos(0),
                _ => new.options.held_for.unwrap_or(hours(24)),
            },
            max_attempts: new.options.max_attempts,
            timeout: new.options.timeout,
            priority: new.options.priority,
            detached,
        };
        self.writes.runs.insert(id.clone(), run);
        Ok(id)
    }

    /// The run that holds this unique key.
    fn holder(&self, key: &str) -> Option<&FakeRun> {
        self.writes.runs.values().find(|run| run.holds(key, self.now))
    }

    fn scheduled(&self, id: &RunId) -> Result<&FakeRun, Error> {
        match self.writes.runs.get(id) {
            None => Err(Error::RunNotFound(id.clone())),
            Some(run) if run.origin == Origin::Code => Err(Error::DefinedByCode(id.clone())),
            Some(run) if run.status != Status::Scheduled => Err(Error::AlreadyTriggered(id.clone())),
            Some(run) => Ok(run),
        }
    }

    fn delete(&mut self, id: &RunId) -> Result<(), Error> {
        self.scheduled(id)?;
        self.writes.runs.remove(id);
        self.writes.deleted.push(id.clone());
        Ok(())
    }

    fn reschedule(&mut self, id: &RunId, due: Due) -> Result<(), Error> {
        self.scheduled(id)?;
        self.move_to(id, self.moment(due));
        Ok(())
    }

    fn shift(&mut self, id: &RunId, by: Shift) -> Result<(), Error> {
        let from = self.scheduled(id)?.trigger_at;
        let to = match by {
            Shift::Later(span) => from + span,
            Shift::Earlier(span) => from - span,
        };
        if !(0..=LAST_SECOND).contains(&to.unix_seconds()) {
            return Err(Error::invalid("by", format!("run {id} can't be moved out of the years 1970 to 9999")));
        }
        self.move_to(id, to);
        Ok(())
    }

    fn move_to(&mut self, id: &RunId, at: Instant) {
        if let Some(run) = self.writes.runs.get_mut(id) {
            run.trigger_at = at;
        }
        self.writes.moved.push((id.clone(), at));
    }

    fn cancel(&mut self, id: &RunId) -> Result<(), Error> {
        let now = self.now;
        let run = self.writes.runs.get_mut(id).ok_or_else(|| Error::RunNotFound(id.clone()))?;
        if matches!(run.status, Status::Succeeded | Status::Failed | Status::Cancelled | Status::Missed) {
            return Err(Error::AlreadyEnded(id.clone()));
        }
        run.set_status(Status::Cancelled, now);
        self.writes.cancelled.push(id.clone());
        Ok(())
    }

    fn trigger(&mut self, id: &RunId) -> Result<(), Error> {
        let now = self.now;
        let run = self.writes.runs.get_mut(id).ok_or_else(|| Error::RunNotFound(id.clone()))?;
        match run.status {
            Status::Queued | Status::Running => return Err(Error::AlreadyTriggered(id.clone())),
            Status::Succeeded => return Err(Error::AlreadyEnded(id.clone())),
            _ => {
                run.set_status(Status::Queued, now);
                run.trigger_at = now;
            }
        }
        self.writes.triggered.push(id.clone());
        Ok(())
    }

    fn matching(&self, filter: &Filter) -> impl Iterator<Item = &FakeRun> {
        self.writes.runs.values().filter(|run| {
            (filter.tasks.is_empty() || filter.tasks.contains(&run.task))
                && (filter.statuses.is_empty() || filter.statuses.contains(&run.status))
                && filter.metadata.iter().all(|entry| run.metadata.contains(entry))
                && filter.parent.as_ref().is_none_or(|parent| run.parent.as_ref() == Some(parent))
                && filter.trigger_from.is_none_or(|from| run.trigger_at >= from)
                && filter.trigger_before.is_none_or(|before| run.trigger_at < before)
        })
    }

    /// The runs that a bulk call by filter means, of which some may be refused.
    fn selected(&self, filter: &Filter) -> Result<Vec<RunId>, Error> {
        check::bulk_filter(filter)?;
        Ok(self.matching(filter).map(|run| run.id.clone()).collect())
    }

    /// The same for making them due: without a status, the failed and the missed ones.
    fn selected_to_trigger(&self, filter: &Filter) -> Result<Vec<RunId>, Error> {
        check::bulk_filter(filter)?;
        let wanted = |run: &&FakeRun| !filter.statuses.is_empty() || matches!(run.status, Status::Failed | Status::Missed);
        Ok(self.matching(filter).filter(wanted).map(|run| run.id.clone()).collect())
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::new());
}

/// Looks at, or changes, the fake scheduler of this thread.
pub(crate) fn with<R>(look: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(look)
}

fn bulk<T>(all: impl IntoIterator<Item = T>, mut one: impl FnMut(&T) -> (RunId, Result<(), Error>)) -> BulkOutcome {
    let mut outcome = BulkOutcome::default();
    for item in all {
        match one(&item) {
            (_, Ok(())) => outcome.changed += 1,
            (id, Err(why)) => {
                outcome.refused_total += 1;
                outcome.refused.push((id, why));
            }
        }
    }
    outcome
}

/// The same for the runs that match a filter, of which the first are named.
fn bulk_matching(ids: Vec<RunId>, mut one: impl FnMut(&RunId) -> Result<(), Error>) -> BulkOutcome {
    let mut outcome = bulk(ids, |id| (id.clone(), one(id)));
    outcome.refused.truncate(REFUSED_LISTED_MAX);
    outcome
}

/// Each id once.
fn distinct(ids: &[RunId]) -> Vec<RunId> {
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| seen.insert(*id)).cloned().collect()
}

/// Each move once. One run may not be given two times.
fn distinct_moves(moves: &[(RunId, Due)]) -> Result<Vec<(RunId, Due)>, Error> {
    let mut each: Vec<(RunId, Due)> = Vec::new();
    for (place, (id, due)) in moves.iter().enumerate() {
        match each.iter().find(|(known, _)| known == id) {
            None => each.push((id.clone(), *due)),
            Some((_, before)) if before == due => {}
            Some(_) => {
                return Err(Error::invalid(&format!("moves[{place}]"), "moves the same run to another time; give each run one time"));
            }
        }
    }
    Ok(each)
}

/// The fake scheduler of this thread.
pub(crate) struct Fake;

impl Host for Fake {
    type View = FakeRun;
    type CronView = FakeCron;

    fn schedule(run: &NewRun) -> Result<RunId, Error> {
        with(|state| state.schedule(run, false))
    }

    fn schedule_detached(run: &NewRun, unique_key: &str) -> Result<RunId, Error> {
        let mut run = run.clone();
        run.options.unique_key = Some(unique_key.to_owned());
        with(|state| state.schedule(&run, true))
    }

    fn get(id: &RunId) -> Result<FakeRun, Error> {
        with(|state| state.writes.runs.get(id).cloned().ok_or_else(|| Error::RunNotFound(id.clone())))
    }

    fn find_by_unique_key(key: &str) -> Result<Option<KeyHolder>, Error> {
        check::unique_key(key)?;
        with(|state| {
            Ok(state.holder(key).map(|run| KeyHolder {
                run: run.id.clone(),
                status: run.status.clone(),
                reason: None,
                trigger_at: run.trigger_at,
                ended_at: run.ended_at,
                held_until: run.held_until(),
            }))
        })
    }

    fn list(filter: &Filter, order: Order, size: u32, cursor: Option<&str>) -> Result<Page<FakeRun>, Error> {
        check::page_size(size)?;
        check::filter(filter)?;
        let from = cursor.unwrap_or("0").parse::<usize>().map_err(|_| Error::invalid("cursor", "not one that a list returned"))?;
        let mut runs: Vec<_> = with(|state| state.matching(filter).cloned().collect());
        match order {
            Order::NewestFirst => runs.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id))),
            Order::OldestFirst => runs.sort_by_key(|run| (run.created_at, run.id.clone())),
            Order::TriggerTime => runs.sort_by_key(|run| (run.trigger_at, run.id.clone())),
        }
        let end = from + size as usize;
        let next = (end < runs.len()).then(|| end.to_string());
        Ok((runs.into_iter().skip(from).take(size as usize).collect(), next))
    }

    fn reschedule(id: &RunId, due: Due) -> Result<(), Error> {
        with(|state| state.reschedule(id, due))
    }

    fn delete(id: &RunId) -> Result<(), Error> {
        with(|state| state.delete(id))
    }

    fn cancel(id: &RunId) -> Result<(), Error> {
        with(|state| state.cancel(id))
    }

    fn trigger(id: &RunId) -> Result<(), Error> {
        with(|state| state.trigger(id))
    }

    fn bulk_delete(ids: &[RunId]) -> Result<BulkOutcome, Error> {
        check::bulk("ids", ids.len())?;
        with(|state| Ok(bulk(distinct(ids), |id| (id.clone(), state.delete(id)))))
    }

    fn bulk_delete_matching(filter: &Filter) -> Result<BulkOutcome, Error> {
        with(|state| Ok(bulk_matching(state.selected(filter)?, |id| state.delete(id))))
    }

    fn bulk_reschedule(moves: &[(RunId, Due)]) -> Result<BulkOutcome, Error> {
        check::bulk("moves", moves.len())?;
        let moves = distinct_moves(moves)?;
        with(|state| Ok(bulk(moves, |(id, due)| (id.clone(), state.reschedule(id, *due)))))
    }

    fn bulk_reschedule_matching(filter: &Filter, due: Due) -> Result<BulkOutcome, Error> {
        with(|state| Ok(bulk_matching(state.selected(filter)?, |id| state.reschedule(id, due))))
    }

    fn bulk_shift_matching(filter: &Filter, by: Shift) -> Result<BulkOutcome, Error> {
        with(|state| Ok(bulk_matching(state.selected(filter)?, |id| state.shift(id, by))))
    }

    fn bulk_trigger(ids: &[RunId]) -> Result<BulkOutcome, Error> {
        check::bulk("ids", ids.len())?;
        with(|state| Ok(bulk(distinct(ids), |id| (id.clone(), state.trigger(id)))))
    }

    fn bulk_trigger_matching(filter: &Filter) -> Result<BulkOutcome, Error> {
        with(|state| Ok(bulk_matching(state.selected_to_trigger(filter)?, |id| state.trigger(id))))
    }

    fn create_cron(name: &str, task: &str, cron: &NewCron) -> Result<(), Error> {
        with(|state| state.create_cron(name, task, cron))
    }

    fn cron(name: &str) -> Result<FakeCron, Error> {
        with(|state| state.cron(name).cloned())
    }

    fn crons(task: Option<&str>, size: u32, cursor: Option<&str>) -> Result<Page<FakeCron>, Error> {
        check::page_size(size)?;
        let after = |name: &str| cursor.is_none_or(|cursor| name > cursor);
        let mut crons: Vec<_> = with(|state| {
            let matching = state.writes.crons.values().filter(|cron| task.is_none_or(|task| cron.task == task) && after(&cron.name));
            matching.cloned().collect()
        });
        let more = crons.len() > size as usize;
        crons.truncate(size as usize);
        let next = crons.last().map(|cron| cron.name.clone()).filter(|_| more);
        Ok((crons, next))
    }

    fn update_cron(name: &str, cron: &NewCron) -> Result<(), Error> {
        with(|state| state.update_cron(name, cron))
    }

    fn pause_cron(name: &str, until: Option<Instant>, note: &str) -> Result<(), Error> {
        with(|state| state.pause_cron(name, Some((until, note.to_owned()))))
    }

    fn resume_cron(name: &str) -> Result<(), Error> {
        with(|state| state.pause_cron(name, None))
    }

    fn delete_cron(name: &str) -> Result<(), Error> {
        with(|state| state.delete_cron(name))
    }

    fn next_of_cron(name: &str, count: u32) -> Result<Vec<Instant>, Error> {
        check::page_size(count)?;
        with(|state| state.cron(name).map(|_| Vec::new()))
    }

    fn trigger_cron(name: &str) -> Result<RunId, Error> {
        with(|state| {
            let cron = state.cron(name)?;
            let options = Options { metadata: CronView::metadata(cron), priority: CronView::priority(cron), ..Options::default() };
            let run = NewRun { task: cron.task.clone(), due: Due::Now, input: CronView::input(cron), options };
            state.schedule(&run, false)
        })
    }

    fn backfill_cron(name: &str, from: Instant, until: Instant) -> Result<u32, Error> {
        with(|state| {
            let is_past = from <= until && until <= state.now;
            state.cron(name)?;
            if is_past { Ok(0) } else { Err(Error::invalid("until", "a backfill covers a range of the past")) }
        })
    }

    fn pause(task: &str) -> Result<Option<String>, Error> {
        with(|state| {
            state.registered(task)?;
            let pause = state.writes.pauses.get(task).filter(|(until, _)| until.is_none_or(|until| state.now < until));
            Ok(pause.map(|(_, note)| note.clone()))
        })
    }

    fn pause_task(task: &str, until: Option<Instant>, note: &str) -> Result<(), Error> {
        with(|state| state.pause_task(task, until, note))
    }

    fn resume_task(task: &str) -> Result<(), Error> {
        with(|state| {
            state.registered(task)?;
            state.writes.pauses.remove(task);
            Ok(())
        })
    }

    fn id() -> RunId {
        with(|state| state.id.clone())
    }

    fn task() -> String {
        with(|state| state.task.clone())
    }

    fn attempt() -> u32 {
        with(|state| state.attempt)
    }

    fn trigger_at() -> Instant {
        with(|state| state.trigger_at.unwrap_or(state.now))
    }

    fn deadline() -> Instant {
        with(|state| state.now + state.timeout)
    }

    fn now() -> Instant {
        with(|state| state.now)
    }

    fn metadata() -> Vec<(String, String)> {
        with(|state| state.metadata.clone().into_iter().collect())
    }

    fn origin() -> Origin {
        with(|state| state.origin.clone())
    }

    fn parent() -> Option<RunId> {
        with(|state| state.parent.clone())
    }

    fn is_cancelled() -> bool {
        with(|state| state.is_cancelled)
    }

    fn set_progress(done: u64, total: u64, note: &str) {
        with(|state| state.progress.push((done, total, note.to_owned())));
    }

    fn log(level: Level, message: &str) {
        with(|state| state.log.push((level, message.to_owned())));
    }
}

impl View for FakeRun {
    fn id(&self) -> RunId {
        self.id.clone()
    }

    fn task(&self) -> String {
        self.task.clone()
    }

    fn status(&self) -> Status {
        self.status.clone()
    }

    fn reason(&self) -> Option<String> {
        None
    }

    fn trigger_at(&self) -> Instant {
        self.trigger_at
    }

    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn finished_at(&self) -> Option<Instant> {
        self.ended_at
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }

    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn parent(&self) -> Option<RunId> {
        self.parent.clone()
    }

    fn metadata(&self) -> Vec<(String, String)> {
        self.metadata.clone()
    }

    fn input(&self) -> Vec<u8> {
        self.input.clone()
    }

    fn output(&self) -> Option<Vec<u8>> {
        self.output.clone()
    }
}
