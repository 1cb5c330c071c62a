//! A database file that is open, and the threads that work on it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::writer::Shared;
use super::{SqliteStorage, connection, foreign, readers};
use crate::model::Timestamp;

/// The file and those who work on it. All storages on whoever's behalf share one; the last that goes lets go of the file.
pub struct OpenFile {
    pub(super) path: PathBuf,
    pub(super) shared: Arc<Shared>,
    pub(super) readers: Arc<readers::Readers>,
    pub(super) foreign: foreign::Foreign,
    pub(super) signs_of_life: Vec<Timestamp>,
    pub(super) secret: [u8; 32],
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Lets go of the file when the storage is dropped.
    pub(super) lock: Mutex<Option<connection::OwnerLock>>,
}

/// What is open is reached without a detour.
impl std::ops::Deref for SqliteStorage {
    type Target = OpenFile;

    fn deref(&self) -> &OpenFile {
        &self.file
    }
}

impl OpenFile {
    /// Ends the threads, and lets go of the file.
    pub(super) fn stop(&self) {
        self.shared.due.stop();
        self.shared.close();
        self.foreign.close();
        let threads = std::mem::take(&mut *self.threads.lock().expect("nothing panics while it holds this"));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a storage thread panicked; start the host again, so that it reads what is true");
            }
        }
        self.shared.watch.close();
        self.readers.close();
        *self.lock.lock().expect("nothing panics while it holds this") = None;
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.stop();
    }
}
