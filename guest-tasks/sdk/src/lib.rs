//! Tasks for the runlater scheduler: a function with an attribute, compiled to a WebAssembly component.
//!
//! ```
//! use runlater_task::prelude::*;
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Reminder {
//!     id: String,
//!     email: String,
//! }
//!
//! /// Sends a reminder, and schedules the next one.
//! #[task(max_attempts = 5)]
//! fn remind(input: Reminder) -> Result<(), Failure> {
//!     println!("to {}", input.email);
//!     schedule("remind").after(days(1)).unique_key(&input.id).send(&input)?; // commits with this run
//!     Ok(())
//! }
//!
//! export_tasks!(remind);
//! ```
//!
//! Built for `wasm32-wasip2` the functions here call the scheduler. Built natively they call a fake one on the same
//! thread ([`testing::FakeHost`]), so that a task's logic has plain unit tests.
//!
//! `docs/guest-authoring.md` goes from nothing to a scheduled task. The SDK knows nothing of the host beyond `wit/`.

// The attribute and the derive name this crate; its own tests use them too.
extern crate self as runlater_task;

mod error;
mod outcome;
mod policy;
mod run;
mod schedule;
mod schema;
mod seam;
mod task;
mod values;

pub mod crons;
pub mod log;
pub mod pauses;
pub mod prelude;
pub mod runs;
pub mod time;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub, unsafe_op_in_unsafe_fn, clippy::all)]
#[rustfmt::skip]
pub mod bindings;
#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
mod fake;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use crons::cron;
pub use error::Error;
pub use outcome::{Failure, Outcome};
pub use policy::{CatchUp, Lane, MissedPolicy, Overlap, Rate, RateUnit};
pub use run::Run;
pub use runlater_task_macros::{JsonSchema, task};
pub use schedule::{Schedule, schedule};
pub use schema::{JsonSchema, Schema};
pub use task::{CodeCron, CodeSchedule, Definition, Task};
pub use time::{Duration, Instant};
pub use values::{Due, Level, Origin, RunId, Shift, Status, UniqueMode};

/// Makes these tasks the component's. Once for each component, at the top level of its crate.
#[macro_export]
macro_rules! export_tasks {
    ($($task:path),+ $(,)?) => {
        const _: () = {
            static TASKS: &[$crate::__private::Entry] = &[$($crate::__private::Entry::of::<$task>()),+];
            const _: () = $crate::__private::assert_distinct(TASKS);

            #[cfg(target_family = "wasm")]
            const _: () = {
                struct Component;

                impl $crate::__private::Guest for Component {
                    fn describe() -> ::std::vec::Vec<$crate::__private::TaskDefinition> {
                        $crate::__private::describe(TASKS)
                    }

                    fn handle(
                        task: ::std::string::String,
                        input: $crate::__private::Payload,
                    ) -> ::std::result::Result<$crate::__private::WitOutcome, $crate::__private::WitFailure> {
                        $crate::__private::handle(TASKS, &task, &input)
                    }
                }

                $crate::bindings::export_component!(Component with_types_in $crate::bindings);
            };
        };
    };
}

/// For the macros alone.
#[doc(hidden)]
pub mod __private {
    pub use crate::outcome::{IntoOutcome, JsonOutcome};
    pub use crate::task::{Entry, assert_distinct, input_schema, read_input};

    #[cfg(target_family = "wasm")]
    pub use crate::bindings::exports::runlater::scheduler::task::{
        Failure as WitFailure, Guest, Outcome as WitOutcome, Payload, TaskDefinition,
    };
    #[cfg(target_family = "wasm")]
    pub use crate::component::{describe, handle};
}

/// The guide's code is compiled and run as tests of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guest-authoring.md")]
pub struct GuestAuthoring;
