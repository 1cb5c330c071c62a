//! `runlater tasks`, and what is done to one task: `show`, `pause`, `resume`.

mod show;

use clap::{Args, Subcommand};

use super::client::Client;
use super::pause::{self, PauseArgs};
use super::screen::{Screen, clean};
use super::{Global, moment, table};
use crate::http::shapes;
use crate::model::{Name, Pause};

/// List the registered tasks, show one, or pause one
#[derive(Args)]
#[command(after_help = "Examples:
  runlater tasks
  runlater tasks show reminder
  runlater tasks pause reminder --for 2h --note 'the mail server moves'
  runlater tasks --json")]
pub(super) struct Tasks {
    #[command(subcommand)]
    command: Option<TasksCommand>,
}

#[derive(Subcommand)]
enum TasksCommand {
    Show(show::Show),
    /// Pause a task: its runs wait, those that are running go on
    #[command(after_help = "Examples:
  runlater tasks pause reminder --note 'the mail server is down'
  runlater tasks pause reminder --for 2h
  runlater tasks pause reminder --until 2027-01-02T00:00:00Z")]
    Pause {
        /// The task
        #[arg(value_parser = parse_name)]
        name: Name,
        #[command(flatten)]
        pause: PauseArgs,
    },
    /// Let a task go on: what has become due meanwhile starts
    #[command(after_help = "Example:\n  runlater tasks resume reminder")]
    Resume {
        /// The task
        #[arg(value_parser = parse_name)]
        name: Name,
    },
}

impl Tasks {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let client = Client::find(global, screen)?;
        match self.command {
            None => {
                let tasks: shapes::Tasks = client.get("/v1/tasks", &[])?;
                if screen.json {
                    return Ok(screen.value(&tasks)?);
                }
                if tasks.tasks.is_empty() {
                    screen.note("no task is registered; register a component with `runlater register FILE.wasm`");
                }
                show_list(screen, &tasks.tasks)
            }
            Some(TasksCommand::Show(command)) => command.run(&client, screen),
            Some(TasksCommand::Pause { name, pause }) => {
                let task: shapes::Task = client.post(&format!("/v1/tasks/{name}/pause"), &pause.to_request())?;
                said(screen, "paused", &task)
            }
            Some(TasksCommand::Resume { name }) => {
                let task: shapes::Task = client.post(&format!("/v1/tasks/{name}/resume"), &())?;
                said(screen, "resumed", &task)
            }
        }
    }
}

/// Tells what became of a task.
fn said(screen: &Screen, what: &str, task: &shapes::Task) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(task)?);
    }
    let now = moment::now();
    let state =
        task.pause.as_ref().map_or("its runs start as they become due".into(), |pause| format!("paused {}", pause::in_words(pause, now)));
    Ok(screen.line(format!("{what} task {}: {}", clean(&task.name), clean(&state)))?)
}

/// Reads a task's name.
pub(super) fn parse_name(text: &str) -> Result<Name, String> {
    Name::parse(text, "task").map_err(|invalid| invalid.reason)
}

/// A table of tasks; nothing if there are none.
pub(super) fn show_list(screen: &Screen, tasks: &[shapes::Task]) -> anyhow::Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let state = |task: &shapes::Task| match &task.pause {
        None => "active".into(),
        Some(Pause { until: None, .. }) => "paused".into(),
        Some(Pause { until: Some(until), .. }) => format!("paused until {}", moment::in_utc(*until)),
    };
    let row = |task: &shapes::Task| {
        vec![
            clean(&task.name),
            clean(&task.grants.join(" ")),
            clean(&task.digest).chars().take(12).collect(),
            state(task),
            clean(task.description.as_deref().unwrap_or("")),
        ]
    };
    let rows: Vec<_> = tasks.iter().map(row).collect();
    for line in table::lay_out(&["TASK", "GRANTS", "COMPONENT", "STATE", "DESCRIPTION"], &rows, screen.width) {
        screen.line(line)?;
    }
    Ok(())
}
