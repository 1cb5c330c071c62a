//! `Dispatcher/SubscribeToWorkflowRuns`: the client names runs, and is told of each when it has ended.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, unfold};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::output;
use super::RUN_BYTES;
use super::framing::{Messages, answer, charged_frame, ok};
use super::messages::{StepRunResult, SubscribeToWorkflowRunsRequest, WorkflowRunEvent};
use super::refuse::trailers;
use crate::http::error::Problem;
use crate::http::{Caller, Charge, Seat};
use crate::model::{RunId, Status};
use crate::scheduler::{Error, Scheduler};

/// Runs that one stream waits for. Further ones are read when some have ended.
const WAITS_MAX: usize = 10_000;
/// Bytes that one wait takes in memory.
const WAIT_BYTES: u64 = 2 << 10;
/// Runs that one stream reads at a time, to see whether they have ended: each has its input and its output.
const READS_MAX: usize = 4;
/// Bytes of an id that is none which are told back.
const INVALID_ID_BYTES_MAX: usize = 256;

/// One stream.
struct Subscription {
    caller: Caller,
    messages: Messages,
    waits: FuturesUnordered<BoxFuture<'static, Result<(WorkflowRunEvent, Charge), Problem>>>,
    /// Whether the client may name more.
    open: bool,
    /// Charges of no bytes, for messages and for waits.
    message: Charge,
    waiting: Charge,
    /// Waits that are left to this connection.
    of_connection: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// What a wait takes until it has ended.
struct Wait {
    _bytes: Charge,
    _of_connection: OwnedSemaphorePermit,
}

/// Goes on until the client has named its last run and that has ended.
pub(super) async fn subscribe_to_workflow_runs(caller: Caller, request: Request) -> Result<Response, Problem> {
    // Where this server did not accept the connection, a stream is taken for one.
    let of_connection = request.extensions().get::<Arc<Seat>>().map(|seat| seat.waits.clone());
    let subscription = Subscription {
        messages: Messages::of(request)?,
        waits: FuturesUnordered::new(),
        open: true,
        message: caller.charge(),
        waiting: caller.charge_of_waits(),
        of_connection: of_connection.unwrap_or_else(|| Arc::new(Semaphore::new(WAITS_MAX))),
        reads: Arc::new(Semaphore::new(READS_MAX)),
        caller,
    };
    let frames = unfold(Some(subscription), |subscription| async {
        let mut subscription = subscription?;
        Some(match subscription.next().await {
            Ok(Some((event, charge))) => (Ok::<_, Infallible>(Frame::data(charged_frame(&event, charge))), Some(subscription)),
            Ok(None) => (Ok(Frame::trailers(ok())), None),
            Err(problem) => (Ok(Frame::trailers(trailers(&problem))), None),
        })
    });
    Ok(answer(Body::new(StreamBody::new(frames))))
}

impl Subscription {
    /// The next run that has ended; `None` when there will be no more.
    async fn next(&mut self) -> Result<Option<(WorkflowRunEvent, Charge)>, Problem> {
        let Self { caller, messages, waits, open, message: none, waiting, of_connection, reads } = self;
        loop {
            let named = async {
                // The room first. Until there is some, the client is not read.
                let wait = Wait { _of_connection: permit(of_connection).await, _bytes: room(waiting).await };
                Ok::<_, Problem>((messages.next::<SubscribeToWorkflowRunsRequest>().await?, wait))
            };
            tokio::select! {
                Some(event) = waits.next(), if !waits.is_empty() => {
                    // A stream may outlive its token.
                    caller.check()?;
                    return event.map(Some);
                }
                named = named, if *open && waits.len() < WAITS_MAX => match named.and_then(|named| caller.check().map(|()| named))? {
                    (Some(message), wait) => match RunId::parse(&message.workflow_run_id, "workflow_run_id") {
                        Ok(run) => waits.push(Box::pin(ended(caller.scheduler.clone(), run, message.workflow_run_id, none.another(), wait, reads.clone()))),
                        Err(invalid) => return Ok(Some((event(invalid_id(message), &caller.scheduler, failed(invalid.to_string())), none.another()))),
                    },
                    (None, _) => *open = false,
                },
                else => return Ok(None),
            }
        }
    }
}

async fn permit(of: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    of.clone().acquire_owned().await.expect("the semaphore is never closed")
}

async fn room(none: &Charge) -> Charge {
    let mut bytes = none.another();
    bytes.grow_in_time(WAIT_BYTES).await;
    bytes
}

/// An id that is none, as the client wrote it, as far as it can be one of its own.
fn invalid_id(message: SubscribeToWorkflowRunsRequest) -> String {
    let mut id = message.workflow_run_id;
    id.truncate(id.floor_char_boundary(INVALID_ID_BYTES_MAX));
    id
}

/// Waits for the end of a run, and returns what to tell of it, with the bytes that this takes. Of a run that is not there, the client is told so: it
/// would wait for ever.
async fn ended(
    scheduler: Scheduler,
    run: RunId,
    id: String,
    mut bytes: Charge,
    _wait: Wait,
    reads: Arc<Semaphore>,
) -> Result<(WorkflowRunEvent, Charge), Problem> {
    loop {
        // Registers before it looks: an end between the two must not be missed.
        let end = scheduler.end_of(run);
        let turn = permit(&reads).await;
        bytes.grow_in_time(RUN_BYTES).await;
        match scheduler.get(run).await {
            Ok(run) if run.status.is_final() => {
                let result = StepRunResult {
                    task_run_external_id: run.id.to_string(),
                    task_name: run.task.to_string(),
                    job_run_id: run.id.to_string(),
                    error: output::error(&run),
                    output: (run.status == Status::Succeeded).then(|| output::output(&run)),
                };
                return Ok((event(id, &scheduler, result), bytes));
            }
            Ok(_) => {}
            Err(error @ Error::RunNotFound(_)) => return Ok((event(id, &scheduler, failed(error.to_string())), bytes)),
            Err(error) => return Err(error.into()),
        }
        drop(turn);
        bytes.shrink_to(0);
        end.await?;
    }
}

/// Named as the client did, which finds its own wait by it.
fn event(id: String, scheduler: &Scheduler, result: StepRunResult) -> WorkflowRunEvent {
    WorkflowRunEvent { workflow_run_id: id, event_timestamp: Some(scheduler.now().into()), results: vec![result] }
}

fn failed(error: String) -> StepRunResult {
    StepRunResult { error: Some(error), ..StepRunResult::default() }
}
