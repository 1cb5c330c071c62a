//! `runlater runs logs ID`.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::filter::parse_id;
use crate::cli::moment;
use crate::cli::screen::{Screen, clean, clean_lines, clean_marked};
use crate::http::shapes;
use crate::model::RunId;

/// Show the attempts of a run with what they wrote
#[derive(Args)]
#[command(after_help = "The task wrote what stands behind | and :, whatever it says.

Examples:
  runlater runs logs 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater runs logs 019a0c5e-7b3c-7def-8123-456789abcdef --attempt 2")]
pub(super) struct Logs {
    /// The run
    #[arg(value_parser = parse_id)]
    id: RunId,
    /// Only this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

impl Logs {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let mut attempts: shapes::Attempts = client.get(&format!("/v1/runs/{}/attempts", self.id), &[])?;
        attempts.attempts.retain(|attempt| self.attempt.is_none_or(|number| attempt.number == number));
        if screen.json {
            return Ok(screen.value(&attempts)?);
        }
        if attempts.attempts.is_empty() {
            screen.note("no such attempt was made (yet)");
        }
        for attempt in &attempts.attempts {
            let outcome = attempt.outcome.as_deref().unwrap_or("running");
            let took =
                attempt.finished_at.map_or(String::new(), |end| format!(" after {}", moment::measured(end.since(attempt.started_at))));
            screen.line(format!("attempt {} at {}: {}{took}", attempt.number, moment::in_utc(attempt.started_at), clean(outcome)))?;
            if let Some(message) = &attempt.message {
                screen.quote(format!("  {}", clean_marked(message)))?;
            }
            for line in clean_lines(&attempt.log).lines() {
                screen.quote(format!("  | {line}"))?;
            }
        }
        Ok(())
    }
}
