//! Which runs a bulk command means, and whether its user is sure.

use std::time::Duration;

use clap::Args;

use crate::cli::client::Client;
use crate::cli::confirm::{self, Sure};
use crate::cli::failure::{self, Exit, Failure};
use crate::cli::filter::{FilterArgs, parse_id};
use crate::cli::screen::{Screen, clean};
use crate::http::filter::Filter;
use crate::http::shapes::Bulk;
use crate::model::RunId;
use crate::model::limits::PAGE_SIZE_MAX;

/// What is shown while nothing is changed yet.
const COUNTING: &str = "counting runs";
/// A sweep over a hundred thousand runs takes longer than a usual request, and so does counting them.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs named by id, or selected by what they have in common.
#[derive(Args, Clone, Debug)]
pub(super) struct SelectionArgs {
    /// The runs
    #[arg(value_parser = parse_id)]
    ids: Vec<RunId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// All runs of the namespace
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
}

impl SelectionArgs {
    pub(super) fn selected(&self) -> anyhow::Result<Selected> {
        let filter = self.filter.to_filter();
        match (&self.ids[..], filter.is_empty(), self.all) {
            ([], true, false) => Err(failure::usage("say which runs: their ids, a filter such as --task, or --all")),
            ([], true, true) | ([], false, false) => Ok(Selected::Matching(filter)),
            ([], false, true) => Err(failure::usage("--all means every run: give it without a filter")),
            ([only], true, false) if !self.dry_run => Ok(Selected::One(*only)),
            (ids, true, false) => {
                Ok(Selected::Several(ids.chunks(PAGE_SIZE_MAX).map(|part| part.iter().map(ToString::to_string).collect()).collect()))
            }
            _ => Err(failure::usage("give either ids or a filter, not both")),
        }
    }

    /// Asks, with the number of runs, unless there is nothing to ask. `trial` is the request that would change those that match a filter,
    /// as a dry run.
    pub(super) fn confirm(
        &self,
        client: &Client,
        screen: &Screen,
        (verb, path): (&str, &str),
        selected: &Selected,
        trial: impl FnOnce(&Filter) -> serde_json::Value,
    ) -> anyhow::Result<()> {
        let count = match selected {
            _ if self.dry_run || self.sure.yes => return Ok(()),
            // Whoever types one id means it.
            Selected::One(_) => return Ok(()),
            Selected::Several(parts) => parts.iter().map(Vec::len).sum::<usize>() as u64,
            Selected::Matching(filter) => {
                let spinner = screen.spinner(COUNTING.into());
                let counted: Bulk = client.post_trial(path, &trial(filter), SWEEP_TIMEOUT)?;
                spinner.finish_and_clear();
                counted.changed
            }
        };
        let runs = if count == 1 { "run" } else { "runs" };
        confirm::ask(&format!("{verb} {count} {runs}?"), ", or --dry-run to only count")
    }

    /// Sends a bulk request for each portion, and adds up. `doing` is shown meanwhile.
    pub(super) fn send(
        &self,
        client: &Client,
        screen: &Screen,
        (doing, path): (&str, &str),
        selected: Selected,
        body: impl Fn(Option<Vec<String>>, Option<Filter>) -> serde_json::Value,
    ) -> anyhow::Result<Bulk> {
        let bodies = match selected {
            Selected::One(id) => vec![body(Some(vec![id.to_string()]), None)],
            Selected::Several(parts) => parts.into_iter().map(|part| body(Some(part), None)).collect(),
            Selected::Matching(filter) => vec![body(None, Some(filter))],
        };
        let doing = if self.dry_run { COUNTING.into() } else { format!("{doing} runs") };
        let spinner = screen.spinner(doing.clone());
        let mut sum = Bulk::default();
        for (done, body) in bodies.iter().enumerate() {
            if bodies.len() > 1 {
                spinner.set_message(format!("{doing}, portion {} of {}", done + 1, bodies.len()));
            }
            let bulk: Bulk = match self.dry_run {
                true => client.post_trial(path, body, SWEEP_TIMEOUT)?,
                false => client.post_slowly(path, body, SWEEP_TIMEOUT)?,
            };
            sum.changed += bulk.changed;
            sum.refused.extend(bulk.refused);
        }
        spinner.finish_and_clear();
        Ok(sum)
    }
}

/// Shows what a bulk request did, and fails if something was refused.
pub(super) fn show(screen: &Screen, done: &str, dry_run: bool, bulk: &Bulk) -> anyhow::Result<()> {
    if screen.json {
        screen.value(bulk)?;
    } else {
        let would = if dry_run { "would have " } else { "" };
        screen.line(format!("{would}{done} {} run{}", bulk.changed, if bulk.changed == 1 { "" } else { "s" }))?;
        for refused in &bulk.refused {
            screen.note(format!("{}: {}", clean(&refused.code), clean(&refused.detail)));
        }
    }
    match bulk.refused.len() {
        0 => Ok(()),
        count => {
            let missing = bulk.changed == 0 && bulk.refused.iter().all(|refused| refused.code == "run-not-found");
            let exit = if missing { Exit::NotFound } else { Exit::Refused };
            Err(Failure::new(exit, "refused", format!("{count} of the runs were not changed")).into())
        }
    }
}
