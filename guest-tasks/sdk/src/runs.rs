//! Reading runs, and changing those that are scheduled.
//!
//! Needs the grant `runs`. Writes commit when this attempt succeeds, and are seen by its own reads before.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::seam::{Here, Host, View};
use crate::time::Instant;
use crate::values::{Due, Origin, RunId, Shift, Status};

/// How many runs a page has unless something else is asked for: a compromise of calls and memory.
const PAGE_SIZE: u32 = 100;

/// Which runs are meant. Different kinds of condition must all hold.
///
/// Without conditions it matches every run in [`list`]. The bulk calls refuse it then, because it may be empty by accident: they take
/// [`Filter::all`] to change every run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a filter does nothing by itself: give it to `list` or to a bulk call"]
pub struct Filter {
    pub(crate) all: bool,
    pub(crate) tasks: Vec<String>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) parent: Option<RunId>,
    pub(crate) trigger_from: Option<Instant>,
    pub(crate) trigger_before: Option<Instant>,
}

/// A filter without conditions, to be narrowed.
pub fn filter() -> Filter {
    Filter::default()
}

impl Filter {
    /// Every run of the namespace. It takes no condition: with one, it is refused where it is used.
    pub fn all() -> Self {
        Filter { all: true, ..Filter::default() }
    }

    /// Only runs of this task; called again, of either.
    pub fn task(mut self, name: &str) -> Self {
        self.tasks.push(name.to_owned());
        self
    }

    /// Only runs of this status; called again, of either.
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }

    /// Only runs whose metadata has this entry; called again, both entries. Two values under one key are refused where the filter is used.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Only follow-ups that were scheduled by this run.
    pub fn parent(mut self, parent: &RunId) -> Self {
        self.parent = Some(parent.clone());
        self
    }

    /// Only runs with a trigger time at or after this.
    pub fn trigger_from(mut self, at: Instant) -> Self {
        self.trigger_from = Some(at);
        self
    }

    /// Only runs with a trigger time before this.
    pub fn trigger_before(mut self, at: Instant) -> Self {
        self.trigger_before = Some(at);
        self
    }
}

/// In which order runs are listed. Runs with equal times are in order of id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Last scheduled first.
    #[default]
    NewestFirst,
    /// First scheduled first.
    OldestFirst,
    /// Earliest trigger time first.
    TriggerTime,
}

/// A run as it stood when it was read.
// `View::` throughout: the bindings' own type has methods of the same names, in its own types.
#[derive(Debug)]
pub struct Snapshot(<Here as Host>::View);

impl Snapshot {
    /// Its name.
    pub fn id(&self) -> RunId {
        View::id(&self.0)
    }

    /// The task it executes.
    pub fn task(&self) -> String {
        View::task(&self.0)
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        View::status(&self.0)
    }

    /// Why it stands there, machine-readable, for example `timeout`.
    pub fn reason(&self) -> Option<String> {
        View::reason(&self.0)
    }

    /// When it becomes, or became, due.
    pub fn trigger_at(&self) -> Instant {
        View::trigger_at(&self.0)
    }

    /// When it was scheduled.
    pub fn created_at(&self) -> Instant {
        View::created_at(&self.0)
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<Instant> {
        View::finished_at(&self.0)
    }

    /// How many attempts were started.
    pub fn attempts(&self) -> u32 {
        View::attempts(&self.0)
    }

    /// Who made it.
    pub fn origin(&self) -> Origin {
        View::origin(&self.0)
    }

    /// The run that scheduled it.
    pub fn parent(&self) -> Option<RunId> {
        View::parent(&self.0)
    }

    /// Its additional metadata, in order of key.
    pub fn metadata(&self) -> Vec<(String, String)> {
        View::metadata(&self.0)
    }

    /// What its task is given.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read(&View::input(&self.0), "input")
    }

    /// What its last attempt returned; none also stands for an output that is not there yet.
    pub fn output<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        View::output(&self.0).map(|json| read(&json, "output")).transpose()
    }
}

fn read<T: DeserializeOwned>(json: &[u8], field: &str) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::invalid(field, error))
}

/// Reads one run.
pub fn get(id: &RunId) -> Result<Snapshot, Error> {
    Here::get(id).map(Snapshot)
}

/// The run that holds a unique key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The id of the run.
    pub run: RunId,
    /// The status of the run.
    pub status: Status,
    /// The machine-readable reason for the status, for example `timeout`; `None` if the status has no reason.
    pub reason: Option<String>,
    /// When the run becomes, or became, due.
    pub trigger_at: Instant,
    /// When the run ended; `None` if it has not ended.
    pub ended_at: Option<Instant>,
    /// When the key becomes free; `None` if the run has not ended, because the hold time counts from its end.
    pub held_until: Option<Instant>,
}

/// Returns the run that holds this unique key now, or `None` if the key is free.
///
/// A key becomes free when its run is deleted, when its run ends before the first attempt, and when the hold time after the run's end is over.
///
/// ```
/// # use runlater_task::prelude::*;
/// # let _host = runlater_task::testing::FakeHost::new();
/// let id = schedule("report").unique_key("report-7").send(&7)?;
/// let holder = runs::find_by_unique_key("report-7")?.expect("a scheduled run holds its key");
/// assert_eq!((holder.run, holder.status), (id, Status::Scheduled));
/// # Ok::<(), runlater_task::Error>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] if the key does not have 1 to 256 bytes.
pub fn find_by_unique_key(key: &str) -> Result<Option<KeyHolder>, Error> {
    Here::find_by_unique_key(key)
}

/// Lists runs, all pages of them: `for run in runs::list(filter().task("remind")) { let run = run?; … }`.
pub fn list(filter: Filter) -> List {
    List { filter, order: Order::default(), page_size: PAGE_SIZE, page: Vec::new().into_iter(), next: Next::First }
}

/// The runs that match a filter. A page is fetched when the one before is used up; after an error there is no more.
#[derive(Debug)]
#[must_use = "nothing is listed until it is iterated over"]
pub struct List {
    filter: Filter,
    order: Order,
    page_size: u32,
    page: std::vec::IntoIter<<Here as Host>::View>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    First,
    At(String),
    End,
}

impl List {
    /// Another order than newest first.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Another page size than 100: 1 to 500.
    pub fn page_size(mut self, runs: u32) -> Self {
        self.page_size = runs;
        self
    }
}

impl Iterator for List {
    type Item = Result<Snapshot, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(view) = self.page.next() {
                return Some(Ok(Snapshot(view)));
            }
            let cursor = match std::mem::replace(&mut self.next, Next::End) {
                Next::First => None,
                Next::At(cursor) => Some(cursor),
                Next::End => return None,
            };
            match Here::list(&self.filter, self.order, self.page_size, cursor.as_deref()) {
                Ok((views, next)) => {
                    self.page = views.into_iter();
                    self.next = next.map_or(Next::End, Next::At);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Moves a scheduled run to another time. Refused once it has triggered, and for runs defined by code.
pub fn reschedule(id: &RunId, due: impl Into<Due>) -> Result<(), Error> {
    Here::reschedule(id, due.into())
}

/// Deletes a scheduled run. Refused once it has triggered (then [`cancel`] it), and for runs defined by code.
pub fn delete(id: &RunId) -> Result<(), Error> {
    Here::delete(id)
}

/// Cancels a run that has not ended. One that is running is told so, and dropped after its task's grace, 5 s by default.
pub fn cancel(id: &RunId) -> Result<(), Error> {
    Here::cancel(id)
}

/// Makes a run due as soon as this attempt has succeeded: a scheduled one, one that waits for its next attempt, or one that was missed, failed or
/// was cancelled, which begins anew. Refused while it is due or running, and once it has succeeded.
pub fn trigger(id: &RunId) -> Result<(), Error> {
    Here::trigger(id)
}

/// What a bulk call did. Each selected run was changed or refused, once, by itself. An id that repeats counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// How many were changed.
    pub changed: u64,
    /// The others, each with the reason: all of them if they were named by id, the first 100 in order of id if by a filter.
    pub refused: Vec<(RunId, Error)>,
    /// How many were refused.
    pub refused_total: u64,
}

/// Deletes the scheduled runs of these ids: 1 to 500.
pub fn bulk_delete(ids: &[RunId]) -> Result<BulkOutcome, Error> {
    Here::bulk_delete(ids)
}

/// Deletes the scheduled runs that match now. Matching runs that have triggered or are defined by code are refused by themselves.
///
/// # Errors
/// [`Error::Invalid`] for a filter without conditions; [`Filter::all`] means every run. So do the other calls by filter.
pub fn bulk_delete_matching(filter: &Filter) -> Result<BulkOutcome, Error> {
    Here::bulk_delete_matching(filter)
}

/// Moves scheduled runs, each to its own time: 1 to 500.
///
/// # Errors
/// [`Error::Invalid`] if one run is given two different times.
pub fn bulk_reschedule(moves: &[(RunId, Due)]) -> Result<BulkOutcome, Error> {
    Here::bulk_reschedule(moves)
}

/// Moves the scheduled runs that match now to one time.
pub fn bulk_reschedule_matching(filter: &Filter, due: impl Into<Due>) -> Result<BulkOutcome, Error> {
    Here::bulk_reschedule_matching(filter, due.into())
}

/// Moves the scheduled runs that match now, each by this from its own trigger time:
/// `bulk_shift_matching(&Filter::all(), Shift::Later(hours(2)))`.
pub fn bulk_shift_matching(filter: &Filter, by: Shift) -> Result<BulkOutcome, Error> {
    Here::bulk_shift_matching(filter, by)
}

/// Makes the runs of these ids due, as [`trigger`] does: 1 to 500.
pub fn bulk_trigger(ids: &[RunId]) -> Result<BulkOutcome, Error> {
    Here::bulk_trigger(ids)
}

/// Makes the runs that match now due, as [`trigger`] does; those for which that is refused are refused by themselves. A filter without a
/// status means failed and missed runs here.
pub fn bulk_trigger_matching(filter: &Filter) -> Result<BulkOutcome, Error> {
    Here::bulk_trigger_matching(filter)
}
