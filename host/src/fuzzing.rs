//! What fuzzers call: one function for each parser that takes bytes from outside.
//!
//! `cargo fuzz` searches for inputs (`tests/fuzz`), and the test suite replays the corpus that is kept there. A function accepts all bytes; it
//! panics if the parser does, or if a value that was accepted does not survive being written and read again. Only with the feature `fuzzing`.

use std::time::Duration;

use crate::model::{
    CronRule, Cursor, InputSchema, List, NamespaceId, Order, Payload, RunFilter, Timestamp, format_duration, parse_duration,
    parse_duration_floor, parse_entry, write_entry,
};
use crate::zones::Zones;

/// The function of one target.
pub type Target = fn(&[u8]);

/// Every target, under the name of its program in `tests/fuzz/fuzz_targets` and of its folder in `tests/fuzz/corpus`.
pub const TARGETS: [(&str, Target); 12] = [
    ("component", crate::executor::wasm::fuzz_component),
    ("cached_code", crate::executor::wasm::fuzz_cached_code),
    ("grpc_frames", crate::hatchet::fuzz_frames),
    ("protobuf", crate::hatchet::fuzz_messages),
    ("http_body", crate::http::fuzz_body),
    ("metadata_filter", metadata_filter),
    ("cursor", cursor),
    ("cron", cron),
    ("time", time),
    ("duration", duration),
    ("input_schema", input_schema),
    ("database_row", crate::storage::sqlite::fuzz_row),
];

/// Calls the target of this name.
///
/// # Panics
/// If there is none, and if it has found something.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap_or_else(|| panic!("there is no target {name}"));
    target(bytes);
}

/// A time within the range of every host.
fn some_time() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_123_457).expect("in the year 2027")
}

/// The expression, then after a line break the name of a zone.
fn cron(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (expression, zone) = text.split_once('\n').unwrap_or((text, "Europe/Prague"));
    thread_local! {
        static ZONES: Zones = Zones::bundled();
    }
    let Ok(zone) = ZONES.with(|zones| zones.zone(zone)) else { return };
    let now = some_time();
    let Ok(rule) = CronRule::new(expression, zone.clone(), now, None, Duration::ZERO) else { return };
    let again = CronRule::new(rule.text(), zone, now, None, Duration::ZERO).expect("what was accepted is accepted again");
    let next = rule.next_after(now);
    assert_eq!(next, again.next_after(now));
    let Some(next) = next else { return };
    assert!(next > now, "{next} is not after {now}");
    let before = Timestamp::from_micros(next.as_micros() - 1).expect("between two valid times");
    assert_eq!(rule.next_after(before), Some(next), "an occurrence is found from just before it");
}

fn time(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (up, down) = (Timestamp::parse(text, "at"), Timestamp::parse_floor(text, "at"));
    assert_eq!(up.is_ok(), down.is_ok());
    let (Ok(up), Ok(down)) = (up, down) else { return };
    assert!((0..=1).contains(&(up.as_micros() - down.as_micros())), "{down} to {up}");
    assert_eq!(Timestamp::parse(&up.to_string(), "at").expect("what is written is read"), up);
}

fn duration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (up, down) = (parse_duration(text, "after"), parse_duration_floor(text, "after"));
    assert_eq!(up.is_ok(), down.is_ok());
    let (Ok(up), Ok(down)) = (up, down) else { return };
    assert!(up >= down && up - down <= Duration::from_micros(1));
    assert_eq!(parse_duration(&format_duration(up), "after").expect("what is written is read"), up);
}

fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (filter, key, now) = (RunFilter::default(), [7; 32], some_time());
    let list = List { namespace: NamespaceId(1), filter: &filter, order: Order::default() };
    assert!(Cursor::parse_sealed(text, list, &key, now).is_err(), "a cursor that nobody gave out");
    let Ok(cursor) = Cursor::parse(text) else { return };
    assert_eq!(Cursor::parse(&cursor.to_text()).expect("what is written is read"), cursor);
    let sealed = cursor.to_sealed(list, &key, now);
    assert_eq!(Cursor::parse_sealed(&sealed, list, &key, now).expect("what is sealed is opened"), cursor);
}

/// An entry as the command line takes it, and a query string.
fn metadata_filter(bytes: &[u8]) {
    crate::http::fuzz_list_query(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok((key, value)) = parse_entry(text) else { return };
    assert_eq!(parse_entry(&write_entry(&key, &value)).expect("what is written is read"), (key, value));
}

/// A schema, then after a byte of zero an input.
fn input_schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (schema, input) = text.split_once('\0').unwrap_or((text, "{}"));
    let (Ok(schema), Ok(input)) = (InputSchema::parse(schema), Payload::json(input.as_bytes(), "input")) else { return };
    let _ = schema.check(&input, "input");
}
