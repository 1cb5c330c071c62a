//! What may be registered, what it is granted, and how a new version takes over.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use runlater::model::{Digest, Grant, Origin};
use runlater::storage::ChangeError;
use runlater::{Error, RunFilter, Scheduler, Status, Timestamp};
use serde_json::{Value, json};

use super::world::{World, guarded, output, secs};
use crate::guests;

const TIMEOUT: Duration = secs(77);

/// The code and the words of a refusal.
async fn refusal(scheduler: &Scheduler, wasm: Arc<[u8]>) -> (&'static str, String) {
    match scheduler.register(wasm).send().await {
        Err(Error::Invalid(invalid)) => (invalid.code, invalid.to_string()),
        other => panic!("should be refused as invalid: {other:?}"),
    }
}

/// The same component with other bytes: a custom section is added, which means nothing.
fn another_version(wasm: &[u8]) -> Arc<[u8]> {
    [wasm, b"\0\x02\x01v"].concat().into()
}

#[tokio::test]
async fn what_is_not_granted_is_refused_with_the_flag_that_grants_it() {
    let world = World::with(&[]).await;
    for (guest, import, flag) in [
        ("behaviours", "imports runlater:scheduler/runs@0.1.0", "FILE --grant runs`"),
        ("crontab", "imports runlater:scheduler/crons@0.1.0", "FILE --grant crons`"),
    ] {
        let (code, words) = refusal(&world.scheduler, guests::component(guest)).await;
        assert_eq!(code, "import-not-granted", "{guest}: {words}");
        assert!(words.contains(import) && words.contains(flag), "{guest}: {words}");
    }
    assert_eq!(world.scheduler.tasks(), [], "nothing of what was refused is there");
}

#[tokio::test]
async fn a_granted_address_is_the_only_one_that_is_connected_to() {
    let world = World::with(&[]).await;
    let (granted, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, other_address) = (granted.local_addr().unwrap(), other.local_addr().unwrap());
    world.scheduler.register(guests::component("sockets")).grant(Grant::Tcp(address)).send().await.unwrap();

    let server = std::thread::spawn(move || {
        let (mut stream, _) = granted.accept().unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"pong").unwrap();
        asked
    });
    let run = world.run("connect", json!({ "address": address.to_string(), "send": "ping" })).await;
    assert_eq!((run.status, output(&run)), (Status::Succeeded, json!({ "received": "pong" })), "{:?}", run.message);
    assert_eq!(&server.join().unwrap(), b"ping");

    let run = world.run("connect", json!({ "address": other_address.to_string() })).await;
    assert_eq!((run.status, run.reason.as_deref()), (Status::Failed, Some("failed")), "{:?}", run.message);
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
}

#[tokio::test]
async fn open_sockets_are_bounded_for_the_attempt_and_for_the_host() {
    for (of_the_host, expected) in [(256, 16), (3, 3)] {
        let world = World::built(&[], |builder| builder.guest_sockets(of_the_host)).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        world.scheduler.register(guests::component("sockets")).grant(Grant::Tcp(address)).send().await.unwrap();
        // The second one finds that the first left none open.
        for _ in 0..2 {
            let run = world.run("many", json!({ "address": address.to_string(), "count": 20 })).await;
            assert_eq!(run.status, Status::Succeeded, "{:?}", run.message);
            let opened = output(&run);
            assert_eq!((&opened["opened"], &opened["again"]), (&json!(expected), &json!(true)), "{opened}");
            assert!(opened["refused"].is_string(), "the guest goes on, and knows why: {opened}");
        }
    }
}

#[tokio::test]
async fn a_listener_of_the_host_is_reached_by_no_grant() {
    let world = World::with(&[]).await;
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = own.local_addr().unwrap();
    // Granted before the host listened there.
    let mapped = format!("[::ffff:127.0.0.1]:{}", address.port()).parse().unwrap();
    let grants = [Grant::Tcp(address), Grant::Tcp(mapped)];
    world.scheduler.register(guests::component("sockets")).grants(grants.clone()).send().await.unwrap();
    world.scheduler.guard_listener(address);
    for target in [address, mapped] {
        let run = world.run("connect", json!({ "address": target.to_string() })).await;
        assert_eq!((run.status, run.reason.as_deref()), (Status::Failed, Some("failed")), "{target}: {:?}", run.message);
    }
    own.set_nonblocking(true).unwrap();
    assert_eq!(own.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
    let (code, said) = match world.scheduler.register(guests::component("sockets")).grants(grants).send().await {
        Err(runlater::Error::Invalid(invalid)) => (invalid.code, invalid.reason),
        other => panic!("{other:?}"),
    };
    assert!(code == "grant-not-allowed" && said.contains("the host itself"), "{said}");
}

#[tokio::test]
async fn without_a_grant_sockets_are_there_and_denied() {
    let world = World::with(&["sockets"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for address in [address.to_string(), format!("localhost:{}", address.port())] {
        let run = world.run("connect", json!({ "address": address })).await;
        assert_eq!((run.status, run.reason.as_deref()), (Status::Failed, Some("failed")), "{:?}", run.message);
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
}

#[tokio::test]
async fn a_granted_name_is_looked_up_and_connected_to_on_its_port() {
    let world = World::with(&[]).await;
    let (granted, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (port, other_port) = (granted.local_addr().unwrap().port(), other.local_addr().unwrap().port());
    let grant = Grant::parse(&format!("tcp=localhost:{port}")).unwrap();
    world.scheduler.register(guests::component("sockets")).grant(grant).send().await.unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = granted.accept().unwrap();
        stream.write_all(b"pong").unwrap();
    });
    let run = world.run("connect", json!({ "address": format!("LOCALHOST:{port}") })).await;
    assert_eq!((run.status, output(&run)), (Status::Succeeded, json!({ "received": "pong" })), "{:?}", run.message);
    server.join().unwrap();
    // Another port of it, an address that it resolves to but that was not looked up in this attempt, a name below it, and any other name.
    for address in
        [format!("localhost:{other_port}"), format!("127.0.0.1:{port}"), format!("x.localhost:{port}"), format!("example.com:{port}")]
    {
        let run = world.run("connect", json!({ "address": address })).await;
        assert_eq!((run.status, run.reason.as_deref()), (Status::Failed, Some("failed")), "{address}: {:?}", run.message);
    }
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
}

#[tokio::test]
async fn what_is_no_component_is_refused_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    // The machine's clock: a `describe` that was changed into a loop ends by its timeout.
    let scheduler = Scheduler::builder().sqlite(folder.path().join("runs.db")).threads(1).build().await.unwrap();
    let hello = guests::component("hello");
    for (case, wasm, words) in [
        ("empty", &b""[..], "--target wasm32-wasip2"),
        ("text", b"#!/bin/sh\necho hello\n", "not a WebAssembly file"),
        ("a core module", b"\0asm\x01\0\0\0", "core module"),
        ("only the magic", &hello[..8], "does not export runlater:scheduler/task@0.1.0"),
        ("cut in the middle", &hello[..hello.len() / 2], "at byte "),
        ("without its end", &hello[..hello.len() - 1], "at byte "),
    ] {
        let (_, said) = refusal(&scheduler, wasm.into()).await;
        assert!(said.contains(words), "{case}: {said}");
    }

    const FLIPS: usize = 200;
    let mut refused = 0;
    for flip in 0..FLIPS {
        let mut wasm = hello.to_vec();
        let place = flip * (wasm.len() - 1) / (FLIPS - 1);
        wasm[place] ^= 1 << (flip % 8);
        match guarded("a changed component", scheduler.register(wasm).send()).await {
            // A changed text or number is another component, and a sound one.
            Ok(registered) => assert!(!registered.tasks.is_empty()),
            Err(Error::Invalid(invalid)) => {
                refused += 1;
                assert!(!invalid.to_string().contains("panic"), "bit {} of byte {place}: {invalid}", flip % 8);
            }
            Err(other) => panic!("bit {} of byte {place}: {other}", flip % 8),
        }
    }
    assert!(refused > FLIPS / 10, "{refused} of {FLIPS} were refused");
    guarded("shutdown", scheduler.shutdown(Duration::ZERO)).await.unwrap();
}

#[tokio::test]
async fn a_new_version_is_for_attempts_that_start_later() {
    let world = World::with(&["behaviours"]).await;
    let old = guests::component("behaviours");
    let new = another_version(&old);
    let run = world.schedule("sleep", json!({ "ms": 3_600_000 })).timeout(TIMEOUT).max_attempts(2).send().await.unwrap();
    let waiting = world.schedule("touch", Value::Null).after(secs(3600)).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, 1).await;

    let registered = world.scheduler.register(new.clone()).grant(Grant::Runs).send().await.unwrap();
    assert_eq!(registered.digest, Digest::of(&new));
    assert_eq!(world.status(run).await, Status::Running);
    world.advance(TIMEOUT);
    let due = world.until(run, |run| run.status == Status::Backoff).await.due_at.unwrap();
    world.advance_to(due);
    world.clock.sleeping(TIMEOUT, 2).await;
    world.advance(TIMEOUT);
    assert_eq!(world.wait(run).await.status, Status::Failed);
    let digests: Vec<_> = world.attempts(run).await.into_iter().map(|attempt| attempt.digest).collect();
    assert_eq!(digests, [Some(Digest::of(&old)), Some(Digest::of(&new))]);

    world.advance(secs(3600));
    assert_eq!(world.wait(waiting).await.status, Status::Succeeded);
    assert_eq!(world.attempts(waiting).await[0].digest, Some(Digest::of(&new)), "runs that wait go to the new one");
}

#[tokio::test]
async fn a_schedule_in_code_is_kept_by_the_code() {
    let world = World::with(&["maintenance"]).await;
    let defined = || world.list(RunFilter { origins: vec![Origin::Code], ..RunFilter::default() });
    let at = Timestamp::parse("2030-01-01T03:00:00Z", "at").unwrap();
    let [run] = defined().await.try_into().unwrap();
    assert_eq!((run.task.as_str(), run.trigger_at, run.status), ("maintenance", at, Status::Scheduled));

    let refused = |result: Result<(), Error>| matches!(result, Err(Error::Change(ChangeError::DefinedByCode(id))) if id == run.id);
    assert!(refused(world.scheduler.reschedule(run.id, world.then(secs(60))).await));
    assert!(refused(world.scheduler.delete(run.id).await));

    let newer = another_version(&guests::component("maintenance"));
    world.scheduler.register(newer).grant(Grant::Runs).send().await.unwrap();
    assert_eq!(defined().await.len(), 1, "the same schedule in a new version is the same run");

    world.advance_to(at);
    let [run] = defined().await.try_into().unwrap();
    let ended = world.wait(run.id).await;
    assert_eq!((ended.status, output(&ended), ended.started_at), (Status::Succeeded, json!({ "cleaned": 100 }), Some(at)));
}
