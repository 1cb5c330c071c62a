//! Pausing a task: none of its runs starts, and none is lost.

use std::sync::Arc;

use super::{Error, Scheduler};
use crate::model::{Name, Pause, Task, Timestamp};

impl Scheduler {
    /// Pauses a task, until somebody resumes it or until the time given: its runs wait, attempts in flight go on. Its crons go on making
    /// runs, which wait too; to have none, [pause the cron](Self::pause_cron). Later registrations keep the pause.
    pub async fn pause_task(&self, name: &str, until: Option<Timestamp>, note: &str) -> Result<Arc<Task>, Error> {
        let now = self.now();
        let pause = Pause::new(now, until, note)?;
        self.set_pause(name, Some(pause), now).await
    }

    /// Lets a task go on: what has become due meanwhile starts in its order.
    pub async fn resume_task(&self, name: &str) -> Result<Arc<Task>, Error> {
        self.set_pause(name, None, self.now()).await
    }

    async fn set_pause(&self, name: &str, pause: Option<Pause>, now: Timestamp) -> Result<Arc<Task>, Error> {
        let name = Name::parse(name, "name")?;
        let task = self.changes.pause_task(self.namespace.id, name.clone(), pause, now).await?;
        task.ok_or_else(|| Error::TaskNotFound(name.to_string()))
    }
}
