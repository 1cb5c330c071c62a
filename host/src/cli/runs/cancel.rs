//! `runlater runs cancel`.

use clap::Args;

use super::selection::{self, Selected, SelectionArgs};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::http::filter::Filter;
use crate::http::shapes::{Bulk, Cancelled, Refused, RunPage};
use crate::model::limits::PAGE_SIZE_MAX;
use crate::model::{RunId, Status};

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
        let ids = match &selected {
            Selected::One(id) => {
                let done = cancel(&client, *id)?;
                return if screen.json { Ok(screen.value(&done)?) } else { Ok(screen.line(format!("run {id}: cancel {}", word(&done)))?) };
            }
            Selected::Several(parts) => parts.iter().flatten().filter_map(|id| RunId::parse(id, "id").ok()).collect(),
            Selected::Matching(filter) => matching(&client, filter.clone())?,
        };
        if self.selection.dry_run {
            return selection::show(screen, "cancelled", true, &Bulk { changed: ids.len() as u64, refused: Vec::new() });
        }
        self.selection.confirm("Cancel", &selected, || Ok(ids.len() as u64))?;
        let mut bulk = Bulk::default();
        for id in ids {
            match cancel(&client, id) {
                Ok(_) => bulk.changed += 1,
                Err(error) => match error.downcast_ref::<Failure>().and_then(Failure::problem) {
                    // It ended or was deleted meanwhile: the others are still to be cancelled.
                    Some(problem) if matches!(problem.status, 404 | 409) => {
                        bulk.refused.push(Refused { id, code: problem.code.to_string(), detail: problem.detail.clone() });
                    }
                    _ => {
                        screen.note(format!("{} runs were cancelled before this:", bulk.changed));
                        return Err(error);
                    }
                },
            }
        }
        if matches!(selected, Selected::Matching(_)) {
            // What ended meanwhile no longer matches: no error of the user's.
            bulk.refused.clear();
        }
        selection::show(screen, "cancelled", false, &bulk)
    }
}

fn cancel(client: &Client, id: RunId) -> anyhow::Result<Cancelled> {
    client.post(&format!("/v1/runs/{id}/cancel"), &serde_json::json!({}))
}

fn word(done: &Cancelled) -> &'static str {
    if done.cancel == "requested" { "requested; it ends within 5 s" } else { "done" }
}

/// The runs that match and have not ended.
fn matching(client: &Client, mut filter: Filter) -> anyhow::Result<Vec<RunId>> {
    if filter.status.is_empty() {
        filter.status = Status::ALL.into_iter().filter(|status| !status.is_final()).map(|status| status.as_str().into()).collect();
    }
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let mut query = filter.to_query();
        query.push(("order", "oldest-first".into()));
        query.push(("limit", PAGE_SIZE_MAX.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: RunPage = client.get("/v1/runs", &query)?;
        ids.extend(page.runs.iter().map(|run| run.id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(ids),
        }
    }
}
