//! Asking before something that can't be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use super::failure;

/// Whether the user is sure already.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Sure {
    /// Don't ask
    #[arg(long, short = 'y')]
    pub(super) yes: bool,
}

/// Goes on if the user says yes. Where nobody can be asked, the user must have said so; what else they can do there is `otherwise`.
pub(super) fn ask(question: &str, otherwise: &str) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        return Err(failure::usage(format!("{question} Nobody is there to answer: add --yes{otherwise}")));
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
