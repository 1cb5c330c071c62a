//! The fake scheduler keeps the promises of the contract that a unit test relies on.

use runlater_task::prelude::*;
use runlater_task::testing::FakeHost;
use runlater_task::{Error, Origin};

/// Schedules one run with its attempt and one at once, then fails if it is told to.
#[task(name = "plan-two")]
fn plan_two(fails: bool) -> Result<Option<RunId>, Failure> {
    let id = schedule("a").send(&1)?;
    schedule("b").send_detached("key", &2)?;
    if fails { Err(Failure::retry("told to")) } else { Ok(Some(id)) }
}

fn planned(host: &FakeHost) -> Vec<String> {
    host.scheduled().into_iter().map(|run| run.task).collect()
}

#[test]
fn a_failed_attempt_takes_back_all_but_what_was_detached() {
    let host = FakeHost::new();
    assert_eq!(host.execute::<plan_two>(&true), Err(Failure::retry("told to")));
    assert_eq!(planned(&host), ["b"]);
    host.execute::<plan_two>(&false).unwrap();
    assert_eq!(planned(&host), ["b", "a"]);
}

#[test]
fn writes_are_seen_by_reads() {
    let host = FakeHost::new();
    let id = schedule("a").after(minutes(1)).metadata("k", "v").send(&"input").unwrap();
    let run = runs::get(&id).unwrap();
    assert_eq!((run.status(), run.origin(), run.parent()), (Status::Scheduled, Origin::Guest, Some(host.run().id())));
    assert_eq!(run.input::<String>().unwrap(), "input");
    runs::reschedule(&id, hours(1)).unwrap();
    assert_eq!(runs::get(&id).unwrap().trigger_at(), host.now() + hours(1));
    runs::delete(&id).unwrap();
    assert_eq!(runs::get(&id).unwrap_err(), Error::RunNotFound(id.clone()));
    assert_eq!((host.moved().len(), host.deleted()), (1, vec![id]));
}

#[test]
fn a_unique_key_makes_one_run() {
    let _host = FakeHost::new();
    let send = |input: u8| schedule("a").unique_key("one").send(&input);
    let first = send(1).unwrap();
    assert_eq!(send(1), Ok(first.clone()));
    assert_eq!(send(2), Err(Error::UniqueKeyTaken(first)));
}

#[test]
fn lists_go_through_all_pages_in_order() {
    let host = FakeHost::new();
    let ids: Vec<_> = (0..7).map(|n| schedule("a").after(minutes(7 - n)).send(&n).unwrap()).collect();
    schedule("b").send(&()).unwrap();
    let filter = || runs::filter().task("a").trigger_before(host.now() + minutes(7));
    let listed: Vec<_> = runs::list(filter()).order(runs::Order::TriggerTime).page_size(2).map(|run| run.unwrap().id()).collect();
    assert_eq!(listed, ids[1..].iter().rev().cloned().collect::<Vec<_>>());
    assert!(runs::list(filter()).page_size(501).next().unwrap().is_err());
}

#[test]
fn bulk_calls_change_and_refuse_one_by_one() {
    let host = FakeHost::new();
    let ids: Vec<_> = (0..3).map(|n| schedule("a").after(minutes(1)).send(&n).unwrap()).collect();
    host.set_status(&ids[0], Status::Running);
    let outcome = runs::bulk_delete(&ids[..2]).unwrap();
    assert_eq!((outcome.changed, outcome.refused), (1, vec![(ids[0].clone(), Error::AlreadyTriggered(ids[0].clone()))]));
    assert_eq!(runs::bulk_reschedule_matching(&runs::filter(), days(1)).unwrap().changed, 1);
    runs::cancel(&ids[0]).unwrap();
    assert_eq!(runs::cancel(&ids[0]), Err(Error::AlreadyEnded(ids[0].clone())));
}

#[test]
fn only_registered_tasks_can_be_scheduled_once_one_is() {
    let host = FakeHost::new();
    host.register("a");
    assert!(schedule("a").send(&()).is_ok());
    assert_eq!(schedule("b").send(&()), Err(Error::TaskNotFound("b".to_owned())));
}
