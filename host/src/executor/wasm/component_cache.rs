//! Components that are ready to be instantiated, by digest.
//!
//! Called by every attempt, where it costs a lookup; by registration, which fills it. What is not in memory is loaded from disk, and what
//! is not there is compiled: once, however many attempts ask at the same time.

use std::collections::VecDeque;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use sha2::Digest as _;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cancel::CancelSignal;
use crate::executor::ComponentSource;
use crate::model::limits::Limits;
use crate::model::{Digest, Grants, Invalid, NamespaceId};

use super::WasmConfig;
use super::attempt::AttemptState;
use super::bindings::TasksPre;
use super::capacity::Need;
use super::code_dir::{CodeDir, EXTENSION};
use super::compile::{Compiler, Job};
use super::imports::LinkSet;
use super::limiter::ELEMENT_BYTES;
use super::precheck::Outline;
use super::uploads::Place;

/// Stack of the thread that compiles: Cranelift recurses.
const COMPILE_STACK_BYTES: usize = 16 << 20;
/// Bytes of a page of wasm memory.
const PAGE_BYTES: u64 = 64 << 10;
/// Uploads that are checked at a time, of up to 512 MiB each: one that takes its minute leaves a place for the others.
const CHECKS_AT_ONCE: usize = 2;
/// Uploads that are compiled at a time, which takes up to 1 GiB and a minute of processor time.
const UPLOADS_COMPILED_AT_ONCE: usize = 1;
/// Components of each namespace that are known to have been sent by it. Sending a longer list again costs compiling again.
const SENT_MAX: usize = 16;

/// A component in memory, linked once for each set of interfaces that was asked for.
pub(super) struct Loaded {
    component: Component,
    linked: [OnceLock<TasksPre<AttemptState>>; LinkSet::COUNT],
    code_bytes: usize,
    /// What an instance needs to start.
    need: Need,
    /// How many components had been loaded when it was last used: near enough to a time, and cheap.
    used: AtomicU64,
}

impl Loaded {
    /// What an instance needs to start, within the limits of an attempt.
    pub(super) fn need(&self) -> Need {
        self.need
    }

    /// Ready to be instantiated with what `grants` allow.
    pub(super) fn linked(&self, cache: &ComponentCache, grants: &Grants) -> Result<&TasksPre<AttemptState>, Invalid> {
        let index = LinkSet::of(grants).index();
        if let Some(tasks) = self.linked[index].get() {
            return Ok(tasks);
        }
        let refused = |error: wasmtime::Error| Invalid::new("import-not-granted", "component", format!("{error:#}"));
        let pre = cache.shared.linkers[index].instantiate_pre(&self.component).map_err(refused)?;
        let tasks = TasksPre::new(pre)
            .map_err(|error| Invalid::new("missing-export", "component", format!("its exports don't fit the contract: {error:#}")))?;
        Ok(self.linked[index].get_or_init(|| tasks))
    }
}

/// A component that somebody sends to be registered.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) namespace: NamespaceId,
    pub(super) wasm: Arc<[u8]>,
    /// Whether tasks of the namespace have these bytes already.
    pub(super) deployed: bool,
    /// Held until the work is done, even if the caller has disconnected.
    pub(super) place: Arc<Place>,
}

/// A component that somebody loads, for all who wait for it.
type Loading = Arc<tokio::sync::OnceCell<Arc<Loaded>>>;

/// The cache.
pub(super) struct ComponentCache {
    shared: Arc<Shared>,
    loaded: RwLock<FxHashMap<Digest, Arc<Loaded>>>,
    /// What is being loaded, and for the upload of which namespace: an attempt must not wait for the turn of one.
    loading: Mutex<FxHashMap<(Digest, Option<NamespaceId>), Loading>>,
    sent: Mutex<Sent>,
    loads: AtomicU64,
    code_bytes_max: usize,
    /// First come, first served; a namespace waits for one place at most.
    checks: Arc<Semaphore>,
    compiles: Arc<Semaphore>,
}

/// What the loading thread needs.
struct Shared {
    engine: Engine,
    engine_hash: String,
    linkers: Vec<Linker<AttemptState>>,
    source: Arc<dyn ComponentSource>,
    compiler: Compiler,
    limits: Limits,
    dir: Option<CodeDir>,
    /// Held while compiling what attempts wait for: one at a time.
    compiling: Mutex<()>,
    /// Set when nobody waits for uploads any more.
    stop: CancelSignal,
}

impl ComponentCache {
    pub(super) fn new(
        engine: Engine,
        linkers: Vec<Linker<AttemptState>>,
        source: Arc<dyn ComponentSource>,
        config: WasmConfig,
    ) -> io::Result<Self> {
        let dir = config.cache_dir.as_deref().map(|path| CodeDir::open(path, config.cache_key)).transpose()?;
        let shared = Shared {
            engine_hash: engine_hash(&engine),
            engine,
            linkers,
            source,
            compiler: config.compiler,
            limits: config.limits,
            dir,
            compiling: Mutex::new(()),
            stop: CancelSignal::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            loaded: RwLock::default(),
            loading: Mutex::default(),
            sent: Mutex::default(),
            loads: AtomicU64::new(0),
            code_bytes_max: config.code_bytes_max,
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            compiles: Arc::new(Semaphore::new(UPLOADS_COMPILED_AT_ONCE)),
        })
    }

    /// The signal that ends the work for uploads.
    pub(super) fn stop(&self) -> &CancelSignal {
        &self.shared.stop
    }

    /// Bytes of machine code in memory.
    #[cfg(test)]
    pub(super) fn code_bytes(&self) -> usize {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).values().map(|loaded| loaded.code_bytes).sum()
    }

    /// The component if it is in memory.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let found = loaded.get(digest)?;
        found.used.store(self.loads.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(found))
    }

    /// The component that an attempt needs, from wherever it is.
    pub(super) async fn load(&self, digest: Digest) -> Result<Arc<Loaded>, Invalid> {
        if let Some(loaded) = self.get(&digest) {
            return Ok(loaded);
        }
        let shared = Arc::clone(&self.shared);
        self.once((digest, None), on_a_thread((), move || shared.load(digest)), Use::Now).await
    }

    /// Parses and validates an uploaded component.
    pub(super) async fn check(&self, upload: &Upload) -> Result<Outline, Invalid> {
        let permit = self.checks.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (shared, wasm) = (Arc::clone(&self.shared), Arc::clone(&upload.wasm));
        on_a_thread((permit, Arc::clone(&upload.place)), move || shared.job(&shared.stop).check(&wasm)).await
    }

    /// An uploaded component, which was checked.
    ///
    /// Compiled code of another namespace is not used, even if it is there: the time that an answer takes must not tell whether somebody else
    /// deployed the same bytes. A namespace has the code of what it deployed and of what it sent since the host started.
    pub(super) async fn upload(&self, upload: &Upload) -> Result<Arc<Loaded>, Invalid> {
        let Upload { namespace, wasm, deployed, place } = upload;
        let digest = Digest::of(wasm);
        if *deployed || self.sent.lock().unwrap_or_else(PoisonError::into_inner).has(*namespace, &digest) {
            // Without counting as a use.
            if let Some(loaded) = self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(&digest) {
                return Ok(Arc::clone(loaded));
            }
            let shared = Arc::clone(&self.shared);
            if let Some(loaded) = on_a_thread(Arc::clone(place), move || Ok(shared.load_from_disk(&digest))).await? {
                return Ok(self.keep(digest, Arc::new(loaded), Use::Perhaps));
            }
        }
        let compiled = async {
            let permit = self.compiles.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (shared, wasm) = (Arc::clone(&self.shared), Arc::clone(wasm));
            on_a_thread((permit, Arc::clone(place)), move || shared.compile(&digest, &wasm, &shared.stop)).await
        };
        let loaded = self.once((digest, Some(*namespace)), compiled, Use::Perhaps).await?;
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).add(*namespace, digest);
        Ok(loaded)
    }

    /// Does the work once for all who ask for it meanwhile.
    async fn once(
        &self,
        key: (Digest, Option<NamespaceId>),
        work: impl Future<Output = Result<Loaded, Invalid>>,
        usage: Use,
    ) -> Result<Arc<Loaded>, Invalid> {
        let cell = Arc::clone(self.loading.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let loaded = cell.get_or_try_init(|| async { work.await.map(|loaded| self.keep(key.0, Arc::new(loaded), usage)) }).await.cloned();
        // Only when it is in `loaded`, or nobody will have it: otherwise a late caller would load it again.
        self.loading.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        loaded
    }

    /// Keeps it in memory, and lets go of what was unused for longest. What was only sent to be registered displaces nothing that attempts use.
    fn keep(&self, digest: Digest, loaded: Arc<Loaded>, usage: Use) -> Arc<Loaded> {
        let now = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        let mut all = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let kept = Arc::clone(all.entry(digest).or_insert(loaded));
        let needed = match usage {
            Use::Now => {
                kept.used.store(now, Ordering::Relaxed);
                Some(digest)
            }
            Use::Perhaps => None,
        };
        while all.len() > 1 && all.values().map(|loaded| loaded.code_bytes).sum::<usize>() > self.code_bytes_max {
            let others = all.iter().filter(|(each, _)| Some(**each) != needed);
            let oldest = others.min_by_key(|(_, loaded)| loaded.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else { break };
            // Attempts in flight hold on to it for as long as they need it.
            all.remove(&oldest);
        }
        kept
    }
}

/// Why a component is loaded.
#[derive(Clone, Copy)]
enum Use {
    /// An attempt needs it.
    Now,
    /// It is registered, or looked at in a dry run.
    Perhaps,
}

/// The latest components that each namespace sent, and that could be compiled.
#[derive(Default)]
struct Sent(FxHashMap<NamespaceId, VecDeque<Digest>>);

impl Sent {
    fn has(&self, namespace: NamespaceId, digest: &Digest) -> bool {
        self.0.get(&namespace).is_some_and(|sent| sent.contains(digest))
    }

    fn add(&mut self, namespace: NamespaceId, digest: Digest) {
        let sent = self.0.entry(namespace).or_default();
        if !sent.contains(&digest) {
            sent.truncate(SENT_MAX - 1);
            sent.push_front(digest);
        }
    }
}

/// Does blocking work on a thread of its own, which holds on to `held` until it is done.
async fn on_a_thread<T: Send + 'static>(
    held: impl Send + 'static,
    work: impl FnOnce() -> Result<T, Invalid> + Send + 'static,
) -> Result<T, Invalid> {
    let (send, receive) = tokio::sync::oneshot::channel();
    let failed = |what: String| Invalid::new("compile-failed", "component", what);
    std::thread::Builder::new()
        .name("compile".into())
        .stack_size(COMPILE_STACK_BYTES)
        .spawn(move || {
            let done = work();
            drop(held);
            drop(send.send(done));
        })
        .map_err(|error| failed(format!("the host could not start a thread: {error}")))?;
    receive.await.map_err(|_| failed("the compiler panicked; it was reported to the host's log".into()))?
}

impl Shared {
    fn job<'a>(&'a self, stop: &'a CancelSignal) -> Job<'a> {
        Job { compiler: &self.compiler, engine: &self.engine, limits: &self.limits, stop }
    }

    /// From disk, or compiled from what is stored.
    fn load(&self, digest: Digest) -> Result<Loaded, Invalid> {
        if let Some(loaded) = self.load_from_disk(&digest) {
            return Ok(loaded);
        }
        let _one_at_a_time = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let wasm = self.source.load(&digest).map_err(|why| Invalid::new("component-missing", "component", why))?;
        if Digest::of(&wasm) != digest {
            return Err(Invalid::new("component-changed", "component", format!("the stored bytes are not those of {digest}")));
        }
        self.compile(&digest, &wasm, &CancelSignal::default())
    }

    fn compile(&self, digest: &Digest, wasm: &[u8], stop: &CancelSignal) -> Result<Loaded, Invalid> {
        let code = self.job(stop).compile(wasm)?;
        let loaded = self.loaded(&code).map_err(|error| Invalid::new("invalid-component", "component", format!("{error:#}")))?;
        if let Some(dir) = &self.dir
            && let Err(error) = dir.write(&self.file(digest), &code)
        {
            tracing::warn!(%error, "compiled code can't be kept on disk; it is compiled again after the next start");
        }
        Ok(loaded)
    }

    fn file(&self, digest: &Digest) -> String {
        format!("{digest}-{}{EXTENSION}", self.engine_hash)
    }

    fn load_from_disk(&self, digest: &Digest) -> Option<Loaded> {
        let code = self.dir.as_ref()?.read(&self.file(digest))?;
        self.loaded(&code).inspect_err(|error| tracing::warn!("cached code can't be loaded, compiling again: {error:#}")).ok()
    }

    fn loaded(&self, code: &[u8]) -> wasmtime::Result<Loaded> {
        let component = load_code(&self.engine, code)?;
        let need = need(&component, &self.limits);
        Ok(Loaded { component, linked: Default::default(), code_bytes: code.len(), need, used: AtomicU64::new(0) })
    }
}

/// What an instance of the component needs to start. What exceeds an attempt's limits is not reserved: it is refused as the instance is made.
fn need(component: &Component, limits: &Limits) -> Need {
    let most = Need { bytes: limits.memory_bytes as u64, memories: limits.memories as u64, tables: limits.tables as u64 };
    // Unknown of components that instantiate modules which they are given.
    let Some(required) = component.resources_required() else { return most };
    let (memories, tables) = (u64::from(required.num_memories), u64::from(required.num_tables));
    // Only the largest of each kind is known.
    let memory_bytes = memories.saturating_mul(required.max_initial_memory_size.unwrap_or(0)).saturating_mul(PAGE_BYTES);
    let table_bytes = tables.saturating_mul(required.max_initial_table_size.unwrap_or(0)).saturating_mul(ELEMENT_BYTES as u64);
    Need {
        bytes: memory_bytes.saturating_add(table_bytes).min(most.bytes),
        memories: memories.min(most.memories),
        tables: tables.min(most.tables),
    }
}

/// Makes machine code executable. `code` is what this host compiled: either just now, or under its own seal.
#[allow(unsafe_code, reason = "the one place where code that was compiled before is trusted")]
pub(super) fn load_code(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from `precompile_component`, in this process or in the child that it started, or from a file
    // whose HMAC over the whole code was verified with a key that only this host has. They were read into memory
    // before that, so nobody can change them in between. Code of another engine or version is refused by wasmtime.
    unsafe { Component::deserialize(engine, code) }
}

/// Names everything that compiled code depends on beside its source: wasmtime's version, settings and the processor.
pub(super) fn engine_hash(engine: &Engine) -> String {
    struct Sha(sha2::Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            unreachable!("the digest is taken from the hasher itself")
        }
    }
    let mut sha = Sha(sha2::Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    sha.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
