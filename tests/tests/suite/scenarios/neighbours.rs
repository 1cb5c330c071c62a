//! What a healthy task notices of neighbours that take all they can get.

use std::time::{Duration, Instant};

use runlater::Status;
use serde_json::{Value, json};

use super::world::{World, secs};

const RUNS: usize = 100;
const TIMEOUT: Duration = secs(77);
/// Tasks of the guest `hostile` that go on until they are stopped.
const ENDLESS: [&str; 8] = ["loop", "loop", "loop", "loop", "loop", "loop", "loop", "grow"];

/// How long each of some runs takes by the clock on the wall, from before it is scheduled to its outcome; shortest first.
async fn spans(world: &World) -> Vec<Duration> {
    let mut spans = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        assert_eq!(world.run("hello", json!({ "name": "Ada" })).await.status, Status::Succeeded);
        spans.push(started.elapsed());
    }
    spans.sort();
    spans
}

#[tokio::test]
async fn a_healthy_task_goes_on_beside_eight_that_never_end() {
    let world = World::with(&["hostile", "hello"]).await;
    let alone = spans(&world).await;
    let mut hostile = Vec::new();
    for task in ENDLESS {
        hostile.push(world.schedule(task, Value::Null).timeout(TIMEOUT).max_attempts(1).send().await.unwrap());
    }
    world.clock.sleeping(TIMEOUT, ENDLESS.len()).await;
    let beside = spans(&world).await;
    for run in &hostile {
        assert_eq!(world.status(*run).await, Status::Running, "it was there all the time");
    }
    let told = |spans: &[Duration]| format!("p50 {:?}, p99 {:?}", spans[RUNS / 2], spans[RUNS * 99 / 100]);
    println!("a run alone: {}; beside {} that never end: {}", told(&alone), ENDLESS.len(), told(&beside));
    // Those that compute go on elsewhere, at low priority: `bench --only neighbours` has figures. Starvation would be far slower than any busy machine.
    assert!(beside[RUNS * 99 / 100] < secs(5), "{}", told(&beside));

    world.advance(TIMEOUT);
    for run in hostile {
        assert_eq!(world.wait(run).await.reason.as_deref(), Some("timeout"));
    }
}
