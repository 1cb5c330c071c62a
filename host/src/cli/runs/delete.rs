//! `runlater runs delete`.

use clap::Args;
use serde_json::json;

use super::selection::{self, Selected, SelectionArgs};
use crate::cli::client::Client;
use crate::cli::screen::Screen;
use crate::http::shapes::Bulk;

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
        let count = || {
            let Selected::Matching(filter) = &selected else { return Ok(0) };
            let counted: Bulk = client.post("/v1/runs/bulk-delete", &json!({ "filter": filter, "dry_run": true }))?;
            Ok(counted.changed)
        };
        self.selection.confirm(screen, "Delete", &selected, count)?;
        let bulk = match selected {
            // By itself, so that its refusal has its own code.
            Selected::One(id) => {
                client.delete(&format!("/v1/runs/{id}"))?;
                Bulk { changed: 1, refused: Vec::new() }
            }
            selected => {
                let dry_run = self.selection.dry_run;
                self.selection.send(&client, screen, ("deleting", "/v1/runs/bulk-delete"), selected, |ids, filter| match ids {
                    Some(ids) => json!({ "ids": ids, "dry_run": dry_run }),
                    None => json!({ "filter": filter, "dry_run": dry_run }),
                })?
            }
        };
        selection::show(screen, "deleted", self.selection.dry_run, &bulk)
    }
}
