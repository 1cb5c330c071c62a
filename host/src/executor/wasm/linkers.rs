//! What guests are linked with: one linker for each set of granted interfaces.
//!
//! Called once at start. What is not granted is not linked, so that a hole in a check elsewhere opens nothing.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use super::attempt::AttemptState;
use super::bindings::{context, crons, definition, pauses, runs, types};
use super::imports::LinkSet;
use super::name_lookup;

/// Adds an embedder's own imports. Called once for each linker that guests are linked with.
pub type ExtendLinker = Arc<dyn Fn(&mut Linker<AttemptState>) -> wasmtime::Result<()> + Send + Sync>;

/// The linkers, in the order of [`LinkSet::ALL`].
pub(super) fn linkers(engine: &Engine, extend: &[ExtendLinker]) -> wasmtime::Result<Vec<Linker<AttemptState>>> {
    LinkSet::ALL.into_iter().map(|set| linker(engine, set, extend)).collect()
}

fn linker(engine: &Engine, set: LinkSet, extend: &[ExtendLinker]) -> wasmtime::Result<Linker<AttemptState>> {
    type Own = HasSelf<AttemptState>;
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    types::add_to_linker::<_, Own>(l, |state| state)?;
    context::add_to_linker::<_, Own>(l, |state| state)?;
    definition::add_to_linker::<_, Own>(l, |state| state)?;
    if set.runs {
        runs::add_to_linker::<_, Own>(l, |state| state)?;
    }
    if set.crons {
        crons::add_to_linker::<_, Own>(l, |state| state)?;
    }
    if set.pauses {
        pauses::add_to_linker::<_, Own>(l, |state| state)?;
    }
    wasi(l)?;
    wasi_sockets(l)?;
    name_lookup::add_to_linker(l)?;
    for extend in extend {
        extend(l)?;
    }
    Ok(linker)
}

/// WASI without sockets: what standard libraries import whether they need it or not.
fn wasi(l: &mut Linker<AttemptState>) -> wasmtime::Result<()> {
    // Brings io, clocks, random and the three standard streams.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(l)?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, AttemptState::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, AttemptState::random)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, AttemptState::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, AttemptState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, AttemptState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, AttemptState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, AttemptState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, AttemptState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, AttemptState::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, AttemptState::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, AttemptState::filesystem)
}

/// `wasi:sockets`, which CPython and other language runtimes import even if no program opens a socket. The attempt's WASI context decides what it
/// may do: nothing, unless addresses were granted. Name lookup is [`name_lookup`]'s.
fn wasi_sockets(l: &mut Linker<AttemptState>) -> wasmtime::Result<()> {
    sockets::network::add_to_linker::<_, WasiSockets>(l, &sockets::network::LinkOptions::default(), AttemptState::sockets)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(l, AttemptState::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, AttemptState::sockets)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(l, AttemptState::sockets)?;
    sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, AttemptState::sockets)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(l, AttemptState::sockets)?;
    super::sockets::bound(l)
}
