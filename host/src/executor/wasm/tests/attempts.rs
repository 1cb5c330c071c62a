//! Attempts that go as their authors meant, and how the host ends those that it must.

use std::time::Instant;

use crate::clock::ManualClock;

use super::*;

const DELETE: &str = r#"(import "runlater:scheduler/runs@0.1.0" "delete" (func $delete (param i32 i32 i32)))"#;
const DELETE_ONE: &str = "(call $delete (i32.const 1040) (i32.const 36) (i32.const 2048))";
const LOOP: &str = "(loop $again (br $again))";

#[tokio::test]
async fn what_a_guest_returns_is_the_outcome() {
    let host = Host::new();
    let text = "(i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 6))";
    for (body, expected) in [
        (String::new(), "done None"),
        (
            // done(some("a/b", the bytes "remind"))
            "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 3072)) (i32.store (i32.const 24) (i32.const 3))
             (i32.store (i32.const 28) (i32.const 1024)) (i32.store (i32.const 32) (i32.const 6))
             (i32.store (i32.const 3072) (i32.const 0x00622f61))"
                .to_owned(),
            "done Some(\"remind\")",
        ),
        ("(i32.store8 (i32.const 8) (i32.const 1)) (i64.store (i32.const 16) (i64.const 5000000000))".to_owned(), "Snooze(5s)"),
        (format!("(i32.store8 (i32.const 0) (i32.const 1)) {text}"), "failed: remind"),
        (format!("(i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 8) (i32.const 1)) {text}"), "rejected: remind"),
    ] {
        assert_eq!(words(&host.run(handle(&body)).await), expected);
    }
}

#[tokio::test]
async fn a_guest_is_given_its_input_and_task() {
    let host = Host::new();
    // Returns the name of its task as the output's media type, and its input as the output.
    let echo = "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (local.get 2)) (i32.store (i32.const 24) (local.get 3))
                (i32.store (i32.const 28) (local.get 4)) (i32.store (i32.const 32) (local.get 5))
                (if (i32.ne (local.get 1) (i32.const 6)) (then unreachable))";
    let request = host.request(handle(echo));
    let input = Payload::json(b"{\"id\": [1, 2]}", "input").unwrap();
    let report = host.executor.execute(AttemptRequest { input: input.clone(), ..request }).await;
    assert_eq!(report.outcome, Outcome::Done(Some(input)));
}

#[tokio::test]
async fn writes_are_those_of_success() {
    let host = Host::new();
    fn guest(handle: &str) -> Guest<'_> {
        Guest { imports: DELETE, handle, ..SOUND }
    }
    let count = |report: &AttemptReport| report.writes.iter().count();
    assert_eq!(count(&host.run(guest(DELETE_ONE)).await), 1);
    let report = host.run(guest(&format!("{DELETE_ONE} unreachable"))).await;
    assert_eq!(count(&report), 0, "{}", words(&report));
    let report = host.run(guest(&format!("{DELETE_ONE} (i32.store8 (i32.const 0) (i32.const 1))"))).await;
    assert_eq!((count(&report), words(&report).as_str()), (0, "failed: "));
}

#[tokio::test]
async fn the_log_is_kept_and_cut() {
    let host = Host::new();
    let log = r#"(import "runlater:scheduler/context@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
    let report =
        host.run(Guest { imports: log, handle: "(call $log (i32.const 2) (i32.const 1024) (i32.const 6)) unreachable", ..SOUND }).await;
    assert_eq!(String::from_utf8_lossy(&report.log), "warn: remind\n", "kept though the attempt failed");
    let flood = "(local $i i32) (loop $again
        (call $log (i32.const 0) (i32.const 8192) (i32.const 8192))
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))";
    let report = host.run(Guest { imports: log, handle: flood, ..SOUND }).await;
    assert_eq!(words(&report), "done None");
    assert!(report.log.ends_with("\n…truncated\n".as_bytes()) && report.log.len() < (256 << 10) + 32);
}

#[tokio::test]
async fn a_computing_guest_is_timed_out_and_lets_others_run() {
    let host = Host::new();
    let spinning = AttemptRequest { timeout: Duration::from_millis(300), ..host.request(handle(LOOP)) };
    let started = Instant::now();
    let (spun, healthy) = tokio::join!(host.executor.execute(spinning), async {
        let mut done = 0;
        while started.elapsed() < Duration::from_millis(200) {
            assert_eq!(words(&host.run(SOUND).await), "done None");
            done += 1;
        }
        done
    });
    assert_eq!(words(&spun).lines().next().unwrap(), "timeout: took longer than its timeout of 300ms");
    assert!(started.elapsed() < Duration::from_millis(300 + 250), "{:?}", started.elapsed());
    assert!(healthy > 2, "{healthy} attempts beside it on one thread");
}

#[tokio::test]
async fn a_waiting_guest_is_timed_out() {
    let host = Host::new();
    let imports = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
                     (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
    let sleep = |nanos: u64| format!("(call $block (call $after (i64.const {nanos})))");
    let report = host.run(Guest { imports, handle: &sleep(20_000_000), ..SOUND }).await;
    assert_eq!(words(&report), "done None");
    let started = Instant::now();
    let request = host.request(Guest { imports, handle: &sleep(3_600_000_000_000), ..SOUND });
    let report = host.executor.execute(AttemptRequest { timeout: Duration::from_millis(100), ..request }).await;
    assert!(words(&report).starts_with("timeout"), "{}", words(&report));
    assert!(started.elapsed() < Duration::from_millis(100 + 250), "{:?}", started.elapsed());
}

/// Executes an endless guest on a clock that stands still, and `meanwhile` beside it.
async fn endless<F: Future<Output = ()>>(meanwhile: impl FnOnce(ManualClock, CancelSignal, CancelSignal) -> F) -> Outcome {
    let clock = ManualClock::new(Timestamp::MIN);
    let host = Host::with(WasmConfig::default(), Arc::new(clock.clone()));
    let request = host.request(handle(LOOP));
    let (cancel, shut_down) = (request.cancel.clone(), request.shut_down.clone());
    let (report, ()) = tokio::join!(host.executor.execute(request), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        meanwhile(clock, cancel, shut_down).await;
    });
    assert!(report.writes.is_empty());
    report.outcome
}

#[tokio::test]
async fn time_is_the_clocks() {
    let outcome = endless(|clock, _, _| async move { clock.advance(Duration::from_secs(30)) }).await;
    assert!(matches!(outcome, Outcome::Failed { reason: FailureReason::Timeout, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_cancelled_attempt_has_a_grace() {
    let outcome = endless(|clock, cancel, _| async move {
        cancel.set();
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            clock.advance(Duration::from_secs(1));
        }
    });
    assert_eq!(outcome.await, Outcome::Cancelled);
}

#[tokio::test]
async fn a_shutdown_ends_attempts_at_once() {
    let outcome = endless(|_, _, shut_down| async move { shut_down.set() });
    assert_eq!(outcome.await, Outcome::ShutDown);
}

#[tokio::test]
async fn a_guest_that_returns_within_the_grace_is_done() {
    let host = Host::new();
    let request = host.request(SOUND);
    request.cancel.set();
    // In memory already, so that it is not the loading that is cancelled.
    host.executor.components.load(request.task.digest).await.map(drop).unwrap();
    assert_eq!(host.executor.execute(request).await.outcome, Outcome::Done(None));
}

#[tokio::test]
async fn more_attempts_than_the_pool_has_wait_for_their_turn() {
    let host = Host::new();
    let digest = host.components.add(&SOUND.build());
    let all = futures_util::future::join_all((0..50).map(|_| host.executor.execute(request(digest)))).await;
    assert!(all.iter().all(|report| report.outcome == Outcome::Done(None)));
    assert_eq!(host.components.loads.load(std::sync::atomic::Ordering::SeqCst), 1, "compiled once");
}
