//! Whether a run costs the same among many stored runs as among few.

use super::{Bench, fill, throughput};
use crate::scheduler::Error;
use std::time::Duration;

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let few = life_cycles(bench, bench.plan.few).await?;
    let many = life_cycles(bench, bench.plan.many).await?;
    bench.report.add("growth.few_runs_per_s", "create → outcome with 10,000 runs stored, runs/s", few);
    bench.report.add("growth.many_runs_per_s", "the same with 10,000,000 (with --quick 100,000), runs/s", many);
    bench.report.add_ratio("growth.ratio", "the second ÷ the first", "growth.many_runs_per_s", "growth.few_runs_per_s");
    Ok(())
}

/// Runs a second from create to durable outcome, beside so many that lie in the future.
async fn life_cycles(bench: &Bench<'_>, stored: usize) -> Result<Vec<f64>, Error> {
    let scheduler = bench.scheduler("growth", 2).await?;
    let tomorrow = scheduler.now().saturating_add(Duration::from_secs(86_400));
    fill(&scheduler, stored, tomorrow, None).await?;
    let mut measured = Vec::new();
    for _ in 0..bench.plan.repeats {
        measured.push(throughput::through(&scheduler, bench.plan.runs).await?);
    }
    throughput::check(&scheduler, bench.plan.runs * bench.plan.repeats).await?;
    scheduler.shutdown(Duration::from_secs(5)).await?;
    Ok(measured)
}
