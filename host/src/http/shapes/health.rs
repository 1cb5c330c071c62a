//! How the host does, in numbers.

use serde::{Deserialize, Serialize};

use crate::model::ZoneRelease;
use crate::storage;

/// How a namespace does, and, for those who may act on the whole host, how that does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether writes can be stored at present. If not, the host's log says more.
    pub writable: bool,
    /// Why writes can't be stored: the code with which they are refused, such as `database-locked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The namespace that these numbers are of.
    pub namespace: String,
    /// Its runs armed in memory, to start within the next seconds.
    pub armed: usize,
    /// Its runs that are due, and wait for what their task's policy or a pause asks for. More may wait in the database.
    pub parked: usize,
    /// Its attempts in flight.
    pub running: usize,
    /// The whole host, over all namespaces: for the role `operator` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostHealth>,
}

/// How this host does: what waits now, and what happened since it started. Over all namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHealth {
    /// The time zone database that crons follow, and where it comes from: `bundled`, or a folder.
    pub time_zones: ZoneRelease,
    /// Runs armed in memory, to start within the next seconds.
    pub armed: usize,
    /// Runs that are due, and wait for what their task's policy or a pause asks for. More may wait in the database.
    pub parked: usize,
    /// Attempts in flight.
    pub running: usize,
    /// Runs that are due, and wait because their namespace has as many attempts in flight as it may have while others have tasks.
    pub waiting_for_slots: usize,
    /// Attempts in flight that have not started yet, or stand still, until guest memory is free.
    pub waiting_for_memory: usize,
    /// Writes that wait for their commit.
    pub queued_writes: usize,
    /// Runs that were marked as missed since the start.
    pub missed: MissedCounts,
    /// Attempts that were asked to end since the start, to make way for others of their lane.
    pub made_way: u64,
    /// How often a lane's first run had to wait for its rate since the start.
    pub rate_waits: u64,
    /// Ended runs that were deleted since the start, because they are kept no longer.
    pub pruned: u64,
}

/// Runs that were marked as missed, by reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedCounts {
    /// Their time passed while no host was running; of crons the occurrences.
    pub host_down: u64,
    /// Their lane was busy.
    pub overlap: u64,
    /// They had not started by their deadline.
    pub expired: u64,
}

impl Health {
    /// Of this namespace.
    pub fn of(namespace: String, load: storage::NamespaceLoad, health: storage::Health, with_host: bool) -> Self {
        let storage::NamespaceLoad { armed, parked, running } = load;
        let (writable, reason) = (health.writable, health.reason.map(str::to_owned));
        Self { writable, reason, namespace, armed, parked, running, host: with_host.then(|| health.into()) }
    }
}

impl From<storage::Health> for HostHealth {
    fn from(health: storage::Health) -> Self {
        let storage::Missed { host_down, overlap, expired } = health.missed;
        Self {
            time_zones: health.time_zones,
            armed: health.armed,
            parked: health.parked,
            running: health.running,
            waiting_for_slots: health.waiting_for_slots,
            waiting_for_memory: health.waiting_for_memory,
            queued_writes: health.queued_writes,
            missed: MissedCounts { host_down, overlap, expired },
            made_way: health.made_way,
            rate_waits: health.rate_waits,
            pruned: health.pruned,
        }
    }
}
