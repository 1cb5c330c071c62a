//! Reads JSON as strictly as the code of a task does.
//!
//! JSON Schema and serde differ in two points, by which a schema would accept an input that its task can't read: to JSON Schema `1.0` is an
//! integer, and of a key that is given twice a checker sees the last value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads JSON in which no object has a key twice.
pub(super) fn read(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).map(|Distinct(value)| value)
}

/// A value whose objects have each key once.
struct Distinct(Value);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Distinct(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is given twice in one object")));
            }
            let Distinct(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// The keyword that [`mark_integers`] puts beside `"type": "integer"`.
pub(super) const INTEGER: &str = "x-runlater-integer";

/// Keywords that hold schemas under names of their own.
const NAMED: [&str; 6] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
/// Keywords that hold data.
const DATA: [&str; 4] = ["enum", "const", "default", "examples"];

/// Adds [`INTEGER`] wherever a schema asks for an integer and not for any number.
pub(super) fn mark_integers(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(mark_integers),
        Value::Object(entries) => {
            for (key, value) in entries.iter_mut() {
                match value {
                    Value::Object(named) if NAMED.contains(&key.as_str()) => named.values_mut().for_each(mark_integers),
                    Value::Object(_) | Value::Array(_) if !DATA.contains(&key.as_str()) => mark_integers(value),
                    _ => {}
                }
            }
            let is_integer = match entries.get("type") {
                Some(Value::String(kind)) => kind == "integer",
                Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "integer") && !kinds.iter().any(|kind| kind == "number"),
                _ => false,
            };
            if is_integer {
                entries.insert(INTEGER.into(), Value::Bool(true));
            }
        }
        _ => {}
    }
}

/// The keyword: a number is written as an integer, and fits 64 bits. What is no integer in any spelling is refused by `type`.
struct WrittenAsInteger;

impl<'i> jsonschema::Keyword<'i> for WrittenAsInteger {
    fn validate(&self, instance: &'i Value) -> Result<(), jsonschema::ValidationError<'i>> {
        match is_other_spelling(instance) {
            None => Ok(()),
            Some(number) => Err(jsonschema::ValidationError::custom(why(number))),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        is_other_spelling(instance).is_none()
    }
}

/// Makes the keyword.
pub(super) fn integer_keyword<'a>(
    _: &'a Map<String, Value>,
    _: &'a Value,
    _: jsonschema::paths::Location,
) -> Result<Box<dyn for<'i> jsonschema::Keyword<'i>>, jsonschema::ValidationError<'a>> {
    Ok(Box::new(WrittenAsInteger))
}

/// The value of a number that is an integer to JSON Schema and none to serde.
fn is_other_spelling(instance: &Value) -> Option<f64> {
    let Value::Number(number) = instance else { return None };
    number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0)
}

fn why(number: f64) -> String {
    // Up to there each integer has a floating point number of its own.
    if number.abs() <= 9_007_199_254_740_992.0 {
        return format!("an integer is written without fraction and exponent: {}", number as i64);
    }
    format!("an integer is written without fraction and exponent, and is from {} to {}", i64::MIN, u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_it_is_but_no_key_twice() {
        for text in [r#"{"a":[1,-2,1.5,true,null,"x\n",{}],"b":{"a":18446744073709551615}}"#, "0", "\"\\u00e9\"", "-9223372036854775808"] {
            assert_eq!(read(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(read(text).unwrap_err().to_string().starts_with("the key \"a\" is given twice in one object at line 1"), "{text}");
        }
        assert!(read("1e400").is_err() && read("[1,]").is_err() && read("1 1").is_err());
    }

    #[test]
    fn integers_are_marked_where_schemas_stand_and_nowhere_else() {
        let mark = |text: &str| {
            let mut schema = serde_json::from_str(text).unwrap();
            mark_integers(&mut schema);
            schema.to_string().matches(INTEGER).count()
        };
        for (schema, marked) in [
            (r#"{"type":"integer"}"#, 1),
            (r#"{"type":["integer","null"]}"#, 1),
            (r#"{"type":["integer","number"]}"#, 0),
            (r#"{"type":"number"}"#, 0),
            (r#"{"properties":{"const":{"type":"integer"},"type":{"type":"integer"}}}"#, 2),
            (r#"{"const":{"type":"integer"},"default":{"type":"integer"},"enum":[{"type":"integer"}]}"#, 0),
            (r#"{"anyOf":[{"items":{"type":"integer"}},{"prefixItems":[{"type":"integer"}]}],"$defs":{"enum":{"type":"integer"}}}"#, 3),
        ] {
            assert_eq!(mark(schema), marked, "{schema}");
        }
    }
}
