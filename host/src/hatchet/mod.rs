//! The door for the SDKs of Hatchet, unmodified: what they say over REST and gRPC, as calls of the façade.
//!
//! Put beside the API by `cli/serve.rs`, or by an embedder through [`serve_with`](crate::http::serve_with). It renames and reshapes, and decides
//! nothing: a workflow is a task, a tenant is a namespace, a scheduled run is a run. What their clients expect, and where this door does better
//! than the system they were made for, stands in `docs/hatchet.md`.

#![allow(clippy::result_large_err, reason = "a refusal is rare, and moved once or twice on its way out")]

mod filter;
mod grpc;
mod ids;
mod metadata;
mod new_run;
mod output;
mod rest;
mod status;
pub mod token;

use crate::http::Door;

#[cfg(feature = "fuzzing")]
pub(crate) use grpc::{fuzz_frames, fuzz_messages};

/// Both of its ways in: REST beside the API, gRPC over HTTP/2.
pub fn doors() -> Vec<Door> {
    vec![rest::door(), grpc::door()]
}
