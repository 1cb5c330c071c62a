//! How many bytes of requests and answers the host holds for its callers at a time.
//!
//! Each item (a body, a message, an answer) has its own limit elsewhere. This module bounds their sum, for the host and for each namespace. A
//! namespace may hold half as many bytes as are free, so one namespace alone gets a third of all. A quarter on top is kept for namespaces that
//! hold nothing, so others can't use up all that there is. Asked by `entrance.rs` and by handlers whose answers are large.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::Problem;
use crate::model::NamespaceId;

/// How long a request waits for bytes that others hold before it is refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bytes of one kind that all callers hold.
pub(crate) struct InFlight {
    max: u64,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Default)]
struct Held {
    all: u64,
    of: FxHashMap<NamespaceId, u64>,
}

/// Bytes that one request or answer of a namespace holds, until it is dropped.
pub(crate) struct Charge {
    from: Arc<InFlight>,
    namespace: NamespaceId,
    bytes: u64,
}

impl InFlight {
    pub(crate) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { max, held: Mutex::default(), freed: Notify::new() })
    }

    /// A charge of no bytes.
    pub(crate) fn charge(self: &Arc<Self>, namespace: NamespaceId) -> Charge {
        Charge { from: self.clone(), namespace, bytes: 0 }
    }

    /// Takes `more` bytes. With `beyond`, also those that the namespace may not have.
    fn take(&self, namespace: NamespaceId, more: u64, beyond: bool) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.of.get(&namespace).copied().unwrap_or(0);
        let first = own == 0 && held.all + more <= self.max + self.max / 4;
        let shared = own + more <= self.max.saturating_sub(held.all) / 2;
        if !(first || shared || beyond) {
            return false;
        }
        held.all += more;
        *held.of.entry(namespace).or_default() += more;
        true
    }

    fn give_back(&self, namespace: NamespaceId, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= bytes;
        let own = held.of.get_mut(&namespace).expect("a charge is in the sum of its namespace");
        *own -= bytes;
        if *own == 0 {
            held.of.remove(&namespace);
        }
        drop(held);
        self.freed.notify_waiters();
    }
}

impl Charge {
    /// Takes `more` bytes if the namespace may have them now.
    pub(crate) fn try_grow(&mut self, more: u64) -> bool {
        let taken = more == 0 || self.from.take(self.namespace, more, false);
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Takes `more` bytes, and waits for them for a few seconds.
    pub(crate) async fn grow(&mut self, more: u64) -> Result<(), Problem> {
        if self.try_grow(more) {
            return Ok(());
        }
        tokio::time::timeout_at(Instant::now() + PATIENCE, self.grow_in_time(more)).await.map_err(|_| Problem::overloaded(BUSY))
    }

    /// Holds this many bytes from now on, and waits for those that are missing for a few seconds.
    pub(crate) async fn settle(&mut self, bytes: u64) -> Result<(), Problem> {
        self.shrink_to(bytes);
        self.grow(bytes - self.bytes).await
    }

    /// Takes `more` bytes, and waits for them for as long as that takes.
    pub(crate) async fn grow_in_time(&mut self, more: u64) {
        let from = self.from.clone();
        loop {
            // Registers before it looks: bytes that are given back between the two must not be missed.
            let mut freed = std::pin::pin!(from.freed.notified());
            freed.as_mut().enable();
            if self.try_grow(more) {
                return;
            }
            freed.await;
        }
    }

    /// Holds this many bytes from now on, if the namespace may have them; with `beyond`, in any case.
    pub(super) fn resize(&mut self, bytes: u64, beyond: bool) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.from.take(self.namespace, more, beyond) {
            return false;
        }
        self.bytes += more;
        self.shrink_to(bytes);
        true
    }

    /// Gives back what is more than this.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.from.give_back(self.namespace, less);
    }

    /// Another charge, with all the bytes of this one.
    pub(crate) fn take_all(&mut self) -> Self {
        Self { from: self.from.clone(), namespace: self.namespace, bytes: std::mem::take(&mut self.bytes) }
    }

    /// Another charge of the same namespace, of no bytes.
    pub(crate) fn another(&self) -> Self {
        self.from.charge(self.namespace)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.from.give_back(self.namespace, self.bytes);
    }
}

const BUSY: &str =
    "the requests and answers of this namespace hold as much of the host's memory as they may; read your answers, or try again";

/// An answer for which bytes were taken before it was made.
pub(super) struct Charged(pub(super) Response, pub(super) Charge);

impl IntoResponse for Charged {
    fn into_response(self) -> Response {
        let Self(mut response, charge) = self;
        response.extensions_mut().insert(Arc::new(charge));
        response
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn one_namespace_gets_a_third_and_ten_leave_room_for_others() {
        let all = InFlight::new(240 * MIB);
        let fill = |namespace: i64| {
            let mut charge = all.charge(NamespaceId(namespace));
            while charge.try_grow(MIB) {}
            charge
        };
        let mut held: Vec<_> = (1..=10).map(fill).collect();
        assert_eq!(held[0].bytes, 80 * MIB);
        assert!(held.iter().map(|charge| charge.bytes).sum::<u64>() <= 240 * MIB);
        for namespace in 11..14 {
            let mut other = all.charge(NamespaceId(namespace));
            assert!(other.try_grow(16 * MIB), "a namespace that holds nothing gets one answer");
            assert!(!other.try_grow(16 * MIB));
            held.push(other);
        }
        while held.len() < 1_000 {
            held.push(fill(held.len() as i64 + 1));
        }
        assert!(all.held.lock().unwrap().all <= 300 * MIB, "however many namespaces there are");
        drop(held);
        assert!(all.held.lock().unwrap().of.is_empty() && all.held.lock().unwrap().all == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_bytes_and_not_for_ever() {
        let all = InFlight::new(120);
        let (mut first, mut second) = (all.charge(NamespaceId(1)), all.charge(NamespaceId(1)));
        assert!(first.try_grow(60) && !second.try_grow(50));
        assert_eq!(second.grow(50).await.unwrap_err().code, "overloaded");
        let mut waiting = Box::pin(second.grow(50));
        assert!(waiting.as_mut().now_or_never().is_none());
        first.shrink_to(0);
        waiting.await.unwrap();
        assert!(!first.resize(60, false) && first.resize(60, true));
        drop(second);
        assert_eq!(all.held.lock().unwrap().all, 60);
        let other = first.take_all();
        drop(first);
        assert_eq!((other.bytes, all.held.lock().unwrap().all), (60, 60));
    }
}
