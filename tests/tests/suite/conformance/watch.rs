//! `subscribe`, `ended` and `on_due`: who watches learns of what is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::place;
use crate::conformance::world::{World, at, play, seconds};
use runlater::model::Next;
use runlater::storage::{RunChange, RunEvent};

#[test]
fn each_change_is_one_event_in_order() {
    let mut world = World::new(place());
    let mut events = world.storage.subscribe();
    play(
        &mut world,
        "
        0s  create a at=5s                => scheduled due 5s
        0s  move a to=3s                  => scheduled due 3s
        1s  trigger a                     => queued due 1s
        2s  claim                         => a 1
        4s  done a + create b at=9s; create c at=9s => succeeded
        4s  delete b                      => none
        4s  cancel c                      => cancelled cancelled
        4s  create d at=20s               => scheduled due 20s
        99s miss from=10s until=50s       => 1
        ",
    );
    let name = |id| world.names.iter().find(|(_, known)| **known == id).map(|(name, _)| name.clone()).unwrap();
    let mut seen = Vec::new();
    while let Ok(RunEvent { namespace, run, task, parent, change }) = events.try_recv() {
        assert_eq!((namespace, task.as_str()), (world.namespace, "task"));
        let change = match change {
            RunChange::Created { trigger_at } => format!("created {}", seconds(trigger_at)),
            RunChange::Rescheduled { trigger_at } => format!("rescheduled {}", seconds(trigger_at)),
            RunChange::Deleted => "deleted".into(),
            RunChange::Marked(status) => format!("marked {}", status.as_str()),
            RunChange::Finished { attempt, next: Next::Succeeded { .. }, lateness, took } => {
                format!("succeeded {attempt} late {lateness:?} took {took:?}")
            }
            other => format!("{other:?}"),
        };
        seen.push(format!("{} {change}{}", name(run), parent.map(|parent| format!(" of {}", name(parent))).unwrap_or_default()));
    }
    let expected = [
        "a created 5s",
        "a rescheduled 3s",
        "a marked queued",
        "b created 9s of a",
        "c created 9s of a",
        "a succeeded 1 late 3s took 0ns",
        "b deleted of a",
        "c marked cancelled of a",
        "d created 20s",
        "d marked missed",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn whoever_waits_for_an_end_is_told_once_it_is_durable() {
    let mut world = World::new(place());
    play(
        &mut world,
        "
        0s  create a          => queued due 0s
        0s  create b at=50s   => scheduled due 50s
        0s  create c at=60s   => scheduled due 1m
        0s  create d at=90s   => scheduled due 1m30s
        ",
    );
    let [mut a, mut b, mut c, mut d] = ["a", "b", "c", "d"].map(|name| world.storage.ended(world.names[name]));
    play(&mut world, "0s claim => a 1\n 0s retry a until=1s => backoff failed due 1s");
    assert!(a.try_recv().is_err());
    play(&mut world, "1s claim => a 2\n 1s done a => succeeded\n 1s delete b => none\n 1s cancel c => cancelled cancelled");
    for (name, end) in [("a", &mut a), ("b", &mut b), ("c", &mut c)] {
        end.try_recv().unwrap_or_else(|_| panic!("{name} has ended"));
    }
    assert!(d.try_recv().is_err());
    world.wait(world.storage.close()).unwrap();
    world.wait(d).expect_err("nobody waits for a storage that is closed");
}

#[test]
fn workers_are_woken_for_what_is_due_earlier() {
    let world = World::new(place());
    let woken = Arc::new(AtomicUsize::new(0));
    let wakes = woken.clone();
    world.storage.on_due(Box::new(move || _ = wakes.fetch_add(1, Ordering::SeqCst)));
    let wakes = |world: &World, due| {
        world.create(vec![world.new_run(due, 0)], 0);
        woken.swap(0, Ordering::SeqCst) > 0
    };
    assert!(wakes(&world, 30));
    assert!(!wakes(&world, 40), "nobody has to get up earlier for this one");
    assert!(wakes(&world, 20));
    assert_eq!(world.storage.next_due(), Some(at(20)));
}

#[test]
fn progress_is_shown_while_the_attempt_runs() {
    use runlater::model::Progress;
    let mut world = World::new(place());
    play(&mut world, "0s create a => queued due 0s\n 0s claim => a 1");
    let run = world.names["a"];
    let progress = Progress { done: 3, total: 9, note: "pages".into() };
    world.storage.progress(run, progress.clone());
    assert_eq!(world.get(run, 1).progress, Some(progress));
    play(&mut world, "1s retry a until=2s => backoff failed due 2s");
    assert_eq!(world.get(run, 1).progress, None);
}
