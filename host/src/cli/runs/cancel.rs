//! `runlater runs cancel`.

use clap::Args;
use serde_json::json;

use super::selection::{Bulk, Selected, SelectionArgs};
use crate::cli::client::Client;
use crate::cli::screen::Screen;
use crate::http::shapes::Cancelled;

/// Cancel runs: those that wait never start, those that run are told to end
#[derive(Args)]
#[command(after_help = "Examples:
  runlater runs cancel 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater runs cancel --task reminder --status running --dry-run
  runlater runs cancel --metadata customer=7 --yes")]
pub(super) struct Cancel {
    #[command(flatten)]
    selection: SelectionArgs,
}

impl Cancel {
    pub(super) fn run(self, client: impl Fn() -> anyhow::Result<Client>, screen: &Screen) -> anyhow::Result<()> {
        let selected = self.selection.selected()?;
        let client = client()?;
        let bulk = Bulk { verb: "Cancel", doing: "cancelling", done: "cancelled", path: "/v1/runs/bulk-cancel", fields: json!({}) };
        if let Selected::One(id) = &selected {
            // By itself, so that its refusal has its own code.
            let done: Cancelled = client.post(&format!("/v1/runs/{id}/cancel"), &json!({}))?;
            return if screen.json { Ok(screen.value(&done)?) } else { Ok(screen.line(format!("run {id}: cancel {}", word(&done)))?) };
        }
        self.selection.apply(&client, screen, &selected, &bulk)
    }
}

fn word(done: &Cancelled) -> &'static str {
    if done.cancel == "requested" { "requested; it ends within its task's grace" } else { "done" }
}
