//! A database that an earlier release wrote opens, and what was acknowledged then holds (`tests/fixtures`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use runlater::model::{Cron, CronFilter, Name, Namespace, NamespaceId, UniqueKey, UniqueMode};
use runlater::storage::sqlite::SqliteStorage;
use runlater::storage::{CreateError, Created, Storage};
use runlater::{Page, Run, RunFilter, Status, Timestamp};

/// A copy of the database with schema 10, made on 2026-12-01.
pub(crate) fn schema_10(folder: &Path) -> PathBuf {
    let (fixture, copy) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/0.1.0-schema-10.db"), folder.join("runs.db"));
    std::fs::copy(fixture, &copy).expect("the fixture is there");
    copy
}

/// A while after the database was stopped, and before what it has planned.
fn now() -> Timestamp {
    Timestamp::parse("2026-12-01T13:00:00Z", "now").unwrap()
}

struct Earlier {
    _folder: tempfile::TempDir,
    path: PathBuf,
    storage: SqliteStorage,
    namespace: NamespaceId,
    runtime: tokio::runtime::Runtime,
}

impl Earlier {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = schema_10(folder.path());
        let storage = SqliteStorage::open(&path, now()).expect("it opens");
        let namespace = storage.namespaces().iter().find(|one| one.name.as_str() == Namespace::DEFAULT).expect("it is there").id;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { _folder: folder, path, storage, namespace, runtime }
    }

    fn all(&self) -> Vec<Run> {
        let page = Page::new(500, None, runlater::model::Order::OldestFirst).unwrap();
        self.storage.list(self.namespace, &RunFilter::default(), &page, now()).unwrap().0
    }

    /// The run that the script which made the database calls so.
    fn run(&self, name: &str) -> Run {
        let named = |run: &Run| run.metadata.iter().any(|(key, value)| key == "name" && value == name);
        self.all().into_iter().find(named).unwrap_or_else(|| panic!("no run {name}"))
    }

    /// Schedules what the run of this name was scheduled with, under this unique key.
    fn again(&self, name: &str, key: &str, mode: UniqueMode) -> Result<Created, CreateError> {
        let before = self.run(name);
        let run = runlater::model::NewRun {
            id: self.storage.next_run_id(now()),
            task: self.storage.task(self.namespace, before.task.as_str()).expect("it is registered"),
            trigger_at: before.trigger_at,
            input: before.input.clone(),
            metadata: before.metadata.clone(),
            unique_key: Some(runlater::model::Unique { mode, ..UniqueKey::parse(key, "key").unwrap().into() }),
            idempotency: None,
            origin: runlater::model::Origin::Api,
            lineage: None,
            occurrence: None,
            max_attempts: None,
            timeout: None,
            priority: None,
        };
        self.runtime.block_on(self.storage.create(self.namespace, vec![run], now())).map(|mut created| created.remove(0))
    }

    fn cron(&self, name: &str) -> Cron {
        self.storage.cron(self.namespace, &Name::parse(name, "name").unwrap()).unwrap().unwrap_or_else(|| panic!("no cron {name}"))
    }
}

#[test]
fn every_row_reads_and_says_what_it_said() {
    let earlier = Earlier::open();
    for (name, status, attempts, key) in [
        ("succeeded", Status::Succeeded, 1, None),
        ("failed", Status::Failed, 2, None),
        ("scheduled", Status::Scheduled, 0, None),
        ("cancelled", Status::Cancelled, 0, None),
        ("missed", Status::Missed, 0, None),
        ("queued", Status::Queued, 0, None),
        ("backoff", Status::Queued, 2, None),
        ("key-waits", Status::Scheduled, 0, Some("waits")),
        ("key-succeeded", Status::Succeeded, 1, Some("succeeded")),
        ("key-failed", Status::Failed, 1, Some("failed")),
        ("key-cancelled", Status::Cancelled, 0, Some("cancelled")),
        ("key-cancelled-late", Status::Cancelled, 1, Some("cancelled-late")),
        ("key-missed", Status::Missed, 0, Some("missed")),
        ("key-debounced", Status::Scheduled, 0, Some("debounced")),
        ("header-waits", Status::Scheduled, 0, Some("header-waits")),
        ("header-succeeded", Status::Succeeded, 1, Some("header-succeeded")),
        ("header-cancelled", Status::Cancelled, 0, Some("header-cancelled")),
        ("odd-metadata", Status::Scheduled, 0, None),
        ("odd-metadata-2", Status::Scheduled, 0, None),
    ] {
        let run = earlier.run(name);
        assert_eq!((run.status, run.attempts, run.unique_key.as_deref()), (status, attempts, key), "{name}");
        let attempts = earlier.storage.attempts(earlier.namespace, run.id, &Default::default()).unwrap().attempts;
        assert_eq!(attempts.len() as u32, run.attempts, "{name}");
    }
    assert_eq!(earlier.all().len(), 20, "and one that the cron made");
    assert!(earlier.run("succeeded").output.is_some());
    let succeeded = earlier.storage.attempts(earlier.namespace, earlier.run("succeeded").id, &Default::default()).unwrap().attempts;
    assert!(!succeeded[0].log.is_empty(), "it has its log");
    let odd: Vec<_> = earlier.run("odd-metadata").metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    for (key, value) in [("a:b", "c"), ("a=b", "c=d"), ("a", "b:c"), ("percent%20", "%3A"), ("klíč", "naïve"), ("with space", " x ")] {
        assert!(odd.contains(&(key.into(), value.into())), "{key} in {odd:?}");
    }
    let first = earlier.storage.first_asked_for(earlier.namespace, earlier.run("key-debounced").id).unwrap();
    assert!(first.is_some(), "it was postponed once");
    let version: i64 = rusqlite::Connection::open(&earlier.path)
        .unwrap()
        .query_row("SELECT value FROM runlater_meta WHERE key = 'schema_version'", [], |row| row.get(0))
        .unwrap();
    assert!(version > 10 && version == SqliteStorage::SCHEMA_VERSION);
    assert!(earlier.path.with_extension("db.schema-10.backup").exists(), "a copy of what it was is kept");
}

#[test]
fn keys_keep_what_they_promised_and_those_of_runs_that_never_came_are_free() {
    let earlier = Earlier::open();
    for (name, key, free) in [
        ("key-waits", "waits", false),
        ("key-succeeded", "succeeded", false),
        ("key-failed", "failed", false),
        ("key-cancelled-late", "cancelled-late", false),
        ("header-waits", "header-waits", false),
        ("key-cancelled", "cancelled", true),
        ("key-missed", "missed", true),
        ("header-cancelled", "header-cancelled", true),
        ("scheduled", "deleted", true),
    ] {
        let before = earlier.run(name).id;
        match earlier.again(name, key, UniqueMode::Existing) {
            Ok(Created::New(_)) => assert!(free, "{name} was free"),
            Ok(Created::Existing(existing)) => assert!(!free && existing.run == before, "{name} was held"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(matches!(earlier.again("scheduled", "waits", UniqueMode::Existing), Err(CreateError::UniqueKeyTaken(_))));
}

#[test]
fn crons_tasks_and_the_audit_trail_are_there() {
    let earlier = Earlier::open();
    let crons = earlier.storage.crons(earlier.namespace, &CronFilter { limit: 500, ..CronFilter::default() }, now()).unwrap();
    assert_eq!(crons.len(), 10);
    for cron in &crons {
        assert_eq!(cron.next_at.is_none(), cron.name.as_str() == "paused", "{}", cron.name);
        assert!(cron.next_at.is_none_or(|at| at > now()), "{}", cron.name);
    }
    assert_eq!(earlier.cron("both-days").next_at, Some(Timestamp::parse("2026-12-04T00:00:00Z", "at").unwrap()));
    assert!(earlier.cron("paused").pause.is_some_and(|pause| pause.note == "maintenance"));
    let task = |name: &str| -> Arc<_> { earlier.storage.task(earlier.namespace, name).unwrap_or_else(|| panic!("no task {name}")) };
    assert!(task("trip").pause.as_ref().is_some_and(|pause| pause.note == "paused for good"));
    assert_eq!(task("trip").policy.timeout, std::time::Duration::from_secs(7));
    assert!(task("hello").input_schema.is_some());
}
