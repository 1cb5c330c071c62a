//! Where one attempt may connect to: granted addresses, and the addresses that granted names resolved to during the attempt.
//!
//! Asked by WASI before each use of a socket, and by `name_lookup`. Decides, and does no I/O.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use wasmtime_wasi::sockets::SocketAddrUse;

use crate::model::{Grants, HostName};

/// Addresses of one answer that are kept. Larger answers of name servers are cut.
const ADDRESSES_MAX: usize = 32;

/// What one attempt may reach.
#[derive(Debug)]
pub(super) struct Reach {
    addresses: Vec<SocketAddr>,
    names: Vec<(HostName, u16)>,
    /// At most [`ADDRESSES_MAX`] for each granted name: each answer replaces the one before.
    resolved: Mutex<Vec<(HostName, Vec<IpAddr>)>>,
}

/// What a guest asks to look up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// An address that it may connect to. It resolves to itself.
    Address(IpAddr),
    /// A name that was granted.
    Name(HostName),
    /// Anything else.
    NotGranted,
}

impl Reach {
    pub(super) fn of(grants: &Grants) -> Self {
        Self {
            addresses: grants.tcp().collect(),
            names: grants.tcp_names().map(|(name, port)| (name.clone(), port)).collect(),
            resolved: Mutex::default(),
        }
    }

    /// Whether nothing was granted.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.names.is_empty()
    }

    /// Connections to exactly what was granted, from whatever local address the system picks.
    pub(super) fn may_use(&self, address: SocketAddr, used: SocketAddrUse) -> bool {
        match used {
            SocketAddrUse::TcpConnect => self.addresses.contains(&address) || self.is_resolved(address.ip(), Some(address.port())),
            // Connecting binds first, as the system sees it. A guest that does the same can only connect from it.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpListen
            | SocketAddrUse::TcpAccept
            | SocketAddrUse::UdpBind
            | SocketAddrUse::UdpSend
            | SocketAddrUse::UdpReceive => false,
        }
    }

    /// What to do about a name that the guest wants to look up. A number is a name as well, for the libraries of many languages.
    pub(super) fn question(&self, text: &str) -> Question {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let granted = self.addresses.iter().any(|granted| granted.ip() == address) || self.is_resolved(address, None);
            return if granted { Question::Address(address) } else { Question::NotGranted };
        }
        match HostName::parse(text) {
            Some(name) if self.names.iter().any(|(granted, _)| *granted == name) => Question::Name(name),
            _ => Question::NotGranted,
        }
    }

    /// Notes what a granted name resolved to, and returns the addresses that the guest may know and connect to.
    pub(super) fn learn(&self, name: &HostName, found: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
        let mut fit: Vec<IpAddr> = Vec::new();
        for address in found.into_iter().map(|address| address.to_canonical()).filter(|address| may_be_of(name, *address)) {
            if fit.len() < ADDRESSES_MAX && !fit.contains(&address) {
                fit.push(address);
            }
        }
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.retain(|(known, _)| known != name);
        resolved.push((name.clone(), fit.clone()));
        fit
    }

    fn is_resolved(&self, address: IpAddr, port: Option<u16>) -> bool {
        let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |name: &HostName| resolved.iter().any(|(known, addresses)| known == name && addresses.contains(&address));
        self.names.iter().any(|(name, granted)| port.is_none_or(|port| port == *granted) && of(name))
    }
}

/// Whether the answer of a name server may be an address of this name. Its owner decides what a name resolves to, so a name must not lead to this
/// machine, nor to services on the link, such as the metadata of a cloud: those are granted by number, or as `localhost`.
fn may_be_of(name: &HostName, address: IpAddr) -> bool {
    if name.is_localhost() {
        return address.is_loopback();
    }
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use crate::model::Grant;

    use super::*;

    fn reach(grants: &[&str]) -> Reach {
        Reach::of(&grants.iter().map(|grant| Grant::parse(grant).unwrap()).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_granted_addresses_are_connected_to() {
        let reach = reach(&["tcp=192.0.2.7:5432"]);
        let may = |address: &str, used| reach.may_use(address.parse().unwrap(), used);
        assert!(may("192.0.2.7:5432", SocketAddrUse::TcpConnect));
        assert!(may("0.0.0.0:0", SocketAddrUse::TcpBind));
        for (address, used) in [
            ("192.0.2.7:5433", SocketAddrUse::TcpConnect),
            ("192.0.2.8:5432", SocketAddrUse::TcpConnect),
            ("127.0.0.1:5432", SocketAddrUse::TcpConnect),
            ("[::ffff:192.0.2.7]:5432", SocketAddrUse::TcpConnect),
            ("192.0.2.7:5432", SocketAddrUse::TcpBind),
            ("0.0.0.0:5432", SocketAddrUse::TcpBind),
            ("192.0.2.7:5432", SocketAddrUse::TcpListen),
            ("0.0.0.0:0", SocketAddrUse::TcpListen),
            ("192.0.2.7:5432", SocketAddrUse::TcpAccept),
            ("192.0.2.7:5432", SocketAddrUse::UdpSend),
            ("0.0.0.0:0", SocketAddrUse::UdpBind),
            ("192.0.2.7:5432", SocketAddrUse::UdpReceive),
        ] {
            assert!(!may(address, used), "{address} {used:?}");
        }
    }

    #[test]
    fn what_is_granted_resolves_and_nothing_else() {
        let reach = reach(&["tcp=192.0.2.7:5432", "tcp=[2001:db8::7]:80", "tcp=db.example.com:5432"]);
        for (text, expected) in [
            ("192.0.2.7", Question::Address(ip("192.0.2.7"))),
            ("2001:db8::7", Question::Address(ip("2001:db8::7"))),
            ("[2001:db8::7]", Question::Address(ip("2001:db8::7"))),
            ("DB.example.com.", Question::Name(HostName::parse("db.example.com").unwrap())),
            ("192.0.2.8", Question::NotGranted),
            ("127.0.0.1", Question::NotGranted),
            ("3221225991", Question::NotGranted),
            ("example.com", Question::NotGranted),
            ("evil.db.example.com", Question::NotGranted),
            ("secret.example.net", Question::NotGranted),
            ("", Question::NotGranted),
        ] {
            assert_eq!(reach.question(text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_leads_to_what_it_resolved_to_on_its_port() {
        let reach = reach(&["tcp=db.example.com:5432", "tcp=localhost:80"]);
        let may = |address: &str| reach.may_use(address.parse().unwrap(), SocketAddrUse::TcpConnect);
        assert!(!may("198.51.100.1:5432"), "not before it was looked up");
        let name = HostName::parse("db.example.com").unwrap();
        let hostile = [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ];
        assert_eq!(reach.learn(&name, hostile.map(ip)), [] as [IpAddr; 0]);
        assert_eq!(reach.learn(&name, ["198.51.100.1", "10.0.0.5", "198.51.100.1"].map(ip)), ["198.51.100.1", "10.0.0.5"].map(ip));
        assert!(may("198.51.100.1:5432") && may("10.0.0.5:5432"));
        assert!(!may("198.51.100.1:80") && !may("198.51.100.2:5432"));
        assert_eq!(reach.question("10.0.0.5"), Question::Address(ip("10.0.0.5")));
        assert_eq!(reach.learn(&name, (0..=255).map(|last| IpAddr::from([10, 0, 1, last]))).len(), ADDRESSES_MAX);
        assert!(!may("198.51.100.1:5432"), "the latest answer counts");
        let own = HostName::parse("localhost").unwrap();
        assert_eq!(reach.learn(&own, ["10.0.0.9", "127.0.0.1"].map(ip)), ["127.0.0.1"].map(ip));
        assert!(may("127.0.0.1:80") && !may("127.0.0.1:5432"));
    }
}
