//! What a quick task notices of others that take all they can get: eight that compute without end, a compiler at work, and a namespace whose sleepers
//! hold all the slots, or all the memory, that it may have. And what it notices of cores that are merely busy, with nothing of ours on them: less than
//! that no host can reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::overhead::only;
use super::{Bench, input};
use crate::executor::wasm::{WasmConfig, WasmExecutor};
use crate::executor::{Executor, Inspection};
use crate::model::{Digest, Grants, NamespaceId, Payload};
use crate::scheduler::{Error, Scheduler, SchedulerBuilder};
use crate::stand_back::stand_back;
use crate::storage::Health;

/// Attempts that compute until they are cancelled.
const ENDLESS: usize = 8;
/// Threads that execute guests, and those that are merely busy.
const THREADS: usize = 2;
/// Runs that are not counted.
const WARM_UP: usize = 50;
/// More sleepers than a namespace may have in flight.
const SLEEPERS: usize = 1_000;
/// Memory of all guests that some sixty sleepers fill.
const LITTLE_MEMORY: u64 = 128 << 20;
/// For longer than is measured.
const TIMEOUT: Duration = Duration::from_secs(600);

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let scheduler = bench.scheduler("neighbours", THREADS).await?;
    let runs = bench.plan.calls / 20;
    let [mut alone, mut busy, mut endless, mut compiling] = [(); 4].map(|()| Measured::default());
    for _ in 0..bench.plan.repeats {
        alone.add(spans(&scheduler, runs).await?);

        let cores = Busy::start();
        busy.add(spans(&scheduler, runs).await?);
        drop(cores);

        let mut neighbours = Vec::new();
        for _ in 0..ENDLESS {
            neighbours.push(scheduler.schedule("spin").timeout(TIMEOUT).max_attempts(1).send().await?);
        }
        while scheduler.health().running < ENDLESS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Until they have shown what they are.
        spans(&scheduler, WARM_UP).await?;
        endless.add(spans(&scheduler, runs).await?);
        for neighbour in &neighbours {
            scheduler.cancel(*neighbour).await?;
        }
        for neighbour in neighbours {
            scheduler.wait(neighbour).await?;
        }

        let mut compiler = JoinSet::new();
        compiler.spawn(compile_without_end(bench)?);
        compiling.add(spans(&scheduler, runs).await?);
        compiler.shutdown().await;
    }
    scheduler.shutdown(Duration::from_secs(5)).await?;
    let sleepers = beside_sleepers(bench, |builder| builder).await?;
    let hoarders = beside_sleepers(bench, |builder| builder.guest_memory(LITTLE_MEMORY)).await?;
    let report = &mut bench.report;
    report.add("neighbour_us.alone.p50", "a run one by one, create → outcome, µs", alone.p50);
    report.add("neighbour_us.alone.p99", "the same, the longest 1 in 100", alone.p99);
    report.add("bare.neighbour_us.busy.p50", "the same beside two bare loops of low priority, which no host is in", busy.p50);
    report.add("bare.neighbour_us.busy.p99", "the same, the longest 1 in 100", busy.p99);
    report.add("neighbour_us.endless.p50", "the same beside eight guests that never end", endless.p50);
    report.add("neighbour_us.endless.p99", "the same, the longest 1 in 100", endless.p99);
    report.add("neighbour_us.compiling.p50", "the same while components are compiled", compiling.p50);
    report.add("neighbour_us.compiling.p99", "the same, the longest 1 in 100", compiling.p99);
    report.add("neighbour_us.sleepers.p50", "the same beside another namespace whose sleepers hold its share of the slots", sleepers.p50);
    report.add("neighbour_us.sleepers.p99", "the same, the longest 1 in 100", sleepers.p99);
    report.add("neighbour_us.memory.p50", "the same beside another namespace that holds its share of the guests' memory", hoarders.p50);
    report.add("neighbour_us.memory.p99", "the same, the longest 1 in 100", hoarders.p99);
    report.add_ratio("neighbour_ratio.endless", "p99 beside endless guests ÷ alone", "neighbour_us.endless.p99", "neighbour_us.alone.p99");
    report.add_ratio("neighbour_ratio.busy", "p99 beside two bare loops ÷ alone", "bare.neighbour_us.busy.p99", "neighbour_us.alone.p99");
    report.add_ratio("neighbour_ratio.compiling", "p99 while compiling ÷ alone", "neighbour_us.compiling.p99", "neighbour_us.alone.p99");
    report.add_ratio("neighbour_ratio.sleepers", "p99 beside sleepers ÷ alone", "neighbour_us.sleepers.p99", "neighbour_us.alone.p99");
    report.add_ratio(
        "neighbour_ratio.memory",
        "p99 beside a namespace that holds memory ÷ alone",
        "neighbour_us.memory.p99",
        "neighbour_us.alone.p99",
    );
    Ok(())
}

/// Measures a quick task while more sleepers of another namespace are due than may start.
async fn beside_sleepers(bench: &Bench<'_>, build: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder) -> Result<Measured, Error> {
    let scheduler = bench.scheduler_with("sleepers", THREADS, build).await?;
    let other = scheduler.in_namespace("sleepers").await?;
    other.register(bench.subject.wasm.clone()).send().await?;
    let nap = Payload::json(format!("{{\"ms\":{}}}", TIMEOUT.as_millis()).as_bytes(), "input").expect("it is JSON");
    let naps = (0..SLEEPERS).map(|_| other.schedule("sleep").payload(nap.clone()).timeout(TIMEOUT)).collect();
    other.schedule_all(naps).await?;
    let waits = |health: Health| health.waiting_for_slots > 0 || health.waiting_for_memory > 0;
    while !waits(scheduler.health()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    spans(&scheduler, WARM_UP).await?;
    let mut measured = Measured::default();
    for _ in 0..bench.plan.repeats {
        measured.add(spans(&scheduler, bench.plan.calls / 20).await?);
    }
    // They would sleep on.
    scheduler.shutdown(Duration::ZERO).await?;
    Ok(measured)
}

/// Threads that loop, until this is dropped.
struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Busy {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let looping = || {
            let over = over.clone();
            std::thread::spawn(move || {
                stand_back();
                while !over.load(Ordering::Relaxed) {}
            })
        };
        Self { threads: (0..THREADS).map(|_| looping()).collect(), over }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("it only loops");
        }
    }
}

/// Of each repeat the median and the longest 1 in 100.
#[derive(Default)]
struct Measured {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Measured {
    fn add(&mut self, mut spans: Vec<f64>) {
        spans.sort_by(f64::total_cmp);
        self.p50.push(spans[spans.len() / 2]);
        self.p99.push(spans[spans.len() * 99 / 100]);
    }
}

/// Microseconds that each of so many runs takes, one after the other.
async fn spans(scheduler: &Scheduler, runs: usize) -> Result<Vec<f64>, Error> {
    let mut spans = Vec::with_capacity(runs);
    for _ in 0..runs {
        let started = Instant::now();
        let run = scheduler.schedule("touch").payload(input()).send().await?;
        scheduler.wait(run).await?;
        spans.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(spans)
}

/// Compiles one component after the other, where `serve` would.
fn compile_without_end(bench: &Bench<'_>) -> Result<impl Future<Output = ()> + Send + 'static, Error> {
    let config = WasmConfig { compiler: bench.subject.compiler.clone(), ..WasmConfig::default() };
    let wasm = bench.subject.wasm.clone();
    let executor = WasmExecutor::new(config, Arc::new(crate::clock::SystemClock::new()), only(wasm.clone()));
    let executor = executor.map_err(|error| Error::Start(error.to_string()))?;
    Ok(async move {
        for number in 0_u32.. {
            // A custom section that nobody reads makes it another component.
            let section = [&[0, 5, 0][..], &number.to_le_bytes()].concat();
            let another: Arc<[u8]> = [&wasm[..], &section].concat().into();
            let inspection = Inspection { namespace: NamespaceId(1), wasm: another.clone(), grants: Grants::none(), deployed: false };
            if let Err(refused) = executor.inspect(inspection).await {
                tracing::error!(digest = %Digest::of(&another), %refused, "the measured component can't be compiled");
                return;
            }
        }
    })
}
