//! Names of hosts, as grants spell them.

use std::fmt;

/// Bytes of a name, and of one of its labels: what DNS carries.
const BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The name of a host, in lower case: `localhost` or `db.example.com`. Never an address, in none of the forms that resolvers accept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    /// Parses a name. A dot at its end is left out. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
            (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(known) && !label.starts_with('-') && !label.ends_with('-')
        };
        // Resolvers take `127.1`, `2130706433` and `0x7f.1` for addresses: a name's last label is no number.
        let last = name.rsplit('.').next().unwrap_or_default();
        let digits = last.strip_prefix("0x").unwrap_or(last);
        let number = if digits.len() < last.len() {
            digits.bytes().all(|b| b.is_ascii_hexdigit())
        } else {
            last.bytes().all(|b| b.is_ascii_digit())
        };
        (name.len() <= BYTES_MAX && name.split('.').all(label) && !number).then_some(Self(name))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names this machine: `localhost`, or a name below it.
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for (text, name) in [
            ("localhost", "localhost"),
            ("DB.example.COM.", "db.example.com"),
            ("3com.example", "3com.example"),
            ("a_b-c.0x1g", "a_b-c.0x1g"),
        ] {
            assert_eq!(HostName::parse(text).unwrap().as_str(), name);
        }
        let long = |bytes: usize| "a".repeat(bytes);
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a/b",
            "ü.de",
            "::1",
            "[::1]",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0x1",
            "a.0x",
            "1.2.3",
            &long(64),
            &format!("{0}.{0}.{0}.{0}", long(63)),
            "a\nb",
        ] {
            assert_eq!(HostName::parse(text), None, "{text}");
        }
        assert!(HostName::parse("api.localhost").unwrap().is_localhost() && !HostName::parse("mylocalhost").unwrap().is_localhost());
    }
}
