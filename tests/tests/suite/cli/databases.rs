//! Files that `serve` is given as a database and can't use: each time an exit code, one paragraph with a command to run, and everything left as it was.
//! Why each is refused is tested without the program, in `contracts::bad_files`.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use runlater::storage::Storage;
use runlater::storage::sqlite::SqliteStorage;
use rusqlite::Connection;

use super::{Server, command, end, ran, run_in, unprivileged};

/// The exit codes for what is no database of ours or damaged, and for what can't be used here or now.
const DAMAGED: i32 = 65;
const UNUSABLE: i32 = 78;

fn open(path: &Path) -> SqliteStorage {
    SqliteStorage::open(path, runlater::Timestamp::MIN).unwrap()
}

/// A database as a host leaves it, and then this done to it.
fn changed(path: &Path, sql: &str) {
    drop(open(path));
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Damages the page of a table that every start reads.
fn overwrite_a_page(path: &Path) {
    changed(path, "");
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'runlater_namespaces'";
    let root: u32 = Connection::open(path).unwrap().query_row(root, [], |row| row.get(0)).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(u64::from(root - 1) * 4_096 + 8)).unwrap();
    file.write_all(&[0xa5; 600]).unwrap();
}

/// Puts the sound log of another database beside one.
fn put_the_log_of_another(path: &Path) {
    drop(open(path));
    let folder = tempfile::tempdir().unwrap();
    let other = open(&folder.path().join("other.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(other.namespace(&runlater::model::Name::parse("theirs", "name").unwrap(), true)).unwrap();
    fs::copy(folder.path().join("other.db-wal"), path.with_extension("db-wal")).unwrap();
}

#[test]
fn each_bad_file_has_its_exit_code_and_says_what_to_run() {
    type Make = fn(&Path);
    let rows: [(&str, Make, i32, &[&str]); 15] = [
        (
            "letter",
            |path| fs::write(path, "This is a letter. ".repeat(200)).unwrap(),
            DAMAGED,
            &["not a SQLite database", "choose another file"],
        ),
        (
            "cut",
            |path| {
                changed(path, "");
                fs::OpenOptions::new().write(true).open(path).unwrap().set_len(30_000).unwrap()
            },
            DAMAGED,
            &["restore a backup"],
        ),
        ("page", overwrite_a_page, DAMAGED, &["restore a backup", ".recover"]),
        (
            "trigger",
            |path| changed(path, "CREATE TRIGGER spy AFTER INSERT ON runlater_runs BEGIN DELETE FROM runlater_tokens; END"),
            DAMAGED,
            &["the trigger spy", "undo that"],
        ),
        (
            "view",
            |path| changed(path, "ALTER TABLE runlater_code_schedules RENAME TO t; CREATE VIEW runlater_code_schedules AS SELECT * FROM t"),
            DAMAGED,
            &["the view runlater_code_schedules"],
        ),
        (
            "others",
            |path| Connection::open(path).unwrap().execute_batch("CREATE TABLE bookmarks (url)").unwrap(),
            UNUSABLE,
            &["another program's database", "bookmarks"],
        ),
        (
            "newer",
            |path| changed(path, "UPDATE runlater_meta SET value = 99 WHERE key = 'schema_version'"),
            UNUSABLE,
            &["newer runlater", "run that version"],
        ),
        ("log", put_the_log_of_another, UNUSABLE, &["the log of another database", ".db-wal"]),
        ("folder", |path| fs::create_dir(path).unwrap(), UNUSABLE, &["is not a file"]),
        ("pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()), UNUSABLE, &["is not a file"]),
        ("device", |path| std::os::unix::fs::symlink("/dev/null", path).unwrap(), UNUSABLE, &["is not a file"]),
        (
            "readonly",
            |path| {
                changed(path, "");
                mode(path, 0o444)
            },
            UNUSABLE,
            &["is read-only", "give this user write access"],
        ),
        (
            "closed",
            |path| {
                changed(path, "");
                mode(path, 0o000)
            },
            UNUSABLE,
            &["belongs to user", "run as that user"],
        ),
        (
            "damagedroot",
            |path| {
                changed(path, "");
                fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"SQLite format 4").unwrap()
            },
            DAMAGED,
            &["not a SQLite database"],
        ),
        ("nowhere/none", |_| {}, UNUSABLE, &["its folder does not exist", "mkdir -p 'nowhere'"]),
    ];
    for (name, make, code, words) in rows {
        let folder = tempfile::tempdir().unwrap();
        let db = format!("{name}.db");
        make(&folder.path().join(&db));
        let before = state(folder.path());
        refused(folder.path(), &db, code, words);
        assert!(state(folder.path()) == before, "{db} and what is beside it are as they were");
    }
}

/// The files in a folder and what is in them.
fn state(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: &Path| if path.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() };
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // A lock is empty, and taken again by whoever opens the file next; the index of a log is shared by whoever reads the file.
    let paths = paths.filter(|path| !path.extension().is_some_and(|ending| ending == "lock" || ending == "db-shm"));
    let mut files: Vec<_> = paths.map(|path| (path.clone(), read(&path))).collect();
    files.sort();
    files
}

/// Tries to start on this file, and looks at why that fails.
fn refused(folder: &Path, db: &str, code: i32, words: &[&str]) {
    let mut child = unprivileged(command(folder, &["serve", "--db", db, "--listen", "127.0.0.1:0"])).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if !line.is_empty() {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("it serves {db}: {line}");
    }
    let said = ran(child.wait_with_output().unwrap()).fails(code, &[&[db], words].concat());
    assert_eq!(said.lines().count(), 1, "one paragraph: {said}");
    assert_eq!(said.to_lowercase().matches("nothing was changed").count(), usize::from(!said.contains("mkdir")), "{said}");
    assert!(["runlater serve --db", "mkdir -p"].iter().any(|command| said.contains(command)), "a command to run: {said}");
}

#[test]
fn a_half_copied_log_is_no_damage() {
    let crash = crate::faults::half_copied::small();
    let states = crash.states(1);
    for state in
        states.iter().filter(|state| ["the first", "3 eighths", "half of", "a torn"].iter().any(|name| state.name.starts_with(name)))
    {
        let folder = tempfile::tempdir().unwrap();
        let path = crash.put(state, folder.path());
        let server =
            Server::of(folder, command(path.parent().unwrap(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]));
        crash.assert_all_there(&path, &state.name);
        drop(server);
    }
}

#[test]
fn whoever_has_it_open_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken.db");
    let held = open(&path);
    refused(folder.path(), "taken.db", UNUSABLE, &["in use by another runlater host", "stop that one"]);
    drop(held);
    let other = Connection::open(&path).unwrap();
    // From here on the file is not read by this process: to close it would give up the lock.
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    refused(folder.path(), "taken.db", UNUSABLE, &["locked by another program", "try again"]);
    let json = end(command(folder.path(), &["serve", "--db", "taken.db", "--listen", "127.0.0.1:0", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((json["exit"].as_i64(), json["code"].as_str()), (Some(UNUSABLE.into()), Some("database")), "{json}");
}

#[test]
fn an_empty_file_is_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("runs.db"), "").unwrap();
    let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]);
    let server = Server::of(folder, serve);
    server.run(&["tasks"]).ok();
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn beyond_this_machine_only_if_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &["serve", "--db", "x.db", "--listen", "0.0.0.0:0"]).fails(2, &["--insecure"]);
    assert!(!folder.path().join("x.db").exists());
}
