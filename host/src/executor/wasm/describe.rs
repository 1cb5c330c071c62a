//! Asks a component for its tasks, in a sandbox without grants, and checks the answer.
//!
//! Called at registration. A component is linked as it would be for its attempts, but whatever it asks of the scheduler is
//! forbidden here, and it has a second.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::cancel::CancelSignal;
use crate::executor::{AttemptRequest, forbidden_calls};
use crate::model::limits::TASKS_PER_COMPONENT_MAX;
use crate::model::{
    Digest, Grants, Invalid, Metadata, Name, NamespaceId, Origin, Payload, RunId, Task, TaskDefinition, TaskId, TaskPolicy, Timestamp,
};

use super::Host;
use super::attempt::{AttemptState, store};
use super::bindings::TasksPre;
use super::capacity::Need;
use super::host_interfaces::DefinitionDraft;
use super::outcome::{Fault, explain};
use super::watch::{Watch, until_ended};

/// How long `describe` may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long it waits for memory of the host. Somebody waits for the answer.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// Calls `describe`, and returns the tasks if all of them are sound.
pub(super) async fn describe(
    host: &Arc<Host>,
    tasks: &TasksPre<AttemptState>,
    namespace: NamespaceId,
    least: Need,
) -> Result<Vec<TaskDefinition>, Invalid> {
    let request = sandbox(namespace);
    let task = Arc::clone(&request.task);
    let reserved = pin!(host.capacity.start(&task, request.run, least));
    let Either::Left((reservation, _)) = select(reserved, host.clock.sleep(ROOM_WAIT)).await else { return Err(no_room()) };
    let watch = Watch {
        clock: &*host.clock,
        deadline: host.clock.elapsed().saturating_add(TIMEOUT),
        cancel: request.cancel.clone(),
        grace: TIMEOUT,
        shut_down: request.shut_down.clone(),
    };
    // Dropped after the store: what it had is taken out of the pool before it is somebody else's.
    let _held;
    let mut store = store(AttemptState::new(host, request, reservation));
    let _epochs_advance = host.epochs.attempt();
    let call = async {
        let instance = tasks.instantiate_async(&mut store).await?;
        instance.runlater_scheduler_task().call_describe(&mut store).await
    };
    let ended = until_ended(call, watch).await;
    let state = store.data_mut();
    _held = state.limiter.take_reservation();
    // A setter's refusal says more than the trap that a guest makes of it, and can't be ignored.
    if let Some(refused) = state.refused_definition.take() {
        return Err(refused);
    }
    let wanted = state.limiter.wanted();
    let handles = ended.map_err(|fault| fault.or_in_want(wanted)).map_err(|fault| {
        if matches!(fault, Fault::InWant) {
            return no_room();
        }
        let said = state.said_or_logged();
        let (reason, message) = explain(fault, state.limiter.refused(), &host.limits, TIMEOUT, &said);
        // The author's own lines begin on a line of their own.
        let gap = if said.is_empty() { ' ' } else { '\n' };
        Invalid::new("describe-failed", "component", format!("its `describe` failed ({}):{gap}{message}", reason.code()))
    })?;
    let drafts = handles.into_iter().map(|handle| state.release(handle));
    let drafts = drafts.collect::<Result<Vec<_>, _>>().map_err(|error| Invalid::new("describe-failed", "tasks", error.to_string()))?;
    check(drafts)
}

fn check(drafts: Vec<DefinitionDraft>) -> Result<Vec<TaskDefinition>, Invalid> {
    if drafts.is_empty() {
        return Err(Invalid::new("no-tasks", "tasks", "`describe` returned no task; a component has at least one"));
    }
    if drafts.len() > TASKS_PER_COMPONENT_MAX {
        let reason = format!("{} tasks, the limit is {TASKS_PER_COMPONENT_MAX}; split the component", drafts.len());
        return Err(Invalid::new("too-many-tasks", "tasks", reason));
    }
    let tasks = drafts.into_iter().map(DefinitionDraft::finish).collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<&Name> = tasks.iter().map(|task| &task.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Invalid::new("duplicate-task", "tasks", "two tasks of this name").seen(twice[0].as_str()));
    }
    for task in &tasks {
        TaskPolicy::default().with(&task.policy).map_err(|invalid| invalid.within(&format!("tasks.{}", task.name)))?;
    }
    Ok(tasks)
}

fn no_room() -> Invalid {
    Invalid::new("compiler-busy", "component", "the host has no memory free in which to ask it for its tasks; try again in a minute")
}

/// An attempt of nothing, by nobody.
fn sandbox(namespace: NamespaceId) -> AttemptRequest {
    let name = Name::parse("describe", "task").expect("a sound name");
    let task = Task {
        id: TaskId(0),
        namespace,
        name,
        digest: Digest::from_bytes([0; 32]),
        grants: Grants::none(),
        description: None,
        input_schema: None,
        policy: TaskPolicy::default(),
        overrides: Default::default(),
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
        pause: None,
    };
    AttemptRequest {
        task: Arc::new(task),
        run: RunId::from_key(0, 0),
        attempt: 1,
        input: Payload::null(),
        metadata: Arc::new(Metadata::default()),
        origin: Origin::Code,
        parent: None,
        trigger_at: Timestamp::MIN,
        timeout: TIMEOUT,
        cancel: CancelSignal::default(),
        shut_down: CancelSignal::default(),
        calls: forbidden_calls(),
    }
}
