//! Marks the runs that were missed while no host was running, and says that the host is alive while runs wait.
//!
//! One task, with a bounded tick each second; [`sweep`] is also called once before the workers start. Which runs are missed is
//! decided by `model::gap` and done by `Storage::miss`.

use std::sync::Arc;
use std::time::Duration;

use super::crew::Crew;
use crate::clock::Clock;
use crate::model::Gap;
use crate::storage::{Storage, StorageError};

/// How often the keeper looks at the clock: a jump is noticed within this time although every worker waits.
const TICK: Duration = Duration::from_secs(1);
/// Runs marked between two commits. The writer serves everybody else in between.
const SLICE: usize = 500;
/// How long the database may not know that the host is alive while due runs wait for a slot. Well within the default grace, so
/// that a host that dies then does not make them look missed.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Looks after missed runs until it is dropped.
pub(super) async fn keep(crew: Arc<Crew>, storage: Arc<dyn Storage>, clock: Arc<dyn Clock>) {
    loop {
        tokio::select! {
            () = clock.sleep(TICK) => {}
            // The worker that notices a jump first need not wait for the tick.
            () = crew.pulse.noticed() => {}
        }
        crew.pulse.beat(clock.as_ref());
        if let Err(error) = tick(&crew, storage.as_ref(), clock.as_ref()).await {
            tracing::warn!(%error, "missed runs could not be marked, or a sign of life not be given; trying again");
        }
    }
}

async fn tick(crew: &Crew, storage: &dyn Storage, clock: &dyn Clock) -> Result<(), StorageError> {
    while let Some(gap) = crew.pulse.gap() {
        sweep(storage, clock, gap).await?;
        if crew.pulse.swept(gap) {
            // The workers found claims forbidden and wait.
            crew.look();
        }
    }
    let now = clock.now();
    let waiting = storage.next_due().is_some_and(|due| due <= now);
    let silent = storage.alive_until().is_none_or(|alive_until| now.since(alive_until) >= HEARTBEAT);
    if waiting && silent {
        storage.heartbeat(now).await?;
    }
    Ok(())
}

/// Marks everything that was missed in `gap`, a slice at a time. Stopped half-way, it is begun anew without harm.
pub(super) async fn sweep(storage: &dyn Storage, clock: &dyn Clock, gap: Gap) -> Result<(), StorageError> {
    let mut missed = 0;
    loop {
        let marked = storage.miss(gap, SLICE, clock.now()).await?;
        missed += marked;
        if marked < SLICE {
            break;
        }
    }
    tracing::info!(missed, from = %gap.from, until = %gap.until, "no host was running");
    Ok(())
}
