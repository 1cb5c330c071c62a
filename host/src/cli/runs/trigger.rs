//! `runlater runs trigger`.

use clap::Args;
use serde_json::json;

use super::selection::{Bulk, Selected, SelectionArgs};
use crate::cli::client::Client;
use crate::cli::screen::{Screen, clean};
use crate::http::shapes::Run;

/// Make failed, missed, cancelled or scheduled runs due at once (by filter: failed and missed ones, unless --status says otherwise)
#[derive(Args)]
#[command(after_help = "Examples:
  runlater runs trigger 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater runs trigger --task reminder --status failed --metadata customer=7 --dry-run
  runlater runs trigger --status missed --yes")]
pub(super) struct Trigger {
    #[command(flatten)]
    selection: SelectionArgs,
}

impl Trigger {
    pub(super) fn run(self, client: impl Fn() -> anyhow::Result<Client>, screen: &Screen) -> anyhow::Result<()> {
        let selected = self.selection.selected()?;
        let client = client()?;
        let bulk = Bulk { verb: "Trigger", doing: "triggering", done: "triggered", path: "/v1/runs/bulk-trigger", fields: json!({}) };
        if let Selected::One(id) = &selected {
            // By itself, so that its refusal has its own code.
            let run: Run = client.post(&format!("/v1/runs/{id}/trigger"), &json!({}))?;
            return match screen.json {
                true => Ok(screen.value(&run)?),
                false => Ok(screen.line(format!("triggered run {id}, now {}", clean(&run.status)))?),
            };
        }
        self.selection.apply(&client, screen, &selected, &bulk)
    }
}
