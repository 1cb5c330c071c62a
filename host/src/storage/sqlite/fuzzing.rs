//! Rows of arbitrary values, as somebody else may have written them.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::connection::MIGRATIONS;
use super::registry::Registry;
use super::rows;
use crate::zones::Zones;

/// Columns of the widest row that is read.
const COLUMNS: usize = 40;

/// Reads a row of these values as a run, and as a run that waits. Each value is a byte for its kind, a byte for its length, and the rest.
pub(crate) fn fuzz_row(mut bytes: &[u8]) {
    thread_local! {
        static DATABASE: (Connection, Registry) = database();
    }
    let values: Vec<Value> = (0..COLUMNS).map(|_| value(&mut bytes)).collect();
    let places = (1..=COLUMNS).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
    DATABASE.with(|(conn, registry)| {
        let mut statement = conn.prepare_cached(&format!("SELECT {places}")).expect("a statement without tables");
        let read = statement.query_row(params_from_iter(values), |row| {
            let run = rows::sound("runs", rows::run(row, registry, 1, 1_800_000_000_000_000))?;
            // What was understood can be shown.
            drop(run.map(|run| format!("{run:?}")));
            rows::sound("runs", rows::waiting(row)).map(drop)
        });
        read.expect("a row of any values is read or left out");
    });
}

fn database() -> (Connection, Registry) {
    let conn = Connection::open_in_memory().expect("memory");
    for migration in MIGRATIONS {
        conn.execute_batch(migration).expect("the migrations are sound");
    }
    let task = "INSERT INTO runlater_tasks (id, namespace, name, component, grants, policy, created_at, updated_at) VALUES (1, 1, 'hello', 1, '', '{}', 0, 0)";
    conn.execute_batch(task).expect("a task");
    let registry = Registry::new(Zones::bundled());
    registry.load(&conn).expect("it can be read");
    (conn, registry)
}

fn value(bytes: &mut &[u8]) -> Value {
    let [kind, length, rest @ ..] = *bytes else { return Value::Null };
    let (content, rest) = rest.split_at(rest.len().min(usize::from(*length)));
    *bytes = rest;
    let number = || content.iter().take(8).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    match kind % 5 {
        0 => Value::Null,
        1 => Value::Integer(number()),
        2 => Value::Real(f64::from_bits(number().cast_unsigned())),
        3 => Value::Text(String::from_utf8_lossy(content).into_owned()),
        _ => Value::Blob(content.to_vec()),
    }
}
