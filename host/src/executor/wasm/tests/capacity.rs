//! What attempts do while the host has no room for them: they wait, and nobody's attempt fails.

use tokio::task::JoinSet;

use super::*;

/// Waits until it is stopped.
const SLEEP: &str = "(call $block (call $after (i64.const 3600000000000)))";
const TIMERS: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
                        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
const MIB: u64 = 1 << 20;

/// A guest of this many tables beside its memory.
fn tables(count: usize, handle: &str) -> Arc<[u8]> {
    Guest { imports: TIMERS, handle, more: &"(table 1 funcref)".repeat(count), ..SOUND }.build()
}

/// A run of the namespace.
fn of(namespace: i64, number: i64, digest: Digest) -> AttemptRequest {
    let attempt = request(digest);
    let mut task = (*attempt.task).clone();
    task.namespace = NamespaceId(namespace);
    AttemptRequest { task: Arc::new(task), run: RunId::from_key(number, 0), timeout: Duration::from_secs(3_600), ..attempt }
}

/// Executes it on a task of its own. It ends when it is shut down, if not before.
fn spawn(host: &Arc<Host>, request: AttemptRequest) -> (CancelSignal, JoinSet<AttemptReport>) {
    let (host, shut_down) = (host.clone(), request.shut_down.clone());
    let mut attempt = JoinSet::new();
    attempt.spawn(async move { host.executor.execute(request).await });
    (shut_down, attempt)
}

/// What came of the one that was spawned.
async fn end_of<T: 'static>(mut spawned: JoinSet<T>) -> T {
    spawned.join_next().await.expect("it was spawned").unwrap()
}

async fn until_waiting(host: &Host, count: usize) {
    let wait = async {
        while host.executor.waiting_for_memory() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("as many wait");
}

/// Waits until an attempt holds memory.
async fn until_held(host: &Host) {
    let wait = async {
        while host.executor.host.capacity.held().memories == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it starts");
}

#[tokio::test]
async fn sleepers_that_fill_the_pool_make_others_of_their_namespace_wait_and_fail_nobody() {
    let host = Arc::new(Host::new());
    // The pool has 64 tables, of which a quarter is left to first attempts of further namespaces. Besides those here, a component has one of its adapter.
    let (sleeper, quick) = (host.components.add(&tables(34, SLEEP)), host.components.add(&tables(34, "")));
    let small = host.components.add(&tables(8, ""));
    let (end, first) = spawn(&host, of(1, 1, sleeper));
    until_held(&host).await;
    let (_, second) = spawn(&host, of(1, 2, quick));
    until_waiting(&host, 1).await;
    assert_eq!(host.executor.awaited_memory(NamespaceId(1), RunId::from_key(2, 0)), Some(4 * MIB + 35 * 8));
    for number in 3..20 {
        assert_eq!(words(&host.executor.execute(of(2, number, small)).await), "done None");
    }
    assert_eq!(host.executor.waiting_for_memory(), 1);
    end.set();
    assert_eq!(end_of(first).await.outcome, Outcome::ShutDown);
    assert_eq!(words(&end_of(second).await), "done None");

    // More at once than there are tables for: some wait, all are done.
    let all = futures_util::future::join_all((20..60).map(|number| host.executor.execute(of(number % 3, number, quick)))).await;
    assert!(all.iter().all(|report| report.outcome == Outcome::Done(None)));
}

#[tokio::test]
async fn a_guest_whose_growth_finds_no_memory_is_given_back_and_fits_the_next_time() {
    let host = Arc::new(Host::with(WasmConfig { guest_memory: 128 * MIB, ..WasmConfig::default() }, Arc::new(SystemClock::new())));
    // 64 pages are 4 MiB; 1,600 more are 104 in all.
    let grows = "(if (i32.eq (memory.grow (i32.const 1600)) (i32.const -1)) (then unreachable))";
    let grower = host.components.add(&handle(grows).build());
    let (end, sleeper) = spawn(&host, of(1, 1, host.components.add(&tables(0, SLEEP))));
    until_held(&host).await;
    // 124 of 128 MiB are free, and half of all is reserved for other namespaces.
    assert_eq!(host.executor.execute(of(1, 2, grower)).await.outcome, Outcome::NoRoom);
    let (_, again) = spawn(&host, of(1, 2, grower));
    until_waiting(&host, 1).await;
    assert_eq!(host.executor.awaited_memory(NamespaceId(1), RunId::from_key(2, 0)), Some(104 * MIB + 8));
    assert_eq!(
        words(&host.executor.execute(of(2, 3, host.components.add(&SOUND.build()))).await),
        "done None",
        "a namespace with nothing starts"
    );
    end.set();
    assert_eq!(end_of(sleeper).await.outcome, Outcome::ShutDown);
    assert_eq!(words(&end_of(again).await), "done None");
}

fn asked_by_another(wasm: Arc<[u8]>) -> Inspection {
    Inspection { namespace: NamespaceId(2), wasm, grants: Grants::none(), deployed: false }
}

#[tokio::test]
async fn a_component_is_asked_for_its_tasks_when_there_is_memory_or_refused_for_the_moment() {
    let clock = crate::clock::ManualClock::new(Timestamp::MIN);
    let host = Arc::new(Host::with(WasmConfig { guest_memory: 128 * MIB, ..WasmConfig::default() }, Arc::new(clock.clone())));
    // 1,900 pages are 118.75 MiB.
    let large = Guest { imports: TIMERS, handle: SLEEP, more: "(memory 1836)", ..SOUND }.build();
    let (end, sleeper) = spawn(&host, of(1, 1, host.components.add(&large)));
    until_held(&host).await;
    let inspect = {
        let (host, large) = (host.clone(), large.clone());
        let mut inspect = JoinSet::new();
        inspect.spawn(async move { host.executor.inspect(asked_by_another(large)).await });
        inspect
    };
    until_waiting(&host, 1).await;
    clock.advance(Duration::from_secs(10));
    let refused = end_of(inspect).await.unwrap_err();
    assert!(refused.code == "compiler-busy" && refused.reason.starts_with("the host has no memory free"), "{refused}");
    end.set();
    end_of(sleeper).await;
    assert_eq!(host.executor.inspect(asked_by_another(large)).await.unwrap().len(), 1);
}
