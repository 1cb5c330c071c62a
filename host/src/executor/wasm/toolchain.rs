//! Words the hints of a refusal for the toolchain that built the component.
//!
//! Called at registration, for a component that was refused. The hints are written for Rust, which has an SDK; the `producers` sections of a component
//! tell which toolchain built it. They are only read for this, so whatever they say harms nobody.

use wasmparser::{Chunk, KnownCustom, Parser, Payload, ProducersSectionReader};

use crate::model::Invalid;

/// How to build what is no component, or one of another WASI.
pub(super) const TARGET_HINT: &str = "build with --target wasm32-wasip2";
/// What to do with a program.
pub(super) const LIBRARY_HINT: &str = "make it a library with `crate-type = [\"cdylib\"]` that exports tasks";
/// What to do about a component that exports nothing.
pub(super) const EXPORT_HINT: &str = "does it call `export!` (or `export_tasks!`), with `crate-type = [\"cdylib\"]`?";

/// How deep sections of components within components are looked for.
const DEPTH_MAX: usize = 10;
/// Sections that are looked at, in all: the refusal is worded on a thread that serves requests.
const SECTIONS_MAX: usize = 10_000;
/// Fields of one section, and values of one field, that are looked at.
const FIELDS_MAX: usize = 64;

/// What built a component, as far as its hints differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Toolchain {
    Unknown,
    C,
    Rust,
    Go,
    // Their runtimes are written in C and Rust, and say so, too.
    JavaScript,
    Python,
}

impl Toolchain {
    /// By the name of a language or of a tool.
    fn named(name: &str) -> Self {
        match name {
            "Python" | "CPython" | "componentize-py" => Self::Python,
            "JavaScript" | "TypeScript" | "ComponentizeJS" | "componentize-js" | "StarlingMonkey" | "jco" => Self::JavaScript,
            "Go" | "TinyGo" => Self::Go,
            "Rust" | "rustc" => Self::Rust,
            "C" | "C11" | "C++" | "clang" | "Zig" | "zig" => Self::C,
            _ if name.starts_with("C_plus_plus") => Self::C,
            _ => Self::Unknown,
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Unknown | Self::Rust => None,
            Self::Python => Some("build it with `componentize-py --wit-path wit --world tasks componentize`, with the host's wit/"),
            Self::JavaScript => Some("build it with `jco componentize --wit wit --world-name tasks`, with the host's wit/"),
            Self::Go | Self::C => Some("build it as a component for WASI 0.2, with bindings for the world `tasks` of the host's wit/"),
        }
    }
}

/// The refusal with hints for the toolchain that built these bytes.
pub(super) fn reworded(refused: Invalid, wasm: &[u8]) -> Invalid {
    let hints = [TARGET_HINT, LIBRARY_HINT, EXPORT_HINT];
    if !hints.iter().any(|hint| refused.reason.contains(hint)) {
        return refused;
    }
    let Some(own) = toolchain(wasm).hint() else { return refused };
    let reason = hints.iter().fold(refused.reason, |reason, hint| reason.replace(hint, own));
    Invalid { reason, ..refused }
}

/// Reads the sections one after the other, as far as they can be read.
fn toolchain(wasm: &[u8]) -> Toolchain {
    let (mut found, mut around, mut parser, mut rest) = (Toolchain::Unknown, Vec::new(), Parser::new(0), wasm);
    for _ in 0..SECTIONS_MAX {
        let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) else { break };
        let mut skipped = 0;
        match payload {
            Payload::ModuleSection { parser: inner, .. } | Payload::ComponentSection { parser: inner, .. } if around.len() < DEPTH_MAX => {
                around.push(std::mem::replace(&mut parser, inner));
            }
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                skipped = size as usize;
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Producers(producers) = section.as_known() {
                    found = found.max(of_section(producers));
                }
            }
            Payload::End(_) => match around.pop() {
                Some(outer) => parser = outer,
                None => break,
            },
            _ => {}
        }
        rest = rest.get(consumed + skipped..).unwrap_or_default();
    }
    found
}

fn of_section(producers: ProducersSectionReader<'_>) -> Toolchain {
    let fields = producers.into_iter().take(FIELDS_MAX).map_while(Result::ok);
    let values = fields.flat_map(|field| field.values.into_iter().take(FIELDS_MAX).map_while(Result::ok));
    values.map(|value| Toolchain::named(value.name)).max().unwrap_or(Toolchain::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component around a module with a `producers` section that names this language.
    fn built_by(language: &str) -> Vec<u8> {
        let field = format!("\\01\\08language\\01\\{:02x}{language}\\00", language.len());
        wat::parse_str(format!("(component (core module (@custom \"producers\" \"{field}\")))")).unwrap()
    }

    #[test]
    fn hints_are_those_of_the_toolchain() {
        let reason = format!("it exports nothing; {EXPORT_HINT}");
        for (wasm, expected) in [
            (built_by("Rust"), EXPORT_HINT),
            (built_by("Brainfuck"), EXPORT_HINT),
            (built_by("Python"), "componentize-py"),
            (built_by("JavaScript"), "jco componentize"),
            (built_by("Go"), "as a component for WASI 0.2"),
            (built_by("C11"), "as a component for WASI 0.2"),
            (b"\0asm".to_vec(), EXPORT_HINT),
            // Of a runtime in Rust, within a component that says who made it.
            ([built_by("Rust"), built_by("Python")[8..].to_vec()].concat(), "componentize-py"),
        ] {
            let reworded = reworded(Invalid::new("missing-export", "component", reason.clone()), &wasm).reason;
            assert!(reworded.starts_with("it exports nothing; ") && reworded.contains(expected), "{reworded} / {expected}");
            assert_eq!(reworded.contains("cdylib"), expected == EXPORT_HINT, "{reworded}");
        }
        let other = Invalid::new("compile-limit", "component", "too large");
        assert_eq!(reworded(other.clone(), &built_by("Python")), other);
    }
}
