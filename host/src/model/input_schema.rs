//! The JSON Schema of a task's input, and whether an input fits it.
//!
//! Checked when a component is registered and when a run is scheduled, on every surface. A schema comes from a guest: so it is bounded in
//! size and references, reaches nothing outside itself, and its patterns are matched in linear time.

use std::sync::{Arc, OnceLock};

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use super::limits::SCHEMA_BYTES_MAX;
use super::{Invalid, Payload, exact_json, schema_bounds};

/// Bytes of the machine that one `pattern` is compiled to, and of what it keeps while it matches.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The schema of a task's input. Cheap to clone; clones share what was compiled, which is made when it is first needed.
#[derive(Clone)]
pub struct InputSchema {
    text: Arc<str>,
    compiled: Arc<OnceLock<Option<Validator>>>,
}

impl InputSchema {
    /// Accepts a JSON Schema (draft 2020-12, unless its `$schema` names an earlier one) that stands by itself.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let schema = Self::from_stored(text);
        let compiled = Arc::new(OnceLock::from(Some(schema.compile()?)));
        Ok(Self { compiled, ..schema })
    }

    /// For storage, which reads back what [`parse`](Self::parse) accepted.
    pub fn from_stored(text: &str) -> Self {
        Self { text: text.into(), compiled: Arc::default() }
    }

    /// The schema as the component gave it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Refuses an input that does not fit, with the path in it that is wrong. `field` names the whole.
    ///
    /// Stricter than JSON Schema in two points, in which the task's code is: an integer is written as one (`1`, not `1.0`) and fits 64 bits, and no
    /// object has a key twice. So an input is stored as it was sent, or refused.
    ///
    /// `null`, which stands for no input, also fits where an empty object does: a task whose input has only optional fields needs none.
    pub fn check(&self, input: &Payload, field: &str) -> Result<(), Invalid> {
        // An earlier version may have stored what this one refuses: then the task itself is the judge.
        let Some(validator) = self.compiled.get_or_init(|| self.compile().ok()) else { return Ok(()) };
        let Some(json) = input.as_json() else {
            let reason = "the task takes JSON, as its schema says (`runlater tasks show`)";
            return Err(Invalid::new("invalid-input", field, reason).seen(input.media_type()));
        };
        let value = exact_json::read(json).map_err(|error| Invalid::new("invalid-input", field, error.to_string()))?;
        let Err(error) = validator.validate(&value) else { return Ok(()) };
        if value.is_null() && validator.is_valid(&Value::Object(serde_json::Map::new())) {
            return Ok(());
        }
        let error = cause(&error);
        let mut path = field.to_owned();
        for segment in error.instance_path() {
            match segment {
                LocationSegment::Property(name) => path.extend([".", &name]),
                LocationSegment::Index(place) => path.push_str(&format!("[{place}]")),
            }
        }
        let reason = format!("{}; see `runlater tasks show` for what the task takes", error.masked_with("it"));
        Err(Invalid::new("invalid-input", path, reason).seen(error.instance().to_string()))
    }

    fn compile(&self) -> Result<Validator, Invalid> {
        let invalid = |reason: String| Invalid::new("invalid-schema", "input-schema", reason);
        if self.text.len() > SCHEMA_BYTES_MAX {
            return Err(invalid(format!("{} bytes, the limit is {SCHEMA_BYTES_MAX}; describe less", self.text.len())));
        }
        let mut schema: Value = serde_json::from_str(&self.text).map_err(|error| invalid(format!("not JSON: {error}")))?;
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            return Err(invalid("a JSON Schema is an object, or true or false".into()));
        }
        schema_bounds::check(&schema)?;
        exact_json::mark_integers(&mut schema);
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options().with_retriever(Nowhere).with_pattern_options(patterns);
        options.with_keyword(exact_json::INTEGER, exact_json::integer_keyword).build(&schema).map_err(|error| {
            let place = error.instance_path().as_str().to_owned();
            invalid(format!("not a JSON Schema that can be checked: {error}, at {}", if place.is_empty() { "its top" } else { &place }))
        })
    }
}

/// What is wrong in detail. Of alternatives, such as a number or null for an optional field, the one that has the input's type says it.
fn cause<'a>(error: &'a ValidationError<'a>) -> &'a ValidationError<'a> {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) = error.kind() else { return error };
    let is_of_type = |branch: &&Vec<ValidationError<'static>>| {
        branch.iter().all(|one| !matches!(one.kind(), ValidationErrorKind::Type { .. }) || one.instance_path() != error.instance_path())
    };
    let mut of_type = context.iter().filter(is_of_type);
    match (of_type.next().and_then(|branch| branch.first()), of_type.next()) {
        (Some(only), None) => cause(only),
        _ => error,
    }
}

/// Where schemas are fetched from.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is outside of the schema, and nothing is fetched").into())
    }
}

impl PartialEq for InputSchema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for InputSchema {}

impl std::fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(schema: &str, input: &str) -> String {
        let schema = InputSchema::parse(schema).unwrap();
        let input = Payload::json(input.as_bytes(), "input").unwrap();
        schema.check(&input, "input").map_or_else(|invalid| invalid.to_string(), |()| "fits".into())
    }

    const ORDER: &str = r##"{
        "type": "object",
        "required": ["customer"],
        "properties": {
            "customer": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}}, "required": ["id"]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            "code": {"type": "string", "pattern": "^[a-z]+$"}
        },
        "$defs": {"line": {"type": "object", "properties": {"sku": {"type": "string"}}, "additionalProperties": false}}
    }"##;

    #[test]
    fn an_optional_value_is_refused_with_its_own_reason() {
        let schema = r#"{"type":"object","properties":{"n":{"anyOf":[{"type":"integer","minimum":0,"maximum":9},{"type":"null"}]}}}"#;
        for (input, expected) in [
            (r#"{"n":10}"#, "input.n: it is greater than the maximum of 9"),
            (r#"{"n":1.0}"#, "input.n: an integer is written without fraction and exponent"),
            (r#"{"n":"x"}"#, "input.n: it is not valid under any"),
            (r#"{"n":null}"#, "fits"),
        ] {
            let said = checked(schema, input);
            assert!(said.starts_with(expected), "{input}: {said}");
        }
    }

    #[test]
    fn an_input_is_refused_with_its_path() {
        for (input, expected) in [
            (r#"{"customer":{"id":7},"lines":[{"sku":"a"}],"code":"abc"}"#, "fits"),
            (r#"{"customer":{"id":"7"}}"#, "input.customer.id: it is not of type \"integer\""),
            (r#"{"customer":{"id":0}}"#, "input.customer.id: it is less than the minimum of 1"),
            (r#"{"customer":{}}"#, "input.customer: \"id\" is a required property"),
            (r#"{"customer":{"id":7},"lines":[{},{"sku":1}]}"#, "input.lines[1].sku: it is not of type \"string\""),
            (r#"{"customer":{"id":7},"lines":[{"qty":1}]}"#, "input.lines[0]: Additional properties are not allowed"),
            (r#"{"customer":{"id":7},"code":"A"}"#, "input.code: it does not match \"^[a-z]+$\""),
            ("null", "input: it is not of type \"object\""),
            ("7", "input: it is not of type \"object\""),
        ] {
            let said = checked(ORDER, input);
            assert!(said.starts_with(expected), "{input}: {said}");
            assert!(said == "fits" || said.contains("runlater tasks show"), "{said}");
        }
        let bytes = Payload::new("text/plain", b"x", "input").unwrap();
        assert_eq!(InputSchema::parse(ORDER).unwrap().check(&bytes, "input").unwrap_err().code, "invalid-input");
    }

    #[test]
    fn numbers_and_keys_that_a_task_can_not_read_are_refused() {
        let integer = r#"{"type":"integer","minimum":0,"maximum":18446744073709551615}"#;
        for (schema, input, expected) in [
            (integer, "1", "fits"),
            (integer, "18446744073709551615", "fits"),
            (integer, "1.0", "input: an integer is written without fraction and exponent: 1;"),
            (integer, "1.5e1", "input: an integer is written without fraction and exponent: 15;"),
            (integer, "-0", "input: an integer is written without fraction and exponent: 0;"),
            (integer, "1.5", "input: it is not of type \"integer\""),
            (integer, "18446744073709551616", "input: it is greater than the maximum"),
            (
                r#"{"type":"integer"}"#,
                "18446744073709551616",
                "input: an integer is written without fraction and exponent, and is from -92",
            ),
            (r#"{"type":"integer"}"#, "1e400", "input: number out of range"),
            (r#"{"type":"number"}"#, "1.0", "fits"),
            (r#"{"type":["integer","null"]}"#, "1e0", "input: an integer is written"),
            (r#"{"anyOf":[{"type":"integer"},{"type":"number"}]}"#, "1.0", "fits"),
            ("true", r#"{"a":1.0}"#, "fits"),
            ("true", r#"{"a":1,"a":1}"#, "input: the key \"a\" is given twice in one object"),
        ] {
            let said = checked(schema, input);
            assert!(said.starts_with(expected), "{schema} {input}: {said}");
        }
    }

    #[test]
    fn no_input_fits_where_an_empty_object_does() {
        let optional = r#"{"type":"object","properties":{"times":{"type":"integer"}}}"#;
        assert_eq!(checked(optional, "null"), "fits");
        assert_eq!(
            checked("false", "null"),
            "input: False schema does not allow it; see `runlater tasks show` for what the task takes (seen: \"null\")"
        );
        assert_eq!(checked("true", "null"), "fits");
    }

    #[test]
    fn schemas_that_can_not_be_checked_are_refused() {
        let many = format!(r##"{{"allOf":[{}],"$defs":{{"a":true}}}}"##, vec![r##"{"$ref":"#/$defs/a"}"##; 257].join(","));
        for (schema, expected) in [
            ("", "not JSON"),
            ("7", "a JSON Schema is an object"),
            (r#"{"type":"objekt"}"#, "not a JSON Schema that can be checked"),
            (r#"{"properties":{"a":{"minimum":"x"}}}"#, "not a JSON Schema that can be checked"),
            (r#"{"pattern":"("}"#, "not a JSON Schema that can be checked"),
            (r#"{"pattern":"(?=a)b"}"#, "not a JSON Schema that can be checked"),
            (r#"{"pattern":"((a{1000}){1000}){1000}"}"#, "not a JSON Schema that can be checked"),
            (r#"{"$ref":"https://example.com/x.json"}"#, "a reference out of the schema"),
            (r#"{"properties":{"a":{"$ref":"file:///etc/passwd"}}}"#, "a reference out of the schema"),
            (r##"{"$ref":"#/$defs/none"}"##, "a reference to what is not there"),
            (r##"{"$dynamicRef":"#a"}"##, "`$dynamicRef` is not known"),
            (many.as_str(), "257 references"),
        ] {
            let refused = InputSchema::parse(schema).unwrap_err();
            assert_eq!((refused.code, refused.field.as_str()), ("invalid-schema", "input-schema"), "{schema}");
            assert!(refused.reason.starts_with(expected), "{schema}: {refused}");
        }
    }

    #[test]
    fn hostile_schemas_are_refused_or_cost_little() {
        let ways = |reason: &str| reason.contains("ways; refer");
        // Each level asks for the next one twice: two to the power of a hundred, if each were followed.
        let mut levels = String::new();
        for level in 0..100 {
            levels +=
                &format!(r##""d{level}":{{"allOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}},"##, next = level + 1);
        }
        let doubling = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{levels}"d100":{{"type":"object"}}}}}}"##);
        assert!(ways(&InputSchema::parse(&doubling).unwrap_err().reason));
        // Twice for each level of the input.
        let deep = r##"{"properties":{"x":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}"##;
        assert!(ways(&InputSchema::parse(deep).unwrap_err().reason));
        for circle in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"not":{"$ref":"#"}}]}"##] {
            assert_eq!(InputSchema::parse(circle).unwrap_err().reason, "a reference in a circle says nothing");
        }
        let text = format!("\"{}!\"", "a".repeat(200_000));
        assert_ne!(checked(r#"{"type":"string","pattern":"^(a+)+$|^(a|aa)+b$"}"#, &text), "fits");
    }

    #[test]
    fn trees_and_lists_of_themselves_are_described() {
        let tree = r##"{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#"},"value":{"type":"integer"}}}"##;
        let nested = format!("{}{{\"value\":\"x\"}}{}", r#"{"right":"#.repeat(25), "}".repeat(25));
        let said = checked(tree, &nested);
        assert!(said.starts_with("input.right.right.") && said.contains("value: it is not of type \"integer\""), "{said}");
        let list = r##"{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"}}}}"##;
        assert!(
            checked(list, r#"{"children":[{"children":[{}, {"children":7}]}]}"#).starts_with("input.children[0].children[1].children: ")
        );
    }
}
