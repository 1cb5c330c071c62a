//! A cron as it is stored, and what may be said of it and changed on it.

use std::time::Duration;

use super::{CronRule, Occurrence};
use crate::model::{Metadata, MissedPolicy, Name, Origin, Pause, Payload, Timestamp};

/// What a cron is to do. Everything in it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronSpec {
    /// The task that each of its runs executes.
    pub task: Name,
    /// When it fires.
    pub rule: CronRule,
    /// It fires at most so often.
    pub max_count: Option<u32>,
    /// What each run is given.
    pub input: Payload,
    /// What each run can be found by.
    pub metadata: Metadata,
    /// Overrides the task's.
    pub priority: Option<u8>,
    /// Overrides the task's.
    pub missed: Option<MissedPolicy>,
}

/// A cron as it stood when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Its name: one of its kind in its namespace.
    pub name: Name,
    /// What it does.
    pub spec: CronSpec,
    /// `api`, `guest` or `code`: what code defines can't be changed or deleted by others, but paused.
    pub origin: Origin,
    /// Set while it makes no runs.
    pub pause: Option<Pause>,
    /// Its next planned time; `None` while it is paused without an end, and once it has ended.
    pub next_at: Option<Timestamp>,
    /// How often it has fired.
    pub fired: u32,
    /// Rises with every change.
    pub version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What to change on a cron; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronChange {
    /// Another rule. An interval counts from the new rule's start.
    pub rule: Option<CronRule>,
    /// Another limit on how often; `Some(None)` lifts it.
    pub max_count: Option<Option<u32>>,
    /// Another input.
    pub input: Option<Payload>,
    /// Other metadata.
    pub metadata: Option<Metadata>,
    /// Another priority; `Some(None)`: the task's.
    pub priority: Option<Option<u8>>,
    /// Another policy; `Some(None)`: the task's.
    pub missed: Option<Option<MissedPolicy>>,
    /// Changes it only if it still has this version.
    pub if_version: Option<u32>,
}

impl Cron {
    /// When it fires from `now` on, as its pause lets it, how often it still may, and `max` times at most.
    pub fn next(&self, now: Timestamp, max: usize) -> Vec<Occurrence> {
        let left = self.spec.max_count.map_or(usize::MAX, |count| count.saturating_sub(self.fired) as usize);
        let planned = self.fires_after(now).map(|after| self.spec.rule.occurrences(after, Timestamp::MAX, max.min(left)));
        planned.into_iter().flatten().map(|at| self.spec.rule.occurrence(at)).collect()
    }

    /// The moment after which its pause lets it fire, from `now` on; `None` while it is paused without an end.
    pub fn fires_after(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.pause {
            Some(Pause { until: None, .. }) => None,
            Some(Pause { until: Some(until), .. }) => Some(now.max(until.saturating_sub(Duration::from_micros(1)))),
            None => Some(now),
        }
    }
}

impl CronSpec {
    /// This with `change` over it.
    pub fn with(mut self, change: CronChange) -> Self {
        let CronChange { rule, max_count, input, metadata, priority, missed, if_version: _ } = change;
        self.rule = rule.unwrap_or(self.rule);
        self.max_count = max_count.unwrap_or(self.max_count);
        self.input = input.unwrap_or(self.input);
        self.metadata = metadata.unwrap_or(self.metadata);
        self.priority = priority.unwrap_or(self.priority);
        self.missed = missed.unwrap_or(self.missed);
        self
    }
}

/// Which crons to list: those that match all that is set. In order of name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronFilter {
    /// Of this task.
    pub task: Option<Name>,
    /// Paused ones, or those that are not.
    pub paused: Option<bool>,
    /// Those whose name comes after this: where the page before ended.
    pub after: Option<Name>,
    /// How many at most.
    pub limit: usize,
}
