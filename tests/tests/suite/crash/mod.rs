//! What a host leaves behind that dies as by `kill -9`, and what the next one makes of it.
//!
//! A host that can be killed is this very test binary in a process of its own (`victim.rs`). It tells what it was promised and
//! what its guests did as it happens (`ledger.rs`), so that the tests can hold the database against it: after deaths at random moments
//! (`rounds.rs`, `check.rs`), at chosen places of the host (`points.rs`), and by a guest's own hand (`poison.rs`). `served.rs` kills the program itself.

mod cancelled;
pub(crate) mod check;
mod compiled;
mod durability;
mod ledger;
mod points;
mod poison;
pub(crate) mod process;
pub(crate) mod rounds;
mod served;
mod victim;
