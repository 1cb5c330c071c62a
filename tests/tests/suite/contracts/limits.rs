//! The page on limits says what the code does.

use runlater::Timestamp;
use runlater::model::Name;
use runlater::model::limits::*;
use runlater::storage::sqlite::SqliteStorage;
use runlater::storage::{NamespaceError, Namespaces};

/// A figure as people write it.
fn figure(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// The row of a table that begins so.
fn row<'a>(page: &'a str, what: &str) -> &'a str {
    page.lines().find(|line| line.starts_with(&format!("| {what} |"))).unwrap_or_else(|| panic!("no row about {what}"))
}

#[test]
fn the_page_on_limits_has_the_figures_of_the_code() {
    let page = include_str!("../../../../docs/limits.md");
    let limits = Limits::default();
    let kib = |bytes: usize| format!("{} KiB", bytes >> 10);
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    for (what, figures) in [
        ("Input, output", vec![kib(PAYLOAD_BYTES_MAX)]),
        ("Depth of a JSON input", vec![JSON_DEPTH_MAX.to_string()]),
        ("Name of a task or namespace", vec![NAME_CHARS_MAX.to_string()]),
        ("Metadata of a run", vec![format!("{METADATA_ENTRIES_MAX} entries, {METADATA_BYTES_MAX} bytes")]),
        ("Unique key", vec![format!("{UNIQUE_KEY_BYTES_MAX} bytes")]),
        ("Failed attempts", vec![ATTEMPTS_MAX.to_string()]),
        ("Timeout", vec![format!("{} h", TIMEOUT_MAX.as_secs() / 3600)]),
        ("Page of a list", vec![format!("{PAGE_SIZE_MAX} runs; {} passed by", figure(PAGE_SKIP_MAX as u64))]),
        ("Runs with one request", vec![figure(RUNS_AT_ONCE_MAX as u64)]),
        ("Cron", vec![format!("{CRON_BYTES_MAX} bytes"), format!("{} s", CRON_INTERVAL_MIN.as_secs())]),
        ("Occurrences of one backfill", vec![figure(OCCURRENCES_MAX as u64)]),
        ("Runs that wait", vec![figure(LIVE_PER_NAMESPACE_MAX)]),
        ("Crons", vec![figure(CRONS_MAX.into())]),
        ("Bytes of its components", vec![format!("{} GiB", COMPONENT_BYTES_PER_NAMESPACE_MAX >> 30)]),
        ("Runs that its guests create in a second", vec![figure(GUEST_CREATES_PER_SECOND.into())]),
        ("A write that waits for the lock", vec![format!("{} s", WRITE_LOCK_WAIT_MAX.as_secs())]),
        ("Memories and tables together", vec![mib(limits.memory_bytes)]),
        ("Stack", vec![kib(limits.stack_bytes)]),
        ("Table elements together", vec![figure(limits.table_elements as u64)]),
        ("Core instances, memories, tables", vec![format!("{}, {}, {}", limits.instances, limits.memories, limits.tables)]),
        ("Data that one call passes to the host", vec![mib(limits.hostcall_bytes)]),
        ("Handles", vec![figure(limits.handles as u64)]),
        ("Open TCP sockets", vec![format!("{}; those of all attempts {GUEST_SOCKETS_MAX}", limits.sockets)]),
        ("Calls of the host, those of WASI included", vec![figure(limits.host_calls)]),
        ("Log, with stdout and stderr", vec![kib(limits.log_bytes)]),
        ("Random bytes in one call", vec![kib(limits.random_bytes as usize)]),
        (
            "Writes: runs scheduled, moved, deleted, cancelled",
            vec![format!("{} and {}", figure(WRITES_PER_ATTEMPT_MAX as u64), mib(WRITE_BYTES_PER_ATTEMPT_MAX))],
        ),
        ("Unfinished runs that follow from one run", vec![figure(LIVE_PER_ROOT_MAX)]),
        ("Follow-ups of follow-ups within a second", vec![format!("{DEPTH_MAX} deep")]),
        ("Time after it was asked to end", vec![format!("{} s", CANCEL_GRACE.as_secs())]),
    ] {
        for figure in figures {
            assert!(row(page, what).contains(&figure), "{what} is {figure}");
        }
    }
    assert!(page.contains(&format!("At most {} of binary WebAssembly", mib(COMPONENT_BYTES_MAX))));
}

/// Made in the file, because ten thousand calls would take long and say no more.
#[test]
fn a_host_has_so_many_namespaces_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    drop(SqliteStorage::open(&path, Timestamp::MIN).expect("a new file"));
    let conn = rusqlite::Connection::open(&path).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO runlater_namespaces (id, name) SELECT i, 'n' || i FROM n";
    conn.execute(fill, [NAMESPACES_MAX as i64 - 1]).unwrap();
    drop(conn);
    let storage = SqliteStorage::open(&path, Timestamp::MIN).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let create = |name: &str| {
        let name = Name::parse(name, "name").unwrap();
        runtime.block_on(storage.create_namespace(None, name, Default::default(), Timestamp::MIN)).unwrap().map(drop)
    };
    assert_eq!((create("the-last"), create("one-more")), (Ok(()), Err(NamespaceError::TooMany(NAMESPACES_MAX))));
    let page = include_str!("../../../../docs/limits.md");
    assert!(page.contains(&format!("A host has at most {} namespaces", figure(NAMESPACES_MAX as u64))));
}

/// A code that nobody answers with is worse than none.
#[test]
fn every_code_on_the_page_is_one_of_ours() {
    let page = include_str!("../../../../docs/limits.md");
    let codes =
        page.split('`').skip(1).step_by(2).filter(|word| word.contains('-') && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'));
    let sources = crate::tidy::sources();
    for code in codes {
        let quoted = format!("\"{code}\"");
        assert!(sources.iter().any(|(_, text)| text.contains(&quoted)) || code == "wasm32-wasip2", "nothing answers with {code}");
    }
}
