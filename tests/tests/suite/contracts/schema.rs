//! The migrated schema, and the query plans of every statement in the source.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::sync::Once;

use runlater::model::{Name, Namespace, NamespaceId, Order};
use runlater::storage::Storage;
use runlater::storage::sqlite::SqliteStorage;
use runlater::{Metadata, Page, RunFilter, Status, Timestamp};
use rusqlite::{Connection, ffi};

use super::golden::compare;

const NOW: Timestamp = Timestamp::MIN;

/// A fresh database, with nobody in it any more.
fn fresh(folder: &tempfile::TempDir) -> Connection {
    let path = folder.path().join("runs.db");
    drop(SqliteStorage::open(&path, NOW).expect("a new file"));
    Connection::open(path).expect("it can be opened")
}

#[test]
fn the_migrated_schema() {
    let folder = tempfile::tempdir().unwrap();
    let conn = fresh(&folder);
    let mut statement =
        conn.prepare("SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name").unwrap();
    let parts: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    compare("schema.sql", &(parts.join("\n\n") + "\n"));
}

#[test]
fn how_every_statement_is_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut statements = written_statements();
    let listed = listed_statements(&folder);
    let conn = fresh(&folder);
    assert!(statements.len() > 30, "the source is where it was");
    statements.sort();
    statements.extend(listed);
    let mut text = String::from("How SQLite carries out each statement. A SCAN of runlater_runs reads every run there is.\n");
    for (head, sql) in statements {
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap_or_else(|error| panic!("{head}: {error}\n{sql}"));
        let steps: Vec<String> = plan.raw_query().mapped(|row| row.get("detail")).map(Result::unwrap).collect();
        writeln!(text, "\n{head}").unwrap();
        match steps.as_slice() {
            [] => writeln!(text, "    writes one row").unwrap(),
            steps => steps.iter().for_each(|step| writeln!(text, "    {step}").unwrap()),
        }
    }
    compare("query_plans.txt", &text);
}

/// The statements that stand in the source as they are: each begins with `-- <what it is>`.
fn written_statements() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, text) in crate::tidy::sources() {
        if !name.starts_with("storage/sqlite/") {
            continue;
        }
        for literal in text.split("\"-- ").skip(1) {
            let literal = literal.split("\"").next().expect("a literal has an end").replace("\\n", "\n");
            let literal = literal.replace("{WAITING_COLUMNS}", "*").replace("{RUN_COLUMNS}", "r.*").replace("{COLUMNS}", "*");
            let (head, sql) = literal.split_once('\n').expect("the statement follows its head");
            if sql.contains('{') {
                assert_eq!(head, "list", "a statement that is put together is explained by what comes out of it");
                continue;
            }
            found.push((head.to_owned(), sql.to_owned()));
        }
    }
    found
}

/// The statements that `list`, `list_ids` and `count` put together for the filters that people use.
fn listed_statements(folder: &tempfile::TempDir) -> Vec<(String, String)> {
    watch_every_connection();
    let storage = SqliteStorage::open(folder.path().join("runs.db"), NOW).expect("a new file");
    let namespace: NamespaceId = storage.namespaces().iter().find(|one| one.name.as_str() == Namespace::DEFAULT).expect("it is there").id;
    let component = runlater::model::Component { digest: runlater::model::Digest::of(b""), wasm: Vec::new() };
    let definition = runlater::model::TaskDefinition::new(Name::parse("task", "name").unwrap());
    let registration = runlater::storage::Registration {
        namespace,
        component,
        grants: runlater::model::Grants::none(),
        tasks: vec![(definition, runlater::model::TaskPolicy::default())],
        overrides: Default::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(storage.register(registration, NOW)).unwrap();
    let run = storage.next_run_id(NOW);
    let filter = RunFilter::default;
    let status = |statuses: &[Status]| RunFilter { statuses: statuses.to_vec(), ..filter() };
    let metadata = |pairs: &[(&str, &str)]| RunFilter { metadata: Metadata::from_entries(pairs.iter().copied()).unwrap(), ..filter() };
    use Order::*;
    let cases = [
        ("all", filter(), NewestFirst),
        ("all in order of trigger time", filter(), TriggerTime),
        ("scheduled in order of trigger time", status(&[Status::Scheduled]), TriggerTime),
        ("scheduled, the last to trigger first", status(&[Status::Scheduled]), LatestTriggerTime),
        ("scheduled", status(&[Status::Scheduled]), NewestFirst),
        ("queued", status(&[Status::Queued]), NewestFirst),
        ("waiting", status(&[Status::Scheduled, Status::Queued, Status::Backoff]), NewestFirst),
        ("running", status(&[Status::Running]), NewestFirst),
        ("failed or missed", status(&[Status::Failed, Status::Missed]), NewestFirst),
        ("succeeded", status(&[Status::Succeeded]), NewestFirst),
        ("of a task", RunFilter { tasks: vec![Name::parse("task", "name").unwrap()], ..filter() }, NewestFirst),
        ("follow-ups", RunFilter { parent: Some(run), ..filter() }, OldestFirst),
        ("a chain", RunFilter { root: Some(run), ..filter() }, NewestFirst),
        ("of a chain, scheduled", RunFilter { root: Some(run), ..status(&[Status::Scheduled]) }, NewestFirst),
        ("with an entry", metadata(&[("a", "b")]), NewestFirst),
        (
            "with two entries, scheduled",
            RunFilter { statuses: vec![Status::Scheduled], ..metadata(&[("a", "b"), ("c", "d")]) },
            TriggerTime,
        ),
    ];
    let mut statements = Vec::new();
    for (what, filter, order) in cases {
        let page = Page::new(50, Some(runlater::model::Cursor { after: run, trigger_at: NOW }), order).unwrap();
        storage.list(namespace, &filter, &page, NOW).unwrap();
        let sql = SEEN.with_borrow_mut(std::mem::take).pop().expect("a statement was carried out");
        statements.push((format!("list: {what}, {order:?}"), sql));
    }
    for (what, filter) in [("all", filter()), ("scheduled", status(&[Status::Scheduled])), ("failed", status(&[Status::Failed]))] {
        storage.count(namespace, &filter, NOW).unwrap();
        let sql = SEEN.with_borrow_mut(std::mem::take).pop().expect("a statement was carried out");
        statements.push((format!("count: {what}"), sql));
    }
    statements
}

thread_local! {
    /// What this thread carried out that begins with `-- list`.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Lets every connection of this process that is opened from now on tell which statements it carries out.
fn watch_every_connection() {
    static ONCE: Once = Once::new();
    unsafe extern "C" fn told(_: c_uint, _: *mut c_void, _: *mut c_void, sql: *mut c_void) -> c_int {
        // SAFETY: for SQLITE_TRACE_STMT this is the statement's text, NUL-terminated and valid during the call.
        let sql = unsafe { CStr::from_ptr(sql.cast::<c_char>()) }.to_string_lossy();
        if let Some(sql) = sql.strip_prefix("-- list\n") {
            let sql = sql.to_owned();
            // A connection may be used while its thread ends.
            let _ = SEEN.try_with(|seen| seen.borrow_mut().push(sql));
        }
        0
    }
    unsafe extern "C" fn opened(db: *mut ffi::sqlite3, _: *mut *mut c_char, _: *const ffi::sqlite3_api_routines) -> c_int {
        // SAFETY: SQLite calls this with a connection that is open.
        unsafe { ffi::sqlite3_trace_v2(db, ffi::SQLITE_TRACE_STMT as c_uint, Some(told), std::ptr::null_mut()) }
    }
    // SAFETY: `opened` has the signature that SQLite calls an automatic extension with, and lives as long as the program.
    ONCE.call_once(|| assert_eq!(unsafe { ffi::sqlite3_auto_extension(Some(opened)) }, ffi::SQLITE_OK));
}
