//! Measures the patterns of a JSON Schema: how many bytes each is compiled to.
//!
//! A pattern is small in the schema and can be large when it is compiled. Its compiled size says how much memory it takes, and how long it may
//! take for each byte of a string.

use std::collections::BTreeMap;

use jsonschema::PatternOptions;
use serde_json::json;

use super::Invalid;
use super::limits::{SCHEMA_PATTERN_BYTES_MAX, SCHEMA_PATTERNS_BYTES_MAX, SCHEMA_PATTERNS_MAX, SCHEMA_SEQUENCE_BYTES_MAX};

/// The least size that is told apart.
const LEAST: usize = 1 << 10;

/// What a pattern is compiled to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Bytes of its program, rounded up to a power of two.
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
    /// Compiles the pattern within one limit after another.
    pub(super) fn measure(&mut self, pattern: &'a str) -> Result<Measured, Invalid> {
        if let Some(measured) = self.measured.get(pattern) {
            return Ok(*measured);
        }
        if self.measured.len() >= SCHEMA_PATTERNS_MAX {
            return Err(invalid(format!("more than {SCHEMA_PATTERNS_MAX} different patterns; describe less")));
        }
        // `jsonschema` needs no program for some of them at first. As an alternative, each needs one.
        let (plain, alternative) = (json!({ "pattern": pattern }), json!({ "pattern": format!("(?:{pattern})|(?:\\x00\\x00)") }));
        let is_sequence = options(1, 1).build(&plain).is_ok();
        let max = if is_sequence { SCHEMA_SEQUENCE_BYTES_MAX } else { SCHEMA_PATTERN_BYTES_MAX };
        let mut size = LEAST;
        while options(size, size).build(&alternative).is_err() {
            if size >= max {
                let reason = "not a JSON Schema that can be checked: a pattern is no regular expression that is matched in linear time, or is \
                              compiled to too many bytes";
                return Err(invalid(reason.into()).seen(pattern));
            }
            size *= 2;
        }
        self.sum += size as u64;
        if self.sum > SCHEMA_PATTERNS_BYTES_MAX as u64 {
            let reason = format!(
                "its patterns are compiled to more than {SCHEMA_PATTERNS_BYTES_MAX} bytes in all; shorten the counts in braces, and name fewer \
                 characters with \\p"
            );
            return Err(invalid(reason).seen(pattern));
        }
        let measured = Measured { bytes: size as u64, is_sequence };
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

fn options(program: usize, dfa: usize) -> jsonschema::ValidationOptions<'static> {
    jsonschema::options().with_pattern_options(PatternOptions::regex().size_limit(program).dfa_size_limit(dfa))
}

fn invalid(reason: String) -> Invalid {
    Invalid::new("invalid-schema", "input-schema", reason)
}
