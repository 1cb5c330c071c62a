//! Open files that are kept for connections, so that these can be accepted when everything else has used up the process's open files.
//!
//! Used by `connections.rs` only.

use std::fs::File;

/// How many are kept.
const SPARE_FILES: usize = 16;

/// Files that are open for nothing but their place.
pub(super) struct SpareFiles(Vec<File>);

impl SpareFiles {
    pub(super) fn new() -> Self {
        let mut spare = Self(Vec::with_capacity(SPARE_FILES));
        spare.refill();
        spare
    }

    /// Closes one, so that something else can be opened. False if there is none left.
    pub(super) fn give_up(&mut self) -> bool {
        self.0.pop().is_some()
    }

    /// Opens again what was given up, as far as that is possible.
    pub(super) fn refill(&mut self) {
        while self.0.len() < SPARE_FILES
            && let Ok(file) = File::open("/dev/null")
        {
            self.0.push(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_given_up_once_and_opened_again() {
        let mut spare = SpareFiles::new();
        assert_eq!((0..SPARE_FILES + 3).filter(|_| spare.give_up()).count(), SPARE_FILES);
        spare.refill();
        assert!(spare.give_up());
    }
}
