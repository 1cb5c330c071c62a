//! Counts the parts of a component that cost its compiler time and memory, and refuses the components that have too many.
//!
//! Called by `precheck`. Each limit has at least twice the room of the components that the stock toolchains make: `tests/tests/suite/toolchains`
//! holds the table with the measured counts. What these limits let through is bounded by the memory and the processor time of the child process.

use wasmparser::{
    BinaryReaderError, ComponentInstance, ConstExpr, DataKind, Element, ElementItems, ElementKind, Encoding, Instance, Operator, Parser,
    Payload, TableInit,
};

use crate::model::Invalid;
use crate::model::limits::Limits;

use super::precheck::{Outline, invalid, malformed};
use super::toolchain::TARGET_HINT as HINT;

/// Functions in all core modules: 200,000 tiny ones take Cranelift 1.1 GB.
const FUNCTIONS_MAX: u64 = 50_000;
/// Bytes of one function.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// Targets of all `br_table`s. Go 1.27 makes 105,825 of them; the child's processor time bounds those that are slow to compile.
const BR_TABLE_TARGETS_MAX: u64 = 250_000;
/// Locals of one function.
const LOCALS_MAX: u64 = 5_000;
/// Components within components.
const NESTING_MAX: u64 = 10;
const TYPES_MAX: u64 = 10_000;
/// Exports of all modules and components. CPython's modules have 4,296.
const EXPORTS_MAX: u64 = 10_000;
/// Go 1.27 makes 43,973 of them.
const DATA_SEGMENTS_MAX: u64 = 100_000;
/// Operators in all constant expressions: each instantiation computes them again, and nothing interrupts it there. Each active data segment has
/// two or more.
const CONSTANT_OPERATORS_MAX: u64 = 250_000;
/// Elements of all segments, which each instantiation copies into tables. An interpreter of another language has some 50,000.
const ELEMENTS_MAX: u64 = 500_000;
/// Imports, aliases, instances and their arguments, and canonical functions. Each takes a few bytes of the file, and a hundred bytes of memory
/// while it is validated. The largest components of other languages have some 5,000.
const PARTS_MAX: u64 = 100_000;
/// Imports and exports of the outermost component, and the bytes of their names. The host reads these names from the child process.
const NAMES_MAX: u64 = 1_000;
const NAME_BYTES_MAX: u64 = 64 << 10;

/// A number with a limit.
struct Count {
    what: &'static str,
    seen: u64,
    max: u64,
}

impl Count {
    const fn new(what: &'static str, max: u64) -> Self {
        Self { what, seen: 0, max }
    }

    /// Adds to a sum.
    fn add(&mut self, more: u64, offset: usize) -> Result<(), Invalid> {
        self.set(self.seen.saturating_add(more), offset)
    }

    /// Raises a maximum.
    fn most(&mut self, value: u64, offset: usize) -> Result<(), Invalid> {
        self.set(self.seen.max(value), offset)
    }

    fn set(&mut self, seen: u64, offset: usize) -> Result<(), Invalid> {
        self.seen = seen;
        if seen > self.max {
            let Self { what, max, .. } = self;
            return Err(Invalid::new(
                "compile-limit",
                "component",
                format!("{seen} {what} by byte {offset}, the limit is {max}; leave some out, or split it into several components"),
            ));
        }
        Ok(())
    }
}

/// What is counted of one component.
pub(super) struct Counts {
    functions: Count,
    body_bytes: Count,
    locals: Count,
    targets: Count,
    nesting: Count,
    types: Count,
    exports: Count,
    segments: Count,
    memory: Count,
    memories: Count,
    tables: Count,
    table_elements: Count,
    constants: Count,
    elements: Count,
    parts: Count,
    names: Count,
    name_bytes: Count,
}

impl Counts {
    fn new(limits: &Limits) -> Self {
        Self {
            functions: Count::new("functions", FUNCTIONS_MAX),
            body_bytes: Count::new("bytes in one function", BODY_BYTES_MAX),
            locals: Count::new("locals in one function", LOCALS_MAX),
            targets: Count::new("branch table targets", BR_TABLE_TARGETS_MAX),
            nesting: Count::new("levels of nesting", NESTING_MAX),
            types: Count::new("types", TYPES_MAX),
            exports: Count::new("exports", EXPORTS_MAX),
            segments: Count::new("data segments", DATA_SEGMENTS_MAX),
            memory: Count::new("bytes of initial memory", limits.memory_bytes as u64),
            memories: Count::new("memories", limits.memories as u64),
            tables: Count::new("tables", limits.tables as u64),
            table_elements: Count::new("elements of tables to begin with", limits.table_elements as u64),
            constants: Count::new("operators in constant expressions", CONSTANT_OPERATORS_MAX),
            elements: Count::new("table elements", ELEMENTS_MAX),
            parts: Count::new("parts", PARTS_MAX),
            names: Count::new("imports and exports of the component itself", NAMES_MAX),
            name_bytes: Count::new("bytes in the names of its imports and exports", NAME_BYTES_MAX),
        }
    }

    /// What was counted, how many there are, and the limit.
    #[cfg(any(test, feature = "test-util"))]
    fn figures(&self) -> Vec<(&'static str, u64, u64)> {
        let all = [
            &self.functions,
            &self.body_bytes,
            &self.locals,
            &self.targets,
            &self.nesting,
            &self.types,
            &self.exports,
            &self.segments,
            &self.memory,
            &self.memories,
            &self.tables,
            &self.table_elements,
            &self.constants,
            &self.elements,
            &self.parts,
            &self.names,
            &self.name_bytes,
        ];
        all.into_iter().map(|count| (count.what, count.seen, count.max)).collect()
    }

    fn name(&mut self, name: &str, offset: usize) -> Result<String, Invalid> {
        self.names.add(1, offset)?;
        self.name_bytes.add(name.len() as u64, offset)?;
        Ok(name.to_owned())
    }

    fn instance(&mut self, arguments: usize, offset: usize) -> Result<(), Invalid> {
        self.parts.add(1 + arguments as u64, offset)
    }

    fn operators(&mut self, constant: &ConstExpr<'_>) -> Result<(), Invalid> {
        let mut reader = constant.get_operators_reader();
        while !reader.eof() {
            let at = reader.original_position();
            reader.read().map_err(|error| malformed(&error))?;
            self.constants.add(1, at)?;
        }
        Ok(())
    }

    fn segment(&mut self, segment: &Element<'_>) -> Result<(), Invalid> {
        let at = segment.range.start;
        if let ElementKind::Active { offset_expr, .. } = &segment.kind {
            self.operators(offset_expr)?;
        }
        match &segment.items {
            ElementItems::Functions(functions) => self.elements.add(functions.count().into(), at),
            ElementItems::Expressions(_, expressions) => {
                self.elements.add(expressions.count().into(), at)?;
                for each in expressions.clone() {
                    self.operators(&each.map_err(|error| malformed(&error))?)?;
                }
                Ok(())
            }
        }
    }

    fn body(&mut self, body: &wasmparser::FunctionBody<'_>) -> Result<(), Invalid> {
        let at = body.range().start;
        self.body_bytes.most(body.range().len() as u64, at)?;
        let mut locals = 0u64;
        for group in body.get_locals_reader().map_err(|error| malformed(&error))? {
            locals += u64::from(group.map_err(|error| malformed(&error))?.0);
            self.locals.most(locals, at)?;
        }
        for operator in body.get_operators_reader().map_err(|error| malformed(&error))? {
            if let Operator::BrTable { targets: table } = operator.map_err(|error| malformed(&error))? {
                self.targets.add(u64::from(table.len()) + 1, at)?;
            }
        }
        Ok(())
    }
}

/// Counts the component's parts. Fails at the first number that is over its limit.
pub(super) fn count(wasm: &[u8], limits: &Limits) -> Result<(Outline, Counts), Invalid> {
    let (mut outline, mut counts, mut depth) = (Outline::default(), Counts::new(limits), 0u64);
    let read = |error: BinaryReaderError| malformed(&error);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(read)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(invalid(format!("a core module, not a component; {HINT} (or wrap it with `wasm-tools component new`)")));
            }
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                depth += 1;
                counts.nesting.most(depth, unchecked_range.start)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::TypeSection(section) => counts.types.add(section.count().into(), section.range().start)?,
            Payload::CoreTypeSection(section) => counts.types.add(section.count().into(), section.range().start)?,
            Payload::ComponentTypeSection(section) => counts.types.add(section.count().into(), section.range().start)?,
            Payload::FunctionSection(section) => counts.functions.add(section.count().into(), section.range().start)?,
            Payload::ExportSection(section) => counts.exports.add(section.count().into(), section.range().start)?,
            Payload::DataSection(section) => {
                counts.segments.add(section.count().into(), section.range().start)?;
                for each in section {
                    if let DataKind::Active { offset_expr, .. } = each.map_err(read)?.kind {
                        counts.operators(&offset_expr)?;
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for each in section {
                    counts.operators(&each.map_err(read)?.init_expr)?;
                }
            }
            Payload::TableSection(section) => {
                let at = section.range().start;
                counts.tables.add(section.count().into(), at)?;
                for each in section {
                    let each = each.map_err(read)?;
                    counts.table_elements.add(each.ty.initial, at)?;
                    if let TableInit::Expr(init) = each.init {
                        counts.operators(&init)?;
                    }
                }
            }
            Payload::ElementSection(section) => {
                for each in section {
                    counts.segment(&each.map_err(read)?)?;
                }
            }
            Payload::ImportSection(section) => counts.parts.add(section.count().into(), section.range().start)?,
            Payload::ComponentAliasSection(section) => counts.parts.add(section.count().into(), section.range().start)?,
            Payload::InstanceSection(section) => {
                let at = section.range().start;
                for each in section {
                    let arguments = match each.map_err(read)? {
                        Instance::Instantiate { args, .. } => args.len(),
                        Instance::FromExports(exports) => exports.len(),
                    };
                    counts.instance(arguments, at)?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                let at = section.range().start;
                for each in section {
                    let arguments = match each.map_err(read)? {
                        ComponentInstance::Instantiate { args, .. } => args.len(),
                        ComponentInstance::FromExports(exports) => exports.len(),
                    };
                    counts.instance(arguments, at)?;
                }
            }
            Payload::MemorySection(section) => {
                let at = section.range().start;
                counts.memories.add(section.count().into(), at)?;
                for each in section {
                    let each = each.map_err(read)?;
                    let page = 1u64.checked_shl(each.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    counts.memory.add(each.initial.saturating_mul(page), at)?;
                }
            }
            Payload::CodeSectionEntry(body) => counts.body(&body)?,
            Payload::ComponentCanonicalSection(section) => {
                counts.parts.add(section.count().into(), section.range().start)?;
                for each in section {
                    // The handles of a guest's own resources are kept by the host, without a limit of their own.
                    if let wasmparser::CanonicalFunction::ResourceNew { .. } = each.map_err(read)? {
                        let reason = "it defines resources of its own (`resource.new`), which tasks can't do";
                        return Err(Invalid::new("unsupported-feature", "component", reason));
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                let at = section.range().start;
                counts.parts.add(section.count().into(), at)?;
                for import in section.into_iter().filter(|_| depth == 0) {
                    outline.imports.push(counts.name(import.map_err(read)?.name.name, at)?);
                }
            }
            Payload::ComponentExportSection(section) => {
                let at = section.range().start;
                counts.exports.add(section.count().into(), at)?;
                for export in section.into_iter().filter(|_| depth == 0) {
                    outline.exports.push(counts.name(export.map_err(read)?.name.name, at)?);
                }
            }
            _ => {}
        }
    }
    Ok((outline, counts))
}

/// The counted parts of a component: what is counted, how many there are, and the limit.
#[cfg(any(test, feature = "test-util"))]
pub fn component_counts(wasm: &[u8]) -> Result<Vec<(&'static str, u64, u64)>, Invalid> {
    count(wasm, &Limits::default()).map(|(_, counts)| counts.figures())
}
