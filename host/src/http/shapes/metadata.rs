//! Metadata as it stands in a request.

use std::collections::BTreeMap;

use crate::model::{Invalid, Metadata};

/// Reads metadata as the model does.
pub fn metadata(entries: &BTreeMap<String, String>) -> Result<Metadata, Invalid> {
    Metadata::from_entries(entries)
}
