//! Which runs are meant, and in which portions they are read.

use super::limits::{METADATA_ENTRIES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, PAGE_SKIP_MAX};
use super::{Cursor, Invalid, Metadata, Name, Origin, RunId, Status, Timestamp};

/// Conditions on runs. The default matches every run of a namespace; different kinds of condition must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// One of these tasks; empty: any.
    pub tasks: Vec<Name>,
    /// One of these statuses; empty: any.
    pub statuses: Vec<Status>,
    /// One of these origins; empty: any.
    pub origins: Vec<Origin>,
    /// All of these entries.
    pub metadata: Metadata,
    /// A follow-up of this run.
    pub parent: Option<RunId>,
    /// A follow-up of this run, or of its follow-ups, at whatever depth: of the chain that began with it.
    pub root: Option<RunId>,
    /// Trigger time at or after this.
    pub trigger_from: Option<Timestamp>,
    /// Trigger time before this.
    pub trigger_before: Option<Timestamp>,
}

impl RunFilter {
    /// Refuses lists that no caller needs and no query should meet.
    pub fn checked(self) -> Result<Self, Invalid> {
        let too_many = |field: &str, seen: usize| {
            Err(Invalid::new(
                "invalid-filter",
                field,
                format!("{seen} values, the limit is {METADATA_ENTRIES_MAX}; ask in several requests"),
            ))
        };
        match (self.tasks.len(), self.statuses.len()) {
            (seen, _) if seen > METADATA_ENTRIES_MAX => too_many("task", seen),
            (_, seen) if seen > METADATA_ENTRIES_MAX => too_many("status", seen),
            _ => Ok(self),
        }
    }

    /// Whether `run` is meant. The pure form of the query that storage runs.
    pub fn matches(&self, run: &super::Run) -> bool {
        (self.tasks.is_empty() || self.tasks.contains(&run.task))
            && (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && (self.origins.is_empty() || self.origins.contains(&run.origin))
            && self.metadata.iter().all(|(key, value)| run.metadata.get(key) == Some(value))
            && self.parent.is_none_or(|parent| run.parent == Some(parent))
            && self.root.is_none_or(|root| run.root == Some(root))
            && self.trigger_from.is_none_or(|from| run.trigger_at >= from)
            && self.trigger_before.is_none_or(|before| run.trigger_at < before)
    }
}

/// The order of a list. Equal times are in order of id, so that pages neither repeat nor skip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Last scheduled first.
    #[default]
    NewestFirst,
    /// First scheduled first.
    OldestFirst,
    /// Earliest trigger time first.
    TriggerTime,
    /// Latest trigger time first; equal ones in order of id all the same.
    LatestTriggerTime,
}

impl Order {
    /// Parses the text that doors take.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "newest-first" => Ok(Self::NewestFirst),
            "oldest-first" => Ok(Self::OldestFirst),
            "trigger-time" => Ok(Self::TriggerTime),
            "latest-trigger-time" => Ok(Self::LatestTriggerTime),
            _ => {
                Err(Invalid::new("invalid-order", "order", "one of newest-first, oldest-first, trigger-time, latest-trigger-time")
                    .seen(text))
            }
        }
    }
}

/// Which portion of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    size: usize,
    skip: usize,
    /// Where it begins; `None` at the start.
    pub cursor: Option<Cursor>,
    /// In which order.
    pub order: Order,
}

impl Default for Page {
    fn default() -> Self {
        Self { size: PAGE_SIZE_DEFAULT, skip: 0, cursor: None, order: Order::default() }
    }
}

impl Page {
    /// A page of 1 to 500 runs.
    pub fn new(size: usize, cursor: Option<Cursor>, order: Order) -> Result<Self, Invalid> {
        if (1..=PAGE_SIZE_MAX).contains(&size) {
            return Ok(Self { size, skip: 0, cursor, order });
        }
        Err(Invalid::new("invalid-page-size", "limit", format!("a page has 1 to {PAGE_SIZE_MAX} runs; go on with its cursor"))
            .seen(size.to_string()))
    }

    /// The same, without the first so many runs: up to 100,000, for protocols that have no cursors. Each is looked at, so a cursor is cheaper.
    pub fn skipping(self, skip: usize) -> Result<Self, Invalid> {
        if skip <= PAGE_SKIP_MAX {
            return Ok(Self { skip, ..self });
        }
        Err(Invalid::new("invalid-page", "offset", format!("at most {PAGE_SKIP_MAX}; narrow the filter, or list with a cursor"))
            .seen(skip.to_string()))
    }

    /// How many runs at most.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many runs are passed by first.
    pub fn skip(&self) -> usize {
        self.skip
    }
}
