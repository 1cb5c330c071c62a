//! `runlater crons delete NAME`.

use clap::Args;

use super::{fires_next, parse_name};
use crate::cli::client::Client;
use crate::cli::confirm::{self, Sure};
use crate::cli::screen::{Screen, clean};
use crate::http::shapes;
use crate::model::Name;

/// Delete a cron and its runs that have not triggered
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons delete nightly
  runlater crons delete nightly --yes")]
pub(super) struct Delete {
    /// The cron
    #[arg(value_parser = parse_name)]
    name: Name,
    #[command(flatten)]
    sure: Sure,
}

impl Delete {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let path = format!("/v1/crons/{}", self.name);
        if !self.sure.yes {
            let cron: shapes::Cron = client.get(&path, &[])?;
            let what = format!("cron {} ({}) of task {}", self.name, clean(&cron.expression), clean(&cron.task));
            confirm::ask(&format!("Delete {what}, which {}, and its runs that have not triggered?", fires_next(&cron)), "")?;
        }
        client.delete(&path)?;
        if !screen.json {
            screen.line(format!("deleted cron {}", self.name))?;
        }
        Ok(())
    }
}
