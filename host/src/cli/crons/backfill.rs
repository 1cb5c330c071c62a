//! `runlater crons backfill NAME`.

use clap::Args;

use super::parse_name;
use crate::cli::client::{Client, UPLOAD_TIMEOUT};
use crate::cli::confirm::{self, Sure};
use crate::cli::screen::Screen;
use crate::http::shapes;
use crate::model::{Name, Timestamp};

/// Make the runs of a past range of a cron, due at once, except those that were made before
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons backfill nightly --from 2027-01-01T00:00:00Z --dry-run
  runlater crons backfill nightly --from 2027-01-01T00:00:00Z --until 2027-01-08T00:00:00Z
  runlater crons backfill nightly --from 2027-01-01T00:00:00Z --yes")]
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
    #[command(flatten)]
    sure: Sure,
}

impl Backfill {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let done = self.backfill(client, screen)?;
        if screen.json {
            return Ok(screen.value(&done)?);
        }
        let occurrences = occurrences(&done.planned);
        let text = match self.dry_run {
            true => format!("{occurrences}; those without a run would get one"),
            false => format!("{} runs made of {occurrences}", done.made),
        };
        Ok(screen.line(text)?)
    }

    fn backfill(&self, client: &Client, screen: &Screen) -> anyhow::Result<shapes::Backfilled> {
        let path = format!("/v1/crons/{}/backfill", self.name);
        let mut request = shapes::BackfillCron { from: self.from.clone(), until: self.until.clone(), dry_run: true };
        let spinner = || screen.spinner(format!("going through the past of {}", self.name));
        if self.dry_run || !self.sure.yes {
            let spinner = spinner();
            let trial: shapes::Backfilled = client.post_trial(&path, &request, UPLOAD_TIMEOUT)?;
            spinner.finish_and_clear();
            let last = match trial.planned.last() {
                Some(last) if !self.dry_run => last,
                _ => return Ok(trial),
            };
            // What is asked about is what is made, though time goes on meanwhile.
            request.until = Some(last.to_string());
            let what = format!("runs of {} of cron {}", occurrences(&trial.planned), self.name);
            confirm::ask(&format!("Make {what}, due at once, except where there is one?"), ", or --dry-run to only count")?;
        }
        request.dry_run = false;
        let spinner = spinner();
        let done = client.post_slowly(&path, &request, UPLOAD_TIMEOUT)?;
        spinner.finish_and_clear();
        Ok(done)
    }
}

/// `3 occurrences from 2027-01-01T00:00:00Z to 2027-01-01T02:00:00Z`.
fn occurrences(planned: &[Timestamp]) -> String {
    match (planned.first(), planned.last()) {
        (Some(first), Some(last)) if first != last => format!("{} occurrences from {first} to {last}", planned.len()),
        (Some(only), _) => format!("1 occurrence at {only}"),
        _ => "0 occurrences".into(),
    }
}
