//! `runlater crons show NAME`.

use clap::Args;

use super::parse_name;
use crate::cli::client::Client;
use crate::cli::filter::shown_metadata;
use crate::cli::screen::{Screen, clean};
use crate::cli::{moment, pause};
use crate::http::shapes;
use crate::model::Name;

/// Show one cron: its rule, what its runs are given, and when it fires next
#[derive(Args)]
#[command(after_help = "Example:\n  runlater crons show nightly")]
pub(super) struct Show {
    /// The cron
    #[arg(value_parser = parse_name)]
    name: Name,
}

impl Show {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let cron: shapes::Cron = client.get(&format!("/v1/crons/{}", self.name), &[])?;
        if screen.json {
            return Ok(screen.value(&cron)?);
        }
        let now = moment::now();
        let time = |at: Option<crate::model::Timestamp>, none: &str| at.map_or(none.into(), |at| moment::with_hint(at, now));
        let missed = cron.missed.as_ref().map_or("as the task says".into(), missed_in_words);
        let input = match (&cron.input, &cron.input_bytes) {
            (Some(json), _) => json.get().to_string(),
            (None, Some(bytes)) => format!("{} in base64: {}", clean(&bytes.media_type), bytes.base64),
            // JSON's own null is read as nothing.
            (None, None) => "null".into(),
        };
        for (name, value) in [
            ("cron", cron.name.clone()),
            ("task", cron.task.clone()),
            ("expression", cron.expression.clone()),
            (
                "time zone",
                if cron.timezone_unknown { format!("{} (unknown: it does not fire)", cron.timezone) } else { cron.timezone.clone() },
            ),
            ("next", time(cron.next_at, "none")),
            ("paused", cron.pause.as_ref().map_or("no".into(), |pause| pause::in_words(pause, now))),
            ("start", time(Some(cron.start), "none")),
            ("end", time(cron.end, "none")),
            ("jitter", cron.jitter.clone()),
            ("fired", cron.max_count.map_or(cron.fired.to_string(), |max| format!("{} of {max}", cron.fired))),
            ("missed", missed),
            ("priority", cron.priority.map_or("the task's".into(), |priority| priority.to_string())),
            ("metadata", if cron.metadata.is_empty() { "none".into() } else { shown_metadata(&cron.metadata) }),
            ("input", input),
            ("origin", cron.origin.clone()),
            ("version", cron.version.to_string()),
            ("created", time(Some(cron.created_at), "")),
            ("updated", time(Some(cron.updated_at), "")),
        ] {
            screen.quote(format!("{name:<14}{}", clean(&value)))?;
        }
        Ok(())
    }
}

/// `all of the last 2d, at most 7`.
fn missed_in_words(missed: &shapes::Missed) -> String {
    let window = missed.window.as_deref().map(|window| format!(" of the last {window}")).unwrap_or_default();
    match (missed.catch_up.as_str(), missed.max) {
        ("all", Some(max)) => format!("all{window}, at most {max}"),
        ("latest", _) => format!("latest{window}"),
        (other, _) => other.into(),
    }
}
