//! The WASI context of one attempt: clocks and randomness, a log for output, and the TCP connections that were granted.
//!
//! Built when a guest first asks WASI for anything, which most tasks never do. Empty otherwise: no environment, no arguments, no
//! directories, no input.

use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use crate::clock::Clock;
use crate::listeners::OwnListeners;
use crate::model::limits::Limits;

use super::log::LogSink;
use super::reach::Reach;

pub(super) fn context(reach: &Arc<Reach>, limits: &Limits, clock: &Arc<dyn Clock>, listeners: &OwnListeners, log: &LogSink) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.stdout(log.clone())
        .stderr(log.stderr())
        .max_random_size(limits.random_bytes)
        .wall_clock(GuestClock(Arc::clone(clock)))
        .monotonic_clock(GuestClock(Arc::clone(clock)))
        .allow_udp(false)
        // `name_lookup` answers in its place.
        .allow_ip_name_lookup(false)
        .allow_tcp(!reach.is_empty());
    if !reach.is_empty() {
        let (reach, listeners) = (Arc::clone(reach), listeners.clone());
        wasi.socket_addr_check(move |address, used| {
            // Looked at here as well as at the grant: a door may have been opened since, and a name may lead to it.
            let is_own = matches!(used, SocketAddrUse::TcpConnect) && listeners.reaches(address);
            let allowed = !is_own && reach.may_use(address, used);
            Box::pin(std::future::ready(allowed))
        });
    }
    wasi.build()
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
