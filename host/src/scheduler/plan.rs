//! What a registration would change, without doing it.

use super::register::Register;
use super::{Error, Scheduler};
use crate::model::limits::PAGE_SIZE_MAX;
use crate::model::{Cron, CronFilter, Digest, Name, Origin};
use crate::storage::Registration;

/// What a registration would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The address of the component's bytes.
    pub digest: Digest,
    /// Tasks, then crons, each in order of name. What stays as it is is not there.
    pub changes: Vec<Planned>,
}

/// One change of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// `task` or `cron`.
    pub what: &'static str,
    /// Its name.
    pub name: Name,
    /// `added`, `changed` or `removed`.
    pub change: &'static str,
}

impl Register<'_> {
    /// Checks the component as [`send`](Self::send) does, and says what that would change. Nothing is stored.
    ///
    /// A task that the component no longer has stays with the version that had it, so none is ever removed; the crons that its code declared are.
    pub async fn plan(self) -> Result<Plan, Error> {
        let scheduler = self.scheduler;
        let registration = self.prepare().await?;
        let mut changes = tasks(scheduler, &registration);
        let mut crons = Vec::new();
        for (definition, _) in &registration.tasks {
            let stored = code_crons(scheduler, &definition.name).await?;
            let planned = |name: &Name, change| Planned { what: "cron", name: name.clone(), change };
            for cron in &stored {
                match definition.crons.iter().find(|declared| declared.name == cron.name) {
                    None => crons.push(planned(&cron.name, "removed")),
                    Some(declared) if declared.spec(cron.spec.rule.start()) != cron.spec => {
                        crons.push(planned(&cron.name, "changed"));
                    }
                    Some(_) => {}
                }
            }
            let new = definition.crons.iter().filter(|declared| !stored.iter().any(|cron| cron.name == declared.name));
            crons.extend(new.map(|declared| planned(&declared.name, "added")));
        }
        for task in registration.left_behind(&scheduler.tasks()) {
            let left = code_crons(scheduler, &task.name).await?;
            crons.extend(left.into_iter().map(|cron| Planned { what: "cron", name: cron.name, change: "removed" }));
        }
        crons.sort_by(|a, b| a.name.cmp(&b.name));
        changes.extend(crons);
        Ok(Plan { digest: registration.component.digest, changes })
    }
}

fn tasks(scheduler: &Scheduler, registration: &Registration) -> Vec<Planned> {
    let mut planned = Vec::new();
    for (definition, policy) in &registration.tasks {
        let change = match scheduler.task(definition.name.as_str()) {
            None => "added",
            Some(task) => {
                let same = task.digest == registration.component.digest
                    && task.grants == registration.grants
                    && task.policy == *policy
                    && registration.overrides.get(&definition.name).is_none_or(|overrides| *overrides == task.overrides);
                if same {
                    continue;
                }
                "changed"
            }
        };
        planned.push(Planned { what: "task", name: definition.name.clone(), change });
    }
    planned.sort_by(|a, b| a.name.cmp(&b.name));
    planned
}

/// The crons of this task that its code declares by now.
async fn code_crons(scheduler: &Scheduler, task: &Name) -> Result<Vec<Cron>, Error> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = scheduler.list_crons(&CronFilter { task: Some(task.clone()), paused: None, after, limit: PAGE_SIZE_MAX }).await?;
        // A page may end early because its inputs are large: only an empty one is the last.
        let last = page.is_empty();
        after = page.last().map(|cron| cron.name.clone());
        found.extend(page.into_iter().filter(|cron| cron.origin == Origin::Code));
        if last {
            return Ok(found);
        }
    }
}
