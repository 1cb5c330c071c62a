//! Keeps the bytes of a component for as long as a task has it, and a while longer for attempts that have just begun.
//!
//! Called by `register.rs` and `namespaces.rs`, which are the only ways to make a component unused. The row itself stays: runs tell by it what they executed.

use rusqlite::{Connection, OptionalExtension};

use crate::model::{Digest, NamespaceId, Timestamp};
use crate::storage::Registration;

/// How long bytes outlive their last task. An attempt reads them when it begins, if they are not in memory.
const KEPT_MICROS: i64 = 60_000_000;

/// Whether the namespace may have this component beside its others, which may have so many bytes together.
pub(super) fn fits(conn: &Connection, registration: &Registration, max: u64) -> rusqlite::Result<bool> {
    // Those whose tasks this one takes over make way for it.
    let names: Vec<&str> = registration.tasks.iter().map(|(definition, _)| definition.name.as_str()).collect();
    let names = serde_json::to_string(&names).expect("names are text");
    let others: i64 = conn
        .prepare_cached(
            "-- register: bytes
             SELECT coalesce(sum(length(wasm)), 0) FROM runlater_components
             WHERE id IN (SELECT component FROM runlater_tasks WHERE namespace = ?1 AND name NOT IN (SELECT value FROM json_each(?3))) AND digest <> ?2",
        )?
        .query_row((registration.namespace.0, registration.component.digest.as_bytes(), names), |row| row.get(0))?;
    Ok(others.unsigned_abs().saturating_add(registration.component.wasm.len() as u64) <= max)
}

/// Stores the component, unless it is there.
pub(super) fn store(conn: &Connection, registration: &Registration, now: Timestamp) -> rusqlite::Result<i64> {
    let digest = registration.component.digest.as_bytes();
    let known: Option<(i64, bool)> = conn
        .query_row("-- component\nSELECT id, length(wasm) > 0 FROM runlater_components WHERE digest = ?1", [digest], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let wasm = &registration.component.wasm;
    Ok(match known {
        Some((id, true)) => id,
        Some((id, false)) => {
            conn.execute("-- register: component again\nUPDATE runlater_components SET wasm = ?2 WHERE id = ?1", (id, wasm))?;
            id
        }
        None => {
            let sql = "-- register: component\nINSERT INTO runlater_components (digest, wasm, created_at) VALUES (?1, ?2, ?3)";
            conn.execute(sql, (digest, wasm, now.as_micros()))?;
            conn.last_insert_rowid()
        }
    })
}

/// Which component the task has so far.
pub(super) fn of_task(conn: &Connection, namespace: NamespaceId, task: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "-- register: before\nSELECT component FROM runlater_tasks WHERE namespace = ?1 AND name = ?2";
    conn.query_row(sql, (namespace.0, task), |row| row.get(0)).optional()
}

/// Notes which of the components in `before` no task has any more, and that some task has `component`; lets go of what nobody has had for a while.
pub(super) fn settle(conn: &Connection, before: &[i64], component: i64, now: Timestamp) -> rusqlite::Result<()> {
    conn.execute("-- register: used\nDELETE FROM runlater_unused_components WHERE component = ?1", [component])?;
    note_unused(conn, before, now)?;
    let until = now.as_micros().saturating_sub(KEPT_MICROS);
    conn.execute(
        "-- register: let go
         UPDATE runlater_components SET wasm = x'' WHERE id IN (SELECT component FROM runlater_unused_components WHERE since <= ?1)",
        [until],
    )?;
    conn.execute("-- register: let gone\nDELETE FROM runlater_unused_components WHERE since <= ?1", [until])?;
    Ok(())
}

/// Notes which of these components no task has any more.
pub(super) fn note_unused(conn: &Connection, before: &[i64], now: Timestamp) -> rusqlite::Result<()> {
    for old in before {
        conn.execute(
            "-- register: unused
             INSERT OR IGNORE INTO runlater_unused_components (component, since)
             SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM runlater_tasks WHERE component = ?1)",
            (old, now.as_micros()),
        )?;
    }
    Ok(())
}

/// The bytes of a component; `None` if it was never there, or nobody has had it for a while.
pub(super) fn bytes(conn: &Connection, digest: &Digest) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = conn.prepare_cached("-- component: bytes\nSELECT wasm FROM runlater_components WHERE digest = ?1")?;
    let wasm: Option<Vec<u8>> = statement.query_row([&digest.as_bytes()[..]], |row| row.get(0)).optional()?;
    Ok(wasm.filter(|wasm| !wasm.is_empty()))
}
