//! Compiled code outlives the process that made it, and nobody else can put code in its place.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::compile_request::Answer;
use super::*;

fn config(dir: &std::path::Path) -> WasmConfig {
    WasmConfig { cache_dir: Some(dir.join("code")), cache_key: [9; 32], ..WasmConfig::default() }
}

fn upload(namespace: i64, wasm: Arc<[u8]>) -> Inspection {
    Inspection { namespace: NamespaceId(namespace), wasm, grants: Grants::none(), deployed: false }
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

/// A compiler that answers as a real one does, and counts what it compiled.
fn counting(dir: &std::path::Path, wasm: &[u8]) -> Compiler {
    let engine = engine::compiling(&crate::model::limits::Limits::default()).unwrap();
    let answers = [
        ("check", Answer::Outline(precheck::precheck(wasm, &crate::model::limits::Limits::default()).unwrap())),
        ("compile", Answer::Code(engine.precompile_component(wasm).unwrap())),
    ];
    for (name, answer) in answers {
        let mut bytes = Vec::new();
        answer.write(&component_cache::engine_hash(&engine), &mut bytes).unwrap();
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let script = format!(
        "work=$(head -c 5 | tail -c 1 | od -An -tu1 | tr -d ' '); cat >/dev/null; cd {}; \
         if [ $work = 1 ]; then echo >>compiled; cat compile; else cat check; fi",
        dir.display()
    );
    Compiler::ChildProcess { program: "/bin/sh".into(), args: vec!["-c".into(), script] }
}

#[tokio::test]
async fn code_of_another_namespace_saves_nobody_a_compilation() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = SOUND.build();
    let compiler = counting(dir.path(), &wasm);
    let compiled = || std::fs::read(dir.path().join("compiled")).map_or(0, |lines| lines.len());
    let new_host = || Host::with(WasmConfig { compiler: compiler.clone(), ..config(dir.path()) }, Arc::new(SystemClock::new()));
    let host = new_host();
    let deployed = |namespace| Inspection { deployed: true, ..upload(namespace, Arc::clone(&wasm)) };
    for (inspection, count, what) in [
        (upload(1, Arc::clone(&wasm)), 1, "it is new"),
        (upload(1, Arc::clone(&wasm)), 1, "its own, as after a dry run"),
        (upload(2, Arc::clone(&wasm)), 2, "in memory and on disk, for another namespace"),
        (upload(2, Arc::clone(&wasm)), 2, "its own by now"),
        (deployed(3), 2, "tasks of the namespace have it"),
    ] {
        host.executor.inspect(inspection).await.unwrap();
        assert_eq!(compiled(), count, "{what}");
    }
    let restarted = new_host();
    restarted.executor.inspect(deployed(1)).await.unwrap();
    assert_eq!((words(&restarted.run(SOUND).await).as_str(), compiled()), ("done None", 2), "from disk");
    restarted.executor.inspect(upload(1, Arc::clone(&wasm))).await.unwrap();
    assert_eq!(compiled(), 3, "no longer deployed, and who sent it was forgotten");
}

#[tokio::test]
async fn what_is_only_looked_at_displaces_nothing_that_attempts_use() {
    let host = Host::new();
    assert_eq!(words(&host.run(SOUND).await), "done None");
    let code_bytes_max = host.executor.components.code_bytes();
    let host = Host::with(WasmConfig { code_bytes_max, ..WasmConfig::default() }, Arc::new(SystemClock::new()));
    assert_eq!(words(&host.run(SOUND).await), "done None");
    for body in ["nop", "nop nop", "nop nop"] {
        host.executor.inspect(upload(1, handle(body).build())).await.unwrap();
    }
    assert_eq!(words(&host.run(SOUND).await), "done None");
    assert_eq!(host.components.loads.load(Ordering::SeqCst), 1, "it stayed in memory");
}

#[tokio::test]
async fn a_host_that_stops_waits_for_no_compiler() {
    let compiler = Compiler::ChildProcess { program: "/bin/sleep".into(), args: vec!["100".into()] };
    let host = Host::with(WasmConfig { compiler, ..WasmConfig::default() }, Arc::new(SystemClock::new()));
    let mut working = Box::pin(host.executor.inspect(upload(1, SOUND.build())));
    assert!(working.as_mut().now_or_never().is_none());
    host.executor.stop_inspecting();
    assert_eq!(working.await.unwrap_err().code, "shutting-down");
    assert_eq!(host.executor.inspect(upload(2, SOUND.build())).await.unwrap_err().code, "shutting-down");
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
    let send = |number| Box::pin(host.executor.inspect(upload(1, component(number))));
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
