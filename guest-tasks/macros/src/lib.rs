//! The attribute `#[task]` and the derive `JsonSchema` of `runlater-task`, which documents and re-exports both.
//!
//! Each has a file that turns syntax into data or an error, without knowing the compiler: those are tested here.

use proc_macro::TokenStream;

mod attributes;
mod cron;
mod policies;
mod schema;
mod serde_attributes;
mod task;

/// Makes a task of a function: `fn name(input: Input, run: &Run) -> Result<Output, Failure>`.
///
/// Both parameters may be left out; the input is any type with `Deserialize` and `JsonSchema`, the output any with
/// `Serialize`. To run again later without having failed, return `Result<Outcome<Output>, Failure>`. The first
/// paragraph of the doc comment becomes the task's description. All of these are optional, and defaults only: the
/// operator may override them.
///
/// - `name = "send-mail"`: another name than the function's.
/// - `max_attempts = 5`: how many attempts may fail before a run does.
/// - `timeout = "30s"`: how long one attempt may take.
/// - `retry_delay = "10s..6h"`: the delay after the first failed attempt, doubled up to the second one.
/// - `retry_delays = "1s,10s,1m"`: exact delays instead; the last serves for all that follow.
/// - `priority = 2`: 1 to 3, higher starts first.
/// - `concurrency = 1`: how many of its runs may be in flight in each lane; `concurrency_per_task = 10`: in all lanes together.
/// - `lane = "input.customer.id"`: what lanes are made by, a field of the input or `metadata.` and a key; one lane unless it is given.
/// - `overlap = "skip-new"`: what becomes of a run whose lane is full: `queue`, `skip-new`, `cancel-running` or `buffer-one`.
/// - `rate = "10/m"`: how many may start in each lane in a second (`s`), a minute (`m`) or an hour (`h`).
/// - `missed = "latest"`: which runs are made up for when no host was running at their time: `skip`, `latest` or `all`; with
///   `missed_window = "24h"` of at most how long ago, with `missed_max = 100` at most how many.
/// - `start_deadline = "5m"`: a run that has not started so long after its time is missed.
/// - `cancel_grace = "5s"`: how long an attempt may go on after it was asked to end.
/// - `on_failure = "alert"`: the task of which a run is made when one of this has failed for good.
/// - `keep_for = "7d"`, `keep_last = 1000`: how long ended runs are kept, and how many of them.
/// - `schedule(key = "new-year", at = "2030-01-01T00:00:00Z", input = "{}")`: a run at a fixed time, made at
///   registration. The input is JSON and may be left out. May be repeated with other keys.
/// - `cron = "0 9 * * 1-5"`, `timezone = "Europe/Prague"`: runs again and again; UTC if no time zone is given.
/// - `cron(key = "nightly", expression = "@daily")`: the same with a key; may be repeated with other keys. Beside these it takes `timezone`,
///   `start`, `end`, `max_count`, `jitter`, `input`, `metadata = "team=billing, tier=gold"`, `priority`, `missed`, `missed_window`, `missed_max`.
#[proc_macro_attribute]
pub fn task(attributes: TokenStream, function: TokenStream) -> TokenStream {
    task::expand(attributes.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Describes a type by JSON Schema, from its fields, their doc comments and their serde attributes.
#[proc_macro_derive(JsonSchema, attributes(serde))]
pub fn json_schema(item: TokenStream) -> TokenStream {
    schema::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
