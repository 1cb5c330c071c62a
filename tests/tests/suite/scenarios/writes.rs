//! What a guest writes: it commits with its attempt's success or not at all, and within bounds.

use std::time::Duration;

use runlater::model::limits::{DEPTH_MAX, LIVE_PER_ROOT_MAX, WRITES_PER_ATTEMPT_MAX};
use runlater::model::{Origin, RateLimit, RunFilter};
use runlater::{Run, RunId, Status};
use serde_json::{Value, json};

use super::world::{World, guarded, output, secs};

const TIMEOUT: Duration = secs(77);

/// Three runs a day ahead.
fn three() -> Value {
    json!({ "runs": [{ "task": "touch", "after": "1d" }, { "task": "touch", "after": "2d" }, { "task": "touch", "after": "3d" }] })
}

/// That input with the run that the task waits for.
fn waiting_at(gate: RunId, mut input: Value) -> Value {
    input["gate"] = json!(gate.to_string());
    input
}

fn key(run: &Run) -> Option<&str> {
    run.unique_key.as_deref()
}

#[tokio::test]
async fn follow_ups_exist_if_and_only_if_the_attempt_succeeded() {
    let world = World::with(&["behaviours"]).await;
    let slow = waiting_at(world.gate().await, three());
    for (task, input, status, reason, children) in [
        ("schedule", three(), Status::Succeeded, None, 3),
        ("schedule-then-fail", three(), Status::Failed, Some("rejected"), 0),
        ("schedule-then-trap", three(), Status::Failed, Some("trap"), 0),
        ("schedule-then-wait", slow, Status::Failed, Some("timeout"), 0),
    ] {
        let run = world.schedule(task, input).timeout(TIMEOUT).max_attempts(1).send().await.unwrap();
        if task == "schedule-then-wait" {
            world.progressed(run, 1).await;
            assert_eq!(world.children(run).await, [], "nobody else sees what is not committed");
            world.advance(TIMEOUT);
        }
        let ended = world.wait(run).await;
        assert_eq!((ended.status, ended.reason.as_deref()), (status, reason), "{task}: {:?}", ended.message);
        let made = world.children(run).await;
        assert_eq!(made.len(), children, "{task}");
        let ids: Vec<_> = made.iter().map(|run| json!(run.id.to_string())).collect();
        assert_eq!(output(&ended), if children > 0 { json!(ids) } else { Value::Null }, "{task}: the ids it was given are final");
        for child in made {
            assert_eq!((child.parent, child.root, child.origin, child.status), (Some(run), Some(run), Origin::Guest, Status::Scheduled));
        }
    }
}

#[tokio::test]
async fn a_cancelled_attempt_leaves_nothing_and_a_shutdown_makes_each_child_once() {
    let mut world = World::with(&["behaviours"]).await;
    let gate = world.gate().await;
    let slow = waiting_at(gate, three());
    let run = world.schedule("schedule-then-wait", slow.clone()).timeout(TIMEOUT).send().await.unwrap();
    world.progressed(run, 1).await;
    world.scheduler.cancel(run).await.unwrap();
    world.clock.sleeping(secs(5), 1).await;
    world.advance(secs(5));
    assert_eq!(world.wait(run).await.status, Status::Cancelled);
    assert_eq!(world.children(run).await, []);

    let run = world.schedule("schedule-then-wait", slow).timeout(TIMEOUT).send().await.unwrap();
    world.progressed(run, 1).await;
    world.restart(secs(1)).await;
    world.progressed(run, 1).await;
    assert_eq!(world.children(run).await, []);
    world.scheduler.cancel(gate).await.unwrap();
    let ended = world.wait(run).await;
    assert_eq!((ended.status, ended.attempts), (Status::Succeeded, 2));
    assert_eq!(world.children(run).await.len(), 3, "those of the second attempt");
}

#[tokio::test]
async fn only_the_attempt_that_succeeded_has_decided() {
    let world = World::with(&["behaviours"]).await;
    let run = world.schedule("decide-until", json!({ "attempt": 3 })).send().await.unwrap();
    assert_eq!(world.drive(run).await.attempts, 3);
    let decided: Vec<_> = world.children(run).await.iter().map(|run| run.metadata.get("attempt").unwrap().to_owned()).collect();
    assert_eq!(decided, ["3", "3", "3"]);
}

/// The attempt goes on although another host has taken its run: what it then says changes nothing.
#[tokio::test]
async fn a_stale_attempt_changes_nothing() {
    let mut world = World::with(&["behaviours"]).await;
    let gate = world.gate().await;
    let run = world.schedule("schedule-then-wait", waiting_at(gate, three())).send().await.unwrap();
    world.progressed(run, 1).await;
    // The claim is durable once a later write is.
    world.quiet().await;
    // As another host would by claiming it: the attempt's number is the fencing token.
    let other = rusqlite::Connection::open(world.database()).unwrap();
    other.busy_timeout(secs(10)).unwrap();
    assert_eq!(other.execute("UPDATE runlater_runs SET attempt = 2 WHERE attempt = 1 AND status = 1", []).unwrap(), 1);
    world.scheduler.cancel(gate).await.unwrap();
    guarded("shutdown", world.scheduler.shutdown(secs(25))).await.unwrap();
    let runs: i64 = other.query_row("SELECT count(*) FROM runlater_runs", [], |row| row.get(0)).unwrap();
    assert_eq!(runs, 3, "no child of the attempt that lost its run");
    drop(other);

    world.open().await;
    let ended = world.wait(run).await;
    assert_eq!((ended.status, ended.attempts), (Status::Succeeded, 3));
    assert_eq!(world.children(run).await.len(), 3, "those of the attempt that succeeded");
}

#[tokio::test]
async fn detached_runs_exist_once_however_often_the_attempt_fails() {
    let world = World::with(&["behaviours"]).await;
    let input = json!({ "runs": [{ "task": "touch", "after": "1d", "unique_key": "only" }] });
    let run = world.schedule("schedule-detached-then-trap", input).max_attempts(3).send().await.unwrap();
    let ended = world.drive(run).await;
    assert_eq!((ended.status, world.history(run).await.len()), (Status::Failed, 3));
    let children = world.children(run).await;
    assert_eq!(children.iter().map(key).collect::<Vec<_>>(), [Some("only")]);
}

#[tokio::test]
async fn an_attempt_sees_its_own_writes() {
    let world = World::with(&["behaviours"]).await;
    let started = world.now();
    let ended = world.run("own-writes", Value::Null).await;
    let said = output(&ended);
    let kept = RunId::parse(said["kept"].as_str().unwrap(), "kept").unwrap();
    let gone = RunId::parse(said["gone"].as_str().unwrap(), "gone").unwrap();
    assert_eq!(
        said,
        json!({
            "kept": kept.to_string(), "gone": gone.to_string(), "status": "scheduled", "input": { "n": 1 }, "metadata": [["own", "kept"]],
            "origin": "guest", "parent_is_me": true, "listed_after_schedule": 2, "moved": true,
            "get_deleted": format!("no run {gone} exists"), "delete_again": format!("no run {gone} exists"),
            "listed_at_end": [kept.to_string()],
        })
    );
    let children = world.children(ended.id).await;
    assert_eq!(children.len(), 1);
    assert_eq!((children[0].id, children[0].trigger_at), (kept, started.saturating_add(secs(7 * 24 * 3600))));
}

/// What `find-by-unique-key` returns.
fn holder(run: &Run, status: &str, reason: Option<&str>, held_for: Option<Duration>) -> Value {
    let ended_at = held_for.map(|span| (run.finished_at.expect("it has ended"), span));
    json!({
        "run": run.id.to_string(), "status": status, "reason": reason, "trigger_at": run.trigger_at.to_string(),
        "ended_at": ended_at.map(|(at, _)| at.to_string()), "held_until": ended_at.map(|(at, span)| at.saturating_add(span).to_string()),
    })
}

#[tokio::test]
async fn a_guest_finds_the_run_that_holds_a_unique_key_until_the_key_is_free() {
    const HELD_FOR: Duration = secs(600);
    let world = World::with(&["behaviours"]).await;
    let failed =
        world.schedule("schedule-then-fail", three()).max_attempts(1).unique_key("failed").unique_for(HELD_FOR).send().await.unwrap();
    let failed = world.wait(failed).await;
    let steps = |input: Value| {
        json!([
            { "do": "schedule", "run": { "task": "schedule-then-fail", "input": input, "unique_key": "failed" } },
            { "do": "find", "key": "failed" },
        ])
    };
    let found = holder(&failed, "failed", Some("rejected"), Some(HELD_FOR));
    let taken = runlater_task::Error::UniqueKeyTaken(failed.id.to_string().into()).to_string();
    assert_eq!(output(&world.run("use-unique-keys", steps(three())).await), json!([failed.id.to_string(), found]));
    assert_eq!(output(&world.run("use-unique-keys", steps(json!({ "runs": [] }))).await), json!([taken, found]));

    world.advance(HELD_FOR);
    let steps = json!([{ "do": "find", "key": "failed" }, { "do": "find", "key": "never used" }]);
    assert_eq!(output(&world.run("use-unique-keys", steps).await), json!([null, null]));
}

#[tokio::test]
async fn an_attempt_finds_holders_of_unique_keys_with_its_own_writes_applied() {
    let world = World::with(&["behaviours"]).await;
    let later = async |key: &str| world.schedule("touch", Value::Null).after(secs(3600)).unique_key(key).send().await.unwrap();
    let (deleted, cancelled) = (later("deleted").await, later("cancelled").await);
    let failed = world.schedule("schedule-then-fail", three()).max_attempts(1).unique_key("failed").send().await.unwrap();
    let failed = world.wait(failed).await;
    let step = |what: &str, key: &str| json!({ "do": what, "key": key });
    let schedule = json!({ "do": "schedule", "run": { "task": "touch", "after": "1d", "unique_key": "new" } });
    let steps = json!([
        step("find", "new"),
        schedule,
        step("find", "new"),
        step("delete", "new"),
        step("find", "new"),
        schedule,
        step("cancel", "new"),
        step("find", "new"),
        schedule,
        step("find", "new"),
        step("delete", "deleted"),
        step("find", "deleted"),
        step("cancel", "cancelled"),
        step("find", "cancelled"),
        step("trigger", "failed"),
        step("find", "failed"),
        step("cancel", "failed"),
        step("find", "failed"),
    ]);
    let ended = world.run("use-unique-keys", steps).await;
    let said = output(&ended);
    let new = |place: usize| RunId::parse(said[place].as_str().expect("an id"), "run").unwrap();
    let own = |run: RunId| {
        json!({
            "run": run.to_string(), "status": "scheduled", "reason": null, "ended_at": null, "held_until": null,
            "trigger_at": ended.started_at.unwrap().saturating_add(secs(24 * 3600)).to_string(),
        })
    };
    let now = Run { trigger_at: ended.started_at.unwrap(), finished_at: ended.started_at, ..failed.clone() };
    let expected = json!([
        null,
        new(1).to_string(),
        own(new(1)),
        new(1).to_string(),
        null,
        new(5).to_string(),
        new(5).to_string(),
        null,
        new(8).to_string(),
        own(new(8)),
        deleted.to_string(),
        null,
        cancelled.to_string(),
        null,
        failed.id.to_string(),
        holder(&now, "queued", None, None),
        failed.id.to_string(),
        holder(&now, "cancelled", Some("cancelled"), Some(secs(24 * 3600))),
    ]);
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_guest_makes_runs_due_by_hand() {
    let world = World::with(&["behaviours"]).await;
    let rejected = world.run("reject", json!({ "reason": "no" })).await.id;
    let later = world.schedule("touch", Value::Null).after(secs(86_400)).send().await.unwrap();
    let cancelled = world.schedule("touch", Value::Null).after(secs(86_400)).send().await.unwrap();
    world.scheduler.cancel(cancelled).await.unwrap();
    let ended = world.run("touch", Value::Null).await.id;
    let ids: Vec<_> = [rejected, later, cancelled, ended].iter().map(ToString::to_string).collect();
    let said = output(&world.run("trigger", json!(ids)).await);
    assert_eq!(said, json!(["queued", "queued", "queued", format!("run {ended} has ended already")]));
    for (run, status, attempts) in
        [(rejected, Status::Failed, 2), (later, Status::Succeeded, 1), (cancelled, Status::Succeeded, 1), (ended, Status::Succeeded, 1)]
    {
        let run = world.wait(run).await;
        assert_eq!((run.status, run.attempts), (status, attempts));
    }
}

#[tokio::test]
async fn many_runs_are_changed_in_one_call() {
    let world = World::with(&["behaviours"]).await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let group = if n < 4 { "a" } else { "b" };
        ids.push(world.schedule("touch", Value::Null).after(secs(86_400)).metadata("group", group).send().await.unwrap());
    }
    let ended = world.run("touch", Value::Null).await.id;
    let text = |id: RunId| id.to_string();
    for (input, changed, refused) in [
        (json!({ "do": "reschedule", "ids": [text(ids[0]), text(ended)], "after": "2d" }), 1, vec![ended]),
        (
            json!({ "do": "delete", "ids": [text(ids[1]), text(ended), text(ids[1]), text(ended), text(ids[1]).to_uppercase()] }),
            1,
            vec![ended],
        ),
        (json!({ "do": "reschedule_matching", "key": "group", "value": "a", "after": "3d" }), 3, vec![]),
        (json!({ "do": "delete_matching", "key": "group", "value": "b" }), 2, vec![]),
    ] {
        let said = output(&world.run("bulk", input.clone()).await);
        assert_eq!(
            said["changed"].as_array().map_or(said["changed"].as_u64(), |ids| Some(ids.len() as u64)),
            Some(changed),
            "{input}: {said}"
        );
        let named: Vec<_> = said["refused"].as_array().unwrap().iter().map(|refused| refused["id"].clone()).collect();
        assert_eq!(json!(named), json!(refused.into_iter().map(text).collect::<Vec<_>>()), "{input}: {said}");
    }
    let left = world.marked("group", "a").await;
    assert_eq!(left.iter().map(|run| run.id).collect::<Vec<_>>(), [ids[0], ids[2], ids[3]]);
    assert!(left.iter().all(|run| run.trigger_at == world.then(secs(3 * 86_400))));
    assert_eq!(world.marked("group", "b").await, []);
}

#[tokio::test]
async fn a_guest_is_told_which_runs_its_filter_could_not_change() {
    let world = World::with(&["behaviours"]).await;
    let ended = world.schedule("touch", Value::Null).metadata("group", "a").send().await.unwrap();
    world.wait(ended).await;
    let waiting = world.schedule("touch", Value::Null).after(secs(86_400)).metadata("group", "a").send().await.unwrap();
    let said = output(&world.run("bulk", json!({ "do": "delete_matching", "key": "group", "value": "a" })).await);
    let counts = |said: &Value| (said["changed"].as_u64().unwrap(), said["refused_total"].as_u64().unwrap());
    assert_eq!((counts(&said), &said["refused"][0]["id"]), ((1, 1), &json!(ended.to_string())), "{said}");
    assert!(world.scheduler.get(waiting).await.is_err());

    // All must be said. What has triggered, the guest's own run included, is refused: so are the two before it.
    world.schedule("touch", Value::Null).after(secs(86_400)).send().await.unwrap();
    let said = output(&world.run("bulk", json!({ "do": "delete_all" })).await);
    assert_eq!((counts(&said), said["refused"].as_array().unwrap().len()), ((1, 3), 3), "{said}");
}

#[tokio::test]
async fn many_runs_are_shifted_each_from_its_own_time() {
    let world = World::with(&["behaviours"]).await;
    for days in 1..4 {
        world.schedule("touch", Value::Null).after(secs(days * 86_400)).metadata("group", "a").send().await.unwrap();
    }
    let other = world.schedule("touch", Value::Null).after(secs(86_400)).send().await.unwrap();
    let shift = |fields: Value| {
        let mut input = json!({ "do": "shift_matching", "key": "group", "value": "a" });
        input.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        input
    };
    let said = output(&world.run("bulk", shift(json!({ "later": "2h", "earlier": "1d" }))).await);
    let seen = json!([["scheduled", 7_200], ["scheduled", 93_600], ["scheduled", 180_000]]);
    assert_eq!(said, json!({ "changed": 3, "refused": [], "refused_total": 0, "seen": seen }), "it sees its own writes, and both count");
    let due = async || world.marked("group", "a").await.iter().map(|run| run.trigger_at.since(world.now()).as_secs()).collect::<Vec<_>>();
    assert_eq!((due().await, world.get(other).await.trigger_at), (vec![7_200, 93_600, 180_000], world.then(secs(86_400))));

    let said = output(&world.run("bulk", shift(json!({ "earlier": "36500d" }))).await);
    assert_eq!((said["changed"].as_u64(), said["refused"].as_array().unwrap().len()), (Some(0), 3), "{said}");
    assert!(said["refused"][0]["error"].as_str().unwrap().contains("1970-01-01T00:00:00Z to 9999"), "{said}");
    let too_far = world.run("bulk", shift(json!({ "later": "40000d" }))).await;
    assert!(too_far.message.as_deref().unwrap().starts_with("`by` is not valid: longer than"), "{:?}", too_far.message);
    assert_eq!(due().await, [7_200, 93_600, 180_000]);
}

#[tokio::test]
async fn many_runs_are_made_due_by_hand_and_without_a_status_what_went_wrong() {
    let world = World::with(&["behaviours"]).await;
    let reject = || world.schedule("reject", json!({ "reason": "no" })).max_attempts(1).metadata("group", "a");
    let failed = [reject().send().await.unwrap(), reject().send().await.unwrap()];
    for run in failed {
        assert_eq!(world.wait(run).await.status, Status::Failed);
    }
    let later = world.schedule("touch", Value::Null).after(secs(86_400)).metadata("group", "a").send().await.unwrap();
    let input = json!({ "do": "trigger_matching", "key": "group", "value": "a" });
    let said = output(&world.run("bulk", input).await);
    assert_eq!(
        said,
        json!({ "changed": 2, "refused": [], "refused_total": 0, "seen": [["queued", 0], ["queued", 0], ["scheduled", 86_400]] })
    );
    for run in failed {
        world.until(run, |run| run.attempts == 2 && run.status == Status::Failed).await;
    }
    assert_eq!(world.status(later).await, Status::Scheduled, "nobody means all that is still to come");

    let input = json!({ "do": "trigger_matching", "key": "group", "value": "a", "scheduled": true });
    assert_eq!(output(&world.run("bulk", input).await)["changed"], 1);
    assert_eq!(world.wait(later).await.status, Status::Succeeded);

    let ids = [failed[0], later].map(|run| run.to_string());
    let said = output(&world.run("bulk", json!({ "do": "trigger", "ids": ids })).await);
    assert_eq!((&said["changed"], &said["refused"][0]["id"]), (&json!(1), &json!(ids[1])), "{said}");
    world.until(failed[0], |run| run.attempts == 3 && run.status == Status::Failed).await;
}

#[tokio::test]
async fn a_unique_key_is_one_run_for_guests_too() {
    let world = World::with(&["behaviours"]).await;
    let with = |n: u64| json!({ "runs": [{ "task": "touch", "after": "1d", "unique_key": "k", "input": n }] });
    let first = output(&world.run("schedule", with(1)).await);
    assert_eq!(output(&world.run("schedule", with(1)).await), first, "an equal one is the same run");
    let other = world.run("schedule", with(2)).await;
    let holder = first[0].as_str().unwrap();
    assert_eq!((other.status, other.message.unwrap()), (Status::Failed, format!("the unique key is held by run {holder}")));
    // Within one attempt as well.
    let twice =
        json!({ "runs": [{ "task": "touch", "after": "1d", "unique_key": "t" }, { "task": "touch", "after": "2d", "unique_key": "t" }] });
    let said = output(&world.run("schedule", twice).await);
    assert_eq!(said[0], said[1]);
}

/// Two attempts want the same key and neither sees the other: the second to commit is repeated, and then sees it.
#[tokio::test]
async fn writes_that_conflict_when_they_commit_are_repeated() {
    let world = World::with(&["behaviours"]).await;
    let gate = world.gate().await;
    let follows =
        json!({ "runs": [{ "task": "touch", "after": "1d", "unique_key": "k", "input": 1 }, { "task": "touch", "after": "1d" }] });
    let run = world.schedule("schedule-then-wait", waiting_at(gate, follows)).send().await.unwrap();
    world.progressed(run, 1).await;
    let holder = world.schedule("touch", json!(2)).unique_key("k").after(secs(86_400)).send().await.unwrap();
    world.scheduler.cancel(gate).await.unwrap();
    let waiting = world.until(run, |run| run.status == Status::Backoff).await;
    assert_eq!(waiting.reason.as_deref(), Some("write-conflict"), "{:?}", waiting.message);
    assert_eq!(world.children(run).await, [], "all of its writes or none");

    world.scheduler.delete(holder).await.unwrap();
    assert_eq!(world.drive(run).await.status, Status::Succeeded);
    assert_eq!(
        (world.history(run).await.as_slice(), world.children(run).await.len()),
        (["write-conflict", "succeeded"].map(String::from).as_slice(), 2)
    );
}

#[tokio::test]
async fn chains_and_bombs_end_by_themselves() {
    let world = World::with(&["hostile", "behaviours"]).await;
    let first = world.schedule("self-now", Value::Null).max_attempts(1).send().await.unwrap();
    let mut run = world.wait(first).await;
    let mut hops = 0;
    while run.status == Status::Succeeded {
        let next = world.children(run.id).await;
        assert_eq!((next.len(), next[0].root), (1, Some(first)));
        run = world.drive(next[0].id).await;
        hops += 1;
    }
    assert_eq!((run.status, hops), (Status::Failed, DEPTH_MAX));
    assert_eq!(run.message.as_deref(), Some("limit `depth`: 65 asked for, 64 allowed"));

    // A fork bomb grows only as far as its chain may, and that is far: here the chain is nearly there.
    let bombs = json!({ "runs": [{ "task": "touch", "after": "1d" }, { "task": "fork-bomb", "after": "1h" }] });
    let root = world.run("schedule", bombs).await.id;
    let bomb = world.children(root).await[1].id;
    let own = rusqlite::Connection::open(world.database()).unwrap();
    own.busy_timeout(secs(10)).unwrap();
    let near = LIVE_PER_ROOT_MAX as i64 - 1;
    assert_eq!(own.execute("UPDATE runlater_chains SET live = ?1 WHERE live = 2", [near]).unwrap(), 1);
    world.advance(secs(3600));
    let ended = world.wait(bomb).await;
    assert_eq!((ended.status, ended.reason.as_deref()), (Status::Failed, Some("quota-exceeded")), "{:?}", ended.message);
    assert!(ended.message.unwrap().contains("100000 unfinished runs"));
    assert_eq!((ended.attempts, world.children(bomb).await.len()), (1, 0), "both or none, and no second try");

    let run = world.run("many-children", Value::Null).await;
    let asked = WRITES_PER_ATTEMPT_MAX + 1;
    assert!(run.message.as_deref().unwrap().contains(&format!("{asked} asked for, {WRITES_PER_ATTEMPT_MAX} allowed")), "{:?}", run.message);
    assert_eq!((run.status, world.children(run.id).await.len()), (Status::Failed, 0));
}

#[tokio::test]
async fn guests_are_told_that_their_namespace_is_full() {
    let world = World::built(&["behaviours"], |builder| builder.live_runs(3)).await;
    let touch = json!({ "task": "touch", "after": "1d" });
    let later = json!({ "task": "schedule", "after": "1h", "input": { "runs": [touch] } });
    let root = world.run("schedule", json!({ "runs": [later, touch, touch, touch] })).await;
    let error = world.schedule("touch", Value::Null).send().await.unwrap_err().to_string();
    assert!(error.contains("3 runs wait in this namespace, which is the limit"), "{error}");
    // What was scheduled before has its turn, and is told the same.
    world.advance(secs(3600));
    let children = world.children(root.id).await;
    assert_eq!(world.drive(children[0].id).await.message.as_deref(), Some("limit `live-per-namespace`: 4 asked for, 3 allowed"));
    for touch in &children[1..3] {
        world.scheduler.delete(touch.id).await.unwrap();
    }
    // The run itself may still be counted while it runs: its claim is written when there is something to write.
    assert_eq!(world.run("schedule", json!({ "runs": [touch] })).await.status, Status::Succeeded);
}

#[tokio::test]
async fn guests_create_at_a_rate_and_their_host_as_it_likes() {
    let rate = RateLimit::parse("3/s", "rate").ok();
    let world = World::built(&["behaviours"], |builder| builder.guest_creates(rate)).await;
    let three = json!({ "runs": vec![json!({ "task": "touch", "after": "1d" }); 3] });
    let keyed = json!({ "runs": [{ "task": "touch", "after": "1d", "unique_key": "once" }] });
    let parents = [world.run("schedule", three.clone()).await, world.run("schedule", keyed.clone()).await];
    assert_eq!(parents.iter().map(|run| run.status).collect::<Vec<_>>(), [Status::Succeeded, Status::Failed]);
    assert_eq!(parents[1].message.as_deref(), Some("limit `guest-creates`: 4 asked for, 3 allowed"));
    // The runs that start guests, and what their host schedules, were not counted.
    for _ in 0..5 {
        world.schedule("touch", Value::Null).after(secs(86_400)).send().await.unwrap();
    }
    world.advance(secs(1));
    assert_eq!(world.run("schedule", keyed.clone()).await.status, Status::Succeeded);
    assert_eq!(
        world.run("schedule", json!({ "runs": vec![json!({ "task": "touch", "after": "1d" }); 2] })).await.status,
        Status::Succeeded
    );
    // What creates nothing is not counted: the key's run is there already.
    assert_eq!(world.run("schedule", keyed).await.status, Status::Succeeded);
    assert_eq!(world.run("schedule", three).await.status, Status::Failed);
}

#[tokio::test]
async fn a_reminder_plans_moves_and_ends_its_whole_chain() {
    let world = World::with(&["reminder"]).await;
    let first = world.schedule("reminder", json!({ "message": "Tea", "times": 3, "every": "1m" })).send().await.unwrap();
    let chain = first.to_string();
    let (mut run, mut said) = (first, Vec::new());
    loop {
        said.push(output(&world.wait(run).await));
        let left: Vec<_> = world.marked("chain", &chain).await.into_iter().filter(|run| run.status == Status::Scheduled).collect();
        let due: Vec<_> = left.iter().map(|run| (run.metadata.get("role").unwrap(), run.trigger_at.since(world.now()))).collect();
        let Some(next) = left.iter().find(|run| run.metadata.get("role") == Some("next")) else {
            assert_eq!(due, [], "the last one takes the safety net down");
            break;
        };
        assert_eq!(due.iter().find(|(role, _)| *role == "next").unwrap().1, secs(60));
        assert_eq!(due.iter().find(|(role, _)| *role == "safety").unwrap().1, secs(600));
        assert_eq!((due.len(), next.root, next.parent), (2, Some(first), Some(run)));
        run = next.id;
        world.advance(secs(60));
    }
    assert_eq!(said, [json!("2 to come"), json!("1 to come"), json!("the last one")]);
    assert_eq!(world.list(RunFilter::default()).await.len(), 3, "no run beside the three reminders");
    assert_eq!(String::from_utf8_lossy(&world.attempts(run).await[0].log), "Reminder: Tea\n");
}
