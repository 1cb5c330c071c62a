//! `runlater tasks show NAME`.

use clap::Args;

use super::parse_name;
use crate::cli::client::Client;
use crate::cli::screen::{Screen, clean};
use crate::cli::{moment, pause};
use crate::http::shapes;
use crate::model::Name;

/// Show one task: its component, grants, policy, pause and the schema of its input
#[derive(Args)]
#[command(after_help = "Example:\n  runlater tasks show reminder")]
pub(super) struct Show {
    /// The task
    #[arg(value_parser = parse_name)]
    name: Name,
}

impl Show {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let task: shapes::Task = client.get(&format!("/v1/tasks/{}", self.name), &[])?;
        if screen.json {
            return Ok(screen.value(&task)?);
        }
        let now = moment::now();
        let none = |text: String| if text.is_empty() { "none".into() } else { text };
        for (name, value) in [
            ("task", task.name.clone()),
            ("description", task.description.clone().unwrap_or_default()),
            ("component", task.digest.clone()),
            ("grants", none(task.grants.join(" "))),
            ("paused", task.pause.as_ref().map_or("no".into(), |pause| pause::in_words(pause, now))),
            ("created", moment::with_hint(task.created_at, now)),
            ("updated", moment::with_hint(task.updated_at, now)),
            ("input schema", task.input_schema.as_ref().map_or("none".into(), |schema| schema.get().to_string())),
        ] {
            screen.quote(format!("{name:<14}{}", clean(&value)))?;
        }
        screen.line("policy")?;
        for (field, value) in &task.policy {
            let by = if task.overrides.contains_key(field) { "  (said at registration)" } else { "" };
            screen.quote(format!("  {:<22}{}{by}", clean(field), clean(value)))?;
        }
        Ok(())
    }
}
