//! Crons: stored rules, and the runs that are made of their occurrences. One file per verb.
//!
//! An occurrence becomes an ordinary scheduled run within [`AHEAD`] of its time, in the transaction that moves the cron's `next_at` on. Whatever
//! changes or pauses a cron takes back the runs that have not triggered, in its own transaction.

mod ahead;
mod change;
mod fire;
mod miss;
mod occur;
mod read;
mod renew;
mod skip;
mod sync;
mod withdraw;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;

pub(super) use ahead::ahead;
pub(super) use change::{change, create, delete, pause};
use fire::fire;
pub(super) use miss::miss;
pub(super) use occur::{backfill, made, mark, trigger, vacant};
pub(super) use read::{get, list};
pub(super) use renew::{renew, renew_slice};
pub(super) use sync::sync;

use super::due_queue::LOOKAHEAD;
use super::group::Tx;
use super::writer::Shared;

/// Occurrences become runs so long before their time, as far as the due queue looks ahead.
const AHEAD: i64 = LOOKAHEAD;

/// When crons must be looked at next: read for every claim.
#[derive(Clone)]
pub(super) struct Upcoming(Arc<AtomicI64>);

impl Default for Upcoming {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MAX)))
    }
}

impl Upcoming {
    /// Reads when that is. Before anything is claimed, so that a host without crons never writes because of them.
    pub(super) fn load(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.0.store(first(conn)?.unwrap_or(i64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// Has the writer make occurrences into runs, if it is time. Half the lookahead early, so that a cron of each second is not looked at
    /// each second.
    pub(super) fn ask(&self, shared: &Shared, now: i64) {
        let next_at = self.0.load(Ordering::Relaxed);
        if next_at > now.saturating_add(AHEAD / 2) {
            return;
        }
        // Of several that come here at once, one asks.
        if self.0.compare_exchange(next_at, i64::MAX, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let asked = Asked { upcoming: self.clone(), next_at };
            shared.push_call(
                move |tx| fire(tx, now),
                move |committed| match committed {
                    Ok(()) => asked.settle(),
                    Err(error) => tracing::warn!(%error, "occurrences of crons could not be made into runs; trying again"),
                },
            );
        }
    }
}

/// That the writer was asked. It may drop the question, with a group that fails before it is reached: then it is asked again.
struct Asked {
    upcoming: Upcoming,
    next_at: i64,
}

impl Asked {
    fn settle(mut self) {
        self.next_at = i64::MAX;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Unless a change of crons has said meanwhile when they are next.
        let _ = self.upcoming.0.compare_exchange(i64::MAX, self.next_at, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Has the memory know, once this is committed, when crons must be looked at next.
fn settle(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    let next = first(tx.conn)?;
    let upcoming = tx.shared.upcoming.clone();
    tx.wake = true;
    tx.after_commit.push(Box::new(move || upcoming.0.store(next.unwrap_or(i64::MAX), Ordering::Relaxed)));
    Ok(())
}

/// The earliest occurrence that has no run.
fn first(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("-- crons: next\nSELECT min(next_at) FROM runlater_crons WHERE next_at IS NOT NULL")?
        .query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_dropped_is_asked_again() {
        let upcoming = Upcoming::default();
        let asked = || Asked { upcoming: upcoming.clone(), next_at: 5 };
        asked().settle();
        assert_eq!(upcoming.0.load(Ordering::Relaxed), i64::MAX);
        drop(asked());
        assert_eq!(upcoming.0.load(Ordering::Relaxed), 5);
        upcoming.0.store(7, Ordering::Relaxed);
        drop(asked());
        assert_eq!(upcoming.0.load(Ordering::Relaxed), 7, "what was said since holds");
    }
}
