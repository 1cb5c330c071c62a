//! Pausing tasks: while one is paused none of its runs starts, and none is lost. Needs the grant `pauses`.
//!
//! A pause commits when this attempt succeeds, so it is not the attempt that fails which pauses its task. A circuit breaker is a task of its
//! own, which the failing one names with `#[task(on_failure = "…")]`.

use crate::error::Error;
use crate::seam::{Here, Host};
use crate::time::Instant;

/// The note of a task that is paused; none if it is not.
pub fn get(task: &str) -> Result<Option<String>, Error> {
    Here::pause(task)
}

/// Pauses a task until it is resumed, or until this time: its runs wait, attempts in flight go on. The note has at most 256 bytes.
pub fn pause(task: &str, until: Option<Instant>, note: &str) -> Result<(), Error> {
    Here::pause_task(task, until, note)
}

/// Lets a task go on: what has become due meanwhile starts in its order.
pub fn resume(task: &str) -> Result<(), Error> {
    Here::resume_task(task)
}
