//! Filters, in the form of a list's query and of a bulk request.

use serde::Deserialize;

use super::metadata::FilterEntry;
use super::{ids, status};
use crate::model::{Invalid, Metadata, Order, Origin, Page, RunFilter, RunId, Status};
use crate::scheduler::{Error, Scheduler};

/// What is a scheduled run to these clients: what somebody asked for, or a component's code declares. The occurrences of crons are not.
const ORIGINS: [Origin; 3] = [Origin::Api, Origin::Guest, Origin::Code];

/// Conditions on scheduled runs, of which all must hold. Without any, all match.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    pub(super) workflow_id: Option<String>,
    pub(super) parent_workflow_run_id: Option<String>,
    pub(super) parent_step_run_id: Option<String>,
    /// Each `key:value`.
    pub(super) additional_metadata: Option<Vec<String>>,
    /// Not part of a bulk request: the SDKs drop it there, and a bulk request takes what has not triggered anyway.
    #[serde(skip)]
    pub(super) statuses: Vec<String>,
}

impl Filter {
    /// Checks it. `None`: nothing can match.
    pub(super) async fn parse(&self, scheduler: &Scheduler) -> Result<Option<RunFilter>, Error> {
        let mut filter = RunFilter { origins: ORIGINS.to_vec(), ..RunFilter::default() };
        if let Some(workflow) = &self.workflow_id {
            // A UUID like any other, so it is checked as one.
            RunId::parse(workflow, "workflowId")?;
            let Some(task) = ids::task_of_workflow(scheduler, workflow) else { return Ok(None) };
            filter.tasks = vec![task.name.clone()];
        }
        let parent = |id: &Option<String>, field: &str| id.as_deref().map(|id| RunId::parse(id, field)).transpose();
        // A run has one step here: itself.
        let (run, step) =
            (parent(&self.parent_workflow_run_id, "parentWorkflowRunId")?, parent(&self.parent_step_run_id, "parentStepRunId")?);
        if run.is_some() && step.is_some() && run != step {
            return Ok(None);
        }
        filter.parent = run.or(step);
        let Some(metadata) = entries(self.additional_metadata.as_deref().unwrap_or_default(), scheduler).await? else { return Ok(None) };
        filter.metadata = metadata;
        if !self.statuses.is_empty() {
            let Some(statuses) = statuses(&self.statuses)? else { return Ok(None) };
            filter.statuses = statuses;
        }
        Ok(filter.checked().map(Some)?)
    }
}

/// The statuses that any of these words means. `None`: they mean none.
fn statuses(words: &[String]) -> Result<Option<Vec<Status>>, Invalid> {
    let mut wanted = Vec::new();
    for word in words {
        let meant = status::meant_by(word)
            .ok_or_else(|| Invalid::new("invalid-status", "statuses", format!("one of {}", status::FILTER_WORDS)).seen(word))?;
        wanted.extend(meant);
    }
    let wanted: Vec<_> = Status::ALL.into_iter().filter(|status| wanted.contains(status)).collect();
    Ok((!wanted.is_empty()).then_some(wanted))
}

/// The entries that are meant. `None`: two contradict each other. An entry is refused if there are runs that it may mean by another reading of
/// its text: it would show, or delete, other runs than its author means.
async fn entries(texts: &[String], scheduler: &Scheduler) -> Result<Option<Metadata>, Error> {
    let mut metadata = Metadata::default();
    for text in texts {
        let entry = FilterEntry::parse(text)?;
        for other in &entry.others {
            let metadata = Metadata::from_entries([(&other.0, &other.1)])?;
            let filter = RunFilter { origins: ORIGINS.to_vec(), metadata, ..RunFilter::default() };
            if !scheduler.list(&filter, &Page::new(1, None, Order::OldestFirst)?).await?.0.is_empty() {
                return Err(entry.ambiguous(other).into());
            }
        }
        let (key, value) = &entry.meant;
        if metadata.get(key).is_some_and(|other| other != value) {
            return Ok(None);
        }
        metadata.set(key, value).map_err(|invalid| Invalid { field: "additionalMetadata".into(), ..invalid })?;
    }
    Ok(Some(metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_query() {
        let words = |words: &[&str]| statuses(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(words(&["CANCELLED", "SCHEDULED", "SCHEDULED"]), Ok(Some(vec![Status::Scheduled, Status::Cancelled, Status::Missed])));
        assert_eq!(words(&["PENDING"]), Ok(None));
        assert_eq!(words(&["BACKOFF"]).unwrap_err().code, "invalid-status");
    }
}
