//! What stands in `#[task(…)]`, and what is wrong with it.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser as _;
use syn::{LitInt, LitStr, Result};

use crate::cron::{Cron, ONLY_CRON};
use crate::policies::{self, Policies};

/// The attributes of a task, checked as far as that needs no clock.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) max_attempts: Option<LitInt>,
    pub(crate) timeout: Option<LitStr>,
    pub(crate) retry_delay: Option<(LitStr, LitStr)>,
    pub(crate) retry_delays: Option<Vec<LitStr>>,
    pub(crate) priority: Option<LitInt>,
    pub(crate) policies: Policies,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) crons: Vec<Cron>,
    timezone: Option<LitStr>,
}

/// One run at a fixed time.
pub(crate) struct Schedule {
    pub(crate) key: LitStr,
    pub(crate) at: LitStr,
    pub(crate) input: Option<LitStr>,
}

const KNOWN: &str = "name, max_attempts, timeout, retry_delay, retry_delays, priority, concurrency, concurrency_per_task, overlap, lane, rate, \
                     missed, missed_window, missed_max, start_deadline, cancel_grace, on_failure, keep_for, keep_last, schedule, \
                     cron, timezone";
const KNOWN_OF_SCHEDULE: &str = "key, at, input";

pub(crate) fn parse(tokens: TokenStream) -> Result<Attributes> {
    let mut parsed = Attributes::default();
    let parser = syn::meta::parser(|meta| attribute(&mut parsed, &meta));
    parser.parse2(tokens)?;
    parsed.policies.check()?;
    if let Some(timezone) = parsed.timezone.take() {
        match parsed.crons.iter_mut().find(|cron| cron.key.value() == ONLY_CRON) {
            Some(cron) if cron.timezone.is_none() => cron.timezone = Some(timezone),
            _ => return Err(syn::Error::new(timezone.span(), "says by which clocks a cron goes: give it with `cron = \"…\"`")),
        }
    }
    Ok(parsed)
}

fn attribute(parsed: &mut Attributes, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match meta.path.get_ident().map(ToString::to_string).as_deref() {
        Some("name") => {
            let name: LitStr = meta.value()?.parse()?;
            check_name(&name.value()).map_err(|reason| syn::Error::new(name.span(), reason))?;
            set(&mut parsed.name, name, meta)
        }
        Some("max_attempts") => set(&mut parsed.max_attempts, within(meta, 1, 100)?, meta),
        Some("timeout") => set(&mut parsed.timeout, meta.value()?.parse()?, meta),
        Some("retry_delay") => set(&mut parsed.retry_delay, range(&meta.value()?.parse()?)?, meta),
        Some("retry_delays") => {
            let text: LitStr = meta.value()?.parse()?;
            let delays = text.value().split(',').map(|delay| LitStr::new(delay.trim(), text.span())).collect();
            set(&mut parsed.retry_delays, delays, meta)
        }
        Some("priority") => set(&mut parsed.priority, within(meta, 1, 3)?, meta),
        Some("schedule") => {
            let schedule = schedule(meta)?;
            if parsed.schedules.iter().any(|other| other.key.value() == schedule.key.value()) {
                return Err(syn::Error::new(schedule.key.span(), "another schedule of this task has the same key"));
            }
            parsed.schedules.push(schedule);
            Ok(())
        }
        Some(name) if policies::KNOWN.contains(&name) => parsed.policies.attribute(name, meta),
        Some("cron") => {
            let cron = Cron::parse(meta)?;
            if parsed.crons.iter().any(|other| other.key.value() == cron.key.value()) {
                return Err(syn::Error::new(cron.key.span(), "another cron of this task has the same key"));
            }
            parsed.crons.push(cron);
            Ok(())
        }
        Some("timezone") => set(&mut parsed.timezone, meta.value()?.parse()?, meta),
        Some(other) => Err(meta.error(format!("unknown attribute `{other}` of a task; known are: {KNOWN}"))),
        None => Err(meta.error(format!("expected one of the attributes of a task: {KNOWN}"))),
    }
}

pub(crate) fn set<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if slot.replace(value).is_some() { Err(meta.error("this attribute is given twice")) } else { Ok(()) }
}

pub(crate) fn within(meta: &ParseNestedMeta<'_>, min: u32, max: u32) -> Result<LitInt> {
    let number: LitInt = meta.value()?.parse()?;
    match number.base10_parse::<u32>() {
        Ok(value) if (min..=max).contains(&value) => Ok(number),
        _ => Err(syn::Error::new(number.span(), format!("expected a number from {min} to {max}"))),
    }
}

fn range(text: &LitStr) -> Result<(LitStr, LitStr)> {
    match text.value().split_once("..") {
        Some((base, max)) => Ok((LitStr::new(base, text.span()), LitStr::new(max, text.span()))),
        None => Err(syn::Error::new(text.span(), "expected the first delay and the longest one, for example \"10s..6h\"")),
    }
}

fn schedule(meta: &ParseNestedMeta<'_>) -> Result<Schedule> {
    let (mut key, mut at, mut input) = (None, None, None);
    meta.parse_nested_meta(|meta| match meta.path.get_ident().map(ToString::to_string).as_deref() {
        Some("key") => set(&mut key, meta.value()?.parse()?, &meta),
        Some("at") => set(&mut at, meta.value()?.parse()?, &meta),
        Some("input") => set(&mut input, meta.value()?.parse()?, &meta),
        _ => Err(meta.error(format!("unknown attribute of a schedule; known are: {KNOWN_OF_SCHEDULE}"))),
    })?;
    match (key, at) {
        (Some(key), Some(at)) => Ok(Schedule { key, at, input }),
        _ => Err(meta.error("a schedule needs `key` and `at`, for example schedule(key = \"new-year\", at = \"2030-01-01T00:00:00Z\")")),
    }
}

/// The names that the contract allows, so that a bad one fails the build and not the registration.
pub(crate) fn check_name(name: &str) -> std::result::Result<(), String> {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if first && name.len() <= 128 && name.bytes().all(inner) {
        return Ok(());
    }
    Err(format!(
        "`{name}` can't be the name of a task: 1 to 128 of a-z 0-9 . _ - and a letter or digit first; \
         give it another with #[task(name = \"…\")]"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(attributes: &str) -> String {
        parse(attributes.parse().unwrap()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn every_attribute_is_read() {
        let text = r#"name = "send-mail", max_attempts = 5, timeout = "30s", retry_delay = "10s..6h", retry_delays = "1s, 10s", priority = 2,
            concurrency = 1, concurrency_per_task = 10, overlap = "buffer-one", lane = "input.customer.id", rate = "10/m", missed = "all",
            missed_window = "3d", missed_max = 7, start_deadline = "5m", cancel_grace = "1s", on_failure = "alert", keep_for = "7d", keep_last = 0,
            schedule(key = "a", at = "2030-01-01T00:00:00Z"), schedule(key = "b", at = "2031-01-01T00:00:00Z", input = "{}"),
            cron = "0 9 * * 1-5", timezone = "Europe/Prague", cron(key = "nightly", expression = "@daily", input = "{}",
                timezone = "UTC", start = "2030-01-01T00:00:00Z", end = "2031-01-01T00:00:00Z", max_count = 9, jitter = "5m",
                metadata = "team=billing, tier=gold", priority = 2, missed = "all", missed_window = "2d", missed_max = 5)"#;
        let parsed = parse(text.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(parsed.name.unwrap().value(), "send-mail");
        assert_eq!(parsed.retry_delay.map(|(base, max)| (base.value(), max.value())), Some(("10s".into(), "6h".into())));
        assert_eq!(parsed.schedules.len(), 2);
        let crons = parsed.crons.iter().map(|cron| (cron.key.value(), cron.timezone.as_ref().map(LitStr::value)));
        assert_eq!(crons.collect::<Vec<_>>(), [("cron".into(), Some("Europe/Prague".into())), ("nightly".into(), Some("UTC".into()))]);
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (attributes, expected) in [
            (
                "max_attempt = 5",
                "unknown attribute `max_attempt` of a task; known are: name, max_attempts, timeout, retry_delay, retry_delays, priority, \
                 concurrency, concurrency_per_task, overlap, lane, rate, missed, missed_window, missed_max, start_deadline, cancel_grace, \
                 on_failure, keep_for, keep_last, schedule, cron, timezone",
            ),
            ("max_attempts = 0", "expected a number from 1 to 100"),
            ("priority = 4", "expected a number from 1 to 3"),
            ("priority = 1, priority = 2", "this attribute is given twice"),
            ("concurrency = 0", "expected a number from 1 to 100000"),
            ("concurrency = 1, concurrency = 2", "this attribute is given twice"),
            ("overlap = \"skip\"", "unknown overlap `skip`; write \"queue\", \"skip-new\", \"cancel-running\" or \"buffer-one\""),
            ("lane = \"customer\"", "unknown lane `customer`; write \"constant\", \"input.\" and a path, or \"metadata.\" and a key"),
            ("rate = \"10\"", "`10` is no rate; write 1 to 1000000 starts in a unit, for example \"10/s\", \"600/m\" or \"5/h\""),
            ("missed = \"some\"", "unknown `missed` policy `some`; write \"skip\", \"latest\" or \"all\""),
            ("missed_max = 7", "says how many missed runs run: give it with `missed = \"all\"`"),
            ("on_failure = \"Alert\"", "`Alert` can't be the name of a task: 1 to 128 of a-z 0-9 . _ - and a letter or digit first"),
            ("keep_last = 1000000001", "expected a number from 0 to 1000000000"),
            ("retry_delay = \"10s\"", "expected the first delay and the longest one, for example \"10s..6h\""),
            (
                "schedule(key = \"a\")",
                "a schedule needs `key` and `at`, for example schedule(key = \"new-year\", at = \"2030-01-01T00:00:00Z\")",
            ),
            ("schedule(key = \"a\", when = \"\")", "unknown attribute of a schedule; known are: key, at, input"),
            (
                "cron(key = \"a\")",
                "a cron needs `key` and `expression`, for example cron(key = \"mornings\", expression = \"0 9 * * 1-5\")",
            ),
            (
                "cron(key = \"a\", expression = \"@daily\", when = \"\")",
                "unknown attribute of a cron; known are: key, expression, timezone, start, end, max_count, jitter, input, metadata, priority, \
                 missed, missed_window, missed_max",
            ),
            (
                "cron(key = \"a\", expression = \"@daily\", missed_max = 2)",
                "says which missed occurrences run: give it with `missed = \"all\"`",
            ),
            ("cron(key = \"a\", expression = \"@daily\", metadata = \"billing\")", "expected entries such as \"team=billing, tier=gold\""),
            (
                "cron(key = \"a\", expression = \"@daily\", metadata = \"a:b=c\")",
                "a key with `:` or `\"` can't be written here; create the cron at run time",
            ),
            ("timezone = \"UTC\"", "says by which clocks a cron goes: give it with `cron = \"…\"`"),
            ("cron = \"@daily\", cron = \"@hourly\"", "another cron of this task has the same key"),
        ] {
            assert_eq!(error(attributes), expected);
        }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        for name in ["a", "send-mail", "a.b_c-9", "9", &"x".repeat(128)] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "Send", "-a", "_a", "a b", "ä", &"x".repeat(129)] {
            assert!(check_name(name).is_err_and(|reason| reason.contains("can't be the name of a task")), "{name}");
        }
    }
}
