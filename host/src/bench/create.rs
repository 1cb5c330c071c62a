//! Durable creates a second: one caller after the other, and 64 at once.

use std::time::{Duration, Instant};

use futures_util::stream::{StreamExt, TryStreamExt};

use super::{Bench, input};
use crate::scheduler::{Error, Scheduler};

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let scheduler = bench.scheduler("create", 1).await?;
    for (callers, key) in [(1, "create_per_s.1"), (64, "create_per_s.64")] {
        let count = bench.plan.creates * if callers == 1 { 1 } else { 10 };
        let mut measured = Vec::new();
        for _ in 0..bench.plan.repeats {
            measured.push(creates(&scheduler, callers, count).await?);
        }
        bench.report.add(key, "durable creates, one run each, by so many concurrent callers, runs/s", measured);
    }
    scheduler.shutdown(Duration::from_secs(5)).await
}

async fn creates(scheduler: &Scheduler, callers: usize, count: usize) -> Result<f64, Error> {
    let start = Instant::now();
    let one = |_| async {
        let run = scheduler.schedule("touch").after(Duration::from_secs(86_400)).payload(input());
        run.send().await.map(drop)
    };
    futures_util::stream::iter((0..count).map(one)).buffer_unordered(callers).try_collect::<()>().await?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
