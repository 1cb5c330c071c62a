//! The interface `context`: what an attempt knows of itself.

use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::{context, types};
use crate::model::Progress;
use crate::model::limits::PROGRESS_NOTE_BYTES_MAX;

use super::types::{instant, metadata, origin};

impl context::Host for AttemptState {
    fn id(&mut self) -> wasmtime::Result<String> {
        self.count_call()?;
        Ok(self.request.run.to_string())
    }

    fn task(&mut self) -> wasmtime::Result<String> {
        self.count_call()?;
        Ok(self.request.task.name.to_string())
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        self.count_call()?;
        Ok(self.request.attempt)
    }

    fn trigger_at(&mut self) -> wasmtime::Result<types::Instant> {
        self.count_call()?;
        Ok(instant(self.request.trigger_at))
    }

    fn deadline(&mut self) -> wasmtime::Result<types::Instant> {
        self.count_call()?;
        Ok(instant(self.started_at.saturating_add(self.request.timeout)))
    }

    fn now(&mut self) -> wasmtime::Result<types::Instant> {
        self.count_call()?;
        Ok(instant(self.host.clock.now()))
    }

    fn metadata(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.count_call()?;
        Ok(metadata(&self.request.metadata))
    }

    fn origin(&mut self) -> wasmtime::Result<types::Origin> {
        self.count_call()?;
        Ok(origin(self.request.origin))
    }

    fn parent(&mut self) -> wasmtime::Result<Option<String>> {
        self.count_call()?;
        Ok(self.request.parent.map(|parent| parent.to_string()))
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        self.count_call()?;
        Ok(self.request.cancel.is_set())
    }

    fn set_progress(&mut self, done: u64, total: u64, note: String) -> wasmtime::Result<()> {
        self.count_call()?;
        // A copy, because a text that is only cut keeps the memory of the whole.
        let note = note[..note.floor_char_boundary(PROGRESS_NOTE_BYTES_MAX)].to_owned();
        self.request.calls.progress(Progress { done, total, note });
        Ok(())
    }

    fn log(&mut self, level: context::Level, message: String) -> wasmtime::Result<()> {
        self.count_call()?;
        let level = match level {
            context::Level::Debug => "debug",
            context::Level::Info => "info",
            context::Level::Warn => "warn",
            context::Level::Error => "error",
        };
        for part in [level, ": ", message.trim_end_matches('\n'), "\n"] {
            self.write_log(part.as_bytes());
        }
        Ok(())
    }
}
