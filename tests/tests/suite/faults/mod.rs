//! What a host makes of a disk that fails: errors of reading and writing (`failing.rs`), no room (`full.rs`, and `cli/full.rs` for real),
//! power that is cut (`power.rs`). The disk is in `disk.rs`.

pub(crate) mod disk;
mod failing;
mod full;
mod power;
