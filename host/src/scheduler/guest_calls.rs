//! guest_calls
