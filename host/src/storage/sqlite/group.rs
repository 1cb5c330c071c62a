//! One group of writes: a transaction, its commit, and what the commit changes in memory.
//!
//! Called by the writer's thread (`writer.rs`) and nobody else. What a commit changes in memory (the due queue, those who wait for a run) is changed
//! after it, so that nobody acts on what may still be undone. Only the registry is read just before, so that whoever has seen the commit finds its
//! tasks; if nothing is committed, it is read again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{CachedStatement, Connection, ErrorCode};
use rustc_hash::FxHashMap;

use super::queue::{Answer, Op};
use super::rows::Waiting;
use super::writer::{Shared, sort, to_retry};
use super::{audit, claim, finish, meta, rates, verdict};
use crate::storage::{RunEvent, StorageError};

/// How often a sign of life is stored beside other writes.
const ALIVE_EVERY_MICROS: u64 = 1_000_000;

/// A transaction under way: the connection, and what to change in memory once it is committed.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) shared: &'a Shared,
    /// The statements that most rows need, so that they are looked for once in a group.
    pub(super) insert: Option<CachedStatement<'a>>,
    pub(super) finish: Option<CachedStatement<'a>>,
    /// Claims of this group that are not in the database yet: a finish in the same group makes them needless.
    pub(super) claims: FxHashMap<i64, claim::Started>,
    /// What lanes of tasks have used of their rates by the claims of this group.
    pub(super) used: FxHashMap<(i64, Arc<str>), i64>,
    /// Who changed what, as far as that is to be on record.
    pub(super) audit: Vec<audit::Entry>,
    /// To be armed after the commit.
    #[expect(clippy::vec_box, reason = "it moves on as it is, into a map of boxes")]
    pub(super) arm: Vec<Box<Waiting>>,
    /// Runs that were disarmed when `arm` had this length: what stands there of them up to then is void.
    pub(super) unarmed: Vec<(usize, i64)>,
    /// Disarmed already; to be armed again if the commit fails.
    #[expect(clippy::vec_box, reason = "it moves on as it is, into a map of boxes")]
    pub(super) disarmed: Vec<Box<Waiting>>,
    /// Attempts that ended.
    pub(super) released: Vec<i64>,
    /// Runs that reached a final status or were deleted.
    pub(super) ended: Vec<i64>,
    pub(super) events: Vec<RunEvent>,
    /// Whether the registry must be read again.
    pub(super) registered: bool,
    /// Whether the disk is nearly full, so that nothing new is stored.
    pub(super) is_low: bool,
    /// Makes room in memory known to whoever waits for it.
    pub(super) after_commit: Vec<Box<dyn FnOnce() + Send>>,
    /// Whether whoever claims should look at once.
    pub(super) wake: bool,
    /// What failed; nothing more is applied then.
    pub(super) failed: Option<rusqlite::Error>,
}

impl Tx<'_> {
    /// Whether anybody watches, so that events are worth making.
    pub(super) fn watched(&self) -> bool {
        self.shared.watch.is_watched()
    }
}

/// Applies the group in one transaction. What is left in `group` afterwards must be tried again.
pub(super) fn commit(
    conn: &Connection,
    shared: &Shared,
    group: &mut Vec<Op>,
    alive_at: &mut i64,
    is_low: bool,
) -> Result<Group, StorageError> {
    match conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
        Ok(_) => {}
        // Nothing was begun: the whole group is there to be tried again, or withdrawn.
        Err(error) => return to_retry(&error),
    }
    failpoint!("commit:begun");
    failpoint!("outcome:begun" if has_outcome(group));
    let mut tx = Tx {
        conn,
        shared,
        insert: None,
        finish: None,
        claims: FxHashMap::default(),
        used: FxHashMap::default(),
        audit: Vec::new(),
        arm: Vec::new(),
        unarmed: Vec::new(),
        disarmed: Vec::new(),
        released: Vec::new(),
        ended: Vec::new(),
        events: Vec::new(),
        registered: false,
        is_low,
        after_commit: Vec::new(),
        wake: false,
        failed: None,
    };
    let mut answers: Vec<Answer> = Vec::new();
    let mut keep: Vec<Op> = Vec::with_capacity(group.len());
    for op in group.drain(..) {
        if tx.failed.is_some() {
            keep.push(op);
            continue;
        }
        match op {
            Op::Claims { started, held, used } => {
                for claim in &started {
                    tx.claims.insert(claim.run, *claim);
                }
                for used in &used {
                    // Workers may come here in another order than that in which they took what they use.
                    let until = tx.used.entry((used.task, used.lane.clone())).or_insert(used.until);
                    *until = used.until.max(*until);
                }
                keep.push(Op::Claims { started, held, used });
            }
            Op::Verdicts(verdicts, now) => match verdicts.iter().try_for_each(|verdict| verdict::apply(&mut tx, verdict, now)) {
                Ok(()) => keep.push(Op::Verdicts(verdicts, now)),
                Err(error) => {
                    // As an outcome is: only the disk's fault is tried again.
                    if matches!(sort(&error, false), StorageError::Unavailable(_)) {
                        tracing::error!(%error, "what was decided about waiting runs can't be stored; they are judged again when the host starts again");
                    } else {
                        keep.push(Op::Verdicts(verdicts, now));
                    }
                    tx.failed = Some(error);
                }
            },
            Op::Finish(finish, now) => {
                match finish::finish(&mut tx, &finish, now) {
                    Ok(()) => keep.push(Op::Finish(finish, now)),
                    Err(error) => {
                        // Tried again only where the disk was at fault: an outcome that no row can hold must not be tried for ever.
                        if matches!(sort(&error, false), StorageError::Unavailable(_)) {
                            tracing::error!(run = %finish.run, %error, "an outcome can't be stored; its run is repeated when the host starts again");
                        } else {
                            keep.push(Op::Finish(finish, now));
                        }
                        tx.failed = Some(error);
                    }
                }
            }
            Op::Call(call) => answers.push(call.apply(&mut tx)),
            Op::Own(own) => answers.push(own(&mut tx)),
        }
    }
    if tx.failed.is_none() {
        let awake_at = shared.awake_at.load(Ordering::Relaxed);
        // Also when the clock was set back: otherwise runs that become due from then on would count as due while the host was alive.
        let alive = awake_at.abs_diff(*alive_at) >= ALIVE_EVERY_MICROS;
        let written = claim::write(&mut tx)
            .and_then(|()| rates::write(&tx))
            .and_then(|()| audit::write(&tx))
            .and_then(|()| shared.run_bytes.write(conn))
            .and_then(|()| if alive { meta::set_alive(conn, awake_at) } else { Ok(()) });
        match written {
            Ok(()) if alive => *alive_at = awake_at,
            Ok(()) => {}
            Err(error) => tx.failed = Some(error),
        }
    }
    failpoint!("commit:before");
    failpoint!("outcome:before" if has_outcome(&keep));
    let registered = tx.registered && tx.failed.is_none();
    if registered && let Err(error) = shared.registry.load(conn) {
        tracing::error!(%error, "the registered tasks can't be read");
    }
    let (failed, committing) = match tx.failed.take() {
        Some(error) => (Some(error), false),
        None => (conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).err(), true),
    };
    let Some(error) = failed else {
        shared.run_bytes.committed();
        failpoint!("commit:after");
        failpoint!("outcome:after" if has_outcome(&keep));
        #[cfg(feature = "test-util")]
        let ends_attempts = has_outcome(&keep);
        settle(tx);
        for op in keep {
            if let Op::Claims { held, .. } = op
                && !held.is_empty()
            {
                failpoint!("claim:committed");
                shared.due.put_committed(held);
            }
        }
        failpoint!("commit:settled");
        failpoint!("outcome:settled" if ends_attempts);
        answers.into_iter().for_each(|answer| answer(Ok(())));
        return Ok(Group::Committed);
    };
    // SQLite leaves a transaction open whose commit another connection kept from happening: nothing of it was committed.
    let unknown = committing && (conn.is_autocommit() || error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy));
    let error = sort(&error, unknown);
    // After some errors SQLite has rolled back by itself; then this one says so, and that is fine.
    drop(conn.execute_batch("ROLLBACK"));
    // What it said was not committed. Those who wait are told first what became of their writes, even if it can't be read.
    let unread = if registered { shared.registry.load(conn).err() } else { None };
    shared.audit_numbers.forget();
    shared.run_bytes.rolled_back();
    shared.due.arm(std::mem::take(&mut tx.disarmed));
    answers.into_iter().for_each(|answer| answer(Err(error.clone())));
    // Calls that were not reached are dropped: their callers are told that nothing was changed.
    group.extend(keep.into_iter().filter(|op| !matches!(op, Op::Call(_))));
    match (error, unread) {
        (StorageError::Full | StorageError::Locked | StorageError::Unavailable(_), Some(unread)) => Err(sort(&unread, false)),
        (StorageError::Full, None) => Ok(Group::DiskFull),
        (StorageError::Locked, None) => Ok(Group::Locked),
        (StorageError::Unavailable(_), None) => Ok(Group::RolledBack),
        (fatal, _) => Err(fatal),
    }
}

/// Whether a test that is about the end of an attempt means this group.
#[cfg(feature = "test-util")]
fn has_outcome(group: &[Op]) -> bool {
    group.iter().any(|op| matches!(op, Op::Finish(..)))
}

/// What became of a group of writes.
pub(super) enum Group {
    Committed,
    /// One call was at fault. The outcomes among the others are still there to be tried again.
    RolledBack,
    DiskFull,
    /// Another program holds the write lock.
    Locked,
}

/// Changes in memory what the commit changed in the database.
fn settle(tx: Tx<'_>) {
    let shared = tx.shared;
    if tx.registered {
        shared.serve_namespaces();
        shared.govern(shared.seen_now.load(Ordering::Relaxed));
        shared.request_load();
    }
    if !tx.released.is_empty() || !tx.ended.is_empty() {
        shared.due.release(&tx.released, &tx.ended);
    }
    if !tx.arm.is_empty() {
        // Of several lengths for one run the last counts, which is the greatest.
        let void: FxHashMap<i64, usize> = tx.unarmed.iter().map(|(length, run)| (*run, *length)).collect();
        let valid = |(place, waiting): &(usize, Box<Waiting>)| void.get(&waiting.id).is_none_or(|length| place >= length);
        shared.due.arm(tx.arm.into_iter().enumerate().filter(valid).map(|(_, waiting)| waiting));
    }
    tx.after_commit.into_iter().for_each(|then| then());
    // Last, so that whoever is told finds everything as it is now.
    shared.watch.tell(tx.ended, tx.events);
    if tx.wake {
        shared.due.wake();
    }
}
