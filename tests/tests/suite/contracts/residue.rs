//! What is deleted leaves no row behind, and other programs' tables are left alone.

use rusqlite::Connection;

use crate::conformance::world::at;
use runlater::model::{Name, NewRun, Origin, TaskDefinition, TaskPolicy, UniqueKey};
use runlater::storage::Storage;
use runlater::storage::sqlite::SqliteStorage;
use runlater::{Metadata, Payload};

/// How many rows each table has.
fn rows(conn: &Connection) -> Vec<(String, i64)> {
    let mut tables = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%meta' ORDER BY name").unwrap();
    let names: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    names
        .into_iter()
        .map(|name| (name.clone(), conn.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0)).unwrap()))
        .collect()
}

#[test]
fn a_deleted_run_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let storage = SqliteStorage::open(&path, at(0)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let namespace = storage.namespaces()[0].id;
    let definition = TaskDefinition::new(Name::parse("task", "name").unwrap());
    let registration = crate::conformance::world::registration(namespace, b"", vec![(definition, TaskPolicy::default())]);
    let task = runtime.block_on(storage.register(registration, at(0))).unwrap().remove(0);
    let conn = Connection::open(&path).unwrap();
    let before = rows(&conn);
    let id = storage.next_run_id(at(0));
    let run = NewRun {
        id,
        task,
        trigger_at: at(50),
        input: Payload::null(),
        metadata: Metadata::from_entries([("a\"b\\", "\n\t'"), ("$.[0]", "é\u{1f980}\u{7f}"), ("k", "v")]).unwrap(),
        idempotency: None,
        unique_key: Some(UniqueKey::parse("k", "key").unwrap().into()),
        origin: Origin::Api,
        lineage: Some(runlater::model::Lineage { parent: id, root: id, depth: 0 }),
        occurrence: None,
        max_attempts: None,
        timeout: None,
        priority: None,
    };
    runtime.block_on(storage.create(namespace, vec![run], at(0))).unwrap();
    assert_eq!(rows(&conn).iter().map(|(_, rows)| rows).sum::<i64>(), before.iter().map(|(_, rows)| rows).sum::<i64>() + 6);
    runtime.block_on(storage.delete(namespace, vec![id], at(0))).unwrap()[0].clone().unwrap();
    assert_eq!(rows(&conn), before);
}
