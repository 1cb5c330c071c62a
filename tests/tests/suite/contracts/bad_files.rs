//! Files that are no place for runs: each is refused in words that say what to do, and is left as it was.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::conformance::sqlite::File;
use crate::conformance::world::{World, at};
use runlater::model::Order;
use runlater::storage::sqlite::SqliteStorage;
use runlater::storage::{Storage, StorageError};
use runlater::{Page, RunFilter};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("runs.db")
    }

    /// What is in it.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn open(path: &Path) -> Result<SqliteStorage, StorageError> {
    SqliteStorage::open(path, at(0))
}

/// Why the file is refused. All of `words` are in it.
fn refused(path: &Path, words: &[&str]) -> StorageError {
    let Err(error) = open(path) else { panic!("{} was opened", path.display()) };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    error
}

#[test]
fn not_a_database() {
    let folder = Folder::new();
    let text = "This is a letter, and not a database. ".repeat(100);
    fs::write(folder.file(), &text).unwrap();
    let error = refused(&folder.file(), &["runs.db", "not a SQLite database", "choose another file", "nothing was changed"]);
    assert!(matches!(error, StorageError::NoDatabase(_)));
    assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
    assert_eq!(folder.names(), ["runs.db"], "nothing is left beside it");
}

#[test]
fn a_host_of_its_own_shares_no_file() {
    let folder = Folder::new();
    SqliteStorage::refuse_foreign_tables(folder.file()).unwrap();
    let conn = Connection::open(folder.file()).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE bookmarks (url)").unwrap();
    conn.close().unwrap();
    let error = SqliteStorage::refuse_foreign_tables(folder.file()).unwrap_err().to_string();
    assert!(error.contains("another program's") && error.contains("bookmarks") && error.contains("choose another file"), "{error}");
    assert_eq!(folder.names(), ["runs.db"], "nothing is left beside it");
    // An embedder does share it, and then a host may use it, too.
    drop(open(&folder.file()).unwrap());
    SqliteStorage::refuse_foreign_tables(folder.file()).unwrap();
}

#[test]
fn a_table_of_another_program_with_a_name_of_ours_is_refused() {
    for sql in [
        "CREATE TABLE runlater_runs (x)",
        "CREATE TABLE runlater_meta (key, value)",
        "CREATE VIEW runlater_meta AS SELECT 1 AS key, 2 AS value",
    ] {
        let folder = Folder::new();
        Connection::open(folder.file()).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(folder.file()).unwrap();
        refused(&folder.file(), &["runlater_", "reserved", "rename it"]);
        assert_eq!(fs::read(folder.file()).unwrap(), before, "{sql}");
    }
}

/// A program that crashed within a transaction left a journal, which SQLite applies when somebody reads the file.
#[test]
fn a_refusal_says_that_the_journal_of_another_program_was_applied() {
    let folder = Folder::new();
    let journal = folder.0.path().join("runs.db-journal");
    let (file, kept) = (folder.0.path().join("theirs"), folder.0.path().join("kept"));
    let conn = Connection::open(folder.file()).unwrap();
    conn.execute_batch("CREATE TABLE bookmarks (url); INSERT INTO bookmarks VALUES (zeroblob(100000)); PRAGMA cache_size = 1; BEGIN; UPDATE bookmarks SET url = randomblob(100000)")
        .unwrap();
    // What would lie there after a crash now: changed pages, and the journal that takes them back.
    fs::copy(folder.file(), &file).unwrap();
    fs::copy(&journal, &kept).unwrap();
    drop(conn);
    fs::rename(&file, folder.file()).unwrap();
    fs::rename(&kept, &journal).unwrap();
    let error = SqliteStorage::refuse_foreign_tables(folder.file()).unwrap_err().to_string();
    assert!(error.contains("bookmarks") && error.contains("applied the rollback journal"), "{error}");
    assert!(!journal.exists() && !error.contains("nothing was changed"), "{error}");
}

#[test]
fn a_file_says_whose_it_is() {
    let folder = Folder::new();
    let id = || -> i32 { Connection::open(folder.file()).unwrap().query_row("PRAGMA application_id", [], |row| row.get(0)).unwrap() };
    drop(open(&folder.file()).unwrap());
    assert_eq!(id().to_be_bytes(), *b"runl");
    SqliteStorage::refuse_foreign_tables(folder.file()).unwrap();
    // That of an embedder is the embedder's to mark.
    let theirs = Folder::new();
    let conn = Connection::open(theirs.file()).unwrap();
    conn.execute_batch("PRAGMA application_id = 7; CREATE TABLE bookmarks (url)").unwrap();
    drop(open(&theirs.file()).unwrap());
    assert_eq!(conn.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0)).unwrap(), 7);
    // Nothing is in it yet, but it is somebody's.
    let marked = Folder::new();
    Connection::open(marked.file()).unwrap().execute_batch("PRAGMA application_id = 7").unwrap();
    let error = SqliteStorage::refuse_foreign_tables(marked.file()).unwrap_err().to_string();
    assert!(error.contains("another program's") && error.contains("0x00000007") && error.contains("choose another file"), "{error}");
}

#[test]
fn an_empty_file_is_a_new_database() {
    let folder = Folder::new();
    fs::write(folder.file(), "").unwrap();
    assert_eq!(open(&folder.file()).unwrap().namespaces().len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600, "inputs are nobody else's business");
    }
}

#[test]
fn tables_of_another_program_are_left_alone() {
    let folder = Folder::new();
    let conn = Connection::open(folder.file()).unwrap();
    conn.execute_batch("CREATE TABLE runs (id, status); INSERT INTO runs VALUES (1, 'mine'); CREATE TABLE meta (key);").unwrap();
    drop(open(&folder.file()).unwrap());
    assert_eq!(conn.query_row("SELECT status FROM runs", [], |row| row.get::<_, String>(0)).unwrap(), "mine");
    drop(open(&folder.file()).unwrap());
}

#[test]
fn written_by_a_newer_version() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    let conn = Connection::open(folder.file()).unwrap();
    conn.execute("UPDATE runlater_meta SET value = 99 WHERE key = 'schema_version'", []).unwrap();
    drop(conn);
    refused(&folder.file(), &["newer runlater", "schema 99", "run that version"]);
}

#[test]
fn not_a_file_at_all() {
    let folder = Folder::new();
    refused(folder.0.path(), &["is not a file"]);
    refused(Path::new("/dev/null"), &["is not a file"]);
    let nowhere = folder.0.path().join("no/such/runs.db");
    refused(&nowhere, &["no/such", "does not exist", "create it first"]);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn read_only_or_of_another_user() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    let mode = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&folder.file(), 0o444);
    mode(&folder.file().with_extension("db.lock"), 0o666);
    mode(folder.0.path(), 0o777);
    as_somebody_else(|| drop(refused(&folder.file(), &["read-only", "write access"])));
    mode(&folder.file(), 0o000);
    let owner = format!("belongs to user {}", std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder.file()).unwrap()));
    as_somebody_else(|| drop(refused(&folder.file(), &["runs.db", &owner, "run as that user", "write access"])));
    mode(&folder.file(), 0o666);
    mode(&folder.file().with_extension("db.lock"), 0o400);
    as_somebody_else(|| drop(refused(&folder.file(), &["runs.db.lock", &owner, "run as that user"])));
}

#[cfg(unix)]
#[test]
fn other_users_can_write_no_file_of_the_database() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = Folder::new();
    let first = open(&folder.file()).unwrap();
    let path = |suffix: &str| folder.0.path().join(format!("runs.db{suffix}"));
    let mode = |suffix: &str| fs::metadata(path(suffix)).unwrap().mode() & 0o777;
    let set = |suffix: &str, mode| fs::set_permissions(path(suffix), fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(["", "-wal", "-shm", ".lock"].map(mode), [0o600; 4]);
    drop(first);
    set("", 0o666);
    set(".lock", 0o644);
    let again = open(&folder.file()).unwrap();
    // What an embedder lets others read stays readable; the lock is nobody else's business.
    assert_eq!(["", "-wal", "-shm", ".lock"].map(mode), [0o644, 0o644, 0o644, 0o600]);
    SqliteStorage::make_private(folder.file()).unwrap();
    assert_eq!(["", "-wal", "-shm"].map(mode), [0o640; 3]);
    drop(again);

    for (name, words) in [(".lock", ["symbolic link", "delete it"]), ("-journal", ["is not a file", "move it away"])] {
        drop(fs::remove_file(path(name)));
        let target = folder.0.path().join("target");
        fs::write(&target, "theirs").unwrap();
        std::os::unix::fs::symlink(&target, path(name)).unwrap();
        refused(&folder.file(), &words);
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        fs::remove_file(path(name)).unwrap();
    }
    drop(open(&folder.file()).unwrap());
    // Only root can give a file away.
    for name in ["", ".lock"] {
        if std::os::unix::fs::chown(path(name), Some(65_534), None).is_ok() {
            refused(&folder.file(), &["belongs to user 65534", "chown"]);
            std::os::unix::fs::chown(path(name), Some(0), None).unwrap();
        }
    }
}

/// For root every file is its own: `act` is done by a thread that becomes somebody else. For whoever isn't root that changes nothing.
fn as_somebody_else(act: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            #[cfg(target_os = "linux")]
            // SAFETY: the call reads and writes no memory, and concerns the calling thread only.
            unsafe {
                libc::setfsuid(65_534)
            };
            act();
        });
    });
}

#[test]
fn in_use_by_another_host() {
    let folder = Folder::new();
    let first = open(&folder.file()).unwrap();
    refused(&folder.file(), &["runs.db", "in use by another runlater host", "stop that one"]);
    #[cfg(unix)]
    {
        let link = folder.0.path().join("link.db");
        std::os::unix::fs::symlink(folder.file(), &link).unwrap();
        refused(&link, &["in use by another runlater host"]);
    }
    drop(first);
    drop(open(&folder.file()).unwrap());
}

/// POSIX locks that this process holds on a file. Closing any descriptor of the file releases all of them.
#[cfg(target_os = "linux")]
fn locks(path: &Path) -> usize {
    let file = format!(":{} ", std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap()));
    let held = fs::read_to_string("/proc/locks").unwrap();
    let own = std::process::id().to_string();
    held.lines().filter(|line| line.contains("POSIX") && line.split_whitespace().any(|word| word == own) && line.contains(&file)).count()
}

#[cfg(target_os = "linux")]
#[test]
fn opening_releases_no_lock_of_a_connection_of_the_same_process() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    // It keeps the log, and with a lock it keeps others from deleting that.
    let own = Connection::open(folder.file()).unwrap();
    own.execute_batch("CREATE TABLE orders (id); INSERT INTO orders VALUES (1)").unwrap();
    let before = locks(&folder.file());
    assert!(before > 0);
    let storage = open(&folder.file()).unwrap();
    assert!(locks(&folder.file()) >= before, "a log lies beside the file");
    refused(&folder.file(), &["in use by another runlater host"]);
    assert!(locks(&folder.file()) >= before, "a second host in the same process");
    drop(storage);
    assert_eq!(locks(&folder.file()), before);
}

#[test]
fn locked_by_another_program() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    refused(&folder.file(), &["runs.db", "locked by another program for 5 s", "try again"]);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    drop(open(&folder.file()).unwrap());
}

#[test]
fn another_file_in_its_place() {
    let folder = Folder::new();
    let storage = open(&folder.file()).unwrap();
    let namespace = storage.namespaces()[0].id;
    fs::rename(folder.file(), folder.0.path().join("moved.db")).unwrap();
    drop(open(&folder.0.path().join("other.db")).unwrap());
    fs::rename(folder.0.path().join("other.db"), folder.file()).unwrap();
    let list = || storage.list(namespace, &RunFilter::default(), &Page::new(10, None, Order::OldestFirst).unwrap(), at(0));
    let error = list().unwrap_err().to_string();
    assert!(error.contains("runs.db") && error.contains("not the file any more"), "{error}");
    fs::rename(folder.0.path().join("moved.db"), folder.file()).unwrap();
    list().unwrap();
}

#[test]
fn a_link_that_is_changed_meanwhile_leads_nobody_astray() {
    let folder = Folder::new();
    let link = folder.0.path().join("link.db");
    let link_to = |name: &str| {
        drop(fs::remove_file(&link));
        std::os::unix::fs::symlink(folder.0.path().join(name), &link).unwrap();
    };
    drop(open(&folder.0.path().join("other.db")).unwrap());
    link_to("runs.db");
    drop(open(&folder.file()).unwrap());
    let storage = open(&link).unwrap();
    link_to("other.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let name = runlater::model::Name::parse("made", "name").unwrap();
    runtime.block_on(storage.namespace(&name, true)).unwrap();
    drop(storage);
    let has = |file: &Path| open(file).unwrap().namespaces().iter().any(|namespace| namespace.name == name);
    assert!(has(&folder.file()) && !has(&folder.0.path().join("other.db")));
}

#[test]
fn damaged() {
    let folder = Folder::new();
    let storage = open(&folder.file()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in 0..200 {
        let name = runlater::model::Name::parse(&format!("namespace-with-a-long-name-{number:0>90}"), "name").unwrap();
        runtime.block_on(storage.namespace(&name, true)).unwrap();
    }
    drop(storage);
    let conn = Connection::open(folder.file()).unwrap();
    let root: i64 = conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'runlater_namespaces'", [], |row| row.get(0)).unwrap();
    drop(conn);
    let mut file = fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.seek(SeekFrom::Start((root as u64 - 1) * 4096 + 8)).unwrap();
    file.write_all(&[0xa5; 600]).unwrap();
    drop(file);
    let error = refused(&folder.file(), &["runs.db", "restore a backup", ".recover"]);
    assert!(matches!(error, StorageError::Corrupt(_)));
}

#[test]
fn a_log_of_another_database_is_not_taken_over() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    fs::write(folder.0.path().join("runs.db-wal"), [0x37, 0x7f, 0x06, 0x82].repeat(2_000)).unwrap();
    assert_eq!(open(&folder.file()).unwrap().namespaces().len(), 1);
}

#[test]
fn a_sound_log_of_another_database_is_refused() {
    let (folder, other) = (Folder::new(), Folder::new());
    drop(open(&folder.file()).unwrap());
    let storage = open(&other.file()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(storage.namespace(&runlater::model::Name::parse("theirs", "name").unwrap(), true)).unwrap();
    let log = folder.0.path().join("runs.db-wal");
    fs::copy(other.0.path().join("runs.db-wal"), &log).unwrap();
    drop(storage);
    let before = fs::read(folder.file()).unwrap();
    refused(&folder.file(), &["runs.db", "the log of another database", "runs.db-wal", "nothing was changed"]);
    assert_eq!((fs::read(folder.file()).unwrap() == before, log.exists()), (true, true));
    fs::remove_file(&log).unwrap();
    drop(fs::remove_file(folder.0.path().join("runs.db-shm")));
    assert_eq!(open(&folder.file()).unwrap().namespaces().len(), 1);
}

/// The migrations in their order.
fn migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/storage/sqlite/migrations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn an_older_database_of_any_version_is_copied_and_brought_up_to_date() {
    let migrations = migrations();
    for version in 1..migrations.len() {
        let folder = Folder::new();
        let conn = Connection::open(folder.file()).unwrap();
        migrations[..version].iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        conn.execute("INSERT INTO runlater_meta (key, value) VALUES ('schema_version', ?1)", [version as i64]).unwrap();
        conn.execute("INSERT INTO runlater_namespaces (id, name) VALUES (7, 'kept')", []).unwrap();
        drop(conn);
        // What a host left that was killed meanwhile is not in the way.
        fs::write(folder.0.path().join("runs.db.partial"), "half a copy").unwrap();
        assert_eq!(open(&folder.file()).unwrap().namespaces().len(), 2, "from version {version}");
        let copy = folder.0.path().join(format!("runs.db.schema-{version}.backup"));
        let stored = |file: &Path| -> i64 {
            let conn = Connection::open(file).unwrap();
            conn.query_row("SELECT value FROM runlater_meta WHERE key = 'schema_version'", [], |row| row.get(0)).unwrap()
        };
        assert_eq!((stored(&copy), stored(&folder.file())), (version as i64, migrations.len() as i64));
        assert!(!folder.names().iter().any(|name| name.ends_with(".partial")), "{:?}", folder.names());
        drop(open(&folder.file()).unwrap());
    }
}

#[test]
fn a_schema_that_somebody_changed() {
    for (change, words) in [
        (
            "CREATE TRIGGER spy AFTER INSERT ON runlater_runs BEGIN DELETE FROM runlater_tokens; END",
            "the trigger spy of runlater_runs is not as runlater made it",
        ),
        ("CREATE INDEX theirs ON runlater_runs (id)", "the index theirs of runlater_runs"),
        ("DROP INDEX runlater_runs_due", "the index runlater_runs_due of runlater_runs is missing"),
        ("ALTER TABLE runlater_runs ADD COLUMN mine TEXT", "the table runlater_runs is not"),
        (
            "ALTER TABLE runlater_code_schedules RENAME TO t; CREATE VIEW runlater_code_schedules AS SELECT * FROM t",
            "the view runlater_code_schedules is not",
        ),
        ("CREATE TABLE runlater_mine (id)", "the table runlater_mine is not"),
    ] {
        let folder = Folder::new();
        drop(open(&folder.file()).unwrap());
        Connection::open(folder.file()).unwrap().execute_batch(change).unwrap();
        let error = refused(&folder.file(), &["runs.db", words, "undo that, or restore a backup"]);
        assert!(matches!(error, StorageError::Corrupt(_)), "{change}");
    }
}

#[test]
fn each_page_damaged_is_refused_or_read_and_never_believed_blindly() {
    let file = File::new();
    let path = file.path();
    let world = World::new(Box::new(file));
    world.create((0..40).map(|due| world.new_run(5_000 + due, 0)).collect(), 0);
    world.wait(world.storage.close()).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut chance = fastrand::Rng::with_seed(1);
    let (mut refusals, pages) = (0, whole.len() / 4_096);
    for page in 0..pages {
        let folder = Folder::new();
        let mut damaged = whole.clone();
        // From the first byte, where a page says what it is.
        let from = page * 4_096 + if page == 0 { 100 } else { 0 };
        damaged[from..from + 64].iter_mut().for_each(|byte| *byte = chance.u8(..));
        fs::write(folder.file(), damaged).unwrap();
        match open(&folder.file()) {
            Err(error) => {
                assert!(matches!(error, StorageError::Corrupt(_)), "page {page}: {error}");
                refusals += 1;
            }
            // A page that nothing is on.
            Ok(storage) => drop(storage.list(storage.namespaces()[0].id, &RunFilter::default(), &Page::default(), at(0)).unwrap()),
        }
    }
    assert!(refusals * 10 >= pages * 9, "{refusals} of {pages} were refused");
}

#[test]
fn cut_short() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    let file = fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2 + 100).unwrap();
    let error = refused(&folder.file(), &["runs.db", "restore a backup"]);
    assert!(matches!(error, StorageError::Corrupt(_)));
}
