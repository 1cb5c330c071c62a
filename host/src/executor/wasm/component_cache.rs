//! Components that are ready to be instantiated, by digest.
//!
//! Called by every attempt, where it costs a lookup; by registration, which fills it. What is not in memory is loaded from disk, and what
//! is not there is compiled: once, however many attempts ask at the same time.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use sha2::Digest as _;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::executor::ComponentSource;
use crate::model::limits::Limits;
use crate::model::{Digest, Grants, Invalid};

use super::attempt::AttemptState;
use super::bindings::TasksPre;
use super::capacity::Need;
use super::code_dir::{CodeDir, EXTENSION};
use super::compile::{Compiler, compile};
use super::imports::LinkSet;
use super::limiter::ELEMENT_BYTES;
use super::uploads::Place;

/// Stack of the thread that compiles: Cranelift recurses.
const COMPILE_STACK_BYTES: usize = 16 << 20;
/// Bytes of a page of wasm memory.
const PAGE_BYTES: u64 = 64 << 10;

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
pub(super) struct Upload {
    pub(super) wasm: Arc<[u8]>,
    /// Held until it is compiled, though whoever sent it may have gone away.
    pub(super) place: Arc<Place>,
}

/// A component that somebody loads, for all who wait for it.
type Loading = Arc<tokio::sync::OnceCell<Arc<Loaded>>>;

/// The cache.
pub(super) struct ComponentCache {
    shared: Arc<Shared>,
    loaded: RwLock<FxHashMap<Digest, Arc<Loaded>>>,
    /// What is being loaded, and whether for an upload: an attempt must not wait for the turn of one.
    loading: Mutex<FxHashMap<(Digest, bool), Loading>>,
    loads: AtomicU64,
    code_bytes_max: usize,
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
    /// Held while compiling: one at a time of what attempts wait for, and one of what somebody sends, which may take a minute each.
    compiling: Mutex<()>,
    compiling_upload: Mutex<()>,
}

impl ComponentCache {
    pub(super) fn new(
        engine: Engine,
        linkers: Vec<Linker<AttemptState>>,
        source: Arc<dyn ComponentSource>,
        compiler: Compiler,
        limits: Limits,
        dir: Option<(&Path, [u8; 32])>,
        code_bytes_max: usize,
    ) -> std::io::Result<Self> {
        let dir = dir.map(|(path, key)| CodeDir::open(path, key)).transpose()?;
        let engine_hash = engine_hash(&engine);
        let shared = Shared {
            engine,
            engine_hash,
            linkers,
            source,
            compiler,
            limits,
            dir,
            compiling: Mutex::new(()),
            compiling_upload: Mutex::new(()),
        };
        Ok(Self {
            shared: Arc::new(shared),
            loaded: RwLock::default(),
            loading: Mutex::default(),
            loads: AtomicU64::new(0),
            code_bytes_max,
        })
    }

    /// The component if it is in memory.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let found = loaded.get(digest)?;
        found.used.store(self.loads.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(found))
    }

    /// The component, from wherever it is; `upload` if it may be new.
    pub(super) async fn load(&self, digest: Digest, upload: Option<Upload>) -> Result<Arc<Loaded>, Invalid> {
        if let Some(loaded) = self.get(&digest) {
            return Ok(loaded);
        }
        let key = (digest, upload.is_some());
        let cell = Arc::clone(self.loading.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let loaded = cell.get_or_try_init(|| self.load_on_a_thread(digest, upload)).await.cloned();
        if let Ok(loaded) = &loaded {
            self.keep(digest, Arc::clone(loaded));
        }
        // Only when it is in `loaded`, or nobody will have it: otherwise a late caller would load it again.
        self.loading.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        loaded
    }

    async fn load_on_a_thread(&self, digest: Digest, upload: Option<Upload>) -> Result<Arc<Loaded>, Invalid> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let failed = |what: String| Invalid::new("compile-failed", "component", what);
        std::thread::Builder::new()
            .name("compile".into())
            .stack_size(COMPILE_STACK_BYTES)
            .spawn(move || {
                let (wasm, place) = upload.map(|upload| (upload.wasm, upload.place)).unzip();
                let done = shared.load(digest, wasm);
                drop(place);
                drop(send.send(done));
            })
            .map_err(|error| failed(format!("the host could not start a thread: {error}")))?;
        receive.await.map_err(|_| failed("the compiler panicked; it was reported to the host's log".into()))?.map(Arc::new)
    }

    fn keep(&self, digest: Digest, loaded: Arc<Loaded>) {
        let now = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        loaded.used.store(now, Ordering::Relaxed);
        let mut all = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(digest, loaded);
        while all.len() > 1 && all.values().map(|loaded| loaded.code_bytes).sum::<usize>() > self.code_bytes_max {
            let oldest = all.iter().filter(|(each, _)| **each != digest).min_by_key(|(_, loaded)| loaded.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else { break };
            // Attempts in flight hold on to it for as long as they need it.
            all.remove(&oldest);
        }
    }
}

impl Shared {
    fn load(&self, digest: Digest, wasm: Option<Arc<[u8]>>) -> Result<Loaded, Invalid> {
        let name = format!("{digest}-{}{EXTENSION}", self.engine_hash);
        if let Some(loaded) = self.load_from_disk(&name) {
            return Ok(loaded);
        }
        let kind = if wasm.is_some() { &self.compiling_upload } else { &self.compiling };
        let _one_at_a_time = kind.lock().unwrap_or_else(PoisonError::into_inner);
        let wasm = match wasm {
            Some(wasm) => wasm,
            None => self.source.load(&digest).map_err(|why| Invalid::new("component-missing", "component", why))?,
        };
        if Digest::of(&wasm) != digest {
            return Err(Invalid::new("component-changed", "component", format!("the stored bytes are not those of {digest}")));
        }
        let code = compile(&self.compiler, &self.engine, &wasm)?;
        let loaded = self.loaded(&code).map_err(|error| Invalid::new("invalid-component", "component", format!("{error:#}")))?;
        if let Some(dir) = &self.dir
            && let Err(error) = dir.write(&name, &code)
        {
            tracing::warn!(%error, "compiled code can't be kept on disk; it is compiled again after the next start");
        }
        Ok(loaded)
    }

    fn load_from_disk(&self, name: &str) -> Option<Loaded> {
        let code = self.dir.as_ref()?.read(name)?;
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
