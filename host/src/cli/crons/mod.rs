//! `runlater crons …`: one file per verb that says more than its name.

mod backfill;
mod create;
mod delete;
mod list;
mod next;
mod show;
mod update;

use clap::{Args, Subcommand};

use super::client::Client;
use super::pause::PauseArgs;
use super::screen::Screen;
use super::{Global, moment};
use crate::http::shapes;
use crate::model::Name;

/// Create, list, change, pause and look ahead at crons: rules that make runs again and again
#[derive(Args)]
pub(super) struct Crons {
    #[command(subcommand)]
    command: CronsCommand,
}

#[derive(Subcommand)]
enum CronsCommand {
    Create(create::Create),
    List(list::List),
    Show(show::Show),
    Update(update::Update),
    /// Pause a cron: what would come meanwhile does not exist
    #[command(after_help = "Examples:
  runlater crons pause nightly --note 'database upgrade'
  runlater crons pause nightly --for 2h
  runlater crons pause nightly --until 2027-01-02T00:00:00Z")]
    Pause {
        /// The cron
        #[arg(value_parser = parse_name)]
        name: Name,
        #[command(flatten)]
        pause: PauseArgs,
    },
    /// Let a cron go on
    #[command(after_help = "Example:\n  runlater crons resume nightly")]
    Resume {
        /// The cron
        #[arg(value_parser = parse_name)]
        name: Name,
    },
    Delete(delete::Delete),
    /// Make a run of a cron at once, beside the planned ones
    #[command(after_help = "Example:\n  runlater crons trigger nightly")]
    Trigger {
        /// The cron
        #[arg(value_parser = parse_name)]
        name: Name,
    },
    Backfill(backfill::Backfill),
    Next(next::Next),
}

impl Crons {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let client = || Client::find(global, screen);
        match self.command {
            CronsCommand::Create(command) => command.run(&client()?, screen),
            CronsCommand::List(command) => command.run(&client()?, screen),
            CronsCommand::Show(command) => command.run(&client()?, screen),
            CronsCommand::Update(command) => command.run(&client()?, screen),
            CronsCommand::Pause { name, pause } => {
                let cron: shapes::Cron = client()?.post(&format!("/v1/crons/{name}/pause"), &pause.to_request())?;
                said(screen, "paused", &cron)
            }
            CronsCommand::Resume { name } => {
                let cron: shapes::Cron = client()?.post(&format!("/v1/crons/{name}/resume"), &())?;
                said(screen, "resumed", &cron)
            }
            CronsCommand::Delete(command) => command.run(&client()?, screen),
            CronsCommand::Trigger { name } => {
                let made: shapes::CronTriggered = client()?.post(&format!("/v1/crons/{name}/trigger"), &())?;
                if screen.json {
                    return Ok(screen.value(&made)?);
                }
                Ok(screen.line(format!("triggered cron {name}: run {}", made.id))?)
            }
            CronsCommand::Backfill(command) => command.run(&client()?, screen),
            CronsCommand::Next(command) => command.run(client, screen),
        }
    }
}

/// Tells what became of a cron, and when it fires next.
fn said(screen: &Screen, what: &str, cron: &shapes::Cron) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(cron)?);
    }
    Ok(screen.line(format!("{what} cron {}: it {}", super::screen::clean(&cron.name), fires_next(cron)))?)
}

/// `fires next at 2027-03-14 15:09:26Z (in 3h)`.
fn fires_next(cron: &shapes::Cron) -> String {
    cron.next_at.map_or("does not fire any more by itself".into(), |at| format!("fires next at {}", moment::with_hint(at, moment::now())))
}

fn parse_name(text: &str) -> Result<Name, String> {
    Name::parse(text, "name").map_err(|invalid| invalid.reason)
}
