//! Where this host listens itself, which no guest may reach.
//!
//! A guest that connects to the API or to a door beside it would do so from inside, as no caller from outside can: with the trust that a firewall
//! or a proxy gives to this machine. Filled by whichever door listens; asked when a grant is given, and again at each connection of a guest. Below
//! the executor, the scheduler and the doors, which share it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};

/// The addresses on which the host listens. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<RwLock<Vec<SocketAddr>>>);

impl OwnListeners {
    /// Adds one. It stays for as long as the host lives.
    pub fn add(&self, address: SocketAddr) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&address) {
            all.push(address);
        }
    }

    /// Whether a connection to `address` may arrive at one of them: the port is a listener's, and the address is that listener's, loopback,
    /// unspecified, or any other of this machine's own.
    pub fn reaches(&self, address: SocketAddr) -> bool {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut same_port = all.iter().filter(|own| own.port() == address.port()).peekable();
        if same_port.peek().is_none() {
            return false;
        }
        let ip = address.ip().to_canonical();
        same_port.any(|own| own.ip().to_canonical() == ip) || ip.is_loopback() || ip.is_unspecified() || is_local(address)
    }
}

/// Whether this machine has the address. The system says so by letting a socket be bound to it; if it can't tell, the answer is yes.
fn is_local(mut address: SocketAddr) -> bool {
    address.set_port(0);
    if let IpAddr::V4(ip) = address.ip().to_canonical() {
        address.set_ip(ip.into());
    }
    match UdpSocket::bind(address) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_by_every_local_address_of_its_port() {
        let own = OwnListeners::default();
        assert!(!own.reaches("127.0.0.1:7180".parse().unwrap()), "nothing listens yet");
        own.add("203.0.113.9:7180".parse().unwrap());
        for address in [
            "203.0.113.9:7180",
            "127.0.0.1:7180",
            "127.9.9.9:7180",
            "0.0.0.0:7180",
            "[::1]:7180",
            "[::]:7180",
            "[::ffff:127.0.0.1]:7180",
            "[::ffff:203.0.113.9]:7180",
            "[::ffff:0.0.0.0]:7180",
        ] {
            assert!(own.reaches(address.parse().unwrap()), "{address}");
        }
        for address in ["203.0.113.9:7181", "127.0.0.1:80", "192.0.2.7:7180", "[::ffff:192.0.2.7]:7180"] {
            assert!(!own.reaches(address.parse().unwrap()), "{address}");
        }
    }

    /// Every machine has at least one address besides loopback or none; the one the system would send from is its own.
    #[test]
    fn other_addresses_of_this_machine_are_its_own() {
        let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
        let Ok(()) = probe.connect("192.0.2.7:9") else { return };
        let own = OwnListeners::default();
        own.add("127.0.0.1:7180".parse().unwrap());
        let mut address = probe.local_addr().unwrap();
        address.set_port(7180);
        assert!(own.reaches(address), "{address}");
    }
}
