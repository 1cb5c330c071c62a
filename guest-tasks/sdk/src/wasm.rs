//! The scheduler behind the component's imports: each call in the contract's own types.
//!
//! Nothing here is called unless a task calls it, and what is not called is not imported.

use crate::bindings::runlater::scheduler::{context, crons, definition, pauses, runs, types};
use crate::error::Error;
use crate::policy::{CatchUp, MissedPolicy};
use crate::runs::{BulkOutcome, Filter, KeyHolder, Order};
use crate::seam::{CronView, Host, NewCron, NewRun, Options, Page, View};
use crate::time::{Duration, Instant};
use crate::values::{Due, Level, Origin, RunId, Shift, Status, UniqueMode};

pub(crate) struct Wasm;

impl Host for Wasm {
    type View = runs::Run;
    type CronView = crons::Cron;

    fn schedule(run: &NewRun) -> Result<RunId, Error> {
        let options = options(&run.options)?;
        let id = runs::schedule(&run.task, due(run.due), Some(&json_payload(&run.input)), options.as_ref());
        id.map(RunId::from).map_err(error)
    }

    fn schedule_detached(run: &NewRun, unique_key: &str) -> Result<RunId, Error> {
        let options = options(&run.options)?;
        let id = runs::schedule_detached(&run.task, due(run.due), Some(&json_payload(&run.input)), unique_key, options.as_ref());
        id.map(RunId::from).map_err(error)
    }

    fn get(id: &RunId) -> Result<runs::Run, Error> {
        runs::get(id.as_str()).map_err(error)
    }

    fn find_by_unique_key(key: &str) -> Result<Option<KeyHolder>, Error> {
        let holder = runs::find_by_unique_key(key).map_err(error)?;
        Ok(holder.map(|holder| KeyHolder {
            run: holder.run.into(),
            status: status(holder.status),
            reason: holder.reason,
            trigger_at: moment(holder.trigger_at),
            ended_at: holder.ended_at.map(moment),
            held_until: holder.held_until.map(moment),
        }))
    }

    fn list(which: &Filter, order: Order, size: u32, cursor: Option<&str>) -> Result<Page<runs::Run>, Error> {
        let order = match order {
            Order::NewestFirst => runs::Order::NewestFirst,
            Order::OldestFirst => runs::Order::OldestFirst,
            Order::TriggerTime => runs::Order::TriggerTime,
        };
        let page = runs::list(&filter(which)?, &runs::Page { size, cursor: cursor.map(str::to_owned), order }).map_err(error)?;
        Ok((page.runs, page.next))
    }

    fn reschedule(id: &RunId, then: Due) -> Result<(), Error> {
        runs::reschedule(id.as_str(), due(then)).map_err(error)
    }

    fn delete(id: &RunId) -> Result<(), Error> {
        runs::delete(id.as_str()).map_err(error)
    }

    fn cancel(id: &RunId) -> Result<(), Error> {
        runs::cancel(id.as_str()).map_err(error)
    }

    fn trigger(id: &RunId) -> Result<(), Error> {
        runs::trigger(id.as_str()).map_err(error)
    }

    fn bulk_delete(ids: &[RunId]) -> Result<BulkOutcome, Error> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        runs::bulk_delete(&ids).map(bulk_outcome).map_err(error)
    }

    fn bulk_delete_matching(which: &Filter) -> Result<BulkOutcome, Error> {
        runs::bulk_delete_matching(&filter(which)?).map(bulk_outcome).map_err(error)
    }

    fn bulk_reschedule(moves: &[(RunId, Due)]) -> Result<BulkOutcome, Error> {
        let moves: Vec<_> = moves.iter().map(|(id, then)| (id.as_str().to_owned(), due(*then))).collect();
        runs::bulk_reschedule(&moves).map(bulk_outcome).map_err(error)
    }

    fn bulk_reschedule_matching(which: &Filter, then: Due) -> Result<BulkOutcome, Error> {
        runs::bulk_reschedule_matching(&filter(which)?, due(then)).map(bulk_outcome).map_err(error)
    }

    fn bulk_shift_matching(which: &Filter, by: Shift) -> Result<BulkOutcome, Error> {
        // A span that is too long for the contract is too long for the host as well, which says so.
        let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        let by = match by {
            Shift::Later(span) => nanos(span),
            Shift::Earlier(span) => -nanos(span),
        };
        runs::bulk_shift_matching(&filter(which)?, by).map(bulk_outcome).map_err(error)
    }

    fn bulk_trigger(ids: &[RunId]) -> Result<BulkOutcome, Error> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        runs::bulk_trigger(&ids).map(bulk_outcome).map_err(error)
    }

    fn bulk_trigger_matching(which: &Filter) -> Result<BulkOutcome, Error> {
        runs::bulk_trigger_matching(&filter(which)?).map(bulk_outcome).map_err(error)
    }

    fn create_cron(name: &str, task: &str, cron: &NewCron) -> Result<(), Error> {
        let options = cron_options(cron).map_err(error)?;
        crons::create(name, task, cron.expression.as_deref().unwrap_or_default(), Some(&options)).map_err(error)
    }

    fn cron(name: &str) -> Result<crons::Cron, Error> {
        crons::get(name).map_err(error)
    }

    fn crons(task: Option<&str>, size: u32, cursor: Option<&str>) -> Result<Page<crons::Cron>, Error> {
        let page = crons::list(task, size, cursor).map_err(error)?;
        Ok((page.crons, page.next))
    }

    fn update_cron(name: &str, cron: &NewCron) -> Result<(), Error> {
        let options = cron_options(cron).map_err(error)?;
        crons::update(name, cron.expression.as_deref(), Some(&options)).map_err(error)
    }

    fn pause_cron(name: &str, until: Option<Instant>, note: &str) -> Result<(), Error> {
        crons::pause(name, until.map(instant), note).map_err(error)
    }

    fn resume_cron(name: &str) -> Result<(), Error> {
        crons::resume(name).map_err(error)
    }

    fn delete_cron(name: &str) -> Result<(), Error> {
        crons::delete(name).map_err(error)
    }

    fn next_of_cron(name: &str, count: u32) -> Result<Vec<Instant>, Error> {
        Ok(crons::next(name, count).map_err(error)?.into_iter().map(moment).collect())
    }

    fn trigger_cron(name: &str) -> Result<RunId, Error> {
        crons::trigger(name).map(RunId::from).map_err(error)
    }

    fn backfill_cron(name: &str, from: Instant, until: Instant) -> Result<u32, Error> {
        crons::backfill(name, instant(from), instant(until)).map_err(error)
    }

    fn pause(task: &str) -> Result<Option<String>, Error> {
        pauses::get(task).map_err(error)
    }

    fn pause_task(task: &str, until: Option<Instant>, note: &str) -> Result<(), Error> {
        pauses::pause(task, until.map(instant), note).map_err(error)
    }

    fn resume_task(task: &str) -> Result<(), Error> {
        pauses::resume(task).map_err(error)
    }

    fn id() -> RunId {
        context::id().into()
    }

    fn task() -> String {
        context::task()
    }

    fn attempt() -> u32 {
        context::attempt()
    }

    fn trigger_at() -> Instant {
        moment(context::trigger_at())
    }

    fn deadline() -> Instant {
        moment(context::deadline())
    }

    fn now() -> Instant {
        moment(context::now())
    }

    fn metadata() -> Vec<(String, String)> {
        context::metadata()
    }

    fn origin() -> Origin {
        origin(context::origin())
    }

    fn parent() -> Option<RunId> {
        context::parent().map(RunId::from)
    }

    fn is_cancelled() -> bool {
        context::is_cancelled()
    }

    fn set_progress(done: u64, total: u64, note: &str) {
        context::set_progress(done, total, note);
    }

    fn log(level: Level, message: &str) {
        let level = match level {
            Level::Debug => context::Level::Debug,
            Level::Info => context::Level::Info,
            Level::Warn => context::Level::Warn,
            Level::Error => context::Level::Error,
        };
        context::log(level, message);
    }
}

impl View for runs::Run {
    fn id(&self) -> RunId {
        runs::Run::id(self).into()
    }

    fn task(&self) -> String {
        runs::Run::task(self)
    }

    fn status(&self) -> Status {
        status(runs::Run::status(self))
    }

    fn reason(&self) -> Option<String> {
        runs::Run::reason(self)
    }

    fn trigger_at(&self) -> Instant {
        moment(runs::Run::trigger_at(self))
    }

    fn created_at(&self) -> Instant {
        moment(runs::Run::created_at(self))
    }

    fn finished_at(&self) -> Option<Instant> {
        runs::Run::finished_at(self).map(moment)
    }

    fn attempts(&self) -> u32 {
        runs::Run::attempts(self)
    }

    fn origin(&self) -> Origin {
        origin(runs::Run::origin(self))
    }

    fn parent(&self) -> Option<RunId> {
        runs::Run::parent(self).map(RunId::from)
    }

    fn metadata(&self) -> Vec<(String, String)> {
        runs::Run::metadata(self)
    }

    fn input(&self) -> Vec<u8> {
        runs::Run::input(self).bytes
    }

    fn output(&self) -> Option<Vec<u8>> {
        runs::Run::output(self).map(|payload| payload.bytes)
    }
}

impl CronView for crons::Cron {
    fn name(&self) -> String {
        crons::Cron::name(self)
    }

    fn task(&self) -> String {
        crons::Cron::task(self)
    }

    fn expression(&self) -> String {
        crons::Cron::expression(self)
    }

    fn timezone(&self) -> String {
        crons::Cron::timezone(self)
    }

    fn start(&self) -> Instant {
        moment(crons::Cron::start(self))
    }

    fn end(&self) -> Option<Instant> {
        crons::Cron::end(self).map(moment)
    }

    fn jitter(&self) -> Duration {
        Duration::from_nanos(crons::Cron::jitter(self))
    }

    fn max_count(&self) -> Option<u32> {
        crons::Cron::max_count(self)
    }

    fn priority(&self) -> Option<u8> {
        crons::Cron::priority(self)
    }

    fn missed(&self) -> Result<Option<MissedPolicy>, Error> {
        let Some(policy) = crons::Cron::missed(self) else { return Ok(None) };
        let catch_up = match policy.catch_up {
            definition::CatchUp::Skip => CatchUp::Skip,
            definition::CatchUp::Latest => CatchUp::Latest,
            definition::CatchUp::All => CatchUp::All,
            definition::CatchUp::Other(word) => return Err(Error::Other(word)),
        };
        Ok(Some(MissedPolicy { catch_up, window: Duration::from_nanos(policy.window), max: policy.max }))
    }

    fn next_at(&self) -> Option<Instant> {
        crons::Cron::next_at(self).map(moment)
    }

    fn fired(&self) -> u32 {
        crons::Cron::fired(self)
    }

    fn paused(&self) -> Option<String> {
        crons::Cron::paused(self)
    }

    fn paused_until(&self) -> Option<Instant> {
        crons::Cron::paused_until(self).map(moment)
    }

    fn version(&self) -> u32 {
        crons::Cron::version(self)
    }

    fn origin(&self) -> Origin {
        origin(crons::Cron::origin(self))
    }

    fn input(&self) -> Vec<u8> {
        crons::Cron::input(self).bytes
    }

    fn metadata(&self) -> Vec<(String, String)> {
        crons::Cron::metadata(self)
    }
}

pub(crate) fn cron_options(cron: &NewCron) -> Result<definition::CronOptions, types::Error> {
    let made = definition::CronOptions::new();
    if let Some(timezone) = &cron.timezone {
        made.set_timezone(timezone)?;
    }
    if let Some(start) = cron.start {
        made.set_start(instant(start))?;
    }
    match cron.end {
        Some(Some(end)) => made.set_end(instant(end))?,
        Some(None) => made.lift_end(),
        None => {}
    }
    match cron.max_count {
        Some(Some(count)) => made.set_max_count(count)?,
        Some(None) => made.lift_max_count(),
        None => {}
    }
    if let Some(jitter) = cron.jitter {
        made.set_jitter(jitter.as_nanos())?;
    }
    if let Some(input) = &cron.input {
        made.set_input(&json_payload(input))?;
    }
    if cron.metadata.as_ref().is_some_and(Vec::is_empty) {
        made.lift_metadata();
    }
    for (key, value) in cron.metadata.iter().flatten() {
        made.set_metadata(key, value)?;
    }
    match cron.priority {
        Some(Some(priority)) => made.set_priority(priority)?,
        Some(None) => made.lift_priority(),
        None => {}
    }
    match cron.missed {
        Some(Some((which, window, max))) => {
            let which = match which {
                CatchUp::Skip => definition::CatchUp::Skip,
                CatchUp::Latest => definition::CatchUp::Latest,
                CatchUp::All => definition::CatchUp::All,
            };
            made.set_missed(&which, window.map(Duration::as_nanos), max)?;
        }
        Some(None) => made.lift_missed(),
        None => {}
    }
    Ok(made)
}

pub(crate) fn json_payload(json: &[u8]) -> types::Payload {
    types::Payload { media_type: "application/json".to_owned(), bytes: json.to_vec() }
}

pub(crate) fn instant(at: Instant) -> types::Instant {
    types::Instant { seconds: at.unix_seconds(), nanoseconds: at.subsec_nanos() }
}

fn moment(at: types::Instant) -> Instant {
    Instant::from_unix(at.seconds, at.nanoseconds)
}

fn due(due: Due) -> types::Due {
    match due {
        Due::Now => types::Due::Now,
        Due::At(at) => types::Due::At(instant(at)),
        Due::After(delay) => types::Due::After(delay.as_nanos()),
    }
}

fn origin(origin: types::Origin) -> Origin {
    match origin {
        types::Origin::Api => Origin::Api,
        types::Origin::Guest => Origin::Guest,
        types::Origin::Cron => Origin::Cron,
        types::Origin::Code => Origin::Code,
        types::Origin::Trigger => Origin::Trigger,
        types::Origin::Other(other) => Origin::Other(other),
    }
}

fn options(options: &Options) -> Result<Option<runs::ScheduleOptions>, Error> {
    if options.is_empty() {
        return Ok(None);
    }
    let set = || {
        let made = runs::ScheduleOptions::new();
        for (key, value) in &options.metadata {
            made.set_metadata(key, value)?;
        }
        if let Some(key) = &options.unique_key {
            let held_for = options.held_for.map(Duration::as_nanos);
            match options.unique {
                UniqueMode::Existing if held_for.is_none() => made.set_unique_key(key)?,
                UniqueMode::Existing => made.set_unique(key, &runs::UniqueMode::Existing, held_for)?,
                UniqueMode::Reject => made.set_unique(key, &runs::UniqueMode::Reject, held_for)?,
                UniqueMode::Replace => made.set_unique(key, &runs::UniqueMode::Replace, held_for)?,
                UniqueMode::Debounce { wait, max_wait } => made.set_debounce(key, wait.as_nanos(), max_wait.as_nanos())?,
            }
        }
        if let Some(attempts) = options.max_attempts {
            made.set_max_attempts(attempts)?;
        }
        if let Some(timeout) = options.timeout {
            made.set_timeout(timeout.as_nanos())?;
        }
        if let Some(priority) = options.priority {
            made.set_priority(priority)?;
        }
        Ok(Some(made))
    };
    set().map_err(error)
}

fn filter(filter: &Filter) -> Result<runs::RunFilter, Error> {
    let set = || {
        let made = if filter.all { runs::RunFilter::all() } else { runs::RunFilter::new() };
        for task in &filter.tasks {
            made.add_task(task)?;
        }
        for status in &filter.statuses {
            made.add_status(&wit_status(status))?;
        }
        for (key, value) in &filter.metadata {
            made.add_metadata(key, value)?;
        }
        if let Some(parent) = &filter.parent {
            made.set_parent(parent.as_str())?;
        }
        if let Some(at) = filter.trigger_from {
            made.set_trigger_from(instant(at))?;
        }
        if let Some(at) = filter.trigger_before {
            made.set_trigger_before(instant(at))?;
        }
        Ok(made)
    };
    set().map_err(error)
}

fn status(status: types::Status) -> Status {
    match status {
        types::Status::Scheduled => Status::Scheduled,
        types::Status::Queued => Status::Queued,
        types::Status::Running => Status::Running,
        types::Status::Backoff => Status::Backoff,
        types::Status::Succeeded => Status::Succeeded,
        types::Status::Failed => Status::Failed,
        types::Status::Cancelled => Status::Cancelled,
        types::Status::Missed => Status::Missed,
        types::Status::Other(other) => Status::Other(other),
    }
}

fn wit_status(status: &Status) -> types::Status {
    match status {
        Status::Scheduled => types::Status::Scheduled,
        Status::Queued => types::Status::Queued,
        Status::Running => types::Status::Running,
        Status::Backoff => types::Status::Backoff,
        Status::Succeeded => types::Status::Succeeded,
        Status::Failed => types::Status::Failed,
        Status::Cancelled => types::Status::Cancelled,
        Status::Missed => types::Status::Missed,
        Status::Other(other) => types::Status::Other(other.clone()),
    }
}

fn bulk_outcome(outcome: runs::BulkOutcome) -> BulkOutcome {
    BulkOutcome {
        changed: outcome.changed,
        refused: outcome.refused.into_iter().map(|(id, why)| (id.into(), error(why))).collect(),
        refused_total: outcome.refused_total,
    }
}

fn error(error: types::Error) -> Error {
    match error {
        types::Error::Invalid(wrong) => Error::Invalid { field: wrong.field, reason: wrong.reason },
        types::Error::Limit(over) => Error::Limit { limit: over.limit, max: over.max, asked: over.asked },
        types::Error::TaskNotFound(task) => Error::TaskNotFound(task),
        types::Error::RunNotFound(id) => Error::RunNotFound(id.into()),
        types::Error::AlreadyTriggered(id) => Error::AlreadyTriggered(id.into()),
        types::Error::DefinedByCode(id) => Error::DefinedByCode(id.into()),
        types::Error::AlreadyEnded(id) => Error::AlreadyEnded(id.into()),
        types::Error::UniqueKeyTaken(id) => Error::UniqueKeyTaken(id.into()),
        types::Error::CronNotFound(name) => Error::CronNotFound(name),
        types::Error::CronExists(name) => Error::CronExists(name),
        types::Error::CronDefinedByCode(name) => Error::CronDefinedByCode(name),
        types::Error::Forbidden(grant) => Error::Forbidden(grant),
        types::Error::Unavailable(delay) => Error::Unavailable(delay.map(Duration::from_nanos)),
        types::Error::Other(other) => Error::Other(other),
    }
}
