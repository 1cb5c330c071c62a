//! Runs a second: of runs that were due already (drain), and from create to durable outcome (end to end); and what policies cost of it.

use std::time::{Duration, Instant};

use futures_util::stream::{StreamExt, TryStreamExt};

use super::{Bench, drained, fill, touches};
use crate::model::PolicySettings;
use crate::scheduler::{Error, Scheduler};
use crate::{RunFilter, Status};

/// Runs in one create request, as a busy producer sends them.
const PORTION: usize = 64;

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let (mut drain_1t, mut through_1t) = (Vec::new(), Vec::new());
    for _ in 0..bench.plan.repeats {
        drain_1t.push(drain(bench, 1, None).await?);
        through_1t.push(end_to_end(bench, 1).await?);
    }
    let (mut plain, mut beside, mut limited, mut through) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for repeat in 0..bench.plan.repeats {
        // Each comes first now and then: whoever follows finds a warmer machine, or a more tired one.
        for is_beside in [repeat % 2 == 0, repeat % 2 != 0] {
            let of = if is_beside { &mut beside } else { &mut plain };
            of.push(drain(bench, 2, is_beside.then_some("sleep")).await?);
        }
        limited.push(drain(bench, 2, Some("touch")).await?);
        through.push(end_to_end(bench, 2).await?);
    }
    let report = &mut bench.report;
    let (drained, to_outcome) =
        ("due runs executed and durably recorded, runs/s (1t: one worker thread, else two)", "create → outcome, both durable, runs/s");
    report.add("drain_runs_per_s_1t", drained, drain_1t);
    report.add("end_to_end_runs_per_s_1t", to_outcome, through_1t);
    report.add("drain_runs_per_s", drained, plain);
    report.add("end_to_end_runs_per_s", to_outcome, through);
    report.add("policies.beside_runs_per_s", "drain while another task has a limit on its attempts, runs/s", beside);
    report.add("policies.limited_runs_per_s", "drain of a task with a limit of 64 attempts at a time, runs/s", limited);
    let meaning = "the first ÷ drain without any policy";
    report.add_ratio("policies.unused_ratio", meaning, "policies.beside_runs_per_s", "drain_runs_per_s");
    Ok(())
}

/// Runs a second of `touch`; `limited` is the task that may have 64 attempts in flight.
async fn drain(bench: &Bench<'_>, threads: usize, limited: Option<&str>) -> Result<f64, Error> {
    let scheduler = bench.scheduler("drain", threads).await?;
    if let Some(task) = limited {
        let mut settings = PolicySettings::default();
        settings.set("concurrency", "64")?;
        scheduler.register(bench.subject.wasm.clone()).policy(task, settings).send().await?;
    }
    // Stored as due in a while, so that they are drained by the host that opens the file after that.
    let due = scheduler.now().saturating_add(Duration::from_secs(3600));
    fill(&scheduler, bench.plan.runs, due, None).await?;
    scheduler.shutdown(Duration::from_secs(5)).await?;
    let clock = Ahead(crate::SystemClock::new());
    let start = Instant::now();
    let scheduler =
        Scheduler::builder().sqlite(bench.database("drain")).threads(threads).clock(clock).missed_grace(Duration::from_secs(7200));
    let scheduler = scheduler.build().await?;
    drained(&scheduler).await;
    let took = start.elapsed();
    check(&scheduler, bench.plan.runs).await?;
    scheduler.shutdown(Duration::from_secs(5)).await?;
    Ok(bench.plan.runs as f64 / took.as_secs_f64())
}

async fn end_to_end(bench: &Bench<'_>, threads: usize) -> Result<f64, Error> {
    let scheduler = bench.scheduler("through", threads).await?;
    let rate = through(&scheduler, bench.plan.runs).await?;
    check(&scheduler, bench.plan.runs).await?;
    scheduler.shutdown(Duration::from_secs(5)).await?;
    Ok(rate)
}

/// Creates runs that are due at once, and waits until all have their outcome. Returns how many that is a second.
pub(super) async fn through(scheduler: &Scheduler, runs: usize) -> Result<f64, Error> {
    let start = Instant::now();
    let portions = (0..runs.div_ceil(PORTION)).map(|portion| async move {
        let (now, count) = (scheduler.now(), PORTION.min(runs - portion * PORTION));
        scheduler.schedule_all(touches(scheduler, (0..count).map(|_| now))).await.map(drop)
    });
    futures_util::stream::iter(portions).buffer_unordered(32).try_collect::<()>().await?;
    drained(scheduler).await;
    Ok(runs as f64 / start.elapsed().as_secs_f64())
}

/// A figure counts only if every run succeeded.
pub(super) async fn check(scheduler: &Scheduler, runs: usize) -> Result<(), Error> {
    let succeeded = scheduler.count(&RunFilter { statuses: vec![Status::Succeeded], ..RunFilter::default() }).await?;
    if succeeded == runs as u64 { Ok(()) } else { Err(Error::Start(format!("{succeeded} of {runs} runs succeeded"))) }
}

/// The machine's clock, two hours ahead: what was stored for later is due.
struct Ahead(crate::SystemClock);

impl crate::Clock for Ahead {
    fn now(&self) -> crate::Timestamp {
        self.0.now().saturating_add(Duration::from_secs(7200))
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, span: Duration) -> crate::clock::Sleep {
        self.0.sleep(span)
    }

    fn block_for(&self, span: Duration) -> Option<Duration> {
        self.0.block_for(span)
    }

    fn on_jump(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.on_jump(wake);
    }
}
