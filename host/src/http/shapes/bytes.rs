//! A payload in its two forms: JSON as it is, or other bytes in base64.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{Invalid, Payload};

/// Bytes that are not JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    /// What they are.
    pub media_type: String,
    /// The bytes in the standard alphabet of RFC 4648, with padding.
    pub base64: String,
}

impl Bytes {
    pub(super) fn to_payload(&self, field: &str) -> Result<Payload, Invalid> {
        let bytes = BASE64_STANDARD.decode(&self.base64).map_err(|error| {
            Invalid::new("invalid-base64", format!("{field}.base64"), format!("not base64: {error}")).seen(&self.base64)
        })?;
        Payload::new(&self.media_type, &bytes, field)
    }
}

/// A payload in its two forms, of which one is `None`.
pub(super) fn embed(payload: &Payload) -> (Option<Box<RawValue>>, Option<Bytes>) {
    match payload.as_json() {
        Some(json) => (RawValue::from_string(json.trim().into()).ok(), None),
        None => (None, Some(Bytes { media_type: payload.media_type().into(), base64: BASE64_STANDARD.encode(payload.bytes()) })),
    }
}
