//! The interface `pauses`: pausing tasks, and letting them go on. Linked only with the grant.

use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::{pauses, types};
use crate::model::{Invalid, Name};

use super::types::{CallFailure, timestamp};

fn task(name: &str) -> Result<Name, Invalid> {
    Name::parse(name, "task")
}

impl pauses::Host for AttemptState {
    fn get(&mut self, name: String) -> Result<Option<String>, CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.pause(&task(&name)?)?.map(|pause| pause.note))
    }

    fn pause(&mut self, name: String, until: Option<types::Instant>, note: String) -> Result<(), CallFailure> {
        self.count_call()?;
        let until = until.map(|until| timestamp(until, "until")).transpose()?;
        Ok(self.request.calls.pause_task(&task(&name)?, until, &note)?)
    }

    fn resume(&mut self, name: String) -> Result<(), CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.resume_task(&task(&name)?)?)
    }
}
