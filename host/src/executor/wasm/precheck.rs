//! Looks a component over before anything compiles it: is it one, is it sound, is it small enough to compile.
//!
//! Called at registration, in the process that will not compile it. Pure: bytes in, names of imports and exports out, or what is
//! wrong and where. Compiling is outside what wasmtime promises about hostile input, so what is known to make it
//! slow or large is refused here; the child process of `compile` bounds the rest.

use wasmparser::{
    BinaryReaderError, ComponentInstance, ConstExpr, DataKind, Element, ElementItems, ElementKind, Encoding, Instance, Operator, Parser,
    Payload, TableInit, Validator, WasmFeatures,
};

use crate::model::Invalid;
use crate::model::limits::{COMPONENT_BYTES_MAX, Limits};

use super::toolchain::TARGET_HINT as HINT;

/// Functions in all core modules: 200,000 tiny ones take Cranelift 1.1 GB.
const FUNCTIONS_MAX: u64 = 50_000;
/// Bytes of one function.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// Targets of all `br_table`s: 1 MB of them takes Cranelift 33 s.
const BR_TABLE_TARGETS_MAX: u64 = 100_000;
/// Locals of one function.
const LOCALS_MAX: u64 = 5_000;
/// Components within components.
const NESTING_MAX: u64 = 10;
const TYPES_MAX: u64 = 10_000;
const EXPORTS_MAX: u64 = 1_000;
const DATA_SEGMENTS_MAX: u64 = 10_000;
/// Operators in all constant expressions: each instantiation computes them anew, and nothing interrupts it there.
const CONSTANT_OPERATORS_MAX: u64 = 100_000;
/// Elements of all segments, which each instantiation copies into tables. An interpreter of another language has some 50,000.
const ELEMENTS_MAX: u64 = 500_000;
/// Imports, aliases, instances and what is handed to them, and functions that cross the border: a few bytes each in the file, a hundred in
/// the memory of whoever checks them. The largest components of other languages have some 5,000.
const PARTS_MAX: u64 = 100_000;
/// What a component asks of the host, and offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// Names of its imports.
    pub(super) imports: Vec<String>,
    /// Names of its exports.
    pub(super) exports: Vec<String>,
}

/// Checks everything that can be checked without compiling.
pub(super) fn precheck(wasm: &[u8], limits: &Limits) -> Result<Outline, Invalid> {
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
    let outline = count(wasm, limits)?;
    validate(wasm)?;
    Ok(outline)
}

fn invalid(reason: impl Into<String>) -> Invalid {
    Invalid::new("invalid-component", "component", reason)
}

fn malformed(error: &BinaryReaderError) -> Invalid {
    invalid(format!("{} at byte {}; is the file complete? {HINT}", error.message(), error.offset()))
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
        let reason = format!("needs a WebAssembly feature that is off here: {} at byte {}; {HINT}", error.message(), error.offset());
        return Err(Invalid::new("unsupported-feature", "component", reason));
    }
    Err(malformed(&error))
}

/// A sum with a limit.
struct Count {
    what: &'static str,
    seen: u64,
    max: u64,
}

impl Count {
    const fn new(what: &'static str, max: u64) -> Self {
        Self { what, seen: 0, max }
    }

    fn add(&mut self, more: u64, offset: usize) -> Result<(), Invalid> {
        self.seen = self.seen.saturating_add(more);
        if self.seen > self.max {
            let Self { what, seen, max } = self;
            return Err(Invalid::new(
                "compile-limit",
                "component",
                format!("{seen} {what} by byte {offset}, the limit is {max}; leave some out, or split it into several components"),
            ));
        }
        Ok(())
    }
}

fn count(wasm: &[u8], limits: &Limits) -> Result<Outline, Invalid> {
    let mut outline = Outline::default();
    let mut functions = Count::new("functions", FUNCTIONS_MAX);
    let mut targets = Count::new("branch table targets", BR_TABLE_TARGETS_MAX);
    let mut types = Count::new("types", TYPES_MAX);
    let mut exports = Count::new("exports", EXPORTS_MAX);
    let mut segments = Count::new("data segments", DATA_SEGMENTS_MAX);
    let mut memory = Count::new("bytes of initial memory", limits.memory_bytes as u64);
    let mut memories = Count::new("memories", limits.memories as u64);
    let mut tables = Count::new("tables", limits.tables as u64);
    let mut table_elements = Count::new("elements of tables to begin with", limits.table_elements as u64);
    let mut constants = Count::new("operators in constant expressions", CONSTANT_OPERATORS_MAX);
    let mut elements = Count::new("table elements", ELEMENTS_MAX);
    let mut parts = Count::new("parts", PARTS_MAX);
    let mut depth = 0u64;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| malformed(&error))? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(invalid(format!("a core module, not a component; {HINT} (or wrap it with `wasm-tools component new`)")));
            }
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                depth += 1;
                let mut nesting = Count::new("levels of nesting", NESTING_MAX);
                nesting.add(depth, unchecked_range.start)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::TypeSection(section) => types.add(section.count().into(), section.range().start)?,
            Payload::CoreTypeSection(section) => types.add(section.count().into(), section.range().start)?,
            Payload::ComponentTypeSection(section) => types.add(section.count().into(), section.range().start)?,
            Payload::FunctionSection(section) => functions.add(section.count().into(), section.range().start)?,
            Payload::ExportSection(section) => exports.add(section.count().into(), section.range().start)?,
            Payload::DataSection(section) => {
                segments.add(section.count().into(), section.range().start)?;
                for each in section {
                    if let DataKind::Active { offset_expr, .. } = each.map_err(|error| malformed(&error))?.kind {
                        count_operators(&offset_expr, &mut constants)?;
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for each in section {
                    count_operators(&each.map_err(|error| malformed(&error))?.init_expr, &mut constants)?;
                }
            }
            Payload::TableSection(section) => {
                let at = section.range().start;
                tables.add(section.count().into(), at)?;
                for each in section {
                    let each = each.map_err(|error| malformed(&error))?;
                    table_elements.add(each.ty.initial, at)?;
                    if let TableInit::Expr(init) = each.init {
                        count_operators(&init, &mut constants)?;
                    }
                }
            }
            Payload::ElementSection(section) => {
                for each in section {
                    count_elements(&each.map_err(|error| malformed(&error))?, &mut elements, &mut constants)?;
                }
            }
            Payload::ImportSection(section) => parts.add(section.count().into(), section.range().start)?,
            Payload::ComponentAliasSection(section) => parts.add(section.count().into(), section.range().start)?,
            Payload::InstanceSection(section) => {
                let at = section.range().start;
                for each in section {
                    let given = match each.map_err(|error| malformed(&error))? {
                        Instance::Instantiate { args, .. } => args.len(),
                        Instance::FromExports(exports) => exports.len(),
                    };
                    parts.add(1 + given as u64, at)?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                let at = section.range().start;
                for each in section {
                    let given = match each.map_err(|error| malformed(&error))? {
                        ComponentInstance::Instantiate { args, .. } => args.len(),
                        ComponentInstance::FromExports(exports) => exports.len(),
                    };
                    parts.add(1 + given as u64, at)?;
                }
            }
            Payload::MemorySection(section) => {
                let at = section.range().start;
                memories.add(section.count().into(), at)?;
                for each in section {
                    let each = each.map_err(|error| malformed(&error))?;
                    let page = 1u64.checked_shl(each.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    memory.add(each.initial.saturating_mul(page), at)?;
                }
            }
            Payload::CodeSectionEntry(body) => check_body(&body, &mut targets)?,
            Payload::ComponentCanonicalSection(section) => {
                parts.add(section.count().into(), section.range().start)?;
                for each in section {
                    // The handles of a guest's own resources are kept by the host, without a limit of their own.
                    if let wasmparser::CanonicalFunction::ResourceNew { .. } = each.map_err(|error| malformed(&error))? {
                        let reason = "it defines resources of its own (`resource.new`), which tasks can't do";
                        return Err(Invalid::new("unsupported-feature", "component", reason));
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                parts.add(section.count().into(), section.range().start)?;
                for import in section.into_iter().filter(|_| depth == 0) {
                    outline.imports.push(import.map_err(|error| malformed(&error))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                exports.add(section.count().into(), section.range().start)?;
                if depth == 0 {
                    for export in section {
                        outline.exports.push(export.map_err(|error| malformed(&error))?.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn count_operators(constant: &ConstExpr<'_>, operators: &mut Count) -> Result<(), Invalid> {
    let mut reader = constant.get_operators_reader();
    while !reader.eof() {
        let at = reader.original_position();
        reader.read().map_err(|error| malformed(&error))?;
        operators.add(1, at)?;
    }
    Ok(())
}

fn count_elements(segment: &Element<'_>, elements: &mut Count, operators: &mut Count) -> Result<(), Invalid> {
    let at = segment.range.start;
    if let ElementKind::Active { offset_expr, .. } = &segment.kind {
        count_operators(offset_expr, operators)?;
    }
    match &segment.items {
        ElementItems::Functions(functions) => elements.add(functions.count().into(), at),
        ElementItems::Expressions(_, expressions) => {
            elements.add(expressions.count().into(), at)?;
            for each in expressions.clone() {
                count_operators(&each.map_err(|error| malformed(&error))?, operators)?;
            }
            Ok(())
        }
    }
}

fn check_body(body: &wasmparser::FunctionBody<'_>, targets: &mut Count) -> Result<(), Invalid> {
    let at = body.range().start;
    Count::new("bytes in one function", BODY_BYTES_MAX).add(body.range().len() as u64, at)?;
    let mut locals = Count::new("locals in one function", LOCALS_MAX);
    for group in body.get_locals_reader().map_err(|error| malformed(&error))? {
        locals.add(group.map_err(|error| malformed(&error))?.0.into(), at)?;
    }
    for operator in body.get_operators_reader().map_err(|error| malformed(&error))? {
        if let Operator::BrTable { targets: table } = operator.map_err(|error| malformed(&error))? {
            targets.add(u64::from(table.len()) + 1, at)?;
        }
    }
    Ok(())
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
            (module(format!("(func i32.const 0 br_table {})", "0 ".repeat(100_001))), "branch table"),
            (module(format!("(func {})", "nop ".repeat((1 << 20) + 1))), "bytes in one function"),
            (module((0..1_001).map(|i| format!("(func (export \"e{i}\"))")).collect()), "exports"),
            (module(format!("(memory 1) {}", "(data (i32.const 0) \"\")".repeat(10_001))), "data segments"),
            (module("(memory 65536)".into()), "initial memory"),
            (module("(memory 1024) (memory 1024) (memory 1)".into()), "initial memory"),
            (format!("(component {})", "(type u32)".repeat(10_001)), "types"),
            (module(format!("(global i32 i32.const 0 {})", "i32.const 1 i32.add ".repeat(50_000))), "constant expressions"),
            (module("(global i32 (i32.const 0))".repeat(50_001)), "constant expressions"),
            (module(format!("(func $f) (elem func {})", "$f ".repeat(500_001))), "table elements"),
            (format!("(component {})", "(core instance)".repeat(100_001)), "parts"),
            (nested(11), "nesting"),
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
