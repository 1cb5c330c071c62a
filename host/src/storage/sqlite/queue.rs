//! What waits to be written, and how it comes there.
//!
//! Filled by whoever wants something stored; emptied by the writer (`writer.rs`), group by group. Knows nothing of transactions.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::claim;
use super::gated::Used;
use super::group::Tx;
use super::verdict::Verdict;
use super::writer::{Shared, sort};
use crate::storage::{Claim, Finish, StorageError};

/// Writes that may wait. Beyond it, requests are refused before they touch the disk; outcomes of attempts are always taken.
const QUEUE_MAX: usize = 65_536;
/// Writes in one transaction: enough to make the commit's cost vanish, few enough to answer the first of them soon.
const GROUP_MAX: usize = 2_048;

/// One write that waits.
pub(super) enum Op {
    /// Attempts that were started, in the order of their start, and those among them that are handed out once this is committed.
    /// What they have used of their rates is written with them.
    Claims { started: Vec<claim::Started>, held: Vec<Claim>, used: Vec<Used> },
    /// An attempt that ended, and when.
    Finish(Box<Finish>, i64),
    /// What the gates decided, and when.
    Verdicts(Vec<Verdict>, i64),
    /// What a caller waits for. Applied at most once.
    Call(Box<dyn Call>),
    /// A change that the host makes by itself. Applied at most once, and never withdrawn.
    Own(Own),
}

/// A change that a caller asked for.
pub(super) trait Call: Send {
    /// Applies it, and returns what to do when its commit is known to have succeeded or failed.
    fn apply(self: Box<Self>, tx: &mut Tx<'_>) -> Answer;
    /// Tells the caller that it was not applied. It never will be.
    fn withdraw(self: Box<Self>, why: StorageError);
}

/// Applies a change of the host's own, and returns what to do when its commit is known to have succeeded or failed.
pub(super) type Own = Box<dyn FnOnce(&mut Tx<'_>) -> Answer + Send>;
/// Tells the caller.
pub(super) type Answer = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) ops: Vec<Op>,
    load: bool,
    /// Whether the write lock is to be tried although nothing waits.
    probe: bool,
    closing: bool,
    /// Whether calls are refused, because another program has held the write lock for too long.
    refusing: bool,
    /// Whether the writer sleeps, and nobody has woken it: while it is at work, waking it is a system call for nothing.
    asleep: bool,
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
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
        {
            let mut queue = self.queue();
            if let Some(trouble) = self.trouble() {
                return Err(trouble);
            }
            if queue.closing {
                return Err(StorageError::Unavailable("the host is shut down".into()));
            }
            if queue.refusing {
                return Err(StorageError::Locked);
            }
            if queue.ops.len() >= QUEUE_MAX {
                return Err(StorageError::Overloaded(queue.ops.len()));
            }
            queue.ops.push(Op::Call(Box::new(Asked { change, sender })));
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
        let own: Own = Box::new(move |tx| {
            if let Err(error) = change(tx) {
                tx.failed.get_or_insert(error);
            }
            Box::new(told)
        });
        self.push(Op::Own(own), true);
    }

    /// Has the writer try the write lock, so that health tells the truth although nothing is to be written.
    pub(super) fn request_probe(&self) {
        let mut queue = self.queue();
        if !queue.probe {
            queue.probe = true;
            self.wake(queue);
        }
    }

    /// Refuses calls from now on, and withdraws those that wait, in the queue and in `group`.
    ///
    /// Both happen under the queue's lock, and `group` was not begun: so a withdrawn write is nowhere any more, and can't be committed later.
    pub(super) fn withdraw(&self, group: &mut Vec<Op>) {
        let mut queue = self.queue();
        queue.refusing = true;
        let is_call = |op: &mut Op| matches!(op, Op::Call(_));
        let mut calls: Vec<Op> = group.extract_if(.., is_call).collect();
        calls.extend(queue.ops.extract_if(.., is_call));
        drop(queue);
        for op in calls {
            if let Op::Call(call) = op {
                call.withdraw(StorageError::Locked);
            }
        }
    }

    /// Takes calls again.
    pub(super) fn accept(&self) {
        self.queue().refusing = false;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.queue().closing
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

/// What a caller asked for, and where it waits.
struct Asked<F, T> {
    change: F,
    sender: tokio::sync::oneshot::Sender<Result<T, StorageError>>,
}

impl<F, T> Call for Asked<F, T>
where
    F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    T: Send + 'static,
{
    fn apply(self: Box<Self>, tx: &mut Tx<'_>) -> Answer {
        let Self { change, sender } = *self;
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
    }

    fn withdraw(self: Box<Self>, why: StorageError) {
        drop(self.sender.send(Err(why)));
    }
}

/// What [`gather`] found beside the group.
pub(super) struct Gathered {
    /// Runs should be loaded.
    pub(super) load: bool,
    /// The write lock should be tried.
    pub(super) probe: bool,
    /// The host stops, and nothing more is to come.
    pub(super) closing: bool,
}

/// Waits for something to do, and takes up to a group of it. With a `pause`, it waits for something new, but no longer than that.
pub(super) fn gather(shared: &Shared, group: &mut Vec<Op>, pause: Option<Duration>) -> Gathered {
    const UNHARMED: &str = "nothing panics while it holds the write queue";
    let mut queue = shared.queue();
    while queue.ops.is_empty() && !queue.closing && !shared.broken.load(Ordering::Acquire) {
        if let Some(pause) = pause {
            queue.asleep = true;
            queue = shared.ready.wait_timeout(queue, pause).expect(UNHARMED).0;
            break;
        }
        if queue.load || queue.probe || !group.is_empty() {
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
    Gathered {
        load: std::mem::take(&mut queue.load),
        probe: std::mem::take(&mut queue.probe),
        closing: queue.closing && queue.ops.is_empty(),
    }
}

/// A copy of the error for a second reader; rusqlite's own is not `Clone`.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => rusqlite::Error::SqliteFailure(*code, message.clone()),
        other => rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_MISUSE), Some(other.to_string())),
    }
}
