//! `runlater tasks`, `runlater tasks show NAME`.

use clap::{Args, Subcommand};

use super::client::Client;
use super::screen::{Screen, clean};
use super::{Global, moment, table};
use crate::http::shapes;
use crate::model::Name;

/// List the registered tasks, or show one
#[derive(Args)]
#[command(after_help = "Examples:
  runlater tasks
  runlater tasks show reminder
  runlater tasks --json")]
pub(super) struct Tasks {
    #[command(subcommand)]
    command: Option<TasksCommand>,
}

#[derive(Subcommand)]
enum TasksCommand {
    /// Show one task: its component, grants, policy and the schema of its input
    #[command(after_help = "Example:\n  runlater tasks show reminder")]
    Show {
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
            Some(TasksCommand::Show { name }) => {
                let task: shapes::Task = client.get(&format!("/v1/tasks/{name}"), &[])?;
                if screen.json { Ok(screen.value(&task)?) } else { show_one(screen, &task) }
            }
        }
    }
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
    let row = |task: &shapes::Task| {
        vec![
            clean(&task.name),
            clean(&task.grants.join(" ")),
            clean(&task.digest).chars().take(12).collect(),
            clean(task.description.as_deref().unwrap_or("")),
        ]
    };
    let rows: Vec<_> = tasks.iter().map(row).collect();
    for line in table::lay_out(&["TASK", "GRANTS", "COMPONENT", "DESCRIPTION"], &rows, screen.width) {
        screen.line(line)?;
    }
    Ok(())
}

fn show_one(screen: &Screen, task: &shapes::Task) -> anyhow::Result<()> {
    let now = moment::now();
    let none = |text: String| if text.is_empty() { "none".into() } else { text };
    for (name, value) in [
        ("task", task.name.clone()),
        ("description", task.description.clone().unwrap_or_default()),
        ("component", task.digest.clone()),
        ("grants", none(task.grants.join(" "))),
        ("created", moment::with_hint(task.created_at, now)),
        ("updated", moment::with_hint(task.updated_at, now)),
        ("input schema", task.input_schema.as_ref().map_or("none".into(), |schema| schema.get().to_string())),
    ] {
        screen.line(format!("{name:<14}{}", clean(&value)))?;
    }
    screen.line("policy")?;
    for (field, value) in &task.policy {
        let by = if task.overrides.contains_key(field) { "  (said at registration)" } else { "" };
        screen.line(format!("  {:<22}{}{by}", clean(field), clean(value)))?;
    }
    Ok(())
}
