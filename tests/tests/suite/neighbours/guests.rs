//! Attacks by what a namespace registered: each attacker starts as many attempts as it can.

use std::any::Any;

use serde_json::{Value, json};

use super::Attack;
use super::host::Host;

/// The name of each attack, which is that of its namespace.
pub(super) const ATTACKS: [(&str, Attack); 10] = [
    ("sleepers", |host, name| flood(host, name, "behaviours", "sleep", &json!({ "ms": 3_600_000 }), 2_000)),
    ("loops", |host, name| flood(host, name, "hostile", "loop", &Value::Null, 300)),
    ("growth", |host, name| flood(host, name, "hostile", "grow", &Value::Null, 300)),
    ("recursion", |host, name| flood(host, name, "hostile", "recurse", &Value::Null, 300)),
    ("logs", |host, name| flood(host, name, "hostile", "huge-log", &Value::Null, 300)),
    ("traps", |host, name| flood(host, name, "hostile", "trap", &Value::Null, 1_000)),
    ("calls", |host, name| flood(host, name, "hostile", "flood", &Value::Null, 100)),
    ("handles", |host, name| flood(host, name, "hostile", "handles", &Value::Null, 100)),
    ("lists", |host, name| flood(host, name, "hostile", "endless-list", &Value::Null, 100)),
    ("bombs", |host, name| flood(host, name, "hostile", "fork-bomb", &Value::Null, 1)),
];

/// So many runs of one task of this guest, due at once.
fn flood(host: &Host, name: &str, guest: &str, task: &str, input: &Value, runs: usize) -> Box<dyn Any> {
    let token = host.namespace(name, &[guest]);
    let mut client = host.client(&token);
    let body = json!({ "task": task, "input": input, "max_attempts": 100 }).to_string();
    for _ in 0..runs {
        let asked = client.ask("POST", "/v1/runs", &body).expect("the host answers");
        assert!(matches!(asked.status, 201 | 429), "{}", asked.body);
    }
    Box::new(client)
}
