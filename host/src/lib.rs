//! **runlater** runs a sandboxed WebAssembly task at the time you asked for, exactly the way you asked, and never loses one.

pub mod clock;
pub mod executor;
pub mod model;
pub mod storage;
