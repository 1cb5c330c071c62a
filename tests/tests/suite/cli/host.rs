//! `serve`: starting, stopping and copying.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rusqlite::Connection;

use super::{Server, command, run_in};

#[test]
fn a_stop_is_graceful_and_a_start_goes_on() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["touch", "--after", "1h"]);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.db");
    server.run(&["backup", &kept.to_string_lossy()]).ok();
    let token = server.token();

    let second = server.run(&["serve", "--db", "runs.db", "--listen", "127.0.0.1:0"]).fails(78, &["runs.db", "in use by another"]);
    assert_eq!(second.lines().count(), 1, "one paragraph: {second}");
    assert_eq!(server.token(), token, "the second host left the first one's file alone");
    let port = server.url.rsplit(':').next().unwrap();
    server.run(&["serve", "--db", "other.db", "--listen", &format!("127.0.0.1:{port}")]).fails(74, &["can't listen", "--listen"]);
    let stopped = server.stop();
    assert_eq!(stopped.code, Some(0), "{stopped:?}");

    // The copy is a whole database with the run in it.
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = Connection::open(&kept).unwrap();
    assert_eq!(copy.query_row("SELECT count(*) FROM runlater_runs", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    drop(copy);
    let mut second = command(folder.path(), &["serve", "--db", "kept.db", "--listen", "127.0.0.1:0", "--json"]).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(second.stdout.take().unwrap()), &mut line).unwrap();
    assert!(run_in(folder.path(), &["runs", "show", &run]).ok().contains("scheduled"));
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn copies_overwrite_nothing() {
    let server = Server::start();
    std::fs::write(server.path("there.db"), "mine").unwrap();
    server.run(&["backup", "there.db"]).fails(3, &["never overwrites"]);
    server.run(&["backup", "there.db", "--db", "runs.db"]).fails(74, &["never overwrites"]);
    assert_eq!(std::fs::read_to_string(server.path("there.db")).unwrap(), "mine");
    // A database whose server works can be copied as a file, too.
    server.run(&["backup", "copy.db", "--db", "runs.db"]).ok();
    assert_eq!(std::fs::metadata(server.path("copy.db")).unwrap().permissions().mode() & 0o777, 0o600);
    Connection::open(server.path("copy.db")).unwrap().query_row("SELECT count(*) FROM runlater_tokens", [], |_| Ok(())).unwrap();
    server.run(&["backup", "other.db", "--db", "no.db"]).fails(74, &["no.db"]);
    server.run(&["backup", "other.db", "--db", "there.db"]).fails(65, &["there.db", "is not a SQLite database"]);
    assert!(std::process::Command::new("mkfifo").arg(server.path("pipe.db")).status().unwrap().success());
    server.run(&["backup", "other.db", "--db", "pipe.db"]).fails(74, &["pipe.db is not a file", "name the database file"]);
    server.run(&["backup", "other.db", "--db", "."]).fails(74, &["is a folder"]);
    assert!(!server.path("other.db").exists());
}

#[test]
fn compiled_code_lies_beside_the_database_and_is_private() {
    let server = Server::with(&["hello"]);
    let mode = |name: &str| std::fs::metadata(server.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("runs.db.code"), mode("runs.db.code/key"), mode("runs.db")), (0o700, 0o600, 0o600));
    let compiled = std::fs::read_dir(server.path("runs.db.code")).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "key");
    assert_eq!(compiled.count(), 1);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let server = Server::with(&["behaviours"]);
    server.schedule(&["touch", "--after", "1h"]);
    for arguments in [&["runs", "list"][..], &["tasks", "--json"], &["--help"], &["--version"]] {
        let mut child = command(server.folder.path(), arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(ended.stderr.is_empty() && ended.status.success(), "{arguments:?}: {ended:?}");
    }
}
