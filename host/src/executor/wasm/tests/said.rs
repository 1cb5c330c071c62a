//! A guest that ends with an exception: what its runtime printed comes first, and the trap that follows from it second.

use super::registration::inspect;
use super::*;

const STDERR: &str = r#"
    (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))"#;
const TRACEBACK: &str =
    r#"(data (i32.const 2048) "Traceback (most recent call last):\n  File \"task.py\", line 7\nKeyError: 'customer'\n")"#;
const RAISE: &str = "(call $write (call $stderr) (i32.const 2048) (i32.const 81) (i32.const 3072)) unreachable";
const SHOWN: &str = "Traceback (most recent call last):\n  File \"task.py\", line 7\nKeyError: 'customer'\nwasm trap: wasm `unreachable` instruction executed\n  at 0x";

#[tokio::test]
async fn an_exception_comes_before_the_trap() {
    let host = Host::new();
    let report = host.run(Guest { imports: STDERR, more: TRACEBACK, handle: RAISE, ..SOUND }).await;
    assert!(words(&report).starts_with(&format!("trap: {SHOWN}")), "{}", words(&report));
    assert!(report.log.starts_with(b"Traceback"), "the log has it too");
    let refused = inspect(&host, Guest { imports: STDERR, more: TRACEBACK, describe: RAISE, ..SOUND }.build(), &[]).await.unwrap_err();
    assert!(refused.starts_with(&format!("describe-failed component: its `describe` failed (trap):\n{SHOWN}")), "{refused}");
}
