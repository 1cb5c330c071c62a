//! Files that are no place for runs: each is refused in words that say what to do, and is left as it was.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::conformance::world::at;
use runlater::storage::sqlite::SqliteStorage;
use runlater::storage::{Storage, StorageError};

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
    assert!(matches!(error, StorageError::Corrupt(_)));
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
fn read_only() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    let mut permissions = fs::metadata(folder.file()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(folder.file(), permissions).unwrap();
    if fs::OpenOptions::new().write(true).open(folder.file()).is_ok() {
        // Whoever runs this test may write everything, as root may: nothing is read-only then.
        return;
    }
    refused(&folder.file(), &["read-only", "write access"]);
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
fn cut_short() {
    let folder = Folder::new();
    drop(open(&folder.file()).unwrap());
    let file = fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2 + 100).unwrap();
    let error = refused(&folder.file(), &["runs.db", "restore a backup"]);
    assert!(matches!(error, StorageError::Corrupt(_)));
}
