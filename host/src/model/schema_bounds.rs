//! Bounds what a JSON Schema can make a check do, before it is compiled.
//!
//! A schema without references is a tree, and costs what it is long. References can make it walk one part of an input in two ways, each of
//! which leads to two more: a few lines are then worth years. So the ways through a schema are counted, and there may not be many.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Invalid;
use super::limits::{SCHEMA_NODES_MAX, SCHEMA_REFERENCES_MAX, SCHEMA_WAYS_MAX};

/// Keywords whose schemas judge the same value.
const IN_PLACE: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];
/// Keywords that hold no schema that is used where it stands.
const DATA: [&str; 6] = ["$defs", "definitions", "enum", "const", "default", "examples"];

/// Refuses references that lead out of the schema, in a circle, or to too many ways through it.
pub(super) fn check(schema: &Value) -> Result<(), Invalid> {
    let mut targets = BTreeMap::new();
    let count = collect(schema, schema, &mut targets)?;
    if count > SCHEMA_REFERENCES_MAX {
        return Err(invalid(format!("{count} references, the limit is {SCHEMA_REFERENCES_MAX}; describe less")));
    }
    let mut done = BTreeSet::new();
    for target in targets.keys() {
        circle(target, &targets, &mut Vec::new(), &mut done)?;
    }
    // Ways of so many hops: what multiplies does so within one round through all targets, and fourteen doublings are beyond the limit.
    let mut ways: BTreeMap<&str, u64> = targets.keys().map(|target| (*target, 1)).collect();
    let of_a_round: u64 = nodes(schema) + targets.values().map(|part| nodes(part)).sum::<u64>();
    let mut work = 0_u64;
    for _ in 0..14 * (targets.len() + 1) {
        work = work.saturating_add(of_a_round);
        if work > SCHEMA_NODES_MAX {
            let reason =
                "its references lead again and again through large parts of it; refer to smaller definitions, or from fewer places";
            return Err(invalid(reason.into()));
        }
        let next: BTreeMap<_, _> = targets.iter().map(|(target, part)| (*target, count_ways(part, &ways).max(1))).collect();
        if count_ways(schema, &next).max(next.values().copied().max().unwrap_or(0)) > SCHEMA_WAYS_MAX {
            let reason =
                format!("its references lead through it in more than {SCHEMA_WAYS_MAX} ways; refer to a definition from fewer places");
            return Err(invalid(reason));
        }
        if next == ways {
            break;
        }
        ways = next;
    }
    Ok(())
}

/// Values within a value, itself included.
fn nodes(part: &Value) -> u64 {
    1 + match part {
        Value::Object(entries) => entries.values().map(nodes).sum(),
        Value::Array(items) => items.iter().map(nodes).sum(),
        _ => 0,
    }
}

fn invalid(reason: String) -> Invalid {
    Invalid::new("invalid-schema", "input-schema", reason)
}

/// Counts references, and finds what they refer to.
fn collect<'a>(part: &'a Value, whole: &'a Value, targets: &mut BTreeMap<&'a str, &'a Value>) -> Result<usize, Invalid> {
    match part {
        Value::Object(entries) => {
            let mut count = 0;
            for (key, value) in entries {
                if matches!(key.as_str(), "$dynamicRef" | "$recursiveRef") {
                    return Err(invalid(format!("`{key}` is not known here; refer with `$ref`")));
                }
                if let ("$ref", Value::String(target)) = (key.as_str(), value) {
                    count += 1;
                    targets.insert(target, resolve(target, whole)?);
                }
                count += collect(value, whole, targets)?;
            }
            Ok(count)
        }
        Value::Array(items) => items.iter().map(|item| collect(item, whole, targets)).sum(),
        _ => Ok(0),
    }
}

/// The subschema that a reference means.
pub(super) fn resolve<'a>(target: &str, whole: &'a Value) -> Result<&'a Value, Invalid> {
    let Some(pointer) = target.strip_prefix('#') else {
        let reason = "a reference out of the schema; nothing is fetched, so put what it means under `$defs` and refer to that";
        return Err(invalid(reason.into()).seen(target));
    };
    let found = percent_decoded(pointer).and_then(|pointer| whole.pointer(&pointer));
    found.ok_or_else(|| invalid("a reference to what is not there; write for example #/$defs/line".into()).seen(target))
}

/// The text without escapes such as `%20`, as the fragment of a URI is read; `None` if that is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

/// Refuses a reference that leads back to itself without having gone deeper into the value.
fn circle<'a>(
    target: &'a str,
    targets: &BTreeMap<&'a str, &'a Value>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Result<(), Invalid> {
    if done.contains(target) {
        return Ok(());
    }
    if path.contains(&target) {
        return Err(invalid("a reference in a circle says nothing".into()).seen(target));
    }
    path.push(target);
    let mut next = Vec::new();
    in_place(targets[target], &mut next);
    next.sort_unstable();
    next.dedup();
    for further in next {
        circle(further, targets, path, done)?;
    }
    path.pop();
    done.insert(target);
    Ok(())
}

/// The references that judge the same value as `part` does.
fn in_place<'a>(part: &'a Value, found: &mut Vec<&'a str>) {
    let Value::Object(entries) = part else { return };
    if let Some(Value::String(target)) = entries.get("$ref") {
        found.push(target);
    }
    for keyword in IN_PLACE {
        match entries.get(keyword) {
            Some(Value::Array(all)) => all.iter().for_each(|each| in_place(each, found)),
            Some(Value::Object(all)) if keyword == "dependentSchemas" => all.values().for_each(|each| in_place(each, found)),
            Some(one) => in_place(one, found),
            None => {}
        }
    }
}

/// In how many ways references lead to one value within the input. Different properties are different values; the rest may meet in one.
fn count_ways(part: &Value, ways: &BTreeMap<&str, u64>) -> u64 {
    match part {
        Value::Object(entries) => {
            let mut sum = 0u64;
            for (key, value) in entries {
                sum = sum.saturating_add(match (key.as_str(), value) {
                    ("$ref", Value::String(target)) => ways.get(target.as_str()).copied().unwrap_or(1),
                    ("properties", Value::Object(all)) => all.values().map(|each| count_ways(each, ways)).max().unwrap_or(0),
                    ("prefixItems", Value::Array(all)) => all.iter().map(|each| count_ways(each, ways)).max().unwrap_or(0),
                    (key, _) if DATA.contains(&key) => 0,
                    (_, Value::Object(_) | Value::Array(_)) => count_ways(value, ways),
                    _ => 0,
                });
            }
            sum
        }
        Value::Array(items) => items.iter().fold(0, |sum, item| sum.saturating_add(count_ways(item, ways))),
        _ => 0,
    }
}
