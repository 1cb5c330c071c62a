//! Charges what the host keeps for a guest's handles to the attempt's memory limit.
//!
//! Used by the host interfaces for every resource of ours: they keep, change, and give up values only through the methods here. The number of
//! handles alone would not bound the host's memory, because one handle may hold a task definition with megabytes of inputs.

use std::any::Any;

use wasmtime::component::Resource;

use crate::model::{Cron, CronSettings, LaneKey, Metadata, Payload, PolicySettings, Run, RunFilter, TaskDefinition};

use super::attempt::AttemptState;

/// Bytes of an entry in the table of resources and of the guest's handle to it, with what allocators add.
const ENTRY_BYTES: usize = 128;
/// Bytes of a small allocation beside its content: reference counts, and what allocators round up.
const SMALL_BYTES: usize = 32;
/// Bytes of a parsed cron rule beside its text and its input.
const RULE_BYTES: usize = 512;
/// Bytes of a compiled input schema for each byte of its text.
const SCHEMA_FACTOR: usize = 64;

/// A value that the host keeps for a guest.
pub(super) trait Held: Any + Send {
    /// Bytes that the value occupies beyond its own size. At least as many as it does; need not be exact.
    fn heap_bytes(&self) -> usize;
}

impl AttemptState {
    /// Puts a value into the table of resources.
    ///
    /// # Errors
    ///
    /// The guest traps if it has no handle or no memory left.
    pub(super) fn keep<T: Held>(&mut self, value: T) -> wasmtime::Result<Resource<T>> {
        self.limiter.charge(charged(&value))?;
        Ok(self.table.push(value)?)
    }

    /// Changes a value in the table.
    ///
    /// # Errors
    ///
    /// The guest traps if there is no such value, or if the change needs more memory than the attempt has left.
    pub(super) fn change<T: Held, R>(&mut self, handle: &Resource<T>, change: impl FnOnce(&mut T) -> R) -> wasmtime::Result<R> {
        let value = self.table.get_mut(handle)?;
        let before = value.heap_bytes();
        let changed = change(value);
        let after = value.heap_bytes();
        if after > before {
            self.limiter.charge(after - before)?;
        } else {
            self.limiter.release(before - after);
        }
        Ok(changed)
    }

    /// Takes a value out of the table.
    pub(super) fn release<T: Held>(&mut self, handle: Resource<T>) -> wasmtime::Result<T> {
        let value = self.table.delete(handle)?;
        self.limiter.release(charged(&value));
        Ok(value)
    }
}

fn charged<T: Held>(value: &T) -> usize {
    ENTRY_BYTES + size_of::<T>() + value.heap_bytes()
}

impl Held for Run {
    fn heap_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let reason = self.reason.as_ref().map_or(0, |reason| reason.len());
        let note = self.progress.as_ref().map_or(0, |progress| progress.note.len());
        small(self.task.as_str())
            + reason
            + text(&self.message)
            + text(&self.unique_key)
            + note
            + self.metadata.heap_bytes()
            + payload(&self.input)
            + self.output.as_ref().map_or(0, payload)
    }
}

impl Held for Cron {
    fn heap_bytes(&self) -> usize {
        let note = self.pause.as_ref().map_or(0, |pause| pause.note.len());
        small(self.name.as_str())
            + RULE_BYTES
            + self.spec.rule.text().len()
            + note
            + self.spec.metadata.heap_bytes()
            + payload(&self.spec.input)
    }
}

impl Held for CronSettings {
    fn heap_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
        let metadata = self.metadata.as_ref().map_or(0, Metadata::heap_bytes);
        text(&self.expression) + text(&self.timezone) + metadata + self.input.as_ref().map_or(0, payload)
    }
}

impl Held for RunFilter {
    fn heap_bytes(&self) -> usize {
        self.tasks.iter().map(|name| small(name.as_str())).sum::<usize>() + self.statuses.capacity() + self.metadata.heap_bytes()
    }
}

impl Held for TaskDefinition {
    fn heap_bytes(&self) -> usize {
        let schedule = |schedule: &crate::model::CodeSchedule| size_of_val(schedule) + schedule.key.capacity() + payload(&schedule.input);
        let cron = |cron: &crate::model::CodeCron| {
            size_of_val(cron) + small(cron.name.as_str()) + RULE_BYTES + cron.metadata().heap_bytes() + payload(cron.input())
        };
        small(self.name.as_str())
            + self.description.as_ref().map_or(0, String::capacity)
            + self.input_schema.as_ref().map_or(0, |schema| SCHEMA_FACTOR * schema.as_str().len())
            + self.policy.heap_bytes()
            + self.schedules.iter().map(schedule).sum::<usize>()
            + self.crons.iter().map(cron).sum::<usize>()
    }
}

impl Held for PolicySettings {
    fn heap_bytes(&self) -> usize {
        let delays = self.retry_delays.as_ref().map_or(0, |delays| size_of_val(delays.as_slice()));
        let lane = self.lane.as_ref().map_or(0, |lane| match lane {
            LaneKey::Input(path) => path.iter().map(|name| small(name)).sum(),
            LaneKey::Metadata(key) => small(key),
            LaneKey::Constant => 0,
        });
        delays + lane + self.on_failure.as_ref().map_or(0, |task| small(task.as_str()))
    }
}

impl Held for Metadata {
    fn heap_bytes(&self) -> usize {
        // Each entry is two texts of their own, and a place in the list.
        self.bytes() + self.iter().count() * 2 * (SMALL_BYTES + size_of::<String>())
    }
}

fn payload(payload: &Payload) -> usize {
    payload.bytes().len() + payload.stored_media_type().map_or(0, small) + SMALL_BYTES
}

/// A short text that is an allocation of its own.
fn small(text: &str) -> usize {
    text.len() + SMALL_BYTES
}
