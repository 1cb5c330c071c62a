//! `runlater runs reschedule`.

use clap::{ArgGroup, Args};
use serde_json::json;

use super::selection::{Bulk, Selected, SelectionArgs};
use crate::cli::client::Client;
use crate::cli::moment;
use crate::cli::screen::Screen;
use crate::http::shapes;

/// Move scheduled runs to another time
#[derive(Args)]
#[command(group = ArgGroup::new("when").required(true).args(["at", "after", "by"]), after_help = "Examples:
  runlater runs reschedule 019a0c5e-7b3c-7def-8123-456789abcdef --at 2027-03-14T15:09:26Z
  runlater runs reschedule --task reminder --by +1h --dry-run
  runlater runs reschedule --metadata customer=7 --after 2d --yes")]
pub(super) struct Reschedule {
    #[command(flatten)]
    selection: SelectionArgs,
    /// To this time: RFC 3339 with any offset
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// To this long from now
    #[arg(long, value_name = "DURATION")]
    after: Option<String>,
    /// Each later (+1h) or earlier (-30m) by this
    #[arg(long, value_name = "+|-DURATION", allow_hyphen_values = true)]
    by: Option<String>,
}

impl Reschedule {
    pub(super) fn run(self, client: impl Fn() -> anyhow::Result<Client>, screen: &Screen) -> anyhow::Result<()> {
        let selected = self.selection.selected()?;
        let client = client()?;
        let to = shapes::Reschedule { at: self.at, after: self.after };
        if let (Selected::One(id), None) = (&selected, &self.by) {
            // By itself, so that its refusal has its own code.
            let run: shapes::Run = client.patch(&format!("/v1/runs/{id}"), &to)?;
            if screen.json {
                return Ok(screen.value(&run)?);
            }
            return Ok(screen.line(format!("moved run {id} to {}", moment::with_hint(run.trigger_at, moment::now())))?);
        }
        let fields = match &self.by {
            Some(by) => json!({ "by": by }),
            None => json!({ "to": to }),
        };
        let bulk = Bulk { verb: "Move", doing: "moving", done: "moved", path: "/v1/runs/bulk-reschedule", fields };
        self.selection.apply(&client, screen, &selected, &bulk)
    }
}
