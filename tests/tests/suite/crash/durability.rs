//! What no kill can show, because the system's cache outlives the process: commits wait for the disk. And what else the connection must be told.

use runlater::Timestamp;
use runlater::storage::sqlite::SqliteStorage;

#[test]
fn the_writer_waits_for_the_disk_and_trusts_no_schema() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(folder.path().join("runs.db"), Timestamp::MIN).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // 2 is FULL.
    let expected = "journal wal, synchronous 2, trusted schema false, defensive true";
    assert_eq!(runtime.block_on(storage.settings()).unwrap(), expected);
}
