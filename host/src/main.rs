//! The command `runlater`: see [`runlater::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    runlater::cli::run()
}
