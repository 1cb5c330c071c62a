//! What a program relies on that has the scheduler inside: its own transactions, namespaces, and an end without ceremony.

use std::time::Duration;

use runlater::model::Grant;
use runlater::{Error, RunFilter, Status};
use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Value, json};

use super::world::{World, builder, guarded, output, secs};
use crate::guests;

const TIMEOUT: Duration = secs(77);

/// The embedding program's own connection to the same file, with a table of its own.
fn own_connection(world: &World) -> Connection {
    let own = Connection::open(world.database()).unwrap();
    own.busy_timeout(secs(10)).unwrap();
    own.execute_batch("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)").unwrap();
    own
}

#[tokio::test]
async fn a_run_exists_if_and_only_if_the_callers_transaction_commits() {
    let world = World::with(&["behaviours"]).await;
    let mut own = own_connection(&world);

    let tx = own.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO orders VALUES (1)", []).unwrap();
    let committed = world.schedule("touch", json!(1)).send_in(&tx).unwrap();
    assert!(matches!(world.scheduler.get(committed.id).await, Err(Error::RunNotFound(_))), "not before the commit");
    tx.commit().unwrap();
    let ended = world.wait(committed.id).await;
    assert_eq!((ended.status, output(&ended), ended.started_at), (Status::Succeeded, json!(1), Some(world.now())), "at once");

    let tx = own.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO orders VALUES (2)", []).unwrap();
    let rolled_back = world.schedule("touch", json!(2)).send_in(&tx).unwrap();
    tx.rollback().unwrap();
    world.quiet().await;
    assert!(matches!(world.scheduler.get(rolled_back.id).await, Err(Error::RunNotFound(_))));
    assert_eq!(own.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[tokio::test]
async fn a_unique_key_holds_in_the_callers_transaction_too() {
    let world = World::with(&["behaviours"]).await;
    let mut own = own_connection(&world);
    let with = |n: u64| world.schedule("touch", json!(n)).after(secs(60)).unique_key("order-1");

    let tx = own.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let first = with(1).send_in(&tx).unwrap();
    let second = with(1).send_in(&tx).unwrap();
    assert_eq!((first.created, second.created, second.id), (true, false, first.id));
    assert!(matches!(with(2).send_in(&tx), Err(Error::UniqueKeyTaken(holder)) if holder.run == first.id));
    tx.commit().unwrap();
    assert!(!with(1).send_unique().await.unwrap().created);

    world.advance(secs(60));
    assert_eq!(world.wait(first.id).await.attempts, 1);

    let mut elsewhere = Connection::open_in_memory().unwrap();
    let tx = elsewhere.transaction().unwrap();
    let refused = world.schedule("touch", Value::Null).send_in(&tx).unwrap_err().to_string();
    assert!(refused.contains("the transaction is not on"), "{refused}");
}

#[tokio::test]
async fn namespaces_see_nothing_of_each_other() {
    let world = World::with(&["behaviours"]).await;
    let ours = world.schedule("touch", Value::Null).after(secs(60)).metadata("group", "a").unique_key("k").send().await.unwrap();
    let other = world.scheduler.in_namespace("other").await.unwrap();
    assert!(matches!(other.schedule("touch").send().await, Err(Error::TaskNotFound(task)) if task == "touch"));

    other.register(guests::component("behaviours")).grant(Grant::Runs).send().await.unwrap();
    let theirs = other.schedule("touch").after(secs(60)).unique_key("k").send().await.unwrap();
    assert_ne!(ours, theirs, "a key is unique in its namespace");
    for refused in [
        other.get(ours).await.map(drop),
        other.reschedule(ours, world.now()).await,
        other.delete(ours).await,
        other.trigger_now(ours).await,
        other.cancel(ours).await.map(drop),
        other.attempts(ours, Default::default()).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::RunNotFound(run)) if run == ours), "{refused:?}");
    }
    let bulk = json!({ "do": "delete_matching", "key": "group", "value": "a" });
    let guest = other.schedule("bulk").input(&bulk).unwrap().send().await.unwrap();
    assert_eq!(guarded("an outcome", other.wait(guest)).await.unwrap().status, Status::Succeeded);
    assert_eq!(world.status(ours).await, Status::Scheduled, "their guests reach as far as they do");
    assert_eq!(other.count(&RunFilter::default()).await.unwrap(), 2);
    assert_eq!(world.scheduler.count(&RunFilter::default()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_scheduler_that_is_dropped_lets_go_and_loses_nothing() {
    let mut world = World::with(&["behaviours"]).await;
    let run = world.schedule("sleep", json!({ "ms": 3_600_000 })).timeout(TIMEOUT).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, 1).await;
    let (path, clock) = (world.database(), world.clock.clone());
    let elsewhere = path.with_file_name("elsewhere.db");
    // The last of its clones goes here, with an attempt in flight.
    world.scheduler = builder(&elsewhere, &clock).build().await.unwrap();

    // Its threads are told and not waited for: until they have ended, the file is theirs.
    let again = guarded("the database is let go", async {
        loop {
            match builder(&path, &clock).build().await {
                Ok(scheduler) => return scheduler,
                Err(error) => assert!(error.to_string().contains("another process") || error.to_string().contains("in use"), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.scheduler = again;
    world.clock.sleeping(TIMEOUT, 2).await;
    assert_eq!((world.status(run).await, world.get(run).await.attempts), (Status::Running, 2));
}
