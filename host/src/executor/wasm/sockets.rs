//! Bounds the TCP sockets that guests have open: those of one attempt, and those of all attempts of the host.
//!
//! Sockets are file descriptors, which the database and the HTTP server need too. `linkers` calls [`bound`] after it has linked `wasi:sockets`. A
//! guest that asks for one socket too many is answered `new-socket-limit`, as by a system that has none left. UDP sockets can't be created at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::TcpSocket;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::sockets::WasiSocketsView;

use super::attempt::AttemptState;

/// The version of `wasi:sockets` that is linked: that of wasmtime's WIT. A test finds out when another wasmtime has another one.
const VERSION: &str = "0.2.12";

/// The sockets that all attempts of a host have open.
#[derive(Debug)]
pub(super) struct HostSockets {
    open: AtomicUsize,
    max: usize,
}

impl HostSockets {
    pub(super) fn new(max: usize) -> Self {
        Self { open: AtomicUsize::new(0), max }
    }

    fn take(&self) -> bool {
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < self.max).then_some(open + 1)).is_ok()
    }
}

/// The sockets that one attempt has open. Dropping it returns those that the guest left open.
#[derive(Debug)]
pub(super) struct AttemptSockets {
    host: Arc<HostSockets>,
    open: usize,
    max: usize,
}

impl AttemptSockets {
    pub(super) fn new(host: &Arc<HostSockets>, max: usize) -> Self {
        Self { host: Arc::clone(host), open: 0, max }
    }

    fn take(&mut self) -> bool {
        let taken = self.open < self.max && self.host.take();
        self.open += usize::from(taken);
        taken
    }

    fn give_back(&mut self) {
        if self.open > 0 {
            self.open -= 1;
            self.host.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AttemptSockets {
    fn drop(&mut self) {
        self.host.open.fetch_sub(self.open, Ordering::Relaxed);
    }
}

/// Replaces how sockets are created and dropped.
pub(super) fn bound(l: &mut Linker<AttemptState>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    l.instance(&format!("wasi:sockets/tcp-create-socket@{VERSION}"))?.func_wrap("create-tcp-socket", create)?;
    l.instance(&format!("wasi:sockets/tcp@{VERSION}"))?.resource("tcp-socket", ResourceType::host::<TcpSocket>(), close)?;
    l.allow_shadowing(false);
    Ok(())
}

type Created = Result<Resource<TcpSocket>, ErrorCode>;

fn create(mut store: StoreContextMut<'_, AttemptState>, (family,): (IpAddressFamily,)) -> wasmtime::Result<(Created,)> {
    let state = store.data_mut();
    if !state.open_sockets().take() {
        return Ok((Err(ErrorCode::NewSocketLimit),));
    }
    match state.sockets().create_tcp_socket(family) {
        Ok(socket) => Ok((Ok(socket),)),
        Err(error) => {
            state.open_sockets().give_back();
            Ok((Err(error.downcast()?),))
        }
    }
}

fn close(mut store: StoreContextMut<'_, AttemptState>, rep: u32) -> wasmtime::Result<()> {
    let state = store.data_mut();
    state.table.delete(Resource::<TcpSocket>::new_own(rep))?;
    state.open_sockets().give_back();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_counted_for_the_attempt_and_for_the_host() {
        let host = Arc::new(HostSockets::new(3));
        let (mut one, mut other) = (AttemptSockets::new(&host, 2), AttemptSockets::new(&host, 2));
        assert!(one.take() && one.take() && !one.take(), "the attempt's limit");
        assert!(other.take() && !other.take(), "the host's limit");
        one.give_back();
        assert!(other.take() && !one.take());
        drop(other);
        assert!(one.take());
        drop(one);
        assert_eq!(host.open.load(Ordering::Relaxed), 0);
    }
}
