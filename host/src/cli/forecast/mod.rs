//! `runlater forecast`.

mod picture;

use clap::Args;

use super::client::Client;
use super::screen::{Screen, clean};
use super::{Global, moment};
use crate::http::shapes;

/// Show what is to come, hour by hour: scheduled runs, and occurrences of crons
#[derive(Args)]
#[command(after_help = "Examples:
  runlater forecast
  runlater forecast --for 24h --task report
  runlater forecast --for 90d --json

Hours are those of UTC. Up to two days are shown as a bar for each hour, more as a row for each day.")]
pub(super) struct Forecast {
    /// How far to look: 1m to 366d
    #[arg(long = "for", value_name = "DURATION", default_value = "14d")]
    span: String,
    /// Only what this task will run
    #[arg(long)]
    task: Option<String>,
}

impl Forecast {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let mut query = vec![("for", self.span)];
        query.extend(self.task.map(|task| ("task", task)));
        let seen: shapes::Forecast = Client::find(global, screen)?.get("/v1/forecast", &query)?;
        if screen.json {
            return Ok(screen.value(&seen)?);
        }
        for line in picture::picture(&seen, screen.width) {
            screen.line(line)?;
        }
        let (runs, crons) = seen.hours.iter().fold((0, 0), |(runs, crons), hour| (runs + hour.runs, crons + hour.crons));
        screen.line(format!("{crons} occurrences of crons, {runs} scheduled runs, until {}", moment::in_utc(seen.until)))?;
        for note in &seen.notes {
            screen.line(clean(&format!("{}  {}: {}", moment::in_utc(note.at), note.cron, note.note)))?;
        }
        if let Some(cut) = seen.cut {
            screen.note(clean(&cut));
        }
        Ok(())
    }
}
