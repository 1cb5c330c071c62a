//! Which of the selected runs a bulk change refuses, and why, without making it.
//!
//! Used by `bulk.rs`. The reasons that follow from a run alone are decided in the model; here is added what only storage knows: whether a run
//! exists, and which run holds its unique key.

use rustc_hash::FxHashMap;

use super::BulkOutcome;
use crate::model::limits::REFUSED_LISTED_MAX;
use crate::model::{BulkChange, NamespaceId, Order, Page, Parts, Run, RunId, Timestamp, Unfit};
use crate::storage::{ChangeError, Storage, StorageError};
use crate::time_limit;

/// The runs that a change by filter can't be done to.
pub(super) struct Refused {
    /// The first of them, in order of id.
    pub(super) listed: Vec<ChangeError>,
    /// How many there are.
    pub(super) total: u64,
}

impl Refused {
    /// Reads them, and how many runs the change can be done to.
    pub(super) fn of(
        storage: &dyn Storage,
        namespace: NamespaceId,
        parts: &Parts,
        change: BulkChange,
        now: Timestamp,
    ) -> Result<(u64, Self), StorageError> {
        let fits = parts.fit.as_ref().map_or(Ok(0), |fit| storage.count(namespace, fit, now))?;
        let mut listed = Vec::new();
        let page = Page::new(REFUSED_LISTED_MAX, None, Order::OldestFirst).expect("a page may have as many");
        for unfit in &parts.unfit {
            let (runs, _) = storage.list(namespace, unfit, &page, now)?;
            listed.extend(runs.iter().filter_map(|run| change.verdict(run).err().map(|unfit| change_error(run.id, unfit))));
        }
        listed.sort_by_key(ChangeError::run);
        listed.truncate(REFUSED_LISTED_MAX);
        if parts.unfit.is_empty() {
            return Ok((fits, Self { listed, total: 0 }));
        }
        // All less those that fit: a filter without a status is counted in an index, without a look at the rows.
        let total = storage.count(namespace, &parts.asked, now)?.saturating_sub(fits).max(listed.len() as u64);
        Ok((fits, Self { listed, total }))
    }
}

/// What a change of these runs would say.
pub(super) fn expected(
    storage: &dyn Storage,
    namespace: NamespaceId,
    ids: &[RunId],
    change: BulkChange,
    now: Timestamp,
) -> Result<BulkOutcome, StorageError> {
    let mut outcome = BulkOutcome::default();
    let mut keys = Keys::default();
    for &id in ids {
        if time_limit::is_over() {
            return Err(StorageError::TooLong);
        }
        let verdict = match storage.get(namespace, id, now)? {
            None => Err(ChangeError::NotFound(id)),
            Some(run) => match change.verdict(&run) {
                Err(unfit) => Err(change_error(id, unfit)),
                Ok(()) if change == BulkChange::Trigger => {
                    let holder = keys.taken(storage, namespace, &run)?;
                    holder.map_or(Ok(()), |holder| Err(ChangeError::UniqueKeyTaken(id, holder)))
                }
                Ok(()) => Ok(()),
            },
        };
        match verdict {
            Ok(()) => outcome.changed += 1,
            Err(refusal) => outcome.refused.push(refusal),
        }
    }
    outcome.refused_total = outcome.refused.len() as u64;
    Ok(outcome)
}

/// The unique keys that the runs judged so far would hold once they are triggered.
#[derive(Clone, Default)]
pub(super) struct Keys(FxHashMap<String, RunId>);

impl Keys {
    /// The run that would hold the key of `run` when its turn comes. `None` if the key is free or there is none: then `run` holds it.
    pub(super) fn taken(&mut self, storage: &dyn Storage, namespace: NamespaceId, run: &Run) -> Result<Option<RunId>, StorageError> {
        let Some(key) = &run.unique_key else { return Ok(None) };
        if let Some(holder) = self.0.get(key).filter(|holder| **holder != run.id) {
            return Ok(Some(*holder));
        }
        let holder = storage.key_taken_by(namespace, run.id)?;
        if holder.is_none() {
            self.0.insert(key.clone(), run.id);
        }
        Ok(holder)
    }
}

/// The reason, as callers are told it.
pub(super) fn change_error(run: RunId, unfit: Unfit) -> ChangeError {
    match unfit {
        Unfit::AlreadyTriggered => ChangeError::AlreadyTriggered(run),
        Unfit::DefinedByCode => ChangeError::DefinedByCode(run),
        Unfit::AlreadyEnded => ChangeError::AlreadyEnded(run),
        Unfit::UnderWay => ChangeError::UnderWay(run),
        Unfit::OutOfRange => ChangeError::OutOfRange(run),
    }
}
