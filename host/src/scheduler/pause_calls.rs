//! What a guest may ask for about the pauses of tasks during one attempt.
//!
//! Each write is checked at once; the attempt's outcome commits it, and the due queue heeds it from then on.

use std::collections::BTreeMap;

use super::guest_calls::GuestCalls;
use crate::executor::{CallError, PauseCalls};
use crate::model::{Name, Pause, Timestamp, Write};

/// The tasks that an attempt paused, or let go on, as it sees them.
pub(super) type OwnPauses = BTreeMap<Name, Option<Pause>>;

impl PauseCalls for GuestCalls {
    fn pause(&mut self, task: &Name) -> Result<Option<Pause>, CallError> {
        let stored = self.storage.task(self.namespace, task.as_str()).ok_or_else(|| CallError::TaskNotFound(task.to_string()))?;
        let seen = self.own_pauses.get(task).unwrap_or(&stored.pause);
        let now = self.clock.now();
        Ok(seen.clone().filter(|pause| pause.holds(now)))
    }

    fn pause_task(&mut self, task: &Name, until: Option<Timestamp>, note: &str) -> Result<(), CallError> {
        let now = self.clock.now();
        let pause = Pause::new(now, until, note)?;
        let before = self.pause(task)?;
        let pause = Some(pause.in_place_of(before.as_ref(), now));
        self.push(Write::PauseTask(task.clone(), pause.clone()))?;
        self.own_pauses.insert(task.clone(), pause);
        Ok(())
    }

    fn resume_task(&mut self, task: &Name) -> Result<(), CallError> {
        self.pause(task)?;
        self.push(Write::PauseTask(task.clone(), None))?;
        self.own_pauses.insert(task.clone(), None);
        Ok(())
    }
}
