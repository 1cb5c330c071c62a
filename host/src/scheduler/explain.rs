//! Why a run stands where it stands: gathers what is known, and has the model explain it.

use super::{Error, Scheduler};
use crate::model::limits::AUDIT_PAGE_MAX;
use crate::model::{
    AttemptQuery, AuditQuery, Explanation, Hold, Known, NamespaceId, Order, Page, Run, RunFilter, RunId, Status, Timestamp, explain,
};
use crate::storage::{Storage, StorageError};

/// Further runs that one explanation names.
const OTHERS_MAX: usize = 16;

impl Scheduler {
    /// Explains why a run waits, did not run, or ended as it did, as things stand at this moment.
    pub async fn explain(&self, run: RunId) -> Result<Explanation, Error> {
        let awaited = self.core.executor.awaited_memory(self.namespace.id, run);
        let found = self.read(move |storage, namespace, now| gather(storage, awaited, namespace, run, now)).await?;
        found.ok_or(Error::RunNotFound(run))
    }
}

fn gather(
    storage: &dyn Storage,
    awaited_memory: Option<u64>,
    namespace: NamespaceId,
    id: RunId,
    now: Timestamp,
) -> Result<Option<Explanation>, StorageError> {
    // What holds it is asked first: of a run that starts meanwhile, the look that follows tells the truth.
    let hold = storage.hold(namespace, id, now)?;
    let Some(run) = storage.get(namespace, id, now)? else { return Ok(None) };
    let task = storage.task(namespace, run.task.as_str());
    let cron = match run.occurrence.as_ref().and_then(|occurrence| occurrence.cron.as_ref()) {
        Some(name) => storage.cron(namespace, name)?,
        None => None,
    };
    let hold = hold.filter(|_| run.status == Status::Queued);
    let others = others(storage, namespace, &run, hold.as_ref(), now)?;
    let query = AuditQuery::new(Some(AUDIT_PAGE_MAX), Some(id), None).expect("a page of the largest size");
    let record = storage.audit(namespace, &query)?;
    let history = storage.attempts(namespace, id, &AttemptQuery::last_of(run.attempts))?;
    let trouble = storage.health().trouble;
    Ok(Some(explain(&Known {
        run: &run,
        attempts: &history.attempts,
        failing_since: history.failing_since,
        task: task.as_deref(),
        cron: cron.as_ref(),
        hold: hold.as_ref(),
        awaited_memory: awaited_memory.filter(|_| run.status == Status::Running),
        first_asked_for: storage.first_asked_for(namespace, id)?,
        record: &record,
        others: &others,
        trouble: trouble.as_deref(),
        now,
    })))
}

/// The runs that an explanation of this one may name, as far as they are there and of the same namespace.
fn others(storage: &dyn Storage, namespace: NamespaceId, run: &Run, hold: Option<&Hold>, now: Timestamp) -> Result<Vec<Run>, StorageError> {
    let held_by = match hold {
        Some(Hold::LaneFull { held_by, .. } | Hold::TaskFull { held_by, .. }) => held_by.iter().map(|holder| holder.run).collect(),
        Some(Hold::LastChance { run }) => vec![*run],
        _ => Vec::new(),
    };
    let named = run.parent.into_iter().chain(run.because.and_then(|because| because.run)).chain(held_by);
    let mut found = Vec::new();
    for id in named.take(OTHERS_MAX) {
        found.extend(storage.get(namespace, id, now)?);
    }
    if run.status == Status::Failed {
        // A failed attempt leaves no other follow-ups than the one of its failure; those of attempts that were snoozed are older.
        let filter = RunFilter { parent: Some(run.id), ..RunFilter::default() };
        let page = Page::new(OTHERS_MAX, None, Order::NewestFirst).expect("a small page");
        found.extend(storage.list(namespace, &filter, &page, now)?.0.into_iter().filter(|other| other.on_failure));
    }
    Ok(found)
}
