//! `runlater audit`.

use clap::Args;

use super::client::Client;
use super::screen::{Screen, clean};
use super::{Global, moment, table};
use crate::http::shapes;
use crate::model::RunId;

/// Show who changed what: the latest first
#[derive(Args)]
#[command(
    after_help = "Every change with a token is on record: runs, tasks, tokens, namespaces and copies of the database. Needs the role admin.

Examples:
  runlater audit
  runlater audit --run 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater audit --limit 500 --json"
)]
pub(super) struct Audit {
    /// Only what was done to this run
    #[arg(long, value_name = "ID", value_parser = |text: &str| RunId::parse(text, "id").map_err(|invalid| invalid.to_string()))]
    run: Option<RunId>,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Those before the one of this number, to go on
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
}

impl Audit {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let client = Client::find(global, screen)?;
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.run.map(|run| ("run", run.to_string())));
        query.extend(self.before.map(|before| ("before", before.to_string())));
        let page: shapes::AuditPage = client.get("/v1/audit", &query)?;
        if screen.json {
            return Ok(screen.value(&page)?);
        }
        let now = moment::now();
        let row = |entry: &shapes::AuditEntry| {
            let about = [entry.run.map(|run| run.to_string()), entry.subject.clone(), entry.detail.clone()];
            let about = about.into_iter().flatten().collect::<Vec<_>>().join("  ");
            vec![entry.number.to_string(), moment::with_hint(entry.at, now), clean(&entry.token), clean(&entry.action), clean(&about)]
        };
        let rows: Vec<_> = page.entries.iter().map(row).collect();
        for line in table::lay_out(&["NUMBER", "AT", "TOKEN", "ACTION", "WHAT"], &rows, screen.width) {
            screen.line(line)?;
        }
        if let Some(next) = page.next {
            screen.note(format!("more: --before {next}"));
        }
        Ok(())
    }
}
