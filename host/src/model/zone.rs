//! A time zone: what the clocks of a place show at an instant, and when they change.
//!
//! Asked by cron rules. Computes with `jiff`, in whole seconds since 1970. Reads no files: the bytes of a zone come from a [`ZoneDatabase`](super::ZoneDatabase).

use std::sync::Arc;

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;

/// No clock differs from UTC by this much: `jiff` refuses offsets of 26 hours and more.
pub(crate) const OFFSET_BOUND: i64 = 26 * 3600;
/// Changes in a row that may change the name of the time only, and are passed over.
const NAMES_ONLY_MAX: usize = 3;

/// A time zone with its IANA name. Cheap to clone. Two zones are equal if their names are, even if they come from different releases.
#[derive(Clone, Debug)]
pub struct Zone(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Box<str>,
    /// `None` if the time zone database does not have it.
    clocks: Option<TimeZone>,
}

/// A span of time with one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Seconds that the clocks are ahead of UTC.
    pub(crate) offset: i64,
    /// The first second after it; `i64::MAX` if the clocks never change again. Rarely, the next stretch has the same offset.
    pub(crate) until: i64,
}

impl Zone {
    /// Coordinated Universal Time, under the name `UTC`.
    pub fn utc() -> Self {
        Self(Arc::new(Inner { name: "UTC".into(), clocks: Some(TimeZone::UTC) }))
    }

    /// Reads a compiled zone (TZif, RFC 9636).
    ///
    /// # Errors
    ///
    /// Returns in words that the bytes are not valid. Never panics, whatever they are.
    pub fn parse(name: &str, tzif: &[u8]) -> Result<Self, String> {
        let clocks = TimeZone::tzif(name, tzif).map_err(|_| "not valid TZif data".to_owned())?;
        Ok(Self(Arc::new(Inner { name: name.into(), clocks: Some(clocks) })))
    }

    /// A zone that the time zone database had once, and has no more. A rule in it never fires.
    pub(crate) fn unknown(name: &str) -> Self {
        Self(Arc::new(Inner { name: name.into(), clocks: None }))
    }

    /// Whether the time zone database has it.
    pub fn is_known(&self) -> bool {
        self.0.clocks.is_some()
    }

    /// The clocks of an unknown zone show UTC, so that what is stored of its times can be shown.
    fn clocks(&self) -> &TimeZone {
        static UTC: TimeZone = TimeZone::UTC;
        self.0.clocks.as_ref().unwrap_or(&UTC)
    }

    /// Its IANA name, for example `Europe/Prague`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Seconds that its clocks are ahead of UTC at `at`.
    pub(crate) fn offset(&self, at: i64) -> i64 {
        self.clocks().to_offset(instant(at)).seconds().into()
    }

    /// The offset at `at`, and how long it is known to hold.
    pub(crate) fn stretch(&self, at: i64) -> Stretch {
        let offset = self.offset(at);
        let (mut until, mut names_only) = (i64::MAX, 0);
        for change in self.clocks().following(instant(at)) {
            until = change.timestamp().as_second();
            if i64::from(change.offset().seconds()) != offset || names_only == NAMES_ONLY_MAX {
                break;
            }
            names_only += 1;
        }
        // Past the years that `jiff` knows, nothing changes.
        Stretch { offset, until: if until > at { until } else { i64::MAX } }
    }

    /// The last second at or before `at` at which its clocks changed, if that was not long ago.
    pub(crate) fn changed(&self, at: i64) -> Option<i64> {
        let changes = self.clocks().preceding(instant(at.saturating_add(1))).take(NAMES_ONLY_MAX);
        changes.map(|change| change.timestamp().as_second()).find(|changed| self.offset(*changed) != self.offset(changed - 1))
    }
}

/// `jiff` ends a little before the year 9999 does, so that each of its instants has a date in each zone.
fn instant(seconds: i64) -> Instant {
    let seconds = seconds.clamp(Instant::MIN.as_second() + 1, Instant::MAX.as_second());
    Instant::from_second(seconds).expect("it is within the range")
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}
