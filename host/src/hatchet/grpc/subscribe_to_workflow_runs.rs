//! `Dispatcher/SubscribeToWorkflowRuns`: the client names runs, and is told of each when it has ended.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, unfold};
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::super::output;
use super::framing::{Messages, answer, frame, ok};
use super::messages::{StepRunResult, SubscribeToWorkflowRunsRequest, WorkflowRunEvent};
use super::refuse::trailers;
use crate::http::Caller;
use crate::http::error::Problem;
use crate::model::{RunId, Status};
use crate::scheduler::{Error, Scheduler};

/// Runs that one stream waits for. Further ones are read when some have ended.
const WAITS_MAX: usize = 10_000;

/// One stream.
struct Subscription {
    scheduler: Scheduler,
    messages: Messages,
    waits: FuturesUnordered<BoxFuture<'static, Result<WorkflowRunEvent, Problem>>>,
    /// Whether the client may name more.
    open: bool,
}

/// Goes on until the client has named its last run and that has ended.
pub(super) async fn subscribe_to_workflow_runs(Caller { scheduler, .. }: Caller, request: Request) -> Result<Response, Problem> {
    let subscription = Subscription { scheduler, messages: Messages::of(request)?, waits: FuturesUnordered::new(), open: true };
    let frames = unfold(Some(subscription), |subscription| async {
        let mut subscription = subscription?;
        Some(match subscription.next().await {
            Ok(Some(event)) => (Ok::<_, Infallible>(Frame::data(frame(&event))), Some(subscription)),
            Ok(None) => (Ok(Frame::trailers(ok())), None),
            Err(problem) => (Ok(Frame::trailers(trailers(&problem))), None),
        })
    });
    Ok(answer(Body::new(StreamBody::new(frames))))
}

impl Subscription {
    /// The next run that has ended; `None` when there will be no more.
    async fn next(&mut self) -> Result<Option<WorkflowRunEvent>, Problem> {
        loop {
            tokio::select! {
                Some(event) = self.waits.next(), if !self.waits.is_empty() => return event.map(Some),
                message = self.messages.next::<SubscribeToWorkflowRunsRequest>(), if self.open && self.waits.len() < WAITS_MAX => {
                    match message? {
                        Some(message) => self.waits.push(Box::pin(ended(self.scheduler.clone(), message.workflow_run_id))),
                        None => self.open = false,
                    }
                }
                else => return Ok(None),
            }
        }
    }
}

/// Waits for the end of a run. Of one that is not there, the client is told so: it would wait for ever.
async fn ended(scheduler: Scheduler, id: String) -> Result<WorkflowRunEvent, Problem> {
    let run = match RunId::parse(&id, "workflow_run_id") {
        Ok(run) => run,
        Err(invalid) => return Ok(event(id, &scheduler, failed(invalid.to_string()))),
    };
    match scheduler.wait(run).await {
        Ok(run) => {
            let result = StepRunResult {
                task_run_external_id: run.id.to_string(),
                task_name: run.task.to_string(),
                job_run_id: run.id.to_string(),
                error: output::error(&run),
                output: (run.status == Status::Succeeded).then(|| output::output(&run)),
            };
            Ok(event(id, &scheduler, result))
        }
        Err(error @ Error::RunNotFound(_)) => Ok(event(id, &scheduler, failed(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

/// Named as the client did, which finds its own wait by it.
fn event(id: String, scheduler: &Scheduler, result: StepRunResult) -> WorkflowRunEvent {
    WorkflowRunEvent { workflow_run_id: id, event_timestamp: Some(scheduler.now().into()), results: vec![result] }
}

fn failed(error: String) -> StepRunResult {
    StepRunResult { error: Some(error), ..StepRunResult::default() }
}
