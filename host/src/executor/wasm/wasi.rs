//! The WASI context of one attempt: clocks and randomness, a log for output, and the TCP addresses that were granted.
//!
//! Built when a guest first asks WASI for anything, which most tasks never do. Empty otherwise: no environment, no arguments, no
//! directories, no input, no name lookup.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use crate::clock::Clock;
use crate::listeners::OwnListeners;
use crate::model::Grants;
use crate::model::limits::Limits;

use super::log::LogSink;

pub(super) fn context(grants: &Grants, limits: &Limits, clock: &Arc<dyn Clock>, listeners: &OwnListeners, log: &LogSink) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    let granted: Vec<SocketAddr> = grants.tcp().collect();
    wasi.stdout(log.clone())
        .stderr(log.stderr())
        .max_random_size(limits.random_bytes)
        .wall_clock(GuestClock(Arc::clone(clock)))
        .monotonic_clock(GuestClock(Arc::clone(clock)))
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .allow_tcp(!granted.is_empty());
    if !granted.is_empty() {
        let listeners = listeners.clone();
        wasi.socket_addr_check(move |address, used| {
            // Looked at here as well as at the grant: a door may have been opened since, and a name may lead to it.
            let is_own = matches!(used, SocketAddrUse::TcpConnect) && listeners.reaches(address);
            let allowed = !is_own && may_use(&granted, address, used);
            Box::pin(std::future::ready(allowed))
        });
    }
    wasi.build()
}

/// Connections to exactly what was granted, from whatever local address the system picks.
fn may_use(granted: &[SocketAddr], address: SocketAddr, used: SocketAddrUse) -> bool {
    match used {
        SocketAddrUse::TcpConnect => granted.contains(&address),
        // Connecting binds first, as the system sees it. A guest that does the same can only connect from it.
        SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
        SocketAddrUse::TcpListen
        | SocketAddrUse::TcpAccept
        | SocketAddrUse::UdpBind
        | SocketAddrUse::UdpSend
        | SocketAddrUse::UdpReceive => false,
    }
}

/// Our clock, as guests see it.
struct GuestClock(Arc<dyn Clock>);

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.now().as_micros()).unwrap_or(0))
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_granted_addresses_are_connected_to() {
        let granted = ["192.0.2.7:5432".parse().unwrap()];
        let may = |address: &str, used| may_use(&granted, address.parse().unwrap(), used);
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
}
