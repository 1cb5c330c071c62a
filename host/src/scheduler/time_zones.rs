//! Reads the time zones again: once a day, and when the operator asks for it.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, Scheduler};
use crate::clock::Clock;
use crate::model::ZoneRelease;
use crate::storage::{Storage, StorageError};

/// How often the system's copy may have been updated.
const PERIOD: Duration = Duration::from_secs(24 * 3600);

/// How long until crons are renewed again that storage could not renew. Until then they keep the occurrences of the zones before.
const RETRY: Duration = Duration::from_secs(10);

/// Reloads the time zones daily until it is dropped, and renews crons that an earlier reload could not renew.
pub(super) async fn keep(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>) {
    let mut reloaded = clock.elapsed();
    loop {
        clock.sleep(RETRY).await;
        if clock.elapsed().saturating_sub(reloaded) >= PERIOD {
            reloaded = clock.elapsed();
            if let Err(error) = reload(&storage, clock.as_ref()).await {
                tracing::warn!(%error, "the daily reload of the time zones failed");
            }
        } else if storage.zones().owes_renewal() {
            match renew(storage.as_ref(), clock.as_ref()).await {
                Ok(()) => tracing::warn!("the occurrences of all crons follow the new time zones now"),
                Err(error) => tracing::warn!(%error, "the occurrences of crons do not follow the new time zones yet"),
            }
        }
    }
}

async fn reload(storage: &Arc<dyn Storage>, clock: &dyn Clock) -> Result<ZoneRelease, Error> {
    let zones = storage.zones().clone();
    let reloaded = tokio::task::spawn_blocking(move || zones.reload().map(|changed| (changed, zones.release()))).await;
    let (changed, release) = reloaded.map_err(|_| StorageError::Unavailable("the runtime is shutting down".into()))??;
    if changed {
        tracing::info!(release = release.release, source = release.source, "other time zones are in force");
    }
    // Also if they did not change: an earlier call may have failed half-way.
    renew(storage.as_ref(), clock).await?;
    Ok(release)
}

async fn renew(storage: &dyn Storage, clock: &dyn Clock) -> Result<(), StorageError> {
    storage.zones().owe_renewal(true);
    storage.renew_crons(clock.now()).await?;
    storage.zones().owe_renewal(false);
    Ok(())
}

impl Scheduler {
    /// The release of the time zone database in force, and its source.
    pub fn time_zones(&self) -> ZoneRelease {
        self.core.storage.zones().release()
    }

    /// Reads the time zones again from where the builder found them. If they changed, the next occurrences of all crons are computed again, and
    /// each one that differs is logged. `serve` calls this on SIGHUP.
    ///
    /// # Errors
    ///
    /// `invalid-tzdir` if the folder that was chosen is no longer a valid zoneinfo folder. The zones in force then stay. After an error of storage the
    /// new zones are in force, and the scheduler renews the crons as soon as storage can.
    pub async fn reload_time_zones(&self) -> Result<ZoneRelease, Error> {
        reload(&self.core.storage, self.core.clock.as_ref()).await
    }
}
