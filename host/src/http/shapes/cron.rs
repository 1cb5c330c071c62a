//! Crons: what makes one, changes one, and what one is.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{Bytes, written};
use crate::model::{CatchUp, Invalid, MissedPolicy, Payload, RunId, Timestamp, format_duration, parse_duration};

/// Asks for a cron.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateCron {
    /// Its name, which is free.
    pub name: String,
    /// The task that its runs execute.
    pub task: String,
    /// Five or six fields, a nickname, or `@every 90s`.
    pub expression: String,
    /// An IANA time zone; UTC if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// It does not fire before this.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// It fires before this only.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Spreads its runs over this span.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// It fires so often at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_count: Option<u32>,
    /// Each run's input, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// What to find its runs by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Overrides the task's priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Overrides the task's policy for what was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// What becomes of what was missed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missed {
    /// `skip`, `latest` or `all`.
    pub catch_up: String,
    /// What lies longer back never runs.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

impl Missed {
    /// The policy, checked.
    pub fn policy(&self) -> Result<MissedPolicy, Invalid> {
        let change = MissedChange { catch_up: Some(self.catch_up.clone()), window: self.window.clone(), max: self.max };
        change.over(None)
    }
}

/// Changes what becomes of what was missed: what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissedChange {
    /// `skip`, `latest` or `all`. A cron without a policy of its own needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    /// What lies longer back never runs.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

impl MissedChange {
    /// The policy that this makes of the cron's own one, checked.
    pub fn over(&self, own: Option<MissedPolicy>) -> Result<MissedPolicy, Invalid> {
        let mut policy = own.unwrap_or_default();
        match (&self.catch_up, own) {
            (Some(catch_up), _) => policy.catch_up = CatchUp::parse(catch_up, "missed.catch_up")?,
            (None, Some(_)) => {}
            (None, None) => {
                let reason = "one of skip, latest, all: the cron has no policy of its own of which the rest could change";
                return Err(Invalid::new("invalid-missed", "missed.catch_up", reason));
            }
        }
        if let Some(window) = &self.window {
            policy.window = parse_duration(window, "missed.window")?;
        }
        policy.max = self.max.unwrap_or(policy.max);
        // A task's policy has its fields side by side; here they are in an object.
        policy.checked().map_err(|invalid| Invalid { field: invalid.field.replace("missed-", "missed."), ..invalid })
    }
}

impl From<MissedPolicy> for Missed {
    fn from(policy: MissedPolicy) -> Self {
        Self { catch_up: policy.catch_up.as_str().into(), window: Some(format_duration(policy.window)), max: Some(policy.max) }
    }
}

/// Changes a cron: what is left out stays, what is null goes back to what it is by itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateCron {
    /// Another expression.
    #[serde(default, deserialize_with = "value", skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Another time zone; null: UTC.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Option<String>>,
    /// Another beginning; null: now.
    #[serde(default, deserialize_with = "written::given", skip_serializing_if = "Option::is_none")]
    pub start: Option<Option<String>>,
    /// Another end; null: none.
    #[serde(default, deserialize_with = "written::given", skip_serializing_if = "Option::is_none")]
    pub end: Option<Option<String>>,
    /// Another spread; null: none.
    #[serde(default, deserialize_with = "written::given", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Option<String>>,
    /// Another limit; null: none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub max_count: Option<Option<u32>>,
    /// Another input, of which null is one.
    #[serde(default, deserialize_with = "value", skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Other metadata, in place of all there was; null: none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Option<BTreeMap<String, String>>>,
    /// Another priority; null: the task's.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub priority: Option<Option<u8>>,
    /// Another policy; null: the task's.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub missed: Option<Option<MissedChange>>,
    /// Changes it only if it still has this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u32>,
}

/// Tells `null` from what was left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Takes `null` as a value, if it is one, instead of what was left out.
fn value<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Asks for the runs of a past range.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackfillCron {
    /// From this time on.
    #[serde(deserialize_with = "written::required")]
    pub from: String,
    /// Up to this time; now, if left out.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Only says what it would make.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a backfill made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Backfilled {
    /// The planned times in the range.
    pub planned: Vec<Timestamp>,
    /// How many runs were made.
    pub made: usize,
}

/// A cron.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cron {
    /// Its name.
    pub name: String,
    /// Its task.
    pub task: String,
    /// When it fires.
    pub expression: String,
    /// By the clocks of this zone.
    pub timezone: String,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    #[serde(default)]
    pub end: Option<Timestamp>,
    /// Its spread.
    pub jitter: String,
    /// How often at most.
    #[serde(default)]
    pub max_count: Option<u32>,
    /// Each run's input, if that is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Each run's input, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<Bytes>,
    /// Each run's metadata.
    pub metadata: BTreeMap<String, String>,
    /// In place of the task's.
    #[serde(default)]
    pub priority: Option<u8>,
    /// In place of the task's.
    #[serde(default)]
    pub missed: Option<Missed>,
    /// `api`, `guest` or `code`.
    pub origin: String,
    /// Set while it is paused.
    #[serde(default)]
    pub pause: Option<crate::model::Pause>,
    /// Set if the time zone database does not have its time zone any more: then it does not fire.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timezone_unknown: bool,
    /// Its next planned time.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
    /// How often it has fired, what is planned within the next minute included.
    pub fired: u32,
    /// Rises with each change.
    pub version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

impl From<crate::model::Cron> for Cron {
    fn from(cron: crate::model::Cron) -> Self {
        let rule = &cron.spec.rule;
        let (input, input_bytes) = super::bytes::embed(&cron.spec.input);
        Self {
            name: cron.name.to_string(),
            task: cron.spec.task.to_string(),
            expression: rule.text().into(),
            timezone: rule.zone().into(),
            timezone_unknown: !rule.time_zone().is_known(),
            start: rule.start(),
            end: rule.end(),
            jitter: format_duration(rule.jitter()),
            max_count: cron.spec.max_count,
            input,
            input_bytes,
            metadata: cron.spec.metadata.iter().map(|(key, value)| (key.into(), value.into())).collect(),
            priority: cron.spec.priority,
            missed: cron.spec.missed.map(Into::into),
            origin: cron.origin.as_str().into(),
            pause: cron.pause,
            next_at: cron.next_at,
            fired: cron.fired,
            version: cron.version,
            created_at: cron.created_at,
            updated_at: cron.updated_at,
        }
    }
}

/// A page of crons.
#[derive(Debug, Serialize, Deserialize)]
pub struct CronPage {
    /// In order of name.
    pub crons: Vec<Cron>,
    /// Where the next page begins: the last name of this one; null on the last page.
    #[serde(default)]
    pub next: Option<String>,
}

/// A run that was made by hand.
#[derive(Debug, Serialize, Deserialize)]
pub struct CronTriggered {
    /// The run.
    pub id: RunId,
}

/// Planned times.
#[derive(Debug, Serialize, Deserialize)]
pub struct Occurrences {
    /// Rising.
    pub occurrences: Vec<Occurrence>,
}

/// One planned time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Occurrence {
    /// When, in UTC.
    pub at: Timestamp,
    /// What the clocks of the zone show then.
    pub local: String,
    /// What a change of the clocks does to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Occurrence {
    /// One of this rule.
    pub fn of(rule: &crate::model::CronRule, occurrence: &crate::model::Occurrence) -> Self {
        Self {
            at: occurrence.at,
            local: rule.local(occurrence.at).format("%Y-%m-%dT%H:%M:%S").to_string(),
            note: occurrence.note.as_ref().map(ToString::to_string),
        }
    }
}

impl CreateCron {
    /// The input.
    pub fn payload(&self) -> Result<Payload, Invalid> {
        self.input.as_ref().map_or_else(|| Ok(Payload::null()), |json| Payload::raw_json(json, "input"))
    }
}
