//! Checks a component before anything compiles it: whether it is one, whether it is valid, and whether it is small enough to compile.
//!
//! Called at registration. [`look`] reads the first bytes and runs in the host. [`precheck`] parses and validates everything, which hostile
//! input can make slow and large, so `serve` runs it in the child process of `compile`, under limits. Pure: bytes in, names of imports
//! and exports out, or what is wrong and where.

use wasmparser::{BinaryReaderError, Validator, WasmFeatures};

use crate::model::Invalid;
use crate::model::limits::{COMPONENT_BYTES_MAX, Limits};

use super::counts::count;
use super::toolchain::TARGET_HINT as HINT;

/// Characters of a validator's message, which may quote a name of the component.
const MESSAGE_CHARS_MAX: usize = 512;

/// What a component asks of the host, and offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Outline {
    /// Names of its imports.
    pub(super) imports: Vec<String>,
    /// Names of its exports.
    pub(super) exports: Vec<String>,
}

/// Checks the size and the first bytes. Takes constant time, whatever the rest is.
pub(super) fn look(wasm: &[u8]) -> Result<(), Invalid> {
    if wasm.len() > COMPONENT_BYTES_MAX {
        let reason = format!("{} bytes, the limit is {COMPONENT_BYTES_MAX}; build it with opt-level \"s\", lto and strip", wasm.len());
        return Err(Invalid::new("component-too-large", "component", reason));
    }
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(invalid("precompiled code is never accepted: it can't be checked; send the .wasm file that it was made from"));
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(invalid(format!("not a WebAssembly file: it does not begin with \\0asm; {HINT}")).seen(prefix(wasm)));
    }
    Ok(())
}

/// Checks everything that can be checked without compiling.
pub(super) fn precheck(wasm: &[u8], limits: &Limits) -> Result<Outline, Invalid> {
    look(wasm)?;
    let (outline, _) = count(wasm, limits)?;
    validate(wasm)?;
    Ok(outline)
}

pub(super) fn invalid(reason: impl Into<String>) -> Invalid {
    Invalid::new("invalid-component", "component", reason)
}

pub(super) fn malformed(error: &BinaryReaderError) -> Invalid {
    invalid(format!("{} at byte {}; is the file complete? {HINT}", message(error), error.offset()))
}

fn message(error: &BinaryReaderError) -> String {
    error.message().chars().take(MESSAGE_CHARS_MAX).collect()
}

fn prefix(wasm: &[u8]) -> String {
    String::from_utf8_lossy(&wasm[..wasm.len().min(16)]).into_owned()
}

/// The features of [`super::engine`], in the words of the validator.
fn features() -> WasmFeatures {
    let off = WasmFeatures::GC
        | WasmFeatures::GC_TYPES
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::THREADS
        | WasmFeatures::MEMORY64
        | WasmFeatures::RELAXED_SIMD;
    (WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL) & !off
}

fn validate(wasm: &[u8]) -> Result<(), Invalid> {
    let Err(error) = Validator::new_with_features(features()).validate_all(wasm) else {
        return Ok(());
    };
    if Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).is_ok() {
        let reason = format!("needs a WebAssembly feature that is off here: {} at byte {}; {HINT}", message(&error), error.offset());
        return Err(Invalid::new("unsupported-feature", "component", reason));
    }
    Err(malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wat: &str) -> Result<Outline, Invalid> {
        precheck(&wat::parse_str(wat).expect("the test's own text"), &Limits::default())
    }

    #[test]
    fn what_is_not_a_component_is_told_apart() {
        let wasip1 = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#);
        let wasip1 = wasip1.unwrap();
        for (bytes, code, words) in [
            (&b""[..], "invalid-component", "not a WebAssembly file"),
            (b"\x7fELF\x02\x01", "invalid-component", "not a WebAssembly file"),
            (b"\0asm", "invalid-component", "at byte 4"),
            (b"\0asm\x01\0\0\0", "invalid-component", "core module"),
            (b"\0asm\x0c\0\x01\0", "invalid-component", "at byte 4"),
            (b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\xff\xff", "invalid-component", "at byte "),
            (&wasip1, "invalid-component", "core module"),
        ] {
            let refused = precheck(bytes, &Limits::default()).unwrap_err();
            assert_eq!(refused.code, code, "{refused}");
            assert!(refused.reason.contains(words), "{refused}");
            assert!(refused.reason.contains("wasm32-wasip2"), "{refused}");
        }
        let huge = vec![0; COMPONENT_BYTES_MAX + 1];
        assert_eq!(precheck(&huge, &Limits::default()).unwrap_err().code, "component-too-large");
    }

    #[test]
    fn precompiled_code_is_refused() {
        let engine = super::super::engine::compiling(&crate::model::limits::Limits::default()).unwrap();
        let code = engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap();
        assert!(precheck(&code, &Limits::default()).unwrap_err().reason.contains("precompiled"));
    }

    #[test]
    fn names_are_those_of_the_outermost_component() {
        let outline = check(
            r#"(component
                (import "a:b/c@1.0.0" (instance))
                (component (import "inner" (instance)) (export "x" (instance 0)))
                (export "d:e/f" (instance 0)))"#,
        );
        assert_eq!(outline.unwrap(), Outline { imports: vec!["a:b/c@1.0.0".into()], exports: vec!["d:e/f".into()] });
    }

    #[test]
    fn features_that_are_off_are_named() {
        for (wat, words) in [
            ("(component (core module (memory i64 1)))", "memory64"),
            ("(component (core module (memory 1 1 shared)))", "threads"),
            ("(component (core module (type (struct))))", "gc"),
            ("(component (core module (tag)))", "exceptions"),
            ("(component (core module (func (param v128) local.get 0 i32x4.relaxed_trunc_f32x4_s drop)))", "relaxed SIMD"),
            ("(component (core module (table 1 externref)))", "gc types"),
            ("(component (core module (memory 1 (pagesize 1))))", "page size"),
            ("(component (core module (memory 1) (func (drop (i32.atomic.load (i32.const 0))))))", "threads"),
            ("(component (core module (memory 1) (func (atomic.fence))))", "threads"),
            ("(component (core module (func (drop (ref.i31 (i32.const 1))))))", "gc"),
            ("(component (core module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))))", "function references"),
            ("(component (core module (func (throw_ref (ref.null exn)))))", "exception handling"),
            ("(component (core module (tag $t) (func (throw $t))))", "exceptions"),
            ("(component (core module (func (result i64 i64) (i64.mul_wide_s (i64.const 1) (i64.const 1)))))", "wide arithmetic"),
            ("(component (core module (type $f (func)) (type $c (cont $f)) (func (drop (cont.new $c (ref.null $f))))))", "stack switching"),
            ("(component (core module (table i64 1 funcref)))", "memory64"),
            ("(component (core func (canon task.cancel)))", "async"),
            ("(component (core func (canon backpressure.inc)))", "async"),
            ("(component (core func (canon waitable-set.new)))", "async"),
            ("(component (type $f (func async)))", "async"),
            ("(component (core func (canon thread.available_parallelism)))", "thread"),
            ("(component (type error-context))", "error-context"),
            ("(component (type (list u8 4)))", "fixed"),
            ("(component (type (future u8)))", "async"),
            ("(component (type (stream u8)))", "async"),
            ("(component (type $r (resource (rep i32))) (core func (canon resource.new $r)))", "resource"),
        ] {
            let refused = check(wat).unwrap_err();
            assert_eq!(refused.code, "unsupported-feature", "{wat}: {refused}");
            assert!(refused.reason.to_lowercase().contains(&words.to_lowercase()), "{wat}: {refused}");
        }
    }

    #[test]
    fn compile_bombs_are_refused() {
        let module = |inner: String| format!("(component (core module {inner}))");
        let nested = |levels: usize| format!("(component {} {})", "(component".repeat(levels), ")".repeat(levels));
        let bombs = [
            (module("(func)".repeat(50_001)), "functions"),
            (module(format!("(func {})", "(local i32)".repeat(5_001))), "locals"),
            (module(format!("(func i32.const 0 br_table {})", "0 ".repeat(250_001))), "branch table"),
            (module(format!("(func {})", "nop ".repeat((1 << 20) + 1))), "bytes in one function"),
            (module((0..10_001).map(|i| format!("(func (export \"e{i}\"))")).collect()), "exports"),
            (module(format!("(memory 1) {}", "(data (i32.const 0) \"\")".repeat(100_001))), "data segments"),
            (module("(memory 65536)".into()), "initial memory"),
            (module("(memory 1024) (memory 1024) (memory 1)".into()), "initial memory"),
            (format!("(component {})", "(type u32)".repeat(10_001)), "types"),
            (module(format!("(global i32 i32.const 0 {})", "i32.const 1 i32.add ".repeat(125_000))), "constant expressions"),
            (module("(global i32 (i32.const 0))".repeat(125_001)), "constant expressions"),
            (module(format!("(func $f) (elem func {})", "$f ".repeat(500_001))), "table elements"),
            (format!("(component {})", "(core instance)".repeat(100_001)), "parts"),
            (nested(11), "nesting"),
            (format!("(component {})", (0..1_001).map(|i| format!("(import \"n{i}\" (func))")).collect::<String>()), "imports and exports"),
            (format!("(component (import \"n{}\" (func)))", "a".repeat(64 << 10)), "bytes in the names"),
        ];
        for (wat, words) in bombs {
            let refused = check(&wat).unwrap_err();
            assert_eq!(refused.code, "compile-limit", "{words}: {refused}");
            assert!(refused.reason.contains(words), "{words}: {refused}");
        }
        check(&nested(9)).unwrap();
        // A type of types of types, to a depth at which whoever walks it would run out of stack.
        let deep = |levels: usize| {
            format!("(component {})", (0..levels).fold("(type (list u8))".to_owned(), |all, i| all + &format!("(type (list {i}))")))
        };
        check(&deep(50)).unwrap();
        let refused = check(&deep(5_000)).unwrap_err();
        assert!(refused.code == "invalid-component" && refused.reason.contains("deep"), "{refused}");
    }
}
