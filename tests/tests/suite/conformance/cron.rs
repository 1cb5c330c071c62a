//! Crons: one run for each occurrence, whatever is changed meanwhile.

use std::time::Duration;

use super::place;
use crate::conformance::world::{World, at, large, name, registration, succeeded};
use runlater::model::{
    CatchUp, CodeCron, Cron, CronChange, CronRule, CronSettings, CronSpec, Gap, MissedPolicy, Origin, Pause, TaskDefinition, TaskPolicy, Zone, ZoneDatabase,
};
use runlater::storage::{CronError, Quotas};
use runlater::{CronFilter, Metadata, Payload, Run, Status, Timestamp};

impl World {
    /// Makes a cron that begins with the world.
    fn cron(&self, cron: &str, expression: &str, jitter: u64, max_count: Option<u32>, now: i64) -> Cron {
        let spec = CronSpec {
            task: name("task"),
            rule: CronRule::new(expression, Zone::utc(), at(0), None, Duration::from_secs(jitter)).unwrap(),
            max_count,
            input: Payload::null(),
            metadata: Metadata::default(),
            priority: None,
            missed: None,
        };
        let made = self.wait(self.storage.create_cron(self.namespace, name(cron), spec, Origin::Api, at(now)));
        self.settle();
        made.unwrap().unwrap()
    }

    fn pause_cron(&self, cron: &str, until: Option<i64>, now: i64) -> Cron {
        let pause = Pause::new(at(now), until.map(at), "").unwrap();
        self.wait(self.storage.pause_cron(self.namespace, name(cron), Some(pause), at(now))).unwrap().unwrap()
    }

    fn resume_cron(&self, cron: &str, now: i64) -> Cron {
        self.wait(self.storage.pause_cron(self.namespace, name(cron), None, at(now))).unwrap().unwrap()
    }

    /// Its runs: the seconds at which each was planned, with the one at which it triggers and what it is.
    fn runs_of(&self, cron: &str, now: i64) -> Vec<(Option<i64>, i64, Status)> {
        let seconds = |at: Timestamp| (at.as_micros() - crate::conformance::world::EPOCH) / 1_000_000;
        let of = |run: &Run| run.occurrence.as_ref().and_then(|of| of.cron.as_ref()).is_some_and(|of| of.as_str() == cron);
        let runs = self.all(self.namespace, now).into_iter().filter(of);
        let mut runs: Vec<_> =
            runs.map(|run| (run.occurrence.unwrap().planned_at.map(seconds), seconds(run.trigger_at), run.status)).collect();
        runs.sort_by_key(|run| (run.0, run.1));
        runs
    }

    /// Lets the host look at its crons, and takes nothing.
    fn look(&self, now: i64) {
        self.claim(0, now);
        self.settle();
    }

    /// Lets what is due run, and end well.
    fn run_due(&self, now: i64) {
        for claim in self.claim(99, now) {
            self.finish(claim.run, claim.attempt, succeeded(), now);
        }
        self.settle();
    }
}

#[test]
fn what_is_overdue_survives_a_change() {
    for change in ["pause", "update", "delete"] {
        let world = World::new(place());
        world.cron("c", "@every 30s", 0, None, 0);
        // Nobody looked since.
        match change {
            "pause" => drop(world.pause_cron("c", None, 31)),
            "update" => {
                let change = CronChange { priority: Some(Some(3)), ..CronChange::default() };
                drop(world.wait(world.storage.change_cron(world.namespace, name("c"), change, at(31))).unwrap().unwrap());
            }
            _ => world.wait(world.storage.delete_cron(world.namespace, name("c"), at(31))).unwrap().unwrap(),
        }
        let made: Vec<_> = world.all(world.namespace, 31).into_iter().map(|run| (run.trigger_at, run.status)).collect();
        assert_eq!(made, [(at(30), Status::Queued)], "{change}");
    }
}

#[test]
fn what_somebody_triggered_by_hand_stays_when_its_cron_is_paused() {
    let world = World::new(place());
    world.cron("c", "@every 30s", 0, None, 0);
    world.look(1);
    assert_eq!(world.runs_of("c", 1), [(Some(30), 30, Status::Scheduled), (Some(60), 60, Status::Scheduled)]);
    let first = world.all(world.namespace, 1).into_iter().find(|run| run.trigger_at == at(30)).unwrap().id;
    world.wait(world.storage.trigger(world.namespace, first, at(5))).unwrap().unwrap();
    world.pause_cron("c", None, 6);
    assert_eq!(world.runs_of("c", 6), [(Some(30), 5, Status::Queued)]);
}

#[test]
fn a_deleted_cron_leaves_nothing_to_the_next_of_its_name() {
    let world = World::new(place());
    world.cron("c", "@every 30s", 0, None, 0);
    world.look(1);
    world.run_due(60);
    world.wait(world.storage.delete_cron(world.namespace, name("c"), at(61))).unwrap().unwrap();
    world.cron("c", "@every 30s", 0, None, 62);
    let done = [(None, at(30)), (None, at(60))];
    let of = |run: Run| (run.occurrence.unwrap().cron, run.trigger_at);
    assert_eq!(world.all(world.namespace, 62).into_iter().filter(|run| run.status == Status::Succeeded).map(of).collect::<Vec<_>>(), done);
    let made = world.wait(world.storage.backfill_cron(world.namespace, name("c"), vec![at(30), at(60)], at(63)));
    assert_eq!(made.unwrap().unwrap(), 2);
    assert_eq!(world.storage.made(world.namespace, &name("c"), at(0), at(60)).unwrap(), [at(30), at(60)]);
}

#[test]
fn what_was_skipped_can_be_backfilled_whole() {
    let world = World::new(place());
    world.cron("c", "@every 10m", 0, None, 0);
    let gap = Gap { from: at(10), until: at(1_900) };
    assert_eq!(world.wait(world.storage.miss_crons(gap, 9, at(2_000))).unwrap(), 1);
    assert_eq!(world.runs_of("c", 2_000), [(Some(600), 600, Status::Missed)]);
    let planned = vec![at(600), at(1_200), at(1_800)];
    let backfill = || world.wait(world.storage.backfill_cron(world.namespace, name("c"), planned.clone(), at(2_000))).unwrap().unwrap();
    assert_eq!((backfill(), backfill()), (3, 0));
    let skipped = world.all(world.namespace, 2_000).into_iter().find(|run| run.status == Status::Missed).unwrap();
    assert_eq!(skipped.occurrence.unwrap().planned_at, Some(at(600)), "the row still says what it stands for");
}

#[test]
fn a_spread_run_is_judged_by_the_time_it_triggers_at() {
    let world = World::new(place());
    world.cron("c", "0 * * * *", 3_600, None, 0);
    world.look(1);
    // The first hour after second 0, and how far its run is spread.
    let planned = world.storage.cron(world.namespace, &name("c")).unwrap().unwrap().next_at.unwrap();
    let planned = (planned.as_micros() - crate::conformance::world::EPOCH) / 1_000_000;
    world.look(planned - 30);
    let runs = world.runs_of("c", planned - 30);
    let &[(_, due, Status::Scheduled)] = &runs[..] else { panic!("{runs:?}") };
    assert!(due > planned + 10, "{due} is spread from {planned}");

    // Its planned time has passed and it has not triggered: a pause takes it back, and the end of the pause makes it again.
    world.pause_cron("c", None, planned + 1);
    assert_eq!(world.runs_of("c", planned + 1), []);
    world.resume_cron("c", planned + 2);
    world.look(planned + 3);
    assert_eq!(world.runs_of("c", planned + 3).first(), Some(&(Some(planned), due, Status::Scheduled)));

    // A gap over its planned time misses nothing, one over its own does.
    let miss = |from, until| world.wait(world.storage.miss_crons(Gap { from: at(from), until: at(until) }, 9, at(until + 1))).unwrap();
    miss(planned - 5, due - 1);
    assert_eq!(world.runs_of("c", due).first(), Some(&(Some(planned), due, Status::Scheduled)));
    miss(due - 1, due + 1);
    assert_eq!(world.runs_of("c", due + 1).first(), Some(&(Some(planned), planned, Status::Missed)));
    assert_eq!(miss(due - 1, due + 1), 0, "it was decided");
}

#[test]
fn what_was_planned_in_a_gap_and_is_due_after_it_was_not_missed() {
    let world = World::new(place());
    world.cron("c", "0 * * * *", 3_600, None, 0);
    let planned = world.storage.cron(world.namespace, &name("c")).unwrap().unwrap().next_at.unwrap();
    let planned = (planned.as_micros() - crate::conformance::world::EPOCH) / 1_000_000;
    // Nobody made its run before the host went down, a second before its planned time; it is back a moment later.
    let gap = Gap { from: at(planned - 1), until: at(planned + 3) };
    assert_eq!(world.wait(world.storage.miss_crons(gap, 9, at(planned + 4))).unwrap(), 1);
    let runs = world.runs_of("c", planned + 4);
    let &[(Some(of), due, Status::Scheduled)] = &runs[..] else { panic!("{runs:?}") };
    assert!(of == planned && due > planned + 4, "{due} is spread from {planned}");
    assert_eq!(world.storage.health().missed.host_down, 0);
    assert_eq!(world.wait(world.storage.miss_crons(gap, 9, at(planned + 5))).unwrap(), 0, "it was decided");
}

#[test]
fn one_that_has_fired_as_often_as_it_may_fires_no_more() {
    let world = World::new(place());
    world.cron("c", "@every 30s", 0, Some(1), 0);
    world.look(1);
    world.run_due(30);
    world.pause_cron("c", None, 40);
    assert_eq!(world.resume_cron("c", 41).next_at, None);
    let change = CronChange { max_count: Some(Some(2)), ..CronChange::default() };
    let changed = world.wait(world.storage.change_cron(world.namespace, name("c"), change, at(42))).unwrap().unwrap();
    assert_eq!(changed.next_at, Some(at(60)));
}

#[test]
fn a_pause_that_has_ended_is_none() {
    let world = World::new(place());
    world.cron("a", "@every 30s", 0, None, 0);
    world.cron("b", "@every 30s", 0, None, 0);
    world.pause_cron("a", Some(50), 1);
    for (now, paused) in [(49, "a"), (50, "")] {
        for (wanted, names) in [(Some(true), paused.to_owned()), (Some(false), "ab".replace(paused, "")), (None, "ab".into())] {
            let filter = CronFilter { paused: wanted, limit: 9, ..CronFilter::default() };
            let found = world.storage.crons(world.namespace, &filter, at(now)).unwrap();
            assert_eq!(found.iter().map(|cron| cron.name.as_str()).collect::<String>(), names, "{wanted:?} at {now}");
            assert!(found.iter().all(|cron| cron.pause.is_some() == paused.contains(cron.name.as_str())));
        }
    }
}

#[test]
fn a_task_that_a_new_version_has_no_more_leaves_no_cron_behind() {
    let world = World::new(place());
    let settings = CronSettings { expression: Some("@every 30s".into()), ..CronSettings::default() };
    let task = |task: &str, crons: &[&str]| {
        let of = |key: &&str| CodeCron::new(&name(task), key, settings.clone(), &ZoneDatabase::bundled()).unwrap();
        (TaskDefinition { crons: crons.iter().map(of).collect(), ..TaskDefinition::new(name(task)) }, TaskPolicy::default())
    };
    let register = |wasm: &[u8], tasks, now| {
        world.wait(world.storage.register(registration(world.namespace, wasm, tasks), at(now))).unwrap();
        world.settle();
        let filter = CronFilter { limit: 9, ..CronFilter::default() };
        let crons = world.storage.crons(world.namespace, &filter, at(now)).unwrap();
        crons.iter().map(|cron| cron.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(register(b"v1", vec![task("a", &["x"]), task("b", &["x", "y"])], 0), "a.x b.x b.y");
    assert_eq!(register(b"other", vec![task("c", &["x"])], 1), "a.x b.x b.y c.x", "it replaces nothing");
    assert_eq!(register(b"v2", vec![task("b", &["y"])], 2), "b.y c.x");
    assert!(world.storage.task(world.namespace, "a").is_some(), "its runs still have their task");
    assert_eq!(register(b"v1", vec![task("a", &["x"]), task("b", &["x", "y"])], 3), "a.x b.x b.y c.x");
}

/// Occurrences beyond the quota on bytes are told by one row, and the cron goes on once there is room.
#[test]
fn occurrences_for_which_there_is_no_room_are_skipped_in_one_row() {
    let world = World::new(place());
    let full = Quotas { run_bytes: 100, ..Quotas::default() };
    world.storage.set_quotas(full);
    world.cron("c", "@every 20s", 0, None, 0);
    (0..=120).step_by(10).for_each(|now| world.look(now));
    let rows = world.runs_of("c", 120);
    assert_eq!(rows, [(Some(20), 20, Status::Missed)], "one row for all of them");
    let run = world.all(world.namespace, 120).remove(0);
    let occurrence = run.occurrence.unwrap();
    assert_eq!((run.reason.as_deref(), occurrence.skipped.map(|(count, _)| count >= 6)), (Some("quota-exceeded"), Some(true)));
    assert!(run.message.unwrap().contains("may hold 100"));
    let refused = world.wait(world.storage.trigger_cron(world.namespace, name("c"), at(120))).unwrap();
    assert!(matches!(refused, Err(CronError::Quota(_))), "{refused:?}");
    let refused = world.wait(world.storage.backfill_cron(world.namespace, name("c"), vec![at(20), at(40)], at(120))).unwrap();
    assert!(matches!(refused, Err(CronError::Quota(_))), "{refused:?}");

    world.storage.set_quotas(Quotas::default());
    (130..=200).step_by(10).for_each(|now| world.look(now));
    let later = world.runs_of("c", 200).split_off(1);
    assert!(!later.is_empty() && later.iter().all(|(_, _, status)| *status != Status::Missed), "{later:?}");
    // The row that stands for them can be run by hand.
    world.wait(world.storage.trigger(world.namespace, run.id, at(200))).unwrap().unwrap();
    assert_eq!(world.get(run.id, 200).status, Status::Queued);
}

/// What a dense cron with a large input makes up for takes many transactions. A host that dies between two of them leaves nothing out, and makes
/// nothing twice.
#[test]
fn catching_up_takes_bounded_slices_and_survives_a_crash() {
    for jitter in [0, 40] {
        let mut world = World::new(place());
        let spec = CronSpec {
            task: name("task"),
            rule: CronRule::new("@every 10s", Zone::utc(), at(0), None, Duration::from_secs(jitter)).unwrap(),
            max_count: None,
            input: large(256 << 10),
            metadata: Metadata::default(),
            priority: None,
            missed: Some(MissedPolicy { catch_up: CatchUp::All, max: 100, ..MissedPolicy::default() }),
        };
        world.wait(world.storage.create_cron(world.namespace, name("c"), spec, Origin::Api, at(0))).unwrap().unwrap();
        let gap = Gap { from: at(1), until: at(2_000) };
        let (mut slices, mut before) = (0, 0);
        while world.wait(world.storage.miss_crons(gap, 9, at(2_000))).unwrap() > 0 {
            let bytes = world.storage.run_bytes(world.namespace);
            assert!(bytes - before <= (9 << 20), "one slice made {} bytes", bytes - before);
            (slices, before) = (slices + 1, bytes);
            if slices == 2 {
                world.crash(2_000);
            }
        }
        assert!(slices >= 4, "{slices}");
        let runs = world.runs_of("c", 2_000);
        let planned: Vec<_> = runs.iter().map(|(planned, ..)| planned.unwrap()).collect();
        let made = planned.iter().rev().take(100).rev().copied().collect::<Vec<_>>();
        assert_eq!(made, (0..100).map(|back| 1_990 - 10 * (99 - back)).collect::<Vec<_>>(), "the latest ones, each once");
        let skipped: Vec<_> = runs.iter().filter(|(.., status)| *status == Status::Missed).map(|(planned, ..)| *planned).collect();
        assert_eq!(skipped.len(), 1, "one row for the others");
        world.look(2_005);
        let now_on = world.runs_of("c", 2_005).into_iter().filter(|(planned, ..)| *planned == Some(2_000)).count();
        assert_eq!(now_on, 1, "it goes on after the gap");
    }
}
