//! Lines for the attempt's log, with a level: `log::info("sent")`. What a task prints is in the log as well.

use crate::seam::{Here, Host};
use crate::values::Level;

/// For whoever looks for a fault.
pub fn debug(message: impl AsRef<str>) {
    Here::log(Level::Debug, message.as_ref());
}

/// What happened.
pub fn info(message: impl AsRef<str>) {
    Here::log(Level::Info, message.as_ref());
}

/// What somebody should look at some day.
pub fn warn(message: impl AsRef<str>) {
    Here::log(Level::Warn, message.as_ref());
}

/// What went wrong.
pub fn error(message: impl AsRef<str>) {
    Here::log(Level::Error, message.as_ref());
}
