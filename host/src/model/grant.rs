//! What a task is allowed beyond computing. Nothing is granted unless it was asked for at registration.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use super::{HostName, Invalid};

/// One capability. Its text is what `--grant` takes and what is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `runs`: schedule, read and change the runs of its namespace.
    Runs,
    /// `crons`: make, read and change the crons of its namespace.
    Crons,
    /// `pauses`: pause the tasks of its namespace, and let them go on.
    Pauses,
    /// `tcp=ADDRESS:PORT`: open TCP connections to exactly this address.
    Tcp(SocketAddr),
    /// `tcp=NAME:PORT`: look this name up, and open TCP connections to this port of the addresses that it resolved to during the attempt.
    TcpName(HostName, u16),
}

impl Grant {
    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = |reason: &str| Err(Invalid::new("invalid-grant", "grant", reason).seen(text));
        match text.split_once('=') {
            None if text == "runs" => Ok(Self::Runs),
            None if text == "crons" => Ok(Self::Crons),
            None if text == "pauses" => Ok(Self::Pauses),
            Some(("tcp", host)) => {
                let named = |(name, port): (&str, &str)| Some(Self::TcpName(HostName::parse(name)?, port.parse().ok()?));
                match host.parse().map(Self::Tcp).ok().or_else(|| host.rsplit_once(':').and_then(named)) {
                    Some(Self::TcpName(_, 0)) => refused("port 0 is none; name the port to connect to"),
                    Some(grant) => Ok(grant),
                    None => {
                        refused("tcp takes an address or a name, and a port, for example tcp=192.0.2.7:5432 or tcp=db.example.com:5432")
                    }
                }
            }
            _ => refused("unknown; there are `runs`, `crons`, `pauses` and `tcp=HOST:PORT`"),
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
            Self::TcpName(name, port) => write!(f, "tcp={name}:{port}"),
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
            Grant::Runs | Grant::Crons | Grant::Pauses | Grant::TcpName(..) => None,
        })
    }

    /// The names that may be looked up, each with the port that may be connected to.
    pub fn tcp_names(&self) -> impl Iterator<Item = (&HostName, u16)> {
        self.0.iter().filter_map(|grant| match grant {
            Grant::TcpName(name, port) => Some((name, *port)),
            Grant::Runs | Grant::Crons | Grant::Pauses | Grant::Tcp(_) => None,
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
        for text in ["runs", "crons", "pauses", "tcp=192.0.2.7:5432", "tcp=[::1]:80", "tcp=localhost:80", "tcp=db.example.com:5432"] {
            assert_eq!(Grant::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Grant::parse("tcp=DB.Example.com.:5432").unwrap().to_string(), "tcp=db.example.com:5432");
        for text in [
            "",
            "Runs",
            "tcp",
            "tcp=",
            "tcp=localhost",
            "tcp=1.2.3.4",
            "tcp=127.1:80",
            "tcp=::1:80",
            "tcp=localhost:0",
            "tcp=localhost:65536",
            "tcp=a b:80",
            "tcp=:80",
            "env=X",
            "runs=1",
        ] {
            assert_eq!(Grant::parse(text).unwrap_err().code, "invalid-grant", "{text}");
        }
    }
}
