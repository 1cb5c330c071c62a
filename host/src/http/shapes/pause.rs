//! Asks for a pause of a task or of a cron.

use serde::{Deserialize, Serialize};

use super::written;
use crate::model::{Invalid, Timestamp, parse_duration};

/// Asks for a pause. With neither an end nor a span, it lasts until somebody ends it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// When it ends by itself.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// After which span it ends by itself.
    #[serde(default, rename = "for", deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// What for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Pause {
    /// When it ends by itself, if it does.
    pub fn end(&self, now: Timestamp) -> Result<Option<Timestamp>, Invalid> {
        match (&self.until, &self.span) {
            (Some(_), Some(_)) => Err(Invalid::new("invalid-time", "for", "give either `until` or `for`, not both")),
            (Some(until), None) => Timestamp::parse(until, "until").map(Some),
            (None, Some(span)) => match parse_duration(span, "for")? {
                std::time::Duration::ZERO => Err(Invalid::new("invalid-duration", "for", "a pause lasts from 1us to 36600d").seen(span)),
                span => Ok(Some(now.saturating_add(span))),
            },
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let now = Timestamp::parse("2027-03-14T15:09:26Z", "now").unwrap();
        let end = |until: Option<&str>, span: Option<&str>| {
            let pause = Pause { until: until.map(Into::into), span: span.map(Into::into), ..Pause::default() };
            pause.end(now).map(|end| end.map(|end| end.to_string())).map_err(|invalid| format!("{} {}", invalid.code, invalid.field))
        };
        assert_eq!(end(None, None), Ok(None));
        assert_eq!(end(None, Some("1h30m")), Ok(Some("2027-03-14T16:39:26Z".into())));
        assert_eq!(end(Some("2030-01-01T01:00:00+01:00"), None), Ok(Some("2030-01-01T00:00:00Z".into())));
        for (until, span, refusal) in [
            (Some("2030-01-01T00:00:00Z"), Some("1h"), "invalid-time for"),
            (Some("tomorrow"), None, "invalid-time until"),
            (None, Some("0s"), "invalid-duration for"),
            (None, Some("10"), "invalid-duration for"),
        ] {
            assert_eq!(end(until, span), Err(refusal.into()));
        }
    }
}
