//! The interface `types`: the contract's values to the model's and back.

use std::time::Duration;

use crate::executor::CallError;
use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::types;
use crate::model::limits::DURATION_MAX;
use crate::model::{Due, Invalid, Metadata, Origin, Payload, RunId, Status, Timestamp, format_duration};

/// Why a call of ours did not answer: with an error for the guest, or by ending it.
#[derive(Debug)]
pub enum CallFailure {
    /// The guest is told.
    Answer(CallError),
    /// The guest traps.
    Trap(wasmtime::Error),
}

impl From<CallError> for CallFailure {
    fn from(error: CallError) -> Self {
        Self::Answer(error)
    }
}

impl From<Invalid> for CallFailure {
    fn from(invalid: Invalid) -> Self {
        Self::Answer(CallError::Invalid(invalid))
    }
}

impl From<wasmtime::Error> for CallFailure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl From<wasmtime::component::ResourceTableError> for CallFailure {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl types::Host for AttemptState {
    fn convert_error(&mut self, failure: CallFailure) -> wasmtime::Result<types::Error> {
        match failure {
            CallFailure::Answer(error) => Ok(to_error(error)),
            CallFailure::Trap(error) => Err(error),
        }
    }
}

pub(super) fn to_error(error: CallError) -> types::Error {
    match error {
        CallError::Invalid(Invalid { field, reason, seen, .. }) => {
            let reason = match seen {
                Some(seen) => format!("{reason} (seen: \"{seen}\")"),
                None => reason,
            };
            types::Error::Invalid(types::InvalidArgument { field, reason })
        }
        CallError::Limit { limit, max, asked } => types::Error::Limit(types::LimitExceeded { limit: limit.to_owned(), max, asked }),
        CallError::TaskNotFound(task) => types::Error::TaskNotFound(task),
        CallError::RunNotFound(run) => types::Error::RunNotFound(run.to_string()),
        CallError::AlreadyTriggered(run) => types::Error::AlreadyTriggered(run.to_string()),
        CallError::DefinedByCode(run) => types::Error::DefinedByCode(run.to_string()),
        CallError::AlreadyEnded(run) => types::Error::AlreadyEnded(run.to_string()),
        CallError::UniqueKeyTaken(run) => types::Error::UniqueKeyTaken(run.to_string()),
        CallError::CronNotFound(name) => types::Error::CronNotFound(name),
        CallError::CronExists(name) => types::Error::CronExists(name),
        CallError::CronDefinedByCode(name) => types::Error::CronDefinedByCode(name),
        CallError::Forbidden(what) => types::Error::Forbidden(what.to_owned()),
        CallError::Unavailable => types::Error::Unavailable(None),
    }
}

pub(super) fn timestamp(at: types::Instant, field: &str) -> Result<Timestamp, Invalid> {
    rounded(at, field, Timestamp::from_unix_ceil)
}

/// For a bound that `t <= at` is compared with.
pub(super) fn timestamp_floor(at: types::Instant, field: &str) -> Result<Timestamp, Invalid> {
    rounded(at, field, Timestamp::from_unix_floor)
}

fn rounded(at: types::Instant, field: &str, round: impl Fn(i64, u32) -> Option<Timestamp>) -> Result<Timestamp, Invalid> {
    let invalid = |reason: &str| Invalid::new("invalid-time", field, reason).seen(format!("{}.{:09}", at.seconds, at.nanoseconds));
    if at.nanoseconds >= 1_000_000_000 {
        return Err(invalid("nanoseconds are 0 to 999999999"));
    }
    round(at.seconds, at.nanoseconds).ok_or_else(|| invalid("outside 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z"))
}

pub(super) fn instant(at: Timestamp) -> types::Instant {
    let micros = at.as_micros();
    let nanoseconds = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    types::Instant { seconds: micros.div_euclid(1_000_000), nanoseconds }
}

pub(super) fn duration(nanos: types::Duration, field: &str) -> Result<Duration, Invalid> {
    let span = Duration::from_nanos(nanos);
    if span <= DURATION_MAX {
        return Ok(span);
    }
    let reason = format!("longer than the longest duration, {}", format_duration(DURATION_MAX));
    Err(Invalid::new("invalid-duration", field, reason).seen(format_duration(span)))
}

pub(super) fn nanos(span: Duration) -> types::Duration {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn due(due: types::Due) -> Result<Due, Invalid> {
    Ok(match due {
        types::Due::Now => Due::Now,
        types::Due::At(at) => Due::At(timestamp(at, "due")?),
        types::Due::After(nanos) => Due::After(duration(nanos, "due")?),
    })
}

pub(super) fn run_id(text: &str) -> Result<RunId, Invalid> {
    RunId::parse(text, "id")
}

pub(super) fn input(payload: Option<types::Payload>) -> Result<Payload, Invalid> {
    match payload {
        Some(payload) => Payload::new(&payload.media_type, &payload.bytes, "input"),
        None => Ok(Payload::null()),
    }
}

pub(super) fn payload(payload: &Payload) -> types::Payload {
    types::Payload { media_type: payload.media_type().to_owned(), bytes: payload.bytes().to_vec() }
}

pub(super) fn metadata(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(super) fn status(status: types::Status) -> Result<Status, Invalid> {
    Ok(match status {
        types::Status::Scheduled => Status::Scheduled,
        types::Status::Queued => Status::Queued,
        types::Status::Running => Status::Running,
        types::Status::Backoff => Status::Backoff,
        types::Status::Succeeded => Status::Succeeded,
        types::Status::Failed => Status::Failed,
        types::Status::Cancelled => Status::Cancelled,
        types::Status::Missed => Status::Missed,
        types::Status::Other(word) => Status::parse(&word)?,
    })
}

pub(super) fn to_status(status: Status) -> types::Status {
    match status {
        Status::Scheduled => types::Status::Scheduled,
        Status::Queued => types::Status::Queued,
        Status::Running => types::Status::Running,
        Status::Backoff => types::Status::Backoff,
        Status::Succeeded => types::Status::Succeeded,
        Status::Failed => types::Status::Failed,
        Status::Cancelled => types::Status::Cancelled,
        Status::Missed => types::Status::Missed,
    }
}

pub(super) fn origin(origin: Origin) -> types::Origin {
    match origin {
        Origin::Api => types::Origin::Api,
        Origin::Guest => types::Origin::Guest,
        Origin::Cron => types::Origin::Cron,
        Origin::Code => types::Origin::Code,
        Origin::Trigger => types::Origin::Trigger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_checked() {
        let parse = |seconds, nanoseconds| timestamp(types::Instant { seconds, nanoseconds }, "due").map(Timestamp::as_micros);
        assert_eq!(parse(0, 999), Ok(1), "finer parts are rounded up");
        assert_eq!(parse(1, 999_999_999), Ok(2_000_000));
        assert_eq!(timestamp_floor(types::Instant { seconds: 1, nanoseconds: 999_999_999 }, "until").unwrap().as_micros(), 1_999_999);
        assert_eq!(parse(253_402_300_799, 999_999_999), Ok(Timestamp::MAX.as_micros()));
        for (seconds, nanoseconds) in [(0, 1_000_000_000), (-1, 0), (253_402_300_800, 0), (i64::MAX, 0), (i64::MIN, 0), (0, u32::MAX)] {
            let refused = parse(seconds, nanoseconds).unwrap_err();
            assert_eq!((refused.code, refused.field.as_str()), ("invalid-time", "due"));
        }
        for micros in [0, 1, 999_999, 1_000_000, Timestamp::MAX.as_micros()] {
            let at = Timestamp::from_micros(micros).unwrap();
            assert_eq!(timestamp(instant(at), "x"), Ok(at));
        }
    }

    #[test]
    fn durations_are_checked() {
        assert_eq!(duration(1, "due"), Ok(Duration::from_nanos(1)));
        assert_eq!(duration(u64::MAX, "due").unwrap_err().code, "invalid-duration");
        assert_eq!(due(types::Due::After(u64::MAX)).unwrap_err().field, "due");
        let now = Timestamp::from_micros(5).unwrap();
        assert_eq!(due(types::Due::After(1)).unwrap().trigger_at(now).as_micros(), 6, "not before the span is over");
    }

    #[test]
    fn statuses_go_there_and_back() {
        for each in Status::ALL {
            assert_eq!(status(to_status(each)), Ok(each));
        }
        assert_eq!(status(types::Status::Other("failed".into())), Ok(Status::Failed));
        assert_eq!(status(types::Status::Other("dreaming".into())).unwrap_err().code, "invalid-status");
    }

    #[test]
    fn an_error_shows_what_was_seen() {
        let error = to_error(Invalid::new("c", "due", "too late").seen("\u{1b}x").into());
        let types::Error::Invalid(argument) = error else { panic!("{error:?}") };
        assert_eq!((argument.field.as_str(), argument.reason.as_str()), ("due", "too late (seen: \"\\u{1b}x\")"));
    }
}
