//! Unique keys: what a further request under a key does, for how long a key is held, and debouncing.
//!
//! Asked by storage whenever a run with a key is stored, and for a guest already when it schedules.

use std::borrow::Cow;
use std::time::Duration;

use super::limits::{DURATION_MAX, UNIQUE_KEY_KEPT};
use super::{Existing, Invalid, RunId, Status, Timestamp, UniqueKey};

/// Under which key a run is unique, and what a further request under the same key does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The key, of which a namespace has each once.
    pub key: UniqueKey,
    /// What this request does if the key is held.
    pub mode: UniqueMode,
    /// For how long after the run's end the key is held.
    pub held_for: Duration,
}

/// What a request does whose key is held by another run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UniqueMode {
    /// An equal request gets the run that holds it; a different one is refused.
    #[default]
    Existing,
    /// It is refused.
    Reject,
    /// The run that holds it is deleted if it still waits for its time, and this one takes its place. One that has triggered refuses it.
    Replace,
    /// The run that holds it, while it still waits for its time, is put off, and gets this request's input and metadata. One that has
    /// triggered holds the key no longer.
    Debounce {
        /// It waits so long after the last request.
        wait: Duration,
        /// But not longer than this after the first.
        max_wait: Duration,
    },
}

impl UniqueMode {
    /// Whether a request may come in the place of the run that holds its key.
    pub const fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::Debounce { .. })
    }

    /// Parses the words for those that are no debounce.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        match text {
            "existing" => Ok(Self::Existing),
            "reject" => Ok(Self::Reject),
            "replace" => Ok(Self::Replace),
            _ => Err(Invalid::new("invalid-unique-mode", field, "one of existing, reject, replace").seen(text)),
        }
    }
}

impl From<UniqueKey> for Unique {
    fn from(key: UniqueKey) -> Self {
        Self { key, mode: UniqueMode::default(), held_for: UNIQUE_KEY_KEPT }
    }
}

impl Unique {
    /// A key whose run waits `wait` after the last request, and at most `max_wait` after the first.
    pub fn debounce(key: UniqueKey, wait: Duration, max_wait: Duration) -> Result<Self, Invalid> {
        let refused = |field, reason: &str, seen| Err(Invalid::new("invalid-debounce", field, reason).seen(super::format_duration(seen)));
        if wait < Duration::from_millis(1) || wait > DURATION_MAX {
            return refused("debounce", "waits 1ms to 100 years", wait);
        }
        if max_wait < wait || max_wait > DURATION_MAX {
            return refused("debounce-max", "from the wait itself to 100 years", max_wait);
        }
        Ok(Self { key, mode: UniqueMode::Debounce { wait, max_wait }, held_for: Duration::ZERO })
    }

    /// The same, held for this long after the run's end.
    pub fn held_for(self, held_for: Duration, field: &str) -> Result<Self, Invalid> {
        if held_for > DURATION_MAX || matches!(self.mode, UniqueMode::Debounce { .. }) {
            let reason = "how long a key is held after the end of its run, from 0s to 100 years; a debounced one is held until it triggers";
            return Err(Invalid::new("invalid-unique-for", field, reason).seen(super::format_duration(held_for)));
        }
        Ok(Self { held_for, ..self })
    }

    /// When a debounced run becomes due that is asked for now.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        match self.mode {
            UniqueMode::Debounce { wait, .. } => Some(now.saturating_add_ceil(wait)),
            _ => None,
        }
    }

    /// What becomes of a request under this key at `now`.
    pub fn verdict(&self, holder: &Holder, now: Timestamp) -> Verdict {
        if holder.has_let_go(now) {
            return Verdict::Free;
        }
        match (self.mode, holder.standing) {
            (UniqueMode::Existing, _) if holder.is_equal => Verdict::Existing,
            (UniqueMode::Replace, Standing::Waiting) if holder.same_task => Verdict::Replace,
            (UniqueMode::Debounce { wait, max_wait }, Standing::Waiting) if holder.same_task => {
                let latest = holder.first_at.saturating_add(max_wait);
                Verdict::PutOff(now.saturating_add_ceil(wait).min(latest).max(now))
            }
            (UniqueMode::Debounce { .. }, Standing::Triggered | Standing::Ended(_)) if holder.same_task => Verdict::Free,
            _ => Verdict::Taken,
        }
    }
}

/// The run that holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// Its trigger time.
    pub trigger_at: Timestamp,
    /// Where it stands.
    pub standing: Standing,
    /// Whether it is one of the same task as the request.
    pub same_task: bool,
    /// Whether it has the same task, input and metadata as the request.
    pub is_equal: bool,
    /// For how long after its end it holds the key.
    pub held_for: Duration,
    /// When it was first asked for.
    pub first_at: Timestamp,
    /// Its status.
    pub status: Status,
    /// Why it has that status.
    pub reason: Option<Cow<'static, str>>,
    /// Whether an attempt of it was ever started.
    pub was_attempted: bool,
}

impl Holder {
    /// Whether it holds its key no longer.
    ///
    /// A run that ended before its first attempt (it was cancelled, missed, or could not be started) will never come, so it holds
    /// nothing. One that is triggered by hand takes its key again, or is refused while another run has it.
    fn has_let_go(&self, now: Timestamp) -> bool {
        match self.standing {
            Standing::Ended(at) => !self.was_attempted || at.saturating_add(self.held_for) <= now,
            Standing::Waiting | Standing::Triggered => false,
        }
    }

    /// The run and its status, or `None` if the key is free at `now`.
    pub fn holding(&self, now: Timestamp) -> Option<Existing> {
        (!self.has_let_go(now)).then(|| self.existing())
    }

    /// What a request that meets it is told.
    pub fn existing(&self) -> Existing {
        let ended_at = match self.standing {
            Standing::Ended(at) => Some(at),
            Standing::Waiting | Standing::Triggered => None,
        };
        Existing {
            run: self.run,
            status: Some(self.status),
            reason: self.reason.clone(),
            trigger_at: self.trigger_at,
            ended_at,
            held_until: ended_at.map(|at| at.saturating_add(self.held_for)),
        }
    }
}

/// Where the run stands that holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its time lies ahead, and it may be moved and deleted.
    Waiting,
    /// Its time has come, and it has not ended.
    Triggered,
    /// It ended then.
    Ended(Timestamp),
}

/// What becomes of a request whose key was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The run is stored, and holds the key from now on.
    Free,
    /// There is an equal one already.
    Existing,
    /// It is refused.
    Taken,
    /// The run that holds the key is deleted, then as [`Free`](Self::Free).
    Replace,
    /// The run that holds the key is moved to then, and gets the new input.
    PutOff(Timestamp),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn key() -> UniqueKey {
        UniqueKey::parse("k", "key").unwrap()
    }

    /// One that waits, was first asked for at second 80, and holds its key for 50 s after its end.
    fn holder() -> Holder {
        Holder {
            run: RunId::from_key(1, 1),
            trigger_at: at(120),
            standing: Standing::Waiting,
            same_task: true,
            is_equal: false,
            held_for: secs(50),
            first_at: at(80),
            status: Status::Scheduled,
            reason: None,
            was_attempted: true,
        }
    }

    #[test]
    fn every_mode_in_every_situation() {
        use Verdict::*;
        let debounce = UniqueMode::Debounce { wait: secs(10), max_wait: secs(30) };
        let ended = |second| Standing::Ended(at(second));
        // At second 100; the holder was first asked for at second 80, and holds the key for 50 s after its end.
        let situations = [Standing::Waiting, Standing::Triggered, ended(51), ended(50)];
        for (mode, equal, different) in [
            (UniqueMode::Existing, [Existing, Existing, Existing, Free], [Taken, Taken, Taken, Free]),
            (UniqueMode::Reject, [Taken, Taken, Taken, Free], [Taken, Taken, Taken, Free]),
            (UniqueMode::Replace, [Replace, Taken, Taken, Free], [Replace, Taken, Taken, Free]),
            (debounce, [PutOff(at(110)), Free, Free, Free], [PutOff(at(110)), Free, Free, Free]),
        ] {
            let unique = Unique { mode, ..key().into() };
            for (is_equal, expected) in [(true, equal), (false, different)] {
                let verdicts = situations.map(|standing| {
                    let holder = Holder { standing, is_equal, ..holder() };
                    unique.verdict(&holder, at(100))
                });
                assert_eq!(verdicts, expected, "{mode:?} equal: {is_equal}");
            }
            assert_eq!(unique.verdict(&Holder { same_task: false, ..holder() }, at(100)), Taken, "another task's run is left alone");
            let never_came = Holder { standing: ended(99), was_attempted: false, ..holder() };
            assert_eq!(unique.verdict(&never_came, at(100)), Free, "a run that ended before its first attempt holds nothing");
        }
    }

    #[test]
    fn a_debounced_run_is_put_off_but_not_for_ever() {
        let unique = Unique::debounce(key(), secs(10), secs(30)).unwrap();
        let asked_at = |second| unique.verdict(&Holder { held_for: secs(0), first_at: at(0), ..holder() }, at(second));
        assert_eq!([1, 9, 19, 20, 21, 29, 30].map(asked_at), [11, 19, 29, 30, 30, 30, 30].map(|second| Verdict::PutOff(at(second))));
        assert_eq!(asked_at(40), Verdict::PutOff(at(40)), "a smaller maximum than before means at once");
    }

    #[test]
    fn bad_spans_are_refused() {
        assert_eq!(Unique::debounce(key(), secs(0), secs(1)).unwrap_err().field, "debounce");
        assert_eq!(Unique::debounce(key(), secs(2), secs(1)).unwrap_err().field, "debounce-max");
        let century = secs(101 * 366 * 86_400);
        assert_eq!(Unique::from(key()).held_for(century, "unique-for").unwrap_err().code, "invalid-unique-for");
        assert!(Unique::debounce(key(), secs(1), secs(1)).unwrap().held_for(secs(1), "unique-for").is_err());
        assert!(UniqueMode::parse("debounce", "unique-mode").is_err());
    }
}
