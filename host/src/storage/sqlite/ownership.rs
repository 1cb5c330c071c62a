//! Decides whether a database file belongs to another program, and whether the log beside it belongs to another database.
//!
//! Called before anything is written. While a write-ahead log or a rollback journal lies beside a file, the file alone is not a database: a
//! crash during a checkpoint leaves some of its pages new and others old. Therefore tables are read through the log, and a log is refused only
//! on evidence that no mixture of pages can produce. In doubt the file is opened, and SQLite's own checks decide.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::checkpoint::leave_log;
use super::connection::{APPLICATION_ID, BUSY_TIMEOUT, OwnerLock, beside, refuse_strange_files, unreadable};
use crate::storage::StorageError;

/// Whether this file exists and holds anything.
pub(super) fn has_bytes(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
}

/// Refuses an empty or missing file beside a log: SQLite would delete the log, with all commits in it.
///
/// No crash leaves this behind, because the first page of the file is durable before its log is created.
pub(super) fn refuse_orphaned_log(path: &Path) -> Result<(), StorageError> {
    let log = beside(path, "-wal");
    if has_bytes(path) || !has_bytes(&log) {
        return Ok(());
    }
    Err(StorageError::Unavailable(format!(
        "{} is empty or missing, but its write-ahead log {} is not, and may hold acknowledged runs; put the file back that belongs to the log, \
         or move the log away; nothing was changed",
        path.display(),
        log.display()
    )))
}

/// Refuses a database in which another program keeps its tables and no host kept any: for a host of its own it is the wrong file.
///
/// Creates no file, and changes no byte of the file or its log. One exception: where another program crashed within a transaction, SQLite
/// applies its rollback journal, as for every reader. An embedder shares its file on purpose, and does not call this.
pub(super) fn refuse_foreign_tables(path: &Path) -> Result<(), StorageError> {
    // SQLite looks for logs beside the file that a link leads to.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    refuse_strange_files(path)?;
    if !has_bytes(path) {
        return Ok(());
    }
    // A host that runs on this file is ours, and writes while we would read: opening the file says that it is in use.
    let Ok(_lock) = OwnerLock::take_existing(path) else { return Ok(()) };
    let (has_log, has_journal) = (has_bytes(&beside(path, "-wal")), has_bytes(&beside(path, "-journal")));
    let seen = open_to_look(path, has_log).and_then(|conn| {
        leave_log(&conn);
        whose(&conn)
    });
    let whose = match seen {
        Ok(None) => return Ok(()),
        Ok(Some(whose)) => whose,
        Err(error) => {
            // Not evidence: another program may be at work on it. The connection that writes takes locks, and decides.
            tracing::debug!(%error, "the tables of the file could not be read without locks");
            return Ok(());
        }
    };
    // With a log of another program, ours seems to be its file.
    if has_log && alone(path).is_some() {
        return Err(foreign_log(path));
    }
    let applied = if has_journal && !has_bytes(&beside(path, "-journal")) {
        "; SQLite applied the rollback journal that a crash of that program had left beside it, and nothing else was changed"
    } else {
        ""
    };
    Err(StorageError::Unavailable(format!("{} is another program's database: {whose}; choose another file{applied}", path.display())))
}

/// Opens the database for reading without creating a file.
fn open_to_look(path: &Path, has_log: bool) -> rusqlite::Result<Connection> {
    if has_bytes(&beside(path, "-journal")) {
        // Only a connection that writes may apply the journal.
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        return Ok(conn);
    }
    if !has_log {
        return open_uri(path, "immutable=1");
    }
    if beside(path, "-shm").exists() {
        // The index of the log is read if another program uses it, and otherwise rebuilt in memory.
        let conn = open_uri(path, "mode=ro&readonly_shm=1")?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        return Ok(conn);
    }
    // Nobody shares the index, so nobody is at work on the file. Without locks, exclusive mode builds the index in memory.
    let conn = open_uri(path, "mode=ro&vfs=unix-none")?;
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(conn)
}

/// Opens the file read-only by a URI with these parameters.
fn open_uri(path: &Path, parameters: &str) -> rusqlite::Result<Connection> {
    let escaped: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?{parameters}"), flags)
}

/// Why the database belongs to another program; `None` if it is ours, or nobody's yet.
fn whose(conn: &Connection) -> rusqlite::Result<Option<String>> {
    const FIRST_TABLE: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY name LIKE 'runlater\\_%' ESCAPE '\\' DESC LIMIT 1";
    // Both statements read one state.
    conn.execute_batch("BEGIN")?;
    let id: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let first: Option<String> = conn.query_row(FIRST_TABLE, [], |row| row.get(0)).optional()?;
    Ok(match first {
        Some(table) if table.starts_with("runlater_") => None,
        Some(other) => Some(format!("it has the table {other:?}, and none of runlater's")),
        None if id != 0 && id != APPLICATION_ID => {
            Some(format!("it says so (application_id {id:#010x}), and has none of runlater's tables"))
        }
        None => None,
    })
}

/// Refuses a write-ahead log that another database left beside the file. Nothing in a log says which database it belongs to, and SQLite would
/// apply it to this one.
///
/// The log is foreign if the file alone and the file with its log say different things of the database's identity. The file alone may be a
/// mixture of old and new pages, but this errs only towards accepting the log, for a database whose tables nobody dropped by hand:
///
/// - Both values of the identity are written once, when the database is created, and never change. So each page of the table `runlater_meta`, of
///   whatever age, holds them as they are now or does not hold them.
/// - A page that once belonged to the table and was freed, or from which `VACUUM` moved the table, holds the same values.
/// - A page of another table or index is taken for one of this table only if a stale root page points there, and then it yields an identity only
///   if it has an integer under the text `id_origin` and a blob of 32 bytes under the text `secret`. No other table of ours has both.
/// - A mixture that SQLite can't read yields no identity, and the log is accepted.
pub(super) fn refuse_foreign_log(conn: &Connection, path: &Path) -> Result<(), StorageError> {
    let Some(alone) = alone(path) else { return Ok(()) };
    // An error here is no evidence either, but the database can't be read, which the caller must learn.
    let with_log = Identity::of(conn).map_err(|error| unreadable(path, error))?;
    let is_same = with_log.is_some_and(|with_log| with_log.origin == alone.origin || with_log.secret == alone.secret);
    if is_same { Ok(()) } else { Err(foreign_log(path)) }
}

fn foreign_log(path: &Path) -> StorageError {
    StorageError::Unavailable(format!(
        "{} lies beside the log of another database; move {} away, or put the file back that belongs to it; nothing was changed",
        path.display(),
        beside(path, "-wal").display()
    ))
}

/// The two values that tell one database from another.
struct Identity {
    origin: i64,
    secret: [u8; 32],
}

impl Identity {
    /// `None` if the database has none, or not yet.
    fn of(conn: &Connection) -> rusqlite::Result<Option<Self>> {
        let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'runlater_meta'";
        if conn.query_row(table, [], |_| Ok(())).optional()?.is_none() {
            return Ok(None);
        }
        let values = "SELECT origin.value, secret.value FROM runlater_meta AS origin, runlater_meta AS secret
             WHERE origin.key = 'id_origin' AND typeof(origin.value) = 'integer'
                 AND secret.key = 'secret' AND typeof(secret.value) = 'blob' AND length(secret.value) = 32";
        conn.query_row(values, [], |row| Ok(Self { origin: row.get(0)?, secret: row.get(1)? })).optional()
    }
}

/// The identity that the file has without its log, as far as it can be read.
fn alone(path: &Path) -> Option<Identity> {
    let conn = open_uri(path, "immutable=1").ok()?;
    let identity = Identity::of(&conn).ok().flatten();
    // Never closed: that would release the locks of an embedder's connections, of which SQLite does not know here (see `head.rs`). It costs one
    // descriptor for each start beside a log.
    std::mem::forget(conn);
    identity
}

/// Has the log survive the closing of the connection until the file was found to be in order, and is then to be copied as usual.
pub(super) fn release_log(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map(drop)
}
