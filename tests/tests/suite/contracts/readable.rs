//! What a schema of the SDK accepts, the task can read: both sides, with the same input.
//!
//! The host checks an input against the schema that the SDK derives of a type, and stores it as it was sent. The task then reads it into that
//! type. So whatever the check accepts must be read, and whatever the type itself writes must be accepted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::num::*;

use proptest::prelude::*;
use runlater::Payload;
use runlater::model::InputSchema;
use runlater_task::__private::{input_schema, read_input};
use runlater_task::{Duration, Instant, JsonSchema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Everything that this test asks of a type.
trait Input: JsonSchema + Serialize + DeserializeOwned + PartialEq + Debug + 'static {}
impl<T: JsonSchema + Serialize + DeserializeOwned + PartialEq + Debug + 'static> Input for T {}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Fields<T> {
    value: T,
    more: Option<T>,
    #[serde(default)]
    flag: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Closed<T> {
    value: T,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Wrapped<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum External<T> {
    Plain,
    New(T),
    Pair(T, T),
    Named { value: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Internal<T> {
    Plain,
    Named { value: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "content", deny_unknown_fields)]
enum Adjacent<T> {
    Plain,
    New(T),
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Untagged<T> {
    Bare(T),
    Text(String),
    Named { value: T },
}

/// Inputs of every shape above, around one piece of JSON: right ones, and ones with a key too many, too few or twice.
const FRAMES: [&str; 24] = [
    "#",
    " # ",
    "[#]",
    "[#,#]",
    "[#,#,#]",
    "[#,true]",
    "{}",
    r#"{"value":#}"#,
    r#"{"value":#,"more":null}"#,
    r#"{"value":#,"more":#}"#,
    r#"{"value":#,"value":#}"#,
    r#"{"value":#,"other":#}"#,
    r#"{"New":#}"#,
    r#"{"New":#,"Plain":null}"#,
    r#"{"New":#,"New":#}"#,
    r#"{"Pair":[#,#]}"#,
    r#"{"Pair":[#]}"#,
    r#"{"Named":{"value":#}}"#,
    r#"{"kind":"Named","value":#}"#,
    r#"{"kind":"Plain","value":#}"#,
    r#"{"kind":"New","content":#}"#,
    r#"{"kind":"New","content":#,"other":1}"#,
    r#"{"kind":"New"}"#,
    r#""Plain""#,
];

/// One type, with its schema as the host compiled it.
struct Case {
    name: String,
    check: Box<dyn Fn(&str) -> Result<bool, String>>,
}

impl Case {
    fn of<T: Input>() -> Self {
        let name = std::any::type_name::<T>().to_string();
        let schema = InputSchema::parse(&input_schema::<T>().expect("it has one")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let accepts = move |text: &str| {
            let input = Payload::json(text.as_bytes(), "input")?;
            schema.check(&input, "input").map(|()| input)
        };
        let check = move |text: &str| {
            let accepted = accepts(text).is_ok();
            let read = match read_input::<T>(text.as_bytes()) {
                Ok(read) => read,
                Err(failure) if accepted => return Err(format!("accepted, and the task says: {}", failure.reason())),
                Err(_) => return Ok(false),
            };
            let written = serde_json::to_string(&read).map_err(|error| error.to_string())?;
            // Floating point numbers may come back with another last digit; infinity, which is no JSON, does not come back.
            let comes_back = match read_input::<T>(written.as_bytes()) {
                Ok(again) => again == read || written.contains('.'),
                Err(_) => false,
            };
            match (accepted, comes_back) {
                (true, false) => return Err(format!("{read:?} is written as {written}, which is read as something else")),
                (false, false) => return Ok(false),
                (_, true) => {}
            }
            // What is refused may be readable, but what the type writes of it is accepted in any case.
            accepts(&written).map_err(|invalid| format!("the type writes {written}: {invalid}"))?;
            Ok(accepted)
        };
        Self { name, check: Box::new(check) }
    }

    /// A type and everything that can hold it.
    fn around<T: Input>() -> Vec<Self> {
        vec![
            Self::of::<T>(),
            Self::of::<Option<T>>(),
            Self::of::<Box<T>>(),
            Self::of::<Vec<T>>(),
            Self::of::<[T; 2]>(),
            Self::of::<(T,)>(),
            Self::of::<(T, bool)>(),
            Self::of::<BTreeMap<String, T>>(),
            Self::of::<HashMap<String, Option<T>>>(),
            Self::of::<Fields<T>>(),
            Self::of::<Closed<T>>(),
            Self::of::<Wrapped<T>>(),
            Self::of::<External<T>>(),
            Self::of::<Internal<T>>(),
            Self::of::<Adjacent<T>>(),
            Self::of::<Untagged<T>>(),
            Self::of::<Vec<Fields<Option<T>>>>(),
        ]
    }

    /// Checks one input; whether it was accepted.
    fn judge(&self, text: &str) -> bool {
        (self.check)(text).unwrap_or_else(|why| panic!("{} and {text}: {why}", self.name))
    }
}

fn numeric() -> Vec<Vec<Case>> {
    vec![
        Case::around::<u8>(),
        Case::around::<u16>(),
        Case::around::<u32>(),
        Case::around::<u64>(),
        Case::around::<usize>(),
        Case::around::<i8>(),
        Case::around::<i16>(),
        Case::around::<i32>(),
        Case::around::<i64>(),
        Case::around::<isize>(),
        Case::around::<NonZeroU8>(),
        Case::around::<NonZeroU16>(),
        Case::around::<NonZeroU32>(),
        Case::around::<NonZeroU64>(),
        Case::around::<NonZeroI8>(),
        Case::around::<NonZeroI16>(),
        Case::around::<NonZeroI32>(),
        Case::around::<NonZeroI64>(),
        Case::around::<f32>(),
        Case::around::<f64>(),
    ]
}

/// An integer in every spelling that JSON has for it, and what lies beside it.
fn spellings(value: i128) -> Vec<String> {
    let mut all = vec![
        format!("{value}"),
        format!("{value}.0"),
        format!("{value}.5"),
        format!("{value}e0"),
        format!("{value}E+0"),
        format!("{value}0e-1"),
        format!("{value}00.0e-2"),
        format!("-{}", value.unsigned_abs()),
    ];
    if value % 10 == 0 {
        all.push(format!("{}e1", value / 10));
    }
    all
}

/// The borders of all types, and the numbers around them.
fn borders() -> Vec<i128> {
    let powers = [0u32, 7, 8, 15, 16, 31, 32, 52, 53, 63, 64, 65, 127 - 1].map(|power| 1i128 << power);
    powers.into_iter().flat_map(|power| [power, -power]).flat_map(|power| [power - 1, power, power + 1]).collect()
}

/// What is no integer, and no number.
const OTHERS: [&str; 26] = [
    "0",
    "-0",
    "-0.0",
    "0e0",
    "0.1",
    "1e3",
    "1e19",
    "1e20",
    "1E400",
    "-1E400",
    "1e-400",
    "5e-324",
    "1e-46",
    "3.4028235e38",
    "-3.4028235e38",
    "3.4028236e38",
    "3.5e38",
    "1.7976931348623157e308",
    "1.8e308",
    "1e308",
    "null",
    "true",
    "\"1\"",
    "[]",
    "{}",
    "\"\"",
];

#[test]
fn every_number_at_a_border_that_is_accepted_is_read() {
    let texts: Vec<_> = borders().into_iter().flat_map(spellings).chain(OTHERS.map(str::to_owned)).collect();
    for cases in numeric() {
        // The bare type, with every number; what holds it has the same schema inside.
        let accepted = texts.iter().filter(|text| cases[0].judge(text)).count();
        assert!(accepted > 3 && accepted < texts.len(), "{}: {accepted} of {}", cases[0].name, texts.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_holds_a_number_is_read_if_it_is_accepted(
        border in prop::sample::select(borders()),
        spelling in 0usize..8,
        other in prop::sample::select(OTHERS.to_vec()),
        any in any::<i64>(),
        float in any::<f64>(),
    ) {
        let border = spellings(border).swap_remove(spelling);
        let texts = [border, other.to_owned(), any.to_string(), format!("{float:e}")];
        for case in numeric().iter().flatten() {
            for text in &texts {
                for frame in FRAMES {
                    case.judge(&frame.replace('#', text));
                }
            }
        }
    }

    #[test]
    fn what_numbers_write_is_accepted(value: u64, float: f32, double: f64) {
        let cases = [Case::of::<u64>(), Case::of::<i64>(), Case::of::<f32>(), Case::of::<f64>()];
        let [unsigned, signed, single, exact] = &cases;
        prop_assert!(unsigned.judge(&value.to_string()) && signed.judge(&(value as i64).to_string()));
        prop_assert_eq!(single.judge(&serde_json::to_string(&float).unwrap()), float.is_finite());
        prop_assert_eq!(exact.judge(&serde_json::to_string(&double).unwrap()), double.is_finite());
    }
}

#[test]
fn the_frames_that_no_type_accepts_are_those_with_a_key_too_many_or_too_few() {
    let cases = Case::around::<u32>();
    let refused: Vec<_> = FRAMES.into_iter().filter(|frame| !cases.iter().any(|case| case.judge(&frame.replace('#', "7")))).collect();
    let expected = [
        r#"{"value":#,"value":#}"#,
        r#"{"New":#,"New":#}"#,
        r#"{"Pair":[#]}"#,
        r#"{"kind":"New","content":#,"other":1}"#,
        r#"{"kind":"New"}"#,
    ];
    assert_eq!(refused, expected);
}

#[test]
fn texts_with_a_form_are_read_if_they_are_accepted() {
    let (instant, duration, letter) = (Case::around::<Instant>(), Case::around::<Duration>(), Case::around::<char>());
    for (cases, text, accepted) in [
        (&instant, "2027-03-14T15:09:26Z", true),
        (&instant, "2024-02-29T00:00:00Z", true),
        (&instant, "2000-02-29T23:59:59.123456789+02:00", true),
        (&instant, "2026-02-29T00:00:00Z", false),
        (&instant, "1900-02-29T00:00:00Z", false),
        (&instant, "2026-04-31T00:00:00Z", false),
        (&instant, "2026-04-30T24:00:00Z", false),
        (&instant, "2026-04-30T23:59:60Z", false),
        (&instant, "2026-04-30T23:59:59.Z", false),
        (&instant, "2026-04-30T23:59:59.1234567890Z", false),
        (&instant, "2026-04-30T23:59:59", false),
        (&instant, "2026-04-30 23:59:59Z", false),
        (&instant, "2026-04-30T23:59:59Z\\n", false),
        (&instant, "tomorrow", false),
        (&duration, "0s", true),
        (&duration, "1h30m", true),
        (&duration, "250ms", true),
        (&duration, "00000000000000000000001s", true),
        (&duration, "213503d23h34m33s709ms", true),
        (&duration, "213504d", false),
        (&duration, "99999999999999999999s", false),
        (&duration, "18446744073710s", false),
        (&duration, "", false),
        (&duration, "5", false),
        (&duration, "5w", false),
        (&letter, "a", true),
        (&letter, "\u{1f600}", true),
        (&letter, "", false),
        (&letter, "ab", false),
        (&letter, "\\ud800", false),
    ] {
        assert_eq!(cases[0].judge(&format!("\"{text}\"")), accepted, "{} {text}", cases[0].name);
        for case in cases {
            FRAMES.iter().for_each(|frame| _ = case.judge(&frame.replace('#', &format!("\"{text}\""))));
        }
    }
    let sets = Case::around::<BTreeSet<u8>>();
    for text in ["[]", "[1,1,255]", "[256]", "[1.0]", "null"] {
        sets.iter().for_each(|case| FRAMES.iter().for_each(|frame| _ = case.judge(&frame.replace('#', text))));
    }
}

#[test]
fn a_component_of_before_keeps_its_schema() {
    // As the SDK derived it before it said ranges.
    let schema = InputSchema::parse(r#"{"type":"object","properties":{"times":{"type":"integer","minimum":0}},"required":[]}"#).unwrap();
    let fits = |text: &str| schema.check(&Payload::json(text.as_bytes(), "input").unwrap(), "input").is_ok();
    assert!(fits(r#"{"times":4294967296}"#) && fits("{}") && !fits(r#"{"times":1.0}"#) && !fits(r#"{"times":-1}"#));
}
