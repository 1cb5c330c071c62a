//! Why a run that has not ended stands where it stands.

use super::super::{AuditAction, FailureReason, HeldBy, Hold, RetryPolicy, Timestamp, format_duration};
use super::{Cause, Known};

pub(super) fn scheduled(known: &Known<'_>) -> Vec<Cause> {
    let until = known.run.due_at.unwrap_or(known.run.trigger_at);
    let mut causes = vec![Cause::NotDue { until }];
    causes.extend(pause_at(known, until));
    causes.extend(moved(known));
    causes
}

pub(super) fn queued(known: &Known<'_>) -> Vec<Cause> {
    let mut causes: Vec<Cause> = known.trouble.map(|trouble| Cause::HostTrouble { trouble: trouble.into() }).into_iter().collect();
    causes.extend(held(known));
    causes.extend(start_deadline(known));
    causes.extend(why_due(known));
    causes
}

pub(super) fn backoff(known: &Known<'_>) -> Vec<Cause> {
    let until = known.run.due_at.unwrap_or(known.now);
    let mut causes = vec![last_attempt(known, Some(until))];
    causes.extend(pause_at(known, until));
    causes.extend(retries(known));
    causes
}

pub(super) fn running(known: &Known<'_>) -> Vec<Cause> {
    let (run, policy) = (known.run, known.task.map(|task| &task.policy));
    let since = run.started_at.unwrap_or(known.now);
    let timeout = run.timeout.or(policy.map(|policy| policy.timeout));
    let running = Cause::Running { attempt: run.attempts, since, until: timeout.map(|timeout| since.saturating_add(timeout)) };
    let mut causes = Vec::new();
    if run.cancel_requested {
        let asked = known.latest(AuditAction::Cancel);
        causes.push(Cause::AskedToEnd {
            at: asked.map(|entry| entry.at),
            by: asked.map(|entry| entry.token.clone()),
            for_run: run.because.and_then(|because| because.run),
            grace: policy.map(|policy| format_duration(policy.cancel_grace)),
        });
    }
    causes.push(running);
    causes.extend(known.awaited_memory.map(|bytes| Cause::WaitsForMemory { bytes }));
    causes.extend(known.attempts.iter().rev().find(|attempt| attempt.finished_at.is_some()).map(|_| last_attempt(known, None)));
    causes.extend(retries(known));
    causes
}

/// What keeps a due run from starting, and who has what it waits for.
fn held(known: &Known<'_>) -> Vec<Cause> {
    let holders = |held_by: &[HeldBy]| held_by.iter().map(|holder| slot(known, holder)).collect::<Vec<_>>();
    match known.hold {
        None if known.trouble.is_some() => Vec::new(),
        None => vec![pause_at(known, known.now).unwrap_or(Cause::WaitsForTurn)],
        Some(Hold::Paused(pause)) => {
            vec![Cause::TaskPaused { task: known.run.task.clone(), since: pause.since, until: pause.until, note: pause.note.clone() }]
        }
        Some(Hold::LaneFull { lane, limit, held_by, ahead }) => {
            let mut causes = vec![Cause::LaneFull { lane: lane.clone(), limit: *limit, ahead: *ahead }];
            causes.extend(holders(held_by));
            causes
        }
        Some(Hold::TaskFull { limit, held_by, ahead }) => {
            let mut causes = vec![Cause::TaskFull { limit: *limit, ahead: *ahead }];
            causes.extend(holders(held_by));
            causes
        }
        Some(Hold::RateReached { lane, rate, until, ahead }) => {
            vec![Cause::RateReached { lane: lane.clone(), rate: rate.to_string(), until: *until, ahead: *ahead }]
        }
        // It may be another namespace's: then it is nobody that this one may know of.
        Some(Hold::LastChance { run }) => vec![Cause::LastChance { run: known.other(*run).map(|other| other.id) }],
        Some(Hold::NamespaceFull { running }) => vec![Cause::NamespaceFull { running: *running }],
        Some(Hold::HostFull { running }) => vec![Cause::HostFull { running: *running }],
    }
}

fn slot(known: &Known<'_>, holder: &HeldBy) -> Cause {
    let HeldBy { run, since, running } = *holder;
    match running {
        true => Cause::SlotHeld { run, since },
        false => Cause::PlaceKept { run, since, until: known.other(run).and_then(|other| other.due_at) },
    }
}

/// The pause of its task, if it holds when the run is due.
fn pause_at(known: &Known<'_>, due: Timestamp) -> Option<Cause> {
    let pause = known.task?.pause.as_ref()?;
    let holds = pause.holds(known.now) && pause.holds(due);
    holds.then(|| Cause::TaskPaused { task: known.run.task.clone(), since: pause.since, until: pause.until, note: pause.note.clone() })
}

/// Until when it may start at all: only its first attempt has to start in time.
fn start_deadline(known: &Known<'_>) -> Option<Cause> {
    let deadline = known.task?.policy.start_deadline.filter(|_| known.run.attempts == 0)?;
    Some(Cause::StartDeadline { until: known.run.trigger_at.saturating_add(deadline) })
}

/// What made it due.
fn why_due(known: &Known<'_>) -> Vec<Cause> {
    let run = known.run;
    let due = Cause::Due { since: run.due_at.unwrap_or(run.trigger_at) };
    match run.reason.as_deref() {
        None => {
            let by_hand = known.latest(AuditAction::Trigger).filter(|entry| entry.at == run.trigger_at);
            let by_hand = by_hand.map(|entry| Cause::TriggeredByHand { at: entry.at, by: Some(entry.token.clone()) });
            std::iter::once(due).chain(by_hand.or_else(|| moved(known))).collect()
        }
        Some("caught-up") => vec![due, Cause::CaughtUp { trigger_at: run.trigger_at }],
        Some(_) => std::iter::once(due).chain([last_attempt(known, None)]).chain(retries(known)).collect(),
    }
}

/// Who set its trigger time, if that is not who made it.
fn moved(known: &Known<'_>) -> Option<Cause> {
    let run = known.run;
    if let (Some(since), Some(key)) = (known.first_asked_for, &run.unique_key) {
        return Some(Cause::PutOff { key: key.clone(), since });
    }
    let entry = known.latest(AuditAction::Reschedule)?;
    // A guest, or the host's own program, may have moved it since: that is not on record.
    let elsewhere = entry.detail.as_deref().and_then(|to| Timestamp::parse(to, "to").ok()).is_some_and(|to| to != run.trigger_at);
    (!elsewhere).then(|| Cause::Moved { at: entry.at, to: entry.detail.clone(), by: Some(entry.token.clone()) })
}

/// How its last attempt ended, and when the next one may start if it waits for that.
pub(super) fn last_attempt(known: &Known<'_>, until: Option<Timestamp>) -> Cause {
    let run = known.run;
    let last = known.attempts.iter().rev().find(|attempt| attempt.finished_at.is_some());
    let attempt = last.map_or(run.attempts, |last| last.number);
    let reason = last.and_then(|last| last.outcome.as_deref()).or(run.reason.as_deref()).unwrap_or("failed");
    match reason {
        "snoozed" => Cause::Snoozed { attempt, until: until.or(run.due_at).unwrap_or(run.trigger_at) },
        "shut-down" => Cause::HostShutDown { attempt },
        "no-room" => Cause::GivenBack { attempt },
        reason if reason == FailureReason::HostCrashed.code() => Cause::HostCrashed { attempt },
        reason => Cause::AttemptFailed {
            attempt,
            reason: reason.into(),
            message: last.and_then(|last| last.message.clone()).or_else(|| run.message.clone()),
            at: last.and_then(|last| last.finished_at),
            until,
        },
    }
}

/// How often it may be tried, once an attempt has failed.
pub(super) fn retries(known: &Known<'_>) -> Option<Cause> {
    let (failures, max, task) = (known.run.failures, known.max_attempts()?, known.task?);
    (failures > 0).then(|| Cause::Retries { failures, max, delays: delays(&task.policy.retry) })
}

fn delays(policy: &RetryPolicy) -> String {
    match policy.delays.as_slice() {
        [] => format!("up to {}, doubling up to {}", format_duration(policy.base), format_duration(policy.max)),
        delays => delays.iter().map(|delay| format_duration(*delay)).collect::<Vec<_>>().join(", "),
    }
}
