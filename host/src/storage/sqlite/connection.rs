//! Opens the database file: settings, checks, migrations, and the lock that keeps a second host out.
//!
//! Called when the storage opens. Knows nothing of runs.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::checkpoint::leave_log;
use super::{head, idempotency, ownership, permissions, schema};
use crate::storage::StorageError;
use crate::time_limit;

/// Before this release SQLite could corrupt a database when a checkpoint met a reset of the write-ahead log.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a statement waits for another connection's transaction: an embedder's own, on the same file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Instructions of SQLite's virtual machine between two looks at the time limit: some 20 µs.
const INSTRUCTIONS_UNWATCHED: std::ffi::c_int = 1_000;
/// Up to this size a file is checked whole when it is opened.
const QUICK_CHECK_BYTES_MAX: u64 = 1 << 30;
/// What the file says of whose it is (`application_id`): "runl". Nothing, where an embedder made it.
pub(super) const APPLICATION_ID: i32 = 0x7275_6e6c;

/// Each migration in a transaction of its own; the schema's version is how many were applied.
pub(super) const MIGRATIONS: [&str; 14] = [
    include_str!("migrations/0001_runs.sql"),
    include_str!("migrations/0002_policies.sql"),
    include_str!("migrations/0003_crons.sql"),
    include_str!("migrations/0004_unique_keys.sql"),
    include_str!("migrations/0005_audit.sql"),
    include_str!("migrations/0006_explain.sql"),
    include_str!("migrations/0007_rates.sql"),
    include_str!("migrations/0008_checks.sql"),
    include_str!("migrations/0009_chains.sql"),
    include_str!("migrations/0010_unused_components.sql"),
    include_str!("migrations/0011_idempotency_keys.sql"),
    include_str!("migrations/0012_run_bytes.sql"),
    include_str!("migrations/0013_namespaces.sql"),
    include_str!("migrations/0014_token_namespaces.sql"),
];

/// The migration since which idempotency keys are no unique keys.
const IDEMPOTENCY_KEYS: i64 = 11;

/// The version of the schema that this program writes.
pub(super) const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Held for as long as this process owns the file. The lock dies with the process, so a crash leaves none behind.
#[derive(Debug)]
pub(super) struct OwnerLock {
    file: File,
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // Closing would not do: a process that this program is just starting has the file open, too, until it becomes another program, and
        // the lock would be held for as long.
        let _ = self.file.unlock();
    }
}

impl OwnerLock {
    /// Takes the lock beside the database file.
    pub(super) fn take(path: &Path) -> Result<Self, StorageError> {
        let lock = beside(path, ".lock");
        let file = lock_options().create(true).open(&lock).map_err(|error| not_opened(&lock, &error))?;
        Self::of(file, path)
    }

    /// Takes the lock without creating its file; `None` if there is none, so that no host can hold it.
    pub(super) fn take_existing(path: &Path) -> Result<Option<Self>, StorageError> {
        let lock = beside(path, ".lock");
        match lock_options().open(&lock) {
            Ok(file) => Self::of(file, path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(not_opened(&lock, &error)),
        }
    }

    fn of(file: File, path: &Path) -> Result<Self, StorageError> {
        keep_to_owner(&file, &beside(path, ".lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StorageError::Unavailable(format!(
                "{} is in use by another runlater host; stop that one, or talk to it instead of opening its file",
                path.display()
            ))),
            Err(std::fs::TryLockError::Error(error)) => Err(cannot(&beside(path, ".lock"), "locked", &error)),
        }
    }
}

/// How the lock's file is opened: not through a symbolic link, and without waiting where it is a pipe. Another user who may read it could lock it.
fn lock_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.truncate(false).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    options
}

/// Refuses a lock that another user owns, and has nobody else open this one's: a file that an earlier release made could be read by all.
#[cfg(unix)]
fn keep_to_owner(file: &File, path: &Path) -> Result<(), StorageError> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let meta = file.metadata().map_err(|error| cannot(path, "looked at", &error))?;
    if !meta.is_file() {
        return Err(StorageError::Unavailable(format!("{} is not a file; move it away", path.display())));
    }
    permissions::refuse_other_owner(path, meta.uid())?;
    if meta.mode() & 0o077 != 0
        && let Err(error) = file.set_permissions(std::fs::Permissions::from_mode(0o600))
    {
        tracing::warn!(%error, file = %path.display(), "other users may lock this host out, and this one can't change that");
    }
    Ok(())
}

#[cfg(not(unix))]
fn keep_to_owner(_file: &File, _path: &Path) -> Result<(), StorageError> {
    Ok(())
}

/// The file of this name with a suffix appended.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn cannot(path: &Path, verb: &str, error: &dyn std::fmt::Display) -> StorageError {
    StorageError::Unavailable(format!("{} can't be {verb}: {error}", path.display()))
}

/// What to say of a file that can't be opened: who may, if this user may not.
fn not_opened(path: &Path, error: &std::io::Error) -> StorageError {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ELOOP) {
        return StorageError::Unavailable(format!("{} is a symbolic link, which is not followed; delete it", path.display()));
    }
    #[cfg(unix)]
    if error.kind() == std::io::ErrorKind::PermissionDenied
        && let Ok(meta) = std::fs::metadata(path)
    {
        return StorageError::Unavailable(format!(
            "{} belongs to user {}, and this one may not open it; run as that user, or give this one read and write access to it and its folder",
            path.display(),
            std::os::unix::fs::MetadataExt::uid(&meta)
        ));
    }
    cannot(path, "opened", error)
}

/// Opens the one connection that writes, creating and migrating the schema.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StorageError> {
    assert!(
        rusqlite::version_number() >= SQLITE_VERSION_MIN,
        "the SQLite linked into this program is {}, which can corrupt data",
        rusqlite::version()
    );
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(|error| cannot(path, "opened", &error))?;
    restrict_to_owner(path)?;
    // Whatever is refused from here on is left as it was, so the closing of the connection must not copy its log and delete it.
    let has_log = ownership::has_bytes(&beside(path, "-wal"));
    conn.busy_timeout(BUSY_TIMEOUT).map_err(|error| unreadable(path, error))?;
    if has_log {
        leave_log(&conn);
        ownership::refuse_foreign_log(&conn, path)?;
    }
    // SQLite opens what may only be read without a word.
    if conn.is_readonly("main").map_err(|error| unreadable(path, error))? {
        return Err(read_only(path));
    }
    let settle = |conn: &Connection| -> rusqlite::Result<()> {
        conn.set_prepared_statement_cache_capacity(128);
        keep_plans(conn)?;
        // No statement of ours writes to the schema's own table, so none that came from elsewhere may.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // No automatic checkpoint: one inside a commit stalls the writer for up to 100 ms (see checkpoint.rs).
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 16777216;
             PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
        )
    };
    // Before anything is written, so that the file is left as it was.
    refuse_foreign_names(&conn, path)?;
    settle(&conn).map_err(|error| unreadable(path, error))?;
    // Counted through the log: the file alone may be shorter.
    let bytes = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = conn.query_row(bytes, [], |row| row.get(0)).map_err(|error| unreadable(path, error))?;
    if bytes.unsigned_abs() < QUICK_CHECK_BYTES_MAX {
        let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|error| unreadable(path, error))?;
        if verdict != "ok" {
            return Err(damaged(path, &verdict));
        }
    }
    migrate(&mut conn, path)?;
    match schema::difference(&conn, &MIGRATIONS).map_err(|error| unreadable(path, error))? {
        None => {}
        Some(difference) => {
            return Err(StorageError::Corrupt(format!(
                "{}: {difference}, and what somebody else changed there can't be relied on; undo that, or restore a backup",
                path.display()
            )));
        }
    }
    if has_log {
        ownership::release_log(&conn).map_err(|error| unreadable(path, error))?;
    }
    Ok(conn)
}

/// Whether commits survive the loss of power, and what a hostile schema may do, as the connection itself says.
#[cfg(feature = "test-util")]
pub(super) fn settings(conn: &Connection) -> rusqlite::Result<String> {
    let journal: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let synchronous: i64 = conn.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    let trusted: bool = conn.query_row("PRAGMA trusted_schema", [], |row| row.get(0))?;
    let defensive = conn.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE)?;
    Ok(format!("journal {journal}, synchronous {synchronous}, trusted schema {trusted}, defensive {defensive}"))
}

/// Has statements keep their plans whatever is bound to them.
///
/// Otherwise SQLite plans some of them anew for each value, and, as a cached statement's values are cleared when it is put back, at each use:
/// measured, a third of the writer's time went into parsing SQL. The plans are the reviewed ones (`query_plans.txt`).
fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Opens a connection that only reads. A statement ends with `SQLITE_INTERRUPT` when the time limit of its thread is over.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.progress_handler(INSTRUCTIONS_UNWATCHED, Some(time_limit::is_over))?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    keep_plans(&conn)?;
    conn.execute_batch("PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;")?;
    Ok(conn)
}

/// Opens a connection that only copies the write-ahead log into the database file.
pub(super) fn open_checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -256;")?;
    Ok(conn)
}

/// What to say of a database that SQLite found corrupt, read through its log. A log that does not belong to the file has the same effect: that
/// of an older state, where a backup was copied over the file alone.
fn damaged(path: &Path, what: &dyn std::fmt::Display) -> StorageError {
    let log = beside(path, "-wal");
    let log = match ownership::has_bytes(&log) {
        true => format!("if a backup was put in its place beside an older log, move {} away; otherwise ", log.display()),
        false => String::new(),
    };
    StorageError::Corrupt(format!("{}: {what}; {log}restore a backup, or recover it with SQLite's own `.recover`", path.display()))
}

fn no_database(path: &Path) -> StorageError {
    StorageError::NoDatabase(format!("{} is not a SQLite database; choose another file, nothing was changed in this one", path.display()))
}

fn read_only(path: &Path) -> StorageError {
    StorageError::Unavailable(format!("{} is read-only; give this user write access to it and its folder", path.display()))
}

pub(super) fn unreadable(path: &Path, error: rusqlite::Error) -> StorageError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => no_database(path),
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => damaged(path, &error),
        Some(rusqlite::ErrorCode::ReadOnly) => read_only(path),
        Some(rusqlite::ErrorCode::DatabaseBusy) => StorageError::Unavailable(format!(
            "{} was locked by another program for {} s: let that program finish, or stop it, and try again",
            path.display(),
            BUSY_TIMEOUT.as_secs()
        )),
        _ => cannot(path, "opened", &error),
    }
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StorageError> {
    let found = schema_version(conn).map_err(|error| unreadable(path, error))?;
    let known = SCHEMA_VERSION;
    if found > known {
        return Err(StorageError::Unavailable(format!(
            "{} was written by a newer runlater (schema {found}, this one knows up to {known}); run that version, or restore an older backup",
            path.display()
        )));
    }
    if (1..known).contains(&found) {
        // Under another name until it is whole: SQLite writes over nothing, so what a crash cut short would be in the way for ever.
        let (copy, draft) = (beside(path, &format!(".schema-{found}.backup")), beside(path, ".partial"));
        drop(std::fs::remove_file(&draft));
        // Empty, so that SQLite takes it, and private as the database is.
        create_private(&draft).map_err(|error| cannot(&copy, "written before the migration", &error))?;
        conn.execute("VACUUM INTO ?1", [draft.to_string_lossy()]).map_err(|error| cannot(&copy, "written before the migration", &error))?;
        std::fs::rename(&draft, &copy).map_err(|error| cannot(&copy, "written before the migration", &error))?;
    }
    for (version, migration) in (found + 1..).zip(&MIGRATIONS[found as usize..]) {
        let apply = |conn: &mut Connection| -> rusqlite::Result<()> {
            let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            if is_empty(&transaction)? {
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            }
            transaction.execute_batch(migration)?;
            if version == IDEMPOTENCY_KEYS && found > 0 {
                idempotency::tell_what_changed(&transaction)?;
            }
            transaction.execute("INSERT OR REPLACE INTO runlater_meta (key, value) VALUES ('schema_version', ?1)", [version])?;
            transaction.commit()
        };
        apply(conn).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => unreadable(path, error),
            _ => StorageError::Unavailable(format!("{} can't be migrated to schema {version}: {error}", path.display())),
        })?;
    }
    Ok(())
}

/// Refuses a database in which another program uses a name that is ours: its table would be taken for one of this program's.
fn refuse_foreign_names(conn: &Connection, path: &Path) -> Result<(), StorageError> {
    const MARK: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'runlater_meta' AND type = 'table')
         AND (SELECT count(*) FROM pragma_table_info('runlater_meta') WHERE name IN ('key', 'value')) = 2";
    const NAME: &str = "SELECT type || ' ' || name FROM sqlite_schema WHERE name LIKE 'runlater\\_%' ESCAPE '\\' ORDER BY name LIMIT 1";
    let look = |conn: &Connection| -> rusqlite::Result<Option<String>> {
        let is_ours = conn.query_row(MARK, [], |row| row.get::<_, bool>(0))?
            && conn.query_row("SELECT count(*) FROM runlater_meta WHERE key = 'schema_version'", [], |row| row.get::<_, i64>(0))? == 1;
        if is_ours { Ok(None) } else { conn.query_row(NAME, [], |row| row.get(0)).optional() }
    };
    match look(conn).map_err(|error| unreadable(path, error))? {
        None => Ok(()),
        Some(name) => Err(StorageError::Unavailable(format!(
            "{} has the {name}, which this program did not make; names that begin with runlater_ are reserved: rename it, or choose another file",
            path.display()
        ))),
    }
}

fn is_empty(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn schema_version(conn: &Connection) -> rusqlite::Result<i64> {
    let ours: Option<i64> = conn.query_row("SELECT 1 FROM sqlite_schema WHERE name = 'runlater_meta'", [], |row| row.get(0)).optional()?;
    match ours {
        Some(_) => conn.query_row("SELECT value FROM runlater_meta WHERE key = 'schema_version'", [], |row| row.get(0)),
        None => Ok(0),
    }
}

/// Refuses what is no place for a database: a folder, a pipe, a file of another kind, a file system on the network.
pub(super) fn refuse_strange_files(path: &Path) -> Result<(), StorageError> {
    if let Ok(meta) = std::fs::metadata(path)
        && !meta.is_file()
    {
        return Err(StorageError::Unavailable(format!("{} is not a file", path.display())));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(StorageError::Unavailable(format!("the folder {} does not exist; create it first", folder.display())));
    }
    ownership::refuse_orphaned_log(path)?;
    // With a log or journal, the first page is what SQLite reads there: that of the file may be half-written.
    let is_alone = ["-wal", "-journal"].iter().all(|suffix| !ownership::has_bytes(&beside(path, suffix)));
    if path.exists() {
        match head::is_database(path) {
            // An empty file is a new database.
            Ok(false) if is_alone && ownership::has_bytes(path) => return Err(no_database(path)),
            Ok(_) => {}
            // Only the system's own error says whether this user may open it.
            Err(error) => return Err(File::open(path).map_or_else(|io| not_opened(path, &io), |_| cannot(path, "opened", &error))),
        }
    }
    #[cfg(target_os = "linux")]
    if let Some(kind) = network_file_system(folder) {
        return Err(StorageError::Unavailable(format!(
            "{} is on {kind}, where locks and durable writes can't be relied on; choose a local disk",
            folder.display()
        )));
    }
    Ok(())
}

/// The name of the network file system that `folder` is on.
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    use std::os::unix::ffi::OsStrExt;
    let folder = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `folder` is a NUL-terminated string and `stat` is writable; both outlive the call, and all-zero is a valid `statfs`.
    let stat = unsafe {
        if libc::statfs(folder.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init()
    };
    network_file_system_of(stat.f_type as i64)
}

/// What this number of statfs(2) stands for, if it is a file system on the network.
#[cfg(target_os = "linux")]
fn network_file_system_of(kind: i64) -> Option<&'static str> {
    match kind & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("a Windows share"),
        0x6573_5546 => Some("FUSE"),
        _ => None,
    }
}

/// Creates an empty file that only its owner may read.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// The file holds inputs and outputs: nobody else's business.
fn restrict_to_owner(path: &Path) -> Result<(), StorageError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let fresh = std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
        if fresh {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| cannot(path, "made private", &error))?;
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// No test can mount any of them; the numbers are those of linux/magic.h.
    #[test]
    fn file_systems_on_the_network_are_told() {
        for (kind, name) in [
            (0x6969, Some("NFS")),
            (0xff53_4d42, Some("a Windows share")),
            (0xff53_4d42_u32 as i32 as i64, Some("a Windows share")),
            (0xfe53_4d42, Some("a Windows share")),
            (0x6573_5546, Some("FUSE")),
            (0xef53, None),
            (0x0102_1994, None),
            (0x794c_7630, None),
        ] {
            assert_eq!(network_file_system_of(kind), name, "{kind:#x}");
        }
        assert_eq!(network_file_system(&std::env::temp_dir()), None, "tests lie on a local disk");
    }
}
