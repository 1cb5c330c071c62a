//! The attribute `#[task]` and the derive `JsonSchema` of `runlater-task`, which documents and re-exports both.
//!
//! Each has a file that turns syntax into data or an error, without knowing the compiler: those are tested here.

use proc_macro::TokenStream;

mod attributes;
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
/// - `priority = 2`: 1 to 3, higher starts first.
/// - `schedule(key = "new-year", at = "2030-01-01T00:00:00Z", input = "{}")`: a run at a fixed time, made at
///   registration. The input is JSON and may be left out. May be repeated with other keys.
#[proc_macro_attribute]
pub fn task(attributes: TokenStream, function: TokenStream) -> TokenStream {
    task::expand(attributes.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Describes a type by JSON Schema, from its fields, their doc comments and their serde attributes.
#[proc_macro_derive(JsonSchema, attributes(serde))]
pub fn json_schema(item: TokenStream) -> TokenStream {
    schema::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
