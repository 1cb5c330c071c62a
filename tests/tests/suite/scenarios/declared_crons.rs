//! Crons that a component's code declares: all that can be said of one, and what becomes of them with the next version.

use runlater::model::{CatchUp, Grant, MissedPolicy, Origin};
use runlater::{CronFilter, Error, Timestamp};

use super::world::{World, secs};
use crate::guests;

async fn names(world: &World) -> Vec<String> {
    let crons = world.scheduler.list_crons(&CronFilter::default()).await.unwrap();
    crons.into_iter().map(|cron| cron.name.to_string()).collect()
}

#[tokio::test]
async fn everything_that_can_be_said_of_a_cron_can_be_declared() {
    let world = World::with(&["policies"]).await;
    let cron = world.scheduler.get_cron("strict.nightly").await.unwrap();
    let at = |text: &str| Timestamp::parse(text, "at").unwrap();
    let (spec, rule) = (&cron.spec, &cron.spec.rule);
    assert_eq!((rule.text(), rule.zone(), rule.jitter()), ("0 2 * * *", "Europe/Prague", secs(300)));
    assert_eq!((rule.start(), rule.end()), (at("2030-01-01T00:00:00Z"), Some(at("2031-01-01T00:00:00Z"))));
    assert_eq!((spec.max_count, spec.priority, spec.input.as_json()), (Some(9), Some(2), Some("{\"to\":\"all\"}")));
    assert_eq!(spec.metadata.iter().collect::<Vec<_>>(), [("team", "billing"), ("tier", "gold")]);
    assert_eq!(spec.missed, Some(MissedPolicy { catch_up: CatchUp::All, window: secs(2 * 86_400), max: 5 }));
    // The same again changes nothing, whenever that is.
    world.advance(secs(3600));
    let version = cron.version;
    world.scheduler.register(guests::component("policies")).grant(Grant::Runs).send().await.unwrap();
    assert_eq!(world.scheduler.get_cron("strict.nightly").await.unwrap().version, version);
}

#[tokio::test]
async fn a_cron_that_somebody_else_made_is_in_the_way_of_one_of_its_name() {
    let world = World::with(&["behaviours"]).await;
    world.scheduler.cron("tick.beat", "touch").expression("@daily").create().await.unwrap();
    let register = || world.scheduler.register(guests::component("crontab")).grant(Grant::Crons);
    let refused = register().send().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Invalid(invalid) if invalid.code == "cron-exists" && invalid.field == "tasks.tick.crons"),
        "{refused}"
    );
    assert!(register().plan().await.is_err());
    assert_eq!(names(&world).await, ["tick.beat"]);
    world.scheduler.delete_cron("tick.beat").await.unwrap();
    register().send().await.unwrap();
    assert_eq!(world.scheduler.get_cron("tick.beat").await.unwrap().origin, Origin::Code);
}
