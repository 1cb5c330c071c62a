//! Reads SQLite's write-ahead log, to say which pages a checkpoint copies and how far it came before a crash.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The committed frames of a log.
pub(crate) struct Log {
    page_bytes: usize,
    bytes: Vec<u8>,
    /// Of each page: the number of the commit, and where its content begins, oldest first.
    versions: BTreeMap<u32, Vec<(usize, usize)>>,
}

/// The file of this name with a suffix appended.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

impl Log {
    /// Reads the log beside a database.
    pub(crate) fn of(database: &Path) -> Self {
        let bytes = fs::read(beside(database, "-wal")).unwrap_or_default();
        let number = |at: usize| bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().expect("four bytes")));
        let page_bytes = number(8) as usize;
        let mut log = Self { page_bytes, bytes: Vec::new(), versions: BTreeMap::new() };
        let (mut at, mut commit, mut open) = (HEADER_BYTES, 0, Vec::new());
        // Frames of before the log started over have other salts.
        while page_bytes > 0 && at + FRAME_HEADER_BYTES + page_bytes <= bytes.len() && bytes[at + 8..at + 16] == bytes[16..24] {
            open.push((number(at), at + FRAME_HEADER_BYTES));
            if number(at + 4) > 0 {
                for (page, content) in open.drain(..) {
                    log.versions.entry(page).or_default().push((commit, content));
                }
                commit += 1;
            }
            at += FRAME_HEADER_BYTES + page_bytes;
        }
        log.bytes = bytes;
        log
    }

    /// The pages in it, in the order in which a checkpoint copies them.
    pub(crate) fn pages(&self) -> Vec<u32> {
        self.versions.keys().copied().collect()
    }

    /// Copies the last committed content of these pages into a file, as a checkpoint does.
    pub(crate) fn copy_into(&self, file: &mut Vec<u8>, pages: &[u32]) {
        for page in pages {
            let end = *page as usize * self.page_bytes;
            if file.len() < end {
                file.resize(end, 0);
            }
            let (_, content) = *self.versions[page].last().expect("each page in the log has a version");
            file[end - self.page_bytes..end].copy_from_slice(&self.bytes[content..content + self.page_bytes]);
        }
    }

    /// Whether the file is the database of no commit: a checkpoint was cut short while it copied.
    pub(crate) fn is_half_copied(&self, file: &[u8]) -> bool {
        // The commits at which all pages are as in the file.
        let (mut from, mut until) = (0, usize::MAX);
        for (page, versions) in &self.versions {
            let end = *page as usize * self.page_bytes;
            let stored = file.get(end - self.page_bytes..end);
            let is_stored = |content: usize| stored == Some(&self.bytes[content..content + self.page_bytes]);
            let found = versions.iter().rposition(|(_, content)| is_stored(*content));
            from = from.max(found.map_or(0, |found| versions[found].0 + 1));
            until = until.min(versions.get(found.map_or(0, |found| found + 1)).map_or(usize::MAX, |(commit, _)| commit + 1));
        }
        from >= until
    }
}

#[test]
fn a_cut_checkpoint_is_told_from_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); PRAGMA wal_checkpoint; PRAGMA wal_autocheckpoint = 0").unwrap();
    for _ in 0..3 {
        conn.execute_batch("INSERT INTO t VALUES (randomblob(20000))").unwrap();
    }
    let (log, before) = (Log::of(&path), fs::read(&path).unwrap());
    let pages = log.pages();
    assert!(pages.len() > 15 && pages[0] == 1 && !log.is_half_copied(&before), "{pages:?}");
    for count in 1..=pages.len() {
        let mut file = before.clone();
        log.copy_into(&mut file, &pages[..count]);
        assert_eq!(log.is_half_copied(&file), count < pages.len(), "{count} pages");
    }
}
