//! `runlater runs show ID`.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::filter::{parse_id, shown_metadata};
use crate::cli::moment;
use crate::cli::screen::{Screen, clean, clean_marked};
use crate::http::shapes::{self, Bytes};
use crate::model::{RunId, Timestamp};

/// Show everything about one run
#[derive(Args)]
#[command(after_help = "Example:\n  runlater runs show 019a0c5e-7b3c-7def-8123-456789abcdef")]
pub(super) struct Show {
    /// The run
    #[arg(value_parser = parse_id)]
    id: RunId,
}

impl Show {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let run = client.run(self.id)?;
        if screen.json { Ok(screen.value(&run)?) } else { show(screen, &run) }
    }
}

/// `of nightly, planned for 2027-03-14 01:30:00Z`.
fn occurrence(occurrence: &shapes::CronOccurrence) -> String {
    let cron = occurrence.cron.as_deref().unwrap_or("a cron that is gone");
    let planned = occurrence.planned_at.map_or("by hand".into(), |at| format!("planned for {}", moment::in_utc(at)));
    match (occurrence.skipped, occurrence.skipped_until) {
        (Some(count), Some(until)) => format!(
            "of {cron}: {count} that were skipped, from {} to {}",
            moment::in_utc(occurrence.planned_at.unwrap_or(until)),
            moment::in_utc(until)
        ),
        _ => format!("of {cron}, {planned}"),
    }
}

fn show(screen: &Screen, run: &shapes::Run) -> anyhow::Result<()> {
    let now = moment::now();
    let time = |at: Option<Timestamp>| at.map(|at| moment::with_hint(at, now));
    let payload = |json: &Option<Box<serde_json::value::RawValue>>, bytes: &Option<Bytes>| match (json, bytes) {
        (Some(json), _) => Some(json.get().to_string()),
        (_, Some(bytes)) => Some(format!("{} in base64: {}", bytes.media_type, bytes.base64)),
        _ => None,
    };
    let metadata = shown_metadata(&run.metadata);
    for (name, value) in [
        ("run", Some(run.id.to_string())),
        ("task", Some(run.task.clone())),
        ("status", Some(run.status.clone())),
        ("reason", run.reason.clone()),
        ("message", run.message.clone()),
        ("cancel", run.cancel_requested.then(|| "requested".into())),
        ("trigger time", time(Some(run.trigger_at))),
        ("next attempt", time(run.due_at)),
        ("created", time(Some(run.created_at))),
        ("started", time(run.started_at)),
        ("finished", time(run.finished_at)),
        ("attempts", Some(run.attempts.to_string())),
        ("progress", run.progress.as_ref().map(|progress| format!("{}/{} {}", progress.done, progress.total, progress.note))),
        ("priority", Some(run.priority.to_string())),
        ("origin", Some(run.origin.clone())),
        ("occurrence", run.occurrence.as_ref().map(occurrence)),
        ("parent", run.parent.map(|parent| parent.to_string())),
        ("root", run.root.map(|root| root.to_string())),
        ("metadata", (!metadata.is_empty()).then_some(metadata)),
        ("unique key", run.unique_key.clone()),
        ("input", payload(&run.input, &run.input_bytes)),
        ("output", payload(&run.output, &run.output_bytes)),
    ] {
        if let Some(value) = value {
            // A failure's message has several lines: an exception with its backtrace.
            let shown = if name == "message" { clean_marked(&value) } else { clean(&value) };
            screen.quote(format!("{name:<14}{shown}"))?;
        }
    }
    Ok(())
}
