//! Cases as data: what is done when, and what must be seen.
//!
//! ```text
//! 0s  create a at=5s       => scheduled due 5s
//! 5s  claim                => a 1
//! 6s  done a + create b at=9s; delete c   => succeeded
//! ```
//!
//! A line is a time, a verb with its arguments, and what it answers. Runs are called by names. What follows a `+` are the
//! writes of the attempt. After a verb that changes a run and answers nothing else, its state is what is compared.

use super::{Place, World, at, backoff, seconds};
use runlater::model::{
    Due, FailureReason, HeldBy, Hold, Idempotency, Lineage, Name, Next, ParentRun, Pause, Request, Unique, UniqueKey, UniqueMode, Write,
};
use runlater::storage::{Cancelled, ChangeError, CreateError, Created, Gap, Move};
use runlater::{Metadata, Payload, Status};

/// Plays a timeline on an empty storage.
#[track_caller]
pub(crate) fn check(place: Box<dyn Place>, timeline: &str) -> World {
    let mut world = World::new(place);
    play(&mut world, timeline);
    world
}

/// Plays a timeline.
#[track_caller]
pub(crate) fn play(world: &mut World, timeline: &str) {
    let mut seen = String::new();
    for line in timeline.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (ask, expected) = line.split_once("=>").unwrap_or_else(|| panic!("no `=>` in: {line}"));
        let answer = answer(world, ask.trim());
        seen.push_str(&format!("    {:<60} => {answer}\n", ask.trim()));
        assert_eq!(answer, expected.trim(), "\nthe last line is not as expected:\n{seen}\n");
    }
}

/// One line taken apart.
struct Ask<'a> {
    now: i64,
    verb: &'a str,
    names: Vec<&'a str>,
    options: Vec<(&'a str, &'a str)>,
}

impl<'a> Ask<'a> {
    fn parse(text: &'a str, now: Option<i64>) -> Self {
        let mut words = text.split_whitespace();
        let now = now.unwrap_or_else(|| span(words.next().expect("a time")));
        let verb = words.next().expect("a verb");
        let (mut names, mut options) = (Vec::new(), Vec::new());
        for word in words {
            match word.split_once('=') {
                Some(option) => options.push(option),
                None => names.push(word),
            }
        }
        Self { now, verb, names, options }
    }

    fn option(&self, key: &str) -> Option<&'a str> {
        self.options.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn time(&self, key: &str) -> Option<i64> {
        self.option(key).map(span)
    }

    fn name(&self) -> &'a str {
        self.names.first().unwrap_or_else(|| panic!("`{}` of which run?", self.verb))
    }
}

/// `5s`, `-5s`, `1h`: in seconds.
fn span(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    sign * runlater::model::parse_duration(text, "time").unwrap_or_else(|error| panic!("{error}")).as_secs() as i64
}

fn answer(world: &mut World, text: &str) -> String {
    let (text, writes) = text.split_once('+').map_or((text, None), |(text, writes)| (text.trim(), Some(writes)));
    let ask = Ask::parse(text, None);
    let now = ask.now;
    let namespace = if ask.option("ns").is_some() { world.other } else { world.namespace };
    match ask.verb {
        "create" => {
            let runs = ask.names.iter().map(|name| (*name, new_run(world, &ask))).collect::<Vec<_>>();
            let (names, runs): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
            let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
            match world.wait(world.storage.create(namespace, runs, at(now))) {
                Ok(created) => {
                    for (name, one) in names.iter().zip(&created) {
                        if let Created::New(id) = one {
                            world.names.insert((*name).into(), *id);
                        }
                    }
                    if let [Created::PutOff(existing)] = &created[..] {
                        return format!("{} put off to {}", name_of(world, existing.run), seconds(existing.trigger_at));
                    }
                    if let [Created::Existing(existing)] = &created[..] {
                        return format!("existing {}", name_of(world, existing.run));
                    }
                    state(world, names[0], namespace, now)
                }
                Err(error) => {
                    assert!(ids.iter().all(|id| world.storage.get(namespace, *id, at(now)).unwrap().is_none()), "none of them is stored");
                    match error {
                        CreateError::UniqueKeyTaken(holder) => format!("taken by {}", name_of(world, holder.run)),
                        CreateError::IdempotencyConflict(holder) => format!("conflict with {}", name_of(world, holder.run)),
                        other => other.to_string(),
                    }
                }
            }
        }
        "claim" => {
            let limit = ask.names.first().map_or(usize::MAX, |limit| limit.parse().expect("a number"));
            let claims = world.claim(limit, now);
            for claim in &claims {
                assert!(claim.due_at <= at(now), "handed out before its time");
            }
            let said = claims.iter().map(|claim| format!("{} {}", name_of(world, claim.run), claim.attempt)).collect::<Vec<_>>();
            world.claims.extend(claims);
            if said.is_empty() { "nothing".into() } else { said.join(", ") }
        }
        "done" | "fail" | "retry" | "snooze" | "requeue" | "stop" => {
            let run = world.names[ask.name()];
            let held = world.claims.iter().rev().find(|claim| claim.run == run).map(|claim| claim.attempt);
            let attempt = ask.option("attempt").map(|attempt| attempt.parse().expect("a number")).or(held).expect("it was claimed");
            let due = ask.time("until").unwrap_or(now + 1);
            let next = match ask.verb {
                "done" => Next::Succeeded { output: ask.option("output").map(|text| Payload::json(text.as_bytes(), "output").unwrap()) },
                "fail" => Next::Failed { reason: FailureReason::Trap, message: "unreachable".into() },
                "retry" => backoff(due),
                "snooze" => Next::Snoozed { due_at: at(due) },
                "requeue" => Next::Requeued,
                _ => Next::Cancelled,
            };
            let writes = super::write_set(writes.into_iter().flat_map(|writes| writes.split(';')).map(|write| {
                let ask = Ask::parse(write, Some(now));
                let known = |world: &World| world.names[ask.name()];
                match ask.verb {
                    "create" => {
                        let mut follow_up = new_run(world, &ask);
                        let parent = ParentRun { id: run, lineage: world.get(run, now).parent.map(|_| lineage(world, run)) };
                        follow_up.lineage = Lineage::follow_up(parent, follow_up.trigger_at, at(now)).ok();
                        world.names.insert(ask.name().into(), follow_up.id);
                        Write::Schedule(Box::new(follow_up))
                    }
                    "move" => Write::Reschedule(known(world), at(ask.time("to").expect("to when"))),
                    "delete" => Write::Delete(known(world)),
                    "cancel" => Write::Cancel(known(world)),
                    "trigger" => Write::Trigger(known(world)),
                    "pause" => {
                        let pause = Pause { since: at(now), until: ask.time("until").map(at), note: String::new() };
                        Write::PauseTask(name(ask.name()), Some(pause))
                    }
                    "resume" => Write::PauseTask(name(ask.name()), None),
                    other => panic!("no write `{other}`"),
                }
            }));
            world.finish_with(run, attempt, next, writes, now);
            state(world, ask.name(), namespace, now)
        }
        "move" => {
            let to = ask.time("to").map(|to| Move::To(at(to))).or(ask.time("by").map(|by| Move::By(by * 1_000_000))).expect("to when");
            let moves = ask.names.iter().map(|name| (world.names[*name], to)).collect();
            let verdicts = world.wait(world.storage.reschedule(namespace, moves, at(now))).expect("it works");
            verdict(world, verdicts, &ask, namespace)
        }
        "delete" => {
            let runs = ask.names.iter().map(|name| world.names[*name]).collect();
            let verdicts = world.wait(world.storage.delete(namespace, runs, at(now))).expect("it works");
            verdict(world, verdicts, &ask, namespace)
        }
        "trigger" => {
            let done = world.wait(world.storage.trigger(namespace, world.names[ask.name()], at(now))).expect("it works");
            verdict(world, vec![done], &ask, namespace)
        }
        "cancel" => match world.wait(world.storage.cancel(namespace, world.names[ask.name()], at(now))).expect("it works") {
            Ok(Cancelled::Now) => state(world, ask.name(), namespace, now),
            Ok(Cancelled::Before) => format!("before: {}", state(world, ask.name(), namespace, now)),
            Ok(Cancelled::Requested) => "requested".into(),
            Err(refusal) => word(&refusal).into(),
        },
        "signal" => {
            let run = world.names[ask.name()];
            let claim = world.claims.iter().rev().find(|claim| claim.run == run).expect("it was claimed");
            if claim.cancel.is_set() { "set".into() } else { "unset".into() }
        }
        "miss" => {
            let gap = Gap { from: at(ask.time("from").expect("from")), until: at(ask.time("until").expect("until")) };
            let limit = ask.option("limit").map_or(100, |limit| limit.parse().expect("a number"));
            world.wait(world.storage.miss(gap, limit, at(now))).expect("it works").to_string()
        }
        "policy" => {
            world.govern(&ask.options, now);
            "ok".into()
        }
        "pause" | "resume" => {
            let pause = Pause { since: at(now), until: ask.time("until").map(at), note: String::new() };
            let pause = (ask.verb == "pause").then_some(pause);
            let done = world.wait(world.storage.pause_task(namespace, name("task"), pause, at(now))).expect("it works");
            world.settle();
            done.map_or("no such task".into(), |_| "ok".into())
        }
        "hold" => {
            let hold = world.storage.hold(namespace, world.names[ask.name()], at(now)).expect("it can be read");
            hold.map_or("nothing".into(), |hold| held(world, &hold))
        }
        "why" => world.get(world.names[ask.name()], now).message.unwrap_or("nothing".into()),
        "get" => state(world, ask.name(), namespace, now),
        "attempts" => {
            let attempts =
                world.storage.attempts(namespace, world.names[ask.name()], &Default::default()).expect("it can be read").attempts;
            let said = attempts.iter().map(|attempt| {
                let end = attempt.finished_at.map_or("…".into(), seconds);
                format!("{} {} {}..{end}", attempt.number, attempt.outcome.as_deref().unwrap_or("running"), seconds(attempt.started_at))
            });
            let said = said.collect::<Vec<_>>().join(", ");
            if said.is_empty() { "none".into() } else { said }
        }
        "due" => world.storage.next_due().map_or("never".into(), seconds),
        "reopen" | "crash" => {
            if ask.verb == "crash" {
                world.crash(now)
            } else {
                world.reopen(now)
            }
            "ok".into()
        }
        other => panic!("no verb `{other}`"),
    }
}

/// What holds a run, in words.
fn held(world: &World, hold: &Hold) -> String {
    let by = |held_by: &[HeldBy]| {
        let one = |held: &HeldBy| {
            let kept = if held.running { "" } else { " kept" };
            format!("{}{kept} {}", name_of(world, held.run), seconds(held.since))
        };
        held_by.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let of = |lane: &Option<String>| lane.as_ref().map_or(String::new(), |lane| format!(" {lane:?}"));
    match hold {
        Hold::Paused(pause) => format!("paused until {}", pause.until.map_or("resumed".into(), seconds)),
        Hold::LaneFull { lane, limit, held_by, ahead } => format!("lane{} full {limit} by {}; {ahead} ahead", of(lane), by(held_by)),
        Hold::TaskFull { limit, held_by, ahead } => format!("task full {limit} by {}; {ahead} ahead", by(held_by)),
        Hold::RateReached { lane, rate, until, ahead } => format!("rate{} {rate} until {}; {ahead} ahead", of(lane), seconds(*until)),
        Hold::LastChance { run } => format!("last chance of {}", name_of(world, *run)),
        Hold::NamespaceFull { running } => format!("namespace full: {running} running"),
        Hold::HostFull { running } => format!("{running} running"),
    }
}

fn lineage(world: &World, run: runlater::RunId) -> Lineage {
    let claim = world.claims.iter().rev().find(|claim| claim.run == run).expect("it was claimed");
    claim.lineage.expect("a guest made it")
}

fn new_run(world: &World, ask: &Ask<'_>) -> runlater::model::NewRun {
    let mut run = world.new_run(ask.time("at").unwrap_or(ask.now), ask.now);
    if ask.option("ns").is_some() {
        run.task = world.storage.task(world.other, "task").expect("it was registered");
    }
    if let Some(input) = ask.option("input") {
        run.input = Payload::json(input.as_bytes(), "input").expect("JSON");
    }
    run.metadata = Metadata::from_entries(ask.option("meta").and_then(|entry| entry.split_once(':'))).expect("metadata");
    run.unique_key = ask.option("key").map(|key| unique(ask, UniqueKey::parse(key, "key").expect("a key")));
    if let Some(due) = run.unique_key.as_ref().and_then(|unique| unique.due(at(ask.now))) {
        run.trigger_at = due;
    }
    run.idempotency = ask.option("sent").map(|key| {
        let request = Request {
            task: &run.task.name,
            due: Due::At(run.trigger_at),
            input: &run.input,
            metadata: &run.metadata,
            unique: run.unique_key.as_ref(),
            max_attempts: None,
            timeout: None,
            priority: None,
        };
        Box::new(Idempotency::new(UniqueKey::parse(key, "sent").expect("a key"), &request))
    });
    run.priority = ask.option("priority").map(|priority| priority.parse().expect("a number"));
    run
}

fn unique(ask: &Ask<'_>, key: UniqueKey) -> Unique {
    let span = |key: &str| ask.option(key).map(|text| runlater::model::parse_duration(text, key).expect("a span"));
    let unique = match span("wait") {
        Some(wait) => Unique::debounce(key, wait, span("max").unwrap_or(wait)).expect("sound spans"),
        None => {
            Unique { mode: ask.option("mode").map_or(UniqueMode::Existing, |mode| UniqueMode::parse(mode, "mode").unwrap()), ..key.into() }
        }
    };
    span("for").map_or(unique.clone(), |span| unique.held_for(span, "for").expect("a sound span"))
}

fn verdict(world: &World, verdicts: Vec<Result<(), ChangeError>>, ask: &Ask<'_>, namespace: runlater::model::NamespaceId) -> String {
    let said = ask.names.iter().zip(verdicts).map(|(name, verdict)| match verdict {
        Ok(()) => state(world, name, namespace, ask.now),
        Err(refusal) => word(&refusal).into(),
    });
    said.collect::<Vec<_>>().join(", ")
}

fn word(refusal: &ChangeError) -> &'static str {
    match refusal {
        ChangeError::NotFound(_) => "not found",
        ChangeError::AlreadyTriggered(_) => "already triggered",
        ChangeError::DefinedByCode(_) => "defined by code",
        ChangeError::AlreadyEnded(_) => "already ended",
        ChangeError::UnderWay(_) => "under way",
        ChangeError::UniqueKeyTaken(..) => "unique key taken",
        ChangeError::Stale(_) => "stale",
        ChangeError::OutOfRange(_) => "out of range",
    }
}

fn name_of(world: &World, id: runlater::RunId) -> String {
    world.names.iter().find(|(_, known)| **known == id).map_or_else(|| id.to_string(), |(name, _)| name.clone())
}

/// A run in words: its status, why, and when it goes on.
fn state(world: &World, name: &str, namespace: runlater::model::NamespaceId, now: i64) -> String {
    let Some(id) = world.names.get(name) else { return "none".into() };
    let Some(run) = world.storage.get(namespace, *id, at(now)).expect("it can be read") else { return "none".into() };
    assert_eq!(run.id, *id);
    assert_eq!(run.finished_at.is_some(), run.status.is_final(), "what has ended has an end: {run:?}");
    let mut words = vec![run.status.as_str().to_owned()];
    words.extend(run.reason.map(|reason| reason.into_owned()));
    if run.status == Status::Running {
        words.push(run.attempts.to_string());
    }
    words.extend(run.due_at.map(|due_at| format!("due {}", seconds(due_at))));
    words.join(" ")
}

/// The name, checked.
pub(crate) fn name(text: &str) -> Name {
    Name::parse(text, "name").expect("a name")
}
