//! Lists and bulk changes by filter among many stored runs, and how long they make others wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Bench, fill, input};
use crate::model::Order;
use crate::scheduler::{Error, Scheduler};
use crate::storage::Move;
use crate::{Metadata, Page, RunFilter};

pub(super) async fn measure(bench: &mut Bench<'_>, scheduler: &Scheduler) -> Result<(), Error> {
    let later = scheduler.now().saturating_add(Duration::from_secs(2 * 86_400));
    fill(scheduler, bench.plan.bulk, later, Some(("batch", "measured"))).await?;
    let filter = RunFilter { metadata: Metadata::from_entries([("batch", "measured")])?, ..RunFilter::default() };

    let mut lists = Vec::new();
    for _ in 0..bench.plan.repeats * 10 {
        let start = Instant::now();
        let (runs, _) = scheduler.list(&filter, &Page::new(100, None, Order::NewestFirst)?).await?;
        assert_eq!(runs.len(), 100, "that many were stored");
        lists.push(start.elapsed().as_secs_f64() * 1e3);
    }
    bench.report.add("list_100_of_1m_ms", "100 runs by a metadata entry, among all that are stored, ms", lists);

    let (mut moving, mut deleting, mut stalls) = (Vec::new(), Vec::new(), Vec::new());
    for repeat in 0..bench.plan.lateness_repeats {
        if repeat > 0 {
            fill(scheduler, bench.plan.bulk, later, Some(("batch", "measured"))).await?;
        }
        let stall = Stall::default();
        let work = async {
            let start = Instant::now();
            let moved = scheduler.bulk_move(filter.clone().select()?, Move::By(1_000_000), false).await?;
            moving.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let deleted = scheduler.bulk_delete(filter.clone().select()?, false).await?;
            deleting.push(start.elapsed().as_secs_f64());
            assert_eq!((moved.changed, deleted.changed), (bench.plan.bulk as u64, bench.plan.bulk as u64));
            stall.over.store(true, Ordering::Relaxed);
            Ok::<_, Error>(())
        };
        let (done, probed) = tokio::join!(work, stall.probe(scheduler));
        probed.and(done)?;
        stalls.push(stall.worst_us.load(Ordering::Relaxed) as f64 / 1e3);
    }
    bench.report.add("bulk_100k_s.reschedule", "moving them by filter, s (with --quick: 10,000 runs)", moving);
    bench.report.add("bulk_100k_s.delete", "deleting them by filter, s (with --quick: 10,000 runs)", deleting);
    bench.report.add("writer_stall_ms", "the longest that a single create took meanwhile, ms", stalls);
    Ok(())
}

/// Creates single runs while something large goes on, and notes the longest wait.
#[derive(Default)]
struct Stall {
    over: AtomicBool,
    worst_us: AtomicU64,
}

impl Stall {
    async fn probe(&self, scheduler: &Scheduler) -> Result<(), Error> {
        while !self.over.load(Ordering::Relaxed) {
            let start = Instant::now();
            scheduler.schedule("touch").after(Duration::from_secs(3 * 86_400)).payload(input()).send().await?;
            self.worst_us.fetch_max(start.elapsed().as_micros() as u64, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
