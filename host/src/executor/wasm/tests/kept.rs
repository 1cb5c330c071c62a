//! What the host keeps for a guest counts as the attempt's memory, and no longer than it is kept.

use super::registration::inspect;
use super::*;

const DEFINITION: &str = r#"
    (import "runlater:scheduler/definition@0.1.0" "[method]task-definition.add-schedule"
        (func $add (param i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32)))
    (import "runlater:scheduler/definition@0.1.0" "[resource-drop]task-definition" (func $drop (param i32)))"#;

/// Makes a definition in `$d` that holds a hundred inputs of so many bytes. Its keys are the two bytes at 2000.
fn fill(bytes: u32) -> String {
    format!(
        r#"(local.set $d (call $new (i32.const 1024) (i32.const 6)))
        (local.set $i (i32.const 0))
        (loop $next
            (i32.store8 (i32.const 2000) (i32.add (i32.const 48) (i32.div_u (local.get $i) (i32.const 10))))
            (i32.store8 (i32.const 2001) (i32.add (i32.const 48) (i32.rem_u (local.get $i) (i32.const 10))))
            (call $add (local.get $d) (i32.const 2000) (i32.const 2) (i64.const 1000) (i32.const 0)
                (i32.const 1) (i32.const 2002) (i32.const 3) (i32.const 65536) (i32.const {bytes}) (i32.const 2048))
            (if (i32.load8_u (i32.const 2048)) (then unreachable))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))"#
    )
}

/// Text of the module that names a media type, which the definitions above use.
const MEDIA_TYPE: &str = r#"(data (i32.const 2002) "a/b")"#;

#[tokio::test]
async fn definitions_count_while_they_are_kept() {
    let host = Host::new();
    let fill = fill(250_000);
    let keep = format!("(local $d i32) (local $i i32) (loop $again {fill} (br $again))");
    let guest = Guest { imports: DEFINITION, more: MEDIA_TYPE, handle: &keep, ..SOUND };
    let seen = words(&host.run(guest).await);
    assert!(seen.starts_with("out-of-memory: asked for 1342") && seen.contains("the limit is 134217728"), "{seen}");
    let describe = format!("{keep} unreachable");
    let guest = Guest { imports: DEFINITION, more: MEDIA_TYPE, describe: &describe, ..SOUND };
    // With a lower limit, because `describe` has a second.
    let limits = Limits { memory_bytes: 16 << 20, ..Limits::default() };
    let small = Host::with(WasmConfig { limits, ..WasmConfig::default() }, Arc::new(SystemClock::new()));
    let refused = inspect(&small, guest.build(), &[]).await.unwrap_err();
    assert!(refused.starts_with("describe-failed component: its `describe` failed (out-of-memory)"), "{refused}");
    // As many again, each dropped before the next is made.
    let drop = format!(
        "(local $d i32) (local $i i32) (local $n i32) (loop $again {fill} (call $drop (local.get $d))
            (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10))))"
    );
    let guest = Guest { imports: DEFINITION, more: MEDIA_TYPE, handle: &drop, ..SOUND };
    assert_eq!(words(&host.run(guest).await), "done None");
}

#[tokio::test]
async fn runs_count_while_they_are_kept() {
    let host = Host::new();
    let runs = r#"(import "runlater:scheduler/runs@0.1.0" "get" (func $get (param i32 i32 i32)))
        (import "runlater:scheduler/runs@0.1.0" "[resource-drop]run" (func $drop (param i32)))"#;
    // The id whose last digit is 0 is that of the large run.
    let get = "(i32.store8 (i32.const 1075) (i32.const 48)) (call $get (i32.const 1040) (i32.const 36) (i32.const 2048))";
    let keep = format!("(loop $again {get} (br $again))");
    let seen = words(&host.run(Guest { imports: runs, handle: &keep, ..SOUND }).await);
    assert!(seen.starts_with("out-of-memory: asked for 134"), "{seen}");
    let drop = format!(
        "(local $n i32) (loop $again {get} (call $drop (i32.load (i32.const 2056)))
            (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 2000))))"
    );
    assert_eq!(words(&host.run(Guest { imports: runs, handle: &drop, ..SOUND }).await), "done None");
}

#[tokio::test]
async fn pages_of_listed_runs_fit() {
    let host = Host::new();
    let list = r#"(import "runlater:scheduler/runs@0.1.0" "[constructor]run-filter" (func $filter (result i32)))
        (import "runlater:scheduler/runs@0.1.0" "list" (func $list (param i32 i32 i32 i32 i32 i32 i32)))"#;
    let pages = |count: u32| {
        format!(
            "(local $f i32) (local $n i32) (local.set $f (call $filter))
            (loop $again
                (call $list (local.get $f) (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048))
                (if (i32.load8_u (i32.const 2048)) (then unreachable))
                (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {count}))))"
        )
    };
    assert_eq!(words(&host.run(Guest { imports: list, handle: &pages(19), ..SOUND }).await), "done None");
    let seen = words(&host.run(Guest { imports: list, handle: &pages(20), ..SOUND }).await);
    assert!(seen.starts_with("resource-quota: kept more than 10000 handles"), "{seen}");
}

#[tokio::test]
async fn long_texts_are_refused_where_they_are_set() {
    let host = Host::new();
    let options = r#"
        (import "runlater:scheduler/definition@0.1.0" "[constructor]cron-options" (func $options (result i32)))
        (import "runlater:scheduler/definition@0.1.0" "[method]cron-options.set-timezone" (func $zone (param i32 i32 i32 i32)))"#;
    let describe = "(call $zone (call $options) (i32.const 65536) (i32.const 1000000) (i32.const 2048))".to_owned() + ONE_TASK;
    let refused = inspect(&host, Guest { imports: options, describe: &describe, ..SOUND }.build(), &[]).await.unwrap_err();
    assert!(refused.starts_with("invalid-timezone crons.timezone: ") && refused.len() < 1_000, "{refused}");
    // A name that is no name is not kept, however many definitions have it.
    let names = "(loop $again (drop (call $new (i32.const 65536) (i32.const 1000000))) (br $again))";
    let seen = words(&host.run(handle(names)).await);
    assert!(seen.starts_with("resource-quota: kept more than 10000 handles"), "{seen}");
}
