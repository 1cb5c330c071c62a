//! The checks of the contract that a unit test is likely to meet. The real host has more, and the last word.

use crate::error::Error;
use crate::runs::Filter;
use crate::seam::NewRun;
use crate::time::{Instant, hours, milliseconds};
use crate::values::UniqueMode;

const METADATA_ENTRIES_MAX: usize = 32;
const METADATA_BYTES_MAX: usize = 128;
const UNIQUE_KEY_BYTES_MAX: usize = 256;
const INPUT_BYTES_MAX: usize = 256 * 1024;
const BULK_MAX: usize = 500;
const NOTE_BYTES_MAX: usize = 256;

pub(super) fn run(run: &NewRun) -> Result<(), Error> {
    let options = &run.options;
    if run.input.len() > INPUT_BYTES_MAX {
        return limit("input-bytes", INPUT_BYTES_MAX, run.input.len());
    }
    if options.metadata.len() > METADATA_ENTRIES_MAX {
        return limit("metadata-entries", METADATA_ENTRIES_MAX, options.metadata.len());
    }
    let fits = |text: &str, max| (1..=max).contains(&text.len());
    for (key, value) in &options.metadata {
        if !fits(key, METADATA_BYTES_MAX) || !fits(value, METADATA_BYTES_MAX) {
            return Err(Error::invalid(&format!("metadata.{key}"), "key and value have 1 to 128 bytes"));
        }
    }
    if let Some(key) = &options.unique_key {
        unique_key(key)?;
    }
    if let UniqueMode::Debounce { wait, max_wait } = options.unique
        && (wait < milliseconds(1) || max_wait < wait)
    {
        return Err(Error::invalid("debounce", "waits at least 1 ms, and its maximum is not shorter"));
    }
    if options.max_attempts.is_some_and(|attempts| !(1..=100).contains(&attempts)) {
        return Err(Error::invalid("max-attempts", "1 to 100"));
    }
    if options.timeout.is_some_and(|timeout| !(milliseconds(1)..=hours(24)).contains(&timeout)) {
        return Err(Error::invalid("timeout", "1 ms to 24 h"));
    }
    if options.priority.is_some_and(|priority| !(1..=3).contains(&priority)) {
        return Err(Error::invalid("priority", "1 to 3"));
    }
    Ok(())
}

pub(super) fn unique_key(key: &str) -> Result<(), Error> {
    if (1..=UNIQUE_KEY_BYTES_MAX).contains(&key.len()) { Ok(()) } else { Err(Error::invalid("unique-key", "1 to 256 bytes")) }
}

pub(super) fn pause(now: Instant, until: Option<Instant>, note: &str) -> Result<(), Error> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(Error::invalid("note", "at most 256 bytes"));
    }
    if until.is_some_and(|until| until <= now) {
        return Err(Error::invalid("until", "a pause ends in the future"));
    }
    Ok(())
}

pub(super) fn page_size(size: u32) -> Result<(), Error> {
    if (1..=500).contains(&size) { Ok(()) } else { Err(Error::invalid("page.size", "1 to 500")) }
}

/// A filter, wherever it is used.
pub(super) fn filter(filter: &Filter) -> Result<(), Error> {
    let conditions = Filter { all: false, ..filter.clone() };
    if filter.all && conditions != Filter::default() {
        return Err(Error::invalid("filter", "means every run, so it takes no condition; begin with a new one"));
    }
    let mut values = std::collections::BTreeMap::new();
    for (key, value) in &filter.metadata {
        if values.insert(key, value).is_some_and(|before| before != value) {
            return Err(Error::invalid(&format!("metadata.{key}"), "no run has two values under one key"));
        }
    }
    Ok(())
}

/// The filter of a bulk call.
pub(super) fn bulk_filter(which: &Filter) -> Result<(), Error> {
    if *which == Filter::default() {
        return Err(Error::invalid(
            "filter",
            "has no condition, and would match every run; add one, or use `Filter::all()` to mean every run",
        ));
    }
    filter(which)
}

pub(super) fn bulk(field: &str, count: usize) -> Result<(), Error> {
    if (1..=BULK_MAX).contains(&count) { Ok(()) } else { Err(Error::invalid(field, "1 to 500")) }
}

fn limit(limit: &str, max: usize, asked: usize) -> Result<(), Error> {
    Err(Error::Limit { limit: limit.to_owned(), max: max as u64, asked: asked as u64 })
}
