//! Crons: rules that make a run again and again. When they fire, in which time zone, and what the clocks' changes do to that.
//!
//! Asked by storage, which turns occurrences into runs, and by the doors, which show what is to come.

#[cfg(test)]
mod cases;
mod catch_up;
mod days;
mod expression;
mod fields;
#[cfg(test)]
mod oracle;
mod record;
mod search;
mod settings;
#[cfg(test)]
mod sweep;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use super::limits::{CRON_JITTER_MAX, OCCURRENCES_MAX};
use super::{Invalid, Timestamp, Zone, format_duration};
use expression::Expression;

pub use catch_up::{CatchUpPlan, Skipped, catch_up};
pub use record::{Cron, CronChange, CronFilter, CronSpec};
pub use settings::CronSettings;

/// Skipped times that the note on an occurrence names.
const SKIPPED_SHOWN_MAX: usize = 3;

/// When a cron fires. Its text is checked; what it says never changes.
#[derive(Clone, Debug)]
pub struct CronRule {
    text: String,
    expression: Expression,
    zone: Zone,
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
        /// The times that do not exist on that day, for example `2026-03-29 02:30`.
        from: String,
    },
    /// The clocks jump over another of the rule's times to this one: both are this one occurrence.
    Joined {
        /// The times that do not exist on that day, for example `2026-03-29 02:00`.
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
            Self::Joined { from } => write!(f, "the clocks skip {from}; that and this time fire together, once"),
            Self::FirstOfTwo => f.write_str("the clocks show this time twice; it fires the first time"),
            Self::OneOfTwo => f.write_str("the clocks show this time twice; it fires both times"),
        }
    }
}

fn check_jitter(jitter: Duration) -> Result<(), Invalid> {
    if jitter <= CRON_JITTER_MAX {
        return Ok(());
    }
    let reason = format!("from 0s to {}", format_duration(CRON_JITTER_MAX));
    Err(Invalid::new("invalid-jitter", "jitter", reason).seen(format_duration(jitter)))
}

/// Seconds around a change of the clocks within which occurrences are looked at one by one. No change shifts them by more.
const CLOCKS_MARGIN: i64 = 2 * 86_400;

impl CronRule {
    /// Parses an expression of five or six fields, a nickname such as `@daily`, or `@every 90s`.
    ///
    /// # Errors
    ///
    /// `invalid-cron` for a text that is not understood, or that never fires between `start` and `end`; `invalid-jitter`; `invalid-end`.
    pub fn new(text: &str, zone: Zone, start: Timestamp, end: Option<Timestamp>, jitter: Duration) -> Result<Self, Invalid> {
        let expression = expression::parse(text, "expression")?;
        check_jitter(jitter)?;
        if end.is_some_and(|end| end <= start) {
            return Err(
                Invalid::new("invalid-end", "end", "a cron ends after it starts").seen(end.map(|end| end.to_string()).unwrap_or_default())
            );
        }
        let rule = Self { text: text.trim().into(), expression, zone, start, end, jitter };
        rule.checked(text)
    }

    /// What [`new`](Self::new) accepted once, also if it has ended since.
    pub(crate) fn restored(text: &str, zone: Zone, start: Timestamp, end: Option<Timestamp>, jitter: Duration) -> Result<Self, Invalid> {
        let expression = expression::parse(text, "expression")?;
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
        if self.next_after(self.start.saturating_sub(Duration::from_micros(1))).is_some() {
            return Ok(self);
        }
        let has_day = match &self.expression {
            Expression::Calendar(calendar) => calendar.days.next(self.start.as_micros().div_euclid(86_400_000_000)).is_some(),
            Expression::Every(_) => true,
        };
        let reason = match has_day {
            false => "no day of the calendar ever matches it",
            true if self.end.is_some() => "it never fires between its start and its end",
            true if self.fires_under_the_last_rules() => "it does not fire any more between its start and the end of the year 9999",
            true => "it never fires: the clocks of its time zone skip all its times, and with a * or a step none of them is made up for",
        };
        Err(Invalid::new("invalid-cron", "expression", reason).seen(text))
    }

    /// Whether it fires after the last change of zone rules that is known, although it may not from its start on.
    fn fires_under_the_last_rules(&self) -> bool {
        let settled = Timestamp::from_micros(search::REPEATING_FROM * 1_000_000).expect("the year 2100 is in range");
        self.start > settled && self.clone().starting(settled).next_after(settled).is_some()
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of its time zone.
    pub fn zone(&self) -> &str {
        self.zone.name()
    }

    /// Its time zone.
    pub fn time_zone(&self) -> &Zone {
        &self.zone
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
        if !self.zone.is_known() {
            return None;
        }
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
                Timestamp::from_micros(calendar.next(&self.zone, second)?.checked_mul(1_000_000)?)?
            }
        };
        self.end.is_none_or(|end| next < end).then_some(next)
    }

    /// The first planned time later than `after` and earlier than `before`. A rule that fires rarely is not searched beyond that.
    pub(crate) fn next_before(&self, after: Timestamp, before: Timestamp) -> Option<Timestamp> {
        if !self.zone.is_known() {
            return None;
        }
        let Expression::Calendar(calendar) = &self.expression else { return self.next_after(after).filter(|next| *next < before) };
        let (after, before) = self.within(after, before);
        let second = calendar.next_before(&self.zone, after.as_micros().div_euclid(1_000_000), ceil_second(before))?;
        Timestamp::from_micros(second.checked_mul(1_000_000)?)
    }

    /// How many planned times are later than `after` and earlier than `before`, if the clocks of its zone do not change from two days before that
    /// to two days after it.
    pub(crate) fn count_between(&self, after: Timestamp, before: Timestamp) -> u64 {
        let (after, before) = self.within(after, before);
        match &self.expression {
            Expression::Every(every) => {
                let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
                let passed = |at: i64| (at - self.start.as_micros()).div_euclid(every);
                (passed(before.as_micros() - 1) - passed(after.as_micros())).max(0).unsigned_abs()
            }
            Expression::Calendar(calendar) => {
                let after = after.as_micros().div_euclid(1_000_000);
                let offset = self.zone.offset(after);
                calendar.count(after + 1 + offset..ceil_second(before) + offset)
            }
        }
    }

    /// Until when the clocks of its zone are known not to change, if they don't within two days of `at`.
    pub(crate) fn calm_until(&self, at: Timestamp) -> Option<Timestamp> {
        let second = at.as_micros().div_euclid(1_000_000);
        let until = self.zone.stretch(second - CLOCKS_MARGIN).until.saturating_sub(CLOCKS_MARGIN);
        (until > second).then(|| until.checked_mul(1_000_000).and_then(Timestamp::from_micros).unwrap_or(Timestamp::MAX))
    }

    /// A span without what lies before its start and behind its end.
    fn within(&self, after: Timestamp, before: Timestamp) -> (Timestamp, Timestamp) {
        let after = after.max(self.start.saturating_sub(Duration::from_micros(1)));
        (after, self.end.map_or(before, |end| end.min(before)).max(after))
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
        let (zone, at) = (&self.zone, at.as_micros().div_euclid(1_000_000));
        if calendar.fixed
            && let Some(skipped) = search::skipped_at(zone, at)
        {
            let times = calendar.within(skipped, SKIPPED_SHOWN_MAX + 1);
            let mut from = times.iter().take(SKIPPED_SHOWN_MAX).map(|shown| in_words(*shown)).collect::<Vec<_>>().join(", ");
            if times.len() > SKIPPED_SHOWN_MAX {
                from.push_str(", …");
            }
            match (times.is_empty(), calendar.names(at + zone.offset(at))) {
                (true, _) => {}
                (false, true) => return Some(DstNote::Joined { from }),
                (false, false) => return Some(DstNote::Moved { from }),
            }
        }
        let note = if calendar.fixed { DstNote::FirstOfTwo } else { DstNote::OneOfTwo };
        search::is_shown_twice(zone, at).then_some(note)
    }

    /// What the clocks of its zone show at `at`.
    pub fn local(&self, at: Timestamp) -> NaiveDateTime {
        let utc = at.to_chrono().naive_utc();
        let offset = self.zone.offset(at.as_micros().div_euclid(1_000_000));
        // The dates of chrono go far beyond the year 9999.
        utc.checked_add_signed(chrono::TimeDelta::seconds(offset)).unwrap_or(utc)
    }

    /// What the text means today and did not mean in the first release; `None` if it means the same.
    pub(crate) fn changed_meaning(&self) -> Option<&'static str> {
        let parts: Vec<&str> = self.text.split_whitespace().collect();
        let [.., of_month, _, of_week] = parts[..] else { return None };
        // There, only a whole `*` was no restriction.
        let is_restricted = |part: &str| !matches!(part, "*" | "?");
        let begins_with_star = |part: &str| part.starts_with(['*', '?']);
        if is_restricted(of_month) && is_restricted(of_week) && (begins_with_star(of_month) || begins_with_star(of_week)) {
            return Some("a day must match both day fields if one of them begins with *; before, one of them was enough");
        }
        let has = |item: &str| of_month.split(',').any(|part| part.eq_ignore_ascii_case(item));
        (has("L") && has("LW")).then_some("L beside LW is the last day of the month; before, L was ignored")
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
        (&self.text, &self.zone, self.start, self.end, self.jitter) == (&other.text, &other.zone, other.start, other.end, other.jitter)
    }
}

impl Eq for CronRule {}

/// The first whole second that is not earlier.
fn ceil_second(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000) + i64::from(at.as_micros().rem_euclid(1_000_000) > 0)
}

/// What clocks show, without the seconds if there are none: `2026-03-29 02:30`.
fn in_words(shown: i64) -> String {
    let shown = DateTime::from_timestamp(shown, 0).unwrap_or_default();
    let text = shown.format("%Y-%m-%d %H:%M:%S").to_string();
    text.strip_suffix(":00").map(str::to_owned).unwrap_or(text)
}
