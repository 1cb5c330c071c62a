//! Crons that a component's code declares, when a new version of it says otherwise.

use std::sync::Arc;

use runlater::model::{Grant, Origin};
use runlater::storage::CronError;
use runlater::{Error, RunFilter, Status, Timestamp};

use super::guest_crons::world;
use super::world::{World, guarded, secs};
use crate::guests;

/// The component with another text of the same length where its code says this.
fn saying(wasm: &[u8], instead: &str, new: &str) -> Arc<[u8]> {
    let places: Vec<_> = (0..wasm.len() - instead.len()).filter(|at| wasm[*at..].starts_with(instead.as_bytes())).collect();
    assert_eq!((places.len(), instead.len()), (1, new.len()), "`{instead}` is said once");
    let mut changed = wasm.to_vec();
    changed[places[0]..places[0] + new.len()].copy_from_slice(new.as_bytes());
    changed.into()
}

/// Registers it, and says what that was said to change.
async fn register(world: &World, wasm: &Arc<[u8]>) -> Vec<String> {
    let plan = world.scheduler.register(wasm.clone()).grant(Grant::Crons).plan().await.unwrap();
    world.scheduler.register(wasm.clone()).grant(Grant::Crons).send().await.unwrap();
    plan.changes.iter().filter(|one| one.what == "cron").map(|one| format!("{} {}", one.name, one.change)).collect()
}

/// The runs of crons: of which one, planned for which second, and whether they have come.
async fn runs(world: &World, start: Timestamp) -> Vec<(String, u64, bool)> {
    let mut found = Vec::new();
    for run in world.list(RunFilter { origins: vec![Origin::Cron], ..RunFilter::default() }).await {
        let occurrence = run.occurrence.unwrap();
        let come = run.status != Status::Scheduled;
        if come {
            assert_eq!(world.wait(run.id).await.status, Status::Succeeded);
        }
        let cron = occurrence.cron.map_or("gone".into(), |name| name.to_string());
        found.push((cron, occurrence.planned_at.unwrap().since(start).as_secs(), come));
    }
    found.sort_by_key(|(_, planned, _)| *planned);
    found
}

/// Waits until the runs are these: the near ones are made soon after what asks for them, and nothing tells when.
async fn until(world: &World, start: Timestamp, wanted: &[(&str, u64, bool)]) {
    let wanted: Vec<_> = wanted.iter().map(|(cron, planned, come)| ((*cron).to_owned(), *planned, *come)).collect();
    let seen = async {
        while runs(world, start).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    guarded(&format!("the runs {wanted:?}"), seen).await;
}

async fn pass(world: &World, seconds: u64) {
    world.pass(seconds, "tick").await;
}

#[tokio::test]
async fn one_that_the_code_changes_goes_by_its_new_rule_at_once_and_one_that_it_drops_is_gone() {
    let world = world().await;
    let (scheduler, start) = (&world.scheduler, world.now());
    let old = guests::component("crontab");
    scheduler.pause_cron("tick.cron", None, "a holiday").await.unwrap();
    pass(&world, 50).await;
    until(&world, start, &[("tick.beat", 40, true), ("tick.beat", 80, false)]).await;

    // Another interval counts from now: the run that was made ahead is taken back.
    let slower = saying(&old, "@every 40s", "@every 45s");
    assert_eq!(register(&world, &slower).await, ["tick.beat changed"]);
    let beat = scheduler.get_cron("tick.beat").await.unwrap();
    assert_eq!((beat.version, beat.origin, beat.spec.rule.text()), (2, Origin::Code, "@every 45s"));
    assert_eq!(beat.next_at, Some(start.saturating_add(secs(95))));
    until(&world, start, &[("tick.beat", 40, true)]).await;
    assert_eq!(scheduler.get_cron("tick.cron").await.unwrap().version, 2, "the other one is as it was: paused, and no more");
    pass(&world, 60).await;
    until(&world, start, &[("tick.beat", 40, true), ("tick.beat", 95, true), ("tick.beat", 140, false)]).await;

    // Under another key it is another cron; the one that was is gone with what it made ahead. What has run stays.
    let renamed = saying(&saying(&slower, "beat", "boat"), "0 9 * * 1-5", "0 8 * * 1-5");
    assert_eq!(register(&world, &renamed).await, ["tick.beat removed", "tick.boat added", "tick.cron changed"]);
    assert!(matches!(scheduler.get_cron("tick.beat").await, Err(Error::Cron(CronError::NotFound(_)))));
    let cron = scheduler.get_cron("tick.cron").await.unwrap();
    assert_eq!((cron.spec.rule.text(), cron.pause.map(|pause| pause.note)), ("0 8 * * 1-5", Some("a holiday".into())), "it stays paused");
    let (first, second) = (("gone", 40, true), ("gone", 95, true));
    until(&world, start, &[first, second]).await;
    pass(&world, 60).await;
    until(&world, start, &[first, second, ("tick.boat", 155, true), ("tick.boat", 200, false)]).await;

    // And back again: nothing of what was removed comes back but the rule.
    assert_eq!(register(&world, &old).await, ["tick.beat added", "tick.boat removed", "tick.cron changed"]);
    until(&world, start, &[first, second, ("gone", 155, true)]).await;
    assert_eq!(scheduler.get_cron("tick.beat").await.unwrap().next_at, Some(start.saturating_add(secs(210))));
    assert_eq!(scheduler.get_cron("tick.beat").await.unwrap().version, 1);
    assert_eq!(register(&world, &old).await, Vec::<String>::new());
}
