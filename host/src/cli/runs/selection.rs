//! Which runs a bulk command means, and whether its user is sure.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::confirm::{self, Sure};
use crate::cli::failure::{self, Exit, Failure};
use crate::cli::filter::{FilterArgs, parse_id};
use crate::cli::screen::{Screen, clean};
use crate::http::filter::Filter;
use crate::http::shapes;
use crate::model::RunId;
use crate::model::limits::PAGE_SIZE_MAX;

/// What is shown while nothing is changed yet.
const COUNTING: &str = "counting runs";
/// A sweep over a hundred thousand runs takes longer than a usual request, and so does counting them.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs that match a filter and could not be changed, of which each is shown with its reason.
const REFUSED_SHOWN: usize = 10;

/// Runs named by id, or selected by what they have in common.
#[derive(Args, Clone, Debug)]
pub(super) struct SelectionArgs {
    /// The runs
    #[arg(value_parser = parse_id)]
    ids: Vec<RunId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Every run of the namespace, instead of ids and a filter
    #[arg(long)]
    all: bool,
    /// Only count
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    sure: Sure,
}

/// What the user selected.
pub(super) enum Selected {
    One(RunId),
    /// In portions of which each fits into one request.
    Several(Vec<Vec<String>>),
    Matching(Filter),
    All,
}

impl Selected {
    /// Whether the user named each run.
    fn is_named(&self) -> bool {
        matches!(self, Self::One(_) | Self::Several(_))
    }

    /// The fields of the requests that select these runs.
    fn requests(&self) -> Vec<Value> {
        match self {
            Self::One(id) => vec![json!({ "ids": [id] })],
            Self::Several(parts) => parts.iter().map(|part| json!({ "ids": part })).collect(),
            Self::Matching(filter) => vec![json!({ "filter": filter })],
            Self::All => vec![json!({ "all": true })],
        }
    }
}

/// A bulk request: what it does, in words, and where it goes.
pub(super) struct Bulk<'a> {
    /// `Delete`: how its question begins.
    pub(super) verb: &'a str,
    /// `deleting`: what is shown meanwhile.
    pub(super) doing: &'a str,
    /// `deleted`: what is shown afterwards.
    pub(super) done: &'a str,
    pub(super) path: &'a str,
    /// Fields beside those that select the runs.
    pub(super) fields: Value,
}

impl Bulk<'_> {
    fn body(&self, mut selection: Value, dry_run: bool) -> Value {
        let body = selection.as_object_mut().expect("an object");
        body.insert("dry_run".into(), dry_run.into());
        body.extend(self.fields.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        selection
    }
}

impl SelectionArgs {
    pub(super) fn selected(&self) -> anyhow::Result<Selected> {
        let filter = self.filter.to_filter()?;
        let mut seen = HashSet::new();
        let ids: Vec<_> = self.ids.iter().filter(|id| seen.insert(**id)).collect();
        match (&ids[..], filter.is_empty(), self.all) {
            ([], true, false) => Err(failure::usage("say which runs: their ids, a filter such as --task, or --all")),
            ([], true, true) => Ok(Selected::All),
            ([], false, false) => Ok(Selected::Matching(filter)),
            (_, _, true) => Err(failure::usage("--all means every run: give it without ids and without a filter")),
            ([only], true, false) if !self.dry_run => Ok(Selected::One(**only)),
            (ids, true, false) => {
                Ok(Selected::Several(ids.chunks(PAGE_SIZE_MAX).map(|part| part.iter().map(ToString::to_string).collect()).collect()))
            }
            (_, false, false) => Err(failure::usage("give either ids or a filter, not both")),
        }
    }

    /// Asks, with the number of runs, unless there is nothing to ask. Then sends a request for each portion, and shows what they did.
    pub(super) fn apply(&self, client: &Client, screen: &Screen, selected: &Selected, bulk: &Bulk<'_>) -> anyhow::Result<()> {
        self.confirm(client, screen, selected, bulk)?;
        let outcome = self.send(client, screen, selected, bulk)?;
        self.show(screen, selected, bulk, &outcome)
    }

    /// Asks, unless there is nothing to ask.
    pub(super) fn confirm(&self, client: &Client, screen: &Screen, selected: &Selected, bulk: &Bulk<'_>) -> anyhow::Result<()> {
        let count = match selected {
            _ if self.dry_run || self.sure.yes => return Ok(()),
            // Whoever types one id means it.
            Selected::One(_) => return Ok(()),
            Selected::Several(parts) => parts.iter().map(Vec::len).sum::<usize>() as u64,
            Selected::Matching(_) | Selected::All => {
                let spinner = screen.spinner(COUNTING.into());
                let mut counted = 0;
                for request in selected.requests() {
                    let outcome: shapes::Bulk = client.post_trial(bulk.path, &bulk.body(request, true), SWEEP_TIMEOUT)?;
                    counted += outcome.changed;
                }
                spinner.finish_and_clear();
                counted
            }
        };
        let runs = if count == 1 { "run" } else { "runs" };
        confirm::ask(&format!("{} {count} {runs}?", bulk.verb), ", or --dry-run to only count")
    }

    /// Sends a request for each portion, and adds up.
    fn send(&self, client: &Client, screen: &Screen, selected: &Selected, bulk: &Bulk<'_>) -> anyhow::Result<shapes::Bulk> {
        let requests = selected.requests();
        let doing = if self.dry_run { COUNTING.into() } else { format!("{} runs", bulk.doing) };
        let spinner = screen.spinner(doing.clone());
        let mut sum = shapes::Bulk::default();
        let count = requests.len();
        for (done, request) in requests.into_iter().enumerate() {
            if count > 1 {
                spinner.set_message(format!("{doing}, portion {} of {count}", done + 1));
            }
            let body = bulk.body(request, self.dry_run);
            let outcome: shapes::Bulk = match self.dry_run {
                true => client.post_trial(bulk.path, &body, SWEEP_TIMEOUT)?,
                false => client.post_slowly(bulk.path, &body, SWEEP_TIMEOUT)?,
            };
            sum.changed += outcome.changed;
            sum.refused.extend(outcome.refused);
            sum.refused_total += outcome.refused_total;
        }
        spinner.finish_and_clear();
        Ok(sum)
    }

    /// Shows what was done. A run that was named and not changed is a failure; one that matches a filter and could not be changed is shown.
    pub(super) fn show(&self, screen: &Screen, selected: &Selected, bulk: &Bulk<'_>, outcome: &shapes::Bulk) -> anyhow::Result<()> {
        if screen.json {
            screen.value(outcome)?;
        } else {
            let would = if self.dry_run { "would have " } else { "" };
            screen.line(format!("{would}{} {} run{}", bulk.done, outcome.changed, plural(outcome.changed)))?;
            let shown = if selected.is_named() { outcome.refused.len() } else { REFUSED_SHOWN };
            for refused in outcome.refused.iter().take(shown) {
                screen.note(format!("{}: {}", clean(&refused.code), clean(&refused.detail)));
            }
            let others = outcome.refused_total.saturating_sub(shown as u64);
            if others > 0 {
                screen.note(format!("{others} more run{} could not be {}", plural(others), bulk.done));
            }
        }
        if outcome.refused.is_empty() || !selected.is_named() {
            return Ok(());
        }
        let missing = outcome.changed == 0 && outcome.refused.iter().all(|refused| refused.code == "run-not-found");
        let exit = if missing { Exit::NotFound } else { Exit::Refused };
        Err(Failure::new(exit, "refused", format!("{} of the runs were not changed", outcome.refused_total)).into())
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}
