//! What may be said of a task's policy: by its component, and over it by the operator.
//!
//! Components say it through the contract, operators as text, through every door.

use std::collections::BTreeSet;
use std::time::Duration;

use super::policy::{check_concurrency, check_max_attempts, check_priority, check_start_deadline, check_timeout};
use super::{CatchUp, Invalid, LaneKey, Name, Overlap, RateLimit, TaskPolicy, format_duration, parse_duration};

/// The word that takes a field away.
const NONE: &str = "none";

/// What a component's definition, or an operator, says of a policy. What is `None` stays as it is.
///
/// As text, which is how operators give it: see [`set`](Self::set).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// Failed attempts after which a run fails: 1 to 100.
    pub max_attempts: Option<u32>,
    /// First retry delay and longest one, in place of exact ones.
    pub retry_delay: Option<(Duration, Duration)>,
    /// Exact retry delays in place of doubling ones.
    pub retry_delays: Option<Vec<Duration>>,
    /// Longest attempt: 1 ms to 24 h.
    pub timeout: Option<Duration>,
    /// 1 to 3.
    pub priority: Option<u8>,
    /// Attempts in flight in each lane.
    pub concurrency: Option<u32>,
    /// Attempts in flight in all lanes together.
    pub concurrency_per_task: Option<u32>,
    /// What becomes of a run whose lane is full.
    pub overlap: Option<Overlap>,
    /// What lanes are made by.
    pub lane: Option<LaneKey>,
    /// Starts in each lane.
    pub rate: Option<RateLimit>,
    /// Which of the missed runs run.
    pub missed: Option<CatchUp>,
    /// How far back they may lie: 1 s to 366 d.
    pub missed_window: Option<Duration>,
    /// How many of them run: 1 to 10,000.
    pub missed_max: Option<u32>,
    /// Latest start after the trigger time: 1 ms to 366 d.
    pub start_deadline: Option<Duration>,
    /// How long a cancelled attempt may go on: at most 10 min.
    pub cancel_grace: Option<Duration>,
    /// Which task hears of a final failure.
    pub on_failure: Option<Name>,
    /// How long ended runs are kept: 1 s to 10 years.
    pub keep_for: Option<Duration>,
    /// How many of them are kept.
    pub keep_last: Option<u64>,
    /// Fields of [`REMOVABLE`](Self::REMOVABLE) that hold no more, whatever was said before. None of them is set beside.
    pub removed: BTreeSet<&'static str>,
}

impl PolicySettings {
    /// Every field that can be set as text.
    pub const FIELDS: [&str; 18] = [
        "max-attempts",
        "retry-delay",
        "retry-delays",
        "timeout",
        "priority",
        "concurrency",
        "concurrency-per-task",
        "overlap",
        "lane",
        "rate",
        "missed",
        "missed-window",
        "missed-max",
        "start-deadline",
        "cancel-grace",
        "on-failure",
        "keep-for",
        "keep-last",
    ];

    /// Those without which a task is the freer: `none` takes away what its component says.
    pub const REMOVABLE: [&str; 5] = ["concurrency", "concurrency-per-task", "rate", "start-deadline", "on-failure"];

    /// Sets one field from text: `concurrency` `1`, `retry-delay` `10s..6h`, `retry-delays` `1s,10s,1m`, `lane` `input.customer`, `rate`
    /// `10/m`, `missed` `latest`, `keep-for` `7d`; a field of [`REMOVABLE`](Self::REMOVABLE) also to `none`. The value is checked.
    pub fn set(&mut self, field: &str, value: &str) -> Result<(), Invalid> {
        if let Some(removable) = Self::REMOVABLE.into_iter().find(|removable| *removable == field) {
            if value == NONE {
                self.clear(removable);
                self.removed.insert(removable);
                return Ok(());
            }
            self.removed.remove(removable);
        }
        let span = || parse_duration(value, field);
        match field {
            "max-attempts" => self.max_attempts = Some(check_max_attempts(number(value, field)?, field)?),
            "retry-delay" => {
                let form =
                    || Invalid::new("invalid-retry-delay", field, "the first delay and the longest one, such as 10s..6h").seen(value);
                let (base, max) = value.split_once("..").ok_or_else(form)?;
                self.retry_delay = Some((parse_duration(base, field)?, parse_duration(max, field)?));
            }
            "retry-delays" => {
                let delays = value.split(',').map(|delay| parse_duration(delay.trim(), field));
                self.retry_delays = Some(delays.collect::<Result<_, _>>()?);
            }
            "timeout" => self.timeout = Some(check_timeout(span()?, field)?),
            "priority" => self.priority = Some(check_priority(number(value, field)?, field)?),
            "concurrency" => self.concurrency = Some(check_concurrency(number(value, field)?, field)?),
            "concurrency-per-task" => self.concurrency_per_task = Some(check_concurrency(number(value, field)?, field)?),
            "overlap" => self.overlap = Some(Overlap::parse(value, field)?),
            "lane" => self.lane = Some(LaneKey::parse(value, field)?),
            "rate" => self.rate = Some(RateLimit::parse(value, field)?),
            "missed" => self.missed = Some(CatchUp::parse(value, field)?),
            "missed-window" => self.missed_window = Some(span()?),
            "missed-max" => self.missed_max = Some(number(value, field)?),
            "start-deadline" => self.start_deadline = Some(check_start_deadline(span()?, field)?),
            "cancel-grace" => self.cancel_grace = Some(span()?),
            "on-failure" => self.on_failure = Some(Name::parse(value, field)?),
            "keep-for" => self.keep_for = Some(span()?),
            "keep-last" => self.keep_last = Some(number(value, field)?),
            _ => {
                let known = Self::FIELDS.join(", ");
                return Err(Invalid::new("unknown-policy", "policy", format!("there is no such field; there are: {known}")).seen(field));
            }
        }
        TaskPolicy::default().with(self).map(drop)
    }

    /// What is set, under the names and in the form of [`set`](Self::set).
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<u32>| value.map(|value| value.to_string());
        let span = |value: Option<Duration>| value.map(format_duration);
        let values = [
            number(self.max_attempts),
            self.retry_delay.map(|(base, max)| format!("{}..{}", format_duration(base), format_duration(max))),
            self.retry_delays.as_ref().map(|delays| delays.iter().map(|delay| format_duration(*delay)).collect::<Vec<_>>().join(",")),
            span(self.timeout),
            self.priority.map(|priority| priority.to_string()),
            number(self.concurrency),
            number(self.concurrency_per_task),
            self.overlap.map(|overlap| overlap.as_str().into()),
            self.lane.as_ref().map(ToString::to_string),
            self.rate.map(|rate| rate.to_string()),
            self.missed.map(|missed| missed.as_str().into()),
            span(self.missed_window),
            number(self.missed_max),
            span(self.start_deadline),
            span(self.cancel_grace),
            self.on_failure.as_ref().map(ToString::to_string),
            span(self.keep_for),
            self.keep_last.map(|count| count.to_string()),
        ];
        let removed = |field| self.removed.contains(field).then(|| NONE.to_owned());
        Self::FIELDS.into_iter().zip(values).filter_map(|(field, value)| Some((field, value.or_else(|| removed(field))?))).collect()
    }

    fn clear(&mut self, removable: &str) {
        match removable {
            "concurrency" => self.concurrency = None,
            "concurrency-per-task" => self.concurrency_per_task = None,
            "rate" => self.rate = None,
            "start-deadline" => self.start_deadline = None,
            _ => self.on_failure = None,
        }
    }

    /// These settings with `over` on top.
    pub fn and(mut self, over: &Self) -> Self {
        let over = over.clone();
        over.removed.iter().for_each(|removed| self.clear(removed));
        let said: Vec<_> = over.entries().into_iter().map(|(field, _)| field).collect();
        let mut removed = self.removed;
        removed.retain(|field| !said.contains(field));
        removed.extend(&over.removed);
        let (retry_delay, retry_delays) = match (over.retry_delay, over.retry_delays) {
            (None, None) => (self.retry_delay, self.retry_delays),
            both => both,
        };
        Self {
            max_attempts: over.max_attempts.or(self.max_attempts),
            retry_delay,
            retry_delays,
            timeout: over.timeout.or(self.timeout),
            priority: over.priority.or(self.priority),
            concurrency: over.concurrency.or(self.concurrency),
            concurrency_per_task: over.concurrency_per_task.or(self.concurrency_per_task),
            overlap: over.overlap.or(self.overlap),
            lane: over.lane.or(self.lane),
            rate: over.rate.or(self.rate),
            missed: over.missed.or(self.missed),
            missed_window: over.missed_window.or(self.missed_window),
            missed_max: over.missed_max.or(self.missed_max),
            start_deadline: over.start_deadline.or(self.start_deadline),
            cancel_grace: over.cancel_grace.or(self.cancel_grace),
            on_failure: over.on_failure.or(self.on_failure),
            keep_for: over.keep_for.or(self.keep_for),
            keep_last: over.keep_last.or(self.keep_last),
            removed,
        }
    }

    /// These settings without this field.
    pub fn without(&self, field: &str) -> Self {
        let mut left = Self::default();
        for (name, value) in self.entries().into_iter().filter(|(name, _)| *name != field) {
            left.set(name, &value).expect("what was set can be set again");
        }
        left
    }
}

fn number<T: std::str::FromStr>(text: &str, field: &str) -> Result<T, Invalid> {
    text.parse().map_err(|_| Invalid::new("invalid-number", field, "a whole number, within what the field allows").seen(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sound value for each field.
    const SOUND: [(&str, &str); 18] = [
        ("max-attempts", "7"),
        ("retry-delay", "10s..6h"),
        ("retry-delays", "1s,10s,1m"),
        ("timeout", "30s"),
        ("priority", "3"),
        ("concurrency", "1"),
        ("concurrency-per-task", "10"),
        ("overlap", "cancel-running"),
        ("lane", "input.customer.id"),
        ("rate", "10/m"),
        ("missed", "latest"),
        ("missed-window", "3d"),
        ("missed-max", "9"),
        ("start-deadline", "5m"),
        ("cancel-grace", "0s"),
        ("on-failure", "alert"),
        ("keep-for", "7d"),
        ("keep-last", "1000"),
    ];

    #[test]
    fn every_field_goes_from_text_to_text() {
        assert_eq!(SOUND.map(|(field, _)| field), PolicySettings::FIELDS);
        for (field, value) in SOUND {
            let mut settings = PolicySettings::default();
            settings.set(field, value).unwrap();
            assert_eq!(settings.entries(), [(field, value.to_string())]);
            assert_eq!(settings.without(field), PolicySettings::default());
            assert_eq!(PolicySettings::default().and(&settings), settings);
            let policy = TaskPolicy::default().with(&settings).unwrap();
            assert_ne!(policy, TaskPolicy::default().with(&PolicySettings { max_attempts: Some(99), ..settings.clone() }).unwrap());
            let shown = policy.entries();
            // A lane and an overlap say nothing without a limit, a window and a maximum nothing without catching up.
            let silent = ["overlap", "lane", "missed-window", "missed-max"].contains(&field);
            assert_eq!(shown.contains(&(field, value.to_string())), !silent, "{field} in {shown:?}");
        }
    }

    #[test]
    fn one_field_over_another_leaves_the_rest() {
        let settings = |pairs: &[(&str, &str)]| {
            let mut settings = PolicySettings::default();
            pairs.iter().for_each(|(field, value)| settings.set(field, value).unwrap());
            settings
        };
        let component = settings(&[("missed", "all"), ("keep-last", "5"), ("retry-delays", "1s,2s"), ("concurrency", "4")]);
        let policy = TaskPolicy::default().with(&component).unwrap();
        let over = policy.with(&settings(&[("missed-max", "3"), ("keep-for", "1h"), ("overlap", "skip-new")])).unwrap();
        assert_eq!((over.missed.catch_up, over.missed.max), (CatchUp::All, 3));
        assert_eq!((over.retention.count, over.retention.age), (5, Duration::from_secs(3600)));
        assert_eq!((over.concurrency.per_lane, over.concurrency.overlap), (Some(4), Overlap::SkipNew));
        let doubling = over.with(&settings(&[("retry-delay", "1s..2s")])).unwrap();
        assert!(doubling.retry.delays.is_empty(), "the last word on retries counts");
        let both = settings(&[("retry-delays", "1s")]).and(&settings(&[("retry-delay", "5s..9s")]));
        assert_eq!(both.entries(), [("retry-delay", "5s..9s".to_string())]);
    }

    #[test]
    fn what_the_component_limits_the_operator_may_take_away() {
        let settings = |pairs: &[(&str, &str)]| {
            let mut settings = PolicySettings::default();
            pairs.iter().for_each(|(field, value)| settings.set(field, value).unwrap());
            settings
        };
        for field in PolicySettings::REMOVABLE {
            let (_, value) = SOUND.into_iter().find(|(sound, _)| *sound == field).unwrap();
            let (declared, none) = (settings(&[(field, value)]), settings(&[(field, "none")]));
            assert_eq!(none.entries(), [(field, "none".to_string())]);
            let policy = TaskPolicy::default().with(&declared).unwrap();
            assert_eq!(policy.with(&none).unwrap(), TaskPolicy::default(), "{field}");
            // The last word counts, whichever it is, and the component's is there again when the operator says nothing.
            assert_eq!((declared.clone().and(&none), none.clone().and(&declared)), (none.clone(), declared.clone()));
            assert_eq!((settings(&[(field, "none"), (field, value)]), none.without(field)), (declared, PolicySettings::default()));
        }
        assert!(PolicySettings::default().set("timeout", "none").is_err() && PolicySettings::default().set("keep-last", "none").is_err());
    }

    #[test]
    fn bad_values_are_refused_with_their_field() {
        for (field, value, code) in [
            ("max-attempts", "0", "invalid-max-attempts"),
            ("max-attempts", "-1", "invalid-number"),
            ("max-attempts", "1000000000", "invalid-max-attempts"),
            ("max-attempts", "1e3", "invalid-number"),
            ("retry-delay", "10s", "invalid-retry-delay"),
            ("retry-delay", "6h..10s", "invalid-retry-delay"),
            ("retry-delay", "NaN..1s", "invalid-duration"),
            ("retry-delays", "1s,,2s", "invalid-duration"),
            ("retry-delays", "1s,25h", "invalid-retry-delay"),
            ("timeout", "0s", "invalid-timeout"),
            ("timeout", "-1s", "invalid-duration"),
            ("timeout", "1us", "invalid-timeout"),
            ("priority", "4", "invalid-priority"),
            ("priority", "256", "invalid-number"),
            ("concurrency", "0", "invalid-concurrency"),
            ("concurrency", "100001", "invalid-concurrency"),
            ("overlap", "allow", "invalid-overlap"),
            ("lane", "customer", "invalid-lane"),
            ("rate", "10", "invalid-rate"),
            ("missed", "some", "invalid-missed"),
            ("missed-window", "367d", "invalid-missed"),
            ("missed-max", "0", "invalid-missed"),
            ("start-deadline", "0s", "invalid-start-deadline"),
            ("cancel-grace", "11m", "invalid-cancel-grace"),
            ("on-failure", "../x", "invalid-name"),
            ("keep-for", "0s", "invalid-retention"),
            ("keep-last", "1000000001", "invalid-retention"),
            ("colour", "red", "unknown-policy"),
        ] {
            let refused = PolicySettings::default().set(field, value).unwrap_err();
            assert_eq!(refused.code, code, "{field}={value}: {refused}");
            assert!(refused.field == field || code == "unknown-policy", "{field}={value}: {refused}");
        }
    }
}
