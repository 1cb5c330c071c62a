//! gRPC over HTTP/2 in clear text: every method with the role that it needs. One file per method.
//!
//! The protocol is small enough to be written down here, in `framing.rs` and `refuse.rs`; in return every message is bounded before and after it
//! is unfolded, and nobody needs a compiler for protocol buffers.

mod bulk_trigger_workflow;
mod framing;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod get_run_details;
mod messages;
mod refuse;
mod schedule_workflow;
mod subscribe_to_workflow_runs;
mod trigger_workflow;

#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::{fuzz_frames, fuzz_messages};

use axum::Router;
use axum::routing::MethodFilter;

use crate::http::{Door, Large, Way, needs};
use crate::scheduler::Role::{Read, Trigger};

/// Bytes of a run with its input and output, and of what is made of it.
const RUN_BYTES: u64 = 1 << 20;

pub(super) fn door() -> Door {
    const POST: MethodFilter = MethodFilter::POST;
    // Theirs is a mixture of services with a package and without.
    let routes = Router::new()
        .route("/WorkflowService/ScheduleWorkflow", needs(POST, Trigger, schedule_workflow::schedule_workflow))
        .route("/WorkflowService/TriggerWorkflow", needs(POST, Trigger, trigger_workflow::trigger_workflow))
        .route("/WorkflowService/BulkTriggerWorkflow", needs(POST, Trigger, bulk_trigger_workflow::bulk_trigger_workflow))
        .route("/v1.AdminService/GetRunDetails", needs(POST, Read, Large::new(RUN_BYTES, get_run_details::get_run_details)))
        .route("/Dispatcher/SubscribeToWorkflowRuns", needs(POST, Read, subscribe_to_workflow_runs::subscribe_to_workflow_runs));
    Door { routes, way: Way::Http2, refuse: refuse::refuse }
}
