//! What the platform itself costs: a fresh store, an instance, one call, and the end of both, with nothing of ours around it.
//!
//! The raw limit beside which the bench shows what a run costs here. Same engine settings, same component, same call; the host
//! functions are traps, because the measured task calls none.

use std::time::{Duration, Instant};

use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};

use super::bindings::{task, types};
use super::engine;
use crate::model::Invalid;
use crate::model::limits::Limits;

/// As many bytes as make idle places of the pool keep all that they may.
const GUEST_MEMORY: u64 = 4 << 30;

/// A component compiled for measuring.
pub struct Bare {
    engine: Engine,
    component: InstancePre<StoreLimits>,
    handle: ComponentExportIndex,
}

impl Bare {
    /// Compiles the component.
    pub fn new(wasm: &[u8]) -> Result<Self, Invalid> {
        let build = || -> wasmtime::Result<Self> {
            let engine = engine::pooled(&Limits::default(), 16, GUEST_MEMORY)?;
            let component = Component::new(&engine, wasm)?;
            let mut linker = Linker::new(&engine);
            linker.define_unknown_imports_as_traps(&component)?;
            let missing = || wasmtime::format_err!("it exports no task");
            let exports = component.get_export_index(None, "runlater:scheduler/task@0.1.0").ok_or_else(missing)?;
            let handle = component.get_export_index(Some(&exports), "handle").ok_or_else(missing)?;
            Ok(Self { component: linker.instantiate_pre(&component)?, engine, handle })
        };
        build().map_err(|error| Invalid::new("invalid-component", "component", format!("{error:#}")))
    }

    /// The time that one call takes, when each of `threads` makes `calls` of them: wall time over all calls.
    pub fn measure(&self, task: &str, input: &[u8], threads: usize, calls: usize) -> Duration {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..calls {
                        futures_util::FutureExt::now_or_never(self.call(task, input)).expect("the task does not wait");
                    }
                });
            }
        });
        start.elapsed() / (threads * calls) as u32
    }

    async fn call(&self, task: &str, input: &[u8]) {
        let limits = StoreLimitsBuilder::new().memory_size(Limits::default().memory_bytes).build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        store.set_epoch_deadline(u64::MAX / 2);
        let input = types::Payload { media_type: "application/json".into(), bytes: input.to_vec() };
        let instance = self.component.instantiate_async(&mut store).await.expect("it was compiled for this engine");
        type Ended = (Result<task::Outcome, task::Failure>,);
        let handle = instance.get_typed_func::<(&str, &types::Payload), Ended>(&mut store, &self.handle);
        let (ended,) = handle.expect("it is a task").call_async(&mut store, (task, &input)).await.expect("it does not trap");
        assert!(ended.is_ok(), "the measured task fails: {ended:?}");
    }
}
