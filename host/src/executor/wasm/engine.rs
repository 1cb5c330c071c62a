//! The wasmtime engine: which features guests may use, how instances are allocated, and the epochs that make guests yield.
//!
//! Called once at start, and by the process that compiles. Knows nothing of attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::model::limits::Limits;

/// How often a computing guest lets others on its thread have their turn, and its own end be noticed. A tick costs up to 25 µs.
const EPOCH: Duration = Duration::from_millis(2);
/// Epochs without an attempt after which the ticker sleeps. Waking it costs a system call, so it stays up between attempts that
/// follow each other closely.
const IDLE_EPOCHS: u32 = 250;
/// Room for the guest's stack and for what host functions use below it.
const ASYNC_STACK_BYTES: usize = 2 << 20;
/// Memory of a place in the pool that is cleared in place, and so stays resident while no attempt has it, instead of being given back to the system.
/// All places together keep at most a part of what guests may have: one in so many.
const KEPT_PART: u64 = 8;
const MEMORY_KEPT_MAX: u64 = 2 << 20;
const TABLE_KEPT: usize = 16 << 10;
/// Memories and tables of the pool for each attempt that may be in flight. What a component from one language's toolchain has is one memory and two or
/// three tables. Composed ones have more, and wait until there are as many.
const MEMORIES_PER_ATTEMPT: u32 = 2;
const TABLES_PER_ATTEMPT: u32 = 4;
/// Slots given back at a time where they can't be cleared in place.
const DECOMMIT_BATCH: usize = 16;
/// Frames of a trap's backtrace that are kept.
pub(super) const FRAMES_MAX: usize = 20;

/// How many memories and tables the pool has for this many attempts: at least as many as one attempt may have.
pub(super) fn places(limits: &Limits, attempts: u32) -> (u32, u32) {
    let at_least = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let memories = attempts.saturating_mul(MEMORIES_PER_ATTEMPT).max(at_least(limits.memories));
    (memories, attempts.saturating_mul(TABLES_PER_ATTEMPT).max(at_least(limits.tables)))
}

/// Bytes that one memory of the pool keeps resident while no attempt has it.
fn memory_kept(guest_memory: u64, memories: u32) -> usize {
    (guest_memory / KEPT_PART / u64::from(memories.max(1))).min(MEMORY_KEPT_MAX) as usize
}

/// The engine that executes: `attempts` instances at once from a pool. Guests may have `guest_memory` bytes in all.
pub(super) fn pooled(limits: &Limits, attempts: u32, guest_memory: u64) -> wasmtime::Result<Engine> {
    let (memories, tables) = places(limits, attempts);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(attempts)
        .total_stacks(attempts)
        .total_memories(memories)
        .total_tables(tables)
        // Only counted, not reserved.
        .total_core_instances(attempts.saturating_mul(u32::try_from(limits.instances).unwrap_or(u32::MAX)))
        .total_gc_heaps(0)
        .max_core_instances_per_component(u32::try_from(limits.instances).unwrap_or(u32::MAX))
        .max_memories_per_component(u32::try_from(limits.memories).unwrap_or(u32::MAX))
        .max_memories_per_module(u32::try_from(limits.memories).unwrap_or(u32::MAX))
        .max_tables_per_component(u32::try_from(limits.tables).unwrap_or(u32::MAX))
        .max_tables_per_module(u32::try_from(limits.tables).unwrap_or(u32::MAX))
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(memory_kept(guest_memory, memories)).table_keep_resident(TABLE_KEPT);
    } else {
        // Without the scan, keeping memory resident means to clear all of it each time, which is slower than giving it back.
        tracing::warn!(
            "this kernel can't tell which pages a guest touched (PAGEMAP_SCAN: Linux 6.7 or later and a readable /proc/self/pagemap): \
             each attempt costs about twice the overhead"
        );
        pool.decommit_batch_size(DECOMMIT_BATCH);
    }
    let mut config = base(limits);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// The engine that only compiles, for a process that may reserve no address space. What it makes runs in [`pooled`].
pub(super) fn compiling(limits: &Limits) -> wasmtime::Result<Engine> {
    let mut config = base(limits);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

/// What decides the compiled code: equal for both engines.
fn base(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .async_stack_size(ASYNC_STACK_BYTES.max(limits.stack_bytes * 2))
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(FRAMES_MAX))
        // The debug information of a guest is not read, whatever the environment says.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .memory_init_cow(true)
        .cranelift_opt_level(OptLevel::Speed);
    // Everything that Rust, C, JavaScript and Python guests do without is off: it is attack surface.
    // `precheck::features` says the same to the validator that words the refusal.
    config
        .gc_support(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_threads(false)
        .wasm_shared_everything_threads(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_stack_switching(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        // With it goes the component model's async, and what builds on that.
        .concurrency_support(false);
    config
}

/// Advances the engine's epoch while attempts are in flight, and sleeps while there are none: an idle host costs nothing.
pub(super) struct EpochTicker {
    shared: Arc<Ticking>,
    thread: Thread,
}

#[derive(Default)]
struct Ticking {
    in_flight: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl EpochTicker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Ticking::default());
        let (ticking, engine) = (Arc::clone(&shared), engine.clone());
        let thread = std::thread::Builder::new().name("epochs".into()).spawn(move || tick(&ticking, &engine))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// Epochs advance for as long as the guard lives.
    pub(super) fn attempt(&self) -> InFlight<'_> {
        // Both sides write their own flag before they read the other's, in one total order: one of them sees the other.
        self.shared.in_flight.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        InFlight(&self.shared)
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// An attempt that needs epochs.
pub(super) struct InFlight<'a>(&'a Ticking);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(ticking: &Ticking, engine: &Engine) {
    let mut idle = 0;
    while !ticking.ended.load(Ordering::SeqCst) {
        if ticking.in_flight.load(Ordering::SeqCst) > 0 {
            idle = 0;
        } else {
            idle += 1;
        }
        if idle >= IDLE_EPOCHS {
            ticking.asleep.store(true, Ordering::SeqCst);
            if ticking.in_flight.load(Ordering::SeqCst) == 0 && !ticking.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            ticking.asleep.store(false, Ordering::SeqCst);
        } else {
            std::thread::sleep(EPOCH);
            engine.increment_epoch();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_agree_on_compiled_code() {
        use super::super::component_cache::engine_hash;
        let limits = Limits::default();
        assert_eq!(engine_hash(&pooled(&limits, 2, 1 << 30).unwrap()), engine_hash(&compiling(&limits).unwrap()));
    }

    #[test]
    fn what_idle_places_keep_is_a_part_of_what_guests_may_have() {
        let (memories, tables) = places(&Limits::default(), 1_028);
        assert_eq!((memories, tables), (2_056, 4_112));
        for guest_memory in [128 << 20, 1 << 30, 12 << 30, 1 << 40] {
            let kept = memory_kept(guest_memory, memories) as u64;
            assert!(kept * u64::from(memories) <= guest_memory / 8 && kept <= 2 << 20, "{kept}");
        }
        assert_eq!(places(&Limits::default(), 1), (8, 64), "one attempt may have as many");
    }

    #[test]
    fn an_idle_ticker_sleeps_and_wakes() {
        let engine = compiling(&Limits::default()).unwrap();
        let ticker = EpochTicker::start(&engine).unwrap();
        let asleep = || ticker.shared.asleep.load(Ordering::SeqCst);
        let wait_until = |what: &dyn Fn() -> bool| {
            (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                what()
            })
        };
        assert!(wait_until(&asleep), "asleep while nothing is in flight");
        let attempt = ticker.attempt();
        assert!(wait_until(&|| !asleep()), "awake for an attempt");
        drop(attempt);
        assert!(wait_until(&asleep), "asleep again");
    }
}
