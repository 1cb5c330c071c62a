//! The same words select the same runs, wherever they are said; and every run is selected only by words that say so.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use runlater::http::filter::{Filter, ListQuery};
use runlater::model::{Order, parse_entry, write_entry};
use runlater::{Metadata, Page, RunFilter};
use serde_json::{Value, json};

use super::{World, touch};

/// Keys and values of a few parts, among them all that separates, quotes or encodes.
fn text() -> impl Strategy<Value = String> {
    let parts = ["a", "b", ":", "=", ",", "\"", " ", "%", "%3A", "+", "&", "#", "\\", "\n", "é", "😀", "'"];
    proptest::collection::vec(proptest::sample::select(parts.to_vec()), 1..4).prop_map(|parts| parts.concat())
}

/// Every byte but letters and digits, percent-encoded.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// All entries that a reader could take this one's text for.
fn readings(key: &str, value: &str) -> Vec<(String, String)> {
    let texts = [format!("{key}:{value}"), format!("{key}={value}")];
    let split = |text: &str| -> Vec<_> {
        let at = text.match_indices([':', '=']).map(|(at, _)| (text[..at].to_string(), text[at + 1..].to_string()));
        at.filter(|(key, value)| !key.is_empty() && !value.is_empty()).collect()
    };
    texts.iter().flat_map(|text| split(text)).collect()
}

async fn listed(world: &World, path: &str) -> BTreeSet<String> {
    let page = world.ask("GET", path, None).await;
    assert_eq!(page.status, 200, "{path}: {}", page.body);
    page.body["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_string()).collect()
}

/// Checks one entry on every surface. `runs` are all there are.
async fn check(world: &World, runs: &BTreeMap<String, Metadata>, key: &str, value: &str) {
    let expected: BTreeSet<_> = runs.iter().filter(|(_, metadata)| metadata.get(key) == Some(value)).map(|(id, _)| id.clone()).collect();
    let filter = RunFilter { metadata: Metadata::from_entries([(key, value)]).unwrap(), ..RunFilter::default() };

    let page = Page::new(500, None, Order::OldestFirst).unwrap();
    let (all, _) = world.scheduler.list(&RunFilter::default(), &page).await.unwrap();
    let by_model: BTreeSet<_> = all.iter().filter(|run| filter.matches(run)).map(|run| run.id.to_string()).collect();
    let (stored, _) = world.scheduler.list(&filter, &page).await.unwrap();
    let by_storage: BTreeSet<_> = stored.iter().map(|run| run.id.to_string()).collect();
    assert_eq!((&by_model, &by_storage), (&expected, &expected), "{key:?} {value:?}");

    // What the command line does with its argument, and the server with what comes of it.
    let written = write_entry(key, value);
    let (parsed_key, parsed_value) = parse_entry(&written).unwrap();
    let sent = Filter { metadata: [(parsed_key, parsed_value)].into(), ..Filter::default() }.to_query();
    let received = ListQuery::from_pairs(sent.into_iter().map(|(name, value)| (name.into(), value)).collect()).unwrap();
    assert_eq!(received.filter.parse().unwrap(), filter, "{written}");

    // In a query string, with either separator behind a key in quotes.
    let quoted = serde_json::to_string(key).unwrap();
    for text in [written, format!("{quoted}={value}"), format!("{quoted}:{value}")] {
        assert_eq!(listed(world, &format!("/v1/runs?limit=500&metadata={}", encoded(&text))).await, expected, "{text}");
    }

    // The same entry in JSON, counted and changed.
    let body = |dry_run: bool| json!({ "filter": { "metadata": { key: value } }, "by": "+1s", "dry_run": dry_run });
    let counts = json!({ "changed": expected.len(), "refused": [], "refused_total": 0 });
    assert_eq!(world.ask("POST", "/v1/runs/bulk-reschedule", body(true)).await.body, counts, "{key:?} {value:?}");
    assert_eq!(world.ask("POST", "/v1/runs/bulk-reschedule", body(false)).await.body, counts, "{key:?} {value:?}");
    let (after, _) = world.scheduler.list(&RunFilter::default(), &page).await.unwrap();
    let moved = all.iter().zip(&after).filter(|(before, after)| before.trigger_at != after.trigger_at);
    assert_eq!(moved.map(|(run, _)| run.id.to_string()).collect::<BTreeSet<_>>(), expected, "{key:?} {value:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_entry_selects_the_same_runs_everywhere(
        seeds in proptest::collection::vec(proptest::collection::vec((text(), text()), 1..3), 1..12),
        foreign in proptest::collection::vec((text(), text()), 4),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let mut runs = BTreeMap::new();
            for entries in &seeds {
                let metadata = Metadata::from_entries(entries.iter().map(|(key, value)| (key, value))).unwrap();
                let body = touch(json!({ "after": "1d", "metadata": metadata }));
                let id = world.ask("POST", "/v1/runs", body).await.body["id"].as_str().unwrap().to_string();
                runs.insert(id, metadata);
            }
            let mut entries: BTreeSet<_> = seeds.iter().flatten().chain(&foreign).cloned().collect();
            entries.extend(seeds.iter().flatten().flat_map(|(key, value)| readings(key, value)).take(30));
            for (key, value) in &entries {
                check(&world, &runs, key, value).await;
            }
            // The last one, deleted.
            let (key, value) = entries.last().unwrap();
            let expected = runs.values().filter(|metadata| metadata.get(key) == Some(value)).count();
            let deleted = world.ask("POST", "/v1/runs/bulk-delete", json!({ "filter": { "metadata": { key: value } } })).await.body;
            assert_eq!(deleted["changed"], expected);
            assert_eq!(listed(&world, "/v1/runs?limit=500").await.len(), runs.len() - expected);
        });
    }
}

#[tokio::test]
async fn an_entry_with_two_meanings_is_refused() {
    let world = World::new().await;
    for entry in ["a:b=c", "a:b=", "nothing", "", "\"a", "a\"b=c"] {
        let answer = world.ask("GET", &format!("/v1/runs?metadata={}", encoded(entry)), None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code(), &answer.body["field"]),
            (422, "invalid-metadata", &json!("metadata")),
            "{entry}"
        );
    }
    let twice = world.ask("GET", "/v1/runs?metadata=k%3D1&metadata=k%3D2", None).await;
    assert_eq!((twice.code(), &twice.body["field"]), ("invalid-metadata", &json!("metadata.k")));
}

#[tokio::test]
async fn a_selection_that_is_empty_by_accident_is_refused() {
    let world = World::new().await;
    let run = world.scheduled().await;
    let before = world.scheduler.get(run).await.unwrap();
    let rows: Vec<(Value, &str, Value)> = vec![
        (json!({}), "invalid-bulk", json!("filter")),
        (json!({ "all": false }), "invalid-bulk", json!("filter")),
        (json!({ "all": null }), "invalid-field", json!("all")),
        (json!({ "filter": {} }), "empty-filter", json!("filter")),
        (json!({ "filter": null }), "empty-filter", json!("filter")),
        (json!({ "filter": [] }), "empty-filter", json!("filter")),
        (json!({ "filter": [["touch"]] }), "invalid-field", json!("filter")),
        (json!({ "filter": { "task": [] } }), "empty-filter", json!("filter.task")),
        (json!({ "filter": { "task": null } }), "empty-filter", json!("filter.task")),
        (json!({ "filter": { "task": [""] } }), "invalid-name", json!("filter.task")),
        (json!({ "filter": { "metadata": {} } }), "empty-filter", json!("filter.metadata")),
        (json!({ "filter": { "metadata": null } }), "empty-filter", json!("filter.metadata")),
        // Beside a condition that holds, too: it would be wider than meant.
        (json!({ "filter": { "task": ["touch"], "status": [] } }), "empty-filter", json!("filter.status")),
        (json!({ "filter": { "task": ["touch"], "origin": [] } }), "empty-filter", json!("filter.origin")),
        (json!({ "filter": { "task": ["touch"], "parent": null } }), "empty-filter", json!("filter.parent")),
        (json!({ "filter": { "task": ["touch"], "root": null } }), "empty-filter", json!("filter.root")),
        (json!({ "filter": { "task": ["touch"], "trigger_from": null } }), "invalid-time", json!("filter.trigger_from")),
        (json!({ "ids": [] }), "invalid-bulk", json!("ids")),
        (json!({ "ids": null }), "empty-filter", json!("ids")),
        (json!({ "ids": [run], "filter": null }), "empty-filter", json!("filter")),
        (json!({ "all": true, "ids": [run] }), "invalid-bulk", json!("all")),
        (json!({ "all": true, "filter": { "task": ["touch"] } }), "invalid-bulk", json!("all")),
        (json!({ "all": true, "filter": {} }), "invalid-bulk", json!("all")),
    ];
    for verb in ["delete", "cancel", "trigger", "reschedule"] {
        for (fields, code, field) in &rows {
            let mut body = fields.clone();
            if verb == "reschedule" {
                body["by"] = json!("+1h");
            }
            let answer = world.ask("POST", &format!("/v1/runs/bulk-{verb}"), body).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code(), &answer.body["field"]),
                (422, *code, field),
                "{verb} {fields}: {}",
                answer.body
            );
        }
    }
    // Neither parameters that would be ignored, nor a list in place of the object.
    let ids = json!({ "ids": [run.to_string()] });
    for (method, path) in [("POST", "/v1/runs/bulk-delete?dry_run=true".into()), ("DELETE", format!("/v1/runs/{run}?dry_run=true"))] {
        let body = if method == "POST" { ids.clone() } else { Value::Null };
        assert_eq!(world.ask(method, &path, body).await.code(), "unknown-parameter");
    }
    assert_eq!(world.ask("POST", "/v1/runs/bulk-delete", json!([[run.to_string()]])).await.code(), "invalid-field");
    assert_eq!(world.scheduler.get(run).await.unwrap(), before, "nothing was done");
    let empty = world.ask("POST", "/v1/runs/bulk-delete", json!({ "filter": {} })).await;
    assert!(empty.body["detail"].as_str().unwrap().contains("\"all\": true"), "{}", empty.body);
    assert_eq!(world.ask("POST", "/v1/runs/bulk-delete", json!({ "all": true })).await.body["changed"], 1);
    // A list without conditions shows all: to read harms nothing.
    assert_eq!(world.ask("GET", "/v1/runs", None).await.body["runs"], json!([]));
    for (query, code) in
        [("task=", "invalid-name"), ("status=", "invalid-status"), ("origin=", "invalid-origin"), ("parent=", "invalid-id")]
    {
        assert_eq!(world.ask("GET", &format!("/v1/runs?{query}"), None).await.code(), code);
    }
}
