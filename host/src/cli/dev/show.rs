//! Shows runs as they happen, one line each.

use crate::cli::moment::{measured, of_day, relative};
use crate::cli::screen::{Screen, clean};
use crate::model::{Next, Timestamp};
use crate::storage::{RunChange, RunEvent};

/// Shows one change.
pub(super) fn event(screen: &Screen, event: &RunEvent, now: Timestamp) -> std::io::Result<()> {
    if !screen.json {
        return screen.quote(format!("{}  {}", of_day(now), line(event, now)));
    }
    let mut value = serde_json::json!({ "at": now, "run": event.run, "task": event.task, "parent": event.parent });
    let (change, more) = match &event.change {
        RunChange::Created { trigger_at } => ("scheduled", serde_json::json!({ "trigger_at": trigger_at })),
        RunChange::Rescheduled { trigger_at } => ("rescheduled", serde_json::json!({ "trigger_at": trigger_at })),
        RunChange::Deleted => ("deleted", serde_json::json!({})),
        RunChange::Marked(status) => (status.as_str(), serde_json::json!({})),
        RunChange::Finished { attempt, next, lateness, took } => (
            next.status().as_str(),
            serde_json::json!({ "attempt": attempt, "late_us": lateness.as_micros() as u64, "took_us": took.as_micros() as u64 }),
        ),
    };
    value["change"] = change.into();
    for (name, more) in more.as_object().into_iter().flatten() {
        value[name] = more.clone();
    }
    screen.value(&value)
}

fn line(event: &RunEvent, now: Timestamp) -> String {
    let RunEvent { run, task, parent, .. } = event;
    let head = |word: &str| format!("{word:<11} {task}  {run}");
    match &event.change {
        RunChange::Created { trigger_at } => match parent {
            Some(parent) => format!("{}  due {}, scheduled by {parent}", head("follow-up"), relative(*trigger_at, now)),
            None => format!("{}  due {}", head("scheduled"), relative(*trigger_at, now)),
        },
        RunChange::Rescheduled { trigger_at } => format!("{}  now due {}", head("rescheduled"), relative(*trigger_at, now)),
        RunChange::Deleted => head("deleted"),
        RunChange::Marked(status) => head(status.as_str()),
        RunChange::Finished { attempt, next, lateness, took } => {
            let timing = format!("attempt {attempt}, started {} late, took {}", measured(*lateness), measured(*took));
            match next {
                Next::Succeeded { output } => {
                    let output = output.as_ref().and_then(|output| output.as_json()).filter(|json| *json != "null");
                    format!("{}  {timing}{}", head("succeeded"), output.map_or(String::new(), |json| format!(", returned {}", cut(json))))
                }
                Next::Failed { reason, message } => format!("{}  {timing}: {}: {}", head("failed"), reason.code(), cut(message)),
                Next::Backoff { due_at, reason, message } => {
                    format!("{}  {timing}: {}: {}; again {}", head("backoff"), reason.code(), cut(message), relative(*due_at, now))
                }
                Next::Snoozed { due_at } => format!("{}  {timing}; again {}", head("snoozed"), relative(*due_at, now)),
                Next::Requeued => format!("{}  {timing}", head("requeued")),
                Next::GivenBack => format!("{}  {timing}; the host had no room for it", head("requeued")),
                Next::Cancelled => format!("{}  {timing}", head("cancelled")),
            }
        }
    }
}

/// A guest's text, safe and short enough for a line.
fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut shown = clean(&text.chars().take(CHARS_MAX).collect::<String>());
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
