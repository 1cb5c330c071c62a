//! `runlater crons update NAME`.

use clap::Args;

use super::{parse_name, said};
use crate::cli::client::Client;
use crate::cli::filter::parse_entry;
use crate::cli::schedule::read_input;
use crate::cli::screen::Screen;
use crate::http::shapes;
use crate::model::Name;

/// Change a cron; its runs that have not triggered are made anew
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons update nightly --expression '30 2 * * *'
  runlater crons update poll --end 2027-01-01T00:00:00Z")]
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
    /// Another priority; 0: the task's
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// Another policy for what was missed; `task`: the task's
    #[arg(long, value_name = "POLICY")]
    missed: Option<String>,
    /// Change it only if it still has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u32>,
}

impl Update {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let request = shapes::UpdateCron {
            expression: self.expression,
            timezone: self.timezone,
            start: self.start,
            end: self.end.map(|end| Some(end).filter(|end| end != "none")),
            jitter: self.jitter,
            max_count: self.max_count.map(|count| Some(count).filter(|count| *count > 0)),
            input: self.input.as_deref().map(read_input).transpose()?,
            metadata: (!self.metadata.is_empty()).then(|| self.metadata.into_iter().collect()),
            priority: self.priority.map(|priority| Some(priority).filter(|priority| *priority > 0)),
            missed: self.missed.map(|missed| (missed != "task").then_some(shapes::Missed { catch_up: missed, window: None, max: None })),
            if_version: self.if_version,
        };
        let cron: shapes::Cron = client.patch(&format!("/v1/crons/{}", self.name), &request)?;
        said(screen, "updated", &cron)
    }
}
