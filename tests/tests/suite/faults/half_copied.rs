//! A file whose log was copied into it in part, when the host was killed or power was lost: with its log it is a healthy database.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::log::{Log, beside};
use crate::conformance::sqlite::File;
use crate::conformance::world::{World, at, large};
use runlater::RunId;
use runlater::storage::StorageError;
use runlater::storage::sqlite::SqliteStorage;

/// What a crash left: the file before the checkpoint, its log and the index of that, and the runs that were acknowledged.
pub(crate) struct Crash {
    file: Vec<u8>,
    log: Log,
    log_bytes: Vec<u8>,
    index: Vec<u8>,
    pub(crate) runs: Vec<RunId>,
}

/// A state in which a crash left the file.
pub(crate) struct State {
    pub(crate) name: String,
    file: Vec<u8>,
    with_index: bool,
}

impl Crash {
    /// Has a host store this many runs, with inputs of this many bytes, in a log of which nothing was copied.
    fn with(count: usize, input_bytes: usize) -> Self {
        let place = File::new();
        let path = place.path();
        let mut world = World::new(Box::new(place));
        let mut runs = world.create((0..20).map(|_| world.new_run(5_000, 0)).collect(), 0);
        // A host that stops copies its log.
        world.reopen(0);
        let reader = Self::hold(&path);
        for _ in 0..count {
            let mut run = world.new_run(5_000, 0);
            run.input = large(input_bytes);
            runs.extend(world.create(vec![run], 0));
        }
        let crash = Self::taken(&path, runs);
        drop(reader);
        crash
    }

    /// The same of a log in which `VACUUM` moved every table of the host to other pages.
    fn after_vacuum() -> Self {
        let place = File::new();
        let path = place.path();
        let own = Connection::open(&path).unwrap();
        own.execute_batch(
            "CREATE TABLE bookmarks (url); CREATE TABLE settings (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
             INSERT INTO settings VALUES ('id_origin', 7), ('secret', 'of the program itself');
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO bookmarks SELECT randomblob(100) FROM n",
        )
        .unwrap();
        own.close().unwrap();
        let world = World::new(Box::new(place));
        let runs = world.create((0..500).map(|_| world.new_run(5_000, 0)).collect(), 0);
        world.wait(world.storage.close()).unwrap();
        let own = Connection::open(&path).unwrap();
        own.execute_batch("PRAGMA wal_autocheckpoint = 0; DROP TABLE bookmarks; VACUUM").unwrap();
        Self::taken(&path, runs)
    }

    /// Keeps the host from copying its log, by a reader that reads the state of now.
    fn hold(path: &Path) -> Connection {
        let reader = Connection::open(path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
        reader
    }

    fn taken(path: &Path, runs: Vec<RunId>) -> Self {
        let read = |suffix| fs::read(beside(path, suffix)).unwrap();
        Self { file: read(""), log: Log::of(path), log_bytes: read("-wal"), index: read("-shm"), runs }
    }

    /// The states that a checkpoint leaves that is cut short, by a kill (a prefix) or by a loss of power (any pages).
    pub(crate) fn states(&self, seeds: u64) -> Vec<State> {
        let pages = self.log.pages();
        assert!(pages.len() > 20 && pages[0] == 1, "{} pages", pages.len());
        let some = |name: &str, pages: &[u32]| {
            let mut file = self.file.clone();
            self.log.copy_into(&mut file, pages);
            (name.to_string(), file)
        };
        let mut states = vec![
            some("none", &[]),
            some("all", &pages),
            some("the first page only", &pages[..1]),
            some("all but the first page", &pages[1..]),
            some("the last page only", &pages[pages.len() - 1..]),
            some("all but the last page", &pages[..pages.len() - 1]),
        ];
        states.extend((1..8).map(|eighths| some(&format!("{eighths} eighths"), &pages[..pages.len() * eighths / 8])));
        states.extend((0..seeds).map(|seed| {
            let mut chance = fastrand::Rng::with_seed(seed);
            let half: Vec<u32> = pages.iter().copied().filter(|_| chance.bool()).collect();
            some(&format!("half of them, seed {seed}"), &half)
        }));
        // The system wrote half of the first page, and power was lost.
        let (_, mut torn) = some("", &[]);
        torn[..512].fill(0xa5);
        states.push(("a torn first page".into(), torn));
        let both = |(name, file): (String, Vec<u8>)| {
            [true, false].map(|with_index| State {
                name: format!("{name}, {} index", if with_index { "with" } else { "without" }),
                file: file.clone(),
                with_index,
            })
        };
        states.into_iter().flat_map(both).collect()
    }

    /// Puts a state into a folder.
    pub(crate) fn put(&self, state: &State, folder: &Path) -> PathBuf {
        let path = folder.join("runs.db");
        fs::write(&path, &state.file).unwrap();
        fs::write(beside(&path, "-wal"), &self.log_bytes).unwrap();
        if state.with_index {
            fs::write(beside(&path, "-shm"), &self.index).unwrap();
        }
        path
    }

    /// Whether all runs that were acknowledged are in this database.
    pub(crate) fn assert_all_there(&self, path: &Path, name: &str) {
        let conn = Connection::open(path).unwrap();
        let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok", "{name}");
        let stored = stored(&conn);
        let lost = self.runs.iter().filter(|run| !stored.contains(run)).count();
        assert_eq!(lost, 0, "{name}: {lost} of {} acknowledged runs are lost", self.runs.len());
    }
}

/// The runs in a database.
pub(crate) fn stored(conn: &Connection) -> std::collections::HashSet<RunId> {
    let origin = "SELECT value FROM runlater_meta WHERE key = 'id_origin'";
    let origin = conn.query_row(origin, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    let mut statement = conn.prepare("SELECT id FROM runlater_runs").unwrap();
    let keys = statement.query_map([], |row| row.get(0)).unwrap();
    keys.map(|key| RunId::from_key(key.unwrap(), origin)).collect()
}

/// A small log.
pub(crate) fn small() -> Crash {
    Crash::with(40, 9_000)
}

/// The files in a folder and what is in them. The index of a log is shared by all who read it, and says who does.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &Path| if path.ends_with("runs.db-shm") { Vec::new() } else { fs::read(path).unwrap() };
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn all_open(crash: &Crash, seeds: u64) {
    for state in crash.states(seeds) {
        let folder = tempfile::tempdir().unwrap();
        let path = crash.put(&state, folder.path());
        let before = contents(folder.path());
        SqliteStorage::refuse_foreign_tables(&path).unwrap_or_else(|error| panic!("{}: {error}", state.name));
        assert!(contents(folder.path()) == before, "{}: looking at the tables changes nothing", state.name);
        let storage = SqliteStorage::open(&path, at(1)).unwrap_or_else(|error| panic!("{}: {error}", state.name));
        drop(storage);
        crash.assert_all_there(&path, &state.name);
    }
}

#[test]
fn a_half_copied_log_loses_nothing() {
    all_open(&small(), 20);
}

#[test]
fn a_half_copied_log_of_more_than_16_mib_loses_nothing() {
    let crash = Crash::with(90, 200_000);
    assert!(crash.log_bytes.len() > 16 << 20, "{}", crash.log_bytes.len());
    all_open(&crash, 1);
}

#[test]
fn a_half_copied_vacuum_loses_nothing() {
    all_open(&Crash::after_vacuum(), 40);
}

/// A database of another program with a log, of which some pages were copied.
fn another_program(folder: &Path) -> Connection {
    let path = folder.join("runs.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE bookmarks (url)").unwrap();
    for _ in 0..20 {
        conn.execute_batch("INSERT INTO bookmarks VALUES (randomblob(9000))").unwrap();
    }
    conn
}

#[test]
fn another_programs_database_is_refused_with_its_log() {
    let refused = |folder: &Path, case: &str| {
        let before = contents(folder);
        let error = SqliteStorage::refuse_foreign_tables(folder.join("runs.db")).expect_err(case).to_string();
        assert!(error.contains("another program's") && error.contains("bookmarks"), "{case}: {error}");
        assert!(contents(folder) == before, "{case}: no file was made and no byte changed");
    };
    let live = tempfile::tempdir().unwrap();
    let conn = another_program(live.path());
    refused(live.path(), "at work");
    conn.execute_batch("BEGIN IMMEDIATE; INSERT INTO bookmarks VALUES (randomblob(9000))").unwrap();
    refused(live.path(), "in a transaction");
    conn.execute_batch("ROLLBACK").unwrap();

    let crash = Crash::taken(&live.path().join("runs.db"), Vec::new());
    for state in crash.states(5).iter().filter(|state| !state.name.contains("torn")) {
        let folder = tempfile::tempdir().unwrap();
        crash.put(state, folder.path());
        refused(folder.path(), &state.name);
    }
}

#[test]
fn a_log_of_another_program_beside_ours_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = ours.path().join("runs.db");
    drop(SqliteStorage::open(&path, at(0)).unwrap());
    let _conn = another_program(theirs.path());
    fs::copy(theirs.path().join("runs.db-wal"), beside(&path, "-wal")).unwrap();
    let before = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
    for refused in [SqliteStorage::refuse_foreign_tables(&path), SqliteStorage::open(&path, at(0)).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable(_)) && error.to_string().contains("the log of another database"), "{error}");
        assert!((fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap()) == before);
    }
}

/// SQLite deletes the log of an empty file.
#[test]
fn a_log_without_its_file_is_kept() {
    let crash = small();
    for is_empty in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = crash.put(&State { name: String::new(), file: Vec::new(), with_index: false }, folder.path());
        if !is_empty {
            fs::remove_file(&path).unwrap();
        }
        let before = contents(folder.path());
        for refused in [
            SqliteStorage::refuse_foreign_tables(&path),
            SqliteStorage::open(&path, at(0)).map(drop),
            SqliteStorage::copy_file(&path, folder.path().join("copy.db"), |_, _| {}),
        ] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("runs.db-wal") && error.contains("put the file back"), "{error}");
            assert!(contents(folder.path()) == before);
        }
    }
}

/// The advice fits the state: a backup was put beside a log that is not of its moment.
#[test]
fn damage_beside_a_log_is_refused_and_the_log_is_kept() {
    let crash = small();
    let folder = tempfile::tempdir().unwrap();
    let path = crash.put(&crash.states(0)[0], folder.path());
    let conn = Connection::open(&path).unwrap();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'runlater_audit'";
    let root = conn.query_row(root, [], |row| row.get::<_, u32>(0)).unwrap() as usize;
    drop(conn);
    let mut file = fs::read(&path).unwrap();
    file[(root - 1) * 4_096..(root - 1) * 4_096 + 600].fill(0xa5);
    fs::write(&path, &file).unwrap();
    let error = SqliteStorage::open(&path, at(0)).map(drop).unwrap_err().to_string();
    assert!(error.contains("runs.db-wal away; otherwise restore a backup"), "{error}");
    assert!(fs::read(&path).unwrap() == file && fs::read(beside(&path, "-wal")).unwrap() == crash.log_bytes, "{error}");
}

/// A rollback journal is part of the database, too.
#[test]
fn a_hot_journal_is_applied_before_tables_are_judged() {
    let crashed = |sql: &str| {
        let (live, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = live.path().join("runs.db");
        drop(SqliteStorage::open(&path, at(0)).unwrap());
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1").unwrap();
        conn.execute_batch(sql).unwrap();
        for suffix in ["", "-journal"] {
            fs::copy(beside(&path, suffix), beside(&folder.path().join("runs.db"), suffix)).unwrap();
        }
        folder
    };
    // Written to the file and not committed.
    let filler =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99) INSERT INTO theirs SELECT randomblob(9000) FROM n";
    let folder =
        crashed(&format!("CREATE TABLE theirs (x); BEGIN; {filler}; UPDATE runlater_meta SET value = 7 WHERE key = 'id_origin'; {filler}"));
    let path = folder.path().join("runs.db");
    let mut file = fs::read(&path).unwrap();
    // A torn first page: the journal has it.
    file[100..400].fill(0xa5);
    fs::write(&path, &file).unwrap();
    SqliteStorage::refuse_foreign_tables(&path).unwrap();
    drop(SqliteStorage::open(&path, at(1)).unwrap());
}
