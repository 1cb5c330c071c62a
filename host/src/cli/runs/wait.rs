//! `runlater runs wait ID`.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::failure::{self, Exit, Failure};
use crate::cli::filter::parse_id;
use crate::cli::screen::Screen;
use crate::cli::waiting;
use crate::model::{RunId, parse_duration};

/// Wait until a run has ended, and show its outcome, its output and its follow-ups
#[derive(Args)]
#[command(after_help = "Examples:
  runlater runs wait 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater runs wait 019a0c5e-7b3c-7def-8123-456789abcdef --timeout 5m")]
pub(super) struct Wait {
    /// The run
    #[arg(value_parser = parse_id)]
    id: RunId,
    /// Give up after this long
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

impl Wait {
    pub(super) fn run(self, client: impl Fn() -> anyhow::Result<Client>, screen: &Screen) -> anyhow::Result<()> {
        let timeout = self.timeout.as_deref().map(|timeout| parse_duration(timeout, "--timeout")).transpose();
        let timeout = timeout.map_err(|invalid| failure::usage(invalid.to_string()))?;
        let client = client()?;
        let Some(run) = waiting::until_ended(&client, screen, self.id, timeout)? else {
            let message = format!("run {} has not ended yet", self.id);
            return Err(Failure::new(Exit::RunFailed, "not-ended", message).into());
        };
        waiting::show_end(&client, screen, &run)?;
        waiting::check_success(&run)
    }
}
