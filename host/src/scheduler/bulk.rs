//! Changing many runs with one request.
//!
//! Runs named by id are changed in one transaction, each by its own verdict; so are those that match a filter, up to 500. More of them are
//! walked in order of id in slices, each its own transaction, so that a hundred thousand never hold up the writer: what was created or
//! triggered meanwhile is left alone, and a slice that is committed stays so.

use futures_util::future::try_join_all;

use super::{Error, Scheduler};
use crate::model::limits::PAGE_SIZE_MAX;
use crate::model::{Due, Invalid, Order, Origin, Page, RunFilter, RunId, Status};
use crate::storage::{ChangeError, Move};

/// Runs changed between two commits, if there are more than a page of them. The writer serves everybody else in between.
const SLICE: usize = 200;

/// Which runs a bulk request means.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// These: 1 to 500.
    Ids(Vec<RunId>),
    /// Those that match and may be changed through the API. An empty filter means all of the namespace's.
    Matching(RunFilter),
}

/// What a bulk request did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// How many runs were changed, or would be in a dry run.
    pub changed: u64,
    /// Which they are, in the order in which they were changed; empty in a dry run.
    pub changed_ids: Vec<RunId>,
    /// The runs that were named and could not be changed, each with the reason.
    pub refused: Vec<ChangeError>,
}

impl Scheduler {
    /// Deletes scheduled runs. A dry run only counts.
    pub async fn bulk_delete(&self, selection: Selection, dry_run: bool) -> Result<BulkOutcome, Error> {
        self.bulk(selection, dry_run, Change::Delete).await
    }

    /// Moves scheduled runs, each to its own time: 1 to 500.
    pub async fn bulk_reschedule(&self, moves: Vec<(RunId, Due)>) -> Result<BulkOutcome, Error> {
        check_count(moves.len())?;
        let now = self.now();
        let moves: Vec<_> = moves.into_iter().map(|(run, due)| (run, Move::To(due.trigger_at(now)))).collect();
        let ids = moves.iter().map(|(run, _)| *run).collect();
        Ok(tally(ids, self.changes.reschedule(self.namespace.id, moves, now).await?))
    }

    /// Moves all that are selected: to one time, or each by the same span. A dry run only counts.
    pub async fn bulk_move(&self, selection: Selection, to: Move, dry_run: bool) -> Result<BulkOutcome, Error> {
        self.bulk(selection, dry_run, Change::Move(to)).await
    }

    /// Cancels runs that have not ended: those that wait never start, those that execute are told to end. A dry run only counts.
    pub async fn bulk_cancel(&self, selection: Selection, dry_run: bool) -> Result<BulkOutcome, Error> {
        self.bulk(selection, dry_run, Change::Cancel).await
    }

    /// Makes runs due at once, as [`trigger_now`](Self::trigger_now) does: failed and missed ones, and by status also scheduled and cancelled
    /// ones and those in backoff. A dry run only counts.
    pub async fn bulk_trigger(&self, selection: Selection, dry_run: bool) -> Result<BulkOutcome, Error> {
        self.bulk(selection, dry_run, Change::Trigger).await
    }

    async fn bulk(&self, selection: Selection, dry_run: bool, change: Change) -> Result<BulkOutcome, Error> {
        match selection {
            Selection::Ids(ids) => {
                check_count(ids.len())?;
                if dry_run {
                    return self.verdicts(ids, change).await;
                }
                self.change(ids, change).await
            }
            Selection::Matching(filter) => match change.narrow(filter.checked()?) {
                Some(filter) if dry_run => Ok(BulkOutcome { changed: self.count(&filter).await?, ..BulkOutcome::default() }),
                Some(filter) => self.sweep(filter, change).await,
                None => Ok(BulkOutcome::default()),
            },
        }
    }

    async fn sweep(&self, filter: RunFilter, change: Change) -> Result<BulkOutcome, Error> {
        // Ids rise with time: what is created from here on lies beyond this one and is left alone.
        let last = self.core.storage.next_run_id(self.now());
        let mut outcome = BulkOutcome::default();
        let mut cursor = None;
        loop {
            let (ids, next) = {
                let (filter, page) = (filter.clone(), Page::new(PAGE_SIZE_MAX, cursor, Order::OldestFirst)?);
                self.read(move |storage, namespace, now| storage.list_ids(namespace, &filter, &page, now)).await?
            };
            let ids: Vec<_> = ids.into_iter().take_while(|id| *id <= last).collect();
            let at_once = if cursor.is_none() && next.is_none() { PAGE_SIZE_MAX } else { SLICE };
            for slice in ids.chunks(at_once) {
                // What triggered between the look and the change is no error of the caller's: it just no longer matches.
                let slice = self.change(slice.to_vec(), change).await?;
                outcome.changed += slice.changed;
                outcome.changed_ids.extend(slice.changed_ids);
            }
            match next {
                Some(next) if next.after <= last => cursor = Some(next),
                _ => return Ok(outcome),
            }
        }
    }

    async fn change(&self, ids: Vec<RunId>, change: Change) -> Result<BulkOutcome, Error> {
        let (storage, namespace, now) = (&self.changes, self.namespace.id, self.now());
        let named = ids.clone();
        let verdicts = match change {
            Change::Delete => storage.delete(namespace, ids, now).await?,
            Change::Move(to) => storage.reschedule(namespace, ids.into_iter().map(|id| (id, to)).collect(), now).await?,
            // Each is a transition of its own; asked for together, they share a commit.
            Change::Trigger => try_join_all(ids.into_iter().map(|id| storage.trigger(namespace, id, now))).await?,
            Change::Cancel => {
                let verdicts = try_join_all(ids.into_iter().map(|id| storage.cancel(namespace, id, now))).await?;
                verdicts.into_iter().map(|verdict| verdict.map(drop)).collect()
            }
        };
        Ok(tally(named, verdicts))
    }

    /// What a change of these would say, without making it.
    async fn verdicts(&self, ids: Vec<RunId>, change: Change) -> Result<BulkOutcome, Error> {
        let mut outcome = BulkOutcome::default();
        for id in ids {
            match self.get(id).await {
                Ok(run) if change == Change::Cancel => match run.status.is_final() && run.status != Status::Cancelled {
                    true => outcome.refused.push(ChangeError::AlreadyEnded(id)),
                    false => outcome.changed += 1,
                },
                Ok(run) if change == Change::Trigger => match run.status {
                    Status::Queued | Status::Running => outcome.refused.push(ChangeError::UnderWay(id)),
                    Status::Succeeded => outcome.refused.push(ChangeError::AlreadyEnded(id)),
                    _ => outcome.changed += 1,
                },
                Ok(run) if run.status != Status::Scheduled => outcome.refused.push(ChangeError::AlreadyTriggered(id)),
                Ok(run) if run.origin == Origin::Code => outcome.refused.push(ChangeError::DefinedByCode(id)),
                Ok(_) => outcome.changed += 1,
                Err(Error::RunNotFound(id)) => outcome.refused.push(ChangeError::NotFound(id)),
                Err(other) => return Err(other),
            }
        }
        Ok(outcome)
    }
}

/// What is done to each run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Delete,
    Move(Move),
    Cancel,
    Trigger,
}

impl Change {
    /// The part of `filter` to which this can be done. `None` if there is no such part.
    fn narrow(self, filter: RunFilter) -> Option<RunFilter> {
        match self {
            Self::Cancel => unfinished(filter),
            Self::Trigger => triggerable(filter),
            Self::Delete | Self::Move(_) => changeable(filter),
        }
    }
}

/// The part of `filter` that has not ended.
fn unfinished(mut filter: RunFilter) -> Option<RunFilter> {
    if filter.statuses.is_empty() {
        filter.statuses = Status::ALL.to_vec();
    }
    filter.statuses.retain(|status| !status.is_final());
    (!filter.statuses.is_empty()).then_some(filter)
}

/// The part of `filter` that can be made due by hand. Without a status that is what went wrong: nobody means all that is still to come.
pub(super) fn triggerable(mut filter: RunFilter) -> Option<RunFilter> {
    if filter.statuses.is_empty() {
        filter.statuses = vec![Status::Failed, Status::Missed];
    }
    filter.statuses.retain(|status| !matches!(status, Status::Queued | Status::Running | Status::Succeeded));
    (!filter.statuses.is_empty()).then_some(filter)
}

/// The part of `filter` that a bulk change may touch: not yet triggered, not defined by code. `None` if there is no such part.
pub(super) fn changeable(mut filter: RunFilter) -> Option<RunFilter> {
    if !filter.statuses.is_empty() && !filter.statuses.contains(&Status::Scheduled) {
        return None;
    }
    filter.statuses = vec![Status::Scheduled];
    if filter.origins.is_empty() {
        filter.origins = Origin::ALL.to_vec();
    }
    filter.origins.retain(|origin| *origin != Origin::Code);
    (!filter.origins.is_empty()).then_some(filter)
}

fn check_count(count: usize) -> Result<(), Invalid> {
    if (1..=PAGE_SIZE_MAX).contains(&count) {
        return Ok(());
    }
    Err(Invalid::new("invalid-bulk", "ids", format!("1 to {PAGE_SIZE_MAX} ids in one request; use a filter for more"))
        .seen(count.to_string()))
}

/// Sums up the verdicts on these runs, in the same order.
fn tally(ids: Vec<RunId>, verdicts: Vec<Result<(), ChangeError>>) -> BulkOutcome {
    let mut outcome = BulkOutcome::default();
    for (id, verdict) in ids.into_iter().zip(verdicts) {
        match verdict {
            Ok(()) => {
                outcome.changed += 1;
                outcome.changed_ids.push(id);
            }
            Err(refusal) => outcome.refused.push(refusal),
        }
    }
    outcome
}
