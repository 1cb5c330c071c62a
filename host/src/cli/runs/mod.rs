//! `runlater runs …`: one file per verb.

mod cancel;
mod delete;
mod list;
mod logs;
mod reschedule;
mod selection;
mod show;
mod trigger;
mod wait;

use clap::{Args, Subcommand};

use super::Global;
use super::client::Client;
use super::screen::Screen;

/// List, show, wait for and change runs
#[derive(Args)]
pub(super) struct Runs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Subcommand)]
enum RunsCommand {
    List(list::List),
    Show(show::Show),
    Logs(logs::Logs),
    Wait(wait::Wait),
    Reschedule(reschedule::Reschedule),
    Delete(delete::Delete),
    Cancel(cancel::Cancel),
    Trigger(trigger::Trigger),
}

impl Runs {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        // A wrong use is reported even if no server is there.
        let client = || Client::find(global, screen);
        match self.command {
            RunsCommand::List(command) => command.run(&client()?, screen),
            RunsCommand::Show(command) => command.run(&client()?, screen),
            RunsCommand::Logs(command) => command.run(&client()?, screen),
            RunsCommand::Wait(command) => command.run(client, screen),
            RunsCommand::Reschedule(command) => command.run(client, screen),
            RunsCommand::Delete(command) => command.run(client, screen),
            RunsCommand::Cancel(command) => command.run(client, screen),
            RunsCommand::Trigger(command) => command.run(client, screen),
        }
    }
}
