//! A guest that kills its host whenever it runs.

use std::os::unix::process::ExitStatusExt;

use rusqlite::Connection;

use super::ledger::Entry;
use super::process::Victim;

#[test]
fn a_run_that_kills_its_host_is_quarantined_and_others_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut told = Vec::new();
    let mut deaths = 0;
    loop {
        let (status, entries) = Victim::start("poison", &path, &[]).end();
        told.extend(entries);
        if status.signal() != Some(9) {
            assert!(status.success(), "{status}");
            break;
        }
        deaths += 1;
        assert!(deaths <= 4, "it kills its host for ever");
    }
    let conn = Connection::open(&path).unwrap();
    let (id, status, reason, crashes): (i64, i64, String, i64) = conn
        .query_row("SELECT id, status, reason, crashes FROM runlater_runs WHERE unique_key = 'poison'", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    assert_eq!((status, reason.as_str(), crashes), (4, "quarantined", 3));
    let counted: i64 = conn
        .query_row("SELECT count(*) FROM runlater_attempts WHERE run = ?1 AND outcome = 'host-crashed'", [id], |row| row.get(0))
        .unwrap();
    assert_eq!(counted, 3);
    let starts = told.iter().filter(|entry| matches!(entry, Entry::Started(..))).count();
    let others: i64 =
        conn.query_row("SELECT count(*) FROM runlater_runs WHERE status = 3 AND unique_key <> 'poison'", [], |row| row.get(0)).unwrap();
    assert_eq!(others, 10, "the others complete");
    assert!((3..=4).contains(&deaths), "{deaths} deaths, {starts} starts in all");
}
