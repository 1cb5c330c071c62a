//! Resident memory: of an idle host, with many tasks registered, and with many guests waiting.

use std::time::Duration;

use super::Bench;
use crate::scheduler::{Error, Scheduler};

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let path = bench.database("memory");
    let scheduler = Scheduler::builder().sqlite(&path).threads(2).build().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    bench.report.add("rss_mib.idle", "resident memory of this process with an idle host, MiB", resident_mib().await);

    scheduler.register(bench.subject.wasm.clone()).send().await?;
    let ids = (0..bench.plan.crowd).map(|_| scheduler.schedule("sleep").input(&serde_json::json!({ "ms": bench.plan.crowd * 3 })));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    for portion in split(ids, 250) {
        scheduler.schedule_all(portion).await?;
    }
    let waiting = bench.plan.crowd;
    while scheduler.health().running < waiting {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.report.add("rss_mib.waiting_1000", "the same with guests that wait (1,000; with --quick 100), MiB", resident_mib().await);
    super::drained(&scheduler).await;

    for number in 0..bench.plan.crowd {
        let tasks = scheduler.in_namespace(&format!("crowd-{number}")).await?;
        tasks.register(bench.subject.wasm.clone()).send().await?;
    }
    bench.report.add(
        "rss_mib.tasks_1000",
        "the same with the component registered in 1,000 namespaces (with --quick 100), MiB",
        resident_mib().await,
    );
    scheduler.shutdown(Duration::from_secs(5)).await
}

fn split<T>(mut all: Vec<T>, size: usize) -> Vec<Vec<T>> {
    let mut portions = Vec::new();
    while !all.is_empty() {
        let rest = all.split_off(size.min(all.len()));
        portions.push(std::mem::replace(&mut all, rest));
    }
    portions
}

/// `VmRSS` of this process, a few times; not a number where the system does not tell.
async fn resident_mib() -> Vec<f64> {
    let mut measured = Vec::new();
    for _ in 0..5 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        measured.push(kib.map_or(f64::NAN, |kib| kib / 1024.0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    measured
}
