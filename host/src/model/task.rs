//! A registered task: a name, the component behind it, and how its runs are treated.

use std::time::Duration;

use super::limits::{ATTEMPTS_MAX, PRIORITY_MAX, TIMEOUT_MAX};
use super::{Digest, Grants, Invalid, Name, NamespaceId, RetryPolicy, TaskDefinition, Timestamp};

/// The key of a task inside one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub i64);

/// A registered task. A new registration under the same name replaces what it holds, and keeps its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its key.
    pub id: TaskId,
    /// Whose it is.
    pub namespace: NamespaceId,
    /// What callers name.
    pub name: Name,
    /// The component that later attempts execute.
    pub digest: Digest,
    /// What that component may do.
    pub grants: Grants,
    /// What it does, in a sentence.
    pub description: Option<String>,
    /// The JSON Schema of its input.
    pub input_schema: Option<String>,
    /// How its runs are treated.
    pub policy: TaskPolicy,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was last registered.
    pub updated_at: Timestamp,
}

/// How the runs of a task are treated, unless a run says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TaskPolicy {
    /// When to try again, and when to give up.
    pub retry: RetryPolicy,
    /// Longest attempt, by the clock on the wall.
    #[serde(with = "super::retry::span")]
    pub timeout: Duration,
    /// 1 to 3; runs due at the same time start in falling order.
    pub priority: u8,
}

impl Default for TaskPolicy {
    fn default() -> Self {
        Self { retry: RetryPolicy::default(), timeout: Duration::from_secs(60), priority: 1 }
    }
}

impl TaskPolicy {
    /// The policy that a component's definition asks for, with the defaults for what it leaves open.
    pub fn from_definition(definition: &TaskDefinition) -> Result<Self, Invalid> {
        let mut policy = Self::default();
        if let Some(attempts) = definition.max_attempts {
            policy.retry.max_attempts = check_max_attempts(attempts, "max-attempts")?;
        }
        if let Some((base, max)) = definition.retry_delay {
            policy.retry = RetryPolicy { base, max, ..policy.retry }.checked()?;
        }
        if let Some(timeout) = definition.timeout {
            policy.timeout = check_timeout(timeout, "timeout")?;
        }
        if let Some(priority) = definition.priority {
            policy.priority = check_priority(priority, "priority")?;
        }
        Ok(policy)
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
    Err(Invalid::new("invalid-timeout", field, "an attempt may take 1ms to 24h").seen(super::format_duration(timeout)))
}

/// Accepts priorities 1 to 3.
pub(crate) fn check_priority(priority: u8, field: &str) -> Result<u8, Invalid> {
    if (1..=PRIORITY_MAX).contains(&priority) {
        return Ok(priority);
    }
    Err(Invalid::new("invalid-priority", field, format!("priorities are 1 to {PRIORITY_MAX}")).seen(priority.to_string()))
}
