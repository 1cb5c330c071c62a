//! `runlater crons create NAME`.

use clap::Args;

use super::{parse_name, said};
use crate::cli::client::Client;
use crate::cli::filter::{entries, parse_entry};
use crate::cli::schedule::read_input;
use crate::cli::screen::Screen;
use crate::http::shapes;
use crate::model::Name;

/// Make a cron: runs of a task, again and again
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons create nightly --task report --expression '0 2 * * *' --timezone Europe/Prague
  runlater crons create poll --task poll --expression '@every 90s' --missed latest
  runlater crons create party --task greet --expression '0 0 1 1 *' --max-count 3 --input '{\"to\":\"all\"}'")]
pub(super) struct Create {
    /// Its name
    #[arg(value_parser = parse_name)]
    name: Name,
    /// The task that its runs execute
    #[arg(long)]
    task: String,
    /// Five or six fields, @daily and the like, or @every DURATION
    #[arg(long, value_name = "CRON")]
    expression: String,
    /// The time zone whose clocks it goes by: a name of the IANA database [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// It does not fire before this time
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// It fires before this time only
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Spread its runs over this long behind their planned times
    #[arg(long, value_name = "DURATION")]
    jitter: Option<String>,
    /// Fire so often at most
    #[arg(long, value_name = "N")]
    max_count: Option<u32>,
    /// What each run is given: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    input: Option<String>,
    /// Metadata of each run (repeat for several)
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_entry)]
    metadata: Vec<(String, String)>,
    /// 1 to 3, instead of what the task says
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// What becomes of occurrences that pass while no host runs: skip, latest or all, instead of what the task says
    #[arg(long, value_name = "POLICY")]
    missed: Option<String>,
    /// How far back missed occurrences are made up for [default: 1d]
    #[arg(long, value_name = "DURATION", requires = "missed")]
    missed_window: Option<String>,
    /// How many missed occurrences are made up for at most [default: 100]
    #[arg(long, value_name = "N", requires = "missed")]
    missed_max: Option<u32>,
}

impl Create {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let (window, max) = (self.missed_window, self.missed_max);
        let request = shapes::CreateCron {
            name: self.name.to_string(),
            task: self.task,
            expression: self.expression,
            timezone: self.timezone,
            start: self.start,
            end: self.end,
            jitter: self.jitter,
            max_count: self.max_count,
            input: self.input.as_deref().map(read_input).transpose()?,
            metadata: entries(self.metadata)?,
            priority: self.priority,
            missed: self.missed.map(|catch_up| shapes::Missed { catch_up, window, max }),
        };
        let cron: shapes::Cron = client.post("/v1/crons", &request)?;
        said(screen, "created", &cron)
    }
}
