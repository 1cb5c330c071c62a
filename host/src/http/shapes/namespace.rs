//! Namespaces, what each may have, and what it holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Invalid, NamespaceQuotas, NamespaceRecord, Timestamp};
use crate::storage;

/// Asks for a namespace.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateNamespace {
    /// Its name.
    pub name: String,
    /// What it may have; what is left out follows the host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<String, Value>,
}

/// Changes a namespace. What is left out stays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateNamespace {
    /// What it may have: a count, or a rate such as `100/s`; `null` or `"default"` has it follow the host again.
    pub quotas: BTreeMap<String, Value>,
}

/// What the fields of quotas are set to, in the form that the model takes.
pub fn quota_changes(quotas: &BTreeMap<String, Value>) -> Result<Vec<(String, Option<String>)>, Invalid> {
    let change = |(field, value): (&String, &Value)| {
        let text = match value {
            Value::Null => None,
            Value::String(text) if text == "default" => None,
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) => Some(text.clone()),
            other => {
                let reason = "expected a count, a rate such as \"100/s\", or null";
                return Err(Invalid::new("invalid-quota", format!("quotas.{field}"), reason).seen(other.to_string()));
            }
        };
        // JSON's names have underscores, as everywhere.
        let name = if field.contains('-') { field.clone() } else { field.replace('_', "-") };
        Ok((name, text))
    };
    quotas.iter().map(change).collect()
}

/// A namespace.
#[derive(Debug, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// When it was made; null if that was not noted.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Since when it is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting_since: Option<Timestamp>,
    /// What it may have; null where it follows the host.
    pub quotas: Quotas,
    /// What it holds. Only where one namespace is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holdings>,
}

/// What a namespace may have that was set for it alone.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Quotas {
    /// Runs that wait.
    pub live_runs: Option<u64>,
    /// Bytes that its runs hold.
    pub run_bytes: Option<u64>,
    /// Bytes of its components.
    pub component_bytes: Option<u64>,
    /// Tokens in force.
    pub tokens: Option<u64>,
    /// Crons.
    pub crons: Option<u64>,
    /// Runs that its guests create.
    pub guest_creates: Option<String>,
}

/// What a namespace holds: all of it goes when it is deleted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Holdings {
    /// Its runs, those that have ended too.
    pub runs: u64,
    /// Those of them that wait.
    pub live_runs: u64,
    /// Its tasks.
    pub tasks: u64,
    /// Its crons.
    pub crons: u64,
    /// Its tokens that were not revoked.
    pub tokens: u64,
    /// The components of its tasks.
    pub components: u64,
    /// Their bytes.
    pub component_bytes: u64,
}

/// All namespaces of the host, in order of name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Namespaces {
    /// The namespaces.
    pub namespaces: Vec<Namespace>,
}

/// What deleting a namespace deletes.
#[derive(Debug, Serialize, Deserialize)]
pub struct NamespaceDeletion {
    /// Its name.
    pub name: String,
    /// Whether it was only asked what would be deleted.
    pub dry_run: bool,
    /// What it holds.
    pub deletes: Holdings,
}

impl Namespace {
    /// This one, with what it holds if that was counted.
    pub fn of(record: NamespaceRecord, holds: Option<storage::Holdings>) -> Self {
        Self {
            name: record.namespace.name.to_string(),
            created_at: record.created_at,
            deleting_since: record.deleting_since,
            quotas: record.quotas.into(),
            holds: holds.map(Into::into),
        }
    }
}

impl From<NamespaceQuotas> for Quotas {
    fn from(quotas: NamespaceQuotas) -> Self {
        let NamespaceQuotas { live_runs, run_bytes, component_bytes, tokens, crons, guest_creates } = quotas;
        Self { live_runs, run_bytes, component_bytes, tokens, crons, guest_creates: guest_creates.map(|rate| rate.to_string()) }
    }
}

impl From<storage::Holdings> for Holdings {
    fn from(holdings: storage::Holdings) -> Self {
        let storage::Holdings { runs, live_runs, tasks, crons, tokens, components, component_bytes } = holdings;
        Self { runs, live_runs, tasks, crons, tokens, components, component_bytes }
    }
}
