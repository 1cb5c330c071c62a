//! How late runs start, with many stored for later: from the due time to the guest's own reading of the clock.

use std::time::Duration;

use super::{Bench, bulk, crons, fill};
use crate::model::Order;
use crate::scheduler::{Error, Scheduler};
use crate::{Page, RunFilter, Status, Timestamp};

/// Runs a second, evenly spread.
pub(super) const RATE: usize = 1_000;
/// How much later than all others a run may be before it counts as lost, and how often is looked.
const LATEST: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let scheduler = bench.scheduler("stored", 2).await?;
    let tomorrow = scheduler.now().saturating_add(Duration::from_secs(86_400));
    let seconds = bench.plan.lateness_seconds;
    fill(&scheduler, bench.plan.stored, tomorrow, None).await?;

    let (mut busy, mut idle) = ([Vec::new(), Vec::new(), Vec::new()], [Vec::new(), Vec::new(), Vec::new()]);
    for _ in 0..bench.plan.lateness_repeats {
        collect(&mut busy, late(&scheduler, RATE * seconds, Duration::from_micros(1_000_000 / RATE as u64)).await?);
    }
    // Idle: a run now and then, so that each finds the host asleep.
    collect(&mut idle, late(&scheduler, 20 * seconds, Duration::from_millis(37)).await?);
    let [p50, p99, p999] = busy;
    bench.report.add("lateness_us.p50", "due time → the guest reads its clock, at 1,000 runs/s, µs", p50);
    bench.report.add("lateness_us.p99", "the same, the latest 1 in 100", p99);
    bench.report.add("lateness_us.p999", "the same, the latest 1 in 1,000", p999);
    let [p50, p99, _] = idle;
    bench.report.add("lateness_idle_us.p50", "the same for a host that is idle, µs", p50);
    bench.report.add("lateness_idle_us.p99", "the same, the latest 1 in 100", p99);
    crons::measure(bench, &scheduler).await?;
    bulk::measure(bench, &scheduler).await?;
    scheduler.shutdown(Duration::from_secs(5)).await
}

pub(super) fn collect(into: &mut [Vec<f64>; 3], mut lateness: Vec<f64>) {
    lateness.sort_by(f64::total_cmp);
    for (values, part) in into.iter_mut().zip([0.5, 0.99, 0.999]) {
        let place = ((lateness.len() as f64 * part) as usize).min(lateness.len() - 1);
        values.push(lateness[place]);
    }
}

/// Microseconds of lateness of `count` runs, `step` apart, created about a second ahead.
pub(super) async fn late(scheduler: &Scheduler, count: usize, step: Duration) -> Result<Vec<f64>, Error> {
    let first = scheduler.now().saturating_add(Duration::from_millis(1_500));
    let times: Vec<Timestamp> = (0..count as u32).map(|i| first.saturating_add(step * i)).collect();
    for portion in times.chunks(100) {
        let ahead = portion[0].since(scheduler.now().saturating_add(Duration::from_secs(1)));
        tokio::time::sleep(ahead).await;
        scheduler.schedule_all(portion.iter().map(|at| scheduler.schedule("clock").at(*at)).collect()).await?;
    }
    tokio::time::sleep(times[count - 1].since(scheduler.now()) + Duration::from_millis(200)).await;
    let filter = RunFilter {
        trigger_from: Some(first),
        trigger_before: Some(times[count - 1].saturating_add(step)),
        statuses: vec![Status::Succeeded],
        ..RunFilter::default()
    };
    // On a busy machine the last ones may be late by more than that.
    for _ in 0..LATEST.as_millis() / LOOK_EVERY.as_millis() {
        if scheduler.count(&filter).await? >= count as u64 {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let (mut lateness, mut cursor) = (Vec::with_capacity(count), None);
    loop {
        let (runs, next) = scheduler.list(&filter, &Page::new(500, cursor, Order::NewestFirst)?).await?;
        for run in &runs {
            let entered = run.output.as_ref().and_then(|output| output.as_json()).and_then(|text| text.parse::<i64>().ok());
            let entered = entered.ok_or_else(|| Error::Start("the task `clock` did not return the time".into()))?;
            lateness.push((entered - run.trigger_at.as_micros()) as f64);
        }
        cursor = next;
        if cursor.is_none() || lateness.len() >= count {
            break;
        }
    }
    if lateness.len() != count || lateness.iter().any(|late| *late < 0.0) {
        return Err(Error::Start(format!(
            "{} of {count} runs succeeded, and none may be early: the earliest by {:?} µs",
            lateness.len(),
            lateness.iter().copied().fold(f64::MAX, f64::min)
        )));
    }
    Ok(lateness)
}
