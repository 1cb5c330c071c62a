//! Waiting for a run to end, and showing how it did.

use std::time::Duration;

use super::client::Client;
use super::failure::{Exit, Failure};
use super::screen::{Screen, clean};
use super::{moment, table};
use crate::http::shapes;
use crate::model::RunId;

/// One request waits this long, so that the spinner can say where the run stands.
const ROUND: Duration = Duration::from_secs(5);
/// Follow-ups shown of one run with all that follow them.
const FOLLOW_UPS_MAX: usize = 50;

/// Waits until the run has ended; `None` if it has not after `timeout`.
pub(super) fn until_ended(client: &Client, screen: &Screen, run: RunId, timeout: Option<Duration>) -> anyhow::Result<Option<shapes::Run>> {
    let spinner = screen.spinner(format!("waiting for run {run}"));
    let started = std::time::Instant::now();
    loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        let round = left.map_or(ROUND, |left| left.min(ROUND));
        let seen: shapes::Run = client.get(&format!("/v1/runs/{run}/wait"), &[("timeout", crate::model::format_duration(round))])?;
        if seen.is_final() {
            spinner.finish_and_clear();
            return Ok(Some(seen));
        }
        if left.is_some_and(|left| left <= round) {
            spinner.finish_and_clear();
            return Ok(None);
        }
        spinner.set_message(match &seen.progress {
            Some(progress) => format!("{} {}/{} {}", clean(&seen.status), progress.done, progress.total, clean(&progress.note)),
            None => format!("{}, due {}", clean(&seen.status), moment::with_hint(seen.due_at.unwrap_or(seen.trigger_at), moment::now())),
        });
    }
}

/// The follow-ups of a run, each with how many hops it is away: first a follow-up, then its own.
pub(super) fn follow_ups(client: &Client, run: RunId) -> anyhow::Result<Vec<(usize, shapes::Run)>> {
    let mut found = Vec::new();
    let mut open = vec![(1, run)];
    while let Some((depth, parent)) = open.pop() {
        if found.len() >= FOLLOW_UPS_MAX {
            break;
        }
        let query = [("parent", parent.to_string()), ("order", "oldest-first".into()), ("limit", FOLLOW_UPS_MAX.to_string())];
        let page: shapes::RunPage = client.get("/v1/runs", &query)?;
        for run in page.runs {
            open.push((depth + 1, run.id));
            found.push((depth, run));
        }
    }
    Ok(found)
}

/// Shows how a run ended and what follows it.
pub(super) fn show_end(client: &Client, screen: &Screen, run: &shapes::Run) -> anyhow::Result<()> {
    let follow_ups = follow_ups(client, run.id)?;
    if screen.json {
        let follow_ups: Vec<_> = follow_ups.iter().map(|(_, run)| run).collect();
        screen.value(&serde_json::json!({ "run": run, "follow_ups": follow_ups }))?;
        return Ok(());
    }
    let took = match (run.started_at, run.finished_at) {
        (Some(started), Some(finished)) => format!(" in {}", moment::measured(finished.since(started))),
        _ => String::new(),
    };
    screen.line(format!("{} {}{took}, attempt {}", clean(&run.task), clean(&run.status), run.attempts))?;
    if let Some(message) = &run.message {
        screen.quote(format!("  {}: {}", clean(run.reason.as_deref().unwrap_or("reason")), clean(message)))?;
    }
    match (&run.output, &run.output_bytes) {
        (Some(json), _) => screen.quote(format!("  output: {}", clean(json.get())))?,
        (_, Some(bytes)) => screen.quote(format!("  output: {} in base64: {}", clean(&bytes.media_type), clean(&bytes.base64)))?,
        _ => {}
    }
    if follow_ups.is_empty() {
        return Ok(());
    }
    screen.line("follow-ups:")?;
    let now = moment::now();
    let row = |(depth, run): &(usize, shapes::Run)| {
        vec![format!("{}{}", "  ".repeat(*depth), run.id), clean(&run.task), clean(&run.status), moment::with_hint(run.trigger_at, now)]
    };
    let rows: Vec<_> = follow_ups.iter().map(row).collect();
    for line in table::lay_out(&["  ID", "TASK", "STATUS", "TRIGGER TIME"], &rows, screen.width) {
        screen.line(line)?;
    }
    Ok(())
}

/// Fails the command if the run did not succeed, so that scripts notice.
pub(super) fn check_success(run: &shapes::Run) -> anyhow::Result<()> {
    if run.status == "succeeded" {
        return Ok(());
    }
    let message = format!("run {} {}; see `runlater runs logs {}`", run.id, clean(&run.status), run.id);
    Err(Failure::new(Exit::RunFailed, "run-not-succeeded", message).into())
}
