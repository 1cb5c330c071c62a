//! A cancellation that is committed before the claim of the attempt that it is for.
//!
//! A claim is taken in memory first, so for a moment the row says that the run waits, while whoever cancels it was told that
//! its attempt will end. A host that dies then must not have it start again.

use std::os::unix::process::ExitStatusExt;

use rusqlite::Connection;

use super::check::sound;
use super::ledger::Entry;
use super::process::Victim;

#[test]
fn a_run_whose_attempt_was_told_to_end_does_not_start_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    // The parent is stored, and the host dead before it is due.
    let (status, _) = Victim::start("point", &path, &[("CALL", "buffered"), ("AT", "create/commit:settled")]).end();
    assert_eq!(status.signal(), Some(9));
    let conn = Connection::open(&path).unwrap();
    // The moment itself is too short to be met.
    let now = super::victim::now().as_micros();
    let changed = conn.execute("UPDATE runlater_runs SET cancel_requested = 1, due_at = ?1, trigger_at = ?1", [now]).unwrap();
    assert_eq!(changed, 1);
    drop(conn);
    let (status, told) = Victim::start("drain", &path, &[]).end();
    assert!(status.success());
    assert!(!told.iter().any(|entry| matches!(entry, Entry::Started(..))), "{told:?}");
    let conn = Connection::open(&path).unwrap();
    let status: i64 = conn.query_row("SELECT status FROM runlater_runs", [], |row| row.get(0)).unwrap();
    assert_eq!(status, 5);
    sound(&conn);
}
