//! Opens the file: takes its lock, brings it up to date, takes over what an earlier host left, and starts the threads.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::writer::Shared;
use super::{
    OpenFile, Room, SqliteStorage, checkpoint, connection, cron, foreign, ids, meta, ownership, permissions, rates, readers, recover, room,
    writer,
};
use crate::model::{Namespace, Timestamp};
use crate::storage::StorageError;
use crate::zones::Zones;

impl SqliteStorage {
    /// The version of the schema that this program writes. It opens every earlier one.
    pub const SCHEMA_VERSION: i64 = connection::SCHEMA_VERSION;

    /// The version of SQLite that is built in.
    pub fn library_version() -> &'static str {
        rusqlite::version()
    }

    /// Whether a host of its own may use this file, which need not exist: refused if another program keeps its tables there.
    ///
    /// Tables are read through the write-ahead log where there is one. Creates no file and changes none; only where another program crashed
    /// within a transaction, its rollback journal is applied. An embedder shares its file on purpose, and does not call this: closing the file
    /// would release the locks that its other connections hold.
    pub fn refuse_foreign_tables(path: impl AsRef<Path>) -> Result<(), StorageError> {
        ownership::refuse_foreign_tables(path.as_ref())
    }

    /// Takes from users outside of the file's group the right to read the file and its logs, and from all other users the right to write them.
    ///
    /// A host of its own calls this once the file is open. Of a file that an embedder shares with other programs, [`open`](Self::open) takes away
    /// only the right to write.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] if another user owns one of the files, or their mode can't be changed.
    pub fn make_private(path: impl AsRef<Path>) -> Result<(), StorageError> {
        let path = std::fs::canonicalize(path.as_ref()).unwrap_or_else(|_| path.as_ref().to_path_buf());
        permissions::make_private(&path)
    }

    /// Opens or creates the file, migrates it, takes over what an earlier host left, and starts to write.
    ///
    /// Blocks on the disk. Refuses, saying what to do, a file that is no database, is damaged, was written by a newer version, is
    /// on a network file system, or is open in another host.
    pub fn open(path: impl AsRef<Path>, now: Timestamp) -> Result<Self, StorageError> {
        Self::open_with(path, Room::NONE, Zones::bundled(), now)
    }

    /// The same, keeping this much room on the disk, and with the clocks of these time zones.
    pub fn open_with(path: impl AsRef<Path>, room: Room, zones: Zones, now: Timestamp) -> Result<Self, StorageError> {
        // Two names of one file must meet at one lock, and its log lies beside the file that a link leads to.
        let path = std::fs::canonicalize(path.as_ref()).unwrap_or_else(|_| path.as_ref().to_path_buf());
        connection::refuse_strange_files(&path)?;
        let lock = connection::OwnerLock::take(&path)?;
        permissions::refuse_others(&path)?;
        let mut conn = connection::open_writer(&path)?;
        permissions::restrict_writers(&path)?;
        let readers = Arc::new(readers::Readers::new(path.clone()));
        let prepare = |conn: &mut Connection| -> rusqlite::Result<_> {
            let file_bytes =
                conn.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| row.get(0))?;
            let id_origin = ids::origin(conn)?;
            let last_key: Option<i64> = conn.query_row("SELECT max(id) FROM runlater_runs", [], |row| row.get(0))?;
            let last_key = last_key.max(meta::number(conn, "last_key")?);
            let shared = Arc::new(Shared::new(id_origin, last_key.unwrap_or(0), file_bytes, zones.clone()));
            conn.execute("INSERT OR IGNORE INTO runlater_namespaces (id, name) VALUES (1, ?1)", [Namespace::DEFAULT])?;
            shared.registry.load(conn)?;
            shared.run_bytes.load(conn)?;
            shared.serve_namespaces();
            cron::renew(conn, &shared.registry, now)?;
            shared.upcoming.load(conn)?;
            let signs_of_life = meta::signs_of_life(conn)?;
            let suspects = recover::recover(conn, &shared, now.as_micros())?;
            if suspects.suspended {
                shared.registry.load(conn)?;
            }
            shared.due.suspect(suspects);
            shared.seen_now.store(now.as_micros(), Ordering::Relaxed);
            shared.govern(now.as_micros());
            shared.due.remember(rates::read(conn)?, now.as_micros());
            Ok((shared, signs_of_life, meta::secret(conn)?))
        };
        let (shared, signs_of_life, secret) = prepare(&mut conn).map_err(|error| match writer::sort(&error, false) {
            StorageError::Locked | StorageError::Corrupt(_) => connection::unreadable(&path, error),
            other => other,
        })?;
        let pages = shared.wal_pages.clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, log: std::ffi::c_int| {
            pages.store(i64::from(log), Ordering::Relaxed);
            Ok(())
        }))
        .map_err(|error| writer::sort(&error, false))?;
        let checkpointer = checkpoint::Checkpointer::start(&path, shared.clone()).map_err(|error| writer::sort(&error, false))?;
        let mut disk = room::Disk::of(&path, room);
        let foreign = foreign::Foreign::default();
        let cannot = |error: std::io::Error| StorageError::Unavailable(format!("a thread can't be started: {error}"));
        let looker = foreign.watch(shared.clone(), readers.clone()).map_err(cannot)?;
        let for_writer = shared.clone();
        let writer = std::thread::Builder::new().name("runlater-write".into());
        let writer = writer.spawn(move || writer::write(conn, &for_writer, &checkpointer, &mut disk)).map_err(cannot)?;
        shared.request_load();
        let threads = Mutex::new(vec![writer, looker]);
        let file = OpenFile { path, shared, readers, foreign, signs_of_life, secret, threads, lock: Mutex::new(Some(lock)) };
        Ok(Self { file: Arc::new(file), token: None })
    }
}
