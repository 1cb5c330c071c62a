//! The one thread that writes: group commit.
//!
//! Whatever waits (`queue.rs`) is applied in one transaction, committed (`group.rs`), and only then answered; while that goes on the next group
//! gathers. There is no lingering: a lone write is committed at once, and under load the disk's own latency makes the groups.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::due_queue::DueQueue;
use super::gate::Rules;
use super::group::{Group, commit};
use super::lock_wait::{self, LOCK_PAUSE, LOCK_TRY, LockWait};
use super::queue::{Gathered, Op, Queue, gather};
use super::registry::Registry;
use super::room::Disk;
use super::run_bytes::RunBytes;
use super::watch::Watch;
use super::{audit, checkpoint, cron, gated, live, load, meta, verdict};
use crate::model::NamespaceRecord;
use crate::model::limits::{COMPONENT_BYTES_PER_NAMESPACE_MAX, TOKENS_PER_NAMESPACE_MAX, WRITE_LOCK_WAIT_MAX};
use crate::storage::StorageError;
use crate::zones::Zones;

/// How long to wait before a full disk is tried or looked at again.
const DISK_FULL_PAUSE: Duration = Duration::from_millis(500);

/// What the other threads share with the writer's.
pub(super) struct Shared {
    pub(super) queue: Mutex<Queue>,
    pub(super) ready: Condvar,
    pub(super) due: DueQueue,
    pub(super) registry: Registry,
    pub(super) watch: Watch,
    pub(super) id_origin: u64,
    /// The last id that was given out.
    pub(super) last_key: AtomicI64,
    /// The latest time that anybody who claims has told.
    pub(super) seen_now: AtomicI64,
    /// The time up to which the host was alive, as a worker told last: the clock watchdog vouches that no gap lies before it which is not dealt
    /// with. 0 until the gap before the start is.
    pub(super) awake_at: AtomicI64,
    /// Set for good when the disk can't be trusted any more.
    trouble: Mutex<Option<StorageError>>,
    pub(super) broken: AtomicBool,
    /// Whether another program holds the write lock, and has for long enough to say so.
    pub(super) locked: AtomicBool,
    /// Tells those who wait for that.
    gave_up: tokio::sync::watch::Sender<bool>,
    pub(super) waiting: AtomicUsize,
    pub(super) wal_pages: Arc<AtomicI64>,
    /// Runs deleted because they are kept no longer.
    pub(super) pruned: AtomicU64,
    pub(super) upcoming: cron::Upcoming,
    pub(super) counts: Arc<verdict::Counts>,
    pub(super) audit_numbers: audit::Numbers,
    pub(super) live: live::Live,
    pub(super) run_bytes: RunBytes,
    /// Bytes that the components of one namespace may have together.
    pub(super) component_bytes_max: AtomicU64,
    /// Tokens in force that one namespace may have.
    pub(super) tokens_max: AtomicU64,
}

impl Shared {
    pub(super) fn new(id_origin: u64, last_key: i64, file_bytes: i64, zones: Zones) -> Self {
        Self {
            queue: Mutex::default(),
            ready: Condvar::new(),
            due: DueQueue::default(),
            registry: Registry::new(zones),
            watch: Watch::default(),
            id_origin,
            last_key: AtomicI64::new(last_key),
            seen_now: AtomicI64::new(0),
            awake_at: AtomicI64::new(0),
            trouble: Mutex::new(None),
            broken: AtomicBool::new(false),
            locked: AtomicBool::new(false),
            gave_up: tokio::sync::watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            wal_pages: Arc::default(),
            pruned: AtomicU64::new(0),
            upcoming: cron::Upcoming::default(),
            counts: Arc::default(),
            audit_numbers: audit::Numbers::default(),
            live: live::Live::new(file_bytes.unsigned_abs()),
            run_bytes: RunBytes::new(),
            component_bytes_max: COMPONENT_BYTES_PER_NAMESPACE_MAX.into(),
            tokens_max: TOKENS_PER_NAMESPACE_MAX.into(),
        }
    }

    /// What stopped the storage, if something did.
    pub(super) fn trouble(&self) -> Option<StorageError> {
        self.broken.load(Ordering::Acquire).then(|| self.trouble.lock().expect("nothing panics here").clone()).flatten()
    }

    /// Stops for good, because what is stored is not what was thought, or nothing can be stored any more. The first reason counts.
    pub(super) fn give_up(&self, error: StorageError) {
        tracing::error!(%error, "the storage stops: start the host again, so that it reads what is true");
        self.trouble.lock().expect("nothing panics here").get_or_insert(error);
        self.broken.store(true, Ordering::Release);
        self.due.stop();
        // Who looks for trouble before adding to the queue does so under its lock: nobody comes after this.
        let left = std::mem::take(&mut self.queue().ops);
        // Dropped without that lock, as it tells those who wait: nothing of theirs was changed.
        drop(left);
        self.ready.notify_one();
        self.watch.close();
        self.gave_up.send_replace(true);
    }

    /// Ends when the storage has given up.
    pub(super) async fn has_given_up(&self) {
        // The sender lives as long as this.
        let _ = self.gave_up.subscribe().wait_for(|gave_up| *gave_up).await;
    }

    /// Has the queue serve the namespaces that there are, and none that is being deleted; gives each its quotas. Slots are shared out if several of
    /// them have tasks.
    pub(super) fn serve_namespaces(&self) {
        let (deleting, served): (Vec<_>, Vec<_>) =
            self.registry.namespace_records().into_iter().partition(|record| record.deleting_since.is_some());
        let tasks = self.registry.all_tasks();
        let several = tasks.windows(2).any(|pair| pair[0].namespace != pair[1].namespace);
        let ids = |records: &[NamespaceRecord]| records.iter().map(|record| record.namespace.id.0).collect::<Vec<_>>();
        self.due.serve(ids(&served).into_iter(), ids(&deleting).into_iter(), several);
        self.apply_quotas(&served);
    }

    /// Hands the quotas of single namespaces to the parts that keep a count of their own. The other parts read them from the registry at each use.
    fn apply_quotas(&self, records: &[NamespaceRecord]) {
        for record in records {
            self.run_bytes.set_limit(record.namespace.id, record.quotas.run_bytes);
        }
        self.live.set_own(records.iter().filter_map(|record| Some((record.namespace.id, record.quotas.live_runs?))).collect());
    }

    /// Has the queue treat runs by the policies and pauses that hold now.
    pub(super) fn govern(&self, now: i64) {
        let moment = gated::time(now);
        let rules =
            self.registry.all_tasks().into_iter().filter_map(|task| Some((task.id.0, (task.namespace.0, Rules::of(&task, moment)?))));
        self.due.govern(rules.collect(), now);
    }
}

/// Runs until the queue is closed and empty, or the storage has given up.
pub(super) fn write(mut conn: Connection, shared: &Shared, checkpointer: &checkpoint::Checkpointer, disk: &mut Disk) {
    let mut lock = LockWait::default();
    wait_for_lock(&conn, LOCK_TRY);
    write_all(&mut conn, shared, checkpointer, disk, &mut lock);
    if shared.broken.load(Ordering::Acquire) {
        checkpoint::leave_log(&conn);
        return;
    }
    let (awake_at, last_key) = (shared.awake_at.load(Ordering::Relaxed), shared.last_key.load(Ordering::Relaxed));
    if !lock.is_waiting() {
        wait_for_lock(&conn, WRITE_LOCK_WAIT_MAX);
    }
    failpoint!("close:before-clean");
    if let Err(error) = meta::mark_clean(&mut conn, awake_at, last_key) {
        tracing::warn!(%error, "the clean stop could not be recorded; the next start will be a cautious one");
        wait_for_lock(&conn, LOCK_TRY);
    }
    failpoint!("close:after-clean");
    checkpointer.finish(&conn);
}

/// Sets how long a statement waits for another program's lock.
fn wait_for_lock(conn: &Connection, wait: Duration) {
    if let Err(error) = conn.busy_timeout(wait) {
        tracing::warn!(%error, "the wait for locks could not be set");
    }
}

/// Writes group after group until nothing more is to come.
fn write_all(conn: &mut Connection, shared: &Shared, checkpointer: &checkpoint::Checkpointer, disk: &mut Disk, lock: &mut LockWait) {
    let mut group = Vec::new();
    let mut alive_at = 0;
    // Set where trying again at once would be in vain.
    let mut pause = None;
    loop {
        let Gathered { load, probe, closing } = gather(shared, &mut group, pause.take());
        if shared.broken.load(Ordering::Acquire) {
            return;
        }
        if disk.has_recovered() {
            shared.due.suspend(lock.is_long());
        }
        if group.is_empty() && closing {
            return;
        }
        let is_low = disk.is_low();
        let written = match group.is_empty() {
            false => commit(conn, shared, &mut group, &mut alive_at, is_low),
            true if probe || lock.is_waiting() => lock_wait::try_lock(conn),
            true => Ok(Group::Committed),
        };
        let written = match written {
            Ok(Group::Committed) if load => load::load(conn, shared).map(|()| Group::Committed).or_else(|error| to_retry(&error)),
            other => other,
        };
        if load && !matches!(written, Ok(Group::Committed)) {
            shared.request_load();
        }
        shared.waiting.store(group.len(), Ordering::Relaxed);
        if lock.is_waiting() && matches!(written, Ok(Group::Committed | Group::RolledBack | Group::DiskFull)) {
            lock.obtained(shared, disk.is_full());
        }
        match written {
            Ok(Group::Committed) => pause = disk.is_full().then_some(DISK_FULL_PAUSE),
            // Outcomes of attempts stay in the group: they are tried again.
            Ok(Group::RolledBack) => {}
            Ok(Group::DiskFull) => {
                shared.due.suspend(true);
                if !disk.found_full() {
                    if shared.is_closing() {
                        // What could not be stored is repeated when the host starts again.
                        shared.give_up(StorageError::Full);
                        return;
                    }
                    pause = Some(DISK_FULL_PAUSE);
                }
            }
            Ok(Group::Locked) => {
                lock.missed(shared, &mut group);
                shared.waiting.store(group.len(), Ordering::Relaxed);
                if lock.is_over() && shared.is_closing() {
                    let is_owed = |op: &Op| !matches!(op, Op::Own(_));
                    if group.iter().any(is_owed) || shared.queue().ops.iter().any(is_owed) {
                        // What could not be stored is repeated when the host starts again.
                        shared.give_up(StorageError::Locked);
                    }
                    return;
                }
                pause = Some(LOCK_PAUSE);
            }
            Err(error) => {
                shared.give_up(error);
                return;
            }
        }
        checkpointer.after_commit(conn, shared);
    }
}

/// What to do about an error where nothing is at fault but the disk or another program.
pub(super) fn to_retry(error: &rusqlite::Error) -> Result<Group, StorageError> {
    match sort(error, false) {
        StorageError::Full => Ok(Group::DiskFull),
        StorageError::Locked => Ok(Group::Locked),
        fatal => Err(fatal),
    }
}

/// Sorts an error of SQLite by what the caller can do. `committing`: whether the commit itself failed.
pub(super) fn sort(error: &rusqlite::Error, committing: bool) -> StorageError {
    // The index of the log is a file, too, which grows: that it can't is told as a failure of input and output, and has no other cause.
    let no_room = matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    match error.sqlite_error_code() {
        _ if no_room => StorageError::Full,
        Some(ErrorCode::DiskFull) => StorageError::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StorageError::Corrupt(error.to_string()),
        // Measured: a commit that returned an error of its fsync was there after the file was opened again.
        Some(ErrorCode::SystemIoFailure) => StorageError::OutcomeUnknown(error.to_string()),
        _ if committing => StorageError::OutcomeUnknown(error.to_string()),
        Some(ErrorCode::DatabaseBusy) => StorageError::Locked,
        Some(ErrorCode::OperationInterrupted) => StorageError::TooLong,
        _ => StorageError::Unavailable(error.to_string()),
    }
}
