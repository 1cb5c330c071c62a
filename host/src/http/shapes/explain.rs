//! Why a run stands where it stands.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{self, RunId, Timestamp};

/// Why a run stood where it stood at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The run.
    pub run: RunId,
    /// Its task.
    pub task: String,
    /// Where it stood.
    pub status: String,
    /// When.
    pub at: Timestamp,
    /// Nearest first: what keeps it there, what led to that, and who made it.
    pub causes: Vec<Cause>,
    /// What can be done about it.
    pub advice: Vec<Advice>,
}

/// One cause.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cause {
    /// In words.
    pub text: String,
    /// Its `code`, and its times, ids and numbers by name.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// One thing to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Advice {
    /// What it does.
    pub purpose: String,
    /// What to type.
    pub command: String,
    /// Its `action`, and what it is done to.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl From<model::Explanation> for Explanation {
    fn from(explanation: model::Explanation) -> Self {
        let cause = |cause: &model::Cause| Cause { text: cause.sentence(), fields: fields(cause) };
        let advice = |one: &model::Advice| Advice { purpose: one.purpose().into(), command: one.command(), fields: fields(one) };
        Self {
            run: explanation.run,
            task: explanation.task.to_string(),
            status: explanation.status.as_str().into(),
            at: explanation.at,
            causes: explanation.causes.iter().map(cause).collect(),
            advice: explanation.advice.iter().map(advice).collect(),
        }
    }
}

/// The fields of a tagged value. What is not known is left out.
fn fields(value: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(value) else { unreachable!("causes and advice are objects of plain data") };
    fields.retain(|_, value| !value.is_null());
    fields
}
