//! What an attempt costs beside the bare work of wasmtime: instantiate, call, drop.
//!
//! `cargo run --release --example attempt_overhead -- TASK.wasm [ATTEMPTS]` prints microseconds for each, on one thread and on two,
//! taken in turns so that both see the same machine. The task is given the JSON `0`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use runlater::clock::SystemClock;
use runlater::executor::wasm::{WasmConfig, WasmExecutor};
use runlater::executor::{AttemptRequest, CallError, ComponentSource, Executor, HostCalls, ScheduleRequest};
use runlater::model::*;
use runlater::storage::CancelSignal;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "tasks", exports: { default: async } });
}
use bindings::exports::runlater::scheduler::task;
use bindings::runlater::scheduler::types;

const ROUNDS: usize = 7;

fn main() {
    let mut args = std::env::args().skip(1);
    let wasm: Arc<[u8]> = std::fs::read(args.next().expect("a component")).expect("a readable file").into();
    let attempts: u32 = args.next().map_or(20_000, |count| count.parse().expect("a number"));
    let bare = Bare::new(&wasm);
    let executor = WasmExecutor::new(WasmConfig::default(), Arc::new(SystemClock::new()), Arc::new(One(Arc::clone(&wasm)))).unwrap();
    let grants: Grants = [Grant::Runs].into_iter().collect();
    let task = block_on(executor.inspect(Arc::clone(&wasm), &grants)).expect("a sound component").remove(0);
    let task = Arc::new(Task {
        id: TaskId(1),
        namespace: NamespaceId(1),
        name: task.name,
        digest: Digest::of(&wasm),
        grants,
        description: None,
        input_schema: None,
        policy: TaskPolicy::default(),
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
    });
    for threads in [1, 2] {
        let (mut all_bare, mut all_host) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            all_bare.push(micros(threads, attempts, || block_on(bare.attempt(task.name.as_str()))));
            all_host.push(micros(threads, attempts, || block_on(host(&executor, &task))));
        }
        let (bare, host) = (median(all_bare), median(all_host));
        println!("{threads} thread(s): bare {bare:.2} us, attempt {host:.2} us, ratio {:.3}", host / bare);
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    thread_local!(static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Wall-clock microseconds for each of `attempts` on each of `threads`.
fn micros(threads: u32, attempts: u32, attempt: impl Fn() + Sync) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..attempts).for_each(|_| attempt()));
        }
    });
    started.elapsed().as_secs_f64() * 1e6 / f64::from(attempts * threads)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

async fn host(executor: &WasmExecutor, task: &Arc<Task>) {
    let report = executor
        .execute(AttemptRequest {
            task: Arc::clone(task),
            run: RunId::from_key(1, 1),
            attempt: 1,
            input: Payload::from_stored(None, b"0"),
            metadata: Arc::default(),
            origin: Origin::Api,
            parent: None,
            trigger_at: Timestamp::MIN,
            timeout: Duration::from_secs(60),
            cancel: CancelSignal::default(),
            shut_down: CancelSignal::default(),
            calls: Box::new(Nothing),
        })
        .await;
    assert!(matches!(report.outcome, Outcome::Done(_)), "{:?}", report.outcome);
}

/// wasmtime by itself, on the same pool: no limits, no WASI, no clock.
struct Bare {
    engine: Engine,
    component: InstancePre<()>,
    handle: ComponentExportIndex,
}

impl Bare {
    fn new(wasm: &[u8]) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(2 << 20).table_keep_resident(64 << 10);
        pool.max_memory_size(128 << 20).total_tables(4_000);
        let mut config = Config::new();
        config.epoch_interruption(true).concurrency_support(false).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, wasm).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let interface = component.get_export_index(None, "runlater:scheduler/task@0.1.0").expect("a component of tasks");
        let handle = component.get_export_index(Some(&interface), "handle").expect("a component of tasks");
        Self { component: linker.instantiate_pre(&component).unwrap(), engine, handle }
    }

    async fn attempt(&self, task: &str) {
        type Handled = Result<task::Outcome, task::Failure>;
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(1_000_000);
        let input = types::Payload { media_type: "application/json".into(), bytes: b"0".to_vec() };
        let instance = self.component.instantiate_async(&mut store).await.unwrap();
        let handle = instance.get_typed_func::<(&str, &types::Payload), (Handled,)>(&mut store, self.handle).unwrap();
        handle.call_async(&mut store, (task, &input)).await.unwrap().0.unwrap();
    }
}

struct One(Arc<[u8]>);

impl ComponentSource for One {
    fn load(&self, _digest: &Digest) -> Result<Arc<[u8]>, String> {
        Ok(Arc::clone(&self.0))
    }
}

struct Nothing;

#[async_trait]
impl HostCalls for Nothing {
    fn schedule(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(CallError::Unavailable)
    }
    async fn schedule_detached(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(CallError::Unavailable)
    }
    fn get(&mut self, _run: RunId) -> Result<Run, CallError> {
        Err(CallError::Unavailable)
    }
    fn list(&mut self, _filter: &RunFilter, _page: &Page) -> Result<(Vec<Run>, Option<Cursor>), CallError> {
        Err(CallError::Unavailable)
    }
    fn reschedule(&mut self, _run: RunId, _due: Due) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }
    fn delete(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }
    fn cancel(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }
    fn changeable(&mut self, _filter: &RunFilter) -> Result<Vec<RunId>, CallError> {
        Err(CallError::Unavailable)
    }
    fn progress(&mut self, _progress: Progress) {}
    fn take_writes(&mut self) -> WriteSet {
        WriteSet::default()
    }
}
