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
Of a run, the last 20 attempts and the last 1 MiB of their logs are kept.

Examples:
  runlater runs logs 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater runs logs 019a0c5e-7b3c-7def-8123-456789abcdef --attempt 2")]
pub(super) struct Logs {
    /// The run
    #[arg(value_parser = parse_id)]
    id: RunId,
    /// Only this attempt
    #[arg(long, value_name = "N", conflicts_with_all = ["limit", "after"])]
    attempt: Option<u32>,
    /// How many in one page: 1 to 100
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// Go on after this attempt
    #[arg(long, value_name = "N")]
    after: Option<u32>,
}

impl Logs {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let (limit, after) = match self.attempt {
            Some(number) => (1, Some(number.saturating_sub(1))),
            None => (self.limit, self.after),
        };
        let mut query = vec![("limit", limit.to_string())];
        query.extend(after.map(|after| ("after", after.to_string())));
        let mut attempts: shapes::Attempts = client.get(&format!("/v1/runs/{}/attempts", self.id), &query)?;
        attempts.attempts.retain(|attempt| self.attempt.is_none_or(|number| attempt.number == number));
        if screen.json {
            return Ok(screen.value(&attempts)?);
        }
        if attempts.attempts.is_empty() {
            let gone = if attempts.attempts_dropped > 0 { ", or it is not kept any more" } else { "" };
            screen.note(format!("no such attempt was made (yet){gone}"));
        }
        if attempts.attempts_dropped > 0 && self.attempt.is_none() && self.after.is_none() {
            screen.note(format!("attempts 1 to {} are not kept any more", attempts.attempts_dropped));
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
            if attempt.log_dropped > 0 {
                screen.line(format!("  its log of {} bytes is not kept any more", attempt.log_dropped))?;
            }
        }
        if let Some(next) = attempts.next.filter(|_| self.attempt.is_none()) {
            screen.note(format!("there are more: --after {next}"));
        }
        Ok(())
    }
}
