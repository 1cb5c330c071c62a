//! The bytes between the host and the process that compiles: one request, and one answer.
//!
//! Used by both sides. The process that compiles works on hostile input, so the host believes nothing of an answer that it can check: its
//! form, its length before anything is allocated, the engine that the code is for, and the code of a refusal.

use std::cmp::Ordering;
use std::io::{self, Read, Write};

use crate::model::Invalid;
use crate::model::limits::Limits;

use super::precheck::Outline;

const REQUEST: &[u8; 4] = b"RLQ1";
const ANSWER: &[u8; 4] = b"RLA1";
/// Bytes of an outline or a refusal, whose texts are bounded far below.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Bytes of machine code. The components of CPython and componentize-js make 36 MiB each.
pub(super) const CODE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the engine's hash.
pub(super) const ENGINE_HASH_BYTES: usize = 16;
/// Characters of a refusal's reason.
const REASON_CHARS_MAX: usize = 2_048;
/// The codes of the refusals that the process may return.
const REFUSALS: [&str; 4] = ["invalid-component", "unsupported-feature", "compile-limit", "component-too-large"];

/// What the process does with the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Parse, count and validate it.
    Check,
    /// Make machine code of it.
    Compile,
}

/// What precedes the component on the standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) work: Work,
    /// Bytes of the component, which follow.
    pub(super) wasm_bytes: u64,
    /// Those of the limits that a check compares with.
    pub(super) limits: Limits,
}

impl Request {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let Limits { memory_bytes, memories, tables, table_elements, .. } = self.limits;
        to.write_all(REQUEST)?;
        to.write_all(&[match self.work {
            Work::Check => 0,
            Work::Compile => 1,
        }])?;
        to.write_all(&self.wasm_bytes.to_le_bytes())?;
        for limit in [memory_bytes, memories, tables, table_elements] {
            to.write_all(&(limit as u64).to_le_bytes())?;
        }
        Ok(())
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut begin = [0; 5];
        from.read_exact(&mut begin)?;
        let work = match (begin.strip_prefix(REQUEST), begin[4]) {
            (Some(_), 0) => Work::Check,
            (Some(_), 1) => Work::Compile,
            _ => return Err(unexpected("not a request to compile")),
        };
        let wasm_bytes = number(from)?;
        let mut limit = || number(from).map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let (memory_bytes, memories, tables, table_elements) = (limit()?, limit()?, limit()?, limit()?);
        Ok(Self { work, wasm_bytes, limits: Limits { memory_bytes, memories, tables, table_elements, ..Limits::default() } })
    }
}

/// What the process says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is valid, and has these imports and exports.
    Outline(Outline),
    /// Its machine code, for the engine of this hash.
    Code(Vec<u8>),
    /// It is at fault.
    Refused(Invalid),
}

/// The text form of a refusal.
#[derive(serde::Serialize, serde::Deserialize)]
struct Refusal {
    code: String,
    reason: String,
    seen: Option<String>,
}

impl Answer {
    pub(super) fn write(&self, engine_hash: &str, to: &mut impl Write) -> io::Result<()> {
        let (kind, text) = match self {
            Self::Outline(outline) => (0, serde_json::to_vec(outline)?),
            Self::Code(code) => {
                to.write_all(ANSWER)?;
                to.write_all(&[1])?;
                to.write_all(&(code.len() as u64).to_le_bytes())?;
                to.write_all(engine_hash.as_bytes())?;
                return to.write_all(code);
            }
            Self::Refused(Invalid { code, reason, seen, .. }) => {
                let reason = reason.chars().take(REASON_CHARS_MAX).collect();
                (2, serde_json::to_vec(&Refusal { code: (*code).to_owned(), reason, seen: seen.clone() })?)
            }
        };
        to.write_all(ANSWER)?;
        to.write_all(&[kind])?;
        to.write_all(&(text.len() as u64).to_le_bytes())?;
        to.write_all(&text)
    }

    /// Reads one answer and the end of the stream behind it. `engine_hash` is that of the engine which will load the code.
    pub(super) fn read(mut from: impl Read, engine_hash: &str) -> io::Result<Self> {
        let mut begin = [0; 5];
        from.read_exact(&mut begin)?;
        if begin.strip_prefix(ANSWER).is_none() {
            return Err(unexpected("not an answer"));
        }
        let length = number(&mut from)?;
        if begin[4] == 1 {
            let mut hash = [0; ENGINE_HASH_BYTES];
            from.read_exact(&mut hash)?;
            if hash != engine_hash.as_bytes() {
                return Err(unexpected("code for another engine: the program that compiles is another version"));
            }
            let code = rest(from, length, CODE_BYTES_MAX)?;
            return if wasmtime::Engine::detect_precompiled(&code) == Some(wasmtime::Precompiled::Component) {
                Ok(Self::Code(code))
            } else {
                Err(unexpected("not the machine code of a component"))
            };
        }
        let text = rest(from, length, TEXT_BYTES_MAX)?;
        match begin[4] {
            0 => Ok(Self::Outline(serde_json::from_slice(&text)?)),
            2 => {
                let Refusal { code, reason, seen } = serde_json::from_slice(&text)?;
                let code = REFUSALS.into_iter().find(|known| *known == code).ok_or_else(|| unexpected("an unknown refusal"))?;
                let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
                let refused = Invalid::new(code, "component", reason);
                Ok(Self::Refused(match seen {
                    // Escaped by the other side already, and again if that side lies.
                    Some(seen) if seen.chars().count() <= 64 * 10 + 1 && !seen.contains(char::is_control) => {
                        Invalid { seen: Some(seen), ..refused }
                    }
                    Some(seen) => refused.seen(seen),
                    None => refused,
                }))
            }
            _ => Err(unexpected("an answer of an unknown kind")),
        }
    }
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The last part of a stream, which is exactly this long.
fn rest(from: impl Read, length: u64, max: u64) -> io::Result<Vec<u8>> {
    if length > max {
        return Err(unexpected("longer than is accepted"));
    }
    let mut bytes = Vec::new();
    // One byte more, which must not be there.
    from.take(length + 1).read_to_end(&mut bytes)?;
    match (bytes.len() as u64).cmp(&length) {
        Ordering::Equal => Ok(bytes),
        Ordering::Less => Err(io::ErrorKind::UnexpectedEof.into()),
        Ordering::Greater => Err(unexpected("longer than it says")),
    }
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef";

    fn written(answer: &Answer) -> Vec<u8> {
        let mut bytes = Vec::new();
        answer.write(HASH, &mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Answer, String> {
        Answer::read(bytes, HASH).map_err(|error| error.to_string())
    }

    fn code() -> Vec<u8> {
        let engine = super::super::engine::compiling(&Limits::default()).unwrap();
        engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap()
    }

    #[test]
    fn both_sides_understand_each_other() {
        let limits = Limits { memory_bytes: 1, memories: 2, tables: 3, table_elements: 4, ..Limits::default() };
        for work in [Work::Check, Work::Compile] {
            let request = Request { work, wasm_bytes: 7, limits: limits.clone() };
            let mut bytes = Vec::new();
            request.write(&mut bytes).unwrap();
            assert_eq!(Request::read(&mut &bytes[..]).unwrap(), request);
            assert!(Request::read(&mut &bytes[1..]).is_err());
        }
        let outline = Outline { imports: vec!["a:b/c".into()], exports: vec![] };
        let refused = Invalid::new("compile-limit", "component", "too many").seen("\u{1b}[31m");
        for answer in [Answer::Outline(outline), Answer::Code(code()), Answer::Refused(refused)] {
            let bytes = written(&answer);
            assert_eq!(read(&bytes).unwrap(), answer);
            for cut in [0, 4, 5, 12, 13, bytes.len() - 1] {
                assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            assert!(read(&[&bytes[..], b"x"].concat()).is_err(), "something follows");
        }
    }

    #[test]
    fn what_a_seized_compiler_says_is_checked() {
        let long = |kind: u8, length: u64| [&ANSWER[..], &[kind], &length.to_le_bytes(), HASH.as_bytes()].concat();
        let refusal = |code: &str| {
            let text = format!(r#"{{"code":"{code}","reason":"r","seen":null}}"#);
            [&ANSWER[..], &[2], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
        };
        let of_another = written(&Answer::Code(code()));
        let of_another = [&of_another[..13], b"fedcba9876543210", &of_another[29..]].concat();
        for (bytes, expected) in [
            (long(1, u64::MAX), "longer than is accepted"),
            (long(1, CODE_BYTES_MAX + 1), "longer than is accepted"),
            (long(0, TEXT_BYTES_MAX + 1), "longer than is accepted"),
            (long(1, 0), "not the machine code"),
            (written(&Answer::Code(b"\0asm".to_vec())), "not the machine code"),
            (of_another, "another engine"),
            (refusal("unauthorized"), "unknown refusal"),
            (long(3, 16), "unknown kind"),
            (b"HTTP/1.1 200 OK\r\n".to_vec(), "not an answer"),
        ] {
            let said = read(&bytes).unwrap_err();
            assert!(said.contains(expected), "{said} / {expected}");
        }
        let endless = Answer::Refused(Invalid::new("compile-limit", "component", "é".repeat(100_000)));
        let Answer::Refused(refused) = read(&written(&endless)).unwrap() else { panic!("a refusal") };
        assert_eq!(refused.reason.chars().count(), REASON_CHARS_MAX);
    }
}
