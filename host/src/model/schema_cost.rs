//! Estimates what it takes to check an input against a JSON Schema, before the check.
//!
//! A check can't be interrupted, so its work is bounded in advance. The estimate follows the schema through the input as the check does, but takes
//! every branch, so the check takes at most the estimate. One unit is about a nanosecond; the factors were measured with `jsonschema` 0.61.

use rustc_hash::FxHashMap;
use serde_json::{Map, Value};

use super::schema_patterns::Patterns;
use super::{Invalid, schema_bounds};

/// Units of one keyword that looks at a value, and of one entry that is looked up.
const KEYWORD: u64 = 10;
/// Units of one value that is hashed or compared.
const HASHED: u64 = 30;
/// Units of `multipleOf` with a fraction, which calculates with large integers.
const MULTIPLE_OF: u64 = 4_000;
/// Units of each byte that a `format` or a `content…` keyword reads.
const FORMAT_BYTE: u64 = 50;
/// Bytes of a compiled pattern that cost one unit for each byte of a string. A pattern that is matched without a DFA takes 0.003 ns for each.
const PATTERN_BYTES_PER_UNIT: u64 = 256;
/// Units of an error, and of each value in the copy of its instance. Only errors of alternatives are copied.
const ERROR: u64 = 600;
const COPIED: u64 = 40;
/// Subschemas within each other that a check enters, which bounds its stack: the references and keywords of 32 levels of input.
const DEPTH_MAX: usize = 400;

/// The work is more than is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// What is estimated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Whether the input fits.
    Fits,
    /// What is wrong with it. Every error of an alternative (`anyOf`, `oneOf`) is made, with a copy of its part of the input.
    Errors,
}

/// What each subschema costs, and which values it is applied to.
pub(super) struct Costs {
    nodes: Vec<Node>,
    /// Units for each byte of input, if the schema has no references; then each subschema is applied to each value at most once.
    rate: Option<u64>,
}

/// One subschema. References to others are places in [`Costs::nodes`].
#[derive(Default)]
struct Node {
    fixed: u64,
    keywords: u64,
    per_string_byte: u64,
    /// For a string that is not ASCII, beside the former.
    per_wide_byte: u64,
    per_key_byte: u64,
    /// For a container, because of containers in `enum` and `const`.
    per_container: u64,
    unique: bool,
    properties: FxHashMap<Box<str>, usize>,
    /// Applied to each property that `properties` does not name.
    additional: Option<usize>,
    /// Applied to each property.
    every_property: Vec<usize>,
    names: Option<usize>,
    prefix: Vec<usize>,
    every_item: Vec<usize>,
    in_place: Vec<usize>,
    alternatives: Vec<usize>,
    /// `unevaluated…` asks the subschemas in place a second time.
    twice: bool,
}

impl Costs {
    /// Looks at a whole schema whose references were checked, and measures its patterns.
    pub(super) fn of<'a>(schema: &'a Value, patterns: &mut Patterns<'a>) -> Result<Self, Invalid> {
        let mut reader = Reader { whole: schema, patterns, found: Vec::new(), known: FxHashMap::default(), has_references: false };
        reader.place(schema);
        let mut nodes = Vec::new();
        while let Some(found) = reader.found.get(nodes.len()) {
            nodes.push(match found {
                Value::Object(entries) => reader.read(entries, nodes.is_empty())?,
                _ => Node { fixed: KEYWORD, ..Node::default() },
            });
        }
        let has_references = reader.has_references;
        let rate = nodes.iter().fold(0u64, |sum, node| sum.saturating_add(node.rate()));
        let is_single = !has_references && !nodes.iter().any(|node| node.twice);
        Ok(Self { nodes, rate: is_single.then_some(rate) })
    }

    /// Subschemas.
    pub(super) fn subschemas(&self) -> usize {
        self.nodes.len()
    }

    /// The most that a check of an input of this many bytes can take; `None` if that depends on the input.
    pub(super) fn at_most(&self, bytes: usize) -> Option<u64> {
        self.rate.map(|rate| rate.saturating_mul(bytes as u64 + 1))
    }

    /// Takes the work of `pass` over `input` from `left`. What the estimate itself takes is less.
    pub(super) fn spend(&self, pass: Pass, input: &Value, left: &mut u64) -> Result<(), TooMuch> {
        Follow { nodes: &self.nodes, errors: pass == Pass::Errors, left }.follow(0, input, false, 0)
    }
}

impl Node {
    fn rate(&self) -> u64 {
        let unique = if self.unique { HASHED } else { 0 };
        self.fixed + self.per_string_byte + self.per_wide_byte + self.per_key_byte + self.per_container + unique
    }
}

/// One walk through an input.
struct Follow<'a> {
    nodes: &'a [Node],
    errors: bool,
    left: &'a mut u64,
}

impl Follow<'_> {
    fn pay(&mut self, units: u64) -> Result<(), TooMuch> {
        *self.left = self.left.checked_sub(units).ok_or(TooMuch)?;
        Ok(())
    }

    fn follow(&mut self, place: usize, value: &Value, copied: bool, depth: usize) -> Result<(), TooMuch> {
        if depth > DEPTH_MAX {
            return Err(TooMuch);
        }
        let node = &self.nodes[place];
        self.pay(node.fixed)?;
        if copied {
            for _ in 0..node.keywords {
                self.pay(ERROR)?;
                self.pay_values(value, COPIED)?;
            }
        }
        match value {
            Value::String(text) => {
                let wide = if text.is_ascii() { 0 } else { node.per_wide_byte };
                self.pay((node.per_string_byte + wide).saturating_mul(text.len() as u64))?;
            }
            Value::Array(items) => {
                self.pay(node.per_container)?;
                if node.unique {
                    self.pay_values(value, HASHED)?;
                }
                for (item, place) in items.iter().zip(&node.prefix) {
                    self.follow(*place, item, copied, depth + 1)?;
                }
                for place in &node.every_item {
                    for item in items {
                        self.follow(*place, item, copied, depth + 1)?;
                    }
                }
            }
            Value::Object(entries) => {
                self.pay(node.per_container)?;
                for (key, value) in entries {
                    self.pay(KEYWORD + node.per_key_byte.saturating_mul(key.len() as u64))?;
                    let own = node.properties.get(key.as_str()).or(node.additional.as_ref());
                    for place in own.into_iter().chain(&node.every_property) {
                        self.follow(*place, value, copied, depth + 1)?;
                    }
                    if let Some(names) = node.names {
                        self.follow(names, &Value::String(key.clone()), copied, depth + 1)?;
                    }
                }
            }
            _ => {}
        }
        for _ in 0..=usize::from(node.twice) {
            for place in &node.in_place {
                self.follow(*place, value, copied, depth + 1)?;
            }
            for place in &node.alternatives {
                self.follow(*place, value, copied || self.errors, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Pays for each value within `value`, and for its strings by the byte.
    fn pay_values(&mut self, value: &Value, units: u64) -> Result<(), TooMuch> {
        self.pay(units)?;
        match value {
            Value::String(text) => self.pay(text.len() as u64 / 4),
            Value::Array(items) => items.iter().try_for_each(|item| self.pay_values(item, units)),
            Value::Object(entries) => entries.iter().try_for_each(|(key, item)| {
                self.pay(units + key.len() as u64 / 4)?;
                self.pay_values(item, units)
            }),
            _ => Ok(()),
        }
    }
}

/// Reads a schema, one subschema after the other.
struct Reader<'a, 'p> {
    whole: &'a Value,
    patterns: &'p mut Patterns<'a>,
    /// The subschemas by place, whether they were read already or not.
    found: Vec<&'a Value>,
    /// Their places by address, because references lead to some of them again.
    known: FxHashMap<*const Value, usize>,
    has_references: bool,
}

impl<'a> Reader<'a, '_> {
    /// The place of this subschema.
    fn place(&mut self, schema: &'a Value) -> usize {
        *self.known.entry(schema).or_insert_with(|| {
            self.found.push(schema);
            self.found.len() - 1
        })
    }

    fn read(&mut self, entries: &'a Map<String, Value>, is_whole: bool) -> Result<Node, Invalid> {
        let mut node = Node { keywords: entries.len() as u64, ..Node::default() };
        node.fixed = KEYWORD * (node.keywords + 1);
        for (keyword, value) in entries {
            match (keyword.as_str(), value) {
                ("$ref", Value::String(target)) => {
                    self.has_references = true;
                    let target = schema_bounds::resolve(target, self.whole)?;
                    node.in_place.push(self.place(target));
                }
                // References within it would mean other subschemas than they do without it.
                ("$id" | "id", Value::String(id)) if !is_whole => {
                    let reason = format!("`{keyword}` in the middle of the schema; only the whole may have one");
                    return Err(Invalid::new("invalid-schema", "input-schema", reason).seen(id));
                }
                ("allOf", Value::Array(all)) => node.in_place.extend(self.each(all)),
                ("anyOf" | "oneOf", Value::Array(all)) => node.alternatives.extend(self.each(all)),
                ("not" | "if" | "then" | "else", _) => node.in_place.push(self.place(value)),
                ("dependentSchemas", Value::Object(all)) => node.in_place.extend(self.each(all.values())),
                ("dependencies" | "dependentRequired", Value::Object(all)) => {
                    for one in all.values() {
                        match one {
                            Value::Array(names) => node.fixed += KEYWORD * names.len() as u64,
                            one => node.in_place.push(self.place(one)),
                        }
                    }
                }
                ("properties", Value::Object(all)) => {
                    node.fixed += KEYWORD * all.len() as u64;
                    for (name, one) in all {
                        let place = self.place(one);
                        node.properties.insert(name.as_str().into(), place);
                    }
                }
                ("patternProperties", Value::Object(all)) => {
                    for (pattern, one) in all {
                        node.per_key_byte += 1 + self.patterns.measure(pattern)?.bytes / PATTERN_BYTES_PER_UNIT;
                        node.every_property.push(self.place(one));
                    }
                }
                ("additionalProperties", _) => node.additional = Some(self.place(value)),
                ("unevaluatedProperties", _) => {
                    node.twice = true;
                    node.every_property.push(self.place(value));
                }
                ("propertyNames", _) => node.names = Some(self.place(value)),
                ("prefixItems" | "items", Value::Array(all)) => node.prefix.extend(self.each(all)),
                ("items" | "additionalItems" | "contains", _) => node.every_item.push(self.place(value)),
                ("unevaluatedItems", _) => {
                    node.twice = true;
                    node.every_item.push(self.place(value));
                }
                ("pattern", Value::String(pattern)) => {
                    let measured = self.patterns.measure(pattern)?;
                    node.per_string_byte += 1;
                    let units = if measured.is_sequence { &mut node.per_wide_byte } else { &mut node.per_string_byte };
                    *units += measured.bytes / PATTERN_BYTES_PER_UNIT;
                }
                ("format" | "contentEncoding" | "contentMediaType" | "contentSchema", _) => node.per_string_byte += FORMAT_BYTE,
                ("minLength" | "maxLength", _) => node.per_string_byte += 1,
                ("multipleOf", Value::Number(step)) => node.fixed += if step.is_f64() { MULTIPLE_OF } else { KEYWORD },
                ("uniqueItems", _) => node.unique = true,
                ("required", Value::Array(names)) => node.fixed += KEYWORD * names.len() as u64,
                ("enum", Value::Array(values)) => {
                    // Strings alone are looked up; others are compared one by one.
                    node.fixed += if values.iter().all(Value::is_string) { KEYWORD } else { KEYWORD * values.len() as u64 };
                    node.per_container += values.iter().filter(|value| is_container(value)).map(size).sum::<u64>();
                }
                ("const", value) if is_container(value) => node.per_container += size(value),
                _ => {}
            }
        }
        Ok(node)
    }

    fn each(&mut self, all: impl IntoIterator<Item = &'a Value>) -> Vec<usize> {
        all.into_iter().map(|one| self.place(one)).collect()
    }
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// Units to compare with `value`: each value in it.
fn size(value: &Value) -> u64 {
    HASHED
        + match value {
            Value::String(text) => text.len() as u64 / 4,
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(entries) => entries.iter().map(|(key, value)| HASHED + key.len() as u64 / 4 + size(value)).sum(),
            _ => 0,
        }
}
