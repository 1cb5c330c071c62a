//! Asking before something that can't be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure;

/// Goes on if the user says yes, or said so already. Where nobody can be asked, the user must have said so.
pub(super) fn ask(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(failure::usage(format!("{question} Nobody is there to answer: add --yes, or --dry-run to only count")));
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(failure::Failure::new(failure::Exit::Refused, "not-confirmed", "nothing was changed").into()),
    }
}
