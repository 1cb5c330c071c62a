//! Bounds the TCP sockets that guests have open: those of one attempt, those of a namespace, and those of all attempts of the host.
//!
//! How many a namespace may have, [`Shares`] says, so that the attempts of one leave some to another. Sockets are file descriptors, which the database and the HTTP server need too. `linkers` calls [`bound`] after it has linked `wasi:sockets`. A
//! guest that asks for one socket too many is answered `new-socket-limit`, as by a system that has none left. UDP sockets can't be created at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::TcpSocket;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::sockets::WasiSocketsView;

use super::attempt::AttemptState;
use crate::model::limits::Limits;
use crate::model::{Ask, NamespaceId, Shares};

/// The version of `wasi:sockets` that is linked: that of wasmtime's WIT. A test finds out when another wasmtime has another one.
const VERSION: &str = "0.2.12";

/// The sockets that all attempts of a host have open.
#[derive(Debug)]
pub(super) struct HostSockets {
    shares: Shares,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: u64,
    of: FxHashMap<NamespaceId, u64>,
}

impl HostSockets {
    /// All attempts together may have `max`, and each of them as many as the limits say.
    pub(super) fn new(max: usize, limits: &Limits) -> Self {
        Self { shares: Shares::new(max as u64, limits.sockets as u64), open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, namespace: NamespaceId, own: u64) -> bool {
        let mut open = self.lock();
        let of = open.of.get(&namespace).copied().unwrap_or(0);
        let taken = self.shares.admits(Ask { amount: 1, own, namespace: of, all: open.all });
        if taken {
            open.all += 1;
            *open.of.entry(namespace).or_default() += 1;
        }
        taken
    }

    fn give_back(&self, namespace: NamespaceId, count: u64) {
        let mut open = self.lock();
        open.all = open.all.saturating_sub(count);
        if let Some(of) = open.of.get_mut(&namespace) {
            *of = of.saturating_sub(count);
            if *of == 0 {
                open.of.remove(&namespace);
            }
        }
    }
}

/// The sockets that one attempt has open. Dropping it returns those that the guest left open.
#[derive(Debug)]
pub(super) struct AttemptSockets {
    host: Arc<HostSockets>,
    namespace: NamespaceId,
    open: u64,
    max: u64,
}

impl AttemptSockets {
    pub(super) fn new(host: &Arc<HostSockets>, namespace: NamespaceId, max: usize) -> Self {
        Self { host: Arc::clone(host), namespace, open: 0, max: max as u64 }
    }

    fn take(&mut self) -> bool {
        let taken = self.open < self.max && self.host.take(self.namespace, self.open);
        self.open += u64::from(taken);
        taken
    }

    fn give_back(&mut self) {
        if self.open > 0 {
            self.open -= 1;
            self.host.give_back(self.namespace, 1);
        }
    }
}

impl Drop for AttemptSockets {
    fn drop(&mut self) {
        if self.open > 0 {
            self.host.give_back(self.namespace, self.open);
        }
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
    fn sockets_are_counted_for_the_attempt_the_namespace_and_the_host() {
        let limits = Limits { sockets: 8, ..Limits::default() };
        let host = Arc::new(HostSockets::new(32, &limits));
        let attempt = |namespace| AttemptSockets::new(&host, NamespaceId(namespace), limits.sockets);
        let fill = |attempt: &mut AttemptSockets| (0..100).take_while(|_| attempt.take()).count();
        let mut one = attempt(1);
        assert_eq!(fill(&mut one), 8, "the attempt's limit");
        let mut others: Vec<_> = (0..8).map(|_| attempt(1)).collect();
        let more: usize = others.iter_mut().map(fill).sum();
        assert!((8..24).contains(&more), "{more}: the namespace's share");
        assert_eq!(fill(&mut attempt(2)).min(2), 2, "another namespace finds some");
        one.give_back();
        assert!(one.take() && !one.take());
        drop((one, others));
        let open = host.lock();
        assert!(open.all == 0 && open.of.is_empty());
    }
}
