//! `runlater crons next`: what is to come, of a stored cron or of any expression.

use std::time::Duration;

use clap::Args;

use super::parse_name;
use crate::cli::client::Client;
use crate::cli::failure;
use crate::cli::moment;
use crate::cli::screen::{Screen, clean};
use crate::cli::time_zones::TimeZonesArgument;
use crate::http::shapes;
use crate::model::{CronRule, Name, Timestamp};

/// Show when a cron, or an expression, fires next, and what changes of the clocks do to that
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons next nightly --count 20
  runlater crons next --expression '30 2 * * 0' --timezone Europe/Prague --after 2027-03-01T00:00:00Z")]
pub(super) struct Next {
    /// The stored cron; name one, or give an --expression
    #[arg(value_parser = parse_name, conflicts_with_all = ["expression", "tzdir"])]
    name: Option<Name>,
    /// An expression; needs no server
    #[arg(long, value_name = "CRON")]
    expression: Option<String>,
    /// The time zone of the expression
    #[arg(long, value_name = "ZONE", default_value = "UTC", requires = "expression", conflicts_with = "name")]
    timezone: String,
    /// Show occurrences of the expression later than this time (exclusive) [default: now]
    #[arg(long, value_name = "TIME", requires = "expression", conflicts_with = "name")]
    after: Option<String>,
    #[command(flatten)]
    time_zones: TimeZonesArgument,
    /// How many: 1 to 500
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    count: u16,
}

impl Next {
    pub(super) fn run(self, client: impl FnOnce() -> anyhow::Result<Client>, screen: &Screen) -> anyhow::Result<()> {
        let found = match (&self.name, &self.expression) {
            (Some(name), _) => client()?.get(&format!("/v1/crons/{name}/next"), &[("count", self.count.to_string())])?,
            (None, Some(expression)) => self.of(expression)?,
            (None, None) => {
                let hint =
                    "name a stored cron, or give an expression: runlater crons next --expression '0 9 * * 1-5' --timezone Europe/Prague";
                return Err(failure::usage(hint));
            }
        };
        if screen.json {
            return Ok(screen.value(&found)?);
        }
        if found.occurrences.is_empty() {
            screen.note("it does not fire any more by itself");
        }
        for occurrence in &found.occurrences {
            let note = occurrence.note.as_deref().map(|note| format!("  {note}")).unwrap_or_default();
            let when = moment::with_hint(occurrence.at, moment::now());
            screen.line(clean(&format!("{}  {when}{note}", occurrence.local)))?;
        }
        Ok(())
    }

    fn of(&self, expression: &str) -> anyhow::Result<shapes::Occurrences> {
        let wrong = |invalid: crate::model::Invalid| failure::usage(invalid.to_string());
        let after = match &self.after {
            Some(after) => Timestamp::parse_floor(after, "after").map_err(wrong)?,
            None => moment::now(),
        };
        let zone = self.time_zones.select()?.zone(&self.timezone).map_err(wrong)?;
        let rule = CronRule::new(expression, zone, after, None, Duration::ZERO).map_err(wrong)?;
        let occurrences = crate::scheduler::next(&rule, after, self.count.into());
        Ok(shapes::Occurrences { occurrences: occurrences.iter().map(|occurrence| shapes::Occurrence::of(&rule, occurrence)).collect() })
    }
}
