//! The forecast: what waits and what crons will make, each counted once.

use runlater::Scheduler;
use serde_json::Value;

use super::world::{World, secs};

/// Scheduled runs and occurrences of crons in the coming seconds.
async fn sums(scheduler: &Scheduler, seconds: u64, task: Option<&str>) -> (u64, u64) {
    let forecast = scheduler.forecast(secs(seconds), task).await.unwrap();
    assert_eq!((forecast.cut, forecast.until.since(forecast.from)), (None, secs(seconds)));
    forecast.hours.iter().fold((0, 0), |(runs, crons), hour| (runs + hour.runs, crons + hour.crons))
}

#[tokio::test]
async fn what_is_to_come_is_counted_once() {
    let world = World::with(&["behaviours"]).await;
    let scheduler = &world.scheduler;
    scheduler.cron("beat", "touch").expression("@every 20s").create().await.unwrap();
    scheduler.cron("few", "touch").expression("@every 30m").max_count(3).create().await.unwrap();
    scheduler.cron("paused", "touch").expression("@every 1m").create().await.unwrap();
    scheduler.pause_cron("paused", None, "").await.unwrap();
    world.schedule("touch", Value::Null).after(secs(600)).send().await.unwrap();
    world.schedule("touch", Value::Null).after(secs(7200)).send().await.unwrap();
    let elsewhere = world.schedule("echo", Value::Null).after(secs(60)).send().await.is_ok();

    let runs = u64::from(elsewhere);
    assert_eq!(sums(scheduler, 3601, Some("touch")).await, (1, 180 + 2));
    assert_eq!(sums(scheduler, 3601, None).await, (1 + runs, 180 + 2));
    assert_eq!(sums(scheduler, 24 * 3600, Some("touch")).await, (2, 24 * 180 - 1 + 3));

    // Some have their run by now, for as far as a minute ahead.
    world.advance(secs(1));
    world.quiet().await;
    assert_eq!(sums(scheduler, 3600, Some("touch")).await, (1, 180 + 2));
    assert_eq!(sums(scheduler, 60, Some("touch")).await, (0, 3));
}
