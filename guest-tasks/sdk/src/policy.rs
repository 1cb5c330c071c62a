//! What a task says of how its runs are treated, beyond numbers and spans. The attribute makes these of text.

use crate::time::Duration;

/// What becomes of a run that is due while its lane is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It waits.
    Queue,
    /// It is missed.
    SkipNew,
    /// The oldest running one is cancelled, and the new one waits for its end.
    CancelRunning,
    /// One waits; a further one is missed.
    BufferOne,
}

/// What the lanes of a task are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// All runs share one lane.
    Constant,
    /// Runs with the same value in this field of their input share one, for example `customer.id`.
    Input(&'static str),
    /// Runs with the same value of this entry of their metadata share one.
    Metadata(&'static str),
}

/// How many runs may start in each lane in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Starts.
    pub count: u32,
    /// In this time.
    pub per: RateUnit,
}

/// The span that a rate is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

/// What becomes of occurrences that pass while no host is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedPolicy {
    /// Which of them run.
    pub catch_up: CatchUp,
    /// Of at most how long ago.
    pub window: Duration,
    /// At most how many, the latest ones.
    pub max: u32,
}

/// Which runs are made up for when their time passed while no host was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// None.
    Skip,
    /// The latest one.
    Latest,
    /// All of them.
    All,
}
