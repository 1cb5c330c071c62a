//! Storage in one SQLite file, owned by one process.
//!
//! One thread writes (`writer.rs`), a pool of connections reads, and the runs that are due soon are in memory (`due_queue.rs`). Each
//! verb of [`Storage`] has a file of its own name. This one opens the file and hands each verb to where it belongs.

mod amend;
mod attempt_rows;
mod attempts;
mod audit;
mod backup;
mod cancel;
mod catch_up;
mod chain;
mod change;
mod checkpoint;
mod claim;
mod component;
mod connection;
mod create;
mod cron;
mod delete;
mod due_queue;
mod finish;
mod foreign;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod gate;
mod gated;
mod group;
mod head;
mod hold;
mod idempotency;
mod ids;
mod input;
mod lane;
mod list;
mod live;
mod load;
mod lock_wait;
mod meta;
mod miss;
mod namespaces;
mod on_failure;
mod open;
mod open_file;
mod ownership;
mod pause;
mod permissions;
mod prune;
mod queue;
mod rates;
mod readers;
mod ready;
mod recover;
mod register;
mod registry;
mod reschedule;
mod room;
mod rows;
mod run_bytes;
mod schema;
mod tokens;
mod trigger;
mod unique_key;
mod unread;
mod verdict;
mod watch;
mod write_set;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::{
    Amendment, BackupError, Cancelled, ChangeError, Claim, CreateError, Created, CronError, Finish, Forgotten, Gap, Health, Move,
    NamespaceError, PrunePlace, Pruned, Quotas, RegisterError, Registration, RunBytesFull, RunEvent, Storage, StorageError, TokenRecord,
    TokenRefused,
};
use crate::model::{
    Ahead, AttemptPage, AttemptQuery, AuditAction, AuditEntry, AuditQuery, Component, Cron, CronChange, CronFilter, CronSpec, Cursor,
    Digest, Hold, Holder, Name, Namespace, NamespaceId, NewRun, Origin, Page, Pause, Payload, Progress, Retention, Run, RunFilter, RunId,
    Status, Task, TaskId, Timestamp, UniqueKey, Version,
};
use audit::Note;
use due_queue::Counts;
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::fuzz_row;
use list::Reader;
pub use open_file::OpenFile;
use queue::Op;
pub use room::Room;

use crate::zones::Zones;

/// Runs and tasks in one SQLite file.
pub struct SqliteStorage {
    file: Arc<OpenFile>,
    /// The token on whose behalf changes are made, if they are to be put on record.
    token: Option<Arc<str>>,
}

impl SqliteStorage {
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
        done.map_err(readers::sort)
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

    /// What the writer's own connection says of how it is set.
    #[cfg(feature = "test-util")]
    pub async fn settings(&self) -> Result<String, StorageError> {
        self.shared.call(|tx| connection::settings(tx.conn)).await
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
        let now = Timestamp::from_micros(self.shared.seen_now.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN);
        match super::Namespaces::create_namespace(self, None, name.clone(), Default::default(), now).await? {
            Ok(_) | Err(NamespaceError::Exists(_)) => Ok(self.shared.registry.namespace(name)),
            Err(refused) => Err(StorageError::Unavailable(refused.to_string())),
        }
    }

    fn namespaces(&self) -> Vec<Namespace> {
        self.shared.registry.namespaces()
    }

    async fn register(&self, registration: Registration, now: Timestamp) -> Result<Vec<Arc<Task>>, RegisterError> {
        let namespace = registration.namespace;
        let names: Vec<Name> = registration.tasks.iter().map(|(definition, _)| definition.name.clone()).collect();
        let (digest, subjects) = (registration.component.digest, names.clone());
        let noted = move |done: &Result<(), RegisterError>| match done {
            Ok(()) => subjects.iter().map(|name| Note::of(name.as_str()).detail(digest.to_string())).collect(),
            Err(_) => Vec::new(),
        };
        let registered = self.change(namespace, now, AuditAction::Register, move |tx| register::register(tx, &registration, now), noted);
        registered.await??;
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

    async fn pause_task(
        &self,
        namespace: NamespaceId,
        name: Name,
        pause: Option<Pause>,
        now: Timestamp,
    ) -> Result<Option<Arc<Task>>, StorageError> {
        let action = if pause.is_some() { AuditAction::PauseTask } else { AuditAction::ResumeTask };
        let (subject, note) = (name.clone(), Note { detail: pause.as_ref().map(pause::in_words), ..Note::of(name.as_str()) });
        let noted = move |found: &bool| found.then_some(note).into_iter().collect();
        let found = self.change(namespace, now, action, move |tx| pause::pause(tx, namespace, &name, pause, now), noted).await?;
        Ok(self.task(namespace, subject.as_str()).filter(|_| found))
    }

    fn component(&self, digest: &Digest) -> Result<Option<Component>, StorageError> {
        let wasm = self.readers.read(|conn| component::bytes(conn, digest)).map_err(|error| writer::sort(&error, false))?;
        Ok(wasm.map(|wasm| Component { digest: *digest, wasm }))
    }

    fn next_run_id(&self, now: Timestamp) -> RunId {
        RunId::from_key(self.shared.next_run_key(now), self.shared.id_origin)
    }

    async fn create(&self, namespace: NamespaceId, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Created>, CreateError> {
        let tasks: Vec<_> = self.if_noted(|| runs.iter().map(|run| (run.task.name.clone(), run.trigger_at)).collect());
        let id_origin = self.shared.id_origin;
        let noted = move |(created, replaced): &(Result<Vec<Created>, create::Refused>, Vec<i64>)| {
            let Ok(created) = created else { return Vec::new() };
            let replaced = replaced.iter().map(|key| RunId::from_key(*key, id_origin));
            let replaced = replaced.map(|run| Note { action: Some(AuditAction::Delete), ..Note::of_run(run) }.detail("replaced"));
            let scheduled = created.iter().zip(tasks).filter_map(|(created, (task, at))| match created {
                Created::New(run) => Some((*run, task, at)),
                Created::PutOff(existing) => Some((existing.run, task, existing.trigger_at)),
                Created::Existing(_) => None,
            });
            let scheduled =
                scheduled.map(|(run, task, at)| Note { subject: Some(task.to_string()), ..Note::of_run(run) }.detail(at.to_string()));
            replaced.chain(scheduled).collect()
        };
        if let Err(max) = self.has_room(namespace, runs.len(), now)? {
            return Err(CreateError::Quota(create::full(max)));
        }
        let create = move |tx: &mut group::Tx<'_>| {
            // What ends while runs are created are those whose unique key was taken from them.
            let before = tx.ended.len();
            let created = create::create(tx, namespace, &runs, now)?;
            Ok((created, tx.ended[before..].to_vec()))
        };
        Ok(self.change(namespace, now, AuditAction::Schedule, create, noted).await?.0?)
    }

    fn has_room(&self, namespace: NamespaceId, runs: usize, now: Timestamp) -> Result<Result<(), u64>, StorageError> {
        self.shared.live.has_room(&self.readers, namespace, runs, now).map_err(readers::sort)
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.shared.live.set_max(quotas.live_runs);
        self.shared.component_bytes_max.store(quotas.component_bytes, Ordering::Relaxed);
        self.shared.run_bytes.set_max(quotas.run_bytes);
        self.shared.tokens_max.store(quotas.tokens, Ordering::Relaxed);
    }

    fn limit_run_bytes(&self, namespace: NamespaceId, max: Option<u64>) {
        self.shared.run_bytes.set_limit(namespace, max);
    }

    fn run_bytes(&self, namespace: NamespaceId) -> u64 {
        self.shared.run_bytes.held(namespace)
    }

    fn has_room_for_bytes(&self, namespace: NamespaceId, bytes: u64) -> Result<(), RunBytesFull> {
        self.shared.run_bytes.has_room(namespace, i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    fn set_slots(&self, slots: usize) {
        self.shared.due.set_slots(slots);
    }

    fn claim(&self, limit: usize, now: Timestamp) -> Vec<Claim> {
        claim::claim(&self.shared, limit, now)
    }

    fn nudge(&self) {
        self.shared.nudge();
    }

    fn hold(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Option<Hold>, StorageError> {
        self.read(namespace, now, |reader| hold::hold(reader, &self.shared.due, run))
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
        self.readers.read(|conn| input::input(conn, key)).map_err(readers::sort)
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

    fn attempts(&self, namespace: NamespaceId, run: RunId, query: &AttemptQuery) -> Result<AttemptPage, StorageError> {
        self.read(namespace, Timestamp::MIN, |reader| attempts::attempts(reader, run, query))
    }

    fn holder(&self, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> Result<Option<Holder>, StorageError> {
        self.read(namespace, now, |reader| unique_key::holder(reader.conn, namespace, run, reader.id_origin, now))
    }

    fn holder_of_key(&self, namespace: NamespaceId, key: &UniqueKey, now: Timestamp) -> Result<Option<Holder>, StorageError> {
        self.read(namespace, now, |reader| unique_key::holder_of_key(reader.conn, namespace, key, None, reader.id_origin, now))
    }

    fn first_asked_for(&self, namespace: NamespaceId, run: RunId) -> Result<Option<Timestamp>, StorageError> {
        self.read(namespace, Timestamp::MIN, |reader| unique_key::first_at(reader, run))
    }

    fn key_taken_by(&self, namespace: NamespaceId, run: RunId) -> Result<Option<RunId>, StorageError> {
        self.read(namespace, Timestamp::MIN, |reader| unique_key::taken_by(reader, run))
    }

    async fn reschedule(
        &self,
        namespace: NamespaceId,
        moves: Vec<(RunId, Move)>,
        now: Timestamp,
    ) -> Result<Vec<Result<(), ChangeError>>, StorageError> {
        let asked = self.if_noted(|| moves.clone());
        let noted = move |verdicts: &Vec<Result<(), ChangeError>>| {
            let moved = asked.iter().zip(verdicts).filter(|(_, verdict)| verdict.is_ok());
            moved.map(|((run, to), _)| Note::of_run(*run).detail(audit::moved(*to))).collect()
        };
        self.change(namespace, now, AuditAction::Reschedule, move |tx| reschedule::reschedule(tx, namespace, &moves, now), noted).await
    }

    async fn delete(&self, namespace: NamespaceId, runs: Vec<RunId>, now: Timestamp) -> Result<Vec<Result<(), ChangeError>>, StorageError> {
        let asked = self.if_noted(|| runs.clone());
        let noted = move |verdicts: &Vec<Result<(), ChangeError>>| {
            asked.iter().zip(verdicts).filter(|(_, verdict)| verdict.is_ok()).map(|(run, _)| Note::of_run(*run)).collect()
        };
        self.change(namespace, now, AuditAction::Delete, move |tx| delete::delete(tx, namespace, &runs, now), noted).await
    }

    async fn amend(
        &self,
        namespace: NamespaceId,
        run: RunId,
        amendment: Amendment,
        seen: Vec<Version>,
        now: Timestamp,
    ) -> Result<Result<(), ChangeError>, StorageError> {
        let (action, note) = match amendment {
            Amendment::Move(to) => (AuditAction::Reschedule, Note::of_run(run).detail(audit::moved(to))),
            Amendment::Delete => (AuditAction::Delete, Note::of_run(run)),
        };
        let noted = |verdict: &Result<(), ChangeError>| verdict.is_ok().then_some(note).into_iter().collect();
        self.change(namespace, now, action, move |tx| amend::amend(tx, namespace, run, amendment, &seen, now), noted).await
    }

    async fn trigger(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<(), ChangeError>, StorageError> {
        let noted = move |verdict: &Result<(), ChangeError>| verdict.is_ok().then(|| Note::of_run(run)).into_iter().collect();
        self.change(namespace, now, AuditAction::Trigger, move |tx| trigger::trigger(tx, namespace, run, now), noted).await
    }

    async fn cancel(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<Cancelled, ChangeError>, StorageError> {
        let noted = move |verdict: &Result<Cancelled, ChangeError>| verdict.is_ok().then(|| Note::of_run(run)).into_iter().collect();
        self.change(namespace, now, AuditAction::Cancel, move |tx| cancel::one(tx, namespace, run, now), noted).await
    }

    async fn miss(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError> {
        self.shared.call(move |tx| miss::miss(tx, gap, limit, now)).await
    }

    async fn catch_up(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError> {
        self.shared.call(move |tx| catch_up::catch_up(tx, gap, limit, now)).await
    }

    async fn prune(&self, task: TaskId, retention: Retention, place: PrunePlace, now: Timestamp) -> Result<Pruned, StorageError> {
        self.shared.call(move |tx| prune::prune(tx, task, retention, place, now)).await
    }

    async fn forget_keys(&self, now: Timestamp) -> Result<Forgotten, StorageError> {
        self.shared.call(move |tx| idempotency::forget(tx.conn, tx.shared.id_origin, now)).await
    }

    async fn create_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        spec: CronSpec,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Result<Cron, CronError>, StorageError> {
        let subject = name.to_string();
        self.change(
            namespace,
            now,
            AuditAction::CreateCron,
            move |tx| cron::create(tx, namespace, &name, &spec, origin, now),
            move |done| of_cron(done, subject),
        )
        .await
    }

    fn cron(&self, namespace: NamespaceId, name: &Name) -> Result<Option<Cron>, StorageError> {
        self.read(namespace, Timestamp::MIN, |reader| cron::get(reader.conn, reader.registry, namespace, name))
    }

    fn made(&self, namespace: NamespaceId, cron: &Name, from: Timestamp, until: Timestamp) -> Result<Vec<Timestamp>, StorageError> {
        self.read(namespace, Timestamp::MIN, |reader| cron::made(reader.conn, namespace, cron, from, until))
    }

    fn crons(&self, namespace: NamespaceId, filter: &CronFilter, now: Timestamp) -> Result<Vec<Cron>, StorageError> {
        self.read(namespace, now, |reader| cron::list(reader.conn, reader.registry, namespace, filter, now))
    }

    async fn change_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        change: CronChange,
        now: Timestamp,
    ) -> Result<Result<Cron, CronError>, StorageError> {
        let subject = name.to_string();
        self.change(
            namespace,
            now,
            AuditAction::UpdateCron,
            move |tx| cron::change(tx, namespace, &name, change, now),
            move |done| of_cron(done, subject),
        )
        .await
    }

    async fn pause_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        pause: Option<Pause>,
        now: Timestamp,
    ) -> Result<Result<Cron, CronError>, StorageError> {
        let subject = name.to_string();
        let action = if pause.is_some() { AuditAction::PauseCron } else { AuditAction::ResumeCron };
        self.change(namespace, now, action, move |tx| cron::pause(tx, namespace, &name, pause, now), move |done| of_cron(done, subject))
            .await
    }

    async fn delete_cron(&self, namespace: NamespaceId, name: Name, now: Timestamp) -> Result<Result<(), CronError>, StorageError> {
        let subject = name.to_string();
        self.change(
            namespace,
            now,
            AuditAction::DeleteCron,
            move |tx| cron::delete(tx, namespace, &name, now),
            move |done| of_cron(done, subject),
        )
        .await
    }

    async fn trigger_cron(&self, namespace: NamespaceId, name: Name, now: Timestamp) -> Result<Result<RunId, CronError>, StorageError> {
        let subject = name.to_string();
        self.change(
            namespace,
            now,
            AuditAction::TriggerCron,
            move |tx| cron::trigger(tx, namespace, &name, now),
            move |done| of_cron(done, subject),
        )
        .await
    }

    async fn backfill_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        planned: Vec<Timestamp>,
        now: Timestamp,
    ) -> Result<Result<usize, CronError>, StorageError> {
        let subject = name.to_string();
        self.change(
            namespace,
            now,
            AuditAction::BackfillCron,
            move |tx| cron::backfill(tx, namespace, &name, &planned, now),
            move |done| of_cron(done, subject),
        )
        .await
    }

    async fn miss_crons(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError> {
        self.shared.call(move |tx| cron::miss(tx, gap, limit, now)).await
    }

    async fn renew_crons(&self, now: Timestamp) -> Result<(), StorageError> {
        let zones = self.shared.registry.zones().current();
        let mut from = Some(i64::MIN);
        while let Some(after) = from {
            let fingerprint = zones.fingerprint().to_owned();
            from = self.shared.call(move |tx| cron::renew_slice(tx, &fingerprint, after, now)).await?;
        }
        Ok(())
    }

    fn zones(&self) -> &Zones {
        self.shared.registry.zones()
    }

    fn ahead(&self, namespace: NamespaceId, task: Option<&Name>, until: Timestamp, now: Timestamp) -> Result<Ahead, StorageError> {
        self.read(namespace, now, |reader| cron::ahead(reader.conn, reader.registry, namespace, task, until, now))
    }

    fn signs_of_life(&self) -> Vec<Timestamp> {
        self.signs_of_life.clone()
    }

    async fn heartbeat(&self, now: Timestamp) -> Result<(), StorageError> {
        self.shared.awake_at.store(now.as_micros(), Ordering::Relaxed);
        self.shared.call(move |tx| meta::set_alive(tx.conn, now.as_micros())).await
    }

    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<RunEvent> {
        self.shared.watch.subscribe()
    }

    fn ended(&self, run: RunId) -> tokio::sync::oneshot::Receiver<()> {
        match run.key_in(self.shared.id_origin) {
            Some(key) => {
                let ended = self.shared.watch.ended(key);
                if self.shared.broken.load(Ordering::Acquire) {
                    // Nothing ends any more, and nobody would say so after this.
                    self.shared.watch.close();
                }
                ended
            }
            // Of another database: whoever waits is let go at once, and reads that there is no such run.
            None => tokio::sync::oneshot::channel().1,
        }
    }

    async fn backup(&self, to: PathBuf, progress: Box<dyn Fn(u64, u64) + Send>) -> Result<(), BackupError> {
        let from = self.path.clone();
        let done = tokio::task::spawn_blocking(move || backup::backup(&from, &to, progress.as_ref())).await;
        done.unwrap_or_else(|error| Err(StorageError::Unavailable(error.to_string()).into()))
    }

    async fn create_token(&self, token: TokenRecord) -> Result<Result<(), TokenRefused>, StorageError> {
        let (namespace, at, note) = (token.namespace, token.created_at, Note::of(&token.id).detail(&token.role));
        let own = self.shared.registry.quotas(token.namespace).tokens;
        let max = self.token.as_ref().map(|_| own.unwrap_or_else(|| self.shared.tokens_max.load(Ordering::Relaxed)));
        let noted = |created: &Result<(), TokenRefused>| created.is_ok().then_some(note).into_iter().collect();
        self.change(
            namespace,
            at,
            AuditAction::CreateToken,
            move |tx| match tx.shared.registry.refusal(namespace) {
                Some(refused) => Ok(Err(refused.into())),
                None => Ok(tokens::create(tx.conn, &token, max)?.map_err(TokenRefused::Full)),
            },
            noted,
        )
        .await
    }

    fn tokens(&self) -> Result<Vec<TokenRecord>, StorageError> {
        self.readers.read(tokens::list).map_err(|error| writer::sort(&error, false))
    }

    fn tokens_of(&self, namespace: NamespaceId) -> Result<Vec<TokenRecord>, StorageError> {
        self.readers.read(|conn| tokens::list_of(conn, namespace)).map_err(|error| writer::sort(&error, false))
    }

    async fn revoke_token(&self, namespace: NamespaceId, id: &str, now: Timestamp) -> Result<bool, StorageError> {
        let (id, note) = (id.to_owned(), Note::of(id));
        let noted = |found: &bool| found.then_some(note).into_iter().collect();
        self.change(namespace, now, AuditAction::RevokeToken, move |tx| tokens::revoke(tx.conn, namespace, &id, now), noted).await
    }

    async fn record(&self, namespace: NamespaceId, action: AuditAction, subject: &str, now: Timestamp) -> Result<(), StorageError> {
        let note = Note::of(subject);
        self.change(namespace, now, action, |_| Ok(()), |_| vec![note]).await
    }

    fn on_behalf_of(&self, token: &str) -> Arc<dyn Storage> {
        Arc::new(Self { file: self.file.clone(), token: Some(token.into()) })
    }

    fn audit(&self, namespace: NamespaceId, query: &AuditQuery) -> Result<Vec<AuditEntry>, StorageError> {
        self.read(namespace, Timestamp::MIN, |reader| audit::read(reader.conn, reader.id_origin, namespace, query))
    }

    fn secret(&self) -> [u8; 32] {
        self.secret
    }

    fn health(&self) -> Health {
        let Counts { armed, parked, running, waiting_for_slots, rate_waits } = self.shared.due.counts();
        let trouble = self.shared.trouble();
        let locked = self.shared.locked.load(Ordering::Acquire).then_some(StorageError::Locked);
        let reason = trouble.as_ref().or(locked.as_ref()).map(StorageError::code);
        // If nothing was written for a while, the lock is unknown. The writer tries it now, and the next call of `health` has the result.
        self.shared.request_probe();
        Health {
            time_zones: self.shared.registry.zones().release(),
            writable: reason.is_none(),
            reason,
            trouble: trouble.map(|trouble| trouble.to_string()),
            armed,
            parked,
            running,
            waiting_for_slots,
            waiting_for_memory: 0,
            queued_writes: self.shared.queued(),
            pruned: self.shared.pruned.load(Ordering::Relaxed),
            missed: self.shared.counts.missed(),
            made_way: self.shared.counts.made_way.load(Ordering::Relaxed),
            rate_waits,
        }
    }

    async fn broken(&self) -> StorageError {
        self.shared.has_given_up().await;
        self.shared.trouble().unwrap_or_else(|| StorageError::Unavailable("the host is shut down".into()))
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

/// What to put on record of a change of a cron: nothing if it was refused.
fn of_cron<T>(done: &Result<T, CronError>, name: String) -> Vec<Note> {
    done.as_ref().map_or_else(|_| Vec::new(), |_| vec![Note::of(name)])
}
