//! What keeps a run that is due from starting, as its queue sees it at one moment.
//!
//! Told by storage, which keeps the queue; read by whoever explains a run.

use super::{Pause, RateLimit, RunId, Timestamp};

/// What keeps a due run from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its task is paused.
    Paused(Pause),
    /// Its lane has as many attempts as it may have. `None` is the one lane of a task that counts all its runs together.
    LaneFull {
        /// The lane.
        lane: Option<String>,
        /// Attempts that it may have in flight.
        limit: u32,
        /// Who has its slots, oldest first; the first few.
        held_by: Vec<HeldBy>,
        /// Runs that wait in the same lane and go first.
        ahead: u64,
    },
    /// Its task has as many attempts as it may have, over all lanes.
    TaskFull {
        /// Attempts that it may have in flight.
        limit: u32,
        /// Who has its slots, oldest first; the first few.
        held_by: Vec<HeldBy>,
        /// Runs of the task that wait for the same and go first.
        ahead: u64,
    },
    /// As many runs of its lane have started as may in the span of its rate.
    RateReached {
        /// The lane.
        lane: Option<String>,
        /// The rate.
        rate: RateLimit,
        /// When the next of the lane may start.
        until: Timestamp,
        /// Runs that wait in the same lane and go first.
        ahead: u64,
    },
    /// It was in flight at crashes of the host, and so starts alone: another such run is in flight.
    LastChance {
        /// The one in flight.
        run: RunId,
    },
    /// Its namespace has as many attempts in flight as it may have while the host keeps slots for other namespaces.
    NamespaceFull {
        /// Attempts of the namespace in flight.
        running: u64,
    },
    /// Nothing but room: every slot of the host is taken, or it is about to start.
    HostFull {
        /// Attempts in flight.
        running: u64,
    },
}

/// A run that has a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// The run.
    pub run: RunId,
    /// When its attempt started, or the last one did, if it keeps the slot while it waits for its next.
    pub since: Timestamp,
    /// Whether an attempt is in flight; else the run waits for its next one, and keeps its place lest the order change.
    pub running: bool,
}
