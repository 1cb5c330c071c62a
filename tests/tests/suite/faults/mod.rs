//! What a host makes of a disk that fails: errors of reading and writing (`failing.rs`), no room (`full.rs`, and `cli/full.rs` for real),
//! power that is cut (`power.rs`), a log that was copied in part (`half_copied.rs`), and of another program that keeps the database locked
//! (`locked.rs`). The disk is in `disk.rs`; `log.rs` reads logs.

pub(crate) mod disk;
mod failing;
mod full;
pub(crate) mod half_copied;
mod locked;
pub(crate) mod log;
mod power;
