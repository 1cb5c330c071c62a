//! `runlater runs delete`.

use clap::Args;
use serde_json::json;

use super::selection::{Bulk, Selected, SelectionArgs};
use crate::cli::client::Client;
use crate::cli::screen::Screen;
use crate::http::shapes;

/// Delete scheduled runs (those that have triggered can be cancelled instead)
#[derive(Args)]
#[command(after_help = "Examples:
  runlater runs delete 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater runs delete --task reminder --metadata customer=7 --dry-run
  runlater runs delete --task reminder --yes")]
pub(super) struct Delete {
    #[command(flatten)]
    selection: SelectionArgs,
}

impl Delete {
    pub(super) fn run(self, client: impl Fn() -> anyhow::Result<Client>, screen: &Screen) -> anyhow::Result<()> {
        let selected = self.selection.selected()?;
        let client = client()?;
        let bulk = Bulk { verb: "Delete", doing: "deleting", done: "deleted", path: "/v1/runs/bulk-delete", fields: json!({}) };
        if let Selected::One(id) = &selected {
            // By itself, so that its refusal has its own code.
            client.delete(&format!("/v1/runs/{id}"))?;
            return self.selection.show(screen, &selected, &bulk, &shapes::Bulk { changed: 1, ..shapes::Bulk::default() });
        }
        self.selection.apply(&client, screen, &selected, &bulk)
    }
}
