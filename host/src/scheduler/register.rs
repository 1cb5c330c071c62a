//! Registering a component.

use std::sync::Arc;

use super::{Error, Scheduler};
use crate::model::{Component, Digest, Grant, Grants, Task, TaskPolicy};
use crate::storage::Registration;

/// A component about to be registered: grant what it needs, then [`send`](Self::send) it.
#[must_use = "nothing is registered until it is sent"]
pub struct Register<'a> {
    scheduler: &'a Scheduler,
    wasm: Arc<[u8]>,
    grants: Grants,
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
        Self { scheduler, wasm, grants: Grants::none() }
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

    /// Checks and compiles the component, asks it for its tasks, and stores both. Attempts in flight keep the component they
    /// started with; later ones get this one.
    pub async fn send(self) -> Result<Registered, Error> {
        let core = &self.scheduler.core;
        let definitions = core.executor.inspect(self.wasm.clone(), &self.grants).await?;
        let digest = Digest::of(&self.wasm);
        let mut tasks = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let policy =
                TaskPolicy::default().with(&definition.policy).map_err(|invalid| invalid.within(&format!("tasks.{}", definition.name)))?;
            tasks.push((definition, policy));
        }
        let component = Component { digest, wasm: self.wasm.to_vec() };
        let registration = Registration { namespace: self.scheduler.namespace.id, component, grants: self.grants, tasks };
        let tasks = self.scheduler.changes.register(registration, core.clock.now()).await?;
        Ok(Registered { digest, tasks })
    }
}
