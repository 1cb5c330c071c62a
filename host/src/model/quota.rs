//! What one namespace may have, where that differs from what the host allows each.
//!
//! Fields are set by name from text, as those of a policy are. A field that is not set follows the host: `serve` and the builder say how much
//! that is.

use super::{Invalid, RateLimit};

/// The quotas of one namespace; `None`: what the host allows each namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceQuotas {
    /// Runs that wait.
    pub live_runs: Option<u64>,
    /// Bytes that its runs hold.
    pub run_bytes: Option<u64>,
    /// Bytes of all components that its tasks have.
    pub component_bytes: Option<u64>,
    /// Tokens in force.
    pub tokens: Option<u64>,
    /// Crons.
    pub crons: Option<u64>,
    /// Runs that its guests create.
    pub guest_creates: Option<RateLimit>,
}

impl NamespaceQuotas {
    /// The names of the fields.
    pub const FIELDS: [&str; 6] = ["live-runs", "run-bytes", "component-bytes", "tokens", "crons", "guest-creates"];
    /// The largest count: SQLite's integers end there.
    const COUNT_MAX: u64 = i64::MAX as u64;

    fn count(&mut self, field: &str) -> Option<&mut Option<u64>> {
        Some(match field {
            "live-runs" => &mut self.live_runs,
            "run-bytes" => &mut self.run_bytes,
            "component-bytes" => &mut self.component_bytes,
            "tokens" => &mut self.tokens,
            "crons" => &mut self.crons,
            _ => return None,
        })
    }

    /// Sets one field from its text; `None` has it follow the host again.
    pub fn set(&mut self, field: &str, value: Option<&str>) -> Result<(), Invalid> {
        let named = format!("quotas.{}", field.replace('-', "_"));
        if field == "guest-creates" {
            self.guest_creates = value.map(|text| RateLimit::parse(text, &named)).transpose()?;
            return Ok(());
        }
        let Some(count) = self.count(field) else {
            let reason = format!("unknown; there are {}", Self::FIELDS.join(", "));
            return Err(Invalid::new("unknown-quota", "quotas", reason).seen(field));
        };
        let parse = |text: &str| {
            let reason = format!("expected a count from 0 to {}", Self::COUNT_MAX);
            let number = text.parse().ok().filter(|number| *number <= Self::COUNT_MAX && text.bytes().all(|c| c.is_ascii_digit()));
            number.ok_or_else(|| Invalid::new("invalid-quota", named.clone(), reason).seen(text))
        };
        *count = value.map(parse).transpose()?;
        Ok(())
    }

    /// What is set, by name.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let mut own = self.clone();
        let text = |field: &'static str| {
            let value = match own.count(field) {
                Some(count) => count.map(|count| count.to_string()),
                None => self.guest_creates.map(|rate| rate.to_string()),
            };
            value.map(|value| (field, value))
        };
        Self::FIELDS.into_iter().filter_map(text).collect()
    }

    /// These, with the changes applied: each names a field and what it is set to, or that it follows the host again.
    pub fn with<'c>(mut self, changes: impl IntoIterator<Item = (&'c str, Option<&'c str>)>) -> Result<Self, Invalid> {
        changes.into_iter().try_for_each(|(field, value)| self.set(field, value))?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_by_name_and_taken_back() {
        let quotas = NamespaceQuotas::default();
        let set =
            [("live-runs", "5"), ("run-bytes", "6"), ("component-bytes", "7"), ("tokens", "8"), ("crons", "0"), ("guest-creates", "100/s")];
        let quotas = quotas.with(set.map(|(field, value)| (field, Some(value)))).unwrap();
        assert_eq!(quotas.entries(), set.map(|(field, value)| (field, value.to_string())));
        assert_eq!((quotas.live_runs, quotas.crons), (Some(5), Some(0)));
        let quotas = quotas.with([("tokens", None), ("guest-creates", None)]).unwrap();
        assert_eq!((quotas.tokens, quotas.guest_creates, quotas.live_runs), (None, None, Some(5)));
        for (field, value, code) in [
            ("live_runs", "5", "unknown-quota"),
            ("speed", "5", "unknown-quota"),
            ("crons", "", "invalid-quota"),
            ("crons", "-1", "invalid-quota"),
            ("crons", "+1", "invalid-quota"),
            ("crons", "1.5", "invalid-quota"),
            ("crons", "99999999999999999999", "invalid-quota"),
            ("guest-creates", "5", "invalid-rate"),
        ] {
            assert_eq!(quotas.clone().set(field, Some(value)).unwrap_err().code, code, "{field}={value}");
        }
    }
}
