//! What a run came to, in the two texts that the SDKs read: its output, or why there is none.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use crate::model::{Payload, Run, Status};

/// The output as JSON text: always an object, because the SDKs take no other one. What is none stands in `value`.
pub(super) fn output(run: &Run) -> String {
    let Some(payload) = &run.output else { return "{}".into() };
    match payload.as_json() {
        Some("null") => "{}".into(),
        Some(text) if is_object(payload) => text.into(),
        Some(text) => format!("{{\"value\":{text}}}"),
        // In the form in which the API shows bytes.
        None => json!({ "value": { "media_type": payload.media_type(), "base64": BASE64_STANDARD.encode(payload.bytes()) } }).to_string(),
    }
}

/// The payload if it is a JSON object, as text.
pub(super) fn object(payload: &Payload) -> Option<&str> {
    payload.as_json().filter(|_| is_object(payload))
}

fn is_object(payload: &Payload) -> bool {
    payload.as_json().is_some_and(|text| text.trim_start().starts_with('{'))
}

/// Why a run that has ended has no output; `None` if it succeeded or has not ended.
pub(super) fn error(run: &Run) -> Option<String> {
    let fallback = match run.status {
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Missed => "missed: its time passed while no host was running",
        _ => return None,
    };
    let reason = run.reason.as_deref().unwrap_or(fallback);
    Some(match &run.message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_only() {
        let payload = |text: &str| Payload::json(text.as_bytes(), "output").unwrap();
        assert_eq!(object(&payload(" {\"a\":1}")), Some(" {\"a\":1}"));
        assert_eq!(object(&payload("[{}]")), None);
        assert_eq!(object(&Payload::new("text/plain", b"{}", "output").unwrap()), None);
    }
}
