//! The fake scheduler keeps the promises of the contract that a unit test relies on.

use runlater_task::prelude::*;
use runlater_task::testing::FakeHost;
use runlater_task::{CatchUp, Error, MissedPolicy, Origin, UniqueMode};

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
fn a_key_replaces_and_debounces() {
    let host = FakeHost::new();
    let replace = |input: u8| schedule("a").after(hours(1)).unique("one", UniqueMode::Replace).send(&input).unwrap();
    let (first, second) = (replace(1), replace(2));
    assert_eq!((host.deleted(), host.scheduled().len()), (vec![first], 1));
    assert_eq!(host.scheduled()[0].input, 2);
    host.set_status(&second, Status::Running);
    assert!(matches!(schedule("a").unique("one", UniqueMode::Replace).send(&3), Err(Error::UniqueKeyTaken(id)) if id == second));
    assert!(matches!(schedule("a").unique("one", UniqueMode::Reject).send(&2), Err(Error::UniqueKeyTaken(id)) if id == second));

    let start = host.now();
    let debounce = |input: u8| schedule("a").debounce("two", seconds(10), seconds(15)).send(&input).unwrap();
    let run = debounce(1);
    for (input, due) in [(2, 14), (3, 15), (4, 15)] {
        host.advance(seconds(4));
        assert_eq!(debounce(input), run);
        let seen = host.find(&run).unwrap();
        assert_eq!((seen.trigger_at, seen.input), (start + seconds(due), input.into()));
    }
    host.set_status(&run, Status::Running);
    assert_ne!(debounce(5), run, "the next burst is another run");
    assert!(schedule("a").after(hours(1)).debounce("two", seconds(1), seconds(1)).send(&6).is_err(), "it says its own time");
    assert!(schedule("a").debounce("two", seconds(2), seconds(1)).send(&6).is_err());
}

#[test]
fn a_unique_key_makes_one_run() {
    let _host = FakeHost::new();
    let send = |input: u8| schedule("a").unique_key("one").send(&input);
    let first = send(1).unwrap();
    assert_eq!(send(1), Ok(first.clone()));
    assert_eq!(send(2), Err(Error::UniqueKeyTaken(first)));
    let held = || schedule("b").unique_for(hours(1));
    assert!(matches!(held().send(&1), Err(Error::Invalid { field, .. }) if field == "unique-for"), "without a key none is held");
    assert!(held().unique_key("two").send(&1).is_ok() && held().send_detached("three", &1).is_ok());
}

#[test]
fn the_holder_of_a_unique_key_is_found_until_the_key_is_free() {
    let host = FakeHost::new();
    let find = || runs::find_by_unique_key("one").unwrap();
    assert_eq!(find(), None);
    let send = |input: u8| schedule("a").after(minutes(1)).unique_key("one").unique_for(hours(1)).send(&input);
    let first = send(1).unwrap();
    let waiting = runs::KeyHolder {
        run: first.clone(),
        status: Status::Scheduled,
        reason: None,
        trigger_at: host.now() + minutes(1),
        ended_at: None,
        held_until: None,
    };
    assert_eq!(find(), Some(waiting.clone()));
    host.set_status(&first, Status::Failed);
    let ended_at = host.now();
    let failed = runs::KeyHolder { status: Status::Failed, ended_at: Some(ended_at), held_until: Some(ended_at + hours(1)), ..waiting };
    assert_eq!(find(), Some(failed));
    assert_eq!((send(1), send(2)), (Ok(first.clone()), Err(Error::UniqueKeyTaken(first.clone()))));

    host.advance(hours(1));
    assert_eq!(find(), None);
    let second = send(2).unwrap();
    assert_eq!(find().unwrap().run, second);
    runs::cancel(&second).unwrap();
    assert_eq!(find(), None, "a run that is cancelled before its first attempt frees its key");
    let third = send(3).unwrap();
    runs::delete(&third).unwrap();
    assert_eq!(find(), None);
    assert!(matches!(runs::find_by_unique_key(""), Err(Error::Invalid { field, .. }) if field == "unique-key"));
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
    let outcome = runs::bulk_reschedule_matching(&runs::Filter::all(), days(1)).unwrap();
    assert_eq!((outcome.changed, outcome.refused_total), (1, 1), "the running one is refused");
    let outcome = runs::bulk_delete(&[ids[0].clone(), ids[2].clone(), ids[0].clone(), ids[2].clone()]).unwrap();
    assert_eq!((outcome.changed, outcome.refused_total), (1, 1), "each id counts once");
    runs::cancel(&ids[0]).unwrap();
    assert_eq!(runs::cancel(&ids[0]), Err(Error::AlreadyEnded(ids[0].clone())));
}

#[test]
fn bulk_calls_shift_each_by_the_same_and_make_due_what_went_wrong() {
    let host = FakeHost::new();
    let ids: Vec<_> = (1..4).map(|n| schedule("a").after(hours(n)).send(&n).unwrap()).collect();
    assert_eq!(runs::bulk_shift_matching(&runs::Filter::all(), Shift::Later(minutes(30))).unwrap().changed, 3);
    let early = runs::filter().trigger_before(host.now() + hours(2));
    assert_eq!(runs::bulk_shift_matching(&early, Shift::Earlier(minutes(10))).unwrap().changed, 1);
    let too_far = runs::bulk_shift_matching(&runs::Filter::all(), Shift::Earlier(days(365 * 60))).unwrap();
    assert_eq!((too_far.changed, too_far.refused_total), (0, 3), "out of the years that there are");
    let due: Vec<_> = host.scheduled().iter().map(|run| run.trigger_at).collect();
    assert_eq!(due, [80, 150, 210].map(|after| host.now() + minutes(after)));

    host.set_status(&ids[0], Status::Failed);
    host.set_status(&ids[1], Status::Cancelled);
    assert_eq!(runs::bulk_trigger_matching(&runs::Filter::all()).unwrap().changed, 1);
    assert_eq!(host.triggered(), [ids[0].clone()]);
    assert_eq!(runs::bulk_trigger_matching(&runs::filter().status(Status::Cancelled)).unwrap().changed, 1);
    let outcome = runs::bulk_trigger(&ids).unwrap();
    let under_way = |id: &RunId| (id.clone(), Error::AlreadyTriggered(id.clone()));
    assert_eq!((outcome.changed, outcome.refused), (1, ids[..2].iter().map(under_way).collect()));
    assert!(runs::bulk_trigger(&[]).is_err());
}

#[test]
fn a_filter_means_what_was_said() {
    let host = FakeHost::new();
    let id = schedule("a").after(minutes(1)).metadata("k", "1").send(&()).unwrap();
    let field = |error: Error| if let Error::Invalid { field, .. } = error { field } else { panic!("{error:?}") };
    assert_eq!(field(runs::bulk_delete_matching(&runs::filter()).unwrap_err()), "filter");
    assert_eq!(field(runs::bulk_trigger_matching(&runs::filter()).unwrap_err()), "filter");
    assert_eq!(field(runs::bulk_delete_matching(&runs::Filter::all().task("a")).unwrap_err()), "filter");
    let two_values = runs::filter().metadata("k", "1").metadata("k", "2");
    assert_eq!(field(runs::bulk_delete_matching(&two_values).unwrap_err()), "metadata.k");
    assert_eq!(field(runs::list(two_values).next().unwrap().unwrap_err()), "metadata.k");
    let two_times = [(id.clone(), Due::Now), (id.clone(), Due::After(minutes(5)))];
    assert_eq!(field(runs::bulk_reschedule(&two_times).unwrap_err()), "moves[1]");
    let same = [(id.clone(), Due::After(minutes(5))), (id, Due::After(minutes(5)))];
    assert_eq!(runs::bulk_reschedule(&same).unwrap().changed, 1);
    assert_eq!(runs::list(runs::filter()).count(), 1, "a list needs no condition");
    assert_eq!(host.scheduled().len(), 1);
}

#[test]
fn only_registered_tasks_can_be_scheduled_once_one_is() {
    let host = FakeHost::new();
    host.register("a");
    assert!(schedule("a").send(&()).is_ok());
    assert_eq!(schedule("b").send(&()), Err(Error::TaskNotFound("b".to_owned())));
}

/// Makes a cron, then fails if it is told to.
#[task(name = "keep-cron")]
fn keep_cron(fails: bool) -> Result<(), Failure> {
    cron("nightly").expression("0 2 * * *").timezone("Europe/Prague").input(&1).create("a")?;
    if fails { Err(Failure::retry("told to")) } else { Ok(()) }
}

#[test]
fn crons_are_kept_changed_and_taken_back() {
    let host = FakeHost::new();
    assert!(host.execute::<keep_cron>(&true).is_err());
    assert_eq!(crons::get("nightly").unwrap_err(), Error::CronNotFound("nightly".into()));
    host.execute::<keep_cron>(&false).unwrap();
    assert_eq!(cron("nightly").expression("@daily").create("a"), Err(Error::CronExists("nightly".into())));
    cron("nightly").metadata("k", "v").update().unwrap();
    crons::pause("nightly", None, "for now").unwrap();
    let seen = &crons::list(Some("a")).unwrap()[0];
    assert_eq!((seen.expression().as_str(), seen.timezone().as_str(), seen.input::<u8>()), ("0 2 * * *", "Europe/Prague", Ok(1)));
    assert_eq!((seen.metadata(), seen.paused()), (vec![("k".into(), "v".into())], Some("for now".into())));
    crons::resume("nightly").unwrap();
    crons::delete("nightly").unwrap();
    assert!(crons::list(None).unwrap().is_empty() && cron("b").create("a").is_err());
}

/// Pauses a task for ten minutes, then fails if it is told to.
#[task]
fn trip(fails: bool, run: &Run) -> Result<(), Failure> {
    pauses::pause("charge", Some(run.now() + minutes(10)), "the gateway is down")?;
    if fails { Err(Failure::retry("told to")) } else { Ok(()) }
}

#[test]
fn tasks_are_paused_and_go_on() {
    let host = FakeHost::new();
    assert!(host.execute::<trip>(&true).is_err());
    assert_eq!(pauses::get("charge"), Ok(None), "a failed attempt pauses nothing");
    host.execute::<trip>(&false).unwrap();
    assert_eq!(pauses::get("charge"), Ok(Some("the gateway is down".into())));
    host.advance(minutes(10));
    assert_eq!(pauses::get("charge"), Ok(None), "it ends by itself");
    pauses::pause("charge", None, "").unwrap();
    assert_eq!(pauses::get("charge"), Ok(Some(String::new())));
    pauses::resume("charge").unwrap();
    assert_eq!(pauses::get("charge"), Ok(None));

    let field = |paused: Result<(), Error>| match paused {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(pauses::pause("charge", Some(host.now()), "")), "until");
    assert_eq!(field(pauses::pause("charge", None, &"x".repeat(257))), "note");
    host.register("charge");
    assert_eq!(pauses::pause("other", None, ""), Err(Error::TaskNotFound("other".into())));
}

#[test]
fn all_that_is_said_of_a_cron_is_read_again_and_lifted() {
    let host = FakeHost::new();
    let (now, until) = (host.now(), host.now() + hours(1));
    let setting = cron("c").expression("@daily").end(now + days(9)).max_count(3).jitter(seconds(5)).priority(2).metadata("k", "v");
    setting.missed(CatchUp::All, None, Some(7)).create("a").unwrap();
    crons::pause("c", Some(until), "").unwrap();
    let seen = crons::get("c").unwrap();
    assert_eq!((seen.start(), seen.end(), seen.jitter()), (now, Some(now + days(9)), seconds(5)));
    assert_eq!((seen.max_count(), seen.priority(), seen.version()), (Some(3), Some(2), 2));
    assert_eq!(seen.missed(), Ok(Some(MissedPolicy { catch_up: CatchUp::All, window: hours(24), max: 7 })));
    assert_eq!(seen.paused_until(), Some(until));

    cron("c").jitter(seconds(1)).update().unwrap();
    assert_eq!(crons::get("c").unwrap().end(), Some(now + days(9)), "what is not said stays");
    cron("c").lift_end().lift_max_count().lift_priority().lift_missed().lift_metadata().update().unwrap();
    let seen = crons::get("c").unwrap();
    assert_eq!((seen.end(), seen.max_count(), seen.priority(), seen.missed()), (None, None, None, Ok(None)));
    assert_eq!((seen.metadata(), seen.jitter(), seen.version()), (Vec::new(), seconds(1), 4));
}
