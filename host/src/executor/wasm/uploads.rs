//! Whose components are being looked over: one of each namespace at a time, and so many in all.
//!
//! Asked by the executor before it looks at a component that somebody sends. What is registered already is compiled whenever an attempt needs
//! it, and takes no place.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Invalid, NamespaceId};

/// Components that are looked over at a time: each is a thread and up to 32 MiB.
const UPLOADS_MAX: usize = 16;
/// Components of one namespace that wait for its turn: what a few builds send at the same time. Each is up to 32 MiB.
pub(super) const WAITING_MAX: usize = 4;

/// The places.
pub(super) struct Uploads {
    all: Arc<Semaphore>,
    /// The turn of each namespace. Whoever waits for it or has it holds on to it, and so is counted.
    turns: Mutex<FxHashMap<NamespaceId, Arc<Semaphore>>>,
}

/// The right to have a component looked over, until it is dropped.
pub(super) struct Place {
    _turn: OwnedSemaphorePermit,
    _one_of_all: OwnedSemaphorePermit,
}

impl Uploads {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(UPLOADS_MAX)), turns: Mutex::default() }
    }

    /// Waits for this namespace's turn, unless too many do already.
    pub(super) async fn place(&self, namespace: NamespaceId) -> Result<Place, Invalid> {
        let turn = self.turn(namespace)?.acquire_owned().await.expect("the semaphore is never closed");
        // Nobody waits here: a namespace has at most one of these, so whoever is refused is one of many.
        let one_of_all = self.all.clone().try_acquire_owned().map_err(|_| busy(format!("{UPLOADS_MAX} components are being checked")))?;
        Ok(Place { _turn: turn, _one_of_all: one_of_all })
    }

    fn turn(&self, namespace: NamespaceId) -> Result<Arc<Semaphore>, Invalid> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        let turn = turns.entry(namespace).or_insert_with(|| Arc::new(Semaphore::new(1)));
        if Arc::strong_count(turn) - 1 > WAITING_MAX {
            return Err(busy(format!("{WAITING_MAX} components of this namespace wait until another one is checked")));
        }
        Ok(Arc::clone(turn))
    }
}

fn busy(what: String) -> Invalid {
    Invalid::new("compiler-busy", "component", format!("{what}, the limit; send one after the other, or try again in a minute"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_namespace_has_one_place_and_a_few_that_wait() {
        let uploads = Uploads::new();
        let (one, other) = (NamespaceId(1), NamespaceId(2));
        let first = uploads.place(one).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(uploads.place(one))).collect();
        assert!(waiting.iter_mut().all(|place| place.now_or_never().is_none()));
        let refused = uploads.place(one).now_or_never().unwrap().err().unwrap();
        assert!(refused.code == "compiler-busy" && refused.reason.starts_with("4 components of this namespace"), "{refused}");
        let others = uploads.place(other).now_or_never().unwrap().unwrap();
        // Who goes away while it waits makes room for another one; who has waited longest is next.
        drop(waiting.pop());
        waiting.push(Box::pin(uploads.place(one)));
        assert!(waiting[WAITING_MAX - 1].as_mut().now_or_never().is_none());
        drop(first);
        let next = waiting.remove(0).now_or_never().unwrap().unwrap();
        assert!(waiting.iter_mut().all(|place| place.now_or_never().is_none()));
        drop((next, others, waiting));
        assert!(uploads.place(one).now_or_never().unwrap().is_ok());
        assert_eq!(uploads.turns.lock().unwrap().len(), 1, "who has nothing checked is forgotten");
    }

    #[test]
    fn one_namespace_leaves_places_for_others() {
        let uploads = Uploads::new();
        let all: Vec<_> = (0..UPLOADS_MAX).map(|id| uploads.place(NamespaceId(id as i64)).now_or_never().unwrap().unwrap()).collect();
        let late = NamespaceId(UPLOADS_MAX as i64);
        let refused = uploads.place(late).now_or_never().unwrap().err().unwrap();
        assert!(refused.code == "compiler-busy" && refused.reason.starts_with("16 components are being checked"), "{refused}");
        drop(all);
        assert!(uploads.place(late).now_or_never().unwrap().is_ok());
    }
}
