//! Asks a component for its tasks, in a sandbox without grants, and checks the answer.
//!
//! Called at registration. A component is linked as it would be for its attempts, but whatever it asks of the scheduler is
//! forbidden here, and it has a second.

use std::sync::Arc;
use std::time::Duration;

use crate::cancel::CancelSignal;
use crate::executor::{AttemptRequest, forbidden_calls};
use crate::model::limits::TASKS_PER_COMPONENT_MAX;
use crate::model::{
    Digest, Grants, Invalid, Metadata, Name, NamespaceId, Origin, Payload, RunId, Task, TaskDefinition, TaskId, TaskPolicy, Timestamp,
};

use super::Host;
use super::attempt::{AttemptState, store};
use super::bindings::TasksPre;
use super::host_interfaces::DefinitionDraft;
use super::outcome::explain;
use super::watch::{Watch, until_ended};

/// How long `describe` may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Calls `describe`, and returns the tasks if all of them are sound.
pub(super) async fn describe(host: &Arc<Host>, tasks: &TasksPre<AttemptState>) -> Result<Vec<TaskDefinition>, Invalid> {
    let request = sandbox();
    let watch = Watch {
        clock: &*host.clock,
        deadline: host.clock.elapsed().saturating_add(TIMEOUT),
        cancel: request.cancel.clone(),
        grace: TIMEOUT,
        shut_down: request.shut_down.clone(),
    };
    let mut store = store(AttemptState::new(host, request));
    let _epochs_advance = host.epochs.attempt();
    let call = async {
        let instance = tasks.instantiate_async(&mut store).await?;
        instance.runlater_scheduler_task().call_describe(&mut store).await
    };
    let ended = until_ended(call, watch).await;
    let state = store.data_mut();
    // A setter's refusal says more than the trap that a guest makes of it, and can't be ignored.
    if let Some(refused) = state.refused_definition.take() {
        return Err(refused);
    }
    let handles = ended.map_err(|fault| {
        let said = state.said();
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

/// An attempt of nothing, by nobody.
fn sandbox() -> AttemptRequest {
    let name = Name::parse("describe", "task").expect("a sound name");
    let task = Task {
        id: TaskId(0),
        namespace: NamespaceId(0),
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
