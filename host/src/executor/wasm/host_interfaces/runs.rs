//! The interface `runs`: scheduling runs, and changing those that are scheduled. Linked only with the grant.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use wasmtime::component::Resource;

use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::{runs, types};
use crate::executor::wasm::held::Held;
use crate::executor::{CallError, ScheduleRequest};
use crate::model::limits::REFUSED_LISTED_MAX;
use crate::model::{
    BulkChange, BulkFilter, Cursor, Due, Invalid, Metadata, Name, Order, Page, Run, RunFilter, RunId, Unique, UniqueKey, UniqueMode,
    check_bulk_count, distinct_moves,
};

use super::check_policy;
use super::pace::Pace;
use super::types::{CallFailure, due, duration, input, instant, metadata, origin, payload, run_id, status, timestamp, to_error, to_status};

/// What a scheduled run can carry, while the guest sets it.
#[derive(Clone, Debug, Default)]
pub struct ScheduleOptions {
    metadata: Metadata,
    unique_key: Option<Unique>,
    max_attempts: Option<u32>,
    timeout: Option<Duration>,
    priority: Option<u8>,
}

impl Held for ScheduleOptions {
    fn heap_bytes(&self) -> usize {
        self.metadata.heap_bytes() + self.unique_key.as_ref().map_or(0, |unique| unique.key.as_str().len())
    }
}

impl AttemptState {
    fn option(
        &mut self,
        options: &Resource<ScheduleOptions>,
        set: impl FnOnce(&mut ScheduleOptions) -> Result<(), Invalid>,
    ) -> Result<(), CallFailure> {
        Ok(self.change(options, set)??)
    }

    fn request(
        &mut self,
        task: &str,
        when: types::Due,
        payload: Option<types::Payload>,
        options: Option<Resource<ScheduleOptions>>,
    ) -> Result<ScheduleRequest, CallFailure> {
        let options = match options {
            Some(handle) => self.table.get(&handle)?.clone(),
            None => ScheduleOptions::default(),
        };
        let due = due(when)?;
        let debounced = matches!(options.unique_key, Some(Unique { mode: UniqueMode::Debounce { .. }, .. }));
        if debounced && due != Due::Now {
            return Err(Invalid::new("invalid-debounce", "due", "a debounced run says its own time: schedule it for now").into());
        }
        Ok(ScheduleRequest {
            task: Name::parse(task, "task")?,
            due,
            input: input(payload)?,
            metadata: options.metadata,
            unique_key: options.unique_key,
            max_attempts: options.max_attempts,
            timeout: options.timeout,
            priority: options.priority,
        })
    }

    async fn change_matching(
        &mut self,
        filter: &Resource<FilterDraft>,
        kind: BulkChange,
        change: impl Fn(&mut Self, RunId) -> Result<(), CallError> + Send,
    ) -> Result<runs::BulkOutcome, CallFailure> {
        let filter = self.table.get(filter)?.for_bulk()?;
        let selected = self.request.calls.select(&filter, kind).await?;
        let changed = self.change_each(selected.fit.into_iter().map(|run| (run.to_string(), Ok(run))), change).await;
        let refused = selected.refused.into_iter().map(|(run, why)| (run.to_string(), to_error(why))).chain(changed.refused);
        Ok(runs::BulkOutcome {
            changed: changed.changed,
            refused: refused.take(REFUSED_LISTED_MAX).collect(),
            refused_total: changed.refused_total + selected.refused_total,
        })
    }

    async fn change_named(
        &mut self,
        ids: Vec<String>,
        change: impl Fn(&mut Self, RunId) -> Result<(), CallError> + Send,
    ) -> Result<runs::BulkOutcome, CallFailure> {
        check_bulk_count(ids.len(), "ids")?;
        let mut seen = HashSet::new();
        let each = ids.into_iter().filter(|id| seen.insert(same_run(id)));
        let runs: Vec<_> = each.map(|id| (run_id(&id), id)).map(|(run, id)| (id, run)).collect();
        Ok(self.change_each(runs, change).await)
    }

    async fn change_each(
        &mut self,
        runs: impl IntoIterator<Item = (String, Result<RunId, Invalid>), IntoIter: Send> + Send,
        change: impl Fn(&mut Self, RunId) -> Result<(), CallError> + Send,
    ) -> runs::BulkOutcome {
        let mut outcome = nothing_done();
        let mut pace = Pace::new();
        for (text, run) in runs {
            pace.keep().await;
            count_verdict(&mut outcome, text, run.map_err(CallError::from).and_then(|run| change(self, run)));
        }
        outcome
    }
}

/// By what two ids are one run: several spellings of an id, and what is no id at all by its text.
fn same_run(id: &str) -> Result<RunId, String> {
    run_id(id).map_err(|_| id.to_owned())
}

fn nothing_done() -> runs::BulkOutcome {
    runs::BulkOutcome { changed: 0, refused: Vec::new(), refused_total: 0 }
}

fn count_verdict(outcome: &mut runs::BulkOutcome, id: String, verdict: Result<(), CallError>) {
    match verdict {
        Ok(()) => outcome.changed += 1,
        Err(error) => {
            outcome.refused_total += 1;
            outcome.refused.push((id, to_error(error)));
        }
    }
}

/// A filter, while the guest sets it.
#[derive(Clone, Debug, Default)]
pub struct FilterDraft {
    conditions: RunFilter,
    /// Whether it was made to mean every run.
    all: bool,
}

impl Held for FilterDraft {
    fn heap_bytes(&self) -> usize {
        self.conditions.heap_bytes()
    }
}

impl FilterDraft {
    /// For a bulk call.
    fn for_bulk(&self) -> Result<BulkFilter, Invalid> {
        if self.all {
            return Ok(BulkFilter::all());
        }
        if self.conditions == RunFilter::default() {
            let reason = "has no condition, and would match every run; add one, or make it with `run-filter.all` to mean every run";
            return Err(Invalid::new(BulkFilter::EMPTY, "filter", reason));
        }
        BulkFilter::new(self.conditions.clone())
    }
}

fn order(order: runs::Order) -> Order {
    match order {
        runs::Order::NewestFirst => Order::NewestFirst,
        runs::Order::OldestFirst => Order::OldestFirst,
        runs::Order::TriggerTime => Order::TriggerTime,
    }
}

impl runs::Host for AttemptState {
    async fn schedule(
        &mut self,
        task: String,
        due: types::Due,
        input: Option<types::Payload>,
        options: Option<Resource<ScheduleOptions>>,
    ) -> Result<String, CallFailure> {
        self.count_call()?;
        let request = self.request(&task, due, input, options)?;
        Ok(self.request.calls.schedule(request).await?.to_string())
    }

    async fn schedule_detached(
        &mut self,
        task: String,
        due: types::Due,
        input: Option<types::Payload>,
        unique_key: String,
        options: Option<Resource<ScheduleOptions>>,
    ) -> Result<String, CallFailure> {
        self.count_call()?;
        let mut request = self.request(&task, due, input, options)?;
        let key = UniqueKey::parse(&unique_key, "unique-key")?;
        request.unique_key = Some(match request.unique_key {
            // What was set of the key's mode holds for the key that this call requires.
            Some(unique) => Unique { key, ..unique },
            None => key.into(),
        });
        Ok(self.request.calls.schedule_detached(request).await?.to_string())
    }

    fn get(&mut self, id: String) -> Result<Resource<Run>, CallFailure> {
        self.count_call()?;
        let run = self.request.calls.get(run_id(&id)?)?;
        Ok(self.keep(run)?)
    }

    fn find_by_unique_key(&mut self, key: String) -> Result<Option<runs::KeyHolder>, CallFailure> {
        self.count_call()?;
        let holder = self.request.calls.find_by_unique_key(&UniqueKey::parse(&key, "unique-key")?)?;
        // The status is missing only for a deleted run, which holds no unique key.
        Ok(holder.and_then(|holder| {
            Some(runs::KeyHolder {
                run: holder.run.to_string(),
                status: to_status(holder.status?),
                reason: holder.reason.map(Cow::into_owned),
                trigger_at: instant(holder.trigger_at),
                ended_at: holder.ended_at.map(instant),
                held_until: holder.held_until.map(instant),
            })
        }))
    }

    async fn list(&mut self, filter: Resource<FilterDraft>, page: runs::Page) -> Result<runs::RunPage, CallFailure> {
        self.count_call()?;
        let cursor = page.cursor.as_deref().map(Cursor::parse).transpose().map_err(|invalid| invalid.within("page"))?;
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let page = Page::new(size, cursor, order(page.order)).map_err(|invalid| Invalid { field: "page.size".into(), ..invalid })?;
        let filter = self.table.get(&filter)?.conditions.clone().checked()?;
        let (runs, next) = self.request.calls.list(&filter, &page).await?;
        let runs = runs.into_iter().map(|run| self.keep(run)).collect::<Result<_, _>>()?;
        Ok(runs::RunPage { runs, next: next.map(Cursor::to_text) })
    }

    fn reschedule(&mut self, id: String, when: types::Due) -> Result<(), CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.reschedule(run_id(&id)?, due(when)?)?)
    }

    fn delete(&mut self, id: String) -> Result<(), CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.delete(run_id(&id)?)?)
    }

    fn cancel(&mut self, id: String) -> Result<(), CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.cancel(run_id(&id)?)?)
    }

    fn trigger(&mut self, id: String) -> Result<(), CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.trigger(run_id(&id)?)?)
    }

    async fn bulk_delete(&mut self, ids: Vec<String>) -> Result<runs::BulkOutcome, CallFailure> {
        self.count_call()?;
        self.change_named(ids, |state, run| state.request.calls.delete(run)).await
    }

    async fn bulk_delete_matching(&mut self, filter: Resource<FilterDraft>) -> Result<runs::BulkOutcome, CallFailure> {
        self.count_call()?;
        self.change_matching(&filter, BulkChange::Delete, |state, run| state.request.calls.delete(run)).await
    }

    async fn bulk_reschedule(&mut self, moves: Vec<(String, types::Due)>) -> Result<runs::BulkOutcome, CallFailure> {
        self.count_call()?;
        let moves = distinct_moves(moves.into_iter().map(|(id, when)| (same_run(&id), due(when))).collect())?;
        let mut outcome = nothing_done();
        let mut pace = Pace::new();
        for (id, when) in moves {
            pace.keep().await;
            let text = id.as_ref().map_or_else(Clone::clone, ToString::to_string);
            let moved = run_id(&text).and_then(|run| Ok((run, when?))).map_err(CallError::from);
            count_verdict(&mut outcome, text, moved.and_then(|(run, due)| self.request.calls.reschedule(run, due)));
        }
        Ok(outcome)
    }

    async fn bulk_reschedule_matching(
        &mut self,
        filter: Resource<FilterDraft>,
        when: types::Due,
    ) -> Result<runs::BulkOutcome, CallFailure> {
        self.count_call()?;
        let due: Due = due(when)?;
        self.change_matching(&filter, BulkChange::Reschedule, |state, run| state.request.calls.reschedule(run, due)).await
    }

    async fn bulk_shift_matching(&mut self, filter: Resource<FilterDraft>, by: i64) -> Result<runs::BulkOutcome, CallFailure> {
        self.count_call()?;
        duration(by.unsigned_abs(), "by")?;
        // Rounded towards later, as every time is.
        let micros = by.div_euclid(1_000) + i64::from(by.rem_euclid(1_000) > 0);
        self.change_matching(&filter, BulkChange::Shift(micros), |state, run| state.request.calls.shift(run, micros)).await
    }

    async fn bulk_trigger(&mut self, ids: Vec<String>) -> Result<runs::BulkOutcome, CallFailure> {
        self.count_call()?;
        self.change_named(ids, |state, run| state.request.calls.trigger(run)).await
    }

    async fn bulk_trigger_matching(&mut self, filter: Resource<FilterDraft>) -> Result<runs::BulkOutcome, CallFailure> {
        self.count_call()?;
        self.change_matching(&filter, BulkChange::Trigger, |state, run| state.request.calls.trigger(run)).await
    }
}

impl runs::HostScheduleOptions for AttemptState {
    fn new(&mut self) -> wasmtime::Result<Resource<ScheduleOptions>> {
        self.count_call()?;
        self.keep(ScheduleOptions::default())
    }

    fn set_metadata(&mut self, options: Resource<ScheduleOptions>, key: String, value: String) -> Result<(), CallFailure> {
        self.count_call()?;
        self.option(&options, |options| options.metadata.set(&key, &value))
    }

    fn set_unique_key(&mut self, options: Resource<ScheduleOptions>, key: String) -> Result<(), CallFailure> {
        self.count_call()?;
        self.option(&options, |options| {
            options.unique_key = Some(UniqueKey::parse(&key, "unique-key")?.into());
            Ok(())
        })
    }

    fn set_unique(
        &mut self,
        options: Resource<ScheduleOptions>,
        key: String,
        mode: runs::UniqueMode,
        held_for: Option<u64>,
    ) -> Result<(), CallFailure> {
        self.count_call()?;
        let mode = match mode {
            runs::UniqueMode::Existing => UniqueMode::Existing,
            runs::UniqueMode::Reject => UniqueMode::Reject,
            runs::UniqueMode::Replace => UniqueMode::Replace,
            runs::UniqueMode::Other(word) => UniqueMode::parse(&word, "unique-mode")?,
        };
        let mut unique = Unique { mode, ..UniqueKey::parse(&key, "unique-key")?.into() };
        if let Some(span) = held_for {
            unique = unique.held_for(duration(span, "held-for")?, "held-for")?;
        }
        self.option(&options, |options| {
            options.unique_key = Some(unique);
            Ok(())
        })
    }

    fn set_debounce(&mut self, options: Resource<ScheduleOptions>, key: String, wait: u64, max_wait: u64) -> Result<(), CallFailure> {
        self.count_call()?;
        let key = UniqueKey::parse(&key, "unique-key")?;
        let unique = Unique::debounce(key, duration(wait, "debounce")?, duration(max_wait, "debounce-max")?)?;
        self.option(&options, |options| {
            options.unique_key = Some(unique);
            Ok(())
        })
    }

    fn set_max_attempts(&mut self, options: Resource<ScheduleOptions>, attempts: u32) -> Result<(), CallFailure> {
        self.count_call()?;
        check_policy(|policy| policy.max_attempts = Some(attempts))?;
        self.table.get_mut(&options)?.max_attempts = Some(attempts);
        Ok(())
    }

    fn set_timeout(&mut self, options: Resource<ScheduleOptions>, timeout: u64) -> Result<(), CallFailure> {
        self.count_call()?;
        let timeout = Some(duration(timeout, "timeout")?);
        check_policy(|policy| policy.timeout = timeout)?;
        self.table.get_mut(&options)?.timeout = timeout;
        Ok(())
    }

    fn set_priority(&mut self, options: Resource<ScheduleOptions>, priority: u8) -> Result<(), CallFailure> {
        self.count_call()?;
        check_policy(|policy| policy.priority = Some(priority))?;
        self.table.get_mut(&options)?.priority = Some(priority);
        Ok(())
    }

    fn drop(&mut self, options: Resource<ScheduleOptions>) -> wasmtime::Result<()> {
        self.release(options).map(drop)
    }
}

impl runs::HostRunFilter for AttemptState {
    fn new(&mut self) -> wasmtime::Result<Resource<FilterDraft>> {
        self.count_call()?;
        self.keep(FilterDraft::default())
    }

    fn all(&mut self) -> wasmtime::Result<Resource<FilterDraft>> {
        self.count_call()?;
        self.keep(FilterDraft { all: true, ..FilterDraft::default() })
    }

    fn add_task(&mut self, filter: Resource<FilterDraft>, name: String) -> Result<(), CallFailure> {
        let name = Name::parse(&name, "task");
        self.condition(&filter, |filter| {
            filter.tasks.push(name?);
            Ok(())
        })
    }

    fn add_status(&mut self, filter: Resource<FilterDraft>, wanted: types::Status) -> Result<(), CallFailure> {
        self.condition(&filter, |filter| {
            filter.statuses.push(status(wanted)?);
            Ok(())
        })
    }

    fn add_metadata(&mut self, filter: Resource<FilterDraft>, key: String, value: String) -> Result<(), CallFailure> {
        self.condition(&filter, |filter| filter.metadata.require(&key, &value))
    }

    fn set_parent(&mut self, filter: Resource<FilterDraft>, parent: String) -> Result<(), CallFailure> {
        self.condition(&filter, |filter| {
            filter.parent = Some(RunId::parse(&parent, "parent")?);
            Ok(())
        })
    }

    fn set_trigger_from(&mut self, filter: Resource<FilterDraft>, at: types::Instant) -> Result<(), CallFailure> {
        self.condition(&filter, |filter| {
            filter.trigger_from = Some(timestamp(at, "trigger-from")?);
            Ok(())
        })
    }

    fn set_trigger_before(&mut self, filter: Resource<FilterDraft>, at: types::Instant) -> Result<(), CallFailure> {
        self.condition(&filter, |filter| {
            filter.trigger_before = Some(timestamp(at, "trigger-before")?);
            Ok(())
        })
    }

    fn drop(&mut self, filter: Resource<FilterDraft>) -> wasmtime::Result<()> {
        self.release(filter).map(drop)
    }
}

impl AttemptState {
    /// Adds to a filter, which stays as it was if that makes it too long: it grows with each call.
    fn condition(
        &mut self,
        filter: &Resource<FilterDraft>,
        add: impl FnOnce(&mut RunFilter) -> Result<(), Invalid>,
    ) -> Result<(), CallFailure> {
        self.count_call()?;
        let added = self.change(filter, |filter| {
            if filter.all {
                return Err(Invalid::new("invalid-filter", "filter", "means every run, so it takes no condition; begin with a new one"));
            }
            let mut longer = filter.conditions.clone();
            add(&mut longer)?;
            filter.conditions = longer.checked()?;
            Ok(())
        })?;
        Ok(added?)
    }

    fn read<R>(&mut self, run: &Resource<Run>, read: impl FnOnce(&Run) -> R) -> wasmtime::Result<R> {
        self.count_call()?;
        Ok(read(self.table.get(run)?))
    }
}

impl runs::HostRun for AttemptState {
    fn id(&mut self, run: Resource<Run>) -> wasmtime::Result<String> {
        self.read(&run, |run| run.id.to_string())
    }

    fn task(&mut self, run: Resource<Run>) -> wasmtime::Result<String> {
        self.read(&run, |run| run.task.to_string())
    }

    fn status(&mut self, run: Resource<Run>) -> wasmtime::Result<types::Status> {
        self.read(&run, |run| to_status(run.status))
    }

    fn reason(&mut self, run: Resource<Run>) -> wasmtime::Result<Option<String>> {
        self.read(&run, |run| run.reason.as_deref().map(str::to_owned))
    }

    fn trigger_at(&mut self, run: Resource<Run>) -> wasmtime::Result<types::Instant> {
        self.read(&run, |run| instant(run.trigger_at))
    }

    fn created_at(&mut self, run: Resource<Run>) -> wasmtime::Result<types::Instant> {
        self.read(&run, |run| instant(run.created_at))
    }

    fn finished_at(&mut self, run: Resource<Run>) -> wasmtime::Result<Option<types::Instant>> {
        self.read(&run, |run| run.finished_at.map(instant))
    }

    fn attempts(&mut self, run: Resource<Run>) -> wasmtime::Result<u32> {
        self.read(&run, |run| run.attempts)
    }

    fn origin(&mut self, run: Resource<Run>) -> wasmtime::Result<types::Origin> {
        self.read(&run, |run| origin(run.origin))
    }

    fn parent(&mut self, run: Resource<Run>) -> wasmtime::Result<Option<String>> {
        self.read(&run, |run| run.parent.map(|parent| parent.to_string()))
    }

    fn metadata(&mut self, run: Resource<Run>) -> wasmtime::Result<Vec<(String, String)>> {
        self.read(&run, |run| metadata(&run.metadata))
    }

    fn input(&mut self, run: Resource<Run>) -> wasmtime::Result<types::Payload> {
        self.read(&run, |run| payload(&run.input))
    }

    fn output(&mut self, run: Resource<Run>) -> wasmtime::Result<Option<types::Payload>> {
        self.read(&run, |run| run.output.as_ref().map(payload))
    }

    fn drop(&mut self, run: Resource<Run>) -> wasmtime::Result<()> {
        self.release(run).map(drop)
    }
}
