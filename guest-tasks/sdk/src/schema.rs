//! JSON Schema of a task's input, so that a wrong input is refused when it is scheduled and not when it runs.
//!
//! Written straight as text: a general schema library adds 50 KB to a component that is otherwise 90.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::{NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64};

use crate::time::{Duration, Instant};
use crate::values::RunId;

/// How deep types are described. What lies deeper, as in a type that holds itself, may be anything.
const DEPTH_MAX: usize = 12;

/// Where a description stops growing; the contract allows 64 KiB.
const BYTES_MAX: usize = 32 * 1024;

/// A type with a JSON Schema. Derive it beside serde's `Deserialize`, whose attributes it follows.
///
/// The schema accepts only what `Deserialize` can read: an input that is refused is refused when its run is scheduled, not when it
/// starts. `u128` and `i128` have no schema, because no checker of JSON knows integers beyond 64 bits.
pub trait JsonSchema {
    /// Writes the schema of this type, which is one JSON value.
    fn json_schema(schema: &mut Schema);

    /// Whether a field of this type may be left out, as an `Option` may.
    fn is_optional() -> bool {
        false
    }
}

/// A JSON Schema that is being written.
#[derive(Debug)]
pub struct Schema {
    json: String,
    depth: usize,
}

impl Schema {
    pub(crate) fn new() -> Self {
        Schema { json: String::new(), depth: 0 }
    }

    pub(crate) fn into_json(self) -> String {
        self.json
    }

    /// Writes this piece of JSON as it is.
    pub fn raw(&mut self, json: &str) {
        self.json.push_str(json);
    }

    /// Writes the schema of `T`.
    pub fn of<T: JsonSchema + ?Sized>(&mut self) {
        if self.depth == DEPTH_MAX || self.json.len() > BYTES_MAX {
            return self.raw("true");
        }
        self.depth += 1;
        T::json_schema(self);
        self.depth -= 1;
    }

    /// Writes the schema of `T`, with `head` (`"description":"…",`) in front of its members.
    pub fn described<T: JsonSchema + ?Sized>(&mut self, head: &str) {
        let start = self.json.len();
        self.of::<T>();
        if head.is_empty() || self.json[start..] == *"true" {
            return;
        }
        if self.json[start..].starts_with("{\"description\":") {
            // The type describes itself; the same key twice would be no JSON.
            self.json.insert_str(start, "{\"allOf\":[");
            self.json.push_str("]}");
        }
        self.json.insert_str(start + 1, head);
    }

    /// Opens an object's schema; `head` holds its description and what else is known of it.
    pub fn open(&mut self, head: &str) {
        self.raw("{");
        self.raw(head);
        self.raw("\"type\":\"object\",\"properties\":{");
    }

    /// Writes one property. `name` and `head` are JSON, as the derive prepared them.
    pub fn property<T: JsonSchema>(&mut self, name: &str, head: &str) {
        self.separate();
        self.raw(name);
        self.raw(":");
        self.described::<T>(head);
    }

    /// Closes an object's schema, with the names (JSON) of the properties that must be there.
    pub fn close(&mut self, required: &[(&str, bool)], deny_unknown: bool) {
        self.raw("},\"required\":[");
        for (name, is_optional) in required {
            if !is_optional {
                self.separate();
                self.raw(name);
            }
        }
        self.raw(if deny_unknown { "],\"additionalProperties\":false}" } else { "]}" });
    }

    /// Writes a comma unless nothing stands before it.
    pub fn separate(&mut self) {
        if !self.json.ends_with(['{', '[']) {
            self.raw(",");
        }
    }
}

macro_rules! schemas {
    ($($json:literal: $($type:ty),+;)*) => {$($(
        impl JsonSchema for $type {
            fn json_schema(schema: &mut Schema) {
                schema.raw($json);
            }
        }
    )+)*};
}

schemas! {
    r#"{"type":"boolean"}"#: bool;
    r#"{"type":"integer","minimum":0,"maximum":255}"#: u8;
    r#"{"type":"integer","minimum":0,"maximum":65535}"#: u16;
    r#"{"type":"integer","minimum":0,"maximum":4294967295}"#: u32;
    r#"{"type":"integer","minimum":0,"maximum":18446744073709551615}"#: u64;
    r#"{"type":"integer","minimum":-128,"maximum":127}"#: i8;
    r#"{"type":"integer","minimum":-32768,"maximum":32767}"#: i16;
    r#"{"type":"integer","minimum":-2147483648,"maximum":2147483647}"#: i32;
    r#"{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}"#: i64;
    r#"{"type":"integer","minimum":1,"maximum":255}"#: NonZeroU8;
    r#"{"type":"integer","minimum":1,"maximum":65535}"#: NonZeroU16;
    r#"{"type":"integer","minimum":1,"maximum":4294967295}"#: NonZeroU32;
    r#"{"type":"integer","minimum":1,"maximum":18446744073709551615}"#: NonZeroU64;
    r#"{"type":"integer","minimum":-128,"maximum":127,"not":{"const":0}}"#: NonZeroI8;
    r#"{"type":"integer","minimum":-32768,"maximum":32767,"not":{"const":0}}"#: NonZeroI16;
    r#"{"type":"integer","minimum":-2147483648,"maximum":2147483647,"not":{"const":0}}"#: NonZeroI32;
    r#"{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807,"not":{"const":0}}"#: NonZeroI64;
    r#"{"type":"number","minimum":-3.4028235e38,"maximum":3.4028235e38}"#: f32;
    r#"{"type":"number"}"#: f64;
    r#"{"type":"string"}"#: str, String, RunId;
    r#"{"type":"string","minLength":1,"maxLength":1}"#: char;
    r#"{"type":"null"}"#: ();
    "true": serde_json::Value;
}

// Their size is that of the machine that reads them: in a component, 32 bits.
#[cfg(target_pointer_width = "32")]
schemas! {
    r#"{"type":"integer","minimum":0,"maximum":4294967295}"#: usize;
    r#"{"type":"integer","minimum":-2147483648,"maximum":2147483647}"#: isize;
}

#[cfg(target_pointer_width = "64")]
schemas! {
    r#"{"type":"integer","minimum":0,"maximum":18446744073709551615}"#: usize;
    r#"{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}"#: isize;
}

/// The dates that there are, leap days included, and the times as [`Instant::parse`] reads them.
const INSTANT: &str = concat!(
    r#"{"type":"string","format":"date-time","pattern":"^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"#,
    r#"|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"#,
    r#"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"}"#,
);

/// Numbers that [`Duration::parse`] can hold, with their units: of days up to 213503, which are all that there are in 64 bits of nanoseconds.
const DURATION: &str = concat!(
    r#"{"type":"string","pattern":"^(0*([0-9]{1,13}ms|[0-9]{1,10}s|[0-9]{1,8}m|[0-9]{1,6}h"#,
    r#"|([0-9]{1,5}|1[0-9]{5}|20[0-9]{4}|21[0-2][0-9]{3}|213[0-4][0-9]{2}|21350[0-3])d))+$"}"#,
);

impl JsonSchema for Instant {
    fn json_schema(schema: &mut Schema) {
        schema.raw(INSTANT);
    }
}

impl JsonSchema for Duration {
    fn json_schema(schema: &mut Schema) {
        schema.raw(DURATION);
    }
}

impl<T: JsonSchema> JsonSchema for Option<T> {
    fn json_schema(schema: &mut Schema) {
        schema.raw("{\"anyOf\":[");
        schema.of::<T>();
        schema.raw(",{\"type\":\"null\"}]}");
    }

    fn is_optional() -> bool {
        true
    }
}

impl<T: JsonSchema> JsonSchema for Box<T> {
    fn json_schema(schema: &mut Schema) {
        schema.of::<T>();
    }

    fn is_optional() -> bool {
        T::is_optional()
    }
}

fn array<T: JsonSchema>(schema: &mut Schema) {
    schema.raw("{\"type\":\"array\",\"items\":");
    schema.of::<T>();
    schema.raw("}");
}

impl<T: JsonSchema> JsonSchema for Vec<T> {
    fn json_schema(schema: &mut Schema) {
        array::<T>(schema);
    }
}

impl<T: JsonSchema> JsonSchema for BTreeSet<T> {
    fn json_schema(schema: &mut Schema) {
        array::<T>(schema);
    }
}

impl<T: JsonSchema, S> JsonSchema for HashSet<T, S> {
    fn json_schema(schema: &mut Schema) {
        array::<T>(schema);
    }
}

impl<T: JsonSchema, const N: usize> JsonSchema for [T; N] {
    fn json_schema(schema: &mut Schema) {
        schema.raw("{\"type\":\"array\",\"items\":");
        schema.of::<T>();
        let count = N.to_string();
        for part in [",\"minItems\":", &count, ",\"maxItems\":", &count, "}"] {
            schema.raw(part);
        }
    }
}

fn map<T: JsonSchema>(schema: &mut Schema) {
    schema.raw("{\"type\":\"object\",\"additionalProperties\":");
    schema.of::<T>();
    schema.raw("}");
}

impl<T: JsonSchema> JsonSchema for BTreeMap<String, T> {
    fn json_schema(schema: &mut Schema) {
        map::<T>(schema);
    }
}

impl<T: JsonSchema, S> JsonSchema for HashMap<String, T, S> {
    fn json_schema(schema: &mut Schema) {
        map::<T>(schema);
    }
}

macro_rules! tuples {
    ($(($count:literal $first:ident $($rest:ident)*))*) => {$(
        impl<$first: JsonSchema, $($rest: JsonSchema),*> JsonSchema for ($first, $($rest,)*) {
            fn json_schema(schema: &mut Schema) {
                schema.raw("{\"type\":\"array\",\"prefixItems\":[");
                schema.of::<$first>();
                $(schema.separate(); schema.of::<$rest>();)*
                schema.raw(concat!("],\"items\":false,\"minItems\":", $count, "}"));
            }
        }
    )*};
}

tuples! { (1 A) (2 A B) (3 A B C) (4 A B C D) }
