//! `runlater bench`: measures this machine and this host in one run.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::dev::build_one;
use super::register::read_component;
use super::screen::Screen;
use super::serve::COMPILE_COMMAND;
use super::table;
use crate::bench::{self, Part, Plan, Subject};
use crate::executor::wasm::Compiler;

/// Measure this host, with the raw limit of the machine beside each figure.
#[derive(Args)]
#[command(after_help = "Examples:
  runlater bench                                all of it, about six minutes
  runlater bench --quick --json                 30 seconds, for a first look or a script
  runlater bench --only http --only throughput  some parts alone
  runlater bench --only growth                  with ten million runs: 3 minutes, 4 GB of disk
  runlater bench --component measured.wasm      without building the guest

The databases lie in a folder beside the current one, so that the disk measured is the one you stand on.")]
pub(super) struct Bench {
    /// Smaller numbers, in about 30 seconds.
    #[arg(long)]
    quick: bool,
    /// Measure this part alone; may be repeated.
    #[arg(long, value_name = "PART", value_parser = parse_part)]
    only: Vec<Part>,
    /// The component to measure with, in place of building ./guest-tasks/measured.
    #[arg(long, value_name = "FILE.wasm")]
    component: Option<PathBuf>,
}

impl Bench {
    pub(super) fn run(self, screen: &Screen) -> anyhow::Result<()> {
        let wasm = match &self.component {
            Some(path) => read_component(path)?,
            None => build_one("guest-tasks/measured".as_ref(), screen)?,
        };
        let plan = if self.quick { Plan::quick() } else { Plan::full() };
        let parts = if self.only.is_empty() { Part::ALL.into_iter().filter(|part| part.is_usual()).collect() } else { self.only };
        let folder = tempfile::Builder::new().prefix(".runlater-bench-").tempdir_in(".")?;
        let spinner = screen.spinner("measuring".into());
        let say = |what: &str| spinner.set_message(format!("measuring {what}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let compiler = Compiler::ChildProcess { program: std::env::current_exe()?, args: vec![COMPILE_COMMAND.into()] };
        let subject = Subject { wasm: Arc::from(wasm), compiler, folder: folder.path().to_path_buf() };
        let report = runtime.block_on(bench::run(&plan, &parts, &subject, &say))?;
        spinner.finish_and_clear();
        if screen.json {
            return Ok(screen.value(&report.to_json())?);
        }
        let rows: Vec<_> = report.rows().into_iter().map(Vec::from).collect();
        for line in table::lay_out(&["FIGURE", "MEDIAN", "SPREAD", "WHAT"], &rows, screen.width) {
            screen.line(line)?;
        }
        Ok(())
    }
}

fn parse_part(text: &str) -> Result<Part, String> {
    let known = || Part::ALL.map(Part::as_str).join(", ");
    Part::ALL.into_iter().find(|part| part.as_str() == text).ok_or_else(|| format!("a part is one of {}", known()))
}
