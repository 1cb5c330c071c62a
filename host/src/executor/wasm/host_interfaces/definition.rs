//! The interface `definition`: what a component says of its tasks.
//!
//! Whatever a setter refuses is also kept, so that a component can't be registered by ignoring it.

use wasmtime::component::Resource;

use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::{definition, types};
use crate::model::limits::{CODE_SCHEDULES_MAX, DESCRIPTION_BYTES_MAX, SCHEMA_BYTES_MAX};
use crate::model::{CodeSchedule, Invalid, Name, TaskDefinition, UniqueKey};

use super::types::{CallFailure, duration, input, timestamp};
use super::{check_policy, unnamed};

/// A task definition while the guest makes it.
#[derive(Debug)]
pub struct DefinitionDraft {
    /// As the guest gave it: a bad one is reported when `describe` returns.
    name: String,
    definition: TaskDefinition,
}

impl DefinitionDraft {
    fn new(name: String) -> Self {
        Self { name, definition: TaskDefinition::new(unnamed()) }
    }

    /// The definition under its name, if that is sound.
    pub(in crate::executor::wasm) fn finish(self) -> Result<TaskDefinition, Invalid> {
        let name = Name::parse(&self.name, "name").map_err(|invalid| invalid.within("tasks"))?;
        Ok(TaskDefinition { name, ..self.definition })
    }

    /// Where it is found in an error.
    fn path(&self) -> String {
        let name = Name::parse(&self.name, "name").map_or_else(|_| "?".to_owned(), |name| name.to_string());
        format!("tasks.{name}")
    }
}

type Handle = Resource<DefinitionDraft>;

impl AttemptState {
    fn define(&mut self, handle: &Handle, set: impl FnOnce(&mut TaskDefinition) -> Result<(), Invalid>) -> Result<(), CallFailure> {
        self.count_call()?;
        let draft = self.table.get_mut(handle)?;
        let refused = set(&mut draft.definition).map_err(|invalid| invalid.within(&draft.path()));
        if let Err(invalid) = &refused
            && self.refused_definitions.is_empty()
        {
            self.refused_definitions.push(invalid.clone());
        }
        Ok(refused?)
    }
}

impl definition::Host for AttemptState {}

impl definition::HostTaskDefinition for AttemptState {
    fn new(&mut self, name: String) -> wasmtime::Result<Handle> {
        self.count_call()?;
        Ok(self.table.push(DefinitionDraft::new(name))?)
    }

    fn set_description(&mut self, handle: Handle, text: String) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            if text.len() > DESCRIPTION_BYTES_MAX {
                let reason = format!("{} bytes, the limit is {DESCRIPTION_BYTES_MAX}; shorten it", text.len());
                return Err(Invalid::new("invalid-description", "description", reason));
            }
            definition.description = Some(text);
            Ok(())
        })
    }

    fn set_input_schema(&mut self, handle: Handle, schema: String) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            definition.input_schema = Some(checked_schema(schema)?);
            Ok(())
        })
    }

    fn set_max_attempts(&mut self, handle: Handle, attempts: u32) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            check_policy(|policy| policy.max_attempts = Some(attempts))?;
            definition.policy.max_attempts = Some(attempts);
            Ok(())
        })
    }

    fn set_retry_delay(&mut self, handle: Handle, base: u64, max: u64) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            let delay = Some((duration(base, "retry-delay")?, duration(max, "retry-delay")?));
            check_policy(|policy| policy.retry_delay = delay)?;
            definition.policy.retry_delay = delay;
            Ok(())
        })
    }

    fn set_timeout(&mut self, handle: Handle, timeout: u64) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            let timeout = Some(duration(timeout, "timeout")?);
            check_policy(|policy| policy.timeout = timeout)?;
            definition.policy.timeout = timeout;
            Ok(())
        })
    }

    fn set_priority(&mut self, handle: Handle, priority: u8) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            check_policy(|policy| policy.priority = Some(priority))?;
            definition.policy.priority = Some(priority);
            Ok(())
        })
    }

    fn add_schedule(
        &mut self,
        handle: Handle,
        key: String,
        at: types::Instant,
        payload: Option<types::Payload>,
    ) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            let field = "schedules";
            UniqueKey::parse(&key, "key").map_err(|invalid| invalid.within(field))?;
            if definition.schedules.iter().any(|schedule| schedule.key == key) {
                return Err(Invalid::new("duplicate-schedule", field, "two schedules of this key").seen(key));
            }
            if definition.schedules.len() == CODE_SCHEDULES_MAX {
                let reason = format!("more than {CODE_SCHEDULES_MAX}; schedule further runs from a run");
                return Err(Invalid::new("too-many-schedules", field, reason));
            }
            let at = timestamp(at, "at").map_err(|invalid| invalid.within(field))?;
            let input = input(payload).map_err(|invalid| invalid.within(field))?;
            definition.schedules.push(CodeSchedule { key, at, input });
            Ok(())
        })
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

fn checked_schema(schema: String) -> Result<String, Invalid> {
    let invalid = |reason: String| Err(Invalid::new("invalid-schema", "input-schema", reason));
    if schema.len() > SCHEMA_BYTES_MAX {
        return invalid(format!("{} bytes, the limit is {SCHEMA_BYTES_MAX}; describe less", schema.len()));
    }
    match serde_json::from_str::<serde_json::Value>(&schema) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(schema),
        Ok(_) => invalid("a JSON Schema is an object, or true or false".into()),
        Err(error) => invalid(format!("not JSON: {error}")),
    }
}
