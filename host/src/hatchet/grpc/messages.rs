//! The messages, with the numbers of their fields: what of them is read or answered here. Unknown fields are passed over, as ever in protocol
//! buffers.

use std::collections::HashMap;

use prost::Message;

use crate::model::limits::{PAGE_SIZE_MAX, RUNS_AT_ONCE_MAX};

/// A message that clients send.
pub(super) trait Incoming: Message + Default {
    /// The field of which it has several.
    const REPEATED: Option<Repeated> = None;
}

/// A repeated field. How many values it has is checked before any of them is decoded: an empty one takes two bytes on the wire, and a
/// hundred times as many in memory.
pub(super) struct Repeated {
    pub(super) tag: u32,
    pub(super) name: &'static str,
    /// What the values are.
    pub(super) of: &'static str,
    pub(super) max: usize,
}

impl Incoming for ScheduleWorkflowRequest {
    const REPEATED: Option<Repeated> = Some(Repeated { tag: 2, name: "schedules", of: "times", max: PAGE_SIZE_MAX });
}

impl Incoming for BulkTriggerWorkflowRequest {
    const REPEATED: Option<Repeated> = Some(Repeated { tag: 1, name: "workflows", of: "runs in one request", max: RUNS_AT_ONCE_MAX });
}

impl Incoming for TriggerWorkflowRequest {}
impl Incoming for GetRunDetailsRequest {}
impl Incoming for SubscribeToWorkflowRunsRequest {}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScheduleWorkflowRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) schedules: Vec<Timestamp>,
    #[prost(string, tag = "3")]
    pub(super) input: String,
    #[prost(string, optional, tag = "4")]
    pub(super) parent_id: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(super) parent_task_run_external_id: Option<String>,
    #[prost(int32, optional, tag = "6")]
    pub(super) child_index: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub(super) additional_metadata: Option<String>,
    #[prost(int32, optional, tag = "9")]
    pub(super) priority: Option<i32>,
}

/// The answer to it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkflowVersion {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) updated_at: Option<Timestamp>,
    #[prost(string, tag = "5")]
    pub(super) version: String,
    #[prost(int64, tag = "6")]
    pub(super) order: i64,
    #[prost(string, tag = "7")]
    pub(super) workflow_id: String,
    #[prost(message, repeated, tag = "8")]
    pub(super) scheduled_workflows: Vec<ScheduledWorkflow>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScheduledWorkflow {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) trigger_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TriggerWorkflowRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) input: String,
    #[prost(string, optional, tag = "3")]
    pub(super) parent_id: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) parent_task_run_external_id: Option<String>,
    #[prost(int32, optional, tag = "5")]
    pub(super) child_index: Option<i32>,
    #[prost(string, optional, tag = "7")]
    pub(super) additional_metadata: Option<String>,
    #[prost(int32, optional, tag = "9")]
    pub(super) priority: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TriggerWorkflowResponse {
    #[prost(string, tag = "1")]
    pub(super) workflow_run_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BulkTriggerWorkflowRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) workflows: Vec<TriggerWorkflowRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BulkTriggerWorkflowResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) workflow_run_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetRunDetailsRequest {
    #[prost(string, tag = "1")]
    pub(super) external_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetRunDetailsResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) input: Vec<u8>,
    #[prost(int32, tag = "2")]
    pub(super) status: i32,
    #[prost(map = "string, message", tag = "3")]
    pub(super) task_runs: HashMap<String, TaskRunDetail>,
    #[prost(bool, tag = "4")]
    pub(super) done: bool,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) additional_metadata: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskRunDetail {
    #[prost(string, tag = "1")]
    pub(super) external_id: String,
    #[prost(int32, tag = "2")]
    pub(super) status: i32,
    #[prost(string, optional, tag = "3")]
    pub(super) error: Option<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) output: Option<Vec<u8>>,
    #[prost(string, tag = "5")]
    pub(super) readable_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SubscribeToWorkflowRunsRequest {
    #[prost(string, tag = "1")]
    pub(super) workflow_run_id: String,
}

/// A run that has ended. The kind of event is not written: the only one is the default.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkflowRunEvent {
    #[prost(string, tag = "1")]
    pub(super) workflow_run_id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) event_timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "4")]
    pub(super) results: Vec<StepRunResult>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StepRunResult {
    #[prost(string, tag = "1")]
    pub(super) task_run_external_id: String,
    #[prost(string, tag = "2")]
    pub(super) task_name: String,
    #[prost(string, tag = "3")]
    pub(super) job_run_id: String,
    #[prost(string, optional, tag = "4")]
    pub(super) error: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(super) output: Option<String>,
}

impl From<crate::model::Timestamp> for Timestamp {
    fn from(at: crate::model::Timestamp) -> Self {
        let micros = at.as_micros();
        Self { seconds: micros / 1_000_000, nanos: i32::try_from(micros % 1_000_000 * 1_000).expect("less than a second") }
    }
}

impl Timestamp {
    /// The moment, rounded up to a microsecond; `None` outside what can be scheduled.
    pub(super) fn moment(self) -> Option<crate::model::Timestamp> {
        crate::model::Timestamp::from_unix_ceil(self.seconds, u32::try_from(self.nanos).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let at = crate::model::Timestamp::parse("2027-03-14T15:09:26.535897Z", "at").unwrap();
        assert_eq!(Timestamp::from(at).moment(), Some(at));
        assert_eq!(Timestamp { nanos: 535_896_001, ..at.into() }.moment(), Some(at));
        assert_eq!(Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 }.moment(), Some(crate::model::Timestamp::MAX));
        for (seconds, nanos) in [(-1, 0), (i64::MAX, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0)] {
            assert_eq!(Timestamp { seconds, nanos }.moment(), None);
        }
    }
}
