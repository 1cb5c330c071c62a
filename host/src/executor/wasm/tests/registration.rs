//! What a component is told when it is registered.

use super::*;
use crate::model::PolicySettings;

/// The tasks, or the refusal as `code field: reason`.
pub(super) async fn inspect(host: &Host, wasm: impl Into<Arc<[u8]>>, grants: &[&str]) -> Result<Vec<TaskDefinition>, String> {
    let grants = grants.iter().map(|grant| Grant::parse(grant).unwrap()).collect();
    let inspection = Inspection { namespace: NamespaceId(1), wasm: wasm.into(), grants, deployed: false };
    let inspected = host.executor.inspect(inspection).await;
    inspected.map_err(|invalid| format!("{} {invalid}", invalid.code))
}

async fn refusal(host: &Host, wasm: impl Into<Arc<[u8]>>) -> String {
    inspect(host, wasm, &[]).await.unwrap_err()
}

const SETTERS: &str = r#"
    (import "runlater:scheduler/definition@0.1.0" "[method]task-definition.set-timeout" (func $timeout (param i32 i64 i32)))
    (import "runlater:scheduler/definition@0.1.0" "[method]task-definition.set-max-attempts" (func $attempts (param i32 i32 i32)))
    (import "runlater:scheduler/definition@0.1.0" "[method]task-definition.set-input-schema" (func $schema (param i32 i32 i32 i32)))"#;

/// Describes the task `remind` and calls a setter on it.
fn describing(set: &str) -> String {
    ONE_TASK.replace("(i32.store (i32.const 520)", &format!("{set} (i32.store (i32.const 520)"))
}

#[tokio::test]
async fn a_sound_component_says_its_tasks() {
    let host = Host::new();
    let describe = describing(
        "(call $timeout (i32.load (i32.const 512)) (i64.const 5000000000) (i32.const 2048))
         (call $attempts (i32.load (i32.const 512)) (i32.const 7) (i32.const 2048))",
    );
    let tasks = inspect(&host, Guest { imports: SETTERS, describe: &describe, ..SOUND }.build(), &[]).await.unwrap();
    let expected = TaskDefinition {
        policy: PolicySettings { timeout: Some(Duration::from_secs(5)), max_attempts: Some(7), ..PolicySettings::default() },
        ..TaskDefinition::new(Name::parse("remind", "name").unwrap())
    };
    assert_eq!(tasks, [expected]);
}

#[tokio::test]
async fn bad_definitions_are_refused_with_their_path() {
    let host = Host::new();
    for (set, expected) in [
        (
            "(call $timeout (i32.load (i32.const 512)) (i64.const 1000) (i32.const 2048))",
            "invalid-timeout tasks.remind.timeout: an attempt may take 1ms to 24h (seen: \"1us\")",
        ),
        ("(call $timeout (i32.load (i32.const 512)) (i64.const -1) (i32.const 2048))", "invalid-duration tasks.remind.timeout: longer"),
        (
            "(call $attempts (i32.load (i32.const 512)) (i32.const 0) (i32.const 2048)) unreachable",
            "invalid-max-attempts tasks.remind.max-attempts: 1 to 100",
        ),
        (
            "(call $schema (i32.load (i32.const 512)) (i32.const 1024) (i32.const 6) (i32.const 2048))",
            "invalid-schema tasks.remind.input-schema: not JSON",
        ),
    ] {
        let refused = refusal(&host, Guest { imports: SETTERS, describe: &describing(set), ..SOUND }.build()).await;
        assert!(refused.starts_with(expected), "{refused} / {expected}");
    }
    let twice = ONE_TASK
        .replace(
            "(i32.store (i32.const 520)",
            "(i32.store (i32.const 516) (call $new (i32.const 1024) (i32.const 6))) (i32.store (i32.const 520)",
        )
        .replace("(i32.const 524) (i32.const 1)", "(i32.const 524) (i32.const 2)");
    for (describe, expected) in [
        ("(i32.const 520)", "no-tasks tasks: "),
        (&*twice, "duplicate-task tasks: two tasks of this name (seen: \"remind\")"),
        (&*ONE_TASK.replace("(i32.const 6)", "(i32.const 0)"), "invalid-name tasks.name: "),
        ("unreachable", "describe-failed component: its `describe` failed (trap): wasm trap"),
        ("(loop $again (br $again)) unreachable", "describe-failed component: its `describe` failed (timeout)"),
    ] {
        let refused = refusal(&host, Guest { describe, ..SOUND }.build()).await;
        assert!(refused.starts_with(expected), "{refused} / {expected}");
    }
}

#[tokio::test]
async fn what_no_attempt_may_have_is_refused_with_its_limit() {
    let host = Host::new();
    for (more, expected) in [
        ("(table 10000000 funcref)", "10000000 elements of tables to begin with by byte"),
        ("(table 60000 funcref) (table 60000 funcref)", "120000 elements of tables to begin with by byte"),
        ("(memory 1000) (memory 1000)", "135266304 bytes of initial memory by byte 338, the limit is 134217728"),
        (&"(memory 1)".repeat(8), "9 memories by byte"),
    ] {
        let refused = refusal(&host, Guest { more, ..SOUND }.build()).await;
        assert!(refused.contains(expected), "{refused} / {expected}");
    }
}

#[tokio::test]
async fn imports_and_exports_are_checked() {
    let host = Host::new();
    let with = |import: &str, export: &str| {
        wat::parse_str(format!("(component (import \"{import}\" (instance)) (instance $i) (export \"{export}\" (instance $i)))")).unwrap()
    };
    let task = imports::TASK_EXPORT;
    for (wasm, expected) in [
        (wat::parse_str("(module)").unwrap(), "invalid-component component: a core module"),
        (
            wat::parse_str("(component)").unwrap(),
            "missing-export component: does not export runlater:scheduler/task@0.1.0: it exports nothing",
        ),
        (
            with("wasi:http/outgoing-handler@0.2.3", task),
            "import-not-granted component: imports wasi:http/outgoing-handler@0.2.3: no grant offers it",
        ),
        (
            with("runlater:scheduler/runs@0.1.0", task),
            "import-not-granted component: imports runlater:scheduler/runs@0.1.0: needs a grant; register with `runlater register FILE --grant runs`",
        ),
        (with("wasi:io/streams@0.2.0", "runlater:scheduler/task@0.2.0"), "missing-export"),
        // The right name with nothing in it.
        (with("wasi:io/streams@0.2.0", task), "missing-export component: its exports don't fit the contract"),
    ] {
        let refused = refusal(&host, wasm).await;
        assert!(refused.starts_with(expected), "{refused} / {expected}");
    }
    let runs =
        Guest { imports: r#"(import "runlater:scheduler/runs@0.1.0" "[constructor]schedule-options" (func (result i32)))"#, ..SOUND };
    assert_eq!(inspect(&host, runs.build(), &["runs"]).await.unwrap().len(), 1);
    assert!(refusal(&host, runs.build()).await.contains("--grant runs"), "though it is in memory already");
}

#[tokio::test]
async fn an_embedder_may_offer_imports_of_its_own() {
    let guest = Guest {
        imports: r#"(import "acme:billing/api@1.0.0" "charge" (func $charge (result i32)))"#,
        handle: "(if (i32.ne (call $charge) (i32.const 42)) (then unreachable))",
        ..SOUND
    };
    let plain = Host::new();
    assert!(refusal(&plain, guest.build()).await.starts_with("import-not-granted component: imports acme:billing/api@1.0.0"));

    let charge: ExtendLinker = Arc::new(|linker| {
        linker.instance("acme:billing/api@1.0.0")?.func_wrap("charge", |mut store, ()| {
            store.data_mut().write_log(b"charged\n");
            Ok((41 + store.data().attempt(),))
        })
    });
    let host = Host::with(WasmConfig { extend: vec![charge], ..WasmConfig::default() }, Arc::new(SystemClock::new()));
    assert_eq!(inspect(&host, guest.build(), &[]).await.unwrap().len(), 1);
    let report = host.run(guest).await;
    assert_eq!((words(&report).as_str(), &report.log[..]), ("done None", &b"charged\n"[..]));
    let other = with_foreign_import();
    assert!(refusal(&host, other).await.starts_with("import-not-granted component: imports acme:other/api"));
}

fn with_foreign_import() -> Vec<u8> {
    let task = imports::TASK_EXPORT;
    let wat =
        format!("(component (import \"acme:other/api\" (instance (export \"f\" (func)))) (instance $i) (export \"{task}\" (instance $i)))");
    wat::parse_str(wat).unwrap()
}
