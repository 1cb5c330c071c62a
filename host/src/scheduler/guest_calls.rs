//! What a guest may ask for during one attempt.
//!
//! Made for each attempt and handed to the executor, which calls it. Each write is checked at once against what is stored and what
//! the attempt wrote before, and is then kept until the attempt's outcome commits it; reads see it meanwhile.

use std::sync::Arc;

use async_trait::async_trait;

use super::Error;
use super::creates::GuestCreates;
use super::cron_calls::OwnCrons;
use super::input_check::check_input;
use super::long_work::{LongWork, ON_WORKER_MAX, WORK_MAX};
use super::own_writes::{OwnWrites, merge, place};
use super::pause_calls::OwnPauses;
use crate::clock::Clock;
use crate::executor::{CallError, HostCalls, ScheduleRequest, Selected};
use crate::model::limits::{DEPTH_MAX, LIVE_PER_ROOT_MAX, PAGE_SIZE_MAX, REFUSED_LISTED_MAX, WRITES_PER_ATTEMPT_MAX};
use crate::model::{
    BulkChange, BulkFilter, Cursor, Due, Effort, Existing, Invalid, Lineage, Name, NamespaceId, NewRun, Order, Origin, Page, ParentRun,
    Payload, Progress, RateLimit, Run, RunFilter, RunId, Status, Task, Timestamp, Unfit, Unique, UniqueKey, UniqueMode, Verdict, Write,
    WriteSet, check_max_attempts, check_priority, check_timeout,
};
use crate::storage::{ChangeError, CreateError, RunBytesFull, Storage, StorageError};
use crate::time_limit;

/// Bytes of inputs and outputs after which a page of runs ends early: more than a page of storage has.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// The calls of one attempt, bound to its run and namespace.
pub(super) struct GuestCalls {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) clock: Arc<dyn Clock>,
    creates: Arc<GuestCreates>,
    long: Arc<LongWork>,
    pub(super) namespace: NamespaceId,
    parent: ParentRun,
    /// To be committed, in this order.
    writes: WriteSet,
    /// The same, as reads see it.
    own: OwnWrites,
    pub(super) own_crons: OwnCrons,
    pub(super) own_pauses: OwnPauses,
}

impl GuestCalls {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        creates: Arc<GuestCreates>,
        long: Arc<LongWork>,
        namespace: NamespaceId,
        parent: ParentRun,
    ) -> Self {
        Self {
            storage,
            clock,
            creates,
            long,
            namespace,
            parent,
            writes: WriteSet::default(),
            own: OwnWrites::default(),
            own_crons: OwnCrons::new(),
            own_pauses: OwnPauses::new(),
        }
    }

    /// Reads: at once for a few milliseconds, and then, if that was not enough, on a thread for long work.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&dyn Storage, NamespaceId, Timestamp) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, CallError> {
        let (storage, namespace, now) = (self.storage.clone(), self.namespace, self.clock.now());
        self.long.read(namespace, ON_WORKER_MAX, move || read(storage.as_ref(), namespace, now)).await.map_err(unavailable)
    }

    /// Computes on a thread for long work.
    pub(super) async fn compute<T: Send + 'static>(&self, compute: impl FnOnce() -> T + Send + 'static) -> Result<T, CallError> {
        self.long.run(self.namespace, compute).await.map_err(unavailable)
    }

    /// The task of this name, if the input fits its schema.
    pub(super) async fn task_for(&self, task: &Name, input: &Payload) -> Result<Arc<Task>, CallError> {
        let task = self.storage.task(self.namespace, task.as_str()).ok_or_else(|| CallError::TaskNotFound(task.to_string()))?;
        match check_input(&self.long, &task, input, "input", &mut Effort::at_once()).await {
            Ok(()) => Ok(task),
            Err(Error::Invalid(invalid)) => Err(invalid.into()),
            Err(Error::Storage(error)) => Err(unavailable(error)),
            Err(_) => Err(CallError::Unavailable),
        }
    }

    /// The run that `request` asks for, with its final id. `task` is what [`task_for`](Self::task_for) found.
    pub(super) fn new_run(&self, task: Arc<Task>, request: ScheduleRequest, now: Timestamp) -> Result<NewRun, CallError> {
        task.check_lane(&request.input, &request.metadata)?;
        let trigger_at = match request.unique_key.as_ref().and_then(|unique| unique.due(now)) {
            Some(due) => due,
            None => request.due.trigger_at(now),
        };
        Ok(NewRun {
            id: self.storage.next_run_id(now),
            task,
            trigger_at,
            input: request.input,
            metadata: request.metadata,
            unique_key: request.unique_key,
            idempotency: None,
            origin: Origin::Guest,
            lineage: Some(self.lineage(trigger_at, now)?),
            occurrence: None,
            max_attempts: request.max_attempts.map(|attempts| check_max_attempts(attempts, "max-attempts")).transpose()?,
            timeout: request.timeout.map(|timeout| check_timeout(timeout, "timeout")).transpose()?,
            priority: request.priority.map(|priority| check_priority(priority, "priority")).transpose()?,
        })
    }

    fn lineage(&self, trigger_at: Timestamp, now: Timestamp) -> Result<Lineage, CallError> {
        let too_deep = |depth| CallError::Limit { limit: "depth", max: DEPTH_MAX.into(), asked: u64::from(depth) };
        Lineage::follow_up(self.parent, trigger_at, now).map_err(too_deep)
    }

    /// The run of this attempt, not yet committed, that has the same unique key.
    fn own_holder(&self, run: &NewRun) -> Option<&NewRun> {
        let key = &run.unique_key.as_ref()?.key;
        self.writes.iter().find_map(|write| match write {
            Write::Schedule(own) if own.unique_key.as_ref().is_some_and(|unique| unique.key == *key) && !self.own.will_not_come(own.id) => {
                Some(&**own)
            }
            _ => None,
        })
    }

    /// Schedules `run` in the face of a run of this attempt, not yet committed, that has the same unique key.
    fn schedule_over_own(&mut self, run: &mut NewRun, unique: &Unique) -> Result<Option<RunId>, CallError> {
        let Some(own) = self.own_holder(run) else { return Ok(None) };
        let id = own.id;
        match unique.mode {
            UniqueMode::Existing if is_equal(own, run) => return Ok(Some(id)),
            UniqueMode::Replace => self.delete(id)?,
            UniqueMode::Debounce { .. } if self.supersede(id).is_some() => run.id = id,
            _ => return Err(CallError::UniqueKeyTaken(id)),
        }
        Ok(None)
    }

    /// The same, in the face of a stored one. `Some` if that is all there is to do.
    fn schedule_over_stored(&mut self, run: &mut NewRun, unique: &Unique, now: Timestamp) -> Result<Option<RunId>, CallError> {
        let holder = self.storage.holder(self.namespace, run, now).map_err(unavailable)?;
        // Its deletion, or its cancellation before its first attempt, is committed first.
        let Some(holder) = holder.filter(|holder| !self.own.will_not_come(holder.run)) else { return Ok(None) };
        match unique.verdict(&holder, now) {
            Verdict::Free => Ok(None),
            Verdict::Existing => Ok(Some(holder.run)),
            Verdict::Taken => Err(CallError::UniqueKeyTaken(holder.run)),
            Verdict::Replace => self.delete(holder.run).map(|()| None),
            Verdict::PutOff(trigger_at) => {
                let seen = self.movable(holder.run)?;
                // Under the id of the run that it puts off; the commit does so only if that one still waits.
                (run.id, run.trigger_at) = (holder.run, trigger_at);
                self.supersede(holder.run);
                self.push(Write::Schedule(Box::new(run.clone())))?;
                self.own.reschedule(seen, trigger_at);
                Ok(Some(holder.run))
            }
        }
    }

    /// The run as this attempt sees it, if it may still be moved or deleted.
    fn movable(&mut self, run: RunId) -> Result<Run, CallError> {
        let seen = self.get(run)?;
        match (seen.status, seen.origin) {
            (Status::Scheduled, Origin::Code) => Err(CallError::DefinedByCode(run)),
            (Status::Scheduled, _) => Ok(seen),
            _ => Err(CallError::AlreadyTriggered(run)),
        }
    }

    /// Moves a run that this attempt saw so, and that may be moved.
    fn move_to(&mut self, seen: Run, to: Timestamp, now: Timestamp) -> Result<(), CallError> {
        let run = seen.id;
        if self.own.is_new(run) {
            let lineage = self.lineage(to, now)?;
            let own = self.supersede(run).expect("a scheduled run of the attempt's own is among its writes");
            let own = NewRun { trigger_at: to, lineage: Some(lineage), ..own };
            self.push(Write::Schedule(Box::new(own)))?;
        } else {
            self.supersede(run);
            self.push(Write::Reschedule(run, to))?;
        }
        self.own.reschedule(seen, to);
        Ok(())
    }

    /// The runs that match now: at most as many as there is room for writes, else the limit.
    async fn matching(&self, filter: &RunFilter) -> Result<Vec<RunId>, CallError> {
        let room = self.writes.room();
        let mut ids: Vec<_> = self.own.matching(filter).map(|run| run.id).collect();
        let mut cursor = None;
        loop {
            let page = Page::new(PAGE_SIZE_MAX, cursor, Order::OldestFirst)?;
            let filter = filter.clone();
            let (stored, next) = self.read(move |storage, namespace, now| storage.list_ids(namespace, &filter, &page, now)).await?;
            ids.extend(stored.into_iter().filter(|run| !self.own.concern(*run)));
            if ids.len() > room {
                let asked = (WRITES_PER_ATTEMPT_MAX - room + ids.len()) as u64;
                return Err(CallError::Limit { limit: "writes-per-attempt", max: WRITES_PER_ATTEMPT_MAX as u64, asked });
            }
            if next.is_none() {
                ids.sort_unstable();
                return Ok(ids);
            }
            cursor = next;
        }
    }

    /// The first runs that match now, in order of id, without their inputs and outputs.
    async fn first(&mut self, filter: &RunFilter, count: usize) -> Result<Vec<Run>, CallError> {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let (runs, next) = self.list(filter, &Page::new(count, cursor, Order::OldestFirst)?).await?;
            found.extend(runs.into_iter().map(|run| Run { input: Payload::null(), output: None, ..run }));
            if found.len() >= count || next.is_none() {
                found.truncate(count);
                return Ok(found);
            }
            cursor = next;
        }
    }

    /// How many runs match now.
    async fn count(&self, filter: &RunFilter) -> Result<u64, CallError> {
        let own = self.own.matching(filter).count() as u64;
        let (filter, concerned) = (filter.clone(), self.own.stored().collect::<Vec<_>>());
        let stored = self.read(move |storage, namespace, now| {
            let mut count = storage.count(namespace, &filter, now)?;
            for run in &concerned {
                if time_limit::is_over() {
                    return Err(StorageError::TooLong);
                }
                let stored = storage.get(namespace, *run, now)?;
                count = count.saturating_sub(u64::from(stored.is_some_and(|stored| filter.matches(&stored))));
            }
            Ok(count)
        });
        Ok(stored.await? + own)
    }

    /// Replaces the attempt's earlier write to a run that is still scheduled, so that at the commit it is judged by the
    /// last one alone: the time of an earlier move may have passed by then.
    fn supersede(&mut self, run: RunId) -> Option<NewRun> {
        match self.writes.take_back(run) {
            Some(Write::Schedule(run)) => Some(*run),
            _ => None,
        }
    }

    /// Counts a run that is about to be created, whatever becomes of the attempt: a bomb that fails costs as much as one that does not.
    async fn count_create(&self) -> Result<(), CallError> {
        let limit = |rate: RateLimit| CallError::Limit { limit: "guest-creates", max: rate.count.into(), asked: u64::from(rate.count) + 1 };
        let own = self.storage.quotas_of(self.namespace).guest_creates;
        self.creates.take(self.namespace, own, self.clock.elapsed()).map_err(limit)?;
        let room = self.read(|storage, namespace, now| storage.has_room(namespace, 1, now)).await?;
        room.map_err(|max| CallError::Limit { limit: "live-per-namespace", max, asked: max + 1 })?;
        let full =
            |full: RunBytesFull| CallError::Limit { limit: "run-bytes-per-namespace", max: full.max, asked: full.held.max(full.max) + 1 };
        self.storage.has_room_for_bytes(self.namespace, 1).map_err(full)
    }

    /// Schedules a run of this attempt's own that no unique key concerns.
    pub(super) async fn follow_up(&mut self, run: NewRun, now: Timestamp) -> Result<RunId, CallError> {
        self.count_create().await?;
        let id = run.id;
        self.push(Write::Schedule(Box::new(run.clone())))?;
        self.own.schedule(&run, now);
        Ok(id)
    }

    pub(super) fn writes(&self) -> &WriteSet {
        &self.writes
    }

    pub(super) fn push(&mut self, write: Write) -> Result<(), CallError> {
        self.writes.push(write).map_err(|(limit, max, asked)| CallError::Limit { limit, max, asked })
    }
}

#[async_trait]
impl HostCalls for GuestCalls {
    async fn schedule(&mut self, request: ScheduleRequest) -> Result<RunId, CallError> {
        let task = self.task_for(&request.task, &request.input).await?;
        let now = self.clock.now();
        let mut run = self.new_run(task, request, now)?;
        if let Some(unique) = run.unique_key.clone() {
            if let Some(holder) = self.schedule_over_own(&mut run, &unique)? {
                return Ok(holder);
            }
            // One of its own that was debounced has been looked at already, and what is stored holds the key no longer.
            if let Some(holder) = self.schedule_over_stored(&mut run, &unique, now)? {
                return Ok(holder);
            }
        }
        self.follow_up(run, now).await
    }

    async fn schedule_detached(&mut self, request: ScheduleRequest) -> Result<RunId, CallError> {
        if request.unique_key.is_none() {
            return Err(Invalid::new("invalid-unique-key", "unique-key", "a detached run needs one, because the attempt may repeat").into());
        }
        let task = self.task_for(&request.task, &request.input).await?;
        let now = self.clock.now();
        let run = self.new_run(task, request, now)?;
        // An equal one too: it is not committed, and would find its key taken when it is.
        if let Some(own) = self.own_holder(&run) {
            return Err(CallError::UniqueKeyTaken(own.id));
        }
        self.count_create().await?;
        let created = self.storage.create(self.namespace, vec![run], now).await.map_err(refused)?;
        Ok(created[0].id())
    }

    fn get(&mut self, run: RunId) -> Result<Run, CallError> {
        if let Some(own) = self.own.new_run(run) {
            return Ok(own.clone());
        }
        let stored = self.storage.get(self.namespace, run, self.clock.now()).map_err(unavailable)?;
        stored.and_then(|stored| self.own.apply(stored)).ok_or(CallError::RunNotFound(run))
    }

    fn find_by_unique_key(&mut self, key: &UniqueKey) -> Result<Option<Existing>, CallError> {
        let takers = self.own.takers(key);
        for run in &takers.runs {
            match self.get(*run) {
                Ok(seen) if !seen.status.is_final() => return Ok(Some(unfinished(seen))),
                Ok(_) | Err(CallError::RunNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // The attempt's own run takes the key from the stored one at the commit, and has no attempt because it is cancelled: the key is free.
        if takers.has_new {
            return Ok(None);
        }
        let now = self.clock.now();
        let holder = self.storage.holder_of_key(self.namespace, key, now).map_err(unavailable)?;
        Ok(holder.and_then(|holder| self.own.apply_to_holder(holder)).and_then(|holder| holder.holding(now)))
    }

    async fn list(&mut self, filter: &RunFilter, page: &Page) -> Result<(Vec<Run>, Option<Cursor>), CallError> {
        let filter = filter.clone().checked()?;
        let mut page = *page;
        loop {
            let asked = filter.clone();
            let (mut stored, next) = self.read(move |storage, namespace, now| storage.list(namespace, &asked, &page, now)).await?;
            stored.retain(|run| !self.own.concern(run.id));
            let (mut runs, mut next) = merge(&page, stored, next, self.own.matching(&filter));
            let mut bytes = 0;
            for index in 0..runs.len() {
                let here = place(&runs[index]);
                // Of a stored run that was changed, only what it is found by was kept.
                if self.own.concern(runs[index].id) {
                    match self.get(runs[index].id) {
                        // Deleted by somebody else meanwhile: the rest of what is known of it stays true for this page.
                        Err(CallError::RunNotFound(_)) => {}
                        seen => runs[index] = seen?,
                    }
                }
                bytes += runs[index].input.bytes().len() + runs[index].output.as_ref().map_or(0, |output| output.bytes().len());
                if bytes > PAGE_BYTES_MAX && index + 1 < runs.len() {
                    next = Some(here);
                    runs.truncate(index + 1);
                    break;
                }
            }
            if !runs.is_empty() || next.is_none() {
                return Ok((runs, next));
            }
            // The attempt has deleted or moved the whole page.
            page.cursor = next;
        }
    }

    fn reschedule(&mut self, run: RunId, due: Due) -> Result<(), CallError> {
        let now = self.clock.now();
        let seen = self.movable(run)?;
        self.move_to(seen, due.trigger_at(now), now)
    }

    fn shift(&mut self, run: RunId, micros: i64) -> Result<(), CallError> {
        let seen = self.movable(run)?;
        let to = seen.trigger_at.as_micros().checked_add(micros).and_then(Timestamp::from_micros);
        self.move_to(seen, to.ok_or_else(|| call_error(run, Unfit::OutOfRange))?, self.clock.now())
    }

    fn delete(&mut self, run: RunId) -> Result<(), CallError> {
        let seen = self.movable(run)?;
        self.supersede(run);
        if !self.own.is_new(run) {
            self.push(Write::Delete(run))?;
        }
        self.own.delete(seen);
        Ok(())
    }

    fn cancel(&mut self, run: RunId) -> Result<(), CallError> {
        if run == self.parent.id {
            return Err(Invalid::new("invalid-id", "id", "a run can't cancel itself; return from the task instead").into());
        }
        let seen = self.get(run)?;
        if seen.status.is_final() && !self.own.is_cancelled(run) {
            return Err(CallError::AlreadyEnded(run));
        }
        if !self.own.is_cancelled(run) {
            self.push(Write::Cancel(run))?;
            self.own.cancel(seen, self.clock.now());
        }
        Ok(())
    }

    fn trigger(&mut self, run: RunId) -> Result<(), CallError> {
        let seen = self.get(run)?;
        match seen.status {
            // One of its own has not been stored yet, and is due with the others then.
            Status::Scheduled if self.own.is_new(run) => return self.reschedule(run, Due::Now),
            // The time of an earlier move does not count any more.
            Status::Scheduled => drop(self.supersede(run)),
            Status::Backoff | Status::Missed | Status::Failed | Status::Cancelled => {}
            Status::Queued | Status::Running => return Err(CallError::AlreadyTriggered(run)),
            Status::Succeeded => return Err(CallError::AlreadyEnded(run)),
        }
        self.push(Write::Trigger(run))?;
        self.own.trigger(seen, self.clock.now());
        Ok(())
    }

    async fn select(&mut self, filter: &BulkFilter, change: BulkChange) -> Result<Selected, CallError> {
        let parts = change.parts(filter);
        let fit = match &parts.fit {
            Some(fit) => self.matching(fit).await?,
            None => Vec::new(),
        };
        let mut refused = Vec::new();
        for unfit in &parts.unfit {
            let runs = self.first(unfit, REFUSED_LISTED_MAX).await?;
            refused.extend(runs.iter().filter_map(|run| change.verdict(run).err().map(|unfit| (run.id, call_error(run.id, unfit)))));
        }
        refused.sort_unstable_by_key(|(run, _)| *run);
        refused.truncate(REFUSED_LISTED_MAX);
        let refused_total = match parts.unfit.is_empty() {
            true => 0,
            false => self.count(&parts.asked).await?.saturating_sub(fit.len() as u64).max(refused.len() as u64),
        };
        Ok(Selected { fit, refused, refused_total })
    }

    fn progress(&mut self, progress: Progress) {
        self.storage.progress(self.parent.id, progress);
    }

    fn take_writes(&mut self) -> WriteSet {
        self.own = OwnWrites::default();
        self.own_crons.clear();
        self.own_pauses.clear();
        std::mem::take(&mut self.writes)
    }
}

/// Whether two requests under one unique key ask for the same. The time does not count: a repeated request has a later one.
fn is_equal(a: &NewRun, b: &NewRun) -> bool {
    a.task.id == b.task.id && a.input == b.input && a.metadata == b.metadata
}

/// A run that has not ended, as the holder of its unique key.
fn unfinished(run: Run) -> Existing {
    Existing { run: run.id, status: Some(run.status), reason: run.reason, trigger_at: run.trigger_at, ended_at: None, held_until: None }
}

/// Why a run can't be changed, as the calls for single runs say it.
fn call_error(run: RunId, unfit: Unfit) -> CallError {
    match unfit {
        Unfit::AlreadyTriggered | Unfit::UnderWay => CallError::AlreadyTriggered(run),
        Unfit::DefinedByCode => CallError::DefinedByCode(run),
        Unfit::AlreadyEnded => CallError::AlreadyEnded(run),
        Unfit::OutOfRange => Invalid::new("invalid-time", "by", ChangeError::OutOfRange(run).to_string()).into(),
    }
}

fn refused(error: CreateError) -> CallError {
    match error {
        CreateError::UniqueKeyTaken(holder) | CreateError::IdempotencyConflict(holder) => CallError::UniqueKeyTaken(holder.run),
        // Its attempt is being ended, and what it stores would go with the rest.
        CreateError::Namespace(_) => CallError::Unavailable,
        CreateError::Quota(_) => CallError::Limit { limit: "live-per-root", max: LIVE_PER_ROOT_MAX, asked: LIVE_PER_ROOT_MAX + 1 },
        CreateError::Storage(error) => unavailable(error),
    }
}

/// A read that takes too long does so again. Otherwise a guest can only try again; what is wrong is for the host's log, where storage puts it.
pub(super) fn unavailable(error: StorageError) -> CallError {
    let max = WORK_MAX.as_millis() as u64;
    match error {
        StorageError::TooLong => CallError::Limit { limit: "read-milliseconds", max, asked: max + 1 },
        _ => CallError::Unavailable,
    }
}
