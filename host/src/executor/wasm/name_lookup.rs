//! `wasi:sockets/ip-name-lookup`: names and addresses that were granted resolve, everything else is answered with access-denied.
//!
//! Takes the place of WASI's own implementation, which resolves either every name or none.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, subscribe};

use super::attempt::AttemptState;
use super::reach::Question;
use super::resolver::Unresolved;

/// As the linked WASI calls it. Guests that import another 0.2 get this one.
const INTERFACE: &str = "wasi:sockets/ip-name-lookup@0.2.12";

type Answer = Result<Vec<IpAddr>, ErrorCode>;

/// A lookup that a guest began: the resource `resolve-address-stream`.
pub(super) enum Lookup {
    Waiting(Pin<Box<dyn Future<Output = Answer> + Send>>),
    Done(Result<std::vec::IntoIter<IpAddr>, ErrorCode>),
}

impl Lookup {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&mut Result<std::vec::IntoIter<IpAddr>, ErrorCode>> {
        if let Self::Waiting(answer) = self {
            let Poll::Ready(answer) = answer.as_mut().poll(cx) else { return Poll::Pending };
            *self = Self::Done(answer.map(Vec::into_iter));
        }
        match self {
            Self::Done(addresses) => Poll::Ready(addresses),
            Self::Waiting(_) => unreachable!("it is done by now"),
        }
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx).map(drop)).await;
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<AttemptState>) -> wasmtime::Result<()> {
    type Call<'a> = StoreContextMut<'a, AttemptState>;
    let mut interface = linker.instance(INTERFACE)?;
    interface.resource("resolve-address-stream", ResourceType::host::<Lookup>(), |mut call, lookup| {
        call.data_mut().table.delete(Resource::<Lookup>::new_own(lookup))?;
        Ok(())
    })?;
    interface.func_wrap("resolve-addresses", |mut call: Call<'_>, (network, name): (Resource<Network>, String)| {
        call.data_mut().count_call()?;
        call.data().table.get(&network)?;
        Ok((match begin(call.data_mut(), &name) {
            Ok(lookup) => Ok(call.data_mut().table.push(lookup)?),
            Err(code) => Err(code),
        },))
    })?;
    interface.func_wrap("[method]resolve-address-stream.resolve-next-address", |mut call: Call<'_>, (lookup,): (Resource<Lookup>,)| {
        call.data_mut().count_call()?;
        let lookup = call.data_mut().table.get_mut(&lookup)?;
        Ok((match lookup.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Err(ErrorCode::WouldBlock),
            Poll::Ready(Err(code)) => Err(*code),
            Poll::Ready(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
        },))
    })?;
    interface.func_wrap("[method]resolve-address-stream.subscribe", |mut call: Call<'_>, (lookup,): (Resource<Lookup>,)| {
        call.data_mut().count_call()?;
        let pollable: Resource<DynPollable> = subscribe(&mut call.data_mut().table, lookup)?;
        Ok((pollable,))
    })
}

fn begin(state: &mut AttemptState, name: &str) -> Result<Lookup, ErrorCode> {
    let reach = Arc::clone(state.reach());
    match reach.question(name) {
        Question::NotGranted => Err(ErrorCode::AccessDenied),
        Question::Address(address) => Ok(Lookup::Done(Ok(vec![address].into_iter()))),
        Question::Name(name) => {
            let found = state.host.resolver.resolve(state.request.task.namespace, name.clone(), &state.host.clock);
            Ok(Lookup::Waiting(Box::pin(async move {
                let found = found.await.map_err(|why| match why {
                    Unresolved::Unknown => ErrorCode::NameUnresolvable,
                    Unresolved::TooLate => ErrorCode::TemporaryResolverFailure,
                })?;
                let addresses = reach.learn(&name, found);
                if addresses.is_empty() { Err(ErrorCode::AccessDenied) } else { Ok(addresses) }
            })))
        }
    }
}
