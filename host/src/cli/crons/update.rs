//! `runlater crons update NAME`.

use clap::Args;

use super::{parse_name, said};
use crate::cli::client::Client;
use crate::cli::failure;
use crate::cli::filter::{entries, parse_entry};
use crate::cli::schedule::read_input;
use crate::cli::screen::Screen;
use crate::http::shapes;
use crate::model::Name;

/// Change a cron; its runs that have not triggered are made anew
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons update nightly --expression '30 2 * * *'
  runlater crons update poll --end 2027-01-01T00:00:00Z
  runlater crons update poll --missed all --missed-window 2d")]
pub(super) struct Update {
    /// The cron
    #[arg(value_parser = parse_name)]
    name: Name,
    /// Another expression
    #[arg(long, value_name = "CRON")]
    expression: Option<String>,
    /// Another time zone
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Another beginning
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Another end, or `none`
    #[arg(long, value_name = "TIME|none")]
    end: Option<String>,
    /// Another spread
    #[arg(long, value_name = "DURATION")]
    jitter: Option<String>,
    /// Another limit on how often; 0 lifts it
    #[arg(long, value_name = "N")]
    max_count: Option<u32>,
    /// Another input: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    input: Option<String>,
    /// Other metadata, in place of all there was (repeat for several)
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_entry)]
    metadata: Vec<(String, String)>,
    /// No metadata any more
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// Another priority; 0: the task's
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// Another policy for what was missed; `task`: the task's
    #[arg(long, value_name = "POLICY")]
    missed: Option<String>,
    /// Another span, how far back missed occurrences are made up for
    #[arg(long, value_name = "DURATION")]
    missed_window: Option<String>,
    /// Another number, how many missed occurrences are made up for at most
    #[arg(long, value_name = "N")]
    missed_max: Option<u32>,
    /// Change it only if it still has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u32>,
}

impl Update {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let (window, max) = (self.missed_window, self.missed_max);
        let missed = match self.missed {
            Some(task) if task == "task" && (window.is_some() || max.is_some()) => {
                return Err(failure::usage("--missed task leaves it all to the task: give no window and no maximum beside it"));
            }
            Some(task) if task == "task" => Some(None),
            None if window.is_none() && max.is_none() => None,
            catch_up => Some(Some(shapes::MissedChange { catch_up, window, max })),
        };
        let metadata = (self.no_metadata || !self.metadata.is_empty()).then(|| entries(self.metadata)).transpose()?;
        let request = shapes::UpdateCron {
            expression: self.expression,
            timezone: self.timezone.map(Some),
            start: self.start.map(Some),
            end: self.end.map(|end| Some(end).filter(|end| end != "none")),
            jitter: self.jitter.map(Some),
            max_count: self.max_count.map(|count| Some(count).filter(|count| *count > 0)),
            input: self.input.as_deref().map(read_input).transpose()?,
            metadata: metadata.map(Some),
            priority: self.priority.map(|priority| Some(priority).filter(|priority| *priority > 0)),
            missed,
            if_version: self.if_version,
        };
        let cron: shapes::Cron = client.patch(&format!("/v1/crons/{}", self.name), &request)?;
        said(screen, "updated", &cron)
    }
}
