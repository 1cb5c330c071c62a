//! `runlater explain RUN`.

use clap::Args;

use super::client::Client;
use super::filter::parse_id;
use super::screen::{Screen, clean};
use super::{Global, moment};
use crate::http::shapes;
use crate::model::{RunId, Timestamp};

/// Explain why a run waits, did not run, or ended as it did
#[derive(Args)]
#[command(after_help = "Examples:
  runlater explain 019a0c5e-7b3c-7def-8123-456789abcdef
  runlater explain 019a0c5e-7b3c-7def-8123-456789abcdef --json

The nearest cause comes first, then what led to it, and who made the run at last.")]
pub(super) struct Explain {
    /// The run
    #[arg(value_parser = parse_id)]
    run: RunId,
}

impl Explain {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let client = Client::find(global, screen)?;
        let explanation: shapes::Explanation = client.get(&format!("/v1/runs/{}/explain", self.run), &[])?;
        if screen.json {
            return Ok(screen.value(&explanation)?);
        }
        let now = moment::now();
        screen.line(format!("run {} of {} is {}", explanation.run, clean(&explanation.task), clean(&explanation.status)))?;
        for (depth, cause) in explanation.causes.iter().enumerate() {
            screen.quote(format!("{}└─ {}", "   ".repeat(depth), with_hints(&clean(&cause.text), now)))?;
        }
        if !explanation.advice.is_empty() {
            screen.line("\nWhat you can do:")?;
        }
        let width = explanation.advice.iter().map(|advice| advice.command.len()).max().unwrap_or(0);
        for advice in &explanation.advice {
            screen.line(format!("  {:<width$}  {}", clean(&advice.command), clean(&advice.purpose)))?;
        }
        Ok(())
    }
}

/// The same text, with each time in it as people read times.
fn with_hints(text: &str, now: Timestamp) -> String {
    let word = |word: &str| {
        let core = word.trim_end_matches([',', ';', ':', ')', '.']);
        let bare = core.trim_start_matches('(');
        match Timestamp::parse(bare, "time") {
            Ok(at) => word.replacen(bare, &moment::with_hint(at, now), 1),
            Err(_) => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_within_sentences_get_their_hints() {
        let now = Timestamp::parse("2027-03-14T12:00:00Z", "t").unwrap();
        for (text, shown) in [
            ("it is due at 2027-03-14T15:00:00Z", "it is due at 2027-03-14 15:00:00Z (in 3h)"),
            ("since 2027-03-14T11:58:20Z; 2 runs go first", "since 2027-03-14 11:58:20Z (100s ago); 2 runs go first"),
            ("(2027-03-14T12:00:02Z) at", "(2027-03-14 12:00:02Z (in 2s)) at"),
            ("no time in it: 2027", "no time in it: 2027"),
        ] {
            assert_eq!(with_hints(text, now), shown);
        }
    }
}
