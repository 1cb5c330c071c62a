//! What an attempt says, and what it is told of itself.

use std::io::Write;

use runlater_task::prelude::*;
use serde_json::{Value, json};

/// Returns its input.
#[task]
pub(crate) fn touch(input: Value) -> Result<Value, Failure> {
    Ok(input)
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Progress {
    total: u64,
    note: String,
    /// How long is slept between two steps.
    step_ms: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { total: 10, note: "step".to_owned(), step_ms: 0 }
    }
}

/// Says its progress after each step.
#[task]
pub(crate) fn progress(input: Progress, run: &Run) -> Result<(), Failure> {
    for done in 1..=input.total {
        run.progress(done, input.total, &format!("{} {done}", input.note));
        std::thread::sleep(milliseconds(input.step_ms).into());
    }
    Ok(())
}

/// Writes to stdout, stderr and the log, with bytes that a terminal, a page or a parser of lines must survive.
#[task]
pub(crate) fn log() -> Result<(), Failure> {
    println!("a line on stdout");
    eprintln!("a line on stderr");
    println!("\x1b[2J\x1b[31mred\x1b[0m\x07\x08\x00 and \u{202e}backwards\u{202c} <script>alert(1)</script>");
    println!("first\r2026-01-01T00:00:00Z error a line that no one wrote");
    std::io::stdout().write_all(b"not utf-8: \xff\xfe\xc0\n")?;
    print!("no newline at the end");
    std::io::stdout().flush()?;
    runlater_task::log::debug("debug");
    runlater_task::log::info("info\nerror a line that no one wrote");
    runlater_task::log::warn("warn \x1b[31m\r\u{85}\u{2028}");
    runlater_task::log::error("error \0");
    Ok(())
}

/// Returns everything that an attempt knows of itself.
#[task]
pub(crate) fn context(run: &Run) -> Result<Value, Failure> {
    Ok(json!({
        "id": run.id(),
        "task": run.task(),
        "attempt": run.attempt(),
        "trigger_at": run.trigger_at(),
        "deadline": run.deadline(),
        "now": run.now(),
        "metadata": run.metadata(),
        "origin": run.origin().to_string(),
        "parent": run.parent(),
        "is_cancelled": run.is_cancelled(),
    }))
}
