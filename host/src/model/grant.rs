//! What a task is allowed beyond computing. Nothing is granted unless it was asked for at registration.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use super::Invalid;

/// One capability. Its text is what `--grant` takes and what is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `runs`: schedule, read and change the runs of its namespace.
    Runs,
    /// `crons`: make, read and change the crons of its namespace.
    Crons,
    /// `pauses`: pause the tasks of its namespace, and let them go on.
    Pauses,
    /// `tcp=ADDRESS:PORT`: open TCP connections to exactly this address. No name lookup comes with it.
    Tcp(SocketAddr),
}

impl Grant {
    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = |reason: &str| Err(Invalid::new("invalid-grant", "grant", reason).seen(text));
        match text.split_once('=') {
            None if text == "runs" => Ok(Self::Runs),
            None if text == "crons" => Ok(Self::Crons),
            None if text == "pauses" => Ok(Self::Pauses),
            Some(("tcp", address)) => match address.parse() {
                Ok(address) => Ok(Self::Tcp(address)),
                Err(_) => refused("tcp takes a numeric address and a port, for example tcp=192.0.2.7:5432"),
            },
            _ => refused("unknown; there are `runs`, `crons`, `pauses` and `tcp=ADDRESS:PORT`"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs => f.write_str("runs"),
            Self::Crons => f.write_str("crons"),
            Self::Pauses => f.write_str("pauses"),
            Self::Tcp(address) => write!(f, "tcp={address}"),
        }
    }
}

impl serde::Serialize for Grant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The grants of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Grants(BTreeSet<Grant>);

impl Grants {
    /// No grants at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&mut self, grant: Grant) {
        self.0.insert(grant);
    }

    /// Whether the interface `runs` may be linked.
    pub fn runs(&self) -> bool {
        self.0.contains(&Grant::Runs)
    }

    /// Whether the interface `crons` may be linked.
    pub fn crons(&self) -> bool {
        self.0.contains(&Grant::Crons)
    }

    /// Whether the interface `pauses` may be linked.
    pub fn pauses(&self) -> bool {
        self.0.contains(&Grant::Pauses)
    }

    /// The addresses that may be connected to.
    pub fn tcp(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(|grant| match grant {
            Grant::Tcp(address) => Some(*address),
            Grant::Runs | Grant::Crons | Grant::Pauses => None,
        })
    }

    /// In the order of their text.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        for text in ["runs", "crons", "pauses", "tcp=192.0.2.7:5432", "tcp=[::1]:80"] {
            assert_eq!(Grant::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "Runs", "tcp", "tcp=", "tcp=localhost:80", "tcp=1.2.3.4", "env=X", "runs=1"] {
            assert_eq!(Grant::parse(text).unwrap_err().code, "invalid-grant", "{text}");
        }
    }
}
