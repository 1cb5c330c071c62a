//! An executor without wasm, for tests: each task is a closure.
//!
//! Behind the feature `test-util`. Made by tests of the host and of programs that embed it; it keeps the contract of
//! [`Executor`], so that whatever holds with it holds with wasm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::{AttemptReport, AttemptRequest, Executor, Inspection};
use crate::cancel::CancelSignal;
use crate::clock::Clock;
use crate::model::{FailureReason, Invalid, Name, Outcome, TaskDefinition, WriteSet};

/// What a task does in one attempt, up to its outcome. What it writes through `calls` is reported with it.
pub type Script = Arc<dyn for<'a> Fn(&'a mut AttemptRequest) -> BoxFuture<'a, Outcome> + Send + Sync>;

/// Executes scripts. The bytes of its "components" are the names of their tasks, separated by spaces; no bytes: all tasks.
pub struct ScriptedExecutor {
    clock: Arc<dyn Clock>,
    tasks: BTreeMap<Name, (TaskDefinition, Script)>,
}

impl ScriptedExecutor {
    /// Without any task yet.
    pub fn new(clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), tasks: BTreeMap::new() }
    }

    /// Adds a task with nothing but a name. Panics if the name is none.
    pub fn task(self, name: &str, script: Script) -> Self {
        let name = Name::parse(name, "task").expect("the test names its task properly");
        self.defined(TaskDefinition::new(name), script)
    }

    /// Adds a task with its definition.
    pub fn defined(mut self, definition: TaskDefinition, script: Script) -> Self {
        self.tasks.insert(definition.name.clone(), (definition, script));
        self
    }
}

#[async_trait]
impl Executor for ScriptedExecutor {
    async fn inspect(&self, Inspection { wasm, .. }: Inspection) -> Result<Vec<TaskDefinition>, Invalid> {
        let refused = |reason: &str| Invalid::new("invalid-component", "component", reason);
        let names = std::str::from_utf8(&wasm).map_err(|_| refused("not a list of scripted tasks"))?;
        if names.trim().is_empty() {
            return Ok(self.tasks.values().map(|(definition, _)| definition.clone()).collect());
        }
        let mut definitions = Vec::new();
        for name in names.split_whitespace() {
            let task = self.tasks.get(&Name::parse(name, "component")?);
            let (definition, _) = task.ok_or_else(|| refused("there is no script for this task").seen(name))?;
            definitions.push(definition.clone());
        }
        Ok(definitions)
    }

    async fn execute(&self, mut attempt: AttemptRequest) -> AttemptReport {
        let started_at = self.clock.now();
        let Some((_, script)) = self.tasks.get(&attempt.task.name) else {
            let outcome = Outcome::failed(FailureReason::Instantiation, "there is no script for this task");
            return AttemptReport { outcome, started_at, writes: WriteSet::default(), log: Vec::new() };
        };
        let (shut_down, cancel, timeout) = (attempt.shut_down.clone(), attempt.cancel.clone(), attempt.timeout);
        let outcome = tokio::select! {
            biased;
            outcome = script(&mut attempt) => outcome,
            () = shut_down.wait() => Outcome::ShutDown,
            // Without the grace that a guest has: a script that wants one watches the signal itself.
            () = cancel.wait() => Outcome::Cancelled,
            () = self.clock.sleep(timeout) => Outcome::failed(FailureReason::Timeout, "the attempt took longer than its timeout"),
        };
        AttemptReport { outcome, started_at, writes: attempt.calls.take_writes(), log: Vec::new() }
    }
}

/// A script from a function of the request.
pub fn script(act: impl Fn(&mut AttemptRequest) -> Outcome + Send + Sync + 'static) -> Script {
    Arc::new(move |attempt| {
        let outcome = act(attempt);
        Box::pin(std::future::ready(outcome))
    })
}

/// Returns its input.
pub fn echo() -> Script {
    script(|attempt| Outcome::Done(Some(attempt.input.clone())))
}

/// Fails the first `failures` attempts, and succeeds then.
pub fn fail_until_after(failures: u32) -> Script {
    script(move |attempt| match attempt.attempt {
        number if number <= failures => Outcome::failed(FailureReason::Returned, format!("attempt {number} fails")),
        _ => Outcome::Done(None),
    })
}

/// Asks to be run again `span` later in its first `times` attempts, and succeeds then.
pub fn snooze(times: u32, span: Duration) -> Script {
    script(move |attempt| if attempt.attempt <= times { Outcome::Snooze(span) } else { Outcome::Done(None) })
}

/// Succeeds once `signal` is set.
pub fn wait_for(signal: CancelSignal) -> Script {
    Arc::new(move |_| {
        let signal = signal.clone();
        Box::pin(async move {
            signal.wait().await;
            Outcome::Done(None)
        })
    })
}

/// Panics, as a fault of the host would.
pub fn panic() -> Script {
    script(|_| panic!("the script says so"))
}
