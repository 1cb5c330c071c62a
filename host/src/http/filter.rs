//! Filters and pages, as a query string and as JSON.
//!
//! Both forms have the same names, so that what lists runs also names them in a bulk request. Used by the server to read and by
//! the client to write.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::shapes::written;
use crate::model::{
    Cursor, Invalid, Metadata, Name, Order, Origin, Page, RunFilter, RunId, Status, Timestamp, limits, parse_entry, write_entry,
};

/// Conditions on runs, of which all must hold. Without any, all runs match: lists take such a filter, bulk requests refuse it.
///
/// In JSON, a condition that is null or has no values is refused: it would match more than its author meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// One of these tasks.
    #[serde(deserialize_with = "some_of", skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<String>,
    /// One of these statuses.
    #[serde(deserialize_with = "some_of", skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
    /// One of these origins.
    #[serde(deserialize_with = "some_of", skip_serializing_if = "Vec::is_empty")]
    pub origin: Vec<String>,
    /// All of these entries.
    #[serde(deserialize_with = "some_entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// A follow-up of this run.
    #[serde(deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// A follow-up of this run at whatever depth: of the chain that began with it.
    #[serde(deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Trigger time at or after this.
    #[serde(deserialize_with = "written::not_null", skip_serializing_if = "Option::is_none")]
    pub trigger_from: Option<String>,
    /// Trigger time before this.
    #[serde(deserialize_with = "written::not_null", skip_serializing_if = "Option::is_none")]
    pub trigger_before: Option<String>,
}

impl Filter {
    /// Checks it.
    pub fn parse(&self) -> Result<RunFilter, Invalid> {
        let time = |text: &Option<String>, field| text.as_deref().map(|text| Timestamp::parse(text, field)).transpose();
        RunFilter {
            tasks: self.task.iter().map(|task| Name::parse(task, "task")).collect::<Result<_, _>>()?,
            statuses: self.status.iter().map(|status| Status::parse(status)).collect::<Result<_, _>>()?,
            origins: self.origin.iter().map(|origin| Origin::parse(origin)).collect::<Result<_, _>>()?,
            metadata: Metadata::from_entries(&self.metadata)?,
            parent: self.parent.as_deref().map(|parent| RunId::parse(parent, "parent")).transpose()?,
            root: self.root.as_deref().map(|root| RunId::parse(root, "root")).transpose()?,
            trigger_from: time(&self.trigger_from, "trigger_from")?,
            trigger_before: time(&self.trigger_before, "trigger_before")?,
        }
        .checked()
    }

    /// Whether every run matches.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parameters of the query string.
    pub fn to_query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.task.iter().map(|task| ("task", task.clone())));
        query.extend(self.status.iter().map(|status| ("status", status.clone())));
        query.extend(self.origin.iter().map(|origin| ("origin", origin.clone())));
        query.extend(self.metadata.iter().map(|(key, value)| ("metadata", write_entry(key, value))));
        query.extend(self.parent.iter().map(|parent| ("parent", parent.clone())));
        query.extend(self.root.iter().map(|root| ("root", root.clone())));
        query.extend(self.trigger_from.iter().map(|from| ("trigger_from", from.clone())));
        query.extend(self.trigger_before.iter().map(|before| ("trigger_before", before.clone())));
        query
    }
}

/// Which runs, and which portion of them: the query string of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Which runs.
    pub filter: Filter,
    /// How many in a page.
    pub limit: Option<String>,
    /// Where the page begins.
    pub cursor: Option<String>,
    /// In which order.
    pub order: Option<String>,
}

impl ListQuery {
    /// Reads the parameters of a query string. Unknown ones, and a second value where there can be one, are refused: a filter
    /// that is silently wider than meant would show too much, or delete it.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, Invalid> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let filter = &mut query.filter;
            let single = match name.as_str() {
                "task" => {
                    filter.task.push(value);
                    continue;
                }
                "status" => {
                    filter.status.push(value);
                    continue;
                }
                "origin" => {
                    filter.origin.push(value);
                    continue;
                }
                "metadata" => {
                    let (key, value) = parse_entry(&value)?;
                    add_entry(&mut filter.metadata, key, value)?;
                    continue;
                }
                "parent" => &mut filter.parent,
                "root" => &mut filter.root,
                "trigger_from" => &mut filter.trigger_from,
                "trigger_before" => &mut filter.trigger_before,
                "limit" => &mut query.limit,
                "cursor" => &mut query.cursor,
                "order" => &mut query.order,
                _ => {
                    return Err(unknown_parameter(
                        &name,
                        "task, status, origin, metadata, parent, root, trigger_from, trigger_before, order, limit, cursor",
                    ));
                }
            };
            if name.starts_with("trigger_") {
                check_plus(&name, &value)?;
            }
            if single.replace(value).is_some() {
                return Err(Invalid::new("invalid-parameter", name, "given twice"));
            }
        }
        Ok(query)
    }

    /// Checks the portion. `open` reads the cursor of a list in this order.
    pub fn page(&self, open: impl FnOnce(&str, Order) -> Result<Cursor, Invalid>) -> Result<Page, Invalid> {
        let size = match &self.limit {
            None => limits::PAGE_SIZE_DEFAULT,
            Some(limit) => limit.parse().map_err(|_| {
                Invalid::new("invalid-page-size", "limit", format!("a page has 1 to {} runs", limits::PAGE_SIZE_MAX)).seen(limit)
            })?,
        };
        let order = self.order.as_deref().map(Order::parse).transpose()?.unwrap_or_default();
        let cursor = self.cursor.as_deref().map(|cursor| open(cursor, order)).transpose()?;
        Page::new(size, cursor, order)
    }
}

/// Adds an entry to those that a request gives one by one.
///
/// # Errors
/// `invalid-metadata` for two values under one key: no run has both.
pub fn add_entry(entries: &mut BTreeMap<String, String>, key: String, value: String) -> Result<(), Invalid> {
    if entries.get(&key).is_some_and(|before| *before != value) {
        let field = format!("metadata.{}", key.chars().take(64).collect::<String>());
        return Err(Invalid::new("invalid-metadata", field, "no run has two values under one key").seen(value));
    }
    entries.insert(key, value);
    Ok(())
}

/// Refuses a time whose `+` was not encoded: a query string means a space by it.
fn check_plus(field: &str, time: &str) -> Result<(), Invalid> {
    let Some((date_time, offset)) = time.rsplit_once(' ') else { return Ok(()) };
    if Timestamp::parse(&format!("{date_time}+{offset}"), field).is_err() {
        return Ok(());
    }
    let reason = format!("a + in a query string means a space; write %2B: {date_time}%2B{offset}");
    Err(Invalid::new("invalid-time", field, reason).seen(time))
}

/// What a message of these deserializers begins with: `json.rs` gives it the code `empty-filter`.
pub(super) const EMPTY_CONDITION: &str = "empty condition";

const EMPTY_ADVICE: &str = "leave it out, or name at least one value; to mean every run, a bulk change takes \"all\": true";

/// A list with at least one value.
fn some_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(deserializer)?.filter(|values: &Vec<String>| !values.is_empty()).ok_or_else(empty)
}

/// An object with at least one entry.
fn some_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Option::deserialize(deserializer)?.filter(|entries: &BTreeMap<String, String>| !entries.is_empty()).ok_or_else(empty)
}

/// A field that may be left out, but not null.
pub(super) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)?.ok_or_else(empty).map(Some)
}

/// An object that may be left out, but not null. Serde would read a list as an object whose fields are given in order.
pub(super) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
            match list.next_element::<IgnoredAny>()? {
                None => Err(empty()),
                Some(_) => Err(serde::de::Error::invalid_type(Unexpected::Seq, &self)),
            }
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<T, E> {
            Err(empty())
        }
    }
    deserializer.deserialize_any(Object(PhantomData)).map(Some)
}

/// A list of objects that may be left out, but not null.
pub(super) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<T>>, D::Error> {
    struct Item<T>(Option<T>);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            object(deserializer).map(Self)
        }
    }
    let items: Option<Vec<Item<T>>> = not_null(deserializer)?;
    Ok(items.map(|items| items.into_iter().filter_map(|Item(item)| item).collect()))
}

fn empty<E: serde::de::Error>() -> E {
    E::custom(format!("{EMPTY_CONDITION}: {EMPTY_ADVICE}"))
}

/// A parameter that an endpoint does not have.
pub(super) fn unknown_parameter(name: &str, known: &str) -> Invalid {
    Invalid::new("unknown-parameter", "query", format!("there is no such parameter; there are: {known}")).seen(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<(String, String)> {
        text.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn queries_are_read_as_they_are_written() {
        let filter = Filter {
            task: vec!["a".into(), "b".into()],
            status: vec!["failed".into()],
            metadata: [("customer".to_string(), "7:x".to_string()), ("a:b=\"c".to_string(), "1".to_string())].into(),
            trigger_from: Some("2027-03-14T15:09:26Z".into()),
            ..Filter::default()
        };
        let written = filter.to_query().into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        assert_eq!(ListQuery::from_pairs(written).unwrap().filter, filter);
        let parsed = filter.parse().unwrap();
        assert_eq!((parsed.tasks.len(), parsed.metadata.get("customer")), (2, Some("7:x")));
        assert!(Filter::default().is_empty() && !filter.is_empty());
    }

    #[test]
    fn bad_queries_are_refused() {
        for (query, code) in [
            (vec![("tsak", "x")], "unknown-parameter"),
            (vec![("limit", "1"), ("limit", "2")], "invalid-parameter"),
            (vec![("metadata", "novalue")], "invalid-metadata"),
            (vec![("metadata", "a:b=c")], "invalid-metadata"),
            (vec![("task", "")], "invalid-name"),
            (vec![("metadata", "")], "invalid-metadata"),
            (vec![("trigger_from", "")], "invalid-time"),
            (vec![("metadata", "k:1"), ("metadata", "k:2")], "invalid-metadata"),
            (vec![("limit", "0")], "invalid-page-size"),
            (vec![("limit", "501")], "invalid-page-size"),
            (vec![("limit", "-1")], "invalid-page-size"),
            (vec![("cursor", "x")], "bad-cursor"),
            (vec![("order", "random")], "invalid-order"),
            (vec![("status", "done")], "invalid-status"),
            (vec![("task", "../x")], "invalid-name"),
            (vec![("parent", "7")], "invalid-id"),
            (vec![("root", "7")], "invalid-id"),
            (vec![("trigger_before", "tomorrow")], "invalid-time"),
        ] {
            let refused = ListQuery::from_pairs(pairs(&query))
                .and_then(|query| query.page(|text, _| Cursor::parse(text)).map(|_| query))
                .and_then(|query| query.filter.parse());
            assert_eq!(refused.unwrap_err().code, code, "{query:?}");
        }
    }

    #[test]
    fn a_plus_that_became_a_space_is_told() {
        for (time, told) in [
            ("2027-01-01T00:00:00 02:00", true),
            ("2027-01-01T00:00:00.5 02:00", true),
            ("2027-01-01 00:00:00", false),
            ("next week", false),
            (" ", false),
        ] {
            let refused = ListQuery::from_pairs(pairs(&[("trigger_from", time)])).and_then(|query| query.filter.parse()).unwrap_err();
            assert_eq!((refused.code, refused.field.as_str()), ("invalid-time", "trigger_from"), "{time}");
            assert_eq!(refused.reason.contains("%2B"), told, "{time}: {}", refused.reason);
        }
    }

    #[test]
    fn a_condition_of_nothing_is_refused() {
        for body in [
            r#"{"task":[]}"#,
            r#"{"task":null}"#,
            r#"{"status":["failed"],"origin":[]}"#,
            r#"{"metadata":{}}"#,
            r#"{"metadata":null}"#,
            r#"{"parent":null}"#,
            r#"{"root":null}"#,
        ] {
            assert!(serde_json::from_str::<Filter>(body).is_err(), "{body}");
        }
        let no_time: Filter = serde_json::from_str(r#"{"trigger_before":null}"#).unwrap();
        assert_eq!(no_time.parse().unwrap_err().code, "invalid-time");
    }
}
