//! `runlater crons list`.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::screen::{Screen, clean};
use crate::cli::{moment, table};
use crate::http::shapes;
use crate::model::Pause;

/// List crons, in order of name
#[derive(Args)]
#[command(after_help = "Examples:
  runlater crons list
  runlater crons list --task report --json
  runlater crons list --paused true")]
pub(super) struct List {
    /// Of this task
    #[arg(long)]
    task: Option<String>,
    /// Paused ones (true), or those that are not (false)
    #[arg(long)]
    paused: Option<bool>,
    /// How many at most: 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Begin after this one: the `next` of the page before
    #[arg(long)]
    cursor: Option<String>,
}

impl List {
    pub(super) fn run(self, client: &Client, screen: &Screen) -> anyhow::Result<()> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.task.map(|task| ("task", task)));
        query.extend(self.paused.map(|paused| ("paused", paused.to_string())));
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        let page: shapes::CronPage = client.get("/v1/crons", &query)?;
        if screen.json {
            return Ok(screen.value(&page)?);
        }
        if page.crons.is_empty() {
            screen.note("no cron matches; make one with `runlater crons create`");
            return Ok(());
        }
        let now = moment::now();
        let row = |cron: &shapes::Cron| {
            let next = match (&cron.pause, cron.next_at) {
                (Some(Pause { until: Some(until), .. }), _) => format!("paused until {}", moment::in_utc(*until)),
                (Some(_), _) => "paused".into(),
                (None, None) => "ended".into(),
                (None, Some(at)) => moment::with_hint(at, now),
            };
            vec![clean(&cron.name), clean(&cron.task), clean(&cron.expression), clean(&cron.timezone), next]
        };
        let rows: Vec<_> = page.crons.iter().map(row).collect();
        for line in table::lay_out(&["CRON", "TASK", "EXPRESSION", "ZONE", "NEXT"], &rows, screen.width) {
            screen.line(line)?;
        }
        if let Some(next) = page.next {
            screen.note(format!("more: add --cursor {}", clean(&next)));
        }
        Ok(())
    }
}
