//! Compiled code outlives the process that made it, and nobody else can put code in its place.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::*;

fn config(dir: &std::path::Path) -> WasmConfig {
    WasmConfig { cache_dir: Some(dir.join("code")), cache_key: [9; 32], ..WasmConfig::default() }
}

fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir.join("code")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Executes the component in a host that has just started, and says how often it was compiled.
async fn compiles(config: WasmConfig, wasm: &Arc<[u8]>) -> usize {
    let host = Host::with(config, Arc::new(SystemClock::new()));
    let digest = host.components.add(wasm);
    assert_eq!(host.executor.execute(request(digest)).await.outcome, Outcome::Done(None));
    host.components.loads.load(Ordering::SeqCst)
}

#[tokio::test]
async fn code_is_kept_between_starts_unless_it_was_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = SOUND.build();
    assert_eq!(compiles(config(dir.path()), &wasm).await, 1);
    assert_eq!(compiles(config(dir.path()), &wasm).await, 0, "from disk");
    let [file] = &files(dir.path())[..] else { panic!("one file") };
    let good = std::fs::read(file).unwrap();
    for at in [0, 31, 32, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(file, bad).unwrap();
        assert_eq!(compiles(config(dir.path()), &wasm).await, 1, "byte {at} was changed");
        assert_eq!(compiles(config(dir.path()), &wasm).await, 0, "and mended");
    }
    assert_eq!(compiles(WasmConfig { cache_key: [1; 32], ..config(dir.path()) }, &wasm).await, 1, "another key");
}

#[tokio::test]
async fn a_component_is_what_its_digest_says() {
    let host = Host::new();
    let missing = Digest::of(b"nothing");
    let seen = words(&host.executor.execute(request(missing)).await);
    assert_eq!(seen, format!("instantiation: component: no component {missing}"));
    host.components.all.lock().unwrap().insert(missing, SOUND.build());
    let seen = words(&host.executor.execute(request(missing)).await);
    assert!(seen.contains("the stored bytes are not those of"), "{seen}");
}

#[tokio::test]
async fn components_unused_for_longest_leave_memory() {
    let host = Host::with(WasmConfig { code_bytes_max: 1, ..WasmConfig::default() }, Arc::new(SystemClock::new()));
    for body in ["nop", "nop nop", "nop", "nop nop"] {
        assert_eq!(words(&host.run(handle(body)).await), "done None");
    }
    assert_eq!(host.components.loads.load(Ordering::SeqCst), 4, "one at a time fits");
}

#[tokio::test]
async fn who_goes_away_while_a_component_is_compiled_keeps_the_turn() {
    let dir = tempfile::tempdir().unwrap();
    let begun = dir.path().join("begun");
    // A compiler that does not come to an end with a bomb while the folder is there, and makes nothing of anything else.
    let script = format!(
        "grep -aq bomb || exit 1; cat >/dev/null; : >{}; while [ -e {} ]; do sleep 0.05; done; exit 1",
        begun.display(),
        dir.path().display()
    );
    let compiler = Compiler::ChildProcess { program: "/bin/sh".into(), args: vec!["-c".into(), script] };
    let host = Host::with(WasmConfig { compiler, ..WasmConfig::default() }, Arc::new(SystemClock::new()));
    let component = |number: usize| Guest { more: &format!("(data (i32.const 8192) \"bomb {number}\")"), ..SOUND }.build();
    let grants = Grants::none();
    let send = |number| Box::pin(host.executor.inspect(NamespaceId(1), component(number), &grants));
    let mut first = send(0);
    while !begun.exists() {
        assert!(first.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(first);
    // What is registered does not wait until that is through.
    assert!(words(&host.run(SOUND).await).starts_with("instantiation: component: compiling it takes more"));
    let mut waiting: Vec<_> = (1..=uploads::WAITING_MAX).map(send).collect();
    assert!(waiting.iter_mut().all(|sent| sent.as_mut().now_or_never().is_none()));
    let refused = send(uploads::WAITING_MAX + 1).await.unwrap_err();
    assert_eq!(refused.code, "compiler-busy");
    assert!(refused.reason.contains("4 components") && refused.reason.contains("try again"), "{refused}");
}
