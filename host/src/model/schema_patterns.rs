//! Measures the patterns of a JSON Schema: how many bytes each is compiled to.
//!
//! A pattern is small in the schema and can be large when it is compiled. Its compiled size says how much memory it takes, and how long it may
//! take for each byte of a string.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jsonschema::PatternOptions;
use serde_json::json;

use super::Invalid;
use super::limits::{SCHEMA_PATTERN_BYTES_MAX, SCHEMA_PATTERNS_BYTES_MAX, SCHEMA_PATTERNS_MAX, SCHEMA_SEQUENCE_BYTES_MAX};

/// The least size that is told apart, and the factor between one size and the next.
const LEAST: usize = 1 << 10;
const STEP: usize = 4;

/// What a pattern is compiled to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Bytes of its program, rounded up to a power of four.
    pub(super) bytes: u64,
    /// Whether ASCII text is matched without the program.
    pub(super) is_sequence: bool,
}

/// The distinct patterns that were measured.
#[derive(Default)]
pub(super) struct Patterns<'a> {
    measured: BTreeMap<&'a str, Measured>,
    sum: u64,
}

impl<'a> Patterns<'a> {
    /// What the pattern is compiled to, if all patterns together stay within their bounds.
    pub(super) fn measure(&mut self, pattern: &'a str) -> Result<Measured, Invalid> {
        if let Some(measured) = self.measured.get(pattern) {
            return Ok(*measured);
        }
        if self.measured.len() >= SCHEMA_PATTERNS_MAX {
            return Err(invalid(format!("more than {SCHEMA_PATTERNS_MAX} different patterns; describe less")));
        }
        let measured = known(pattern).map_or_else(|| measure(pattern), Ok)?;
        self.sum += measured.bytes;
        if self.sum > SCHEMA_PATTERNS_BYTES_MAX as u64 {
            let reason = format!(
                "its patterns are compiled to more than {SCHEMA_PATTERNS_BYTES_MAX} bytes in all; shorten the counts in braces, and name fewer \
                 characters with \\p"
            );
            return Err(invalid(reason).seen(pattern));
        }
        self.measured.insert(pattern, measured);
        Ok(measured)
    }

    /// Bytes of memory that all of them take at most, with what matching keeps on two threads.
    pub(super) fn memory(&self) -> u64 {
        let kept = self.dfa_bytes() as u64;
        self.measured.values().map(|pattern| (8 << 10) + 3 * pattern.bytes + 4 * kept.min(32 * pattern.bytes)).sum()
    }

    /// Bytes that matching one pattern keeps on a thread, in each direction: a share of what all of them may keep.
    fn dfa_bytes(&self) -> usize {
        SCHEMA_PATTERN_BYTES_MAX / self.measured.len().max(1)
    }

    /// How patterns are compiled for checks: without backtracking, so in time that is linear in the string.
    pub(super) fn options(&self) -> jsonschema::ValidationOptions<'static> {
        options(SCHEMA_PATTERN_BYTES_MAX, self.dfa_bytes())
    }
}

/// What was measured before: many schemas share their patterns, for example those of dates.
static KNOWN: Mutex<BTreeMap<String, Measured>> = Mutex::new(BTreeMap::new());
/// Patterns that are remembered, and bytes of each.
const KNOWN_MAX: usize = 4_096;
const KNOWN_BYTES_MAX: usize = 1_024;

fn known(pattern: &str) -> Option<Measured> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(pattern).copied()
}

/// Compiles the pattern within one limit after another.
fn measure(pattern: &str) -> Result<Measured, Invalid> {
    // `jsonschema` needs no program for some of them at first. As an alternative, each needs one.
    let alternative = json!({ "pattern": format!("(?:{pattern})|(?:\\x00\\x00)") });
    let fits = |bytes: usize| options(bytes, bytes).build(&alternative).is_ok();
    let mut bytes = LEAST;
    while bytes <= SCHEMA_PATTERN_BYTES_MAX && !fits(bytes) {
        bytes *= STEP;
    }
    let is_sequence = bytes > LEAST && options(1, 1).build(&json!({ "pattern": pattern })).is_ok();
    if bytes > SCHEMA_PATTERN_BYTES_MAX && !(is_sequence && fits(SCHEMA_SEQUENCE_BYTES_MAX)) {
        let reason = "not a JSON Schema that can be checked: a pattern is no regular expression that is matched in linear time, or is \
                      compiled to too many bytes";
        return Err(invalid(reason.into()).seen(pattern));
    }
    let measured = Measured { bytes: bytes as u64, is_sequence };
    if pattern.len() <= KNOWN_BYTES_MAX {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(pattern.to_owned(), measured);
    }
    Ok(measured)
}

fn options(program: usize, dfa: usize) -> jsonschema::ValidationOptions<'static> {
    jsonschema::options().with_pattern_options(PatternOptions::regex().size_limit(program).dfa_size_limit(dfa))
}

fn invalid(reason: String) -> Invalid {
    Invalid::new("invalid-schema", "input-schema", reason)
}
