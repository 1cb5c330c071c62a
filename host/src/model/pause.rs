//! That a task, or a cron, makes nothing start for a while.

use super::limits::PAUSE_NOTE_BYTES_MAX;
use super::{Invalid, Timestamp};

/// Why and until when a task, or a cron, is paused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; `None`: when somebody resumes it.
    pub until: Option<Timestamp>,
    /// What for, in words.
    pub note: String,
}

impl Pause {
    /// A pause that begins at `now`. Refused if it would have ended by then, or if its note is longer than
    /// [`PAUSE_NOTE_BYTES_MAX`].
    pub fn new(now: Timestamp, until: Option<Timestamp>, note: &str) -> Result<Self, Invalid> {
        if note.len() > PAUSE_NOTE_BYTES_MAX {
            let reason = format!("{} bytes, the limit is {PAUSE_NOTE_BYTES_MAX}", note.len());
            return Err(Invalid::new("invalid-note", "note", reason).seen(note));
        }
        if let Some(until) = until.filter(|until| *until <= now) {
            return Err(
                Invalid::new("invalid-time", "until", format!("a pause ends in the future, and it is {now}")).seen(until.to_string())
            );
        }
        Ok(Self { since: now, until, note: note.into() })
    }

    /// This pause in place of the one before: what is paused already has been so since then.
    pub fn in_place_of(self, before: Option<&Self>, now: Timestamp) -> Self {
        let since = before.filter(|before| before.holds(now)).map_or(self.since, |before| before.since.min(self.since));
        Self { since, ..self }
    }

    /// Whether it still holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_pause_lies_ahead_and_says_little() {
        for (until, note, code) in [
            (None, "", None),
            (Some(101), "an upgrade", None),
            (Some(100), "", Some("invalid-time")),
            (Some(0), "", Some("invalid-time")),
            (None, &"x".repeat(256), None),
            (None, &"x".repeat(257), Some("invalid-note")),
        ] {
            let made = Pause::new(at(100), until.map(at), note);
            assert_eq!(made.err().map(|invalid| invalid.code), code, "{until:?} {}", note.len());
        }
    }

    #[test]
    fn it_holds_until_it_ends() {
        let pause = Pause::new(at(100), Some(at(200)), "").unwrap();
        assert!(pause.holds(at(100)) && pause.holds(at(199)) && !pause.holds(at(200)));
        assert!(Pause::new(at(100), None, "").unwrap().holds(Timestamp::MAX));
    }

    #[test]
    fn what_is_paused_anew_has_been_so_since_it_was_first() {
        let first = Pause::new(at(100), Some(at(200)), "first").unwrap();
        for (now, since) in [(150, 100), (199, 100), (200, 200), (300, 300)] {
            let second = Pause::new(at(now), None, "second").unwrap().in_place_of(Some(&first), at(now));
            assert_eq!(second, Pause { since: at(since), until: None, note: "second".into() });
        }
        assert_eq!(first.clone().in_place_of(None, at(100)), first);
    }
}
