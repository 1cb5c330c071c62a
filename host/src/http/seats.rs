//! Which connections the host keeps when there are too many of them.
//!
//! A connection begins in the lobby. It gets a seat of its namespace with its first request whose token is accepted, and is closed if it has not sent
//! one in time. The lobby has places of its own and those that nobody sits on. It always takes one more: when it is full, the connection that is longest
//! in it makes room, of the address that has most. So `/healthz`, which needs no token, is answered however many connections others hold. When all seats
//! are taken, the namespace that holds most of them gives one to a namespace that holds fewer, an idle connection first.
//!
//! Asked by `connections.rs` and `entrance.rs`. Knows nothing of requests.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::error::Problem;
use super::rates::Peer;
use crate::model::NamespaceId;

/// Seats, where the limit on open files allows it.
const SEATS_MAX: usize = 1_024;
/// Places in the lobby, likewise.
const LOBBY_MAX: usize = 128;
/// Connections of one address at a time; of IPv6, of one network of 64 bits. Not for loopback, where everybody has the same.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// Open files that are left for the database, for compilers and for guests before connections get half of the others.
const FILES_RESERVED: u64 = 128;

/// Time for the first request whose token is accepted.
pub(super) const ACCEPTED_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may wait for a caller that reads nothing of it.
pub(super) const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long a connection may be without a request. Over HTTP/1.1 it ends earlier: see `HEAD_TIMEOUT`.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How often a connection is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Runs that the streams of one connection wait for.
const WAITS_MAX: usize = 10_000;
/// No namespace: the connection is in the lobby.
const NOBODY: i64 = i64::MIN;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) seats: usize,
    /// Places of the lobby when all seats are taken.
    pub(super) lobby: usize,
}

impl Bounds {
    /// As many as this limit on open files allows.
    pub(super) fn within(files: u64) -> Self {
        let half = usize::try_from(files.saturating_sub(FILES_RESERVED) / 2).unwrap_or(usize::MAX);
        let seats = half.clamp(16, SEATS_MAX);
        Self { seats, lobby: (seats / 4).clamp(8, LOBBY_MAX) }
    }

    /// Whether the limit on open files made them fewer.
    pub(super) fn are_reduced(self) -> bool {
        self.seats < SEATS_MAX
    }
}

/// All connections.
pub(super) struct Seats {
    bounds: Bounds,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    connections: FxHashMap<u64, Arc<Seat>>,
    next: u64,
    /// Those in the lobby, by address, in the order in which they came.
    lobby: FxHashMap<Option<IpAddr>, BTreeSet<u64>>,
    seated: usize,
    addresses: FxHashMap<IpAddr, usize>,
    namespaces: FxHashMap<NamespaceId, usize>,
}

/// One connection: whose it is, and what it does.
pub(crate) struct Seat {
    number: u64,
    address: Option<IpAddr>,
    came: Instant,
    seats: Arc<Seats>,
    /// The namespace of the token that was accepted last.
    namespace: AtomicI64,
    requests: AtomicU64,
    /// When a request began or ended last; all times are microseconds since it came.
    changed: AtomicU64,
    /// Bytes of answers that were handed to the connection and not yet to the system, and when some of them were last.
    unread: AtomicU64,
    read: AtomicU64,
    /// Since when the system takes no more bytes; 0 while it does.
    stuck: AtomicU64,
    end: Notify,
    /// Runs that its streams may wait for.
    pub(crate) waits: Arc<Semaphore>,
}

/// A connection that is on record until this is dropped.
pub(super) struct Visit(pub(super) Arc<Seat>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.seats.lock().remove(self.0.number);
    }
}

/// A request that is in flight until this is dropped.
pub(super) struct InUse(Arc<Seat>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.changed.store(self.0.age(), Relaxed);
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

impl Seats {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, table: Mutex::default() })
    }

    /// Lets a connection into the lobby, unless its address has too many.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Option<Visit> {
        let address = peer.network();
        let mut table = self.lock();
        if address.is_some_and(|address| table.addresses.get(&address).is_some_and(|count| *count >= CONNECTIONS_PER_ADDRESS_MAX)) {
            return None;
        }
        if table.connections.len() >= self.bounds.seats + self.bounds.lobby {
            table.end_longest_in_lobby();
        }
        table.next += 1;
        let seat = Arc::new(Seat {
            number: table.next,
            address,
            came: Instant::now(),
            seats: self.clone(),
            namespace: AtomicI64::new(NOBODY),
            requests: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            unread: AtomicU64::new(0),
            read: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            end: Notify::new(),
            waits: Arc::new(Semaphore::new(WAITS_MAX)),
        });
        table.lobby.entry(address).or_default().insert(seat.number);
        if let Some(address) = address {
            *table.addresses.entry(address).or_default() += 1;
        }
        table.connections.insert(seat.number, seat.clone());
        Some(Visit(seat))
    }

    /// Ends a connection, because there are no more files for another one: one of the lobby, or else an idle one of the namespace that has most.
    pub(super) fn end_one(&self) {
        let mut table = self.lock();
        if table.end_longest_in_lobby() {
            return;
        }
        if let Some(victim) = table.heaviest().and_then(|(namespace, _)| table.longest_idle(namespace)) {
            table.end(victim);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives this connection a seat of this namespace.
    fn seat(&self, seat: &Seat, namespace: NamespaceId) -> Result<(), Problem> {
        let full = || Problem::overloaded("all connections that this host takes are in use; use fewer, or try again");
        let mut table = self.lock();
        if !table.connections.contains_key(&seat.number) {
            return Err(full());
        }
        let before = seat.namespace.load(Relaxed);
        if before == NOBODY && table.seated >= self.bounds.seats {
            let own = table.namespaces.get(&namespace).copied().unwrap_or(0);
            let victim = match table.heaviest() {
                Some((heaviest, count)) if count > own + 1 => table.longest(heaviest),
                _ => table.longest_idle(namespace),
            };
            table.end(victim.ok_or_else(full)?);
        }
        table.leave(seat);
        table.seated += 1;
        *table.namespaces.entry(namespace).or_default() += 1;
        seat.namespace.store(namespace.0, Relaxed);
        Ok(())
    }
}

impl Table {
    /// The namespace with most seats, and how many these are.
    fn heaviest(&self) -> Option<(NamespaceId, usize)> {
        self.namespaces.iter().map(|(namespace, count)| (*namespace, *count)).max_by_key(|(namespace, count)| (*count, *namespace))
    }

    fn of(&self, namespace: NamespaceId) -> impl Iterator<Item = &Arc<Seat>> {
        self.connections.values().filter(move |seat| seat.namespace.load(Relaxed) == namespace.0)
    }

    /// Its connection that has been idle for longest; if none is, the one whose request has taken longest.
    fn longest(&self, namespace: NamespaceId) -> Option<u64> {
        self.of(namespace).min_by_key(|seat| (seat.is_busy(), seat.since())).map(|seat| seat.number)
    }

    fn longest_idle(&self, namespace: NamespaceId) -> Option<u64> {
        self.of(namespace).filter(|seat| !seat.is_busy()).min_by_key(|seat| seat.since()).map(|seat| seat.number)
    }

    fn end_longest_in_lobby(&mut self) -> bool {
        // Of addresses that have as many, the one whose connection came first.
        let most = self.lobby.values().max_by_key(|numbers| (numbers.len(), Reverse(numbers.first())));
        let victim = most.and_then(|numbers| numbers.first().copied());
        victim.is_some_and(|victim| self.end(victim))
    }

    /// Ends a connection. It is off the record at once, so that another one can have its place.
    fn end(&mut self, number: u64) -> bool {
        let seat = self.remove(number);
        seat.inspect(|seat| seat.end.notify_one()).is_some()
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Seat>> {
        let seat = self.connections.remove(&number)?;
        if let Some(address) = seat.address {
            count_off(&mut self.addresses, address);
        }
        self.leave(&seat);
        Some(seat)
    }

    /// Takes a connection from where it is, the lobby or a seat.
    fn leave(&mut self, seat: &Seat) {
        match seat.namespace.load(Relaxed) {
            NOBODY => {
                if let Some(numbers) = self.lobby.get_mut(&seat.address) {
                    numbers.remove(&seat.number);
                    if numbers.is_empty() {
                        self.lobby.remove(&seat.address);
                    }
                }
            }
            namespace => {
                self.seated -= 1;
                count_off(&mut self.namespaces, NamespaceId(namespace));
            }
        }
    }
}

fn count_off<K: Eq + std::hash::Hash>(counts: &mut FxHashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

impl Seat {
    /// A request with a token of this namespace was accepted. Takes no lock but for the first one.
    pub(super) fn accept(&self, namespace: NamespaceId) -> Result<(), Problem> {
        if self.namespace.load(Relaxed) == namespace.0 {
            return Ok(());
        }
        self.seats.seat(self, namespace)
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> InUse {
        self.changed.store(self.age(), Relaxed);
        self.requests.fetch_add(1, Relaxed);
        InUse(self.clone())
    }

    /// Bytes of an answer were handed to the connection.
    pub(super) fn sent(&self, bytes: usize) {
        if self.unread.fetch_add(bytes as u64, Relaxed) == 0 {
            self.read.store(self.age(), Relaxed);
        }
    }

    /// Some of these are gone.
    pub(super) fn taken(&self, bytes: usize) {
        self.read.store(self.age(), Relaxed);
        self.unread.fetch_sub(bytes as u64, Relaxed);
    }

    /// Whether the system took the bytes that were written last.
    pub(super) fn wrote(&self, some: bool) {
        if some {
            self.stuck.store(0, Relaxed);
        } else {
            // Only the first time that it takes none counts.
            let _ = self.stuck.compare_exchange(0, self.age().max(1), Relaxed, Relaxed);
        }
    }

    /// Ends when the connection must: because another one needs its place, or because nobody uses it.
    pub(super) async fn over(&self) -> &'static str {
        loop {
            let look = match self.left() {
                Ok(left) => left.min(LOOK_EVERY),
                Err(why) => return why,
            };
            tokio::select! {
                () = self.end.notified() => return "another connection needs its place",
                () = tokio::time::sleep(look) => {}
            }
        }
    }

    /// How long it may go on as it is.
    fn left(&self) -> Result<Duration, &'static str> {
        let age = self.age();
        let of = |since: u64, limit: Duration, why| {
            let left = limit.saturating_sub(Duration::from_micros(age.saturating_sub(since)));
            if left.is_zero() { Err(why) } else { Ok(left) }
        };
        if self.namespace.load(Relaxed) == NOBODY {
            return of(0, ACCEPTED_WITHIN, "no token was accepted in time");
        }
        let mut left = LOOK_EVERY;
        if self.unread.load(Relaxed) > 0 {
            left = left.min(of(self.read.load(Relaxed), UNREAD_MAX, "its answers are not read")?);
        }
        if let since @ 1.. = self.stuck.load(Relaxed) {
            left = left.min(of(since, UNREAD_MAX, "what is written to it is not read")?);
        }
        if !self.is_busy() {
            left = left.min(of(self.changed.load(Relaxed), IDLE_MAX, "it was idle")?);
        }
        Ok(left)
    }

    fn is_busy(&self) -> bool {
        self.requests.load(Relaxed) > 0 || self.unread.load(Relaxed) > 0
    }

    /// Since when it is as it is, comparable between connections.
    fn since(&self) -> Instant {
        self.came + Duration::from_micros(self.changed.load(Relaxed))
    }

    fn age(&self) -> u64 {
        self.came.elapsed().as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Peer = Peer(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const SMALL: Bounds = Bounds { seats: 4, lobby: 3 };

    fn ended(visit: &Visit) -> bool {
        !visit.0.seats.lock().connections.contains_key(&visit.0.number)
    }

    #[test]
    fn an_address_has_so_many_connections_and_of_ipv6_a_network() {
        let seats = Seats::new(Bounds::within(1 << 20));
        let peer = |text: &str| Peer(text.parse().unwrap());
        for (one, same, other) in [("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] {
            let mut visits: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| seats.admit(peer(one)).unwrap()).collect();
            assert!(seats.admit(peer(same)).is_none());
            assert!(seats.admit(peer(other)).is_some());
            visits.pop();
            assert!(seats.admit(peer(same)).is_some());
        }
        assert!((0..1_000).map(|_| seats.admit(LOCAL)).all(|visit| visit.is_some()));
        let table = seats.lock();
        assert!(table.addresses.is_empty() && table.connections.is_empty() && table.lobby.is_empty() && table.seated == 0);
    }

    #[test]
    fn the_lobby_has_room_for_everybody() {
        let seats = Seats::new(SMALL);
        let other = seats.admit(Peer("192.0.2.7".parse().unwrap())).unwrap();
        let visits: Vec<_> = (0..9).map(|_| seats.admit(LOCAL).unwrap()).collect();
        // The lobby's three places and the four seats, of which the other address has one.
        assert_eq!(visits.iter().map(ended).filter(|ended| *ended).count(), 3);
        assert!(visits[..3].iter().all(ended), "those that came first");
        assert!(!ended(&other), "an address that has few connections keeps them");
        assert_eq!(visits[0].0.accept(NamespaceId(1)).unwrap_err().code, "overloaded");
        for visit in &visits[5..] {
            visit.0.accept(NamespaceId(1)).unwrap();
        }
        let late: Vec<_> = (0..3).map(|_| seats.admit(LOCAL).unwrap()).collect();
        assert!(ended(&visits[3]) && ended(&visits[4]) && !ended(&visits[5]), "those with a seat keep it");
        drop((other, visits, late));
        assert!(seats.lock().lobby.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_namespace_with_most_seats_gives_one_to_another() {
        let seats = Seats::new(SMALL);
        let (one, other) = (NamespaceId(1), NamespaceId(2));
        let mut held = Vec::new();
        for _ in 0..4 {
            let visit = seats.admit(LOCAL).unwrap();
            let in_use = visit.0.begin();
            visit.0.accept(one).unwrap();
            held.push((visit, Some(in_use)));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let late = seats.admit(LOCAL).unwrap();
        assert_eq!(late.0.accept(one).unwrap_err().code, "overloaded", "all of its own are busy");
        held[2].1 = None;
        late.0.accept(other).unwrap();
        assert_eq!(held.iter().map(|(visit, _)| ended(visit)).collect::<Vec<_>>(), [false, false, true, false], "the idle one");
        let second = seats.admit(LOCAL).unwrap();
        second.0.accept(other).unwrap();
        assert_eq!(held.iter().map(|(visit, _)| ended(visit)).collect::<Vec<_>>(), [true, false, true, false], "the longest busy one");
        let third = seats.admit(LOCAL).unwrap();
        third.0.accept(other).unwrap();
        assert!(ended(&late), "both have as many: now its own idle ones make room");
        // A connection that another namespace uses, as a proxy's may be, changes its count.
        second.0.accept(one).unwrap();
        assert_eq!(seats.lock().namespaces.get(&one), Some(&3));
        drop((held, late, second, third));
        let table = seats.lock();
        assert!(table.namespaces.is_empty() && table.connections.is_empty() && table.lobby.is_empty() && table.seated == 0);
    }

    /// After how many seconds a connection ends by itself.
    async fn lasts(begin: impl AsyncFnOnce(&Arc<Seat>)) -> (u64, &'static str) {
        let seats = Seats::new(SMALL);
        let visit = seats.admit(LOCAL).unwrap();
        let came = Instant::now();
        let ((), why) = tokio::join!(begin(&visit.0), visit.0.over());
        (came.elapsed().as_secs(), why)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_nobody_uses_it() {
        assert_eq!(lasts(async |_| {}).await, (10, "no token was accepted in time"));
        assert_eq!(lasts(async |seat| seat.accept(NamespaceId(1)).unwrap()).await, (300, "it was idle"));
        let reads_nothing = async |seat: &Arc<Seat>| {
            seat.accept(NamespaceId(1)).unwrap();
            seat.sent(10);
        };
        assert_eq!(lasts(reads_nothing).await, (30, "its answers are not read"));
        let reads_late = async |seat: &Arc<Seat>| {
            seat.accept(NamespaceId(1)).unwrap();
            seat.sent(10);
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                seat.taken(3);
            }
        };
        assert_eq!(lasts(reads_late).await, (90, "its answers are not read"));
        let stuck = async |seat: &Arc<Seat>| {
            seat.accept(NamespaceId(1)).unwrap();
            seat.wrote(false);
            tokio::time::sleep(Duration::from_secs(20)).await;
            seat.wrote(false);
        };
        let (seconds, why) = lasts(stuck).await;
        assert_eq!((seconds, why), (30, "what is written to it is not read"));
        let waits = async |seat: &Arc<Seat>| {
            seat.accept(NamespaceId(1)).unwrap();
            let in_use = seat.begin();
            tokio::time::sleep(Duration::from_secs(1_000)).await;
            drop(in_use);
        };
        assert_eq!(lasts(waits).await, (1_300, "it was idle"), "a long request is not idle");
    }

    #[test]
    fn connections_leave_files_for_others() {
        assert_eq!(Bounds::within(u64::MAX), Bounds { seats: SEATS_MAX, lobby: LOBBY_MAX });
        assert_eq!(Bounds::within(1_024), Bounds { seats: 448, lobby: 112 });
        assert_eq!(Bounds::within(256), Bounds { seats: 64, lobby: 16 });
        assert_eq!(Bounds::within(64), Bounds { seats: 16, lobby: 8 });
        assert!(!Bounds::within(1 << 20).are_reduced() && Bounds::within(256).are_reduced());
    }
}
