//! Why a run that has ended ended as it did.

use super::super::{AuditAction, FailureReason, format_duration};
use super::waiting::retries;
use super::{Cause, Known};

pub(super) fn succeeded(known: &Known<'_>) -> Vec<Cause> {
    let run = known.run;
    let mut causes = vec![Cause::Succeeded { attempt: run.attempts, at: run.finished_at.unwrap_or(known.now) }];
    causes.extend(retries(known));
    causes
}

pub(super) fn failed(known: &Known<'_>) -> Vec<Cause> {
    let run = known.run;
    let at = run.finished_at.unwrap_or(known.now);
    let reason = run.reason.as_deref().unwrap_or("failed");
    let mut causes = vec![Cause::Failed { reason: reason.into(), message: message(known), at }];
    causes.push(match reason {
        reason if reason == FailureReason::Rejected.code() => Cause::Rejected,
        reason if reason == FailureReason::QuotaExceeded.code() => Cause::QuotaExceeded,
        reason if reason == FailureReason::Quarantined.code() => Cause::Quarantined,
        reason if reason == FailureReason::DamagedRow.code() => Cause::DamagedRow,
        _ => no_more_attempts(known),
    });
    let follows = known.others.iter().find(|other| other.on_failure && other.parent == Some(run.id));
    causes.extend(follows.map(|other| Cause::OnFailureRun { run: other.id, task: other.task.clone() }));
    causes
}

fn no_more_attempts(known: &Known<'_>) -> Cause {
    let (run, failures) = (known.run, known.run.failures);
    if let Some(max) = known.max_attempts().filter(|max| failures >= *max) {
        return Cause::AttemptsUsedUp { failures, max };
    }
    // The first failure has always its retry; the window counts from there.
    let first = known.failing_since.filter(|_| failures > 1);
    let retry = known.task.map(|task| &task.policy.retry);
    match (first.zip(retry), run.finished_at) {
        (Some((first, retry)), Some(at)) if retry.is_too_late(first, at.saturating_add(retry.max)) => {
            Cause::RetryWindowOver { failures, until: first.saturating_add(retry.window) }
        }
        _ => Cause::GaveUp { failures },
    }
}

pub(super) fn missed(known: &Known<'_>) -> Vec<Cause> {
    let run = known.run;
    let because = run.because.unwrap_or_default();
    match run.reason.as_deref() {
        Some("host-down") => {
            let mut causes = vec![Cause::HostDown { since: because.since, until: because.until.or(run.finished_at).unwrap_or(known.now) }];
            let skipped = run.occurrence.as_ref().and_then(|occurrence| occurrence.skipped);
            match (skipped, message(known)) {
                (Some((count, until)), _) => causes.push(Cause::OccurrencesSkipped { count, since: run.trigger_at, until }),
                (None, Some(message)) => causes.push(Cause::MissedPolicy { message }),
                (None, None) => {}
            }
            causes
        }
        Some("overlap") => vec![Cause::Overlapped { run: because.run, since: because.since, message: message(known) }],
        Some("expired") => {
            let deadline = known.task.and_then(|task| task.policy.start_deadline);
            let until = because.until.or(deadline.map(|deadline| run.trigger_at.saturating_add(deadline)));
            vec![Cause::Expired { until: until.or(run.finished_at).unwrap_or(known.now), deadline: deadline.map(format_duration) }]
        }
        other => vec![Cause::Missed { reason: other.unwrap_or("unknown").into(), message: message(known) }],
    }
}

pub(super) fn cancelled(known: &Known<'_>) -> Vec<Cause> {
    let run = known.run;
    let other = run.because.and_then(|because| because.run);
    if other.is_some() || run.reason.as_deref() == Some("overlap") {
        return vec![Cause::MadeWay { run: other, message: message(known) }];
    }
    let by = known.latest(AuditAction::Cancel).map(|entry| entry.token.clone());
    let at = run.finished_at.unwrap_or(known.now);
    // An attempt that it was cancelled in left a row that says so; one that had ended before left its own.
    let ended = known.attempts.last().filter(|last| last.outcome.as_deref() == Some("cancelled")).map(|last| last.number);
    vec![Cause::Cancelled { at, by, attempt: ended }]
}

/// What the run's message says, if it says anything.
fn message(known: &Known<'_>) -> Option<String> {
    known.run.message.clone().filter(|message| !message.is_empty())
}
