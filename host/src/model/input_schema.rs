//! The JSON Schema of a task's input, and whether an input fits it.
//!
//! Checked when a component is registered and when a run is scheduled, on every surface. A schema comes from a guest, so its size, its references
//! and its compiled patterns are bounded, and it reaches nothing outside itself. The work of each check is estimated first
//! (`schema_cost.rs`), because a check can't be interrupted. All compiled schemas share a bound on their memory (`compiled_schemas.rs`).

use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use jsonschema::{Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use super::compiled_schemas::{Kept, Slot};
use super::limits::{COMPILED_SCHEMAS_BYTES_MAX, SCHEMA_BYTES_AT_ONCE_MAX, SCHEMA_BYTES_MAX, SCHEMA_WORK_AT_ONCE_MAX, SCHEMA_WORK_MAX};
use super::schema_cost::{Costs, Pass};
use super::schema_patterns::Patterns;
use super::{Invalid, Payload, exact_json, schema_bounds};

/// Units of work of reading one byte of JSON.
const JSON_BYTE: u64 = 10;
/// Units of work, and about three bytes of memory for each, of finding out what is wrong with an input. If that takes more, only that it does not
/// fit is said.
const ERRORS_WORK_MAX: u64 = 10_000_000;
/// Bytes of memory of a compiled subschema with its keywords.
const SUBSCHEMA_BYTES: u64 = 1_500;

/// The compiled schemas of this process.
static COMPILED: Kept<Compiled> = Kept::new(COMPILED_SCHEMAS_BYTES_MAX);

/// The schema of a task's input. Cheap to clone; clones share what was compiled, which is made when it is needed.
#[derive(Clone)]
pub struct InputSchema {
    text: Arc<str>,
    compiled: Arc<Slot<Compiled>>,
}

struct Compiled {
    validator: Validator,
    costs: Costs,
}

/// How much work may be done on a check. One request, or one call of a guest, shares one value among all its checks.
#[derive(Debug)]
pub struct Effort {
    /// Units that are left.
    left: u64,
    /// Whether there is a later attempt with more of it.
    at_once: bool,
}

impl Effort {
    /// For a thread that serves guests or requests: up to about a millisecond. If it is not enough, the check is
    /// [postponed](Misfit::Postponed).
    pub const fn at_once() -> Self {
        Self { left: SCHEMA_WORK_AT_ONCE_MAX, at_once: true }
    }

    /// For a thread that may be held: up to about 100 ms. An input whose check takes more is refused.
    pub const fn whole() -> Self {
        Self { left: SCHEMA_WORK_MAX, at_once: false }
    }

    fn spend(&mut self, units: u64) -> Result<(), TooLittle> {
        self.left = self.left.checked_sub(units).ok_or(TooLittle)?;
        Ok(())
    }
}

/// The effort is used up.
struct TooLittle;

/// Why an input was not found to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It does not fit, or checking it takes more work than is allowed.
    Invalid(Invalid),
    /// The check takes longer than this thread may be held: repeat it elsewhere with the [whole](Effort::whole) effort.
    Postponed,
}

impl Misfit {
    /// The reason that a check with the [whole](Effort::whole) effort gives.
    pub(crate) fn certain(self) -> Invalid {
        match self {
            Self::Invalid(invalid) => invalid,
            Self::Postponed => unreachable!("a check with the whole effort is never postponed"),
        }
    }
}

impl From<Invalid> for Misfit {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl InputSchema {
    /// Accepts a JSON Schema (draft 2020-12, unless its `$schema` names an earlier one) that stands by itself.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let schema = Self::from_stored(text);
        COMPILED.get_or_make(&schema.compiled, || compile(text))?;
        Ok(schema)
    }

    /// For storage, which reads back what [`parse`](Self::parse) accepted.
    pub fn from_stored(text: &str) -> Self {
        Self { text: text.into(), compiled: Arc::new(Slot::new()) }
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
        self.check_within(input, field, &mut Effort::whole()).map_err(Misfit::certain)
    }

    /// As [`check`](Self::check), with as much work as `effort` has left.
    pub fn check_within(&self, input: &Payload, field: &str, effort: &mut Effort) -> Result<(), Misfit> {
        let compiled = match self.compiled.get(&COMPILED) {
            Some(known) => known,
            None if effort.at_once && self.text.len() > SCHEMA_BYTES_AT_ONCE_MAX => return Err(Misfit::Postponed),
            None => COMPILED.get_or_make(&self.compiled, || compile(&self.text)).unwrap_or(None),
        };
        // An earlier version may have stored what this one refuses: then the task itself is the judge.
        let Some(compiled) = compiled else { return Ok(()) };
        let Some(json) = input.as_json() else {
            let reason = "the task takes JSON, as its schema says (`runlater tasks show`)";
            return Err(Invalid::new("invalid-input", field, reason).seen(input.media_type()).into());
        };
        let fits = compiled.check(json, field, effort);
        fits.unwrap_or_else(|TooLittle| match effort.at_once {
            true => Err(Misfit::Postponed),
            false => {
                let reason = "checking it against the schema of the task takes too much work; send a smaller input, or have the task's author \
                              simplify the schema (its patterns above all)";
                Err(Invalid::new("input-too-costly", field, reason).seen(format!("{} bytes", json.len())).into())
            }
        })
    }
}

impl Compiled {
    fn check(&self, json: &str, field: &str, effort: &mut Effort) -> Result<Result<(), Misfit>, TooLittle> {
        effort.spend(JSON_BYTE.saturating_mul(json.len() as u64))?;
        let value = match exact_json::read(json) {
            Ok(value) => value,
            Err(error) => return Ok(Err(Invalid::new("invalid-input", field, error.to_string()).into())),
        };
        self.spend(&value, json.len(), effort)?;
        if self.validator.is_valid(&value) {
            return Ok(Ok(()));
        }
        if value.is_null() {
            let empty = Value::Object(serde_json::Map::new());
            self.spend(&empty, 2, effort)?;
            if self.validator.is_valid(&empty) {
                return Ok(Ok(()));
            }
        }
        Ok(Err(self.explain(&value, field, effort)?.into()))
    }

    fn spend(&self, value: &Value, bytes: usize, effort: &mut Effort) -> Result<(), TooLittle> {
        match self.costs.at_most(bytes) {
            Some(units) if units <= effort.left => effort.spend(units),
            _ => self.costs.spend(Pass::Fits, value, &mut effort.left).map_err(|_| TooLittle),
        }
    }

    /// What is wrong with an input that does not fit.
    fn explain(&self, value: &Value, field: &str, effort: &mut Effort) -> Result<Invalid, TooLittle> {
        let mut left = effort.left.min(ERRORS_WORK_MAX);
        let (before, affordable) = (left, self.costs.spend(Pass::Errors, value, &mut left).is_ok());
        if !affordable && effort.at_once {
            return Err(TooLittle);
        }
        effort.spend(before - left)?;
        let said = if affordable { self.validator.validate(value).err() } else { None };
        let Some(error) = said else {
            let reason =
                "it does not fit the schema of the task, and is too large to say where; see `runlater tasks show` for what the task takes";
            return Ok(Invalid::new("invalid-input", field, reason));
        };
        let error = cause(&error);
        let mut path = field.to_owned();
        for segment in error.instance_path() {
            match segment {
                LocationSegment::Property(name) => path.extend([".", &name]),
                LocationSegment::Index(place) => path.push_str(&format!("[{place}]")),
            }
        }
        let reason = format!("{}; see `runlater tasks show` for what the task takes", error.masked_with("it"));
        Ok(Invalid::new("invalid-input", path, reason).seen(error.instance().to_string()))
    }
}

/// Compiles a schema, and says how many bytes of memory it takes.
fn compile(text: &str) -> Result<(Compiled, u64), Invalid> {
    let invalid = |reason: String| Invalid::new("invalid-schema", "input-schema", reason);
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(invalid(format!("{} bytes, the limit is {SCHEMA_BYTES_MAX}; describe less", text.len())));
    }
    let mut schema: Value = serde_json::from_str(text).map_err(|error| invalid(format!("not JSON: {error}")))?;
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return Err(invalid("a JSON Schema is an object, or true or false".into()));
    }
    schema_bounds::check(&schema)?;
    exact_json::mark_integers(&mut schema);
    let mut patterns = Patterns::default();
    let costs = Costs::of(&schema, &mut patterns)?;
    let options = patterns.options().with_retriever(Nowhere);
    let built = options.with_keyword(exact_json::INTEGER, exact_json::integer_keyword).build(&schema);
    let validator = built.map_err(|error| {
        let place = error.instance_path().as_str().to_owned();
        invalid(format!("not a JSON Schema that can be checked: {error}, at {}", if place.is_empty() { "its top" } else { &place }))
    })?;
    let bytes = costs.subschemas() as u64 * SUBSCHEMA_BYTES + 4 * text.len() as u64 + patterns.memory();
    Ok((Compiled { validator, costs }, bytes))
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
        let refused = InputSchema::parse(ORDER).unwrap().check_within(&bytes, "input", &mut Effort::at_once());
        assert!(matches!(refused, Err(Misfit::Invalid(invalid)) if invalid.code == "invalid-input"));
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
            (r#"{"properties":{"a":{"$id":"https://example.com/a","type":"string"}}}"#, "`$id` in the middle of the schema"),
            (r##"{"enum":[{"$id":"x"}],"$ref":"#/enum/0"}"##, "`$id` in the middle of the schema"),
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
        // One large part under many spellings of its name, each of which counts the ways through all of it.
        let large = (0..3_000).map(|number| format!("\"a{number}\":{{}},")).collect::<String>();
        let spelt = |number: usize| {
            let letters = "defs/larg".char_indices().map(|(place, letter)| match number >> place & 1 {
                1 if letter != '/' => format!("%{:02x}", letter as u32),
                _ => letter.to_string(),
            });
            format!(r##"{{"$ref":"#/${}e"}}"##, letters.collect::<String>())
        };
        let spellings = (0..200).map(spelt).collect::<Vec<_>>().join(",");
        let again = format!(
            r##"{{"allOf":[{spellings}],"$defs":{{"large":{{"properties":{{{large}"z":{{}}}},"items":{{"$ref":"#/$defs/large"}},"$ref":"#/$defs/leaf"}},"leaf":{{}}}}}}"##
        );
        assert!(InputSchema::parse(&again).unwrap_err().reason.contains("again and again"));
        for circle in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"not":{"$ref":"#"}}]}"##] {
            assert_eq!(InputSchema::parse(circle).unwrap_err().reason, "a reference in a circle says nothing");
        }
        let text = format!("\"{}!\"", "a".repeat(200_000));
        assert_ne!(checked(r#"{"type":"string","pattern":"^(a+)+$|^(a|aa)+b$"}"#, &text), "fits");
    }

    #[test]
    fn patterns_are_bounded_in_sum() {
        // Each of them is far below its own limit.
        let patterns: Vec<_> = (0..40).map(|number| format!(r#"{{"pattern":"(\\p{{L}}{{2}}x{number} ?){{4}}$"}}"#)).collect();
        let refused = InputSchema::parse(&format!(r#"{{"allOf":[{}]}}"#, patterns.join(","))).unwrap_err();
        assert!(refused.reason.starts_with("its patterns are compiled to more than 8388608 bytes in all"), "{refused}");
        InputSchema::parse(&format!(r#"{{"allOf":[{}]}}"#, patterns[..4].join(","))).unwrap();
        // `jsonschema` postpones compiling this one until an input is not ASCII.
        InputSchema::parse(r#"{"properties":{"a":{"pattern":"^.{1,1000}$"},"b":{"pattern":"^.{0,1000}$"}}}"#).unwrap();
        let hidden: Vec<_> = (1..60).map(|count| format!(r#"{{"pattern":"^.{{{count},1000}}$"}}"#)).collect();
        let refused = InputSchema::parse(&format!(r#"{{"allOf":[{}]}}"#, hidden.join(","))).unwrap_err();
        assert!(refused.reason.starts_with("its patterns are compiled to more than"), "{refused}");
        let many: Vec<_> = (0..=1_000).map(|number| format!(r#""x{number}":true"#)).collect();
        let refused = InputSchema::parse(&format!(r#"{{"patternProperties":{{{}}}}}"#, many.join(","))).unwrap_err();
        assert_eq!(refused.reason, "more than 1000 different patterns; describe less");
    }

    #[test]
    fn costly_checks_are_postponed_and_then_bounded() {
        let text = |bytes: usize| format!("\"{}\"", "ab".repeat(bytes / 2));
        let numbers = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        let all = |count: usize, one: &str| vec![one; count].join(",");
        let pattern = r#"{"pattern":"^(\\p{L}{4} ?){2}$"}"#;
        let tree = r##"{"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}},"additionalProperties":false}"##;
        for (schema, input, expected) in [
            // What honest tasks have is checked where it is asked for.
            (ORDER, r#"{"customer":{"id":7},"lines":[{"sku":"a"}],"code":"abc"}"#.to_owned(), "at once"),
            (r#"{"type":"string","maxLength":80000}"#, text(80_000), "at once"),
            (r#"{"items":{"type":"integer"}}"#, numbers(10_000), "at once"),
            (r#"{"items":{"enum":["a","b"]}}"#, format!("[{}\"a\"]", "\"b\",".repeat(5_000)), "at once"),
            (tree, format!("{}{{}}{}", r#"{"a":"#.repeat(20), "}".repeat(20)), "at once"),
            // A large input alone is postponed; nothing of it is too costly.
            (r#"{"type":"string"}"#, text(200_000), "postponed"),
            (r#"{"uniqueItems":true}"#, numbers(100_000), "postponed"),
            (pattern, text(2_000), "postponed"),
            (r#"{"pattern":"^.{1,1000}$"}"#, text(1_000), "at once"),
            (r#"{"pattern":"^.{1,1000}$"}"#, format!("\"{}\"", "é".repeat(500)), "postponed"),
            // Schema and input are each within their limits, but not their product.
            (pattern, text(200_000), "too costly"),
            (&format!(r#"{{"items":{{"allOf":[{}]}}}}"#, all(1_000, r#"{"minimum":0}"#)), numbers(100_000), "too costly"),
            (r#"{"items":{"multipleOf":0.1}}"#, numbers(100_000), "too costly"),
            (&format!(r#"{{"contains":{{"enum":[{}]}}}}"#, all(1_000, "[1]")), numbers(100_000), "too costly"),
            (&format!(r#"{{"items":{{"oneOf":[{}]}}}}"#, all(500, r#"{"const":2}"#)), numbers(100_000), "too costly"),
            (&format!(r#"{{"allOf":[{}]}}"#, all(1_000, r#"{"uniqueItems":true}"#)), numbers(10_000), "too costly"),
            (r#"{"propertyNames":{"pattern":"^(\\p{L}{4} ?){2}$"}}"#, format!("{{{}:1}}", text(200_000)), "too costly"),
            (r#"{"patternProperties":{"^(\\p{L}{4} ?){2}$":true}}"#, format!("{{{}:1}}", text(200_000)), "too costly"),
        ] {
            let schema = InputSchema::parse(schema).unwrap();
            let input = Payload::json(input.as_bytes(), "input").unwrap();
            let at_once = schema.check_within(&input, "input", &mut Effort::at_once());
            let whole = schema.check_within(&input, "input", &mut Effort::whole());
            let took = match (at_once, whole) {
                (Err(Misfit::Postponed), Err(Misfit::Invalid(invalid))) if invalid.code == "input-too-costly" => "too costly",
                (Err(Misfit::Postponed), _) => "postponed",
                _ => "at once",
            };
            assert_eq!(took, expected, "{}", schema.as_str());
        }
    }

    #[test]
    fn one_effort_is_shared_by_many_checks() {
        let schema = InputSchema::parse(r#"{"type":"string"}"#).unwrap();
        let input = Payload::json(format!("\"{}\"", "a".repeat(1_000)).as_bytes(), "input").unwrap();
        let mut effort = Effort::at_once();
        let checked = (0..1_000).take_while(|_| schema.check_within(&input, "input", &mut effort).is_ok()).count();
        assert!((10..200).contains(&checked), "{checked} of 1,000 inputs of 1 KB were checked at once");
    }

    #[test]
    fn what_is_wrong_is_said_only_if_that_is_affordable() {
        let alternatives = format!(r#"{{"anyOf":[{}]}}"#, vec![r#"{"items":{"type":"string"}}"#; 20].join(","));
        assert!(checked(&alternatives, "[1]").starts_with("input: it is not valid under any"));
        // Each alternative has an error for each item, with a copy.
        let said = checked(&alternatives, &format!("[{}1]", "1,".repeat(20_000)));
        assert!(said.starts_with("input: it does not fit the schema of the task, and is too large to say where"), "{said}");
    }

    #[test]
    fn schemas_nested_deeply_are_compiled_on_small_stacks() {
        // Each definition lies deep in alternatives and refers to the next one: the deepest schema that the limits allow.
        let deep = |number: usize| {
            let inner = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, number + 1);
            format!(r#""d{number}":{}{inner}{}"#, r#"{"not":"#.repeat(14), "}".repeat(14))
        };
        let definitions: Vec<_> = (0..255).map(deep).collect();
        let schema = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d255":true}}}}"##, definitions.join(","));
        let on_small_stack = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
            let schema = InputSchema::parse(&schema)?;
            Ok::<_, Invalid>(schema.check(&Payload::null(), "input").is_ok())
        });
        let compiled = on_small_stack.unwrap().join().expect("no panic");
        assert!(compiled.is_err() || compiled == Ok(false), "{compiled:?}");
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
