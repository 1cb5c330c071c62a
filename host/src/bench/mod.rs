//! Measures this host, and beside each figure the raw limit of the machine in the same run.
//!
//! Called by `runlater bench`. Knows the façade and the HTTP door, and for the raw limits wasmtime and SQLite through modules that do nothing else; nothing
//! depends on it. Absolute figures differ from machine to machine and from hour to hour: what can be compared is a ratio.

mod bulk;
mod create;
mod crons;
mod figure;
mod growth;
mod http;
mod lateness;
mod memory;
mod neighbours;
mod overhead;
mod sqlite;
mod throughput;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::wasm::{Bare, Compiler};
use crate::model::{Payload, Timestamp};
use crate::scheduler::{Error, Schedule, Scheduler, SchedulerBuilder};

pub use figure::{Figure, Report};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Repeats of each measurement that can be repeated cheaply.
    pub repeats: usize,
    /// Calls of a bare instance, and of an executed attempt.
    pub calls: usize,
    /// Runs drained, and sent through from end to end.
    pub runs: usize,
    /// Runs that lie in the future while others are measured.
    pub stored: usize,
    /// Fewer of them, and more, between which growth is measured.
    pub few: usize,
    /// More of them.
    pub many: usize,
    /// Seconds of the lateness measurement, at 1,000 runs a second.
    pub lateness_seconds: usize,
    /// Repeats of that.
    pub lateness_repeats: usize,
    /// Runs created one by one.
    pub creates: usize,
    /// Runs moved and deleted by filter.
    pub bulk: usize,
    /// Crons that others are measured beside, and that fire at once.
    pub crons: usize,
    /// Tasks registered, and guests waiting, when memory is read.
    pub crowd: usize,
}

impl Plan {
    /// About six minutes.
    pub fn full() -> Self {
        Self {
            repeats: 5,
            calls: 20_000,
            runs: 100_000,
            stored: 1_000_000,
            few: 10_000,
            many: 10_000_000,
            lateness_seconds: 10,
            lateness_repeats: 3,
            creates: 2_000,
            bulk: 100_000,
            crons: 10_000,
            crowd: 1_000,
        }
    }

    /// About 30 seconds, with smaller numbers.
    pub fn quick() -> Self {
        Self {
            repeats: 2,
            calls: 5_000,
            runs: 8_000,
            stored: 50_000,
            few: 10_000,
            many: 100_000,
            lateness_seconds: 1,
            lateness_repeats: 1,
            creates: 500,
            bulk: 10_000,
            crons: 10_000,
            crowd: 100,
        }
    }
}

/// What is measured, and where.
#[derive(Clone, Debug)]
pub struct Subject {
    /// A component with the tasks `touch` (returns its input), `clock` (returns the time at which it was entered, in microseconds), `sleep`
    /// (`{"ms": n}`) and `spin` (computes without end).
    pub wasm: Arc<[u8]>,
    /// Where components are compiled while others run.
    pub compiler: Compiler,
    /// Where databases are made, and removed.
    pub folder: PathBuf,
}

/// What the measurements share.
pub(crate) struct Bench<'a> {
    plan: &'a Plan,
    subject: &'a Subject,
    report: Report,
}

/// A part of the measurements that can be made alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the process takes of the memory.
    Memory,
    /// An attempt, beside a bare instance.
    Overhead,
    /// Bare SQLite.
    Sqlite,
    /// Runs a second, with and without policies.
    Throughput,
    /// Runs created a second.
    Creates,
    /// The same over HTTP.
    Http,
    /// A quick task beside others that take all they can get.
    Neighbours,
    /// Lateness, lists, bulk changes and crons among many stored runs.
    Stored,
    /// Runs a second among ten million stored runs, beside among ten thousand.
    Growth,
}

impl Part {
    /// All of them, in the order in which they are measured: memory first, while the process is fresh, since the allocator does not give
    /// back what the others needed.
    pub const ALL: [Self; 9] = [
        Self::Memory,
        Self::Overhead,
        Self::Sqlite,
        Self::Throughput,
        Self::Creates,
        Self::Http,
        Self::Neighbours,
        Self::Stored,
        Self::Growth,
    ];

    /// Whether it is measured without being asked for: growth is not, because it stores several gigabytes.
    pub fn is_usual(self) -> bool {
        self != Self::Growth
    }

    /// The word for it on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Overhead => "overhead",
            Self::Sqlite => "sqlite",
            Self::Throughput => "throughput",
            Self::Creates => "creates",
            Self::Http => "http",
            Self::Neighbours => "neighbours",
            Self::Stored => "stored",
            Self::Growth => "growth",
        }
    }

    async fn measure(self, bench: &mut Bench<'_>) -> Result<(), Error> {
        match self {
            Self::Memory => memory::measure(bench).await,
            Self::Overhead => overhead::measure(bench).await,
            Self::Sqlite => sqlite::measure(bench),
            Self::Throughput => throughput::measure(bench).await,
            Self::Creates => create::measure(bench).await,
            Self::Http => http::measure(bench).await,
            Self::Neighbours => neighbours::measure(bench).await,
            Self::Stored => lateness::measure(bench).await,
            Self::Growth => growth::measure(bench).await,
        }
    }
}

/// Measures these parts. `say` is told what is being done.
pub async fn run(plan: &Plan, parts: &[Part], subject: &Subject, say: &dyn Fn(&str)) -> Result<Report, Error> {
    let mut bench = Bench { plan, subject, report: Report::default() };
    for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
        say(part.as_str());
        part.measure(&mut bench).await?;
    }
    Ok(bench.report)
}

impl Bench<'_> {
    fn database(&self, name: &str) -> PathBuf {
        self.subject.folder.join(format!("{name}.db"))
    }

    /// A scheduler on a fresh database, with the measured component registered.
    async fn scheduler(&self, name: &str, threads: usize) -> Result<Scheduler, Error> {
        self.scheduler_with(name, threads, |builder| builder).await
    }

    /// The same, with more said to the builder.
    async fn scheduler_with(
        &self,
        name: &str,
        threads: usize,
        build: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder,
    ) -> Result<Scheduler, Error> {
        let path = self.database(name);
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut file = path.clone().into_os_string();
            file.push(suffix);
            drop(std::fs::remove_file(file));
        }
        let scheduler = build(Scheduler::builder().sqlite(&path).threads(threads).live_runs(u64::MAX)).build().await?;
        scheduler.register(self.subject.wasm.clone()).send().await?;
        Ok(scheduler)
    }
}

/// The input that is measured with: 100 bytes.
fn input() -> Payload {
    let text = format!("{{\"op\":\"noop\",\"payload\":\"{}\"}}", "x".repeat(74));
    Payload::json(text.as_bytes(), "input").expect("it is JSON")
}

/// Runs of `touch` at these times.
fn touches<'a>(scheduler: &'a Scheduler, times: impl Iterator<Item = Timestamp>) -> Vec<Schedule<'a>> {
    times.map(|at| scheduler.schedule("touch").at(at).payload(input())).collect()
}

/// Stores `count` runs from `first` on, a millisecond apart, many at once.
async fn fill(scheduler: &Scheduler, count: usize, first: Timestamp, metadata: Option<(&str, &str)>) -> Result<(), Error> {
    use futures_util::stream::{StreamExt, TryStreamExt};
    const PORTION: usize = 500;
    let portions = (0..count.div_ceil(PORTION)).map(|portion| {
        let range = portion * PORTION..count.min((portion + 1) * PORTION);
        let times = range.map(move |i| first.saturating_add(Duration::from_millis(i as u64)));
        let mut runs = touches(scheduler, times);
        if let Some((key, value)) = metadata {
            runs = runs.into_iter().map(|run| run.metadata(key, value)).collect();
        }
        async move { scheduler.schedule_all(runs).await.map(drop) }
    });
    futures_util::stream::iter(portions).buffer_unordered(8).try_collect::<()>().await
}

/// Waits until nothing is due and nothing is in flight.
async fn drained(scheduler: &Scheduler) {
    loop {
        let health = scheduler.health();
        if health.armed == 0 && health.parked == 0 && health.running == 0 && health.queued_writes == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
