//! A task as the rest of the SDK sees it. The attribute implements [`Task`]; an author never writes these names.

use serde::de::DeserializeOwned;

use crate::outcome::{Failure, JsonOutcome};
use crate::policy::{CatchUp, Lane, Overlap, Rate};
use crate::run::Run;
use crate::schema::{JsonSchema, Schema};
use crate::time::{Duration, Instant};

/// A task: what `#[task]` makes of a function, under the function's own name.
pub trait Task {
    /// The name runs are scheduled under.
    const NAME: &'static str;

    /// What is said of it at registration.
    fn definition() -> Definition;

    /// Executes one attempt with the JSON it was given.
    fn handle(input: &[u8], run: &Run) -> Result<JsonOutcome, Failure>;
}

/// What is said of a task at registration. What is not set is the host's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The name runs are scheduled under.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub description: Option<&'static str>,
    /// The JSON Schema of its input.
    pub input_schema: Option<String>,
    /// How many attempts may fail before a run does.
    pub max_attempts: Option<u32>,
    /// The delay after the first failed attempt, and the longest one.
    pub retry_delay: Option<(Duration, Duration)>,
    /// Exact delays after the first, second, … failed attempt.
    pub retry_delays: Option<&'static [Duration]>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// The priority of its runs.
    pub priority: Option<u8>,
    /// How many of its runs may be in flight in each lane.
    pub concurrency: Option<u32>,
    /// How many may be in flight in all lanes together.
    pub concurrency_per_task: Option<u32>,
    /// What becomes of a run whose lane is full.
    pub overlap: Option<Overlap>,
    /// What its lanes are made by.
    pub lane: Option<Lane>,
    /// How many may start in each lane in a span of time.
    pub rate: Option<Rate>,
    /// Which missed runs run, of at most how long ago, and at most how many.
    pub missed: Option<(CatchUp, Option<Duration>, Option<u32>)>,
    /// A run that has not started so long after its trigger time is missed.
    pub start_deadline: Option<Duration>,
    /// How long an attempt may go on after it was asked to end.
    pub cancel_grace: Option<Duration>,
    /// The task of which a run is made when one of this has failed for good.
    pub on_failure: Option<&'static str>,
    /// How long ended runs are kept, and how many of them.
    pub retention: Option<(Option<Duration>, Option<u64>)>,
    /// Its runs at fixed times.
    pub schedules: Vec<CodeSchedule>,
    /// Its crons.
    pub crons: Vec<CodeCron>,
}

/// A run that the component itself declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeSchedule {
    /// Tells it from the task's other schedules.
    pub key: &'static str,
    /// When it triggers.
    pub at: Instant,
    /// Its input, as JSON.
    pub input: Option<&'static str>,
}

/// A cron that the component itself declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeCron {
    /// Tells it from the task's other crons.
    pub key: &'static str,
    /// Five or six fields, a nickname such as `@daily`, or `@every 90s`.
    pub expression: &'static str,
    /// The IANA time zone whose clocks it goes by; UTC if there is none.
    pub timezone: Option<&'static str>,
    /// It does not fire before this, and an interval counts from here; from its registration on if there is none.
    pub start: Option<Instant>,
    /// It fires before this only.
    pub end: Option<Instant>,
    /// It fires so often and no more.
    pub max_count: Option<u32>,
    /// Spreads its runs over this span behind their planned times.
    pub jitter: Option<Duration>,
    /// The input of its runs, as JSON.
    pub input: Option<&'static str>,
    /// Additional metadata of each run.
    pub metadata: &'static [(&'static str, &'static str)],
    /// The priority of its runs, instead of the task's.
    pub priority: Option<u8>,
    /// Which missed occurrences run, instead of what the task says.
    pub missed: Option<(CatchUp, Option<Duration>, Option<u32>)>,
}

#[cfg(target_family = "wasm")]
impl CodeCron {
    /// What is said of it beside its key.
    pub(crate) fn settings(&self) -> crate::seam::NewCron {
        let metadata = self.metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        crate::seam::NewCron {
            expression: Some(self.expression.to_owned()),
            timezone: self.timezone.map(str::to_owned),
            start: self.start,
            end: self.end.map(Some),
            max_count: self.max_count.map(Some),
            jitter: self.jitter,
            input: self.input.map(|json| json.as_bytes().to_vec()),
            metadata: Some(metadata).filter(|entries: &Vec<_>| !entries.is_empty()),
            priority: self.priority.map(Some),
            missed: self.missed.map(Some),
        }
    }
}

/// One row of a component's table of tasks.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// [`Task::NAME`].
    pub name: &'static str,
    /// [`Task::definition`], told to the host.
    #[cfg(target_family = "wasm")]
    pub define: fn() -> crate::component::Defined,
    /// [`Task::handle`].
    pub handle: fn(&[u8], &Run) -> Result<JsonOutcome, Failure>,
}

impl Entry {
    /// The row of this task.
    pub const fn of<T: Task>() -> Self {
        Entry {
            name: T::NAME,
            #[cfg(target_family = "wasm")]
            define: crate::component::define::<T>,
            handle: T::handle,
        }
    }
}

/// Stops the build when two tasks of a component share a name.
pub const fn assert_distinct(tasks: &[Entry]) {
    let mut one = 0;
    while one < tasks.len() {
        let mut other = one + 1;
        while other < tasks.len() {
            assert!(!equal(tasks[one].name.as_bytes(), tasks[other].name.as_bytes()), "two tasks of this component have the same name");
            other += 1;
        }
        one += 1;
    }
}

const fn equal(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

/// Reads a task's input. A wrong one will never be right, so it rejects the run.
///
/// `null`, which stands for no input, is also read as `{}`: a task whose input has only optional fields needs none.
pub fn read_input<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    let nothing = json.trim_ascii();
    let error = match serde_json::from_slice(json) {
        Ok(input) => return Ok(input),
        Err(error) => error,
    };
    if matches!(nothing, b"" | b"null")
        && let Ok(input) = serde_json::from_slice(b"{}")
    {
        return Ok(input);
    }
    Err(Failure::reject(format!("the input does not fit the task: {error}")))
}

/// The JSON Schema of an input type.
pub fn input_schema<T: JsonSchema>() -> Option<String> {
    let mut schema = Schema::new();
    schema.of::<T>();
    Some(schema.into_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct Input {
        #[serde(default)]
        times: u8,
    }

    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct Named {
        name: String,
    }

    #[test]
    fn no_input_is_an_empty_object_if_that_fits() {
        assert_eq!(read_input::<Input>(b" null "), Ok(Input { times: 0 }));
        assert_eq!(read_input::<Input>(b"{\"times\":3}"), Ok(Input { times: 3 }));
        assert_eq!(read_input::<Option<Named>>(b"null"), Ok(None));
        assert_eq!(read_input::<()>(b"null"), Ok(()));
    }

    #[test]
    fn a_wrong_input_says_what_is_wrong_and_where() {
        let reason = |json: &[u8]| read_input::<Named>(json).unwrap_err().reason().to_owned();
        assert_eq!(reason(b"{}"), "the input does not fit the task: missing field `name` at line 1 column 2");
        assert_eq!(reason(b"null"), "the input does not fit the task: invalid type: null, expected struct Named at line 1 column 4");
    }
}
