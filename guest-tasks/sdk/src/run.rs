//! What an attempt knows of itself.

use crate::seam::{Here, Host};
use crate::time::Instant;
use crate::values::{Origin, RunId};

/// The run that this attempt belongs to. A task function that wants it takes `run: &Run`.
///
/// `id`, `attempt` and `trigger_at` stay the same when an attempt is repeated: use them as an idempotency key
/// towards the outside, where effects happen at least once.
// Empty: each method asks the host, so that a component imports no more than its tasks call.
#[derive(Debug)]
pub struct Run(());

impl Run {
    pub(crate) const fn current() -> Run {
        Run(())
    }

    /// The run's name.
    pub fn id(&self) -> RunId {
        Here::id()
    }

    /// The task's name.
    pub fn task(&self) -> String {
        Here::task()
    }

    /// Which try this is; the first is 1.
    pub fn attempt(&self) -> u32 {
        Here::attempt()
    }

    /// When the run became due.
    pub fn trigger_at(&self) -> Instant {
        Here::trigger_at()
    }

    /// When this attempt is stopped if it has not ended.
    pub fn deadline(&self) -> Instant {
        Here::deadline()
    }

    /// The time now, by the scheduler's clock.
    pub fn now(&self) -> Instant {
        Here::now()
    }

    /// The run's additional metadata, in order of key.
    pub fn metadata(&self) -> Vec<(String, String)> {
        Here::metadata()
    }

    /// One entry of the metadata.
    pub fn metadata_of(&self, key: &str) -> Option<String> {
        Here::metadata().into_iter().find_map(|(entry, value)| (entry == key).then_some(value))
    }

    /// Who made the run.
    pub fn origin(&self) -> Origin {
        Here::origin()
    }

    /// The run that scheduled this one.
    pub fn parent(&self) -> Option<RunId> {
        Here::parent()
    }

    /// Whether somebody asked for this run to be cancelled. An attempt that goes on is dropped 5 s later.
    pub fn is_cancelled(&self) -> bool {
        Here::is_cancelled()
    }

    /// Says how far the attempt has come: `done` of `total` (0: unknown) units. Seen at once.
    pub fn progress(&self, done: u64, total: u64, note: &str) {
        Here::set_progress(done, total, note);
    }
}
