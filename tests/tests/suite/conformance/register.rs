//! `register`: tasks, components, and the runs that code declares.

use super::place;
use crate::conformance::world::{World, at, name, play, registration};
use runlater::model::{CodeSchedule, Digest, Grants, Origin, RetryPolicy, TaskDefinition, TaskPolicy};
use runlater::storage::Quotas;
use runlater::{Grant, Payload, RunFilter};

/// Registers the task `code` with runs at these seconds under these keys.
fn declare(world: &mut World, version: &str, schedules: &[(&str, i64)], now: i64) {
    let mut definition = TaskDefinition::new(name("code"));
    let schedule = |(key, due): &(&str, i64)| CodeSchedule { key: (*key).into(), at: at(*due), input: Payload::null() };
    definition.schedules = schedules.iter().map(schedule).collect();
    let registration = registration(world.namespace, version.as_bytes(), vec![(definition, TaskPolicy::default())]);
    world.wait(world.storage.register(registration, at(now))).expect("it can be registered");
}

/// The declared runs as `due status`, in order of id; also gives them their names.
fn declared(world: &mut World, now: i64) -> Vec<String> {
    let filter = RunFilter { origins: vec![Origin::Code], ..RunFilter::default() };
    let runs: Vec<_> = world.all(world.namespace, now).into_iter().filter(|run| filter.matches(run)).collect();
    let said = runs.iter().map(|run| format!("{} {}", crate::conformance::world::seconds(run.trigger_at), run.status.as_str())).collect();
    for (number, run) in runs.iter().enumerate() {
        world.names.insert(format!("code{number}"), run.id);
    }
    said
}

#[test]
fn a_task_is_what_its_last_registration_says() {
    let mut world = World::new(place());
    let mut definition = TaskDefinition::new(name("b"));
    definition.description = Some("does b".into());
    definition.input_schema = Some(runlater::model::InputSchema::parse("{}").unwrap());
    let policy = TaskPolicy { retry: RetryPolicy { max_attempts: 7, ..RetryPolicy::default() }, priority: 3, ..TaskPolicy::default() };
    let mut first = registration(world.namespace, b"first", vec![(definition, policy.clone()), (TaskDefinition::new(name("a")), policy)]);
    first.grants = [Grant::Runs, Grant::parse("tcp=192.0.2.7:5432").unwrap()].into_iter().collect::<Grants>();
    let tasks = world.wait(world.storage.register(first.clone(), at(1))).unwrap();
    assert_eq!(tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let waiting = world.create(vec![runlater::model::NewRun { task: tasks[1].clone(), ..world.new_run(9, 1) }], 1)[0];

    let second = registration(world.namespace, b"second", vec![(TaskDefinition::new(name("b")), TaskPolicy::default())]);
    world.wait(world.storage.register(second, at(2))).unwrap();
    for _ in 0..2 {
        let names: Vec<_> = world.storage.tasks(world.namespace).iter().map(|task| task.name.to_string()).collect();
        assert_eq!(names, ["a", "b", "task"]);
        assert_eq!(world.storage.tasks(world.other).len(), 1);
        let (a, b) = (world.storage.task(world.namespace, "a").unwrap(), world.storage.task(world.namespace, "b").unwrap());
        assert_eq!((&a.grants, a.digest, a.policy.priority, a.policy.retry.max_attempts), (&first.grants, Digest::of(b"first"), 3, 7));
        assert_eq!((b.digest, b.description.as_deref(), b.created_at, b.updated_at), (Digest::of(b"second"), None, at(1), at(2)));
        assert!(world.storage.task(world.namespace, "c").is_none() && world.storage.task(world.other, "a").is_none());
        assert_eq!(world.storage.component(&Digest::of(b"first")).unwrap().unwrap().wasm, b"first");
        assert!(world.storage.component(&Digest::of(b"third")).unwrap().is_none());
        world.reopen(3);
    }
    let claims = world.claim(1, 9);
    assert_eq!((claims[0].run, claims[0].task.digest), (waiting, Digest::of(b"second")), "waiting runs go to the new component");
}

#[test]
fn bytes_are_kept_while_a_task_has_them_and_a_minute_longer() {
    let mut world = World::new(place());
    let register = |world: &mut World, task: &str, wasm: &[u8], now| {
        let registration = registration(world.namespace, wasm, vec![(TaskDefinition::new(name(task)), TaskPolicy::default())]);
        world.wait(world.storage.register(registration, at(now))).map_err(|error| error.to_string())
    };
    let has = |world: &World, wasm: &[u8]| world.storage.component(&Digest::of(wasm)).unwrap().is_some();
    register(&mut world, "a", b"first", 1).unwrap();
    register(&mut world, "b", b"both", 2).unwrap();
    register(&mut world, "c", b"both", 3).unwrap();
    register(&mut world, "a", b"second", 10).unwrap();
    register(&mut world, "b", b"other", 10).unwrap();
    // An attempt that has just begun may still ask for it.
    register(&mut world, "d", b"fourth", 69).unwrap();
    assert!(has(&world, b"first"));
    world.reopen(69);
    register(&mut world, "d", b"fourth", 70).unwrap();
    assert_eq!([&b"first"[..], b"second", b"both", b"other", b"fourth"].map(|wasm| has(&world, wasm)), [false, true, true, true, true]);
    // Whoever goes back to it brings it along.
    register(&mut world, "a", b"first", 71).unwrap();
    register(&mut world, "a", b"first", 200).unwrap();
    assert!(has(&world, b"first") && !has(&world, b"second"));
    assert_eq!(world.storage.component(&Digest::of(b"first")).unwrap().unwrap().wasm, b"first");
}

#[test]
fn components_of_a_namespace_have_so_many_bytes_together() {
    let world = World::new(place());
    let register = |namespace, task: &str, wasm: &[u8], now| {
        let registration = registration(namespace, wasm, vec![(TaskDefinition::new(name(task)), TaskPolicy::default())]);
        world.wait(world.storage.register(registration, at(now))).map(|tasks| tasks.len()).map_err(|error| error.to_string())
    };
    // Beside the nine bytes of the world's own.
    world.storage.set_quotas(Quotas { component_bytes: 20, ..Quotas::default() });
    assert_eq!(register(world.namespace, "a", b"five5", 1), Ok(1));
    let refused = register(world.namespace, "b", b"seven77", 2).unwrap_err();
    assert!(refused.contains("20 bytes in all components of this namespace") && refused.contains("smaller"), "{refused}");
    assert!(world.storage.task(world.namespace, "b").is_none() && world.storage.component(&Digest::of(b"seven77")).unwrap().is_none());
    assert_eq!(register(world.namespace, "b", b"five5", 3), Ok(1), "what is there already takes nothing");
    assert_eq!(register(world.other, "b", b"seven77", 4), Ok(1), "each namespace for itself");
    assert_eq!(register(world.namespace, "a", b"six666", 5), Ok(1));
}

#[test]
fn declared_runs_follow_the_code() {
    let mut world = World::new(place());
    declare(&mut world, "1", &[("x", 50), ("y", 60), ("past", -5)], 0);
    assert_eq!(declared(&mut world, 0), ["50s scheduled", "1m scheduled"]);
    play(
        &mut world,
        "
        0s  move code0 to=9s   => defined by code
        0s  delete code0       => defined by code
        ",
    );
    declare(&mut world, "1", &[("x", 50), ("y", 60), ("past", -5)], 1);
    assert_eq!(declared(&mut world, 1), ["50s scheduled", "1m scheduled"], "the same again changes nothing");
    declare(&mut world, "2", &[("y", 70), ("z", 80), ("past", -5)], 2);
    assert_eq!(declared(&mut world, 2), ["1m10s scheduled", "1m20s scheduled"], "x was removed, y moved, z added");
    declare(&mut world, "3", &[("y", 1), ("z", 80), ("past", 90)], 3);
    assert_eq!(declared(&mut world, 3), ["1m20s scheduled", "1m30s scheduled"], "what is moved into the past is not made");
    world.reopen(4);
    assert_eq!(world.claim(9, 100).len(), 2);
}

#[test]
fn a_schedule_fires_once() {
    let mut world = World::new(place());
    declare(&mut world, "1", &[("x", 50), ("by hand", 90)], 0);
    declared(&mut world, 0);
    play(
        &mut world,
        "
        10s  trigger code1   => queued due 10s
        10s  claim           => code1 1
        10s  done code1      => succeeded
        50s  claim           => code0 1
        ",
    );
    for now in [51, 60] {
        declare(&mut world, "1", &[("x", 50), ("by hand", 90)], now);
        assert_eq!(declared(&mut world, now).len(), 2, "every start of the host registers again");
        world.reopen(now);
    }
    declare(&mut world, "2", &[], 70);
    assert_eq!(declared(&mut world, 70).len(), 2, "what has triggered stays");
    declare(&mut world, "3", &[("x", 99)], 70);
    assert_eq!(declared(&mut world, 70).last().unwrap(), "1m39s scheduled", "a new time for it is a new run");
}

#[test]
fn a_withdrawn_run_is_seen_to_be_deleted() {
    let mut world = World::new(place());
    declare(&mut world, "1", &[("x", 50)], 0);
    declared(&mut world, 0);
    let (mut events, mut end) = (world.storage.subscribe(), world.storage.ended(world.names["code0"]));
    declare(&mut world, "2", &[], 1);
    assert_eq!(events.try_recv().map(|event| event.change), Ok(runlater::storage::RunChange::Deleted));
    end.try_recv().expect("it has ended");
}
