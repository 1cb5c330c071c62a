//! `runlater register FILE.wasm`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::client::Client;
use super::failure::Exit;
use super::file::{self, Expected};
use super::screen::{Screen, clean};
use super::{Global, tasks};
use crate::http::shapes;
use crate::model::limits::COMPONENT_BYTES_MAX;

/// Register a component, so that its tasks can be scheduled
#[derive(Args)]
#[command(after_help = "Examples:
  runlater register target/wasm32-wasip2/guest/remind.wasm
  runlater register remind.wasm --grant runs
  runlater register remind.wasm --grant runs --dry-run
  runlater register report.wasm --grant tcp=192.0.2.7:5432 --grant tcp=db.example.com:5432
  runlater register report.wasm --policy report.concurrency=1 --policy report.keep-for=7d")]
pub(super) struct Register {
    /// The component, as built for wasm32-wasip2
    file: PathBuf,
    /// Allow it something beyond computing: `runs`, `crons`, `pauses` or `tcp=HOST:PORT` (repeat for several)
    #[arg(long, value_name = "GRANT")]
    grant: Vec<String>,
    /// Say otherwise than the component does of a task's policy, now and at later registrations; the value `default` takes it back
    /// (repeat for several; `runlater tasks show` has the fields)
    #[arg(long, value_name = "TASK.FIELD=VALUE")]
    policy: Vec<String>,
    /// Show which tasks and crons would be added, changed or removed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Register {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let wasm = read_component(&self.file)?;
        let client = Client::find(global, screen)?;
        let spinner = screen.spinner(format!("compiling {}", clean(&self.file.display().to_string())));
        let grants = self.grant.into_iter().map(|grant| ("grant", grant));
        let mut query: Vec<_> = grants.chain(self.policy.into_iter().map(|policy| ("policy", policy))).collect();
        if self.dry_run {
            query.push(("dry_run", "true".into()));
            let plan: shapes::Plan = client.upload("/v1/tasks", &query, &wasm)?;
            spinner.finish_and_clear();
            return show_plan(screen, &plan);
        }
        let registered: shapes::Registered = client.upload("/v1/tasks", &query, &wasm)?;
        spinner.finish_and_clear();
        if screen.json {
            return Ok(screen.value(&registered)?);
        }
        screen.line(format!("registered {}", clean(&registered.digest)))?;
        tasks::show_list(screen, &registered.tasks)
    }
}

fn show_plan(screen: &Screen, plan: &shapes::Plan) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(plan)?);
    }
    if plan.changes.is_empty() {
        screen.note("nothing would change");
    }
    for planned in &plan.changes {
        screen.line(clean(&format!("{} {}: {}", planned.what, planned.name, planned.change)))?;
    }
    Ok(())
}

const COMPONENT: Expected = Expected {
    bytes_max: COMPONENT_BYTES_MAX,
    too_large: (Exit::Refused, "body-too-large", ", which is the limit"),
    instead: "name the .wasm file",
};

/// Reads a component's file.
pub(super) fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    file::read(path, &COMPONENT)
}
