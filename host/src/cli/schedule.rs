//! `runlater schedule TASK`.

use std::io;
use std::path::Path;

use clap::Args;
use serde_json::value::RawValue;

use super::client::Client;
use super::failure::{self, Exit};
use super::file::{self, Expected};
use super::filter::{entries, parse_entry};
use super::screen::{Screen, clean};
use super::{Global, moment, tasks, waiting};
use crate::http::shapes;
use crate::model::Name;
use crate::model::limits::PAYLOAD_BYTES_MAX;

/// Schedule a run of a task: now, at a time, or after a while
#[derive(Args)]
#[command(after_help = "Examples:
  runlater schedule reminder --after 2s --wait
  runlater schedule report --at 2027-03-14T15:09:26+01:00 --input @report.json
  echo '{\"id\": 7}' | runlater schedule remind --input - --metadata customer=7 --unique-key order-7
  runlater schedule reindex --unique-key index --debounce 10s --debounce-max 5m")]
pub(super) struct Schedule {
    /// The task
    #[arg(value_parser = tasks::parse_name)]
    task: Name,
    /// Due at this time: RFC 3339 with any offset; a time in the past means at once
    #[arg(long, value_name = "TIME", conflicts_with = "after")]
    at: Option<String>,
    /// Due after this long: for example 90s, 1h30m or 2d
    #[arg(long, value_name = "DURATION")]
    after: Option<String>,
    /// What the task is given: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    input: Option<String>,
    /// Additional metadata to find the run by (repeat for several); a key with `=`, `:` or `"` is written as a JSON string: '"a:b"=c'
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_entry)]
    metadata: Vec<(String, String)>,
    /// At most one run under this key: a repeated request finds the first one's run, unless that was deleted, or cancelled before its first
    /// attempt
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// What to do if that key is held: `existing` finds an equal run, `reject` refuses, `replace` takes the place of one that still waits
    #[arg(long, value_name = "MODE", requires = "unique_key")]
    unique_mode: Option<String>,
    /// Hold the key for this long after the run's end, instead of 24h
    #[arg(long, value_name = "DURATION", requires = "unique_key")]
    unique_for: Option<String>,
    /// Due this long after the last request under the unique key, with that one's input
    #[arg(long, value_name = "DURATION", requires = "unique_key", conflicts_with_all = ["at", "after", "unique_mode"])]
    debounce: Option<String>,
    /// But not later than this after the first request (the tenfold of --debounce, unless you say otherwise)
    #[arg(long, value_name = "DURATION", requires = "debounce")]
    debounce_max: Option<String>,
    /// Fail after this many failed attempts (1 to 100), instead of what the task says
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Stop an attempt after this long, instead of what the task says
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// 1 to 3: runs due at the same time start in falling order
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// Wait for the end, and show the outcome, the output and the follow-ups
    #[arg(long)]
    wait: bool,
}

impl Schedule {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let input = self.input.as_deref().map(read_input).transpose()?;
        let client = Client::find(global, screen)?;
        let request = shapes::ScheduleRun {
            task: self.task.to_string(),
            at: self.at,
            after: self.after,
            input,
            input_bytes: None,
            metadata: entries(self.metadata)?,
            unique_key: self.unique_key,
            unique_mode: self.unique_mode,
            unique_for: self.unique_for,
            debounce: self.debounce,
            debounce_max: self.debounce_max,
            max_attempts: self.max_attempts,
            timeout: self.timeout,
            priority: self.priority,
        };
        let scheduled: shapes::Scheduled = client.post("/v1/runs", &request)?;
        if !self.wait {
            return show(screen, &self.task, &scheduled);
        }
        if !screen.json {
            show(screen, &self.task, &scheduled)?;
        }
        let Some(run) = waiting::until_ended(&client, screen, scheduled.id, None)? else { return Ok(()) };
        waiting::show_end(&client, screen, &run)?;
        waiting::check_success(&run)
    }
}

fn show(screen: &Screen, task: &Name, scheduled: &shapes::Scheduled) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(scheduled)?);
    }
    let due = moment::with_hint(scheduled.trigger_at, moment::now());
    match scheduled.created {
        true => screen.line(format!("scheduled {task} for {due}: run {}", scheduled.id))?,
        false => {
            screen.line(format!("{task} was scheduled before under this unique key, for {due}: run {}", scheduled.id))?;
            if let Some(existing) = &scheduled.existing {
                screen.line(stands(existing))?;
            }
        }
    }
    Ok(())
}

/// How the run stands that was found, and until when it holds the key.
fn stands(existing: &shapes::Existing) -> String {
    let reason = existing.reason.as_deref().filter(|reason| *reason != existing.status).map(|reason| format!(" ({})", clean(reason)));
    let ended = existing.ended_at.map(|at| format!(" since {at}")).unwrap_or_default();
    let held = match existing.key_held_until {
        Some(until) => format!("it holds the key until {}", moment::with_hint(until, moment::now())),
        None => "it holds the key at least until it has ended".into(),
    };
    format!("its status is {}{}{ended}; {held}", clean(&existing.status), reason.unwrap_or_default())
}

const INPUT: Expected = Expected {
    bytes_max: PAYLOAD_BYTES_MAX,
    too_large: (Exit::Refused, "payload-too-large", "; store the data elsewhere and pass its address"),
    instead: "give - for what comes through a pipe",
};

/// Reads an input, and checks here already that it is JSON: the shell's quotes are easily got wrong.
pub(super) fn read_input(text: &str) -> anyhow::Result<Box<RawValue>> {
    let (json, whence) = match text.strip_prefix('@') {
        _ if text == "-" => {
            let whence = "standard input";
            (utf8(file::read_bounded(io::stdin().lock(), Path::new(whence), &INPUT)?, whence)?, whence.to_string())
        }
        Some(path) => {
            let (path, whence) = (Path::new(path), clean(path));
            (utf8(file::read(path, &INPUT)?, &whence)?, whence)
        }
        None => (text.into(), "--input".into()),
    };
    RawValue::from_string(json.trim().into())
        .map_err(|error| failure::usage(format!("{whence} is not JSON: {error}; text needs quotes: --input '\"text\"'")))
}

fn utf8(bytes: Vec<u8>, whence: &str) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|_| failure::usage(format!("{whence} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs() {
        assert_eq!(read_input(" {\"a\": 1} ").unwrap().get(), "{\"a\": 1}");
        assert_eq!(read_input("-7").unwrap().get(), "-7");
        assert!(read_input("hello").unwrap_err().to_string().contains("quotes"));
        assert!(read_input("@/no/such/file").unwrap_err().to_string().contains("/no/such/file"));
        assert!(file::read_bounded(io::repeat(b' '), Path::new("x"), &INPUT).is_err());
    }
}
