//! Idempotency keys: a request that is sent twice under one key makes one run.
//!
//! Not a [unique key](super::Unique): that says how many runs there may be of one thing, this says that two requests are the same one. So
//! the key is held whatever became of the run, and covers everything that was asked for.

use std::borrow::Cow;
use std::time::Duration;

use sha2::Digest as _;

use super::limits::IDEMPOTENCY_KEY_KEPT;
use super::{Due, Existing, Metadata, Name, Payload, RunId, Status, Timestamp, Unique, UniqueKey, UniqueMode};

/// The key of a request, and a digest of what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key. A namespace has each once.
    pub key: UniqueKey,
    /// SHA-256 of the request.
    pub request: [u8; 32],
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The task.
    pub task: &'a Name,
    /// The time, as the request said it: `after 1h` is the same each time.
    pub due: Due,
    /// The input as it was sent.
    pub input: &'a Payload,
    /// The metadata.
    pub metadata: &'a Metadata,
    /// The unique key, with its mode and span.
    pub unique: Option<&'a Unique>,
    /// Overrides of the task's policy.
    pub max_attempts: Option<u32>,
    /// Overrides of the task's policy.
    pub timeout: Option<Duration>,
    /// Overrides of the task's policy.
    pub priority: Option<u8>,
}

impl Idempotency {
    /// The key of this request.
    pub fn new(key: UniqueKey, request: &Request<'_>) -> Self {
        let mut hash = sha2::Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        let micros = |span: Duration| span.as_micros() as i64;
        let (kind, time) = match request.due {
            Due::Now => (0, 0),
            Due::At(at) => (1, at.as_micros()),
            Due::After(span) => (2, micros(span)),
        };
        let (mode, wait, max_wait) = match request.unique.map(|unique| unique.mode) {
            None => (0, Duration::ZERO, Duration::ZERO),
            Some(UniqueMode::Existing) => (1, Duration::ZERO, Duration::ZERO),
            Some(UniqueMode::Reject) => (2, Duration::ZERO, Duration::ZERO),
            Some(UniqueMode::Replace) => (3, Duration::ZERO, Duration::ZERO),
            Some(UniqueMode::Debounce { wait, max_wait }) => (4, wait, max_wait),
        };
        part(request.task.as_str().as_bytes());
        part(request.input.media_type().as_bytes());
        part(request.input.bytes());
        part(request.unique.map_or("", |unique| unique.key.as_str()).as_bytes());
        let numbers = [
            kind,
            time,
            mode,
            micros(wait),
            micros(max_wait),
            request.unique.map_or(0, |unique| micros(unique.held_for)),
            request.max_attempts.map_or(0, i64::from),
            request.timeout.map_or(0, micros),
            request.priority.map_or(0, i64::from),
        ];
        numbers.iter().for_each(|number| part(&number.to_le_bytes()));
        for (key, value) in request.metadata.iter() {
            part(key.as_bytes());
            part(value.as_bytes());
        }
        Self { key, request: hash.finalize().into() }
    }
}

/// What is known of a request that came under a key before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The run that it got.
    pub run: RunId,
    /// Whether the new request asks for the same.
    pub is_same: bool,
    /// The run's status; `None` if it was deleted.
    pub status: Option<Status>,
    /// Why it has that status.
    pub reason: Option<Cow<'static, str>>,
    /// When the run becomes, or became, due.
    pub trigger_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The key is held until then at least, whatever became of the run.
    pub until: Timestamp,
    /// For how long after the run's end the key is held.
    pub held_for: Duration,
}

impl Remembered {
    /// Until when the key is held; `None` while the run has not ended.
    fn held_until(&self) -> Option<Timestamp> {
        match (self.status, self.ended_at) {
            (None, _) => Some(self.until),
            (Some(_), Some(at)) => Some(at.saturating_add(self.held_for).max(self.until)),
            (Some(_), None) => None,
        }
    }

    /// Whether the key is still held at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.held_until().is_none_or(|until| until > now)
    }

    /// When the key should be looked at again, to let go of it. `None`: now.
    pub fn look_again(&self, now: Timestamp) -> Option<Timestamp> {
        match self.held_until() {
            Some(until) => (until > now).then_some(until),
            None => Some(now.saturating_add(IDEMPOTENCY_KEY_KEPT)),
        }
    }

    /// What a request that meets it is told.
    pub fn existing(self) -> Existing {
        let held_until = self.held_until();
        Existing {
            run: self.run,
            status: self.status,
            reason: self.reason,
            trigger_at: self.trigger_at,
            ended_at: self.ended_at,
            held_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    #[test]
    fn every_part_of_a_request_counts() {
        let (task, other_task) = (Name::parse("a", "task").unwrap(), Name::parse("b", "task").unwrap());
        let (input, other_input) = (Payload::null(), Payload::json(b"1", "input").unwrap());
        let (metadata, mut other_metadata) = (Metadata::default(), Metadata::default());
        other_metadata.set("k", "v").unwrap();
        let key = || UniqueKey::parse("k", "key").unwrap();
        let unique = Unique::from(key());
        let others = [
            Unique { mode: UniqueMode::Reject, ..unique.clone() },
            Unique { mode: UniqueMode::Replace, ..unique.clone() },
            Unique { held_for: Duration::from_secs(1), ..unique.clone() },
            Unique { key: UniqueKey::parse("l", "key").unwrap(), ..unique.clone() },
            Unique::debounce(key(), Duration::from_secs(1), Duration::from_secs(2)).unwrap(),
            Unique::debounce(key(), Duration::from_secs(1), Duration::from_secs(3)).unwrap(),
        ];
        let plain = Request {
            task: &task,
            due: Due::Now,
            input: &input,
            metadata: &metadata,
            unique: None,
            max_attempts: None,
            timeout: None,
            priority: None,
        };
        let mut requests = vec![
            plain,
            Request { task: &other_task, ..plain },
            Request { due: Due::At(at(1)), ..plain },
            Request { due: Due::At(at(2)), ..plain },
            Request { due: Due::After(Duration::from_secs(1)), ..plain },
            Request { input: &other_input, ..plain },
            Request { metadata: &other_metadata, ..plain },
            Request { unique: Some(&unique), ..plain },
            Request { max_attempts: Some(2), ..plain },
            Request { timeout: Some(Duration::from_secs(2)), ..plain },
            Request { priority: Some(2), ..plain },
        ];
        requests.extend(others.iter().map(|unique| Request { unique: Some(unique), ..plain }));
        let digests: std::collections::BTreeSet<_> = requests.iter().map(|request| Idempotency::new(key(), request).request).collect();
        assert_eq!(digests.len(), requests.len());
        assert_eq!(Idempotency::new(key(), &plain), Idempotency::new(key(), &plain));
    }

    #[test]
    fn a_key_is_held_whatever_became_of_the_run() {
        let remembered = |status, ended_at: Option<i64>| Remembered {
            run: RunId::from_key(1, 1),
            is_same: true,
            status,
            reason: None,
            trigger_at: at(60),
            ended_at: ended_at.map(at),
            until: at(100),
            held_for: Duration::from_secs(50),
        };
        for (case, remembered, until) in [
            ("waits", remembered(Some(Status::Scheduled), None), None),
            ("ended early", remembered(Some(Status::Cancelled), Some(10)), Some(100)),
            ("ended late", remembered(Some(Status::Succeeded), Some(90)), Some(140)),
            ("deleted", remembered(None, None), Some(100)),
        ] {
            let Some(until) = until else {
                assert!(remembered.holds(Timestamp::MAX), "{case}");
                assert_eq!(remembered.look_again(at(7)), Some(at(7 + 86_400)), "{case}");
                continue;
            };
            assert!(remembered.holds(at(until - 1)) && !remembered.holds(at(until)), "{case}");
            assert_eq!((remembered.look_again(at(1)), remembered.look_again(at(until))), (Some(at(until)), None), "{case}");
            assert_eq!(remembered.existing().held_until, Some(at(until)), "{case}");
        }
    }
}
