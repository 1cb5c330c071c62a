//! Runs that an embedding program stored in a transaction of its own: armed once that has committed.
//!
//! SQLite tells nobody of another connection's commit. So, while such a run is outstanding and only then, a thread looks each
//! millisecond whether it is there. A run whose transaction takes longer than a minute is found by the ordinary loading.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rusqlite::OptionalExtension;

use super::readers::Readers;
use super::rows::Waiting;
use super::writer::Shared;

const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Looks for one run: a minute of them at the least. Counted, so that no clock is asked.
const LOOKS_MAX: u32 = 60_000;

#[derive(Default)]
pub(super) struct Foreign {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// With how often each was looked for.
    expected: Vec<(u32, Box<Waiting>)>,
    closed: bool,
}

impl Foreign {
    /// Notes a run that will be there when its transaction commits.
    pub(super) fn expect(&self, waiting: Box<Waiting>) {
        let (state, changed) = &*self.state;
        state.lock().expect("nothing panics while it holds this").expected.push((0, waiting));
        changed.notify_one();
    }

    pub(super) fn close(&self) {
        let (state, changed) = &*self.state;
        state.lock().expect("nothing panics while it holds this").closed = true;
        changed.notify_one();
    }

    /// Starts the thread that looks.
    pub(super) fn watch(&self, shared: Arc<Shared>, readers: Arc<Readers>) -> std::io::Result<std::thread::JoinHandle<()>> {
        let state = self.state.clone();
        std::thread::Builder::new().name("runlater-foreign".into()).spawn(move || look(&state, &shared, &readers))
    }
}

fn look(state: &(Mutex<State>, Condvar), shared: &Shared, readers: &Readers) {
    let (state, changed) = state;
    loop {
        let expected = {
            let mut state = state.lock().expect("nothing panics while it holds this");
            while state.expected.is_empty() && !state.closed {
                state = changed.wait(state).expect("nothing panics while it holds this");
            }
            if state.closed {
                return;
            }
            std::mem::take(&mut state.expected)
        };
        std::thread::sleep(LOOK_EVERY);
        let (mut there, mut still) = (Vec::new(), Vec::new());
        let looked = readers.read(|conn| {
            let mut statement = conn.prepare_cached("-- foreign\nSELECT due_at FROM runlater_runs WHERE id = ?1 AND due_at IS NOT NULL")?;
            for (looks, waiting) in expected {
                let due_at: Option<i64> = statement.query_row([waiting.id], |row| row.get(0)).optional()?;
                match due_at {
                    Some(due_at) if due_at == waiting.due_at => there.push((waiting, true)),
                    _ if looks < LOOKS_MAX => still.push((looks + 1, waiting)),
                    _ => there.push((waiting, false)),
                }
            }
            Ok(())
        });
        if let Err(error) = looked {
            tracing::warn!(%error, "runs stored in a foreign transaction start when they are loaded");
        }
        // Through the writer, so that a run which was deleted or moved meanwhile is not armed as it was.
        for (waiting, is_there) in there {
            let arm: super::queue::Own = Box::new(move |tx| {
                if is_there && let Ok(seen) = super::rows::waiting_run(tx.conn, waiting.id) {
                    tx.arm.push(seen);
                }
                // Its transaction added to what its namespace holds.
                if let Err(error) = tx.shared.run_bytes.reread(tx.conn, waiting.namespace) {
                    tracing::warn!(%error, "the bytes that the runs of a namespace hold can't be read");
                }
                Box::new(|_| {})
            });
            shared.push(super::queue::Op::Own(arm), true);
        }
        state.lock().expect("nothing panics while it holds this").expected.extend(still);
    }
}
