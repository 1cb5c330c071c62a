//! What no kill can show, because the system's cache outlives the process: commits wait for the disk.

use runlater::Timestamp;
use runlater::storage::sqlite::SqliteStorage;

/// `PRAGMA synchronous` as a number.
const FULL: i64 = 2;

#[test]
fn the_writer_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(folder.path().join("runs.db"), Timestamp::MIN).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(storage.durability()).unwrap(), ("wal".to_owned(), FULL));
}
