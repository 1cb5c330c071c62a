//! What an attempt wrote: stdout, stderr and log lines, in the order written, cut at a limit. The end of stderr is kept beside, because that is
//! where the runtimes of languages report an uncaught exception.
//!
//! Written by the WASI streams and by the interface `context`. Never blocks and never fails: a guest that floods its log loses
//! the end of it and nothing else.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// What a log ends with when it was cut.
const TRUNCATED: &str = "…truncated\n";
/// Bytes that one write may have: what the guest is told to split its output into.
const CHUNK: usize = 64 << 10;

/// Bytes of the end of stderr that are kept.
const SAID_BYTES_MAX: usize = 2 << 10;
/// What a text begins with whose beginning was cut.
const CUT: &str = "…";

/// A log that is being written. Clones write to the same log.
#[derive(Clone, Debug)]
pub(super) struct LogSink {
    buffer: Arc<Mutex<Buffer>>,
    is_stderr: bool,
}

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    max: usize,
    truncated: bool,
    /// The end of stderr: up to twice what is kept, so that little is moved for each write.
    stderr: Vec<u8>,
    stderr_cut: bool,
}

impl LogSink {
    /// An empty log that keeps `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        let buffer = Buffer { bytes: Vec::new(), max, truncated: false, stderr: Vec::new(), stderr_cut: false };
        Self { buffer: Arc::new(Mutex::new(buffer)), is_stderr: false }
    }

    /// The same log, as stderr writes to it.
    pub(super) fn stderr(&self) -> Self {
        Self { is_stderr: true, ..self.clone() }
    }

    /// Appends what fits.
    pub(super) fn write(&self, bytes: &[u8]) {
        let mut buffer = self.lock();
        if self.is_stderr {
            buffer.keep_end(bytes);
        }
        buffer.write(bytes);
    }

    /// The end of stderr: at most 2 KiB of whole characters.
    pub(super) fn stderr_end(&self) -> String {
        let buffer = self.lock();
        end(&buffer.stderr, buffer.stderr_cut)
    }

    /// The end of the whole log, as long.
    pub(super) fn log_end(&self) -> String {
        end(&self.lock().bytes, false)
    }

    /// What was written, with a mark at the end if something was cut.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut buffer = self.lock();
        let mut bytes = std::mem::take(&mut buffer.bytes);
        if buffer.truncated {
            if bytes.last().is_some_and(|last| *last != b'\n') {
                bytes.push(b'\n');
            }
            bytes.extend_from_slice(TRUNCATED.as_bytes());
        }
        bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.buffer.lock().expect("nothing panics while it holds a log")
    }
}

impl Buffer {
    fn write(&mut self, bytes: &[u8]) {
        if self.truncated {
            return;
        }
        let room = self.max - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.truncated = bytes.len() > room;
    }

    fn keep_end(&mut self, bytes: &[u8]) {
        let added = &bytes[bytes.len().saturating_sub(SAID_BYTES_MAX)..];
        self.stderr_cut |= added.len() < bytes.len();
        if self.stderr.len() + added.len() > 2 * SAID_BYTES_MAX {
            self.stderr.drain(..self.stderr.len() + added.len() - SAID_BYTES_MAX);
            self.stderr_cut = true;
        }
        self.stderr.extend_from_slice(added);
    }
}

/// The last bytes as text. It begins with a whole line if there is more than one, and with a mark if something before it was cut.
fn end(bytes: &[u8], was_cut: bool) -> String {
    let mut kept = &bytes[bytes.len().saturating_sub(SAID_BYTES_MAX)..];
    let is_cut = was_cut || kept.len() < bytes.len();
    if is_cut {
        let body = kept.trim_ascii_end();
        match body.iter().position(|byte| *byte == b'\n') {
            Some(line_break) => kept = &kept[line_break + 1..],
            // The bytes of a character that follow its first one.
            None => kept = &kept[kept.iter().take_while(|byte| **byte & 0xc0 == 0x80).count()..],
        }
    }
    let text = String::from_utf8_lossy(kept);
    let text = text.trim_matches(['\n', '\r', ' ']);
    if is_cut { format!("{CUT}{text}") } else { text.to_owned() }
}

impl IsTerminal for LogSink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogSink {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for LogSink {
    async fn ready(&mut self) {}
}

impl OutputStream for LogSink {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        LogSink::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl tokio::io::AsyncWrite for LogSink {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        LogSink::write(&self, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_at_its_limit() {
        let written = |max, parts: &[&str]| {
            let log = LogSink::new(max);
            parts.iter().for_each(|part| log.write(part.as_bytes()));
            String::from_utf8(log.take()).unwrap()
        };
        assert_eq!(written(10, &["hello", "world"]), "helloworld");
        assert_eq!(written(10, &["hello", "world!", "more"]), "helloworld\n…truncated\n");
        assert_eq!(written(6, &["hello\n", "x"]), "hello\n…truncated\n");
        assert_eq!(written(0, &["x"]), "…truncated\n");
        assert_eq!(written(0, &[]), "");
    }

    #[test]
    fn the_end_of_stderr_is_kept_beside_the_log() {
        let said = |parts: &[&[u8]]| {
            let log = LogSink::new(1 << 20);
            log.write(b"on stdout\n");
            parts.iter().for_each(|part| log.stderr().write(part));
            log.stderr_end()
        };
        assert_eq!(said(&[]), "");
        let log = LogSink::new(1 << 20);
        log.write(b"on stdout\n");
        assert_eq!((log.stderr_end().as_str(), log.log_end().as_str()), ("", "on stdout"));
        assert_eq!(said(&[b"\nTraceback:\n", b"  File 1\nKeyError: 'a'\n"]), "Traceback:\n  File 1\nKeyError: 'a'");
        assert_eq!(said(&[b"not \xff text\n"]), "not \u{fffd} text");
        // Cut at a line; in one long line, at a character.
        let lines: String = (0..1_000).map(|line| format!("line {line}\n")).collect();
        let (whole, in_parts) = (said(&[lines.as_bytes()]), said(&lines.as_bytes().chunks(7).collect::<Vec<_>>()));
        for said in [whole, in_parts] {
            assert!(said.len() <= SAID_BYTES_MAX + CUT.len() && said.starts_with("…line ") && said.ends_with("\nline 999"), "{said}");
        }
        let long = said(&["ü".repeat(5_000).as_bytes(), b"!"]);
        assert!(long.len() <= SAID_BYTES_MAX + CUT.len() && long.starts_with("…ü") && long.ends_with("ü!"), "{long}");
    }
}
