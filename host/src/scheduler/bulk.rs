//! Changing many runs with one request.
//!
//! Runs named by id are changed in one transaction, each by its own verdict; so are those that match a filter, up to 500. More of them are
//! walked in order of id in slices, each its own transaction, so that a hundred thousand never hold up the writer. Runs that are created during
//! the walk are left alone, and a slice that is committed stays committed.
//!
//! Each selected run is changed or refused, once. `refused.rs` counts the refused ones, and judges runs for a dry run.

use std::collections::HashSet;

use futures_util::future::try_join_all;

use super::refused::{Refused, expected};
use super::{Error, Scheduler};
use crate::model::limits::PAGE_SIZE_MAX;
use crate::model::{BulkChange, BulkFilter, Due, Order, Page, RunFilter, RunId, Selection, distinct_moves};
use crate::storage::{Cancelled, ChangeError, Move};

/// Runs changed between two commits, if there are more than a page of them. The writer serves other requests in between.
const SLICE: usize = 200;

/// What a bulk request did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// How many runs were changed, or would be in a dry run.
    pub changed: u64,
    /// Which they are, in the order in which they were changed; empty in a dry run.
    pub changed_ids: Vec<RunId>,
    /// The selected runs that could not be changed, each with the reason: all of them if they were selected by id; the first 100 in order of
    /// id if by filter.
    pub refused: Vec<ChangeError>,
    /// How many runs could not be changed.
    pub refused_total: u64,
}

impl Scheduler {
    /// Deletes scheduled runs. A dry run only counts.
    pub async fn bulk_delete(&self, selection: Selection, dry_run: bool) -> Result<BulkOutcome, Error> {
        self.bulk(selection, dry_run, Change::Delete).await
    }

    /// Moves scheduled runs, each to its own time: 1 to 500. A move that repeats counts once.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the code `invalid-bulk` if one run is given two different times.
    pub async fn bulk_reschedule(&self, moves: Vec<(RunId, Due)>) -> Result<BulkOutcome, Error> {
        let now = self.now();
        let moves: Vec<_> = distinct_moves(moves)?.into_iter().map(|(run, due)| (run, Move::To(due.trigger_at(now)))).collect();
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

    /// Makes runs due at once, as [`trigger_now`](Self::trigger_now) does. A filter without a status means failed and missed runs; with one,
    /// also scheduled and cancelled ones and those in backoff. A dry run only counts.
    pub async fn bulk_trigger(&self, selection: Selection, dry_run: bool) -> Result<BulkOutcome, Error> {
        self.bulk(selection, dry_run, Change::Trigger).await
    }

    async fn bulk(&self, selection: Selection, dry_run: bool, change: Change) -> Result<BulkOutcome, Error> {
        match selection {
            Selection::Ids(ids) if dry_run => {
                let kind = change.kind();
                self.read(move |storage, namespace, now| expected(storage, namespace, ids.as_slice(), kind, now)).await
            }
            Selection::Ids(ids) => self.change(ids.into_vec(), change).await,
            Selection::Matching(filter) => self.bulk_matching(&filter, dry_run, change).await,
        }
    }

    async fn bulk_matching(&self, filter: &BulkFilter, dry_run: bool, change: Change) -> Result<BulkOutcome, Error> {
        let kind = change.kind();
        let parts = kind.parts(filter);
        let fit = parts.fit.clone();
        // Before anything is changed: a run that is cancelled here has ended afterwards.
        let (fits, refused) = self.read(move |storage, namespace, now| Refused::of(storage, namespace, &parts, kind, now)).await?;
        let mut outcome = BulkOutcome { changed: 0, changed_ids: Vec::new(), refused: refused.listed, refused_total: refused.total };
        let Some(fit) = fit else { return Ok(outcome) };
        match (dry_run, change) {
            // Whether a run can be triggered depends on its unique key, too.
            (true, Change::Trigger) => self.expect_triggered(fit, &mut outcome).await?,
            (true, _) => outcome.changed = fits,
            (false, _) => self.sweep(fit, change, &mut outcome).await?,
        }
        Ok(outcome)
    }

    /// Counts the runs of `fit` that a bulk trigger would change, in the order in which it walks them.
    async fn expect_triggered(&self, fit: RunFilter, outcome: &mut BulkOutcome) -> Result<(), Error> {
        let mut keys = super::refused::Keys::default();
        let mut cursor = None;
        loop {
            let (filter, page) = (fit.clone(), Page::new(PAGE_SIZE_MAX, cursor, Order::OldestFirst)?);
            let (next, counted, refused, seen) = self
                .read(move |storage, namespace, now| {
                    let mut keys = keys.clone();
                    let (runs, next) = storage.list(namespace, &filter, &page, now)?;
                    let (mut counted, mut refused) = (0, Vec::new());
                    for run in runs {
                        match keys.taken(storage, namespace, &run)? {
                            None => counted += 1,
                            Some(holder) => refused.push(ChangeError::UniqueKeyTaken(run.id, holder)),
                        }
                    }
                    Ok((next, counted, refused, keys))
                })
                .await?;
            keys = seen;
            outcome.changed += counted;
            outcome.refuse(refused);
            match next {
                Some(_) => cursor = next,
                None => return Ok(()),
            }
        }
    }

    async fn sweep(&self, filter: RunFilter, change: Change, outcome: &mut BulkOutcome) -> Result<(), Error> {
        // Ids rise with time: what is created from here on lies beyond this one and is left alone.
        let last = self.core.storage.next_run_id(self.now());
        let mut cursor = None;
        loop {
            let (ids, next) = {
                let (filter, page) = (filter.clone(), Page::new(PAGE_SIZE_MAX, cursor, Order::OldestFirst)?);
                self.read(move |storage, namespace, now| storage.list_ids(namespace, &filter, &page, now)).await?
            };
            let ids: Vec<_> = ids.into_iter().take_while(|id| *id <= last).collect();
            let at_once = if cursor.is_none() && next.is_none() { PAGE_SIZE_MAX } else { SLICE };
            for slice in ids.chunks(at_once) {
                let slice = self.change(slice.to_vec(), change).await?;
                outcome.changed += slice.changed;
                outcome.changed_ids.extend(slice.changed_ids);
                // For example because it triggered between the look and the change.
                outcome.refuse(slice.refused);
            }
            match next {
                Some(next) if next.after <= last => cursor = Some(next),
                _ => return Ok(()),
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
                let verdicts = try_join_all(ids.iter().map(|id| storage.cancel(namespace, *id, now))).await?;
                let told = verdicts.into_iter().zip(ids).map(|(verdict, id)| match verdict {
                    // It counts as changed by the request that cancelled it.
                    Ok(Cancelled::Before) => Err(ChangeError::AlreadyEnded(id)),
                    verdict => verdict.map(drop),
                });
                told.collect()
            }
        };
        Ok(tally(named, verdicts))
    }
}

/// What is done to each run, with what storage needs for it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Delete,
    Move(Move),
    Cancel,
    Trigger,
}

impl Change {
    fn kind(self) -> BulkChange {
        match self {
            Self::Delete => BulkChange::Delete,
            Self::Move(Move::To(_)) => BulkChange::Reschedule,
            Self::Move(Move::By(micros)) => BulkChange::Shift(micros),
            Self::Cancel => BulkChange::Cancel,
            Self::Trigger => BulkChange::Trigger,
        }
    }
}

impl BulkOutcome {
    /// Adds runs that could not be changed to those that were found before.
    fn refuse(&mut self, refused: Vec<ChangeError>) {
        if refused.is_empty() {
            return;
        }
        // A run whose status changed during the walk may be among them already.
        let known: HashSet<_> = self.refused.iter().map(ChangeError::run).collect();
        let new: Vec<_> = refused.into_iter().filter(|refusal| !known.contains(&refusal.run())).collect();
        self.refused_total += new.len() as u64;
        self.refused.extend(new);
        self.refused.sort_by_key(ChangeError::run);
        self.refused.truncate(crate::model::limits::REFUSED_LISTED_MAX);
    }
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
    outcome.refused_total = outcome.refused.len() as u64;
    outcome
}
