//! What an attempt writes, and whether that commits.

use std::collections::BTreeMap;

use runlater_task::prelude::*;
use serde_json::{Value, json};

/// One run that is to be scheduled.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Follow {
    task: String,
    /// Now, unless it is said.
    after: Option<Duration>,
    at: Option<Instant>,
    #[serde(default)]
    input: Value,
    unique_key: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Follows {
    runs: Vec<Follow>,
}

impl Follow {
    fn prepared(&self) -> runlater_task::Schedule {
        let mut run = runlater_task::schedule(&self.task);
        if let Some(delay) = self.after {
            run = run.after(delay);
        }
        if let Some(at) = self.at {
            run = run.at(at);
        }
        for (key, value) in &self.metadata {
            run = run.metadata(key, value);
        }
        run
    }

    fn send(&self) -> Result<RunId, runlater_task::Error> {
        match &self.unique_key {
            Some(key) => self.prepared().unique_key(key).send(&self.input),
            None => self.prepared().send(&self.input),
        }
    }
}

fn send_all(follows: &Follows) -> Result<Vec<RunId>, Failure> {
    Ok(follows.runs.iter().map(Follow::send).collect::<Result<_, _>>()?)
}

/// Schedules runs, and returns their ids.
#[task]
pub(crate) fn schedule(input: Follows) -> Result<Vec<RunId>, Failure> {
    send_all(&input)
}

/// Schedules runs, then fails: none of them may exist.
#[task(name = "schedule-then-fail")]
pub(crate) fn schedule_then_fail(input: Follows) -> Result<(), Failure> {
    Err(Failure::reject(format!("after scheduling {}", send_all(&input)?.len())))
}

/// Schedules runs, then traps: none of them may exist.
#[task(name = "schedule-then-trap")]
pub(crate) fn schedule_then_trap(input: Follows) -> Result<(), Failure> {
    send_all(&input)?;
    std::process::abort()
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct DecideUntil {
    /// The first attempt that succeeds.
    attempt: u32,
}

/// Schedules three runs that say which attempt decided so, and fails until the given attempt.
#[task(name = "decide-until")]
pub(crate) fn decide_until(input: DecideUntil, run: &Run) -> Result<(), Failure> {
    for _ in 0..3 {
        runlater_task::schedule("touch").after(days(1)).metadata("attempt", &run.attempt().to_string()).send(&())?;
    }
    if run.attempt() < input.attempt { Err(Failure::retry("decides otherwise the next time")) } else { Ok(()) }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct FollowsThenWait {
    runs: Vec<Follow>,
    /// A run whose cancellation lets the task go on.
    gate: RunId,
}

/// Schedules runs, says so by its progress, and waits at the gate before it succeeds.
#[task(name = "schedule-then-wait")]
pub(crate) fn schedule_then_wait(input: FollowsThenWait, run: &Run) -> Result<(), Failure> {
    for follow in &input.runs {
        follow.send()?;
    }
    run.progress(1, 1, "waiting");
    while runs::get(&input.gate)?.status() != Status::Cancelled {
        std::thread::sleep(milliseconds(1).into());
    }
    Ok(())
}

/// Schedules runs at once, under their keys, then traps: all of them exist.
#[task(name = "schedule-detached-then-trap")]
pub(crate) fn schedule_detached_then_trap(input: Follows) -> Result<(), Failure> {
    for follow in &input.runs {
        let key = follow.unique_key.as_deref().ok_or_else(|| Failure::reject("every run needs a `unique_key`"))?;
        follow.prepared().send_detached(key, &follow.input)?;
    }
    std::process::abort()
}

/// Writes, and reads its writes back after each one. Returns what it saw; leaves the run `kept` behind.
#[task(name = "own-writes")]
pub(crate) fn own_writes(run: &Run) -> Result<Value, Failure> {
    let own = || runs::filter().parent(&run.id()).status(Status::Scheduled);
    let listed = || runs::list(own()).map(|run| Ok(run?.id())).collect::<Result<Vec<_>, Failure>>();

    let kept = runlater_task::schedule("touch").after(days(1)).metadata("own", "kept").send(&json!({ "n": 1 }))?;
    let gone = runlater_task::schedule("touch").after(days(2)).metadata("own", "gone").send(&json!({ "n": 2 }))?;
    let read = runs::get(&kept)?;
    let after_schedule = listed()?.len();

    let moved_to = run.now() + days(7);
    runs::reschedule(&kept, moved_to)?;
    let moved = runs::get(&kept)?.trigger_at() == moved_to;

    runs::delete(&gone)?;
    let get_deleted = runs::get(&gone).err().map(|error| error.to_string());
    let delete_again = runs::delete(&gone).err().map(|error| error.to_string());
    Ok(json!({
        "kept": kept,
        "gone": gone,
        "status": read.status().to_string(),
        "input": read.input::<Value>()?,
        "metadata": read.metadata(),
        "origin": read.origin().to_string(),
        "parent_is_me": read.parent() == Some(run.id()),
        "listed_after_schedule": after_schedule,
        "moved": moved,
        "get_deleted": get_deleted,
        "delete_again": delete_again,
        "listed_at_end": listed()?,
    }))
}

/// Makes runs due, and says of each what it is then, or why not.
#[task]
pub(crate) fn trigger(input: Vec<RunId>) -> Result<Value, Failure> {
    let said = input.iter().map(|id| match runs::trigger(id).and_then(|()| runs::get(id)) {
        Ok(run) => run.status().to_string(),
        Err(error) => error.to_string(),
    });
    Ok(json!(said.collect::<Vec<_>>()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum KeyStep {
    /// Finds the run that holds the key.
    Find { key: String },
    /// Schedules a run.
    Schedule { run: Follow },
    /// Deletes the run that holds the key.
    Delete { key: String },
    /// Cancels the run that holds the key.
    Cancel { key: String },
    /// Triggers the run that holds the key.
    Trigger { key: String },
}

/// Takes the steps in order, and returns what each of them returned.
#[task(name = "use-unique-keys")]
pub(crate) fn use_unique_keys(input: Vec<KeyStep>) -> Result<Value, Failure> {
    let find = |key: &str| match runs::find_by_unique_key(key) {
        Ok(None) => Value::Null,
        Ok(Some(holder)) => json!({
            "run": holder.run,
            "status": holder.status.to_string(),
            "reason": holder.reason,
            "trigger_at": holder.trigger_at.to_string(),
            "ended_at": holder.ended_at.map(|at| at.to_string()),
            "held_until": holder.held_until.map(|at| at.to_string()),
        }),
        Err(error) => json!(error.to_string()),
    };
    let change = |key: &str, change: fn(&RunId) -> Result<(), runlater_task::Error>| -> Result<Value, Failure> {
        let holder = runs::find_by_unique_key(key)?.ok_or_else(|| Failure::reject(format!("no run holds {key}")))?;
        change(&holder.run)?;
        Ok(json!(holder.run))
    };
    let mut returned = Vec::new();
    for step in &input {
        returned.push(match step {
            KeyStep::Find { key } => find(key),
            KeyStep::Schedule { run } => run.send().map_or_else(|error| json!(error.to_string()), |id| json!(id)),
            KeyStep::Delete { key } => change(key, runs::delete)?,
            KeyStep::Cancel { key } => change(key, runs::cancel)?,
            KeyStep::Trigger { key } => change(key, runs::trigger)?,
        });
    }
    Ok(json!(returned))
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Bulk {
    /// Deletes the runs of these ids.
    Delete { ids: Vec<RunId> },
    /// Deletes the runs whose metadata has this entry.
    DeleteMatching { key: String, value: String },
    /// Deletes every run.
    DeleteAll,
    /// Moves the runs of these ids.
    Reschedule { ids: Vec<RunId>, after: Duration },
    /// Moves the runs whose metadata has this entry.
    RescheduleMatching { key: String, value: String, after: Duration },
    /// Moves the runs whose metadata has this entry, each from its own time.
    ShiftMatching { key: String, value: String, later: Option<Duration>, earlier: Option<Duration> },
    /// Makes the runs of these ids due.
    Trigger { ids: Vec<RunId> },
    /// Makes the runs whose metadata has this entry due, of these statuses if there are any.
    TriggerMatching {
        key: String,
        value: String,
        #[serde(default)]
        scheduled: bool,
    },
}

/// Changes many runs in one call, and returns what was changed, what was refused, and how those stand then that it meant by their metadata.
#[task]
pub(crate) fn bulk(input: Bulk, run: &Run) -> Result<Value, Failure> {
    let with = |key: &str, value: &str| runs::filter().metadata(key, value);
    let outcome = match &input {
        Bulk::Delete { ids } => runs::bulk_delete(ids)?,
        Bulk::DeleteMatching { key, value } => runs::bulk_delete_matching(&with(key, value))?,
        Bulk::DeleteAll => runs::bulk_delete_matching(&runs::Filter::all())?,
        Bulk::Reschedule { ids, after } => {
            let moves: Vec<_> = ids.iter().map(|id| (id.clone(), Due::After(*after))).collect();
            runs::bulk_reschedule(&moves)?
        }
        Bulk::RescheduleMatching { key, value, after } => runs::bulk_reschedule_matching(&with(key, value), *after)?,
        Bulk::ShiftMatching { key, value, later, earlier } => {
            let mut outcome = runs::BulkOutcome::default();
            for by in [later.map(Shift::Later), earlier.map(Shift::Earlier)].into_iter().flatten() {
                outcome = runs::bulk_shift_matching(&with(key, value), by)?;
            }
            outcome
        }
        Bulk::Trigger { ids } => runs::bulk_trigger(ids)?,
        Bulk::TriggerMatching { key, value, scheduled: false } => runs::bulk_trigger_matching(&with(key, value))?,
        Bulk::TriggerMatching { key, value, scheduled: true } => runs::bulk_trigger_matching(&with(key, value).status(Status::Scheduled))?,
    };
    let mut seen = Vec::new();
    if let Bulk::ShiftMatching { key, value, .. } | Bulk::TriggerMatching { key, value, .. } = &input {
        for found in runs::list(with(key, value)).order(runs::Order::OldestFirst) {
            let found = found?;
            seen.push(json!([found.status().to_string(), found.trigger_at().unix_seconds() - run.now().unix_seconds()]));
        }
    }
    let refused: Vec<_> = outcome.refused.iter().map(|(id, why)| json!({ "id": id, "error": why.to_string() })).collect();
    Ok(json!({ "changed": outcome.changed, "refused": refused, "refused_total": outcome.refused_total, "seen": seen }))
}

/// Does what its input says in a word and a number, such as `fan 2`: what the host is killed under. Says on stdout which of its detached
/// runs are stored.
#[task]
pub(crate) fn work(input: String, run: &Run) -> Result<Outcome<()>, Failure> {
    let (what, number) = input.split_once(' ').unwrap_or((&input, "0"));
    let number: u32 = number.parse().map_err(|_| Failure::reject(format!("{number} is no number")))?;
    let follow = |delay| runlater_task::schedule("touch").after(delay).metadata("by", "guest");
    match what {
        "fan" => {
            for delay in [milliseconds(0), milliseconds(5), hours(1)] {
                follow(delay).send(&())?;
            }
        }
        "snooze" => drop(follow(milliseconds(2)).send(&())?),
        "detached" => {
            for place in 0..3 {
                let key = format!("detached-{}-{place}", run.id());
                println!("detached {} {key}", follow(milliseconds(3)).send_detached(&key, &())?);
            }
        }
        "slow" => std::thread::sleep(milliseconds(number.into()).into()),
        _ => {}
    }
    match (what, run.attempt() <= number) {
        ("fail" | "fan" | "detached", true) => Err(Failure::retry("as asked")),
        ("snooze", true) => Ok(Outcome::Snooze(milliseconds(3))),
        _ => Ok(Outcome::Done(())),
    }
}
