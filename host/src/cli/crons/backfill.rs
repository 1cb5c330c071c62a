//! `runlater crons backfill NAME`.

use clap::Args;

use super::parse_name;
use crate::cli::client::{Client, UPLOAD_TIMEOUT};
use crate::cli::screen::Screen;
use crate::http::shapes;
use crate::model::Name;

/// Make the runs of a past range of a cron, due at once, except those that were made before
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons backfill nightly --from 2027-01-01T00:00:00Z --dry-run
  runlater crons backfill nightly --from 2027-01-01T00:00:00Z --until 2027-01-08T00:00:00Z")]
pub(super) struct Backfill {
    /// The cron
    #[arg(value_parser = parse_name)]
    name: Name,
    /// From this time on
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Up to this time [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only say how many there would be
    #[arg(long)]
    dry_run: bool,
}

impl Backfill {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let request = shapes::BackfillCron { from: self.from, until: self.until, dry_run: self.dry_run };
        let spinner = screen.spinner(format!("going through the past of {}", self.name));
        let done: shapes::Backfilled = client.post_slowly(&format!("/v1/crons/{}/backfill", self.name), &request, UPLOAD_TIMEOUT)?;
        spinner.finish_and_clear();
        if screen.json {
            return Ok(screen.value(&done)?);
        }
        let range = match (done.planned.first(), done.planned.last()) {
            (Some(first), Some(last)) => format!(" from {first} to {last}"),
            _ => String::new(),
        };
        let count = done.planned.len();
        let text = match self.dry_run {
            true => format!("{count} occurrences{range}; those without a run would get one"),
            false => format!("{} runs made of {count} occurrences{range}", done.made),
        };
        Ok(screen.line(text)?)
    }
}
