//! Places at which a test may have the process die as by `kill -9`.
//!
//! `failpoint!("commit:before")` marks one. Under the feature `test-util`, [`arm`] chooses the place, and whichever thread comes there
//! next ends the process; without the feature a mark is nothing at all, its condition included. What must hold wherever it dies stands in
//! the suite `crash`.

/// Marks a place, or one that counts only if something holds.
macro_rules! failpoint {
    ($place:literal) => {
        #[cfg(feature = "test-util")]
        crate::failpoint::reached($place);
    };
    ($place:literal if $holds:expr) => {
        #[cfg(feature = "test-util")]
        if $holds {
            crate::failpoint::reached($place);
        }
    };
}

#[cfg(feature = "test-util")]
mod armed {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Read first, so that a mark costs next to nothing while none is armed.
    static ARMED: AtomicBool = AtomicBool::new(false);
    static PLACE: Mutex<String> = Mutex::new(String::new());

    /// Has the process die at this place.
    pub fn arm(place: &str) {
        *PLACE.lock().expect("nothing panics while it holds the place") = place.to_owned();
        ARMED.store(true, Ordering::SeqCst);
    }

    /// Dies if this is the place that is armed.
    pub fn reached(place: &str) {
        if ARMED.load(Ordering::Relaxed) && *PLACE.lock().expect("nothing panics while it holds the place") == place {
            die();
        }
    }

    /// Ends the process at once: nothing is flushed, dropped or told.
    pub fn die() -> ! {
        // SAFETY: neither call reads or writes memory.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        loop {
            std::thread::park();
        }
    }
}

#[cfg(feature = "test-util")]
pub use armed::{arm, die, reached};
