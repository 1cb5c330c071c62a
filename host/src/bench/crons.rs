//! What crons cost: how late runs start with ten thousand of them stored, and how fast their occurrences become runs.

use std::time::{Duration, Instant};

use futures_util::stream::{StreamExt, TryStreamExt};

use super::Bench;
use super::lateness::{RATE, collect, late};
use crate::Timestamp;
use crate::scheduler::{Error, Scheduler};

/// Changes under way at once: what the writer commits together.
const CALLERS: usize = 512;
const HOUR: Duration = Duration::from_secs(3600);

/// Beside the many stored runs of `scheduler`: hourly crons, of which three fire each second.
pub(super) async fn measure(bench: &mut Bench<'_>, scheduler: &Scheduler) -> Result<(), Error> {
    let first = scheduler.now().saturating_add(Duration::from_secs(5));
    let crons = bench.plan.crons;
    create(scheduler, crons, |index| first.saturating_add(HOUR / crons as u32 * index as u32)).await?;
    let mut lateness = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..bench.plan.lateness_repeats {
        let count = RATE * bench.plan.lateness_seconds;
        collect(&mut lateness, late(scheduler, count, Duration::from_micros(1_000_000 / RATE as u64)).await?);
    }
    let [p50, p99, _] = lateness;
    bench.report.add("crons_10k.lateness_us.p50", "lateness at 1,000 runs/s beside 10,000 crons, of which 3 fire each second, µs", p50);
    bench.report.add("crons_10k.lateness_us.p99", "the same, the latest 1 in 100", p99);
    let names = (0..crons).map(|index| async move { scheduler.delete_cron(&name(index)).await });
    futures_util::stream::iter(names).buffer_unordered(CALLERS).try_collect::<()>().await?;

    let made = occurrences(bench).await?;
    bench.report.add(
        "crons_10k.made_ms",
        "10,000 occurrences of one moment made into runs and armed, from the start of the host, ms",
        vec![made],
    );
    Ok(())
}

/// Milliseconds from the start of a host until the runs of crons that fire all at once are made.
async fn occurrences(bench: &Bench<'_>) -> Result<f64, Error> {
    drop(bench.scheduler("crons", 1).await?.shutdown(Duration::ZERO).await);
    // While no host executes, no occurrence becomes a run.
    let paused = Scheduler::builder().sqlite(bench.database("crons")).paused().build().await?;
    let moment = paused.now().saturating_add(Duration::from_secs(28));
    create(&paused, bench.plan.crons, |_| moment).await?;
    paused.shutdown(Duration::ZERO).await?;
    drop(paused);
    let start = Instant::now();
    let scheduler = Scheduler::builder().sqlite(bench.database("crons")).threads(2).build().await?;
    while scheduler.health().armed < bench.plan.crons {
        if scheduler.now() >= moment {
            return Err(Error::Start(format!("{} occurrences were not made into runs before their time", bench.plan.crons)));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    scheduler.shutdown(Duration::ZERO).await?;
    Ok(took.as_secs_f64() * 1_000.0)
}

/// Hourly crons, each from a moment of its own on.
async fn create(scheduler: &Scheduler, count: usize, start: impl Fn(usize) -> Timestamp) -> Result<(), Error> {
    let crons = (0..count).map(|index| {
        let cron = scheduler.cron(&name(index), "touch").expression("@every 1h").start(start(index)).payload(super::input());
        async move { cron.create().await.map(drop) }
    });
    futures_util::stream::iter(crons).buffer_unordered(CALLERS).try_collect().await
}

fn name(index: usize) -> String {
    format!("bench-{index}")
}
