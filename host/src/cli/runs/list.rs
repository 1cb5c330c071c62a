//! `runlater runs list`.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::filter::FilterArgs;
use crate::cli::screen::{Screen, clean};
use crate::cli::{moment, table};
use crate::http::shapes;

/// List runs, last scheduled first
#[derive(Args)]
#[command(after_help = "Examples:
  runlater runs list
  runlater runs list --task reminder --status failed --status missed
  runlater runs list --metadata customer=7 --order trigger-time --limit 200")]
pub(super) struct List {
    #[command(flatten)]
    filter: FilterArgs,
    /// How they are ordered
    #[arg(long, default_value = "newest-first", value_parser = ["newest-first", "oldest-first", "trigger-time", "latest-trigger-time"])]
    order: String,
    /// How many in one page: 1 to 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Go on where the last page ended
    #[arg(long)]
    cursor: Option<String>,
}

impl List {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let mut query = self.filter.to_filter()?.to_query();
        query.push(("order", self.order));
        query.push(("limit", self.limit.to_string()));
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        let page: shapes::RunPage = client.get("/v1/runs", &query)?;
        if screen.json {
            return Ok(screen.value(&page)?);
        }
        if page.runs.is_empty() {
            screen.note("no run matches");
            return Ok(());
        }
        let now = moment::now();
        let row = |run: &shapes::Run| {
            let why = run.message.as_deref().or(run.reason.as_deref()).unwrap_or("");
            vec![run.id.to_string(), clean(&run.task), clean(&run.status), moment::with_hint(run.trigger_at, now), clean(why)]
        };
        let rows: Vec<_> = page.runs.iter().map(row).collect();
        for line in table::lay_out(&["ID", "TASK", "STATUS", "TRIGGER TIME", "REASON"], &rows, screen.width) {
            screen.line(line)?;
        }
        if let Some(next) = page.next {
            screen.note(format!("there are more: --cursor {}", clean(&next)));
        }
        Ok(())
    }
}
