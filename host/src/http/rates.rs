//! How many requests a token and an address may send, and how many components a namespace.
//!
//! Asked by `auth.rs` before anything is done for a request, and before a component is read. Knows nothing of what is in it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::error::Problem;
use crate::model::{Meter, NamespaceId, RateLimit, RateUnit, Timestamp};

/// The rates of the API. `None`: as many as the host takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Requests with one token.
    pub token: Option<RateLimit>,
    /// Requests of one address. Not counted on loopback, where everybody has the same.
    pub address: Option<RateLimit>,
    /// Requests of one address with a token that is none. Once they are used up, nothing is taken from there. Not counted on loopback.
    pub failures: Option<RateLimit>,
    /// Components that are sent to one namespace, to be registered or for a dry run.
    pub uploads: Option<RateLimit>,
}

impl Default for Rates {
    /// For a token, what only a loop that has gone wrong sends; for an address, what a busy service does; for failures, a few mistyped
    /// tokens, and no search for one; for uploads, every component of a large project twice a minute.
    fn default() -> Self {
        let rate = |count, per| Some(RateLimit { count, per });
        Self {
            token: rate(50_000, RateUnit::Second),
            address: rate(2_000, RateUnit::Second),
            failures: rate(10, RateUnit::Minute),
            uploads: rate(120, RateUnit::Minute),
        }
    }
}

/// Where a request comes from: an extension of the request. Put there by this server; whoever serves the router with another one puts it
/// there, or addresses are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// What is counted as one address, for rates and for connections alike: of IPv6 the network of 64 bits, of which everybody has as many
    /// addresses as they like. `None` on loopback, where everybody has the same.
    pub(super) fn network(self) -> Option<IpAddr> {
        match self.0.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V6(address) => Some(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
            address => Some(address),
        }
    }
}

/// The rates, and what of them is used.
pub(super) struct Meters {
    token: Option<Mutex<Meter<String>>>,
    address: Option<Mutex<Meter<IpAddr>>>,
    failures: Option<Mutex<Meter<IpAddr>>>,
    uploads: Option<Mutex<Meter<NamespaceId>>>,
}

impl Meters {
    pub(super) fn new(rates: Rates) -> Self {
        fn meter<K: Eq + std::hash::Hash>(rate: Option<RateLimit>) -> Option<Mutex<Meter<K>>> {
            rate.map(|rate| Mutex::new(Meter::new(rate)))
        }
        Self { token: meter(rates.token), address: meter(rates.address), failures: meter(rates.failures), uploads: meter(rates.uploads) }
    }

    /// Counts a request with this token.
    pub(super) fn token(&self, id: &str, now: Timestamp) -> Result<(), Problem> {
        ask(&self.token, "token-rate", |meter| meter.take(id.into(), now))
    }

    /// Counts a request from there, unless too many failed.
    pub(super) fn address(&self, peer: Option<Peer>, now: Timestamp) -> Result<(), Problem> {
        let Some(network) = peer.and_then(Peer::network) else { return Ok(()) };
        ask(&self.failures, "failure-rate", |meter| meter.check(&network, now))?;
        ask(&self.address, "address-rate", |meter| meter.take(network, now))
    }

    /// Counts a component that is sent to this namespace.
    pub(super) fn upload(&self, namespace: NamespaceId, now: Timestamp) -> Result<(), Problem> {
        ask(&self.uploads, "upload-rate", |meter| meter.take(namespace, now))
    }

    /// Counts a request from there whose token is none.
    pub(super) fn failure(&self, peer: Option<Peer>, now: Timestamp) {
        if let Some(network) = peer.and_then(Peer::network) {
            // Was there one left, it is used now; if not, the next request meets that.
            let _ = ask(&self.failures, "failure-rate", |meter| meter.take(network, now));
        }
    }
}

fn ask<K: Eq + std::hash::Hash>(
    meter: &Option<Mutex<Meter<K>>>,
    limit: &'static str,
    ask: impl FnOnce(&mut Meter<K>) -> Result<(), std::time::Duration>,
) -> Result<(), Problem> {
    let Some(meter) = meter else { return Ok(()) };
    let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
    let rate = meter.rate();
    ask(&mut meter).map_err(|wait| Problem::rate_limited(limit, rate, wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_one_address() {
        let network = |text: &str| Peer(text.parse().unwrap()).network().map(|network| network.to_string());
        assert_eq!(network("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(network("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(network("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(network(loopback), None);
        }
    }
}
