//! Guests that take more than they may, or end badly: each is stopped with a reason that says so, and nobody else notices.

use std::time::Duration;

use runlater::model::Progress;
use runlater::model::limits::Limits;
use runlater::{Run, RunId, Status};
use serde_json::{Value, json};

use super::world::{World, output, secs};

const TIMEOUT: Duration = secs(77);

/// A task of the guest `hostile`, the reason that its run fails with, and what the message says.
const ENDS: [(&str, &str, &[&str]); 11] = [
    ("recurse", "stack-overflow", &["stack of 524288 bytes"]),
    ("flood", "hostcall-quota", &["more than 100000 host calls"]),
    ("handles", "resource-quota", &["more than 10000 handles"]),
    ("huge-argument", "hostcall-too-large", &["more than 1048576 bytes", "one host call"]),
    ("aliased-list", "hostcall-too-large", &["more than 1048576 bytes", "one host call"]),
    ("endless-list", "trap", &["out of bounds of memory"]),
    ("huge-output", "output-too-large", &["1048576 bytes", "store the data elsewhere"]),
    ("random-1g", "trap", &["1073741824 exceeds limit 65536"]),
    ("trap", "trap", &["unreachable", "\n  at "]),
    ("panic", "trap", &["a panic with a message", "unreachable", "\n  at "]),
    ("exit", "exit", &["status 0", "instead of returning"]),
];

#[tokio::test]
async fn each_is_stopped_with_its_reason_beside_a_healthy_guest() {
    let world = World::with(&["hostile", "hello"]).await;
    let (mut hostile, mut healthy) = (Vec::new(), Vec::new());
    for (task, ..) in ENDS {
        hostile.push(world.schedule(task, Value::Null).max_attempts(1).send().await.unwrap());
        healthy.push(world.schedule("hello", json!({ "name": task })).send().await.unwrap());
    }
    for ((task, reason, words), (run, healthy)) in ENDS.into_iter().zip(hostile.into_iter().zip(healthy)) {
        let ended = world.wait(run).await;
        let message = ended.message.unwrap_or_default();
        assert_eq!((ended.status, ended.reason.as_deref()), (Status::Failed, Some(reason)), "{task}: {message}");
        for word in words {
            assert!(message.contains(word), "{task} should say {word:?}: {message}");
        }
        assert_eq!(output(&world.wait(healthy).await), json!({ "greeting": format!("Hello, {task}!") }));
    }
    let panic = world.run("panic", Value::Null).await;
    let log = world.attempts(panic.id).await.remove(0).log;
    assert!(String::from_utf8_lossy(&log).contains("a panic with a message"), "what it said is in its log");
}

#[tokio::test]
async fn memory_is_bounded_and_never_handed_on() {
    let world = World::with(&["hostile", "behaviours"]).await;
    let grow = world.schedule("grow", Value::Null).timeout(TIMEOUT).max_attempts(1).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, 1).await;
    world.quiet().await;
    world.advance(TIMEOUT);
    // It survives that memory is refused, so that it can only take time.
    assert_eq!(world.wait(grow).await.reason.as_deref(), Some("timeout"));

    let canaries = (0..200).map(|_| world.schedule("canary", Value::Null)).collect();
    for canary in world.scheduler.schedule_all(canaries).await.unwrap() {
        let seen = world.wait(canary.id).await;
        assert_eq!((seen.status, output(&seen)), (Status::Succeeded, json!(0)), "bytes of another attempt");
    }
}

#[tokio::test]
async fn logs_are_kept_as_they_were_written_up_to_their_limit() {
    let world = World::with(&["hostile", "behaviours"]).await;
    let log = async |run: Run| world.attempts(run.id).await.remove(0).log;

    let expected = [
        "a line on stdout\na line on stderr\n".as_bytes(),
        "\x1b[2J\x1b[31mred\x1b[0m\x07\x08\x00 and \u{202e}backwards\u{202c} <script>alert(1)</script>\n".as_bytes(),
        b"first\r2026-01-01T00:00:00Z error a line that no one wrote\nnot utf-8: \xff\xfe\xc0\nno newline at the end",
        "debug: debug\ninfo: info\nerror a line that no one wrote\nwarn: warn \x1b[31m\r\u{85}\u{2028}\nerror: error \0\n".as_bytes(),
    ];
    assert_eq!(log(world.run("log", Value::Null).await).await.escape_ascii().to_string(), expected.concat().escape_ascii().to_string());

    let run = world.run("huge-log", Value::Null).await;
    assert_eq!(run.status, Status::Succeeded, "too much output is no failure");
    let kept = log(run).await;
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    assert_eq!(kept.len(), Limits::default().log_bytes + "…truncated\n".len());
    assert!(kept.starts_with(&line) && kept.ends_with("x\n…truncated\n".as_bytes()));
}

#[tokio::test]
async fn an_attempt_is_told_everything_of_itself() {
    let world = World::with(&["behaviours"]).await;
    let run = world.schedule("context", Value::Null).after(secs(60)).metadata("a", "1").metadata("b", "ü").timeout(TIMEOUT);
    let run = run.send().await.unwrap();
    world.advance(secs(90));
    let ended = world.wait(run).await;
    assert_eq!(
        output(&ended),
        json!({
            "id": run.to_string(), "task": "context", "attempt": 1, "trigger_at": "2027-03-14T15:10:26Z", "now": "2027-03-14T15:10:56Z",
            "deadline": "2027-03-14T15:12:13Z", "metadata": [["a", "1"], ["b", "ü"]], "origin": "api", "parent": null, "is_cancelled": false,
        })
    );
    let parent = world.run("schedule", json!({ "runs": [{ "task": "context", "metadata": { "child": "yes" } }] })).await;
    let child = RunId::parse(output(&parent)[0].as_str().unwrap(), "child").unwrap();
    let said = output(&world.wait(child).await);
    assert_eq!((&said["origin"], &said["parent"]), (&json!("guest"), &json!(parent.id.to_string())));
    assert_eq!(said["metadata"], json!([["child", "yes"]]));
}

#[tokio::test]
async fn progress_is_seen_while_the_attempt_runs() {
    let world = World::with(&["behaviours"]).await;
    let input = json!({ "total": 3, "note": "part", "step_ms": 3_600_000 });
    let run = world.schedule("progress", input).timeout(TIMEOUT).send().await.unwrap();
    let seen = world.progressed(run, 1).await;
    assert_eq!((seen.status, seen.progress), (Status::Running, Some(Progress { done: 1, total: 3, note: "part 1".into() })));
    world.scheduler.cancel(run).await.unwrap();
    world.clock.sleeping(secs(5), 1).await;
    world.advance(secs(5));
    assert_eq!(world.wait(run).await.progress, None, "it is kept while the attempt is in flight");
}
