//! How the runs of a task are treated, and what may be said about it: by the component, and over it by the operator.

use std::time::Duration;

use super::limits::{ATTEMPTS_MAX, CANCEL_GRACE, CONCURRENCY_MAX, PRIORITY_MAX, TIMEOUT_MAX};
use super::{CatchUp, Concurrency, Invalid, LaneKey, MissedPolicy, Name, Overlap, RateLimit, Retention, RetryPolicy, format_duration};

/// How the runs of a task are treated, unless a run says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TaskPolicy {
    /// When to try again, and when to give up.
    pub retry: RetryPolicy,
    /// Longest attempt, by the clock on the wall.
    #[serde(with = "super::retry::span")]
    pub timeout: Duration,
    /// 1 to 3: a higher one starts before what was due up to [`PRIORITY_HEAD_START`](super::limits::PRIORITY_HEAD_START) earlier.
    pub priority: u8,
    /// How its runs share its slots.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// What its concurrency and its rate are counted by.
    #[serde(default)]
    pub lane: LaneKey,
    /// How many runs of a lane may start in a span of time.
    #[serde(default)]
    pub rate: Option<RateLimit>,
    /// What becomes of runs whose time passed while no host was running.
    #[serde(default)]
    pub missed: MissedPolicy,
    /// A run that has not started so long after its trigger time is missed.
    #[serde(default, with = "super::retry::maybe_span")]
    pub start_deadline: Option<Duration>,
    /// How long an attempt may go on after it was asked to end.
    #[serde(default = "cancel_grace", with = "super::retry::span")]
    pub cancel_grace: Duration,
    /// The task of which a run is made when a run of this one has failed for good.
    #[serde(default)]
    pub on_failure: Option<Name>,
    /// What is kept of its ended runs.
    #[serde(default)]
    pub retention: Retention,
}

const fn cancel_grace() -> Duration {
    CANCEL_GRACE
}

impl Default for TaskPolicy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            timeout: Duration::from_secs(60),
            priority: 1,
            concurrency: Concurrency::default(),
            lane: LaneKey::default(),
            rate: None,
            missed: MissedPolicy::default(),
            start_deadline: None,
            cancel_grace: CANCEL_GRACE,
            on_failure: None,
            retention: Retention::default(),
        }
    }
}

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
}

impl TaskPolicy {
    /// This policy with `settings` over it. An error names the field.
    pub fn with(mut self, settings: &PolicySettings) -> Result<Self, Invalid> {
        if let Some(attempts) = settings.max_attempts {
            self.retry.max_attempts = check_max_attempts(attempts, "max-attempts")?;
        }
        if let Some((base, max)) = settings.retry_delay {
            self.retry = RetryPolicy { base, max, delays: Vec::new(), ..self.retry };
        }
        if let Some(delays) = &settings.retry_delays {
            self.retry.delays.clone_from(delays);
        }
        self.retry = self.retry.checked()?;
        if let Some(timeout) = settings.timeout {
            self.timeout = check_timeout(timeout, "timeout")?;
        }
        if let Some(priority) = settings.priority {
            self.priority = check_priority(priority, "priority")?;
        }
        if let Some(limit) = settings.concurrency {
            self.concurrency.per_lane = Some(check_concurrency(limit, "concurrency")?);
        }
        if let Some(limit) = settings.concurrency_per_task {
            self.concurrency.per_task = Some(check_concurrency(limit, "concurrency-per-task")?);
        }
        if let Some(overlap) = settings.overlap {
            self.concurrency.overlap = overlap;
        }
        if let Some(lane) = &settings.lane {
            self.lane.clone_from(lane);
        }
        if let Some(rate) = settings.rate {
            self.rate = Some(rate);
        }
        self.missed = MissedPolicy {
            catch_up: settings.missed.unwrap_or(self.missed.catch_up),
            window: settings.missed_window.unwrap_or(self.missed.window),
            max: settings.missed_max.unwrap_or(self.missed.max),
        }
        .checked()?;
        if let Some(deadline) = settings.start_deadline {
            self.start_deadline = Some(check_start_deadline(deadline, "start-deadline")?);
        }
        if let Some(grace) = settings.cancel_grace {
            self.cancel_grace = check_cancel_grace(grace)?;
        }
        if let Some(task) = &settings.on_failure {
            self.on_failure = Some(task.clone());
        }
        self.retention =
            Retention { age: settings.keep_for.unwrap_or(self.retention.age), count: settings.keep_last.unwrap_or(self.retention.count) }
                .checked()?;
        Ok(self)
    }

    /// Whether a run of this task may have to wait for other runs of it.
    pub fn has_gate(&self) -> bool {
        self.concurrency.per_lane.is_some() || self.concurrency.per_task.is_some() || self.rate.is_some()
    }

    /// All that holds, under the names and in the form of [`PolicySettings::set`]. What has no limit is not there.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let exact = !self.retry.delays.is_empty();
        PolicySettings {
            max_attempts: Some(self.retry.max_attempts),
            retry_delay: (!exact).then_some((self.retry.base, self.retry.max)),
            retry_delays: exact.then(|| self.retry.delays.clone()),
            timeout: Some(self.timeout),
            priority: Some(self.priority),
            concurrency: self.concurrency.per_lane,
            concurrency_per_task: self.concurrency.per_task,
            overlap: self.concurrency.per_lane.map(|_| self.concurrency.overlap),
            lane: self.has_gate().then(|| self.lane.clone()),
            rate: self.rate,
            missed: Some(self.missed.catch_up),
            missed_window: (self.missed.catch_up != CatchUp::Skip).then_some(self.missed.window),
            missed_max: (self.missed.catch_up == CatchUp::All).then_some(self.missed.max),
            start_deadline: self.start_deadline,
            cancel_grace: Some(self.cancel_grace),
            on_failure: self.on_failure.clone(),
            keep_for: Some(self.retention.age),
            keep_last: Some(self.retention.count),
        }
        .entries()
    }
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

    /// Sets one field from text: `concurrency` `1`, `retry-delay` `10s..6h`, `retry-delays` `1s,10s,1m`, `lane` `input.customer`, `rate`
    /// `10/m`, `missed` `latest`, `keep-for` `7d`. The value is checked.
    pub fn set(&mut self, field: &str, value: &str) -> Result<(), Invalid> {
        let span = || super::parse_duration(value, field);
        match field {
            "max-attempts" => self.max_attempts = Some(check_max_attempts(number(value, field)?, field)?),
            "retry-delay" => {
                let form =
                    || Invalid::new("invalid-retry-delay", field, "the first delay and the longest one, such as 10s..6h").seen(value);
                let (base, max) = value.split_once("..").ok_or_else(form)?;
                self.retry_delay = Some((super::parse_duration(base, field)?, super::parse_duration(max, field)?));
            }
            "retry-delays" => {
                let delays = value.split(',').map(|delay| super::parse_duration(delay.trim(), field));
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
        Self::FIELDS.into_iter().zip(values).filter_map(|(field, value)| Some((field, value?))).collect()
    }

    /// These settings with `over` on top.
    pub fn and(self, over: &Self) -> Self {
        let over = over.clone();
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

/// Accepts 1 to 100 attempts.
pub(crate) fn check_max_attempts(attempts: u32, field: &str) -> Result<u32, Invalid> {
    if (1..=ATTEMPTS_MAX).contains(&attempts) {
        return Ok(attempts);
    }
    Err(Invalid::new("invalid-max-attempts", field, format!("1 to {ATTEMPTS_MAX} attempts")).seen(attempts.to_string()))
}

/// Accepts 1 ms to 24 h.
pub(crate) fn check_timeout(timeout: Duration, field: &str) -> Result<Duration, Invalid> {
    if (Duration::from_millis(1)..=TIMEOUT_MAX).contains(&timeout) {
        return Ok(timeout);
    }
    Err(Invalid::new("invalid-timeout", field, "an attempt may take 1ms to 24h").seen(format_duration(timeout)))
}

/// Accepts priorities 1 to 3.
pub(crate) fn check_priority(priority: u8, field: &str) -> Result<u8, Invalid> {
    if (1..=PRIORITY_MAX).contains(&priority) {
        return Ok(priority);
    }
    Err(Invalid::new("invalid-priority", field, format!("priorities are 1 to {PRIORITY_MAX}")).seen(priority.to_string()))
}

/// Accepts 1 ms to 366 d.
pub(crate) fn check_start_deadline(deadline: Duration, field: &str) -> Result<Duration, Invalid> {
    if (Duration::from_millis(1)..=Duration::from_secs(366 * 24 * 3600)).contains(&deadline) {
        return Ok(deadline);
    }
    Err(Invalid::new("invalid-start-deadline", field, "1ms to 366d after the trigger time").seen(format_duration(deadline)))
}

fn check_concurrency(limit: u32, field: &str) -> Result<u32, Invalid> {
    if (1..=CONCURRENCY_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Invalid::new("invalid-concurrency", field, format!("1 to {CONCURRENCY_MAX} attempts; pause the task to let none start"))
        .seen(limit.to_string()))
}

fn check_cancel_grace(grace: Duration) -> Result<Duration, Invalid> {
    if grace <= Duration::from_secs(600) {
        return Ok(grace);
    }
    Err(Invalid::new("invalid-cancel-grace", "cancel-grace", "at most 10m").seen(format_duration(grace)))
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
