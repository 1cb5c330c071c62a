//! Reading what a command was given as a file, or as standard input: never more than it may have.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::failure::{self, Exit, Failure};
use super::screen::clean;

/// What a command expects to read.
pub(super) struct Expected {
    pub(super) bytes_max: usize,
    /// How it is refused if it has more, with which code, and what is said of the limit.
    pub(super) too_large: (Exit, &'static str, &'static str),
    /// What to give in place of something that is no file.
    pub(super) instead: &'static str,
}

/// Reads a file. Anything else is refused before it is opened: a pipe or a device might never end, or never begin.
pub(super) fn read(path: &Path, expected: &Expected) -> anyhow::Result<Vec<u8>> {
    if length(path, expected.instead)? > expected.bytes_max as u64 {
        return Err(too_large(path, expected));
    }
    // It may have grown meanwhile.
    read_bounded(fs::File::open(path).map_err(|error| failure::io("read", path, &error))?, path, expected)
}

/// How many bytes a file has. Anything else is refused, with what to give `instead`.
pub(super) fn length(path: &Path, instead: &str) -> anyhow::Result<u64> {
    let kind = fs::metadata(path).map_err(|error| failure::io("read", path, &error))?;
    if kind.is_file() {
        return Ok(kind.len());
    }
    let what = if kind.is_dir() { "is a folder" } else { "is not a file" };
    Err(Failure::new(Exit::Io, "io", format!("{} {what}; {instead}", clean(&path.display().to_string()))).into())
}

/// Reads to the end, unless that is too far.
pub(super) fn read_bounded(from: impl Read, path: &Path, expected: &Expected) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(expected.bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| failure::io("read", path, &error))?;
    if bytes.len() > expected.bytes_max { Err(too_large(path, expected)) } else { Ok(bytes) }
}

fn too_large(path: &Path, expected: &Expected) -> anyhow::Error {
    let (exit, code, limit) = expected.too_large;
    let message = format!("{} has more than {} bytes{limit}", clean(&path.display().to_string()), expected.bytes_max);
    Failure::new(exit, code, message).into()
}
