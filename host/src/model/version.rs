//! What tells two states of a run apart.

use std::fmt;

use super::{Digest, Run};

/// A run as somebody saw it. It follows from what the run holds: equal versions hold the same, whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// Of a run as it stands. Leaves out what never changes, and the output, which comes with the end of the last attempt. The input
    /// changes when a debounced run is put off.
    pub fn of(run: &Run) -> Self {
        let changing = (
            (run.id, run.status, &run.reason, &run.message, run.trigger_at, run.due_at, run.started_at, run.finished_at),
            (run.attempts, run.cancel_requested, run.priority, &run.metadata, &run.progress),
            (run.input.media_type(), Digest::of(run.input.bytes())),
        );
        // The debug form tells all of it; that another release may write it otherwise costs callers one more look.
        let digest = Digest::of(format!("{changing:?}").as_bytes());
        Self(u64::from_be_bytes(*digest.as_bytes().first_chunk().expect("SHA-256 has 32 bytes")))
    }

    /// Parses 16 hexadecimal digits; `None` for what is no version, and so nobody's.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 16 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for version in [Version(0), Version(0xfedc_ba98_7654_3210)] {
            assert_eq!(Version::parse(&version.to_string()), Some(version));
        }
        for text in ["", "0", "00000000000000000", "000000000000000G", "+00000000000000f", "FEDCBA9876543210"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
