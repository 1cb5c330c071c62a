//! The options by which commands select runs.

use clap::Args;

use std::collections::BTreeMap;

use super::failure;
use super::screen::escape_json;
use crate::http::filter::{Filter, add_entry};
use crate::model::{self, RunId};

/// Conditions that must all hold.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct FilterArgs {
    /// Runs of this task (repeat for several)
    #[arg(long, value_name = "NAME")]
    task: Vec<String>,
    /// Runs with this status (repeat for several)
    #[arg(long, value_name = "STATUS", value_parser = ["scheduled", "queued", "running", "backoff", "succeeded", "failed", "cancelled", "missed"])]
    status: Vec<String>,
    /// Runs made by this: api, guest, cron, code or trigger (repeat for several)
    #[arg(long, value_name = "ORIGIN", value_parser = ["api", "guest", "cron", "code", "trigger"])]
    origin: Vec<String>,
    /// Runs with this entry of additional metadata (repeat: all must match); a key with `=`, `:` or `"` is written as a JSON string: '"a:b"=c'
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_entry)]
    metadata: Vec<(String, String)>,
    /// Follow-ups of this run
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    parent: Option<RunId>,
    /// Follow-ups of this run at any depth: the chain that it began, without itself
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    root: Option<RunId>,
    /// Runs whose trigger time is this or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    trigger_from: Option<String>,
    /// Runs whose trigger time is earlier than this (RFC 3339)
    #[arg(long, value_name = "TIME")]
    trigger_before: Option<String>,
}

impl FilterArgs {
    /// As the API takes it.
    pub(super) fn to_filter(&self) -> anyhow::Result<Filter> {
        Ok(Filter {
            task: self.task.clone(),
            status: self.status.clone(),
            origin: self.origin.clone(),
            metadata: entries(self.metadata.clone())?,
            parent: self.parent.map(|parent| parent.to_string()),
            root: self.root.map(|root| root.to_string()),
            trigger_from: self.trigger_from.clone(),
            trigger_before: self.trigger_before.clone(),
        })
    }
}

/// Reads one entry of metadata.
pub(super) fn parse_entry(text: &str) -> Result<(String, String), String> {
    model::parse_entry(text).map_err(|invalid| invalid.reason)
}

/// Entries that were given one by one. Two values under one key are a wrong use.
pub(super) fn entries(given: Vec<(String, String)>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut entries = BTreeMap::new();
    for (key, value) in given {
        add_entry(&mut entries, key, value).map_err(|invalid| failure::usage(format!("--metadata: {invalid}")))?;
    }
    Ok(entries)
}

/// Entries on one line: in the form of `--metadata`, or as a JSON object if that would leave open where an entry ends or which characters it has.
pub(super) fn shown_metadata(entries: &BTreeMap<String, String>) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    let written: Vec<_> = entries.iter().map(|(key, value)| model::write_entry(key, value)).collect();
    match written.iter().all(|entry| entry.chars().all(is_plain)) {
        true => written.join(" "),
        false => escape_json(&serde_json::json!(entries).to_string()),
    }
}

/// Reads a run's id.
pub(super) fn parse_id(text: &str) -> Result<RunId, String> {
    RunId::parse(text, "id").map_err(|invalid| invalid.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_metadata_is_shown_differently() {
        for (entries, shown) in [
            (&[("a", "b"), ("c", "d=e")][..], "a=b c=d=e"),
            (&[("a:b", "c")], r#""a:b"=c"#),
            (&[("a", "b c=d")], r#"{"a":"b c=d"}"#),
            (&[("a", r"x\ny")], r"a=x\ny"),
            (&[("a", "x\ny\u{202e}")], r#"{"a":"x\ny\u202e"}"#),
        ] {
            let entries = entries.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            assert_eq!(shown_metadata(&entries), shown);
        }
    }
}
