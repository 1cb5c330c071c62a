//! The JSON bodies of the API, as the server writes and the client reads them, and the other way round.
//!
//! Names are those of `model`; times are RFC 3339 in UTC, spans are text such as `30s`. A JSON payload is embedded as it is, in
//! `input` or `output`; one of another media type stands beside it as `input_bytes` or `output_bytes`. Requests refuse unknown
//! fields; answers may grow, so the client ignores what it does not know.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{self, Due, Invalid, Metadata, Payload, RunId, Timestamp, format_duration, parse_duration};
use crate::scheduler::{BulkOutcome, Role};
use crate::storage::{ChangeError, TokenRecord};

/// Bytes that are not JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    /// What they are.
    pub media_type: String,
    /// The bytes in the standard alphabet of RFC 4648, with padding.
    pub base64: String,
}

impl Bytes {
    fn to_payload(&self, field: &str) -> Result<Payload, Invalid> {
        let bytes = BASE64_STANDARD.decode(&self.base64).map_err(|error| {
            Invalid::new("invalid-base64", format!("{field}.base64"), format!("not base64: {error}")).seen(&self.base64)
        })?;
        Payload::new(&self.media_type, &bytes, field)
    }
}

/// A payload in its two forms, of which one is `None`.
fn embed(payload: &Payload) -> (Option<Box<RawValue>>, Option<Bytes>) {
    match payload.as_json() {
        Some(json) => (RawValue::from_string(json.trim().into()).ok(), None),
        None => (None, Some(Bytes { media_type: payload.media_type().into(), base64: BASE64_STANDARD.encode(payload.bytes()) })),
    }
}

/// When: `at` a moment, or `after` a span; neither means now.
pub fn due(at: Option<&str>, after: Option<&str>) -> Result<Due, Invalid> {
    match (at, after) {
        (Some(_), Some(_)) => Err(Invalid::new("invalid-time", "after", "give either `at` or `after`, not both")),
        (Some(at), None) => Timestamp::parse(at, "at").map(Due::At),
        (None, Some(after)) => parse_duration(after, "after").map(Due::After),
        (None, None) => Ok(Due::Now),
    }
}

/// As [`due`], but one of both must be given.
pub fn due_required(at: Option<&str>, after: Option<&str>) -> Result<Due, Invalid> {
    match due(at, after)? {
        Due::Now => Err(Invalid::new("invalid-time", "at", "say when: `at` a moment or `after` a span")),
        due => Ok(due),
    }
}

/// Asks for a run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRun {
    /// The task.
    pub task: String,
    /// Due at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Due after this span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The input, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// The input, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<Bytes>,
    /// What to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What makes it unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// What to do if the key is held: `existing` (the default), `reject` or `replace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_mode: Option<String>,
    /// For how long after the run's end the key is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_for: Option<String>,
    /// Due this long after the last request under the key, instead of `at` or `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<String>,
    /// But not later than this after the first; the tenfold of `debounce` unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce_max: Option<String>,
    /// Overrides the task's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Overrides the task's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Overrides the task's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

impl ScheduleRun {
    /// The input, in whichever form it was given.
    pub fn payload(&self) -> Result<Payload, Invalid> {
        match (&self.input, &self.input_bytes) {
            (Some(_), Some(_)) => Err(Invalid::new("invalid-input", "input_bytes", "give either `input` or `input_bytes`, not both")),
            (Some(json), None) => Payload::json(json.get().as_bytes(), "input"),
            (None, Some(bytes)) => bytes.to_payload("input_bytes"),
            (None, None) => Ok(Payload::null()),
        }
    }
}

/// A run that was scheduled.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scheduled {
    /// Its id.
    pub id: RunId,
    /// When it becomes due.
    pub trigger_at: Timestamp,
    /// False if a run was there already under the same unique key: an equal one, or one that was put off.
    pub created: bool,
}

/// A run as it stood when it was read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The task it executes.
    pub task: String,
    /// Where it stands.
    pub status: String,
    /// Why it stands there: a stable code.
    pub reason: Option<String>,
    /// The reason in words.
    pub message: Option<String>,
    /// When it becomes, or became, due.
    pub trigger_at: Timestamp,
    /// When the next attempt may start.
    pub due_at: Option<Timestamp>,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// When its last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many attempts were started.
    pub attempts: u32,
    /// Whether somebody asked for it to be cancelled while it ran.
    pub cancel_requested: bool,
    /// 1 to 3.
    pub priority: u8,
    /// Who made it.
    pub origin: String,
    /// The run that scheduled it.
    pub parent: Option<RunId>,
    /// The run that its chain began with.
    pub root: Option<RunId>,
    /// What it can be found by.
    pub metadata: BTreeMap<String, String>,
    /// What makes it unique.
    pub unique_key: Option<String>,
    /// What its task is given, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// What its task is given, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<Bytes>,
    /// What its task returned, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// What its task returned, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<Bytes>,
    /// How far the attempt in flight says it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// How far an attempt says it has come.
#[derive(Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all; 0: unknown.
    pub total: u64,
    /// In words.
    pub note: String,
}

impl Run {
    /// Whether nothing will happen to it any more by itself.
    pub fn is_final(&self) -> bool {
        model::Status::parse(&self.status).is_ok_and(model::Status::is_final)
    }
}

impl From<model::Run> for Run {
    fn from(run: model::Run) -> Self {
        let (input, input_bytes) = embed(&run.input);
        let (output, output_bytes) = run.output.as_ref().map(embed).unwrap_or_default();
        Self {
            id: run.id,
            task: run.task.to_string(),
            status: run.status.as_str().into(),
            reason: run.reason.map(Into::into),
            message: run.message,
            trigger_at: run.trigger_at,
            due_at: run.due_at,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            attempts: run.attempts,
            cancel_requested: run.cancel_requested,
            priority: run.priority,
            origin: run.origin.as_str().into(),
            parent: run.parent,
            root: run.root,
            metadata: run.metadata.iter().map(|(key, value)| (key.into(), value.into())).collect(),
            unique_key: run.unique_key,
            input,
            input_bytes,
            output,
            output_bytes,
            progress: run.progress.map(|progress| Progress { done: progress.done, total: progress.total, note: progress.note }),
        }
    }
}

/// A page of runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<Run>,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

/// One attempt of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// The component it executed.
    pub digest: Option<String>,
    /// When its guest was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// What the failure said.
    pub message: Option<String>,
    /// What the guest wrote, with U+FFFD in place of what is not UTF-8.
    pub log: String,
}

impl From<model::Attempt> for Attempt {
    fn from(attempt: model::Attempt) -> Self {
        Self {
            number: attempt.number,
            digest: attempt.digest.map(|digest| digest.to_string()),
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            outcome: attempt.outcome.map(Into::into),
            message: attempt.message,
            log: String::from_utf8_lossy(&attempt.log).into_owned(),
        }
    }
}

/// The attempts of a run, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempts {
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

/// A registered task.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// What callers name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The component behind it.
    pub digest: String,
    /// What that may do.
    pub grants: Vec<String>,
    /// The JSON Schema of its input.
    pub input_schema: Option<Box<RawValue>>,
    /// Failed attempts after which a run fails.
    pub max_attempts: u32,
    /// Upper bound of the first retry's delay.
    pub retry_delay: String,
    /// Upper bound of every retry's delay.
    pub retry_delay_max: String,
    /// Longest attempt.
    pub timeout: String,
    /// 1 to 3.
    pub priority: u8,
    /// Everything that holds of its policy, each field as the text that sets it.
    #[serde(default)]
    pub policy: BTreeMap<String, String>,
    /// What of this the operator says, and not the component.
    #[serde(default)]
    pub overrides: BTreeMap<String, String>,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was last registered.
    pub updated_at: Timestamp,
}

impl From<&model::Task> for Task {
    fn from(task: &model::Task) -> Self {
        let retry = &task.policy.retry;
        Self {
            name: task.name.to_string(),
            description: task.description.clone(),
            digest: task.digest.to_string(),
            grants: task.grants.iter().map(ToString::to_string).collect(),
            input_schema: task.input_schema.as_ref().and_then(|schema| RawValue::from_string(schema.as_str().into()).ok()),
            max_attempts: retry.max_attempts,
            retry_delay: format_duration(retry.base),
            retry_delay_max: format_duration(retry.max),
            timeout: format_duration(task.policy.timeout),
            priority: task.policy.priority,
            // An override may say what has no effect as long as something else is not said.
            policy: texts(task.overrides.entries().into_iter().chain(task.policy.entries())),
            overrides: texts(task.overrides.entries().into_iter()),
            created_at: task.created_at,
            updated_at: task.updated_at,
        }
    }
}

fn texts(entries: impl Iterator<Item = (&'static str, String)>) -> BTreeMap<String, String> {
    entries.map(|(field, text)| (field.into(), text)).collect()
}

/// The registered tasks, in order of name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tasks {
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// A component that was registered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// Its tasks.
    pub tasks: Vec<Task>,
}

/// Moves one run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reschedule {
    /// To this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// To this span from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a request to cancel did.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cancelled {
    /// `cancelled` if the run will not start (again); `requested` if it is executing and was told to end.
    pub cancel: String,
}

/// Deletes, cancels or triggers many runs: those in `ids`, or those that match `filter`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkChange {
    /// These.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Those that match; `{}` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<super::filter::Filter>,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// Moves many scheduled runs: each in `moves` to its own time, or those selected to one time or by one span.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkReschedule {
    /// Each to its own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Vec<OneMove>>,
    /// These.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Those that match; `{}` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<super::filter::Filter>,
    /// The one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Reschedule>,
    /// The span: `+1h` or `-30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// One run and its new time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneMove {
    /// The run.
    pub id: String,
    /// To this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// To this span from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a bulk request did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bulk {
    /// How many runs were changed, or would be in a dry run.
    pub changed: u64,
    /// The runs that were named and could not be changed.
    pub refused: Vec<Refused>,
}

/// A run that could not be changed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The run.
    pub id: RunId,
    /// Why: a stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
}

impl From<BulkOutcome> for Bulk {
    fn from(outcome: BulkOutcome) -> Self {
        let refused =
            |error: ChangeError| Refused { id: run_of(&error), code: super::error::change_code(&error).into(), detail: error.to_string() };
        Self { changed: outcome.changed, refused: outcome.refused.into_iter().map(refused).collect() }
    }
}

fn run_of(error: &ChangeError) -> RunId {
    match error {
        ChangeError::NotFound(run)
        | ChangeError::AlreadyTriggered(run)
        | ChangeError::DefinedByCode(run)
        | ChangeError::AlreadyEnded(run)
        | ChangeError::UnderWay(run)
        | ChangeError::OutOfRange(run) => *run,
    }
}

/// Asks for a token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it may do.
    pub role: String,
    /// What it is for.
    #[serde(default)]
    pub note: String,
    /// Stops working at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Stops working after this span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<String>,
}

impl CreateToken {
    /// Checks it; `now` is what the span counts from.
    pub fn to_new(&self, now: Timestamp) -> Result<crate::scheduler::NewToken, Invalid> {
        let expires = match (&self.expires_at, &self.expires_after) {
            (Some(_), Some(_)) => return Err(Invalid::new("invalid-time", "expires_after", "give either `expires_at` or `expires_after`")),
            (Some(at), None) => Some(Timestamp::parse(at, "expires_at")?),
            (None, Some(after)) => Some(now.saturating_add(parse_duration(after, "expires_after")?)),
            (None, None) => None,
        };
        Ok(crate::scheduler::NewToken { role: Role::parse(&self.role)?, note: self.note.clone(), expires })
    }
}

/// A token, never its secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct Token {
    /// Its public part.
    pub id: String,
    /// What it may do.
    pub role: String,
    /// What it is for.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl From<TokenRecord> for Token {
    fn from(record: TokenRecord) -> Self {
        let TokenRecord { id, role, note, created_at, expires_at, revoked_at, .. } = record;
        Self { id, role, note, created_at, expires_at, revoked_at }
    }
}

/// A token that was just made, with its secret, which is shown this once.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewToken {
    /// The secret text.
    pub token: String,
    /// What else there is to know.
    #[serde(flatten)]
    pub record: Token,
}

/// The tokens of a namespace, in order of creation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tokens {
    /// The tokens.
    pub tokens: Vec<Token>,
}

/// Asks for a copy of the database.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Where to, on the host: an absolute path at which there is no file yet.
    pub path: String,
}

/// A copy that was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where it is.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// Reads metadata as the model does.
pub fn metadata(entries: &BTreeMap<String, String>) -> Result<Metadata, Invalid> {
    Metadata::from_entries(entries)
}
