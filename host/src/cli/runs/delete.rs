//! `runlater runs delete`.

use clap::Args;
use serde_json::json;

use super::selection::{self, Selected, SelectionArgs};
use crate::cli::client::Client;
use crate::cli::screen::Screen;
use crate::http::filter::Filter;
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

const BULK: &str = "/v1/runs/bulk-delete";

impl Delete {
    pub(super) fn run(self, client: impl Fn() -> anyhow::Result<Client>, screen: &Screen) -> anyhow::Result<()> {
        let selected = self.selection.selected()?;
        let client = client()?;
        let trial = |filter: &Filter| json!({ "filter": filter, "dry_run": true });
        self.selection.confirm(&client, screen, ("Delete", BULK), &selected, trial)?;
        let bulk = match selected {
            // By itself, so that its refusal has its own code.
            Selected::One(id) => {
                client.delete(&format!("/v1/runs/{id}"))?;
                Bulk { changed: 1, refused: Vec::new() }
            }
            selected => {
                let dry_run = self.selection.dry_run;
                self.selection.send(&client, screen, ("deleting", BULK), selected, |ids, filter| match ids {
                    Some(ids) => json!({ "ids": ids, "dry_run": dry_run }),
                    None => json!({ "filter": filter, "dry_run": dry_run }),
                })?
            }
        };
        selection::show(screen, "deleted", self.selection.dry_run, &bulk)
    }
}
