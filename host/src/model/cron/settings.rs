//! What is said of a cron when a guest makes or changes it.

use std::time::Duration;

use super::{CronChange, CronRule, CronSpec, check_jitter};
use crate::model::{Invalid, Metadata, MissedPolicy, Name, Payload, Timestamp, ZoneDatabase, check_priority};

/// What is said of a cron beside its name. For a new one what is `None` is the default; for one that there is it stays as it is, and
/// `Some(None)` lifts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronSettings {
    /// Its rule.
    pub expression: Option<String>,
    /// By which clocks it goes.
    pub timezone: Option<String>,
    /// When it begins.
    pub start: Option<Timestamp>,
    /// Before when it fires.
    pub end: Option<Option<Timestamp>>,
    /// How often it fires.
    pub max_count: Option<Option<u32>>,
    /// How far its runs are spread.
    pub jitter: Option<Duration>,
    /// What each run is given.
    pub input: Option<Payload>,
    /// What each run can be found by: all of it.
    pub metadata: Option<Metadata>,
    /// Overrides the task's.
    pub priority: Option<Option<u8>>,
    /// Overrides the task's.
    pub missed: Option<Option<MissedPolicy>>,
}

impl CronSettings {
    /// A new cron of `task`, which begins now unless it says otherwise.
    pub fn create(self, task: Name, now: Timestamp, zones: &ZoneDatabase) -> Result<CronSpec, Invalid> {
        let expression = self.expression.as_deref().unwrap_or_default();
        let zone = zones.zone(self.timezone.as_deref().unwrap_or("UTC"))?;
        let rule = CronRule::new(expression, zone, self.start.unwrap_or(now), self.end.flatten(), self.jitter.unwrap_or_default())?;
        self.check()?;
        Ok(CronSpec {
            task,
            rule,
            max_count: self.max_count.flatten(),
            input: self.input.unwrap_or_else(Payload::null),
            metadata: self.metadata.unwrap_or_default(),
            priority: self.priority.flatten(),
            missed: self.missed.flatten(),
        })
    }

    /// What these settings change on a cron that does `before`, and has this version.
    pub fn change(self, before: &CronSpec, version: u32, now: Timestamp, zones: &ZoneDatabase) -> Result<CronChange, Invalid> {
        self.check()?;
        let old = &before.rule;
        let same_rule = self.expression.is_none() && self.timezone.is_none() && self.start.is_none() && self.end.is_none();
        let rule = if same_rule && self.jitter.is_none() {
            None
        } else {
            let text = self.expression.as_deref().unwrap_or(old.text());
            let zone = self.timezone.as_deref().map_or_else(|| Ok(old.time_zone().clone()), |name| zones.zone(name))?;
            // An interval that is new counts from now; one that stays keeps its beat.
            let start = self.start.unwrap_or(if text.trim() == old.text() { old.start() } else { now.max(old.start()) });
            Some(CronRule::new(text, zone, start, self.end.unwrap_or(old.end()), self.jitter.unwrap_or(old.jitter()))?)
        };
        Ok(CronChange {
            rule,
            max_count: self.max_count,
            input: self.input,
            metadata: self.metadata,
            priority: self.priority,
            missed: self.missed,
            if_version: Some(version),
        })
    }

    /// Checks each setting that can be judged by itself. The expression and the time zone are judged together with the start and the end.
    ///
    /// # Errors
    ///
    /// `invalid-max-count`, `invalid-jitter`, `invalid-priority`, or that of [`MissedPolicy::checked`].
    pub fn check(&self) -> Result<(), Invalid> {
        if self.max_count.flatten() == Some(0) {
            return Err(Invalid::new("invalid-max-count", "max-count", "a cron fires at least once; leave it out for no limit").seen("0"));
        }
        if let Some(jitter) = self.jitter {
            check_jitter(jitter)?;
        }
        if let Some(priority) = self.priority.flatten() {
            check_priority(priority, "priority")?;
        }
        self.missed.flatten().map(MissedPolicy::checked).transpose()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays() {
        let at = |text: &str| Timestamp::parse(text, "time").unwrap();
        let (start, now) = (at("2027-01-01T00:00:10Z"), at("2027-02-01T00:00:00Z"));
        let every = |text: &str| CronSettings { expression: Some(text.into()), ..CronSettings::default() };
        let task = Name::parse("t", "task").unwrap();
        let zones = &ZoneDatabase::bundled();
        let before = CronSettings { max_count: Some(Some(7)), ..every("@every 90s") }.create(task.clone(), start, zones).unwrap();

        let slower = before.clone().with(every("@every 5m").change(&before, 1, now, zones).unwrap());
        assert_eq!((slower.rule.text(), slower.rule.start(), slower.max_count), ("@every 5m", now, Some(7)));
        let ended = CronSettings { end: Some(Some(at("2028-01-01T00:00:00Z"))), ..CronSettings::default() };
        let ended = before.clone().with(ended.change(&before, 1, now, zones).unwrap());
        assert_eq!((ended.rule.text(), ended.rule.start()), ("@every 90s", start), "the beat is kept");
        let lifted = CronSettings { end: Some(None), max_count: Some(None), ..CronSettings::default() };
        let lifted = ended.clone().with(lifted.change(&ended, 1, now, zones).unwrap());
        assert_eq!((lifted.rule.start(), lifted.rule.end(), lifted.max_count), (start, None, None));
        assert_eq!((ended.rule.end().is_some(), ended.max_count), (true, Some(7)));
        let louder = CronSettings { priority: Some(Some(2)), ..CronSettings::default() }.change(&before, 3, now, zones).unwrap();
        assert_eq!((louder.rule.is_none(), louder.if_version, before.clone().with(louder).priority), (true, Some(3), Some(2)));

        for (wrong, code) in [
            (CronSettings::default(), "invalid-cron"),
            (CronSettings { max_count: Some(Some(0)), ..every("@daily") }, "invalid-max-count"),
            (CronSettings { priority: Some(Some(9)), ..every("@daily") }, "invalid-priority"),
            (CronSettings { timezone: Some("Mars/Olympus".into()), ..every("@daily") }, "invalid-timezone"),
        ] {
            assert_eq!(wrong.create(task.clone(), now, zones).unwrap_err().code, code);
        }
    }
}
