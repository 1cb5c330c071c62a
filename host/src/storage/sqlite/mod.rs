//! Storage in one SQLite file, owned by one process.
//!
//! One thread writes (`writer.rs`), a pool of connections reads, and the runs that are due soon are in memory (`due_queue.rs`). Each
//! verb of [`Storage`] has a file of its own name. This one opens the file and hands each verb to where it belongs.

mod attempts;
mod backup;
mod cancel;
mod chain;
mod change;
mod checkpoint;
mod claim;
mod connection;
mod create;
mod delete;
mod due_queue;
mod finish;
mod foreign;
mod list;
mod load;
mod meta;
mod miss;
mod readers;
mod ready;
mod recover;
mod register;
mod registry;
mod reschedule;
mod rows;
mod tokens;
mod trigger;
mod unique_key;
mod watch;
mod write_set;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    Cancelled, ChangeError, Claim, CreateError, Created, Finish, Gap, Health, Move, RegisterError, Registration, RunEvent, Storage,
    StorageError, TokenRecord,
};
use crate::model::{
    Attempt, Component, Cursor, Digest, Name, Namespace, NamespaceId, NewRun, Page, Payload, Progress, Run, RunFilter, RunId, Status, Task,
    Timestamp,
};
use list::Reader;
use writer::{Op, Shared};

/// Runs and tasks in one SQLite file.
pub struct SqliteStorage {
    path: PathBuf,
    shared: Arc<Shared>,
    readers: Arc<readers::Readers>,
    foreign: foreign::Foreign,
    alive_until: Option<Timestamp>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Lets go of the file when the storage is dropped.
    lock: Mutex<Option<connection::OwnerLock>>,
}

impl SqliteStorage {
    /// The version of SQLite that is built in.
    pub fn library_version() -> &'static str {
        rusqlite::version()
    }

    /// Opens or creates the file, migrates it, takes over what an earlier host left, and starts to write.
    ///
    /// Blocks on the disk. Refuses, saying what to do, a file that is no database, is damaged, was written by a newer version, is
    /// on a network file system, or is open in another host.
    pub fn open(path: impl AsRef<Path>, now: Timestamp) -> Result<Self, StorageError> {
        connection::refuse_strange_files(path.as_ref())?;
        // Two names of one file must meet at one lock.
        let path = std::fs::canonicalize(path.as_ref()).unwrap_or_else(|_| path.as_ref().to_path_buf());
        let lock = connection::OwnerLock::take(&path)?;
        let mut conn = connection::open_writer(&path)?;
        let readers = Arc::new(readers::Readers::new(path.clone()));
        let prepare = |conn: &mut Connection| -> rusqlite::Result<_> {
            let id_origin = id_origin(conn)?;
            let last_key: Option<i64> = conn.query_row("SELECT max(id) FROM runlater_runs", [], |row| row.get(0))?;
            let last_key = last_key.max(meta::number(conn, "last_key")?);
            let shared = Arc::new(Shared::new(id_origin, last_key.unwrap_or(0)));
            conn.execute("INSERT OR IGNORE INTO runlater_namespaces (id, name) VALUES (1, ?1)", [Namespace::DEFAULT])?;
            shared.registry.load(conn)?;
            shared.due.serve(shared.registry.namespaces().iter().map(|namespace| namespace.id.0));
            let alive_until = meta::number(conn, "alive_until")?.and_then(Timestamp::from_micros);
            let suspects = recover::recover(conn, now.as_micros())?;
            shared.due.suspect(suspects);
            shared.seen_now.store(now.as_micros(), Ordering::Relaxed);
            Ok((shared, alive_until))
        };
        let (shared, alive_until) = prepare(&mut conn).map_err(|error| writer::sort(&error, false))?;
        let pages = shared.wal_pages.clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, log: std::ffi::c_int| {
            pages.store(i64::from(log), Ordering::Relaxed);
            Ok(())
        }))
        .map_err(|error| writer::sort(&error, false))?;
        let checkpointer = checkpoint::Checkpointer::start(&path).map_err(|error| writer::sort(&error, false))?;
        let foreign = foreign::Foreign::default();
        let cannot = |error: std::io::Error| StorageError::Unavailable(format!("a thread can't be started: {error}"));
        let looker = foreign.watch(shared.clone(), readers.clone()).map_err(cannot)?;
        let for_writer = shared.clone();
        let writer = std::thread::Builder::new().name("runlater-write".into());
        let writer = writer.spawn(move || writer::write(conn, &for_writer, &checkpointer)).map_err(cannot)?;
        shared.request_load();
        let threads = Mutex::new(vec![writer, looker]);
        Ok(Self { path, shared, readers, foreign, alive_until, threads, lock: Mutex::new(Some(lock)) })
    }

    fn read<T>(
        &self,
        namespace: NamespaceId,
        now: Timestamp,
        read: impl FnOnce(&Reader<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        if self.lock.lock().expect("nothing panics while it holds this").is_none() {
            return Err(StorageError::Unavailable("the host is shut down".into()));
        }
        let registry = &self.shared.registry;
        let done = self.readers.read(|conn| read(&Reader { conn, registry, id_origin: self.shared.id_origin, namespace, now }));
        done.map_err(|error| match error {
            rusqlite::Error::FromSqlConversionFailure(column, _, what) => {
                StorageError::Corrupt(format!("column {column} of a run holds {what}"))
            }
            other => writer::sort(&other, false),
        })
    }

    /// What is in memory is newer than the row by up to a commit.
    fn overlay(&self, run: &mut Run) {
        let Some(key) = run.id.key_in(self.shared.id_origin) else { return };
        self.shared.due.in_flight(key, |flight| {
            if !run.status.is_final() {
                run.status = Status::Running;
                run.attempts = flight.attempt;
                run.started_at = Timestamp::from_micros(flight.started_at);
                run.due_at = None;
                (run.reason, run.message) = (None, None);
                run.progress = flight.progress.clone();
            }
        });
    }

    /// What the writer's own connection says of `journal_mode` and `synchronous`.
    #[cfg(feature = "test-util")]
    pub async fn durability(&self) -> Result<(String, i64), StorageError> {
        self.shared.call(|tx| connection::durability(tx.conn)).await
    }

    fn stop(&self) {
        self.shared.due.stop();
        self.shared.close();
        self.foreign.close();
        let threads = std::mem::take(&mut *self.threads.lock().expect("nothing panics while it holds this"));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a storage thread panicked; start the host again, so that it reads what is true");
            }
        }
        self.shared.watch.close();
        self.readers.close();
        *self.lock.lock().expect("nothing panics while it holds this") = None;
    }
}

impl Drop for SqliteStorage {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The constant of this database in the ids of its runs: drawn once.
fn id_origin(conn: &Connection) -> rusqlite::Result<u64> {
    if let Some(origin) = meta::number(conn, "id_origin")? {
        return Ok(origin as u64);
    }
    // 53 bits of SQLite's own generator, which is seeded from the system.
    let origin: i64 = conn.query_row("SELECT random() & 0x1fffffffffffff", [], |row| row.get(0))?;
    meta::set_number(conn, "id_origin", origin)?;
    Ok(origin as u64)
}

impl Shared {
    /// Ids only rise, also when the clock steps back.
    fn next_run_key(&self, now: Timestamp) -> i64 {
        let earliest = RunId::first_key_at(now.as_micros() / 1_000);
        let step = |last: i64| Some((last + 1).max(earliest));
        let last = self.last_key.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).expect("the closure always answers");
        (last + 1).max(earliest)
    }
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn namespace(&self, name: &Name, create: bool) -> Result<Option<Namespace>, StorageError> {
        if let Some(known) = self.shared.registry.namespace(name) {
            return Ok(Some(known));
        }
        if !create {
            return Ok(None);
        }
        let text = name.to_string();
        let made = self.shared.call(move |tx| {
            tx.conn.execute("-- create namespace\nINSERT OR IGNORE INTO runlater_namespaces (name) VALUES (?1)", [text])?;
            tx.registered = true;
            Ok(())
        });
        made.await?;
        Ok(self.shared.registry.namespace(name))
    }

    fn namespaces(&self) -> Vec<Namespace> {
        self.shared.registry.namespaces()
    }

    async fn register(&self, registration: Registration, now: Timestamp) -> Result<Vec<Arc<Task>>, RegisterError> {
        let namespace = registration.namespace;
        let names: Vec<Name> = registration.tasks.iter().map(|(definition, _)| definition.name.clone()).collect();
        self.shared.call(move |tx| register::register(tx, &registration, now)).await?;
        let mut tasks: Vec<_> = names.iter().filter_map(|name| self.task(namespace, name.as_str())).collect();
        tasks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tasks)
    }

    fn task(&self, namespace: NamespaceId, name: &str) -> Option<Arc<Task>> {
        self.shared.registry.task(namespace, name)
    }

    fn tasks(&self, namespace: NamespaceId) -> Vec<Arc<Task>> {
        self.shared.registry.tasks(namespace)
    }

    fn component(&self, digest: &Digest) -> Result<Option<Component>, StorageError> {
        use rusqlite::OptionalExtension;
        let wasm: Option<Vec<u8>> = self
            .readers
            .read(|conn| {
                let mut statement = conn.prepare_cached("-- component: bytes\nSELECT wasm FROM runlater_components WHERE digest = ?1")?;
                statement.query_row([&digest.as_bytes()[..]], |row| row.get(0)).optional()
            })
            .map_err(|error| writer::sort(&error, false))?;
        Ok(wasm.map(|wasm| Component { digest: *digest, wasm }))
    }

    fn next_run_id(&self, now: Timestamp) -> RunId {
        RunId::from_key(self.shared.next_run_key(now), self.shared.id_origin)
    }

    async fn create(&self, namespace: NamespaceId, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Created>, CreateError> {
        Ok(self.shared.call(move |tx| create::create(tx, namespace, &runs, now)).await??)
    }

    fn claim(&self, limit: usize, now: Timestamp) -> Vec<Claim> {
        claim::claim(&self.shared, limit, now)
    }

    fn nudge(&self) {
        self.shared.nudge();
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.shared.due.next_due()
    }

    fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.shared.due.on_due(wake);
    }

    fn input(&self, run: RunId) -> Result<Payload, StorageError> {
        let Some(key) = run.key_in(self.shared.id_origin) else {
            return Err(StorageError::Corrupt("a claimed run is of another database".into()));
        };
        let read = self.readers.read(|conn| {
            let mut statement = conn.prepare_cached("-- input\nSELECT input_type, input FROM runlater_runs WHERE id = ?1")?;
            statement.query_row([key], |row| Ok(Payload::from_stored(row.get_ref(0)?.as_str_or_null()?, row.get_ref(1)?.as_blob()?)))
        });
        read.map_err(|error| writer::sort(&error, false))
    }

    fn finish(&self, finish: Finish, now: Timestamp) {
        self.shared.push(Op::Finish(Box::new(finish), now.as_micros()), true);
    }

    fn progress(&self, run: RunId, progress: Progress) {
        if let Some(key) = run.key_in(self.shared.id_origin) {
            self.shared.due.in_flight(key, |flight| flight.progress = Some(progress));
        }
    }

    fn get(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Option<Run>, StorageError> {
        let mut seen = self.read(namespace, now, |reader| reader.get(run))?;
        if let Some(seen) = &mut seen {
            self.overlay(seen);
        }
        Ok(seen)
    }

    fn list(
        &self,
        namespace: NamespaceId,
        filter: &RunFilter,
        page: &Page,
        now: Timestamp,
    ) -> Result<(Vec<Run>, Option<Cursor>), StorageError> {
        let (mut runs, next) = self.read(namespace, now, |reader| reader.list(filter, page))?;
        runs.iter_mut().for_each(|run| self.overlay(run));
        Ok((runs, next))
    }

    fn list_ids(
        &self,
        namespace: NamespaceId,
        filter: &RunFilter,
        page: &Page,
        now: Timestamp,
    ) -> Result<(Vec<RunId>, Option<Cursor>), StorageError> {
        self.read(namespace, now, |reader| reader.list_ids(filter, page))
    }

    fn count(&self, namespace: NamespaceId, filter: &RunFilter, now: Timestamp) -> Result<u64, StorageError> {
        self.read(namespace, now, |reader| reader.count(filter))
    }

    fn attempts(&self, namespace: NamespaceId, run: RunId) -> Result<Vec<Attempt>, StorageError> {
        self.read(namespace, Timestamp::MIN, |reader| attempts::attempts(reader, run))
    }

    fn holder(&self, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> Result<Option<Created>, CreateError> {
        let holder = self.read(namespace, now, |reader| unique_key::holder(reader.conn, namespace, run, reader.id_origin, now))?;
        match holder {
            unique_key::Holder::Free => Ok(None),
            unique_key::Holder::Equal(created) => Ok(Some(created)),
            unique_key::Holder::Other(other) => Err(CreateError::UniqueKeyTaken(other)),
        }
    }

    async fn reschedule(
        &self,
        namespace: NamespaceId,
        moves: Vec<(RunId, Move)>,
        now: Timestamp,
    ) -> Result<Vec<Result<(), ChangeError>>, StorageError> {
        self.shared.call(move |tx| reschedule::reschedule(tx, namespace, &moves, now)).await
    }

    async fn delete(&self, namespace: NamespaceId, runs: Vec<RunId>, now: Timestamp) -> Result<Vec<Result<(), ChangeError>>, StorageError> {
        self.shared.call(move |tx| delete::delete(tx, namespace, &runs, now)).await
    }

    async fn trigger(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<(), ChangeError>, StorageError> {
        self.shared.call(move |tx| trigger::trigger(tx, namespace, run, now)).await
    }

    async fn cancel(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<Cancelled, ChangeError>, StorageError> {
        self.shared.call(move |tx| cancel::one(tx, namespace, run, now)).await
    }

    async fn miss(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError> {
        self.shared.call(move |tx| miss::miss(tx, gap, limit, now)).await
    }

    fn alive_until(&self) -> Option<Timestamp> {
        self.alive_until
    }

    async fn heartbeat(&self, now: Timestamp) -> Result<(), StorageError> {
        self.shared.call(move |tx| meta::set_alive(tx.conn, now.as_micros())).await
    }

    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<RunEvent> {
        self.shared.watch.subscribe()
    }

    fn ended(&self, run: RunId) -> tokio::sync::oneshot::Receiver<()> {
        match run.key_in(self.shared.id_origin) {
            Some(key) => self.shared.watch.ended(key),
            // Of another database: whoever waits is let go at once, and reads that there is no such run.
            None => tokio::sync::oneshot::channel().1,
        }
    }

    async fn backup(&self, to: PathBuf, progress: Box<dyn Fn(u64, u64) + Send>) -> Result<(), StorageError> {
        let from = self.path.clone();
        let done = tokio::task::spawn_blocking(move || backup::backup(&from, &to, progress.as_ref())).await;
        done.unwrap_or_else(|error| Err(StorageError::Unavailable(error.to_string())))
    }

    async fn create_token(&self, token: TokenRecord) -> Result<(), StorageError> {
        self.shared.call(move |tx| tokens::create(tx.conn, &token)).await
    }

    fn tokens(&self) -> Result<Vec<TokenRecord>, StorageError> {
        self.readers.read(tokens::list).map_err(|error| writer::sort(&error, false))
    }

    async fn revoke_token(&self, id: &str, now: Timestamp) -> Result<bool, StorageError> {
        let id = id.to_owned();
        self.shared.call(move |tx| tokens::revoke(tx.conn, &id, now)).await
    }

    fn health(&self) -> Health {
        let (armed, running) = self.shared.due.counts();
        let trouble = self.shared.trouble().map(|trouble| trouble.to_string());
        Health { writable: trouble.is_none(), trouble, armed, running, queued_writes: self.shared.queued() }
    }

    async fn flush(&self) -> Result<(), StorageError> {
        self.shared.call(|_| Ok(())).await
    }

    async fn close(&self) -> Result<(), StorageError> {
        // The threads end within a commit, so blocking here is short. A runtime of one thread has nobody to make way for.
        match tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| self.stop()),
            _ => self.stop(),
        }
        match self.shared.trouble() {
            Some(trouble) => Err(trouble),
            None => Ok(()),
        }
    }
}
