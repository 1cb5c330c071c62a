//! Whether the tables are ours: exactly what the migrations make, and nothing of somebody else's attached to them.
//!
//! Asked once, when the file is opened. A trigger on our tables would run inside our transactions, a view in the place of a table would
//! answer for it, and a missing index would have us read every run there is: none of that is built upon. Tables of other programs in the
//! same file are their business.

use rusqlite::Connection;

/// Type, name, table and text of what is ours, or is attached to what is ours.
type Part = (String, String, String, Option<String>);

/// The first thing that is not as `migrations` make it, in words; `None` if all is well.
pub(super) fn difference(conn: &Connection, migrations: &[&str]) -> rusqlite::Result<Option<String>> {
    let model = Connection::open_in_memory()?;
    migrations.iter().try_for_each(|migration| model.execute_batch(migration))?;
    let (expected, found) = (parts(&model)?, parts(conn)?);
    let strange = found.iter().find(|part| !expected.contains(part));
    let missing = expected.iter().find(|part| !found.contains(part));
    let what = |(kind, name, table, _): &Part| match kind.as_str() {
        "table" | "view" => format!("{kind} {name}"),
        _ => format!("{kind} {name} of {table}"),
    };
    Ok(match (strange, missing) {
        (Some(part), _) => Some(format!("the {} is not as runlater made it", what(part))),
        (None, Some(part)) => Some(format!("the {} is missing", what(part))),
        (None, None) => None,
    })
}

fn parts(conn: &Connection) -> rusqlite::Result<Vec<Part>> {
    let mut statement = conn.prepare(
        "-- schema
         SELECT type, name, tbl_name, sql FROM sqlite_schema
         WHERE name LIKE 'runlater\\_%' ESCAPE '\\' OR tbl_name LIKE 'runlater\\_%' ESCAPE '\\' ORDER BY type, name",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.collect()
}
