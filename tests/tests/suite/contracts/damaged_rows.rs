//! Rows that a fault of the disk or another program made of ours: each harms itself alone.

use std::path::Path;

use rusqlite::Connection;

use crate::conformance::sqlite::File;
use crate::conformance::world::{World, at, large, name, registration, succeeded};
use runlater::model::{CodeCron, CronSettings, NewRun, Order, TaskDefinition, TaskPolicy, ZoneDatabase};
use runlater::storage::{StorageError, TokenRecord};
use runlater::{Page, RunFilter, RunId, Status};

/// Closes the storage, has somebody else write to its file, and opens it again.
fn tamper(world: &mut World, path: &Path, statements: &[&str], now: i64) {
    world.wait(world.storage.close()).unwrap();
    let conn = Connection::open(path).unwrap();
    for statement in statements {
        assert_eq!(conn.execute(statement, []).unwrap(), 1, "{statement}");
    }
    drop(conn);
    world.storage = world.place.open(at(now)).unwrap();
    world.settle();
}

fn world() -> (World, std::path::PathBuf) {
    let file = File::new();
    let path = file.path();
    (World::new(Box::new(file)), path)
}

fn claimed(world: &World, now: i64) -> Vec<RunId> {
    world.claim(100, now).iter().map(|claim| claim.run).collect()
}

#[test]
fn a_row_that_somebody_else_wrote_harms_nobody_else() {
    let file = File::new();
    let path = file.path();
    let mut world = World::new(Box::new(file));
    let good: Vec<_> = world.create((0..3).map(|_| world.new_run(5_000, 0)).collect(), 0);
    let damage = ["metadata = 'nonsense'", "priority = 300", "trigger_at = -5", "origin = 1, parent = 7", "due_at = 9223372036854775807"];
    let damaged: Vec<_> = world.create(damage.iter().map(|_| world.new_run(5_000, 0)).collect(), 0);
    world.wait(world.storage.close()).unwrap();
    let conn = Connection::open(&path).unwrap();
    let keys = "SELECT id FROM runlater_runs ORDER BY id";
    let keys: Vec<i64> = conn.prepare(keys).unwrap().query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    for (damage, key) in damage.iter().zip(&keys[3..]) {
        assert_eq!(conn.execute(&format!("UPDATE runlater_runs SET {damage} WHERE id = ?1"), [key]).unwrap(), 1, "{damage}");
    }
    drop(conn);
    world.storage = world.place.open(at(1)).unwrap();
    world.settle();
    for size in [1, 3, 100] {
        let mut page = Page::new(size, None, Order::OldestFirst).unwrap();
        let (mut listed, mut ids) = (Vec::new(), Vec::new());
        loop {
            let (runs, next) = world.storage.list(world.namespace, &RunFilter::default(), &page, at(1)).unwrap();
            ids.extend(world.storage.list_ids(world.namespace, &RunFilter::default(), &page, at(1)).unwrap().0);
            listed.extend(runs.iter().map(|run| run.id));
            page.cursor = next;
            if next.is_none() {
                break;
            }
        }
        assert!(listed.starts_with(&good), "{listed:?}");
        assert_eq!(ids.len(), good.len() + damaged.len(), "by its id each can still be deleted");
    }
    // Time passes; what can be understood runs.
    let claims = world.claim(100, 5_000);
    assert_eq!(claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), good);
    world.settle();
    assert!(world.storage.health().writable);
    let conn = Connection::open(&path).unwrap();
    let quarantined =
        "SELECT count(*) FROM runlater_runs WHERE status = 4 AND reason = 'damaged-row' AND message LIKE '%can''t be understood%'";
    // The last one's time never comes.
    assert_eq!(conn.query_row(quarantined, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
    assert_eq!(world.status(damaged[3], 5_000), Status::Failed);
    // Everybody else goes on.
    assert_eq!(world.create(vec![world.new_run(5_001, 5_000)], 5_000).len(), 1);
}

#[test]
fn an_input_that_is_not_the_one_that_was_stored_meets_no_guest() {
    let (mut world, path) = world();
    let inputs = [large(100), large(100), large(5_000), large(5_000), large(100), large(100)];
    let runs: Vec<_> = inputs.into_iter().map(|input| NewRun { input, ..world.new_run(5, 0) }).collect();
    let runs = world.create(runs, 0);
    let change = |number: usize, what: &str| {
        format!("UPDATE runlater_runs SET input = {what} WHERE id = (SELECT id FROM runlater_runs ORDER BY id LIMIT 1 OFFSET {number})")
    };
    let changes = [
        change(0, "CAST(replace(CAST(input AS TEXT), 'x', 'y') AS BLOB)"),
        change(2, "substr(input, 1, 4000)"),
        change(4, "zeroblob(300000)"),
        // Nobody even reads it.
        change(5, "zeroblob(70000000)"),
    ];
    tamper(&mut world, &path, &changes.each_ref().map(String::as_str), 1);
    let claims = world.claim(100, 5);
    // Large ones are read when their attempt begins.
    assert_eq!(claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), [runs[1], runs[2], runs[3]]);
    assert!(claims[0].input.is_some() && world.storage.input(runs[3]).is_ok());
    let error = world.storage.input(runs[2]).unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt(text) if text.contains("not the one that was stored")), "{error}");
    assert_eq!(world.status(runs[0], 5), Status::Failed);
    for run in [runs[4], runs[5]] {
        let error = world.storage.get(world.namespace, run, at(5)).unwrap_err();
        assert!(matches!(&error, StorageError::Corrupt(text) if text.contains("more than any may have")), "{error}");
    }
    let quarantined = "SELECT count(*) FROM runlater_runs WHERE status = 4 AND reason = 'damaged-row'";
    assert_eq!(Connection::open(&path).unwrap().query_row(quarantined, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    let (listed, _) = world.storage.list(world.namespace, &RunFilter::default(), &Page::default(), at(5)).unwrap();
    assert_eq!(listed.len(), 4, "but those whose input is too long to be shown");
}

/// A cron that the code of `task` declares.
fn hourly(task: &str) -> CodeCron {
    let settings = CronSettings { expression: Some("0 * * * *".into()), ..CronSettings::default() };
    CodeCron::new(&name(task), "hourly", settings, &ZoneDatabase::bundled()).unwrap()
}

#[test]
fn a_task_that_cannot_be_understood_is_paused_until_its_next_registration() {
    let (mut world, path) = world();
    let register = |world: &World, task: &str, now| {
        let mut definition = TaskDefinition::new(name(task));
        definition.crons = vec![hourly(task)];
        let registration = registration(world.namespace, task.as_bytes(), vec![(definition, TaskPolicy::default())]);
        world.wait(world.storage.register(registration, at(now))).unwrap();
        world.settle();
    };
    ["a", "b", "c"].into_iter().for_each(|task| register(&world, task, 0));
    let run = |task: &str| NewRun { task: world.storage.task(world.namespace, task).unwrap(), ..world.new_run(5, 0) };
    let runs = world.create(vec![run("a"), run("b"), run("c")], 0);
    let damage = [
        "UPDATE runlater_tasks SET policy = 'nonsense' WHERE name = 'a'",
        "UPDATE runlater_tasks SET pause = '{}', component = 99 WHERE name = 'b'",
        "UPDATE runlater_tasks SET name = 'No Task' WHERE name = 'task' AND namespace = 1",
        "UPDATE runlater_namespaces SET name = 'No Name' WHERE name = 'other'",
    ];
    tamper(&mut world, &path, &damage, 1);
    let tasks = |world: &World| world.storage.tasks(world.namespace);
    let paused = |world: &World| {
        let tasks = tasks(world).into_iter().filter(|task| task.pause.is_some());
        tasks.map(|task| task.name.to_string()).collect::<Vec<_>>()
    };
    let fires = |world: &World, task: &str| world.storage.cron(world.namespace, &hourly(task).name).unwrap().unwrap().next_at.is_some();
    assert_eq!((tasks(&world).len(), world.storage.namespaces().len()), (4, 1));
    assert_eq!(paused(&world)[..2], ["a", "b"]);
    assert!(paused(&world)[2].starts_with("damaged-task-"));
    let note = tasks(&world)[0].pause.clone().unwrap().note;
    assert!(note.contains("damaged") && note.contains("policy") && note.contains("register its component again"), "{note}");
    assert_eq!(claimed(&world, 5), [runs[2]]);
    assert!(fires(&world, "a"), "its crons are those of a paused task");

    ["a", "b"].into_iter().for_each(|task| register(&world, task, 6));
    assert_eq!(paused(&world)[..1], ["b"], "that it was paused is known, if nothing else of it");
    assert_eq!(claimed(&world, 7), [runs[0]]);
    world.wait(world.storage.pause_task(world.namespace, name("b"), None, at(8))).unwrap();
    world.settle();
    assert_eq!(claimed(&world, 8), [runs[1]], "nothing was lost");
    assert!(fires(&world, "a") && fires(&world, "b"));
}

#[test]
fn a_token_or_an_attempt_that_cannot_be_understood_hides_no_other() {
    let (mut world, path) = world();
    for id in ["a", "b"] {
        let token = TokenRecord {
            id: id.into(),
            hash: [7; 32],
            namespace: world.namespace,
            role: "write".into(),
            note: String::new(),
            created_at: at(1),
            expires_at: None,
            revoked_at: None,
        };
        world.wait(world.storage.create_token(token)).unwrap().unwrap();
    }
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    for (attempt, due) in [(1, 2), (2, 3)] {
        assert_eq!(claimed(&world, due), [run]);
        world.finish(run, attempt, crate::conformance::world::backoff(due + 1), due);
    }
    world.settle();
    let damage =
        ["UPDATE runlater_tokens SET created_at = -5 WHERE id = 'a'", "UPDATE runlater_attempts SET started_at = -5 WHERE number = 1"];
    tamper(&mut world, &path, &damage, 3);
    assert_eq!(world.storage.tokens().unwrap().iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ["b"]);
    let page = world.storage.attempts(world.namespace, run, &Default::default()).unwrap();
    assert_eq!(page.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [2]);
    assert_eq!(claimed(&world, 4), [run]);
    world.finish(run, 3, succeeded(), 4);
    world.settle();
    assert_eq!(world.status(run, 4), Status::Succeeded);
}
