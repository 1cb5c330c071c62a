//! Executes tasks as WebAssembly components, each attempt in an instance of its own.
//!
//! The one implementation of [`Executor`] that runs guests. An attempt takes a component that is compiled and linked
//! ([`component_cache`]), an instance from a pool ([`engine`]), a store with limits and nothing in it that was not granted
//! ([`attempt`]), calls `handle` until it returns or must end ([`watch`]), and says how that went ([`outcome`]). No wasmtime type leaves this
//! module except towards embedders who add imports of their own.

mod attempt;
mod bare;
mod bindings;
mod capacity;
mod code_dir;
mod compile;
mod compile_child;
mod compile_request;
mod component_cache;
mod confine;
mod counts;
mod describe;
mod engine;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod held;
mod host_interfaces;
mod imports;
mod limiter;
mod linkers;
mod log;
mod name_lookup;
mod outcome;
mod precheck;
mod private;
mod reach;
mod resolver;
mod sockets;
mod toolchain;
mod uploads;
mod wasi;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::cancel::CancelSignal;
use crate::clock::Clock;
use crate::listeners::OwnListeners;
use crate::model::limits::{GUEST_SOCKETS_MAX, Limits};
use crate::model::{Digest, FailureReason, Invalid, NamespaceId, Outcome, RunId, TaskDefinition, WriteSet};
use crate::zones::Zones;

use super::{AttemptReport, AttemptRequest, ComponentSource, Executor, Inspection};

pub use attempt::AttemptState;
pub use bare::Bare;
pub use code_dir::code_key;
pub use compile::Compiler;
pub use compile_child::compile_child_main;
#[cfg(any(test, feature = "test-util"))]
pub use counts::component_counts;
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::{fuzz_cached_code, fuzz_component};
pub use linkers::ExtendLinker;

use capacity::Capacity;
use component_cache::{ComponentCache, Loaded, Upload};
use engine::EpochTicker;
use outcome::Stop;
use resolver::Resolver;
use sockets::HostSockets;
use uploads::Uploads;

/// The wasmtime that is built in. It has no constant of its own; a test compares this one with the lock file.
pub const ENGINE_VERSION: &str = "48.0.8";

/// Instances kept free for registrations, which describe components while attempts take the rest.
const DESCRIBING_AT_ONCE: u32 = 4;

/// How a [`WasmExecutor`] is set up.
#[derive(Clone)]
pub struct WasmConfig {
    /// Bounds on each attempt.
    pub limits: Limits,
    /// Attempts in flight; more wait. Each reserves address space, not memory.
    pub attempts_at_once: u32,
    /// Bytes that the memories and tables of all guests have together, at least as many as [`Limits`] allow one attempt. Attempts that need more wait.
    pub guest_memory: u64,
    /// Where compiled code is kept between starts; `None` compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// What compiled code on disk is sealed with: random, kept where guests and other users can't read it.
    pub cache_key: [u8; 32],
    /// Bytes of machine code kept in memory; components unused for longest are dropped first.
    pub code_bytes_max: usize,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// TCP sockets that all attempts together may have open.
    pub guest_sockets: usize,
    /// Imports of the embedder's own, which every guest may use.
    pub extend: Vec<ExtendLinker>,
    /// The time zones of the crons that components declare.
    pub zones: Zones,
    /// Where the host listens itself: no guest connects there.
    pub listeners: OwnListeners,
}

impl Default for WasmConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            attempts_at_once: 1_100,
            guest_memory: 4 << 30,
            cache_dir: None,
            cache_key: [0; 32],
            code_bytes_max: 512 << 20,
            compiler: Compiler::default(),
            guest_sockets: GUEST_SOCKETS_MAX,
            extend: Vec::new(),
            zones: Zones::bundled(),
            listeners: OwnListeners::default(),
        }
    }
}

/// Why an executor can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The engine refused its configuration, or the system the address space for it.
    #[error("can't set up the WebAssembly engine: {0}")]
    Engine(String),
    /// One attempt may have more memory than all together.
    #[error("guests may have {0} bytes of memory in all, but one attempt may have {1}; allow more in all, or less for one")]
    GuestMemory(u64, usize),
    /// The directory for compiled code, or a thread.
    #[error("can't set up the executor: {0}")]
    System(#[from] std::io::Error),
}

/// Runs attempts in WebAssembly.
pub struct WasmExecutor {
    host: Arc<Host>,
    components: ComponentCache,
    uploads: Uploads,
    attempts: Semaphore,
    describing: Semaphore,
    /// Whether there are imports that only the linker knows.
    extended: bool,
}

/// What every attempt shares.
struct Host {
    engine: Engine,
    limits: Limits,
    clock: Arc<dyn Clock>,
    epochs: EpochTicker,
    zones: Zones,
    sockets: Arc<HostSockets>,
    listeners: OwnListeners,
    capacity: Arc<Capacity>,
    resolver: Resolver,
}

impl WasmExecutor {
    /// Sets up an engine, its pool and its caches.
    pub fn new(config: WasmConfig, clock: Arc<dyn Clock>, source: Arc<dyn ComponentSource>) -> Result<Self, SetupError> {
        let failed = |error: wasmtime::Error| SetupError::Engine(format!("{error:#}"));
        if config.guest_memory < config.limits.memory_bytes as u64 {
            return Err(SetupError::GuestMemory(config.guest_memory, config.limits.memory_bytes));
        }
        let instances = config.attempts_at_once + DESCRIBING_AT_ONCE;
        let engine = engine::pooled(&config.limits, instances, config.guest_memory).map_err(failed)?;
        let (memories, tables) = engine::places(&config.limits, instances);
        let capacity = Arc::new(Capacity::new(&config.limits, config.guest_memory, memories, tables));
        let linkers = linkers::linkers(&engine, &config.extend).map_err(failed)?;
        let (limits, zones, attempts_at_once) = (config.limits.clone(), config.zones.clone(), config.attempts_at_once as usize);
        let (sockets, listeners) = (Arc::new(HostSockets::new(config.guest_sockets, &config.limits)), config.listeners.clone());
        let extended = !config.extend.is_empty();
        let components = ComponentCache::new(engine.clone(), linkers, source, config)?;
        let epochs = EpochTicker::start(&engine)?;
        Ok(Self {
            host: Arc::new(Host { engine, limits, clock, epochs, zones, sockets, listeners, capacity, resolver: Resolver::new() }),
            components,
            uploads: Uploads::new(),
            attempts: Semaphore::new(attempts_at_once),
            describing: Semaphore::new(DESCRIBING_AT_ONCE as usize),
            extended,
        })
    }

    /// The component in memory; waits for it only if it is not there.
    async fn component(&self, digest: Digest, cancel: &CancelSignal, shut_down: &CancelSignal) -> Result<Arc<Loaded>, NotStarted> {
        match self.components.get(&digest) {
            Some(loaded) => Ok(loaded),
            None => Ok(watch::unless_stopped(self.components.load(digest), cancel, shut_down).await??),
        }
    }

    async fn try_inspect(&self, inspection: Inspection) -> Result<Vec<TaskDefinition>, Invalid> {
        let Inspection { namespace, wasm, grants, deployed } = inspection;
        precheck::look(&wasm)?;
        let sent = Arc::clone(&wasm);
        let reworded = |refused| toolchain::reworded(refused, &sent);
        let place = Arc::new(self.uploads.place(namespace).await?);
        let upload = Upload { namespace, wasm, deployed, place };
        let outline = self.components.check(&upload).await.map_err(reworded)?;
        let foreign = imports::check(&outline, &grants).map_err(reworded)?;
        if let Some(import) = foreign.first()
            && !self.extended
        {
            return Err(imports::unknown(import));
        }
        let loaded = self.components.upload(&upload).await?;
        let tasks = loaded.linked(&self.components, &grants).map_err(|refused| match foreign.first() {
            Some(import) => imports::unknown(import),
            None => refused,
        })?;
        let _slot = self.describing.acquire().await.expect("the semaphore is never closed");
        describe::describe(&self.host, tasks, namespace, loaded.need()).await
    }

    async fn try_execute(&self, request: AttemptRequest) -> Result<AttemptReport, NotStarted> {
        let loaded = self.component(request.task.digest, &request.cancel, &request.shut_down).await?;
        let tasks = loaded.linked(&self.components, &request.task.grants)?;
        let _slot = match self.attempts.try_acquire() {
            Ok(slot) => slot,
            Err(_) => watch::unless_stopped(self.attempts.acquire(), &request.cancel, &request.shut_down)
                .await?
                .expect("the semaphore is never closed"),
        };
        let starts = self.host.capacity.start(&request.task, request.run, loaded.need());
        let reservation = watch::unless_stopped(starts, &request.cancel, &request.shut_down).await?;
        Ok(attempt::execute(&self.host, tasks, request, reservation).await)
    }
}

/// Why an attempt ended before its guest was entered.
enum NotStarted {
    Stopped(Stop),
    Unusable(Invalid),
}

impl From<Stop> for NotStarted {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<Invalid> for NotStarted {
    fn from(invalid: Invalid) -> Self {
        Self::Unusable(invalid)
    }
}

#[async_trait]
impl Executor for WasmExecutor {
    async fn inspect(&self, inspection: Inspection) -> Result<Vec<TaskDefinition>, Invalid> {
        tokio::select! {
            biased;
            () = self.components.stop().wait() => Err(compile::stopping()),
            inspected = self.try_inspect(inspection) => inspected,
        }
    }

    fn stop_inspecting(&self) {
        self.components.stop().set();
    }

    fn awaited_memory(&self, namespace: NamespaceId, run: RunId) -> Option<u64> {
        self.host.capacity.awaited_by(namespace, run)
    }

    fn waiting_for_memory(&self) -> usize {
        self.host.capacity.waiting()
    }

    async fn execute(&self, attempt: AttemptRequest) -> AttemptReport {
        let clock = Arc::clone(&self.host.clock);
        self.try_execute(attempt).await.unwrap_or_else(|why| {
            let outcome = match why {
                NotStarted::Stopped(Stop::ShutDown) => Outcome::ShutDown,
                NotStarted::Stopped(_) => Outcome::Cancelled,
                NotStarted::Unusable(invalid) => Outcome::failed(FailureReason::Instantiation, invalid.to_string()),
            };
            AttemptReport { outcome, started_at: clock.now(), writes: WriteSet::default(), log: Vec::new() }
        })
    }
}
