//! Registering a component.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Error, Scheduler};
use crate::executor::Inspection;
use crate::model::{Component, Digest, Effort, Grant, Grants, Invalid, Misfit, Origin, PolicySettings, Task, TaskDefinition, TaskPolicy};
use crate::storage::{CronError, Registration};

/// A component about to be registered: grant what it needs, then [`send`](Self::send) it.
#[must_use = "nothing is registered until it is sent"]
pub struct Register<'a> {
    pub(super) scheduler: &'a Scheduler,
    wasm: Arc<[u8]>,
    grants: Grants,
    policies: BTreeMap<String, Override>,
}

/// What an operator says of one task's policy, beside what was said before.
#[derive(Default)]
struct Override {
    settings: PolicySettings,
    /// Fields about which the operator says nothing any more.
    reset: Vec<String>,
}

/// A component that is registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The address of its bytes.
    pub digest: Digest,
    /// Its tasks, in order of name.
    pub tasks: Vec<Arc<Task>>,
}

impl<'a> Register<'a> {
    pub(super) fn new(scheduler: &'a Scheduler, wasm: Arc<[u8]>) -> Self {
        Self { scheduler, wasm, grants: Grants::none(), policies: BTreeMap::new() }
    }

    /// Allows the component something beyond computing.
    pub fn grant(mut self, grant: Grant) -> Self {
        self.grants.add(grant);
        self
    }

    /// Allows the component all of these.
    pub fn grants(mut self, grants: impl IntoIterator<Item = Grant>) -> Self {
        grants.into_iter().for_each(|grant| self.grants.add(grant));
        self
    }

    /// Puts these settings over the policy that the component declares for this task. Later registrations keep them, until they
    /// are set anew or [reset](Self::reset_policy): what an operator has limited stays so when a new version comes.
    pub fn policy(mut self, task: &str, settings: PolicySettings) -> Self {
        let over = self.policies.entry(task.into()).or_default();
        over.settings = std::mem::take(&mut over.settings).and(&settings);
        self
    }

    /// Has the component decide about this field again: one of [`PolicySettings::FIELDS`].
    pub fn reset_policy(mut self, task: &str, field: &str) -> Self {
        self.policies.entry(task.into()).or_default().reset.push(field.into());
        self
    }

    /// Checks and compiles the component, asks it for its tasks, and stores both. Attempts in flight keep the component they
    /// started with; later ones get this one.
    pub async fn send(self) -> Result<Registered, Error> {
        let scheduler = self.scheduler;
        let registration = self.prepare().await?;
        let digest = registration.component.digest;
        scheduler.has_caught_up().await;
        let tasks = scheduler.changes.register(registration, scheduler.core.clock.now()).await?;
        Ok(Registered { digest, tasks })
    }

    /// Checks everything, and stores nothing.
    pub(super) async fn prepare(self) -> Result<Registration, Error> {
        self.scheduler.check_grants(self.grants.iter())?;
        let core = &self.scheduler.core;
        let digest = Digest::of(&self.wasm);
        let deployed = self.scheduler.tasks().iter().any(|task| task.digest == digest);
        let (namespace, wasm, grants) = (self.scheduler.namespace.id, self.wasm.clone(), self.grants.clone());
        let definitions = core.executor.inspect(Inspection { namespace, wasm, grants, deployed }).await?;
        let mut tasks = Vec::with_capacity(definitions.len());
        self.check_policies(&definitions)?;
        let mut overrides = BTreeMap::new();
        // There can be many inputs, and each check may take long.
        let checked = move || check_inputs(&definitions).map(|()| definitions);
        for definition in core.long.run(self.scheduler.namespace.id, checked).await?? {
            let within = |invalid: Invalid| invalid.within(&format!("tasks.{}", definition.name));
            self.check_names(&definition).await?;
            let over = self.overrides(definition.name.as_str());
            let policy = TaskPolicy::default().with(&definition.policy).and_then(|policy| policy.with(&over)).map_err(within)?;
            overrides.insert(definition.name.clone(), over);
            tasks.push((definition, policy));
        }
        let component = Component { digest, wasm: self.wasm.to_vec() };
        Ok(Registration { namespace: self.scheduler.namespace.id, component, grants: self.grants, tasks, overrides })
    }

    /// A cron that the code declares must not meet one of its name that somebody else made: it would not be there, and nobody would know.
    async fn check_names(&self, definition: &TaskDefinition) -> Result<(), Error> {
        for cron in &definition.crons {
            match self.scheduler.get_cron(cron.name.as_str()).await {
                Ok(found) if found.origin != Origin::Code => {
                    let field = format!("tasks.{}.crons", definition.name);
                    let reason =
                        "there is a cron of this name already, which the code does not declare; delete that one, or give this another key";
                    return Err(Invalid::new("cron-exists", field, reason).seen(cron.name.to_string()).into());
                }
                Ok(_) | Err(Error::Cron(CronError::NotFound(_))) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Refuses what is said of a task or a field that there is not: it would have no effect, and nobody would know.
    fn check_policies(&self, definitions: &[TaskDefinition]) -> Result<(), Invalid> {
        for (task, over) in &self.policies {
            if !definitions.iter().any(|definition| definition.name.as_str() == task) {
                let known = definitions.iter().map(|definition| definition.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(Invalid::new("unknown-task", "policy", format!("the component has no such task; it has: {known}")).seen(task));
            }
            for field in &over.reset {
                if !PolicySettings::FIELDS.contains(&field.as_str()) {
                    PolicySettings::default().set(field, "")?;
                }
            }
        }
        Ok(())
    }

    /// What the operator says of this task's policy: what was said at earlier registrations, with what is said now.
    fn overrides(&self, task: &str) -> PolicySettings {
        let kept = self.scheduler.task(task).map(|task| task.overrides.clone()).unwrap_or_default();
        let Some(over) = self.policies.get(task) else { return kept };
        over.reset.iter().fold(kept, |kept, field| kept.without(field)).and(&over.settings)
    }
}

/// The inputs that the code gives its own runs must fit its own schema. All of them together may take the work of one check.
fn check_inputs(definitions: &[TaskDefinition]) -> Result<(), Invalid> {
    let mut effort = Effort::whole();
    for definition in definitions {
        let Some(schema) = &definition.input_schema else { continue };
        let schedules = definition.schedules.iter().map(|schedule| (&schedule.input, format!("schedules.{}.input", schedule.key)));
        let crons = definition.crons.iter().map(|cron| (cron.input(), format!("crons.{}.input", cron.name)));
        for (input, field) in schedules.chain(crons) {
            let checked = schema.check_within(input, &field, &mut effort).map_err(Misfit::certain);
            checked.map_err(|invalid| invalid.within(&format!("tasks.{}", definition.name)))?;
        }
    }
    Ok(())
}
