//! `runlater runs trigger ID…`.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::filter::parse_id;
use crate::cli::screen::{Screen, clean};
use crate::http::shapes;
use crate::model::RunId;

/// Make scheduled, missed, failed or cancelled runs due at once
#[derive(Args)]
#[command(after_help = "Example:\n  runlater runs trigger 019a0c5e-7b3c-7def-8123-456789abcdef")]
pub(super) struct Trigger {
    /// The runs
    #[arg(required = true, value_parser = parse_id)]
    ids: Vec<RunId>,
}

impl Trigger {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        for id in self.ids {
            let run: shapes::Run = client.post(&format!("/v1/runs/{id}/trigger"), &serde_json::json!({}))?;
            if screen.json {
                screen.value(&run)?;
            } else {
                screen.line(format!("triggered run {id}, now {}", clean(&run.status)))?;
            }
        }
        Ok(())
    }
}
