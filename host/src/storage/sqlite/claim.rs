//! Claims due runs.
//!
//! A claim is taken in memory at the due time and written by the group commit that follows; `finish` goes through the same queue, so
//! it never overtakes its claim. After an unclean stop the order is turned round (cautious mode): a run that may have
//! killed its host is claimed on disk before its guest starts, so that the crash is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::due_queue::Taken;
use super::group::Tx;
use super::queue::Op;
use super::rows::Waiting;
use super::verdict::Verdict;
use super::writer::Shared;
use crate::model::{Lineage, RunId, Timestamp};
use crate::storage::{CancelSignal, Claim, Slot};

/// A claim as it is written.
#[derive(Clone, Copy)]
pub(super) struct Started {
    pub(super) run: i64,
    pub(super) attempt: u32,
    pub(super) started_at: i64,
}

/// Takes up to `limit` due runs.
pub(super) fn claim(shared: &Arc<Shared>, limit: usize, now: Timestamp) -> Vec<Claim> {
    let micros = now.as_micros();
    shared.seen_now.fetch_max(micros, Ordering::Relaxed);
    shared.awake_at.store(micros, Ordering::Relaxed);
    let claims = if shared.due.is_cautious() { claim_cautiously(shared, limit, micros) } else { claim_at_once(shared, limit, micros) };
    // After the taking, which makes room.
    if shared.due.is_hungry(micros) {
        shared.request_load();
    }
    shared.upcoming.ask(shared, micros);
    claims
}

/// Takes due runs; their claims are written when the writer next wakes.
fn claim_at_once(shared: &Arc<Shared>, limit: usize, micros: i64) -> Vec<Claim> {
    let mut started = Vec::new();
    let Taken { claims, used, verdicts } = shared.due.take(limit, micros, |waiting, cancel, slot| {
        let written = Started { run: waiting.id, attempt: waiting.attempt + 1, started_at: micros };
        let claim = to_claim(shared, *waiting, cancel, slot)?;
        started.push(written);
        Some(claim)
    });
    if !started.is_empty() {
        // The writer is not woken here but by `nudge`, when the guests have been entered: the wake-up would cost them several
        // microseconds, and a guest that returns at once spares the database this write altogether.
        shared.push(Op::Claims { started, held: Vec::new(), used }, false);
        failpoint!("claim:queued");
    }
    decided(shared, verdicts, micros);
    claims
}

/// Takes due runs, and hands out those whose claim is committed: these come with a later call.
fn claim_cautiously(shared: &Arc<Shared>, limit: usize, now: i64) -> Vec<Claim> {
    let (mut ready, mut fresh, mut started) = (Vec::new(), Vec::new(), Vec::new());
    let Taken { claims: taken, used, verdicts } = shared.due.take(limit, now, |waiting, cancel, slot| {
        let written = Started { run: waiting.id, attempt: waiting.attempt + 1, started_at: now };
        let claim = to_claim(shared, *waiting, cancel, slot)?;
        started.push(written);
        Some(claim)
    });
    for claim in taken {
        let key = claim.run.key_in(shared.id_origin);
        if started.iter().any(|written| Some(written.run) == key) { fresh.push(claim) } else { ready.push(claim) }
    }
    if !fresh.is_empty() {
        shared.push(Op::Claims { started, held: fresh, used }, true);
    }
    decided(shared, verdicts, now);
    ready
}

/// Has the writer carry out what was decided about others on the way.
fn decided(shared: &Shared, verdicts: Vec<Verdict>, now: i64) {
    if !verdicts.is_empty() {
        shared.push(Op::Verdicts(verdicts, now), true);
    }
}

fn to_claim(shared: &Shared, waiting: Waiting, cancel: CancelSignal, slot: Slot) -> Option<Claim> {
    let task = shared.registry.task_by_id(waiting.task)?;
    let id = |key| RunId::from_key(key, shared.id_origin);
    let time = |micros| Timestamp::from_micros(micros).expect("what is armed was read from a valid row");
    Some(Claim {
        run: id(waiting.id),
        attempt: waiting.attempt + 1,
        input: waiting.input,
        metadata: waiting.metadata,
        origin: waiting.origin,
        lineage: waiting.lineage.map(|(parent, root, depth)| Lineage { parent: id(parent), root: id(root), depth }),
        trigger_at: time(waiting.trigger_at),
        due_at: time(waiting.due_at),
        max_attempts: waiting.max_attempts.unwrap_or(task.policy.retry.max_attempts),
        timeout: waiting.timeout.map_or(task.policy.timeout, Duration::from_micros),
        failures: waiting.failures,
        failing_since: waiting.failing_since,
        task,
        cancel,
        slot,
    })
}

/// Writes the claims of this group that no finish in it has made needless.
pub(super) fn write(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    if tx.claims.is_empty() {
        return Ok(());
    }
    let mut statement = tx.conn.prepare_cached(
        "-- claim
         UPDATE runlater_runs SET status = 1, due_at = NULL, attempt = ?2, started_at = ?3
         WHERE id = ?1 AND attempt = ?2 - 1 AND status IN (0, 2)",
    )?;
    for claim in tx.claims.values() {
        statement.execute((claim.run, claim.attempt, claim.started_at))?;
    }
    Ok(())
}
