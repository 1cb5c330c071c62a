//! What an attempt wrote: stdout, stderr and log lines, in the order written, cut at a limit.
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

/// A log that is being written. Clones write to the same log.
#[derive(Clone, Debug)]
pub(super) struct LogSink(Arc<Mutex<Buffer>>);

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    max: usize,
    truncated: bool,
}

impl LogSink {
    /// An empty log that keeps `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(Buffer { bytes: Vec::new(), max, truncated: false })))
    }

    /// Appends what fits.
    pub(super) fn write(&self, bytes: &[u8]) {
        self.lock().write(bytes);
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
        self.0.lock().expect("nothing panics while it holds a log")
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
}
