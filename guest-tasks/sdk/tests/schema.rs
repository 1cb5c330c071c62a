//! The JSON Schema of an input says what serde reads.

use std::collections::BTreeMap;

use runlater_task::{Duration, Failure, Instant, JsonSchema, Task as _, task};
use serde::Deserialize;
use serde_json::{Value, json};

/// An order.
///
/// Not part of the description.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct Order {
    /// Its "number".
    order_number: u64,
    #[serde(rename = "when")]
    at: Instant,
    #[serde(default)]
    wait: Duration,
    note: Option<String>,
    /// Who gets it.
    customer: Customer,
    tags: Vec<Tag>,
    extra: BTreeMap<String, Value>,
    #[serde(skip)]
    seen: bool,
}

/// A customer.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(dead_code)]
enum Customer {
    NewOne,
    Known { id: u32 },
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code)]
enum Tag {
    VeryUrgent,
    Gift,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Tree {
    children: Vec<Tree>,
}

#[task]
fn order(_order: Order) -> Result<(), Failure> {
    Ok(())
}

#[task]
fn at(_at: Instant) -> Result<(), Failure> {
    Ok(())
}

#[task]
fn wait(_wait: Duration) -> Result<(), Failure> {
    Ok(())
}

#[task]
fn tree(_tree: Tree) -> Result<(), Failure> {
    Ok(())
}

fn schema(json: Option<String>) -> Value {
    serde_json::from_str(&json.expect("the task has an input")).expect("a schema is JSON")
}

#[test]
fn a_type_is_described_as_serde_reads_it() {
    let expected = json!({
        "description": "An order.",
        "type": "object",
        "properties": {
            "orderNumber": { "description": "Its \"number\".", "type": "integer", "minimum": 0, "maximum": u64::MAX },
            "when": schema(at::definition().input_schema),
            "wait": schema(wait::definition().input_schema),
            "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "customer": { "description": "Who gets it.", "allOf": [{ "description": "A customer.", "anyOf": [
                { "type": "object", "properties": { "kind": { "const": "new_one" } }, "required": ["kind"] },
                {
                    "type": "object",
                    "properties": { "kind": { "const": "known" }, "id": { "type": "integer", "minimum": 0, "maximum": u32::MAX } },
                    "required": ["kind", "id"],
                },
            ] }] },
            "tags": { "type": "array", "items": { "enum": ["very-urgent", "gift"] } },
            "extra": { "type": "object", "additionalProperties": true },
        },
        "required": ["orderNumber", "when", "customer", "tags", "extra"],
        "additionalProperties": false,
    });
    assert_eq!(schema(order::definition().input_schema), expected);
}

#[test]
fn a_type_that_holds_itself_is_described_to_some_depth() {
    assert!(schema(tree::definition().input_schema).to_string().contains("true"));
}
