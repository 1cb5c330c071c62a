//! Guests that mean harm, or are merely broken: each ends with an outcome of its own, and the host goes on.

use std::time::Instant;

use super::registration::inspect;
use super::*;

const OPTIONS: &str = r#"(import "runlater:scheduler/runs@0.1.0" "[constructor]schedule-options" (func $options (result i32)))"#;
/// What is said of a list that does not lie in the guest's memory.
const OUTSIDE: &str = "trap: list pointer/length out of bounds of memory";
const LOOP: &str = "(loop $again (br $again))";

/// Runs the guest and expects an outcome that begins so; then a sound guest, to see that the host is unharmed.
async fn check(host: &Host, guest: Guest<'_>, expected: &str) {
    let request = host.request(guest);
    let report = host.executor.execute(AttemptRequest { timeout: Duration::from_secs(5), ..request }).await;
    let seen = words(&report);
    assert!(seen.starts_with(expected), "expected {expected}, seen {seen}");
    assert!(report.writes.is_empty());
    assert_eq!(words(&host.run(SOUND).await), "done None");
}

#[tokio::test]
async fn traps_have_a_reason_and_frames() {
    let host = Host::new();
    for (body, reason) in [
        ("unreachable", "trap: wasm trap: wasm `unreachable` instruction executed\n  at 0x"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "trap: wasm trap: integer divide by zero\n  at 0x"),
        ("(drop (i32.load (i32.const -1)))", "trap: wasm trap: out of bounds memory access"),
    ] {
        check(&host, handle(body), reason).await;
    }
    let start = Guest { more: "(func $start unreachable) (start $start)", ..SOUND };
    check(&host, start, "trap: wasm trap: wasm `unreachable` instruction executed").await;
    let deep = Guest {
        more: "(func $f (param i32) (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else unreachable)))",
        handle: "(call $f (i32.const 100))",
        ..SOUND
    };
    let report = host.run(deep).await;
    assert_eq!(words(&report).matches("\n  at ").count(), 20);
}

/// A mangled C++ name of about 400 bytes in which each template has the one before twice: it demangles to terabytes.
fn cpp_name() -> String {
    let digit = |n: usize| char::from_digit(n as u32, 36).unwrap().to_ascii_uppercase();
    let base_36 = |n: usize| if n < 36 { digit(n).to_string() } else { format!("{}{}", digit(n / 36), digit(n % 36)) };
    let template = |n: usize| format!("1{}I{1}{1}E", (b'B' + n as u8 % 24) as char, format_args!("S{}_", base_36(2 * n)));
    format!("_Z1f1AIiiE{}", (0..36).map(template).collect::<String>())
}

/// A mangled Rust name in which each tuple has the one before twice.
fn rust_name() -> String {
    // Each tuple begins with a reference to the one before, whose offset is written in base 62 with one less.
    let digits: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
    let base_62 = |n: usize| match n {
        0 => "_".to_owned(),
        1..=62 => format!("{}_", digits[n - 1]),
        _ => format!("{}{}_", digits[(n - 1) / 62], digits[(n - 1) % 62]),
    };
    let mut name = "INvC1a1f".to_owned();
    let mut last = name.len();
    name.push_str("TaaE");
    for _ in 0..40 {
        let tuple = format!("TB{0}B{0}E", base_62(last));
        last = name.len();
        name.push_str(&tuple);
    }
    format!("_R{name}E")
}

#[tokio::test]
async fn names_that_would_expand_are_shown_as_they_are() {
    let host = Host::new();
    for name in [cpp_name(), rust_name()] {
        let more = format!("(func ${name} unreachable)");
        let call = format!("(call ${name})");
        let shown = format!("!{}…", &name[..256]);
        let guest = Guest { more: &more, handle: &call, ..SOUND };
        let report = host.run(guest).await;
        assert!(words(&report).starts_with("trap: wasm trap") && words(&report).contains(&shown), "{}", words(&report));
        let describe = format!("{call} unreachable");
        let refused = inspect(&host, Guest { more: &more, describe: &describe, ..SOUND }.build(), &[]).await.unwrap_err();
        assert!(refused.contains(&shown), "{refused}");
    }
}

#[tokio::test]
async fn endless_loops_everywhere_are_timed_out() {
    let host = Host::new();
    for guest in [
        handle(LOOP),
        Guest { more: "(func $start (loop $again (br $again))) (start $start)", ..SOUND },
        Guest { realloc: LOOP, ..SOUND },
        Guest { more: "(func (export \"cabi_post_runlater:scheduler/task@0.1.0#handle\") (param i32) (loop $again (br $again)))", ..SOUND },
    ] {
        let request = host.request(guest);
        // In memory already, so that it is not the compiler that takes long.
        host.executor.components.load(request.task.digest).await.map(drop).unwrap();
        let started = Instant::now();
        let report = host.executor.execute(AttemptRequest { timeout: Duration::from_millis(50), ..request }).await;
        assert!(words(&report).starts_with("timeout"), "{}", words(&report));
        // An epoch over, when nothing else goes on; a busy machine takes its time.
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn memory_and_stack_are_bounded() {
    let host = Host::new();
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    check(&host, handle(grow), "out-of-memory: asked for 1342").await;
    let tables = Guest {
        more: "(table $t 0 funcref)",
        handle: "(if (i32.eq (table.grow $t (ref.null func) (i32.const 100001)) (i32.const -1)) (then unreachable))",
        ..SOUND
    };
    check(&host, tables, "out-of-memory: asked for 10000").await;
    // Each of them alone has less than the limit, and together they don't.
    let memories = Guest {
        more: "(memory $a 0) (memory $b 0) (memory $c 0)",
        handle: "(loop $again
            (br_if $again (i32.ne (memory.grow $a (i32.const 64)) (i32.const -1)))
            (br_if $again (i32.ne (memory.grow $b (i32.const 64)) (i32.const -1)))
            (br_if $again (i32.ne (memory.grow $c (i32.const 64)) (i32.const -1)))) unreachable",
        ..SOUND
    };
    check(&host, memories, "out-of-memory: asked for 13").await;
    for (more, expected) in [
        ("(table 10000000 funcref)", "instantiation: "),
        ("(memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (memory 1)", "instantiation: "),
    ] {
        check(&host, Guest { more, ..SOUND }, expected).await;
    }
    let recursion = Guest {
        more: "(func $f (param i64) (result i64) (i64.add (call $f (local.get 0)) (i64.const 1)))",
        handle: "(drop (call $f (i64.const 1)))",
        ..SOUND
    };
    check(&host, recursion, "stack-overflow: recursed deeper than its stack of 524288 bytes").await;
    let mutual = Guest {
        more: "(func $f (param i64) (result i64) (i64.add (call $g (local.get 0)) (i64.const 1)))
               (func $g (param i64) (result i64) (i64.sub (call $f (local.get 0)) (i64.const 1)))",
        ..recursion
    };
    check(&host, mutual, "stack-overflow: recursed deeper than its stack of 524288 bytes").await;
    let random = r#"(import "wasi:random/insecure@0.2.0" "get-insecure-random-bytes" (func $random (param i64 i32)))"#;
    let gigabyte = "(call $random (i64.const 0x40000000) (i32.const 2048))";
    check(&host, Guest { imports: random, handle: gigabyte, ..SOUND }, "trap: requested len 1073741824 exceeds limit 65536").await;
}

#[tokio::test]
async fn leaving_early_is_no_success() {
    let host = Host::new();
    let exit = r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#;
    check(&host, Guest { imports: exit, handle: "(call $exit (i32.const 0))", ..SOUND }, "exit: ended its process with status 0").await;
    check(&host, Guest { imports: exit, handle: "(call $exit (i32.const 1))", ..SOUND }, "exit: ended its process with status 1").await;
}

#[tokio::test]
async fn host_calls_and_handles_are_bounded() {
    let host = Host::new();
    let attempt = r#"(import "runlater:scheduler/context@0.1.0" "attempt" (func $attempt (result i32)))"#;
    let calls = "(loop $again (drop (call $attempt)) (br $again))";
    check(&host, Guest { imports: attempt, handle: calls, ..SOUND }, "hostcall-quota: more than 100000 host calls").await;
    // What is asked of WASI is counted, too.
    let timers = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
                    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))"#;
    let flood = "(loop $again (call $drop (call $after (i64.const 1))) (br $again))";
    check(&host, Guest { imports: timers, handle: flood, ..SOUND }, "hostcall-quota: more than 100000 host calls").await;
    let handles = "(loop $again (drop (call $options)) (br $again))";
    check(&host, Guest { imports: OPTIONS, handle: handles, ..SOUND }, "resource-quota: kept more than 10000 handles").await;
}

#[tokio::test]
async fn what_crosses_the_border_is_bounded_and_checked() {
    let host = Host::new();
    const BULK: &str = r#"(import "runlater:scheduler/runs@0.1.0" "bulk-delete" (func $bulk (param i32 i32 i32)))"#;
    fn bulk(handle: &str) -> Guest<'_> {
        Guest { imports: BULK, handle, ..SOUND }
    }
    // 8 KB of addresses that all name the same 4 MB.
    let aliased = "(local $i i32) (loop $again
        (i32.store (i32.add (i32.const 8192) (local.get $i)) (i32.const 0))
        (i32.store (i32.add (i32.const 8196) (local.get $i)) (i32.const 4000000))
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 8192))))
        (call $bulk (i32.const 8192) (i32.const 1024) (i32.const 2048))";
    check(&host, bulk(aliased), "hostcall-too-large: passed more than 1048576 bytes to one host call").await;
    for (address, length, expected) in
        [(8192, i32::MAX, OUTSIDE), (8192, -1, OUTSIDE), (-8, 1, OUTSIDE), (8193, 1, "trap: list pointer is not aligned")]
    {
        check(&host, bulk(&format!("(call $bulk (i32.const {address}) (i32.const {length}) (i32.const 2048))")), expected).await;
    }
    // An id that is its own address, and a result that is written over what was passed: the guest's own business.
    let overlapping = "(i32.store (i32.const 8192) (i32.const 8192)) (i32.store (i32.const 8196) (i32.const 8))
        (call $bulk (i32.const 8192) (i32.const 1) (i32.const 8192))";
    check(&host, bulk(overlapping), "done None").await;
    // A time that is of no kind.
    let reschedule = r#"(import "runlater:scheduler/runs@0.1.0" "reschedule" (func $move (param i32 i32 i32 i64 i32 i32)))"#;
    for (kind, seen) in [(3, "3"), (255, "255"), (-1, "4294967295")] {
        let body = format!("(call $move (i32.const 1040) (i32.const 36) (i32.const {kind}) (i64.const 0) (i32.const 0) (i32.const 2048))");
        check(&host, Guest { imports: reschedule, handle: &body, ..SOUND }, &format!("trap: unexpected discriminant: {seen}")).await;
    }
    // A resource is used by number: one that never was, one that is gone, one of another kind.
    let forged = r#"(import "runlater:scheduler/runs@0.1.0" "[constructor]schedule-options" (func $options (result i32)))
                    (import "runlater:scheduler/runs@0.1.0" "[method]schedule-options.set-priority" (func $set (param i32 i32 i32)))
                    (import "runlater:scheduler/runs@0.1.0" "[resource-drop]schedule-options" (func $drop (param i32)))
                    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))"#;
    for (body, expected) in [
        ("(call $set (i32.const 77) (i32.const 1) (i32.const 2048))", "trap: unknown handle index 77"),
        ("(call $set (i32.const 0) (i32.const 1) (i32.const 2048))", "trap: unknown handle index 0"),
        ("(call $set (i32.const -1) (i32.const 1) (i32.const 2048))", "trap: unknown handle index 4294967295"),
        ("(call $drop (i32.const 1))", "trap: unknown handle index 1"),
        (
            "(local $o i32) (local.set $o (call $options)) (call $drop (local.get $o)) (call $drop (local.get $o))",
            "trap: unknown handle index 1",
        ),
        (
            "(local $o i32) (local.set $o (call $options)) (call $drop (local.get $o)) (call $set (local.get $o) (i32.const 1) (i32.const 2048))",
            "trap: unknown handle index 1",
        ),
        (
            "(local $o i32) (local.set $o (call $subscribe (i64.const 1))) (call $set (local.get $o) (i32.const 1) (i32.const 2048))",
            "trap: handle index 1 used with the wrong type",
        ),
    ] {
        check(&host, Guest { imports: forged, handle: body, ..SOUND }, expected).await;
    }
    // done(some) with 2 MB, with 300 KB, with an impossible discriminant, outside memory.
    let output = |length: u32| {
        format!(
            "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 3072)) (i32.store (i32.const 24) (i32.const 3))
             (i32.store (i32.const 3072) (i32.const 0x00622f61)) (i32.store (i32.const 32) (i32.const {length}))"
        )
    };
    check(&host, handle(&output(2_000_000)), "output-too-large: returned more than 1048576 bytes").await;
    check(&host, handle(&output(300_000)), "output-too-large: output: 300000 bytes, the limit is 262144").await;
    check(&host, handle(&output(u32::MAX)), OUTSIDE).await;
    // A result, an outcome, an output and a failure of kinds that do not exist.
    for (body, expected) in [
        ("(i32.store8 (i32.const 0) (i32.const 9))", "trap: invalid expected discriminant"),
        ("(i32.store8 (i32.const 8) (i32.const 9))", "trap: unexpected discriminant: 9"),
        ("(i32.store8 (i32.const 16) (i32.const 9))", "trap: invalid option discriminant"),
        ("(i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 8) (i32.const 9))", "trap: unexpected discriminant: 9"),
        // A result that is nowhere, or where none may be; a reason that is no text, and one that is nowhere.
        ("(return (i32.const 1))", "trap: return pointer not aligned"),
        ("(return (i32.const -8))", "trap: pointer out of bounds of memory"),
        (
            "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 2048) (i32.const 0xff))
             (i32.store (i32.const 16) (i32.const 2048)) (i32.store (i32.const 20) (i32.const 1))",
            "trap: invalid utf-8",
        ),
        (
            "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 16) (i32.const -2)) (i32.store (i32.const 20) (i32.const 4))",
            "trap: string pointer/length out of bounds of memory",
        ),
    ] {
        check(&host, handle(body), expected).await;
    }
    for (realloc, expected) in [
        ("(return (i32.const -8))", "trap: realloc return: beyond end of memory"),
        ("(return (i32.const 0x10000000))", "trap: realloc return: beyond end of memory"),
        ("(return (i32.const 4194303))", "trap: realloc return: beyond end of memory"),
        ("unreachable", "trap: wasm trap: wasm `unreachable` instruction executed"),
        // While it makes room for the host it may not call it.
        ("(drop (call $options))", "trap: wasm trap: cannot leave component instance"),
        // The same room each time, and that of the result, which is none then: the guest's own business.
        ("(return (i32.const 8192))", "done None"),
        ("(return (i32.const 0))", "trap: invalid expected discriminant"),
    ] {
        check(&host, Guest { imports: OPTIONS, realloc, ..SOUND }, expected).await;
    }
}

#[tokio::test]
async fn text_is_text_in_every_encoding() {
    use wit_component::StringEncoding::{CompactUTF16, UTF8, UTF16};
    let host = Host::new();
    let log = r#"(import "runlater:scheduler/context@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
    /// The top bit of a length in the encoding that has two says that this is the wider one.
    const WIDE: u32 = 1 << 31;
    const TEXT_OUTSIDE: &str = "trap: string pointer/length out of bounds of memory";
    // What lies at 2048 (as a number, its lowest byte first), and address and length that are passed.
    for (strings, bytes, address, length, expected) in [
        (UTF8, 0x0000_6961_u64, 2048, 2, "done"),
        (UTF8, 0x6961_ff61, 2048, 4, "trap: invalid utf-8"),
        // A surrogate, and more than Unicode has, each written as if it were a character; half a character.
        (UTF8, 0x0080_a0ed, 2048, 3, "trap: invalid utf-8"),
        (UTF8, 0x8080_90f4, 2048, 4, "trap: invalid utf-8"),
        (UTF8, 0x0000_00c3, 2048, 1, "trap: incomplete utf-8"),
        (UTF8, 0, 2048, u32::MAX, TEXT_OUTSIDE),
        (UTF8, 0, u32::MAX, 2, TEXT_OUTSIDE),
        (UTF16, 0x0069_0061, 2048, 2, "done"),
        (UTF16, 0xdc00_d83d, 2048, 2, "done"),
        // Half a pair, at the end and at the beginning; the halves the wrong way round.
        (UTF16, 0xd83d_0061, 2048, 2, "trap: unpaired surrogate found: d83d"),
        (UTF16, 0x0061_dc00, 2048, 2, "trap: unpaired surrogate found: dc00"),
        (UTF16, 0xd83d_dc00, 2048, 2, "trap: unpaired surrogate found: dc00"),
        (UTF16, 0x6900_6100, 2049, 1, "trap: string pointer not aligned to 2"),
        (UTF16, 0, 2048, 1 << 31, TEXT_OUTSIDE),
        (UTF16, 0, 2048, u32::MAX, TEXT_OUTSIDE),
        (CompactUTF16, 0x0000_fce4, 2048, 2, "done"),
        (CompactUTF16, 0x0069_0061, 2048, WIDE | 2, "done"),
        (CompactUTF16, 0xd83d_0061, 2048, WIDE | 2, "trap: unpaired surrogate found: d83d"),
        (CompactUTF16, 0, 2049, 1, "trap: string pointer not aligned to 2"),
        (CompactUTF16, 0, 2048, u32::MAX, TEXT_OUTSIDE),
    ] {
        let handle = format!(
            "(i64.store (i32.const 2048) (i64.const {bytes})) (call $log (i32.const 1) (i32.const {}) (i32.const {}))",
            address as i32, length as i32
        );
        check(&host, Guest { imports: log, handle: &handle, strings, ..SOUND }, expected).await;
    }
    // Longer than what one call may pass, in bytes of the host.
    for (strings, length) in [(UTF8, 1_100_000_u32), (UTF16, 600_000), (CompactUTF16, 600_000 | WIDE)] {
        let handle = format!("(call $log (i32.const 1) (i32.const 8192) (i32.const {}))", length as i32);
        check(&host, Guest { imports: log, handle: &handle, strings, ..SOUND }, "hostcall-too-large").await;
    }
    // A level that there is none of.
    for level in [4, 255, -1] {
        let handle = format!("(call $log (i32.const {level}) (i32.const 8192) (i32.const 1))");
        check(&host, Guest { imports: log, handle: &handle, ..SOUND }, "trap: unexpected discriminant: ").await;
    }
}

#[tokio::test]
async fn a_panic_of_the_host_ends_the_attempt_only() {
    let host = Host::new();
    let get = r#"(import "runlater:scheduler/runs@0.1.0" "get" (func $get (param i32 i32 i32)))"#;
    let guest = Guest { imports: get, handle: "(call $get (i32.const 1040) (i32.const 36) (i32.const 2048))", ..SOUND };
    check(&host, guest, "trap: the host panicked in a call of this guest: ").await;
}

#[tokio::test]
async fn what_is_not_granted_is_not_linked() {
    let host = Host::new();
    let request = host.request(Guest { imports: OPTIONS, handle: "(drop (call $options))", ..SOUND });
    let task = Arc::new(Task { grants: Grants::none(), ..(*request.task).clone() });
    let report = host.executor.execute(AttemptRequest { task, ..request }).await;
    assert!(words(&report).starts_with("instantiation: "), "{}", words(&report));
    assert!(words(&report).contains("runlater:scheduler/runs"), "{}", words(&report));
}

#[tokio::test]
async fn nothing_is_left_of_an_earlier_attempt() {
    let host = Host::new();
    // Traps if its memory is not fresh, and soils it.
    let soil = "(if (i32.load (i32.const 100000)) (then unreachable)) (i32.store (i32.const 100000) (i32.const 1))";
    let digest = host.components.add(&handle(soil).build());
    for _ in 0..100_000 {
        assert_eq!(host.executor.execute(request(digest)).await.outcome, Outcome::Done(None));
    }
}

#[tokio::test]
async fn nothing_is_left_of_another_namespaces_guests() {
    const SCANS: usize = 2_000;
    let host = Host::new();
    // Each differs from the others, for a slot of the pool goes to whoever had it before: of more components than there are slots, each gets
    // one that was another's.
    let build = |namespace, number: usize, guest: Guest<'_>| {
        let more = format!("{} (func (result i32) (i32.const {number}))", guest.more);
        let request = host.request(Guest { more: &more, ..guest });
        Arc::new(Task { namespace: NamespaceId(namespace), ..(*request.task).clone() })
    };
    // Five MiB of memory and fifty thousand table elements.
    let canary = Guest {
        more: "(table $t 1000 funcref) (func $f) (elem declare func $f)",
        handle: "(drop (memory.grow (i32.const 16))) (drop (table.grow $t (ref.null func) (i32.const 49000)))
            (memory.fill (i32.const 8192) (i32.const 0xa5) (i32.const 5234688))
            (table.fill $t (i32.const 0) (ref.func $f) (i32.const 50000))",
        ..SOUND
    };
    // All but its own data and what it was given.
    let scan = Guest {
        more: "(table $t 1000 funcref)
            (func $zero (param $at i32) (param $end i32)
                (loop $again (if (i32.lt_u (local.get $at) (local.get $end)) (then
                    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
                    (local.set $at (i32.add (local.get $at) (i32.const 8))) (br $again)))))
            (func $null (param $at i32)
                (loop $again (if (local.get $at) (then
                    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                    (if (i32.eqz (ref.is_null (table.get $t (local.get $at)))) (then unreachable)) (br $again)))))",
        handle: "(call $zero (i32.const 0) (i32.const 1024)) (call $zero (i32.const 1080) (i32.const 4096))
            (drop (memory.grow (i32.const 16))) (drop (table.grow $t (ref.null func) (i32.const 49000)))
            (call $zero (i32.const 8192) (i32.const 5242880)) (call $null (i32.const 50000))",
        ..SOUND
    };
    let canaries: Vec<_> = (0..12).map(|number| build(1, number, canary)).collect();
    let scans: Vec<_> = (0..24).map(|number| build(2, number, scan)).collect();
    // The slots take turns, too: in a regular order, those who scan would always get those of their own.
    let mut random = fastrand::Rng::with_seed(17);
    let (mut soiled, mut scanned) = (0, 0);
    while scanned < SCANS {
        let (tasks, turn) = if random.u8(..3) == 0 { (&canaries, &mut soiled) } else { (&scans, &mut scanned) };
        let task = &tasks[*turn % tasks.len()];
        *turn += 1;
        let report = host.executor.execute(AttemptRequest { task: Arc::clone(task), ..request(task.digest) }).await;
        assert_eq!(words(&report), "done None", "after {scanned}");
    }
}
