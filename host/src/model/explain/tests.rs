//! Every status with every cause that it can have.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::model::{
    AuditAction::*, Because, CronOccurrence, Digest, Grants, HeldBy, Metadata, NamespaceId, Origin, Pause, Payload, PolicySettings,
    RateLimit, TaskId, TaskPolicy,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text, "name").unwrap()
}

fn id(key: i64) -> RunId {
    RunId::from_key(key, 0)
}

/// Everything that may be known, in the case's own hands.
struct Case {
    run: Run,
    attempts: Vec<Attempt>,
    task: Option<Task>,
    hold: Option<Hold>,
    awaited_memory: Option<u64>,
    first_asked_for: Option<Timestamp>,
    record: Vec<AuditEntry>,
    others: Vec<Run>,
    trouble: Option<&'static str>,
}

/// A run that was asked for at second 0, with a trigger time of second 50, at second 100.
fn run(status: Status) -> Run {
    let waits = matches!(status, Status::Scheduled | Status::Queued | Status::Backoff);
    let due = if status == Status::Queued { 50 } else { 150 };
    Run {
        id: id(1),
        task: name("report"),
        status,
        reason: None,
        message: None,
        because: None,
        trigger_at: at(if status == Status::Scheduled { 150 } else { 50 }),
        due_at: waits.then(|| at(due)),
        created_at: at(0),
        started_at: None,
        finished_at: status.is_final().then(|| at(90)),
        attempts: 0,
        failures: 0,
        max_attempts: None,
        timeout: None,
        cancel_requested: false,
        priority: 1,
        origin: Origin::Api,
        parent: None,
        root: None,
        on_failure: false,
        metadata: Metadata::default(),
        unique_key: None,
        input: Payload::null(),
        output: None,
        progress: None,
        occurrence: None,
    }
}

fn task(settings: &[(&str, &str)]) -> Task {
    let mut said = PolicySettings::default();
    settings.iter().for_each(|(field, value)| said.set(field, value).unwrap());
    Task {
        id: TaskId(1),
        namespace: NamespaceId(1),
        name: name("report"),
        digest: Digest::of(b""),
        grants: Grants::none(),
        description: None,
        input_schema: None,
        policy: TaskPolicy::default().with(&said).unwrap(),
        overrides: PolicySettings::default(),
        created_at: at(0),
        updated_at: at(0),
        pause: None,
    }
}

fn case(status: Status) -> Case {
    let task = Some(task(&[]));
    Case {
        run: run(status),
        attempts: Vec::new(),
        task,
        hold: None,
        awaited_memory: None,
        first_asked_for: None,
        record: Vec::new(),
        others: Vec::new(),
        trouble: None,
    }
}

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// An attempt that ended like this, ten seconds after it began.
    fn attempt(mut self, number: u32, outcome: &'static str) -> Self {
        let started_at = at(50 + 15 * i64::from(number - 1));
        let finished_at = Some(started_at.saturating_add(Duration::from_secs(10)));
        let message = Some("no luck".into());
        self.attempts.push(Attempt {
            number,
            digest: None,
            started_at,
            finished_at,
            outcome: Some(outcome.into()),
            message,
            log: Vec::new(),
            log_dropped: 0,
        });
        (self.run.attempts, self.run.started_at) = (number, Some(started_at));
        if !matches!(outcome, "succeeded" | "snoozed" | "shut-down" | "no-room" | "cancelled") {
            self.run.failures += 1;
        }
        self.because(outcome, "no luck")
    }

    /// As the storage counts it: when the first of the last failures began.
    fn failing_since(&self) -> Option<Timestamp> {
        let no_failures = ["succeeded", "snoozed", "cancelled", "shut-down", "host-crashed"];
        let failed = |attempt: &&Attempt| attempt.outcome.as_deref().is_some_and(|outcome| !no_failures.contains(&outcome));
        let back = (self.run.failures as usize).checked_sub(1)?;
        self.attempts.iter().rev().filter(failed).nth(back).map(|attempt| attempt.started_at)
    }

    fn because(mut self, reason: &'static str, message: &str) -> Self {
        (self.run.reason, self.run.message) = (Some(reason.into()), Some(message.into()));
        self
    }

    fn did(mut self, action: AuditAction, seconds: i64, detail: Option<String>) -> Self {
        let entry = AuditEntry { number: 1, at: at(seconds), token: "k7".into(), action, run: Some(self.run.id), subject: None, detail };
        self.record.insert(0, entry);
        self
    }

    fn paused(self, until: Option<i64>) -> Self {
        self.with(|case| case.task.as_mut().unwrap().pause = Some(Pause { since: at(40), until: until.map(at), note: "an upgrade".into() }))
    }

    fn policy(self, settings: &[(&str, &str)]) -> Self {
        self.with(|case| case.task = Some(task(settings)))
    }

    fn held(self, hold: Hold) -> Self {
        self.with(|case| case.hold = Some(hold))
    }

    fn explained(&self) -> Explanation {
        explain(&Known {
            run: &self.run,
            attempts: &self.attempts,
            failing_since: self.failing_since(),
            task: self.task.as_ref(),
            cron: None,
            hold: self.hold.as_ref(),
            awaited_memory: self.awaited_memory,
            first_asked_for: self.first_asked_for,
            record: &self.record,
            others: &self.others,
            trouble: self.trouble,
            now: at(100),
        })
    }
}

fn word(value: &impl serde::Serialize, field: &str) -> String {
    serde_json::to_value(value).unwrap()[field].as_str().unwrap().to_owned()
}

fn follow_up(key: i64, parent: RunId) -> Run {
    Run { id: id(key), task: name("clean-up"), parent: Some(parent), on_failure: true, ..run(Status::Queued) }
}

fn cases() -> Vec<(Case, &'static str, &'static str)> {
    use Status::*;
    let holder = |running| HeldBy { run: id(2), since: at(60), running };
    let lane = |running| Hold::LaneFull { lane: Some("acme".into()), limit: 1, held_by: vec![holder(running)], ahead: 2 };
    let rate = RateLimit::parse("10/m", "rate").unwrap();
    let occurrence = |skipped| CronOccurrence { cron: Some(name("nightly")), planned_at: Some(at(50)), skipped };
    vec![
        (case(Scheduled), "not-due asked-for", "trigger cancel"),
        (case(Scheduled).did(Reschedule, 5, Some(at(150).to_string())), "not-due moved asked-for", "trigger cancel"),
        // Somebody who is not on record moved it since.
        (case(Scheduled).did(Reschedule, 5, Some(at(140).to_string())), "not-due asked-for", "trigger cancel"),
        (case(Scheduled).did(Reschedule, 5, Some("+1h".into())), "not-due moved asked-for", "trigger cancel"),
        (case(Scheduled).paused(None), "not-due task-paused asked-for", "resume trigger cancel"),
        (case(Scheduled).paused(Some(151)), "not-due task-paused asked-for", "resume trigger cancel"),
        // It will have ended by then.
        (case(Scheduled).paused(Some(150)), "not-due asked-for", "trigger cancel"),
        (
            case(Scheduled).with(|case| (case.run.unique_key, case.first_asked_for) = (Some("index".into()), Some(at(3)))),
            "not-due put-off asked-for",
            "trigger cancel",
        ),
        (case(Scheduled).with(|case| case.run.origin = Origin::Code), "not-due declared", "trigger cancel"),
        (case(Scheduled).with(|case| case.run.origin = Origin::Trigger), "not-due webhook", "trigger cancel"),
        (case(Scheduled).with(|case| case.run.occurrence = Some(occurrence(None))), "not-due occurrence", "trigger cancel"),
        (
            case(Queued).with(|case| case.run.occurrence = Some(CronOccurrence { planned_at: None, ..occurrence(None) })),
            "waits-for-turn due cron-by-hand",
            "cancel",
        ),
        (case(Scheduled).with(|case| (case.run.parent, case.run.root) = (Some(id(7)), Some(id(5)))), "not-due follow-up", "trigger cancel"),
        (
            case(Scheduled).with(|case| (case.run.parent, case.run.on_failure) = (Some(id(7)), true)),
            "not-due follow-up-of-failure",
            "trigger cancel",
        ),
        (case(Queued), "waits-for-turn due asked-for", "cancel"),
        (case(Queued).held(Hold::HostFull { running: 64 }), "host-full due asked-for", "cancel"),
        (case(Queued).held(Hold::NamespaceFull { running: 9 }), "namespace-full due asked-for", "cancel"),
        (case(Queued).held(lane(true)), "lane-full slot-held due asked-for", "policy explain free cancel"),
        (case(Queued).held(lane(false)), "lane-full place-kept due asked-for", "policy explain free cancel"),
        (
            case(Queued).held(Hold::TaskFull { limit: 2, held_by: vec![holder(true), holder(true)], ahead: 0 }),
            "task-full slot-held slot-held due asked-for",
            "policy explain free cancel",
        ),
        (
            case(Queued).held(Hold::RateReached { lane: None, rate, until: at(130), ahead: 1 }),
            "rate-reached due asked-for",
            "policy cancel",
        ),
        (
            case(Queued).held(Hold::Paused(Pause { since: at(40), until: None, note: String::new() })),
            "task-paused due asked-for",
            "resume cancel",
        ),
        (case(Queued).paused(None), "task-paused due asked-for", "resume cancel"),
        // Another namespace's run is nobody that this one may know of.
        (case(Queued).held(Hold::LastChance { run: id(9) }), "last-chance due asked-for", "cancel"),
        (
            case(Queued).held(Hold::LastChance { run: id(9) }).with(|case| case.others.push(Run { id: id(9), ..run(Running) })),
            "last-chance due asked-for",
            "explain cancel",
        ),
        (case(Queued).with(|case| case.trouble = Some("the disk is full")), "host-trouble due asked-for", "cancel"),
        (case(Queued).policy(&[("start-deadline", "5m")]), "waits-for-turn start-deadline due asked-for", "cancel"),
        (case(Queued).did(Trigger, 50, None), "waits-for-turn due triggered-by-hand asked-for", "cancel"),
        (case(Queued).did(Reschedule, 20, Some(at(50).to_string())), "waits-for-turn due moved asked-for", "cancel"),
        (case(Queued).because("caught-up", ""), "waits-for-turn due caught-up asked-for", "cancel"),
        (case(Queued).attempt(1, "trap"), "waits-for-turn due attempt-failed retries asked-for", "logs cancel"),
        (case(Queued).attempt(1, "host-crashed"), "waits-for-turn due host-crashed retries asked-for", "cancel"),
        (case(Queued).attempt(1, "no-room"), "waits-for-turn due given-back asked-for", "cancel"),
        (case(Queued).attempt(1, "shut-down"), "waits-for-turn due host-shut-down asked-for", "cancel"),
        (case(Queued).attempt(1, "snoozed"), "waits-for-turn due snoozed asked-for", "cancel"),
        (case(Backoff).attempt(1, "trap"), "attempt-failed retries asked-for", "logs trigger cancel"),
        (case(Backoff).attempt(1, "trap").attempt(2, "timeout"), "attempt-failed retries asked-for", "logs trigger cancel"),
        (case(Backoff).attempt(1, "snoozed"), "snoozed asked-for", "trigger cancel"),
        (case(Backoff).attempt(1, "trap").paused(None), "attempt-failed task-paused retries asked-for", "logs resume trigger cancel"),
        (case(Running).with(|case| case.run.attempts = 1), "running asked-for", "cancel"),
        (
            case(Running).with(|case| (case.run.attempts, case.run.cancel_requested) = (1, true)).did(Cancel, 95, None),
            "asked-to-end running asked-for",
            "cancel",
        ),
        (
            case(Running).with(|case| (case.run.attempts, case.awaited_memory) = (1, Some(9 << 20))),
            "running waits-for-memory asked-for",
            "cancel",
        ),
        (case(Running).attempt(1, "trap").with(|case| case.run.attempts = 2), "running attempt-failed retries asked-for", "logs cancel"),
        (case(Succeeded).attempt(1, "succeeded"), "succeeded asked-for", ""),
        (case(Succeeded).attempt(1, "trap").attempt(2, "succeeded"), "succeeded retries asked-for", ""),
        (case(Failed).attempt(1, "trap").policy(&[("max-attempts", "1")]), "failed attempts-used-up asked-for", "logs trigger"),
        (case(Failed).attempt(1, "trap").with(|case| case.run.max_attempts = Some(1)), "failed attempts-used-up asked-for", "logs trigger"),
        (
            case(Failed).attempt(1, "trap").attempt(2, "trap").policy(&[("retry-delay", "23h..24h")]),
            "failed retry-window-over asked-for",
            "logs trigger",
        ),
        (case(Failed).attempt(1, "trap"), "failed gave-up asked-for", "logs trigger"),
        (case(Failed).attempt(1, "rejected"), "failed rejected asked-for", "logs trigger"),
        (case(Failed).attempt(1, "quota-exceeded"), "failed quota-exceeded asked-for", "logs trigger"),
        (case(Failed).attempt(3, "host-crashed").because("quarantined", ""), "failed quarantined asked-for", "logs trigger"),
        (case(Failed).because("damaged-row", "column 3"), "failed damaged-row asked-for", "logs trigger"),
        (
            case(Failed).attempt(1, "rejected").with(|case| case.others.push(follow_up(8, id(1)))),
            "failed rejected on-failure-run asked-for",
            "logs trigger",
        ),
        (
            case(Missed).because("host-down", "missed = skip").with(|case| case.run.because = Some(Because::of_span(at(30), at(90)))),
            "host-down missed-policy asked-for",
            "trigger",
        ),
        (
            case(Missed).because("host-down", "3").with(|case| case.run.occurrence = Some(occurrence(Some((3, at(80)))))),
            "host-down occurrences-skipped occurrence",
            "backfill trigger",
        ),
        (
            case(Missed).because("overlap", "").with(|case| case.run.because = Some(Because::of_run(id(2), Some(at(40))))),
            "overlapped asked-for",
            "explain trigger",
        ),
        (case(Missed).because("expired", "").policy(&[("start-deadline", "30s")]), "expired asked-for", "trigger"),
        (case(Missed).because("of-late", "?"), "missed asked-for", "trigger"),
        (case(Cancelled).because("cancelled", "").did(Cancel, 90, None), "cancelled asked-for", "trigger"),
        (case(Cancelled).attempt(1, "cancelled"), "cancelled asked-for", "trigger"),
        (
            case(Cancelled).because("overlap", "").with(|case| case.run.because = Some(Because::of_run(id(2), None))),
            "made-way asked-for",
            "explain trigger",
        ),
    ]
}

#[test]
fn every_status_and_every_cause() {
    let mut seen = BTreeSet::new();
    for (case, causes, advice) in cases() {
        let explanation = case.explained();
        let codes: Vec<_> = explanation.causes.iter().map(|cause| word(cause, "code")).collect();
        let actions: Vec<_> = explanation.advice.iter().map(|advice| word(advice, "action")).collect();
        assert_eq!((codes.join(" "), actions.join(" ")), (causes.into(), advice.into()), "{:?} {:?}", case.run.status, case.run.reason);
        assert_eq!((explanation.run, explanation.status, explanation.at), (case.run.id, case.run.status, at(100)));
        for cause in &explanation.causes {
            let sentence = cause.sentence();
            assert!(sentence.len() > 10 && !sentence.contains("  ") && !sentence.ends_with('.'), "{sentence:?}");
        }
        seen.extend(codes);
    }
    // One that no case has is one that nobody has read.
    let every = include_str!("cause.rs").split("pub enum Cause {").nth(1).unwrap().split("\n}").next().unwrap();
    for variant in every.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with([' ', '/'])) {
        let variant = variant.split([' ', ',', '{']).next().unwrap();
        let kebab: String =
            variant.chars().flat_map(|c| if c.is_uppercase() { vec!['-', c.to_ascii_lowercase()] } else { vec![c] }).collect();
        assert!(variant.is_empty() || seen.contains(kebab.trim_start_matches('-')), "no case has {variant}");
    }
}

#[test]
fn sentences_name_what_they_are_about() {
    let sentences = |case: Case| case.explained().causes.iter().map(Cause::sentence).collect::<Vec<_>>();
    let (two, t) = (id(2), |seconds| at(seconds).to_string());
    let held_by = vec![HeldBy { run: two, since: at(60), running: false }];
    let waiting = case(Status::Queued)
        .held(Hold::LaneFull { lane: Some("acme".into()), limit: 1, held_by, ahead: 2 })
        .with(|case| case.others.push(Run { id: two, due_at: Some(at(170)), ..run(Status::Backoff) }))
        .did(Schedule, 0, None);
    assert_eq!(
        sentences(waiting),
        [
            "its lane \"acme\" may have 1 attempt in flight, and has as many; 2 runs go first".to_string(),
            format!("run {two} has kept its place since {}, lest the order change, and waits for its next attempt at {}", t(60), t(170)),
            format!("it has been due since {}", t(50)),
            format!("the holder of token k7 scheduled it at {}", t(0)),
        ]
    );
    let backoff = case(Status::Backoff).attempt(1, "trap").policy(&[("retry-delays", "10s,1m")]);
    assert_eq!(
        sentences(backoff)[..2],
        [
            format!("attempt 1 failed at {} (trap): no luck; the next one is due at {}", t(60), t(150)),
            "1 of at most 5 attempts failed; its task's delays are 10s, 1m".to_string(),
        ]
    );
    let running = case(Status::Running).policy(&[("timeout", "30s"), ("cancel-grace", "2s")]).did(Cancel, 95, None);
    let running = running.with(|case| {
        (case.run.attempts, case.run.cancel_requested, case.run.started_at) = (1, true, Some(at(90)));
    });
    assert_eq!(
        sentences(running)[..2],
        [
            format!("the holder of token k7 asked it to end at {}; it is dropped 2s later", t(95)),
            format!("attempt 1 has been running since {}, and is stopped at {} if it has not ended by then", t(90), t(120)),
        ]
    );
    let missed = case(Status::Missed).because("host-down", "the policy says so");
    let missed = missed.with(|case| case.run.because = Some(Because::of_span(at(30), at(90))));
    assert_eq!(
        sentences(missed)[..2],
        [format!("no host was running from {} until {}, and its time passed meanwhile", t(30), t(90)), "the policy says so".to_string()]
    );
}

#[test]
fn who_did_it_is_concealed_from_those_who_may_not_know() {
    for (case, ..) in cases() {
        let case = case.did(Schedule, 0, None);
        let told = case.explained();
        let text = |explanation: &Explanation| explanation.causes.iter().map(word_all).collect::<String>();
        let concealed = told.clone().concealed();
        assert!(!text(&concealed).contains("k7"), "{}", text(&concealed));
        assert_eq!(told.causes.len(), concealed.causes.len());
    }
}

fn word_all(cause: &Cause) -> String {
    format!("{} {}", serde_json::to_string(cause).unwrap(), cause.sentence())
}

#[test]
fn what_is_not_known_is_left_out() {
    for status in Status::ALL {
        let bare = case(status).with(|case| case.task = None);
        assert!(!bare.explained().causes.is_empty(), "{status:?}");
    }
}
