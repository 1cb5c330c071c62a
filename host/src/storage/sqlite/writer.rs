//! The one thread that writes: group commit.
//!
//! Whatever waits is applied in one transaction, committed, and only then answered; while that goes on the next group gathers. There
//! is no lingering: a lone write is committed at once, and under load the disk's own latency makes the groups. What a
//! commit changes in memory (the due queue, the registry, those who wait for a run) is changed after it, by this thread.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use rustc_hash::FxHashMap;

use super::due_queue::DueQueue;
use super::gate::Rules;
use super::gated::Used;
use super::registry::Registry;
use super::room::Disk;
use super::rows::Waiting;
use super::verdict::Verdict;
use super::watch::Watch;
use super::{audit, checkpoint, claim, cron, finish, gated, live, load, meta, rates, verdict};
use crate::storage::{Claim, Finish, RunEvent, StorageError};

/// Writes that may wait. Beyond it, requests are refused before they touch the disk; outcomes of attempts are always taken.
const QUEUE_MAX: usize = 65_536;
/// Writes in one transaction: enough to make the commit's cost vanish, few enough to answer the first of them soon.
const GROUP_MAX: usize = 2_048;
/// How long to wait before a full disk is tried or looked at again.
const DISK_FULL_PAUSE: Duration = Duration::from_millis(500);
/// How often a sign of life is stored beside other writes.
const ALIVE_EVERY_MICROS: i64 = 1_000_000;

/// One write that waits.
pub(super) enum Op {
    /// Attempts that were started, in the order of their start, and those among them that are handed out once this is committed.
    /// What they have used of their rates is written with them.
    Claims { started: Vec<claim::Started>, held: Vec<Claim>, used: Vec<Used> },
    /// An attempt that ended, and when.
    Finish(Box<Finish>, i64),
    /// What the gates decided, and when.
    Verdicts(Vec<Verdict>, i64),
    /// Anything else. Applied once; returns what tells the caller how it went.
    Call(Call),
}

/// Applies a change, and returns what to do when its commit is known to have succeeded or failed.
pub(super) type Call = Box<dyn FnOnce(&mut Tx<'_>) -> Answer + Send>;
/// Tells the caller.
pub(super) type Answer = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// What the other threads share with the writer's.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    pub(super) due: DueQueue,
    pub(super) registry: Registry,
    pub(super) watch: Watch,
    pub(super) id_origin: u64,
    /// The last id that was given out.
    pub(super) last_key: AtomicI64,
    /// The latest time that anybody who claims has told.
    pub(super) seen_now: AtomicI64,
    /// Set for good when the disk can't be trusted any more.
    trouble: Mutex<Option<StorageError>>,
    pub(super) broken: AtomicBool,
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
}

#[derive(Default)]
struct Queue {
    ops: Vec<Op>,
    load: bool,
    closing: bool,
    /// Whether the writer sleeps, and nobody has woken it: while it is at work, waking it is a system call for nothing.
    asleep: bool,
}

/// A transaction under way: the connection, and what to change in memory once it is committed.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) shared: &'a Shared,
    /// Claims of this group that are not in the database yet: a finish in the same group makes them needless.
    pub(super) claims: FxHashMap<i64, claim::Started>,
    /// What lanes of tasks have used of their rates by the claims of this group.
    pub(super) used: FxHashMap<(i64, Arc<str>), i64>,
    /// Who changed what, as far as that is to be on record.
    pub(super) audit: Vec<audit::Entry>,
    /// To be armed after the commit.
    #[expect(clippy::vec_box, reason = "it moves on as it is, into a map of boxes")]
    pub(super) arm: Vec<Box<Waiting>>,
    /// Runs that were disarmed when `arm` had this length: what stands there of them up to then is void.
    pub(super) unarmed: Vec<(usize, i64)>,
    /// Disarmed already; to be armed again if the commit fails.
    #[expect(clippy::vec_box, reason = "it moves on as it is, into a map of boxes")]
    pub(super) disarmed: Vec<Box<Waiting>>,
    /// Attempts that ended.
    pub(super) released: Vec<i64>,
    /// Runs that reached a final status or were deleted.
    pub(super) ended: Vec<i64>,
    pub(super) events: Vec<RunEvent>,
    /// Whether the registry must be read again.
    pub(super) registered: bool,
    /// Whether the disk is nearly full, so that nothing new is stored.
    pub(super) is_low: bool,
    /// Makes room in memory known to whoever waits for it.
    pub(super) after_commit: Vec<Box<dyn FnOnce() + Send>>,
    /// Whether whoever claims should look at once.
    pub(super) wake: bool,
    failed: Option<rusqlite::Error>,
}

impl Tx<'_> {
    /// Whether anybody watches, so that events are worth making.
    pub(super) fn watched(&self) -> bool {
        self.shared.watch.is_watched()
    }
}

impl Shared {
    pub(super) fn new(id_origin: u64, last_key: i64, file_bytes: i64) -> Self {
        Self {
            queue: Mutex::default(),
            ready: Condvar::new(),
            due: DueQueue::default(),
            registry: Registry::default(),
            watch: Watch::default(),
            id_origin,
            last_key: AtomicI64::new(last_key),
            seen_now: AtomicI64::new(0),
            trouble: Mutex::new(None),
            broken: AtomicBool::new(false),
            gave_up: tokio::sync::watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            wal_pages: Arc::default(),
            pruned: AtomicU64::new(0),
            upcoming: cron::Upcoming::default(),
            counts: Arc::default(),
            audit_numbers: audit::Numbers::default(),
            live: live::Live::new(file_bytes.unsigned_abs()),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the write queue")
    }

    /// Adds a write that must not be refused. `wake` false leaves it to the next one to wake the writer.
    pub(super) fn push(&self, op: Op, wake: bool) {
        let mut queue = self.queue();
        queue.ops.push(op);
        if wake {
            self.wake(queue);
        }
    }

    /// Wakes the writer if something waits.
    pub(super) fn nudge(&self) {
        let queue = self.queue();
        if !queue.ops.is_empty() {
            self.wake(queue);
        }
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.ready.notify_one();
        }
    }

    /// Asks the writer to look whether runs should be loaded.
    pub(super) fn request_load(&self) {
        let mut queue = self.queue();
        if !queue.load {
            queue.load = true;
            drop(queue);
            self.ready.notify_one();
        }
    }

    /// As [`call`](Self::call), for what somebody wants stored that was promised to nobody yet: refused while the disk is nearly full.
    pub(super) async fn add<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let added = self.call(move |tx| if tx.is_low { Ok(None) } else { change(tx).map(Some) }).await?;
        added.ok_or(StorageError::Full)
    }

    /// Applies `change` in the next group, and returns its value once that is durable.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let call: Call = Box::new(move |tx| {
            let done = change(tx);
            if let Err(error) = &done {
                tx.failed.get_or_insert(copy(error));
            }
            Box::new(move |committed| {
                let answer = match (done, committed) {
                    (_, Err(error)) => Err(error),
                    (Ok(value), Ok(())) => Ok(value),
                    (Err(error), Ok(())) => Err(sort(&error, false)),
                };
                // A caller who no longer waits is no concern of the commit's.
                drop(sender.send(answer));
            })
        });
        {
            let mut queue = self.queue();
            if let Some(trouble) = self.trouble() {
                return Err(trouble);
            }
            if queue.closing {
                return Err(StorageError::Unavailable("the host is shut down".into()));
            }
            if queue.ops.len() >= QUEUE_MAX {
                return Err(StorageError::Overloaded(queue.ops.len()));
            }
            queue.ops.push(Op::Call(call));
            self.wake(queue);
        }
        // A call is dropped unanswered only before any of it was committed.
        receiver.await.unwrap_or_else(|_| {
            Err(StorageError::Unavailable("another write in the same transaction failed; nothing was changed, try again".into()))
        })
    }

    /// As [`call`](Self::call), for a change that the host makes by itself: `told` hears how it went.
    pub(super) fn push_call(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<()> + Send + 'static,
        told: impl FnOnce(Result<(), StorageError>) + Send + 'static,
    ) {
        let call: Call = Box::new(move |tx| {
            if let Err(error) = change(tx) {
                tx.failed.get_or_insert(error);
            }
            Box::new(told)
        });
        self.push(Op::Call(call), true);
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

    /// Has the queue treat runs by the policies and pauses that hold now.
    pub(super) fn govern(&self, now: i64) {
        let moment = gated::time(now);
        let rules =
            self.registry.all_tasks().into_iter().filter_map(|task| Some((task.id.0, (task.namespace.0, Rules::of(&task, moment)?))));
        self.due.govern(rules.collect(), now);
    }

    /// Lets the writer end once it has written what waits.
    pub(super) fn close(&self) {
        self.queue().closing = true;
        self.ready.notify_one();
    }

    pub(super) fn queued(&self) -> usize {
        self.queue().ops.len() + self.waiting.load(Ordering::Relaxed)
    }
}

/// Runs until the queue is closed and empty, or the storage has given up.
pub(super) fn write(mut conn: Connection, shared: &Shared, checkpointer: &checkpoint::Checkpointer, disk: &mut Disk) {
    write_all(&mut conn, shared, checkpointer, disk);
    if shared.broken.load(Ordering::Acquire) {
        checkpoint::leave_log(&conn);
        return;
    }
    let (seen, last_key) = (shared.seen_now.load(Ordering::Relaxed), shared.last_key.load(Ordering::Relaxed));
    failpoint!("close:before-clean");
    if let Err(error) = meta::mark_clean(&conn, seen, last_key) {
        tracing::warn!(%error, "the clean stop could not be recorded; the next start will be a cautious one");
    }
    failpoint!("close:after-clean");
    checkpointer.finish(&conn);
}

/// Writes group after group until nothing more is to come.
fn write_all(conn: &mut Connection, shared: &Shared, checkpointer: &checkpoint::Checkpointer, disk: &mut Disk) {
    let mut group = Vec::new();
    let mut alive_at = 0;
    // Set where trying again at once would be in vain.
    let mut pause = None;
    loop {
        let (load, closing) = gather(shared, &mut group, pause.take());
        if shared.broken.load(Ordering::Acquire) {
            return;
        }
        if disk.has_recovered() {
            shared.due.suspend(false);
        }
        if group.is_empty() && closing {
            return;
        }
        let is_low = disk.is_low();
        let written = if group.is_empty() { Ok(Group::Committed) } else { commit(conn, shared, &mut group, &mut alive_at, is_low) };
        let written = match written {
            Ok(Group::Committed) if load => load::load(conn, shared).map(|()| Group::Committed).or_else(|error| full_or_fatal(&error)),
            other => other,
        };
        if load && !matches!(written, Ok(Group::Committed)) {
            shared.request_load();
        }
        shared.waiting.store(group.len(), Ordering::Relaxed);
        match written {
            Ok(Group::Committed) => pause = disk.is_full().then_some(DISK_FULL_PAUSE),
            // Outcomes of attempts stay in the group: they are tried again.
            Ok(Group::RolledBack) => {}
            Ok(Group::DiskFull) => {
                shared.due.suspend(true);
                if !disk.found_full() {
                    if closing {
                        // What could not be stored is repeated when the host starts again.
                        shared.give_up(StorageError::Full);
                        return;
                    }
                    pause = Some(DISK_FULL_PAUSE);
                }
            }
            Err(error) => {
                shared.give_up(error);
                return;
            }
        }
        checkpointer.after_commit(conn, shared);
    }
}

/// Waits for something to do, and takes up to a group of it. With a `pause`, it waits for something new, but no longer than that.
fn gather(shared: &Shared, group: &mut Vec<Op>, pause: Option<Duration>) -> (bool, bool) {
    const UNHARMED: &str = "nothing panics while it holds the write queue";
    let mut queue = shared.queue();
    while queue.ops.is_empty() && !queue.closing && !shared.broken.load(Ordering::Acquire) {
        if let Some(pause) = pause {
            queue.asleep = true;
            queue = shared.ready.wait_timeout(queue, pause).expect(UNHARMED).0;
            break;
        }
        if queue.load || !group.is_empty() {
            break;
        }
        queue.asleep = true;
        queue = shared.ready.wait(queue).expect(UNHARMED);
    }
    queue.asleep = false;
    let room = GROUP_MAX.saturating_sub(group.len());
    if group.is_empty() && queue.ops.len() <= room {
        std::mem::swap(group, &mut queue.ops);
    } else {
        let take = queue.ops.len().min(room);
        group.extend(queue.ops.drain(..take));
    }
    shared.waiting.store(group.len(), Ordering::Relaxed);
    (std::mem::take(&mut queue.load), queue.closing && queue.ops.is_empty())
}

/// Applies the group in one transaction. What is left in `group` afterwards must be tried again.
fn commit(conn: &Connection, shared: &Shared, group: &mut Vec<Op>, alive_at: &mut i64, is_low: bool) -> Result<Group, StorageError> {
    loop {
        match conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
            Ok(_) => break,
            // An embedder's own transaction on the same file takes long. Nothing is lost by waiting further.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => continue,
            // Nothing was begun: the whole group is there to be tried again.
            Err(error) => return full_or_fatal(&error),
        }
    }
    failpoint!("commit:begun");
    failpoint!("outcome:begun" if has_outcome(group));
    let mut tx = Tx {
        conn,
        shared,
        claims: FxHashMap::default(),
        used: FxHashMap::default(),
        audit: Vec::new(),
        arm: Vec::new(),
        unarmed: Vec::new(),
        disarmed: Vec::new(),
        released: Vec::new(),
        ended: Vec::new(),
        events: Vec::new(),
        registered: false,
        is_low,
        after_commit: Vec::new(),
        wake: false,
        failed: None,
    };
    let mut answers: Vec<Answer> = Vec::new();
    let mut keep: Vec<Op> = Vec::with_capacity(group.len());
    for op in group.drain(..) {
        if tx.failed.is_some() {
            keep.push(op);
            continue;
        }
        match op {
            Op::Claims { started, held, used } => {
                for claim in &started {
                    tx.claims.insert(claim.run, *claim);
                }
                for used in &used {
                    // Workers may come here in another order than that in which they took what they use.
                    let until = tx.used.entry((used.task, used.lane.clone())).or_insert(used.until);
                    *until = used.until.max(*until);
                }
                keep.push(Op::Claims { started, held, used });
            }
            Op::Verdicts(verdicts, now) => match verdicts.iter().try_for_each(|verdict| verdict::apply(&mut tx, verdict, now)) {
                Ok(()) => keep.push(Op::Verdicts(verdicts, now)),
                Err(error) => {
                    // As an outcome is: only the disk's fault is tried again.
                    if matches!(sort(&error, false), StorageError::Unavailable(_)) {
                        tracing::error!(%error, "what was decided about waiting runs can't be stored; they are judged again when the host starts again");
                    } else {
                        keep.push(Op::Verdicts(verdicts, now));
                    }
                    tx.failed = Some(error);
                }
            },
            Op::Finish(finish, now) => {
                match finish::finish(&mut tx, &finish, now) {
                    Ok(()) => keep.push(Op::Finish(finish, now)),
                    Err(error) => {
                        // Tried again only where the disk was at fault: an outcome that no row can hold must not be tried for ever.
                        if matches!(sort(&error, false), StorageError::Unavailable(_)) {
                            tracing::error!(run = %finish.run, %error, "an outcome can't be stored; its run is repeated when the host starts again");
                        } else {
                            keep.push(Op::Finish(finish, now));
                        }
                        tx.failed = Some(error);
                    }
                }
            }
            Op::Call(call) => answers.push(call(&mut tx)),
        }
    }
    if tx.failed.is_none() {
        let seen = shared.seen_now.load(Ordering::Relaxed);
        let alive = seen - *alive_at >= ALIVE_EVERY_MICROS;
        let written = claim::write(&mut tx)
            .and_then(|()| rates::write(&tx))
            .and_then(|()| audit::write(&tx))
            .and_then(|()| if alive { meta::set_alive(conn, seen) } else { Ok(()) });
        match written {
            Ok(()) if alive => *alive_at = seen,
            Ok(()) => {}
            Err(error) => tx.failed = Some(error),
        }
    }
    failpoint!("commit:before");
    failpoint!("outcome:before" if has_outcome(&keep));
    let (failed, committing) = match tx.failed.take() {
        Some(error) => (Some(error), false),
        None => (conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).err(), true),
    };
    let Some(error) = failed else {
        failpoint!("commit:after");
        failpoint!("outcome:after" if has_outcome(&keep));
        #[cfg(feature = "test-util")]
        let ends_attempts = has_outcome(&keep);
        settle(tx);
        for op in keep {
            if let Op::Claims { held, .. } = op
                && !held.is_empty()
            {
                failpoint!("claim:committed");
                shared.due.put_committed(held);
            }
        }
        failpoint!("commit:settled");
        failpoint!("outcome:settled" if ends_attempts);
        answers.into_iter().for_each(|answer| answer(Ok(())));
        return Ok(Group::Committed);
    };
    let error = sort(&error, committing);
    // After some errors SQLite has rolled back by itself; then this one says so, and that is fine.
    drop(conn.execute_batch("ROLLBACK"));
    shared.audit_numbers.forget();
    shared.due.arm(std::mem::take(&mut tx.disarmed));
    answers.into_iter().for_each(|answer| answer(Err(error.clone())));
    // Calls that were not reached are dropped: their callers are told that nothing was changed.
    group.extend(keep.into_iter().filter(|op| !matches!(op, Op::Call(_))));
    match error {
        StorageError::Full => Ok(Group::DiskFull),
        StorageError::Unavailable(_) => Ok(Group::RolledBack),
        fatal => Err(fatal),
    }
}

/// What it means where nothing but the disk can be at fault.
fn full_or_fatal(error: &rusqlite::Error) -> Result<Group, StorageError> {
    match sort(error, false) {
        StorageError::Full => Ok(Group::DiskFull),
        fatal => Err(fatal),
    }
}

/// Whether a test that is about the end of an attempt means this group.
#[cfg(feature = "test-util")]
fn has_outcome(group: &[Op]) -> bool {
    group.iter().any(|op| matches!(op, Op::Finish(..)))
}

/// What became of a group of writes.
enum Group {
    Committed,
    /// One call was at fault. The outcomes among the others are still there to be tried again.
    RolledBack,
    DiskFull,
}

/// Changes in memory what the commit changed in the database.
fn settle(tx: Tx<'_>) {
    let shared = tx.shared;
    if tx.registered
        && let Err(error) = shared.registry.load(tx.conn)
    {
        tracing::error!(%error, "the registered tasks can't be read");
    }
    if tx.registered {
        shared.due.serve(shared.registry.namespaces().iter().map(|namespace| namespace.id.0));
        shared.govern(shared.seen_now.load(Ordering::Relaxed));
        shared.request_load();
    }
    if !tx.released.is_empty() || !tx.ended.is_empty() {
        shared.due.release(&tx.released, &tx.ended);
    }
    if !tx.arm.is_empty() {
        // Of several lengths for one run the last counts, which is the greatest.
        let void: FxHashMap<i64, usize> = tx.unarmed.iter().map(|(length, run)| (*run, *length)).collect();
        let valid = |(place, waiting): &(usize, Box<Waiting>)| void.get(&waiting.id).is_none_or(|length| place >= length);
        shared.due.arm(tx.arm.into_iter().enumerate().filter(valid).map(|(_, waiting)| waiting));
    }
    tx.after_commit.into_iter().for_each(|then| then());
    // Last, so that whoever is told finds everything as it is now.
    shared.watch.tell(tx.ended, tx.events);
    if tx.wake {
        shared.due.wake();
    }
}

/// A copy of the error for a second reader; rusqlite's own is not `Clone`.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => rusqlite::Error::SqliteFailure(*code, message.clone()),
        other => rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_MISUSE), Some(other.to_string())),
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
        _ => StorageError::Unavailable(error.to_string()),
    }
}
