//! What the host has for all guests together: bytes of memories and tables, and places in the pool. Which attempts hold it, and which wait for it.
//!
//! An attempt reserves what it needs to start, and waits while that is not free; what it grows by later is reserved then. Which namespace may take how
//! much, [`Shares`] says. What is given back goes to those who wait: the namespaces take turns, and within one those that grow go first, because they
//! give back soonest, then those that start, in the order in which they came. An attempt that waits to start holds nothing, so such attempts can't block
//! each other. An attempt that waits to grow holds something, so its wait is bounded (`limiter.rs`).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::model::limits::Limits;
use crate::model::{Ask, NamespaceId, RunId, Shares, Task, TaskId};

/// Tasks and runs of one namespace of which something is remembered. Beyond that, all of it is forgotten, and learned again.
const REMEMBERED_MAX: usize = 10_000;
/// After an attempt that took less than its task usually does, the usual amount falls by this part of the difference: one in so many.
const USUAL_FALLS_BY: u64 = 8;

/// An amount of everything that is shared out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Bytes of memories and tables.
    pub(super) bytes: u64,
    /// Memories of the pool.
    pub(super) memories: u64,
    /// Tables of the pool.
    pub(super) tables: u64,
}

impl Need {
    const fn bytes(bytes: u64) -> Self {
        Self { bytes, memories: 0, tables: 0 }
    }

    const fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, memories: self.memories + other.memories, tables: self.tables + other.tables }
    }

    const fn minus(self, other: Self) -> Self {
        Self { bytes: self.bytes - other.bytes, memories: self.memories - other.memories, tables: self.tables - other.tables }
    }
}

/// All of it.
pub(super) struct Capacity {
    bytes: Shares,
    memories: Shares,
    tables: Shares,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    held: Need,
    accounts: FxHashMap<NamespaceId, Account>,
    /// The namespaces that wait, each once.
    turns: VecDeque<NamespaceId>,
}

/// One namespace.
#[derive(Default)]
struct Account {
    held: Need,
    growing: VecDeque<Waiter>,
    starting: VecDeque<Waiter>,
    /// Bytes that attempts of a task usually take.
    usual: FxHashMap<TaskId, u64>,
    /// Bytes that runs asked for whose last attempt was given back because they were not free.
    asked: FxHashMap<RunId, u64>,
}

struct Waiter {
    run: RunId,
    need: Need,
    own: Need,
    tell: oneshot::Sender<Reservation>,
}

/// What an attempt holds. It is free again when this is dropped.
pub(super) struct Reservation {
    capacity: Arc<Capacity>,
    namespace: NamespaceId,
    need: Need,
}

impl Capacity {
    /// Guests may have `bytes` in all, and the pool has this many memories and tables.
    pub(super) fn new(limits: &Limits, bytes: u64, memories: u32, tables: u32) -> Self {
        Self {
            bytes: Shares::new(bytes, limits.memory_bytes as u64),
            memories: Shares::new(memories.into(), limits.memories as u64),
            tables: Shares::new(tables.into(), limits.tables as u64),
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves what an attempt of this task needs at least, and what such attempts usually take; waits until that is free.
    pub(super) async fn start(self: &Arc<Self>, task: &Task, run: RunId, least: Need) -> Reservation {
        let waiting = {
            let mut inner = self.lock();
            let account = inner.accounts.entry(task.namespace).or_default();
            let usual = account.usual.get(&task.id).copied().unwrap_or(0).max(account.asked.get(&run).copied().unwrap_or(0));
            let need = Need { bytes: least.bytes.max(usual), ..least };
            match self.try_take(&mut inner, task.namespace, need, Need::default()) {
                Some(reservation) => return reservation,
                None => self.queue(&mut inner, task.namespace, run, need, Need::default()),
            }
        };
        waiting.await
    }

    /// Reserves further bytes, and waits until they are free. Dropped before that, it has reserved nothing.
    pub(super) async fn grow(self: &Arc<Self>, reservation: &mut Reservation, run: RunId, bytes: u64) {
        let (namespace, own, need) = (reservation.namespace, reservation.need, Need::bytes(bytes));
        let waiting = {
            let mut inner = self.lock();
            match self.try_take(&mut inner, namespace, need, own) {
                Some(more) => return reservation.join(more),
                None => self.queue(&mut inner, namespace, run, need, own),
            }
        };
        reservation.join(waiting.await);
    }

    /// Reserves further bytes if they are free. False if they are not.
    pub(super) fn grow_at_once(self: &Arc<Self>, reservation: &mut Reservation, bytes: u64) -> bool {
        let taken = self.try_take(&mut self.lock(), reservation.namespace, Need::bytes(bytes), reservation.need);
        taken.map(|more| reservation.join(more)).is_some()
    }

    /// Takes it, unless it is not free, or others of the namespace wait for the same.
    fn try_take(self: &Arc<Self>, inner: &mut Inner, namespace: NamespaceId, need: Need, own: Need) -> Option<Reservation> {
        let all = inner.held;
        let account = inner.accounts.entry(namespace).or_default();
        let first = account.growing.is_empty() && (account.starting.is_empty() || own != Need::default());
        if !first || !self.admits(account, all, need, own) {
            return None;
        }
        account.held = account.held.plus(need);
        inner.held = inner.held.plus(need);
        Some(Reservation { capacity: self.clone(), namespace, need })
    }

    fn admits(&self, account: &Account, all: Need, need: Need, own: Need) -> bool {
        let admits = |shares: &Shares, of: fn(&Need) -> u64| {
            let ask = Ask { amount: of(&need), own: of(&own), namespace: of(&account.held), all: of(&all) };
            ask.amount == 0 || shares.admits(ask)
        };
        admits(&self.bytes, |need| need.bytes) && admits(&self.memories, |need| need.memories) && admits(&self.tables, |need| need.tables)
    }

    fn queue(self: &Arc<Self>, inner: &mut Inner, namespace: NamespaceId, run: RunId, need: Need, own: Need) -> Waiting {
        let (tell, told) = oneshot::channel();
        let waiter = Waiter { run, need, own, tell };
        let account = inner.accounts.entry(namespace).or_default();
        let waited = account.waits();
        if own == Need::default() {
            account.starting.push_back(waiter)
        } else {
            account.growing.push_back(waiter)
        }
        if !waited {
            inner.turns.push_back(namespace);
        }
        Waiting { capacity: self.clone(), told: Some(told) }
    }

    /// Takes for those who wait what is free. They must be told when the lock is released: who has gone away gives back at once.
    #[must_use]
    fn serve(self: &Arc<Self>, inner: &mut Inner) -> Vec<(oneshot::Sender<Reservation>, Reservation)> {
        let mut served = Vec::new();
        let mut in_vain = 0;
        while in_vain < inner.turns.len()
            && let Some(namespace) = inner.turns.pop_front()
        {
            let all = inner.held;
            let account = inner.accounts.entry(namespace).or_default();
            account.growing.retain(|waiter| !waiter.tell.is_closed());
            account.starting.retain(|waiter| !waiter.tell.is_closed());
            let Some(first) = account.growing.front().or(account.starting.front()) else { continue };
            if !self.admits(account, all, first.need, first.own) {
                inner.turns.push_back(namespace);
                in_vain += 1;
                continue;
            }
            let waiter = account.growing.pop_front().or_else(|| account.starting.pop_front()).expect("it was there a moment ago");
            account.held = account.held.plus(waiter.need);
            inner.held = inner.held.plus(waiter.need);
            if account.waits() {
                inner.turns.push_back(namespace);
            }
            served.push((waiter.tell, Reservation { capacity: self.clone(), namespace, need: waiter.need }));
            in_vain = 0;
        }
        served
    }

    /// Changes what is held, and tells those who may go on because of that.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut Inner)) {
        let served = {
            let mut inner = self.lock();
            change(&mut inner);
            if inner.turns.is_empty() { Vec::new() } else { self.serve(&mut inner) }
        };
        for (tell, reservation) in served {
            // Whoever has gone away meanwhile has this dropped, which gives it back.
            drop(tell.send(reservation));
        }
    }

    /// How many bytes the run waits for, if it waits.
    pub(super) fn awaited_by(&self, namespace: NamespaceId, run: RunId) -> Option<u64> {
        let inner = self.lock();
        let account = inner.accounts.get(&namespace)?;
        let mut waiters = account.growing.iter().chain(&account.starting);
        waiters.find(|waiter| waiter.run == run).map(|waiter| waiter.need.bytes)
    }

    /// What all attempts hold.
    #[cfg(test)]
    pub(super) fn held(&self) -> Need {
        self.lock().held
    }

    /// How many attempts wait.
    pub(super) fn waiting(&self) -> usize {
        let inner = self.lock();
        inner
            .turns
            .iter()
            .filter_map(|namespace| inner.accounts.get(namespace))
            .map(|account| account.growing.len() + account.starting.len())
            .sum()
    }
}

impl Account {
    fn waits(&self) -> bool {
        !self.growing.is_empty() || !self.starting.is_empty()
    }
}

impl Reservation {
    /// How much it is.
    pub(super) fn bytes(&self) -> u64 {
        self.need.bytes
    }

    fn join(&mut self, mut more: Self) {
        self.need = self.need.plus(std::mem::take(&mut more.need));
    }

    /// Gives it back, and remembers how many bytes an attempt of this task took.
    pub(super) fn end(mut self, task: TaskId, run: RunId, took: u64) {
        let (namespace, need) = (self.namespace, std::mem::take(&mut self.need));
        self.capacity.change(|inner| {
            let account = inner.accounts.entry(namespace).or_default();
            account.asked.remove(&run);
            if account.usual.len() >= REMEMBERED_MAX {
                account.usual.clear();
            }
            let usual = account.usual.entry(task).or_insert(took);
            *usual = if took >= *usual { took } else { *usual - (*usual - took).div_ceil(USUAL_FALLS_BY) };
            give_back(inner, namespace, need);
        });
    }

    /// Gives it back, because the run asked for so many bytes in all and did not get them. Its next attempt reserves them before it starts.
    pub(super) fn end_in_want(mut self, run: RunId, asked: u64) {
        let (namespace, need) = (self.namespace, std::mem::take(&mut self.need));
        self.capacity.change(|inner| {
            let account = inner.accounts.entry(namespace).or_default();
            if account.asked.len() >= REMEMBERED_MAX {
                account.asked.clear();
            }
            account.asked.insert(run, asked);
            give_back(inner, namespace, need);
        });
    }
}

fn give_back(inner: &mut Inner, namespace: NamespaceId, need: Need) {
    let account = inner.accounts.entry(namespace).or_default();
    account.held = account.held.minus(need);
    inner.held = inner.held.minus(need);
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (namespace, need) = (self.namespace, self.need);
        if need != Need::default() {
            self.capacity.change(|inner| give_back(inner, namespace, need));
        }
    }
}

/// An attempt that waits. If it is dropped, the attempts behind it are looked at again.
struct Waiting {
    capacity: Arc<Capacity>,
    told: Option<oneshot::Receiver<Reservation>>,
}

impl Future for Waiting {
    type Output = Reservation;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reservation> {
        let told = self.told.as_mut().expect("it is awaited once");
        let reservation = ready!(told.poll_unpin(context)).expect("the sender is kept until it has sent");
        self.told = None;
        Poll::Ready(reservation)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            drop(told);
            self.capacity.change(|_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn capacity(mib: u64) -> Arc<Capacity> {
        Arc::new(Capacity::new(&Limits::default(), mib * MIB, 64, 128))
    }

    fn task(namespace: i64) -> Task {
        let mut task = (*super::super::tests::task()).clone();
        task.namespace = NamespaceId(namespace);
        task
    }

    fn run(number: i64) -> RunId {
        RunId::from_key(number, 0)
    }

    fn need(mib: u64) -> Need {
        Need { bytes: mib * MIB, memories: 1, tables: 1 }
    }

    type Started<'a> = Pin<Box<dyn Future<Output = Reservation> + Send + 'a>>;

    fn start<'a>(capacity: &'a Arc<Capacity>, task: &'a Task, number: i64, mib: u64) -> Started<'a> {
        Box::pin(capacity.start(task, run(number), need(mib)))
    }

    #[test]
    fn who_waits_is_served_in_order_and_who_goes_away_blocks_nobody() {
        let (capacity, one, other) = (capacity(256), task(1), task(2));
        let first = start(&capacity, &one, 1, 128).now_or_never().unwrap();
        let mut large = start(&capacity, &one, 2, 128);
        let mut small = start(&capacity, &one, 3, 1);
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "it came later");
        assert_eq!((capacity.waiting(), capacity.awaited_by(one.namespace, run(2))), (2, Some(128 * MIB)));
        let elsewhere = start(&capacity, &other, 4, 64).now_or_never().expect("another namespace has its own share");
        drop(large);
        drop(elsewhere);
        // 128 of 256 MiB are free, and as many are reserved for others.
        assert!(small.as_mut().now_or_never().is_none());
        drop(first);
        let small = small.now_or_never().unwrap();
        assert_eq!((capacity.waiting(), capacity.lock().held), (0, need(1)));
        drop(small);
        assert_eq!(capacity.lock().held, Need::default());
    }

    #[test]
    fn what_was_granted_to_somebody_who_has_gone_is_given_back() {
        let (capacity, one) = (capacity(256), task(1));
        let first = start(&capacity, &one, 1, 200).now_or_never().unwrap();
        let mut second = start(&capacity, &one, 2, 200);
        let mut third = start(&capacity, &one, 3, 200);
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(capacity.lock().held, need(200), "it is the second's, who has not looked yet");
        drop(second);
        assert!(third.now_or_never().is_some());
        assert_eq!(capacity.lock().held, Need::default());
    }

    #[test]
    fn a_growth_takes_what_is_free_and_a_run_that_wanted_more_reserves_it_first() {
        let (capacity, one) = (capacity(256), task(1));
        let mut first = start(&capacity, &one, 1, 100).now_or_never().unwrap();
        let second = start(&capacity, &one, 2, 10).now_or_never().unwrap();
        assert!(capacity.grow(&mut first, run(1), 100 * MIB).now_or_never().is_none(), "128 MiB are reserved for others");
        assert_eq!((first.bytes(), capacity.waiting()), (100 * MIB, 0));
        first.end_in_want(run(1), 200 * MIB);
        let mut again = start(&capacity, &one, 1, 100);
        assert!(again.as_mut().now_or_never().is_none());
        assert_eq!(capacity.awaited_by(one.namespace, run(1)), Some(200 * MIB));
        drop(second);
        let mut again = again.now_or_never().unwrap();
        assert_eq!(again.bytes(), 200 * MIB);
        // Alone, it may have all there is.
        assert!(capacity.grow(&mut again, run(1), 56 * MIB).now_or_never().is_some());
        again.end(one.id, run(1), 256 * MIB);
        assert_eq!(capacity.lock().held, Need::default());
    }

    #[test]
    fn the_usual_amount_rises_at_once_and_falls_slowly() {
        let (capacity, one) = (capacity(1_024), task(1));
        let mut reserved = Vec::new();
        for took in [40, 8, 8, 40, 2] {
            let started = start(&capacity, &one, 1, 2).now_or_never().unwrap();
            reserved.push(started.bytes() / MIB);
            started.end(one.id, run(1), took * MIB);
        }
        assert_eq!(reserved, [2, 40, 36, 32, 40]);
    }

    #[test]
    fn places_in_the_pool_are_shared_out_as_bytes_are() {
        let (capacity, one, other) = (capacity(1_024), task(1), task(2));
        let large = Need { bytes: MIB, memories: 8, tables: 64 };
        let first = capacity.start(&one, run(1), large).now_or_never().unwrap();
        assert!(capacity.start(&one, run(2), large).now_or_never().is_none(), "half of the tables are reserved");
        let second = capacity.start(&other, run(3), Need { tables: 3, ..large }).now_or_never().unwrap();
        assert_eq!(capacity.lock().held, Need { bytes: 2 * MIB, memories: 16, tables: 67 });
        drop((first, second));
        assert_eq!(capacity.lock().held, Need::default());
    }
}
