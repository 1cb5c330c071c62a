//! Crons: rules that make a run again and again. When they fire, in which time zone, and what the clocks' changes do to that.
//!
//! Asked by storage, which turns occurrences into runs, and by the doors, which show what is to come.

mod catch_up;
mod expression;
mod record;
mod search;
mod settings;
#[cfg(test)]
mod sweep;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::limits::{CRON_JITTER_MAX, OCCURRENCES_MAX};
use super::{Invalid, Timestamp, format_duration};
use expression::Expression;

pub use catch_up::{CatchUpPlan, Skipped, catch_up};
pub use record::{Cron, CronChange, CronFilter, CronSpec};
pub use settings::CronSettings;

/// Which release of the IANA time zone database the crons go by.
pub const TZDB_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;

/// When a cron fires. Its text is checked; what it says never changes.
#[derive(Clone, Debug)]
pub struct CronRule {
    text: String,
    expression: Expression,
    zone: Tz,
    /// The first instant at which it may fire, and what an interval counts from.
    start: Timestamp,
    /// It fires before this.
    end: Option<Timestamp>,
    jitter: Duration,
}

/// One planned time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// When.
    pub at: Timestamp,
    /// What the clocks' change did to it.
    pub note: Option<DstNote>,
}

/// What a change of the clocks did to an occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DstNote {
    /// The clocks skip its time, so it happens when they have jumped.
    Moved {
        /// The time that does not exist on that day, for example `2026-03-29 02:30`.
        from: String,
    },
    /// The clocks show its time twice, and it happens the first time only.
    FirstOfTwo,
    /// The clocks show its time twice, and it happens both times: this is one of them.
    OneOfTwo,
}

impl fmt::Display for DstNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { from } => write!(f, "the clocks skip {from}; it fires when they have jumped"),
            Self::FirstOfTwo => f.write_str("the clocks show this time twice; it fires the first time"),
            Self::OneOfTwo => f.write_str("the clocks show this time twice; it fires both times"),
        }
    }
}

impl CronRule {
    /// Parses an expression of five or six fields, a nickname such as `@daily`, or `@every 90s`, in an IANA time zone.
    ///
    /// Refused if it would never fire between `start` and `end`.
    pub fn new(text: &str, zone: &str, start: Timestamp, end: Option<Timestamp>, jitter: Duration) -> Result<Self, Invalid> {
        let expression = expression::parse(text, "expression")?;
        let zone = Tz::from_str(zone).map_err(|_| {
            let reason = format!("a name of the IANA time zone database {}, such as Europe/Prague or UTC", TZDB_VERSION);
            Invalid::new("invalid-timezone", "timezone", reason).seen(zone)
        })?;
        if jitter > CRON_JITTER_MAX {
            return Err(Invalid::new("invalid-jitter", "jitter", format!("from 0s to {}", format_duration(CRON_JITTER_MAX)))
                .seen(format_duration(jitter)));
        }
        if end.is_some_and(|end| end <= start) {
            return Err(
                Invalid::new("invalid-end", "end", "a cron ends after it starts").seen(end.map(|end| end.to_string()).unwrap_or_default())
            );
        }
        let rule = Self { text: text.trim().into(), expression, zone, start, end, jitter };
        rule.checked(text)
    }

    /// What [`new`](Self::new) accepted once, also if it has ended since.
    pub(crate) fn restored(text: &str, zone: &str, start: Timestamp, end: Option<Timestamp>, jitter: Duration) -> Result<Self, Invalid> {
        let expression = expression::restore(text, "expression")?;
        let zone =
            Tz::from_str(zone).map_err(|_| Invalid::new("invalid-timezone", "timezone", "not a time zone of this version").seen(zone))?;
        Ok(Self { text: text.into(), expression, zone, start, end, jitter })
    }

    /// The same rule, beginning (and counting its intervals) from another moment.
    pub fn starting(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// The same rule, with the occurrences that it would have had since `from`.
    pub fn reaching_back_to(self, from: Timestamp) -> Self {
        let start = match &self.expression {
            _ if from >= self.start => self.start,
            // Whole intervals back, so that the beat stays.
            Expression::Every(every) => {
                let every = every.as_micros().min(i64::MAX as u128) as i64;
                let intervals = (self.start.as_micros() - from.as_micros()) / every;
                Timestamp::from_micros(self.start.as_micros() - intervals * every).unwrap_or(from)
            }
            Expression::Calendar(_) => from,
        };
        self.starting(start)
    }

    fn checked(self, text: &str) -> Result<Self, Invalid> {
        let (rule, start, end) = (&self, self.start, self.end);
        if rule.next_after(start.saturating_sub(Duration::from_micros(1))).is_none() {
            let reason =
                if end.is_some() { "it never fires between its start and its end" } else { "no day of the calendar ever matches it" };
            return Err(Invalid::new("invalid-cron", "expression", reason).seen(text));
        }
        Ok(self)
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of its time zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first instant at which it may fire.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// It fires before this.
    pub const fn end(&self) -> Option<Timestamp> {
        self.end
    }

    /// How far its runs are spread behind their planned times.
    pub const fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The first planned time later than `after`; `None` if it will not fire any more.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.max(self.start.saturating_sub(Duration::from_micros(1)));
        let next = match &self.expression {
            Expression::Every(every) => {
                let passed = after.as_micros() - self.start.as_micros();
                let every = i64::try_from(every.as_micros()).ok()?;
                let count = if passed < 0 { 0 } else { passed / every + 1 };
                Timestamp::from_micros(self.start.as_micros().checked_add(count.checked_mul(every)?)?)?
            }
            Expression::Calendar(calendar) => {
                // Planned times are whole seconds.
                let second = after.as_micros().div_euclid(1_000_000);
                let found = calendar.next(self.zone, DateTime::from_timestamp(second, 0)?)?;
                Timestamp::try_from(found).ok()?
            }
        };
        self.end.is_none_or(|end| next < end).then_some(next)
    }

    /// The planned times later than `after` and not later than `until`, at most `max`.
    pub fn occurrences(&self, after: Timestamp, until: Timestamp, max: usize) -> Vec<Timestamp> {
        let next = |at: &Timestamp| self.next_after(*at);
        std::iter::successors(self.next_after(after), next).take_while(|at| *at <= until).take(max).collect()
    }

    /// The planned times of a range of the past, both ends included, as if the rule had held then: at most [`OCCURRENCES_MAX`].
    pub fn past(&self, from: Timestamp, until: Timestamp, now: Timestamp) -> Result<Vec<Timestamp>, Invalid> {
        if until > now || from > until {
            let reason = "a backfill covers a range of the past: from is not after until, and until is not after now";
            return Err(Invalid::new("invalid-range", "until", reason));
        }
        let rule = self.clone().reaching_back_to(from);
        let planned = rule.occurrences(from.saturating_sub(Duration::from_micros(1)), until, OCCURRENCES_MAX + 1);
        if planned.len() > OCCURRENCES_MAX {
            let reason = format!("more than {OCCURRENCES_MAX} occurrences; choose a shorter range");
            return Err(Invalid::new("invalid-range", "from", reason));
        }
        Ok(planned)
    }

    /// The planned time with what the clocks do to it.
    pub fn occurrence(&self, at: Timestamp) -> Occurrence {
        Occurrence { at, note: self.note(at) }
    }

    fn note(&self, at: Timestamp) -> Option<DstNote> {
        let Expression::Calendar(calendar) = &self.expression else { return None };
        let local = self.local(at);
        if calendar.fixed && !calendar.names(local) {
            let from = calendar.skipped_before(local)?.format("%Y-%m-%d %H:%M:%S").to_string();
            return Some(DstNote::Moved { from: from.strip_suffix(":00").map(str::to_owned).unwrap_or(from) });
        }
        match self.zone.from_local_datetime(&local) {
            chrono::LocalResult::Ambiguous(..) if calendar.fixed => Some(DstNote::FirstOfTwo),
            chrono::LocalResult::Ambiguous(..) => Some(DstNote::OneOfTwo),
            _ => None,
        }
    }

    /// What the clocks of its zone show at `at`.
    pub fn local(&self, at: Timestamp) -> chrono::NaiveDateTime {
        let utc: DateTime<Utc> = at.to_chrono();
        self.zone.from_utc_datetime(&utc.naive_utc()).naive_local()
    }

    /// How long after its planned time the run of an occurrence is due: the same each time it is asked, and spread evenly over the jitter.
    pub fn delay(&self, cron: i64, planned: Timestamp) -> Duration {
        let span = self.jitter.as_micros() as u64;
        if span == 0 {
            return Duration::ZERO;
        }
        // The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
        let mut mixed = (cron as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ planned.as_micros() as u64;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((mixed ^ (mixed >> 31)) % span)
    }
}

impl PartialEq for CronRule {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.zone, self.start, self.end, self.jitter) == (&other.text, other.zone, other.start, other.end, other.jitter)
    }
}

impl Eq for CronRule {}
