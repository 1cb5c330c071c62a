//! Writes the host's log to stderr: warnings and errors, one line each.
//!
//! Installed by `serve` and `dev`. An embedder installs a subscriber of its own.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::moment;
use super::screen::{clean, escape_json};

/// What is logged: more than a host has to say in an ordinary day would hide what matters.
const LEVEL: Level = Level::WARN;

/// Writes events to stderr.
struct Log {
    json: bool,
}

/// Logs from now on, as text or as JSON. A subscriber that is installed already stays.
pub(super) fn install(json: bool) {
    let _ = tracing::subscriber::set_global_default(Log { json });
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries do not log for operators of this program.
        *metadata.level() <= LEVEL && metadata.is_event() && metadata.target().starts_with("runlater")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LEVEL.into())
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = fields.line(event.metadata().level().as_str(), self.json);
        // Nobody is left to tell that stderr is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message and the other fields of an event, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.others.push((name, value.to_owned())),
        }
    }
}

impl Fields {
    fn line(self, level: &str, json: bool) -> String {
        let at = moment::now().to_string();
        if json {
            let own = [("at", at), ("level", level.to_lowercase()), ("message", self.message)];
            let fields: Map<_, _> = own.into_iter().chain(self.others).map(|(name, text)| (name.to_owned(), Value::String(text))).collect();
            return escape_json(&Value::Object(fields).to_string());
        }
        let mut line = format!("{at} {level} {}", self.message);
        for (name, text) in self.others {
            let _ = write!(line, " {name}={}", if text.contains([' ', '"']) { format!("{text:?}") } else { text });
        }
        clean(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let fields =
            || Fields { message: "two\nlines".into(), others: vec![("cron", "nightly".into()), ("error", "a \"b\"\u{1b}[31m".into())] };
        let text = fields().line("WARN", false);
        assert!(text.contains(" WARN two") && text.contains(" cron=nightly error=\"a \\\"b\\\"") && text.lines().count() == 1, "{text}");
        assert!(!text.contains('\u{1b}'));
        let json: Value = serde_json::from_str(&fields().line("WARN", true)).unwrap();
        assert_eq!(
            (json["level"].as_str(), json["message"].as_str(), json["cron"].as_str()),
            (Some("warn"), Some("two\nlines"), Some("nightly"))
        );
    }
}
