//! Marks the runs that were missed while no host was running, and says that the host is alive while runs wait.
//!
//! One task, with a bounded tick each ten seconds; [`sweep`] is also called once before the workers start, unless the gap before the start is dealt
//! with while the host serves already. Which runs are missed is
//! decided by `model::gap` and done by `Storage::miss`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::crew::Crew;
use crate::clock::Clock;
use crate::model::Gap;
use crate::storage::{Storage, StorageError};

/// Runs marked between two commits. The writer serves everybody else in between.
const SLICE: usize = 500;
/// Crons decided about between two commits.
const CRONS_SLICE: usize = 100;
/// How often the keeper looks whether due runs wait for a slot, and has the database know that the host is alive. Well within the
/// default grace, so that a host that dies then does not make them look missed. Gaps are noticed by the watchdog.
const TICK: Duration = Duration::from_secs(10);
/// How long to wait after storage could not do it.
const RETRY: Duration = Duration::from_secs(1);

/// Looks after missed runs until it is dropped.
pub(super) async fn keep(crew: Arc<Crew>, storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, caught_up: watch::Sender<bool>) {
    let mut wait = TICK;
    loop {
        tokio::select! {
            () = clock.sleep(wait) => {}
            () = crew.watchdog.noticed() => {}
        }
        wait = match tick(&crew, storage.as_ref(), clock.as_ref()).await {
            Ok(()) => {
                caught_up.send_replace(true);
                TICK
            }
            // Storage logs when this begins and when it ends.
            Err(StorageError::Locked) => RETRY,
            Err(error) => {
                // Until it succeeds, no worker claims: what was missed would run as if it were merely late.
                tracing::warn!(%error, "storage could not mark what was missed, or note that the host is alive; trying again in a second");
                RETRY
            }
        };
    }
}

async fn tick(crew: &Crew, storage: &dyn Storage, clock: &dyn Clock) -> Result<(), StorageError> {
    let mut swept = false;
    let awake = loop {
        if let Some(awake) = crew.watchdog.beat() {
            break awake;
        }
        // Another thread may have found the gap, and this task have dealt with it, between the beat and this look.
        if let Some(gap) = crew.watchdog.gap() {
            sweep(storage, clock, gap).await?;
            crew.watchdog.swept(gap);
            swept = true;
        }
    };
    if swept {
        // The workers found claims forbidden and wait.
        crew.look();
    }
    // Also when there were commits, which say the same: one small write in ten seconds is cheaper than to know. The time is the
    // watchdog's, because the clock may be past a gap that was not judged yet, and a crash would then forget that gap.
    let waits = || {
        let health = storage.health();
        health.parked > 0 || health.waiting_for_slots > 0
    };
    // After a sweep in any case, so that a later start does not look at the same gap.
    if swept || storage.next_due().is_some_and(|due| due <= awake) || waits() {
        storage.heartbeat(awake).await?;
    }
    Ok(())
}

/// Marks everything that was missed in `gap`, a slice at a time. Stopped half-way, it is begun anew without harm.
pub(super) async fn sweep(storage: &dyn Storage, clock: &dyn Clock, gap: Gap) -> Result<(), StorageError> {
    // Before the single runs: what an occurrence was made into is the cron's to decide about.
    while storage.miss_crons(gap, CRONS_SLICE, clock.now()).await? > 0 {}
    let mut caught_up = 0;
    loop {
        let chosen = storage.catch_up(gap, SLICE, clock.now()).await?;
        caught_up += chosen;
        if chosen < SLICE {
            break;
        }
    }
    let mut missed = 0;
    loop {
        let marked = storage.miss(gap, SLICE, clock.now()).await?;
        missed += marked;
        if marked < SLICE {
            break;
        }
    }
    tracing::info!(missed, caught_up, from = %gap.from, until = %gap.until, "no host was running");
    Ok(())
}
