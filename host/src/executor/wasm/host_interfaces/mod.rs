//! What guests may call: one file for each interface of the WIT contract.
//!
//! Each checks its arguments at once, in the contract's words, and hands what is sound to [`HostCalls`](crate::executor::HostCalls).
//! They decide nothing: no interface knows what a schedule is.

#![allow(unreachable_pub, reason = "the generated bindings re-export what they are told to use")]

mod context;
mod cron_options;
mod crons;
mod definition;
mod pace;
mod pauses;
mod runs;
mod types;

pub use definition::DefinitionDraft;
pub use runs::{FilterDraft, ScheduleOptions};
pub use types::CallFailure;

use crate::model::{Invalid, Name, PolicySettings, TaskPolicy};

/// Checks a task's defaults, or a run's overrides of them, by the rules of [`TaskPolicy`].
fn check_policy(set: impl FnOnce(&mut PolicySettings)) -> Result<(), Invalid> {
    let mut settings = PolicySettings::default();
    set(&mut settings);
    TaskPolicy::default().with(&settings).map(drop)
}

/// Stands where a definition has no name yet.
fn unnamed() -> Name {
    Name::parse("unnamed", "name").expect("a sound name")
}
