//! How the runs of a task are treated.
//!
//! What may be said about it, by the component and over it by the operator, is in `policy_settings.rs`.

use std::time::Duration;

use super::limits::{ATTEMPTS_MAX, CANCEL_GRACE, CONCURRENCY_MAX, PRIORITY_MAX, TIMEOUT_MAX};
use super::{
    CatchUp, Concurrency, Invalid, LaneKey, MissedPolicy, Name, PolicySettings, RateLimit, Retention, RetryPolicy, format_duration,
};

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
        for removed in &settings.removed {
            match *removed {
                "concurrency" => self.concurrency.per_lane = None,
                "concurrency-per-task" => self.concurrency.per_task = None,
                "rate" => self.rate = None,
                "start-deadline" => self.start_deadline = None,
                _ => self.on_failure = None,
            }
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
            ..PolicySettings::default()
        }
        .entries()
    }
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

pub(super) fn check_concurrency(limit: u32, field: &str) -> Result<u32, Invalid> {
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
    Err(Invalid::new("invalid-cancel-grace", "cancel-grace", "from 0s to 10m").seen(format_duration(grace)))
}
