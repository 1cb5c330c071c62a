//! The process that is killed: a whole host with scripted or compiled guests, which tells what happens.
//!
//! Does nothing unless one of the other tests starts it, which say in its environment what it is for.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt;
use runlater::executor::scripted::{Script, ScriptedExecutor};
use runlater::executor::{AttemptRequest, Executor, ScheduleRequest};
use runlater::model::{CronFilter, FailureReason, Name, Origin, Outcome, PolicySettings, TaskDefinition, UniqueKey};
use runlater::storage::{Cancelled, RunChange};
use runlater::{Due, Grant, Metadata, Page, Payload, Run, RunFilter, RunId, Scheduler, Status, SystemClock, failpoint};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::compiled::Telling;
use super::ledger::{Entry, tell_all};
use crate::faults::disk;

/// Far enough ahead that it does not come during a test.
const FAR: Duration = Duration::from_secs(3600);
/// What each part of the load does at most in one life.
const STEPS: usize = 14;
/// Crons that go on all the time, each with an occurrence in each second.
const CRONS: [(&str, &str, Duration); 3] = [
    ("second", "* * * * * *", Duration::ZERO),
    ("interval", "@every 1s", Duration::ZERO),
    ("spread", "* * * * * *", Duration::from_millis(400)),
];
/// Parts of the load, which go on side by side.
const PARTS: usize = 3;

#[test]
#[ignore = "the process that other tests kill"]
fn victim() {
    let Ok(what) = std::env::var("RUNLATER_VICTIM") else { return };
    // What the test runner said before stands on the same line.
    println!();
    unreliable_disk();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match what.as_str() {
            "load" => load(setting("SEED").parse().unwrap()).await,
            "drain" => drain().await,
            "point" => point(&setting("CALL"), &setting("AT")).await,
            "poison" => poison().await,
            other => panic!("no victim does {other}"),
        }
    });
}

fn setting(name: &str) -> String {
    std::env::var(format!("RUNLATER_VICTIM_{name}")).unwrap_or_default()
}

/// Watches the disk of the database, if its power is to be cut.
fn unreliable_disk() {
    let power = setting("POWER");
    if power.is_empty() {
        return;
    }
    let path = PathBuf::from(setting("DB"));
    let folder = path.parent().expect("it is in a folder");
    // One that works off what is left, and dies of nothing, has no seed.
    disk::watch(folder, setting("SEED").parse().ok());
    if power == "lying" {
        disk::set(folder, disk::Fault::Lying);
    }
}

async fn open() -> Scheduler {
    let policy = PolicySettings {
        retry_delay: Some((Duration::from_millis(1), Duration::from_millis(8))),
        max_attempts: Some(100),
        ..PolicySettings::default()
    };
    let path = PathBuf::from(setting("DB"));
    let component = setting("COMPONENT");
    let (executor, wasm): (Arc<dyn Executor>, Arc<[u8]>) = if component.is_empty() {
        let task = |name: &str| TaskDefinition::new(Name::parse(name, "task").unwrap());
        let scripts = ScriptedExecutor::new(SystemClock::new()).defined(task("work"), work()).defined(task("leaf"), work());
        (Arc::new(scripts), Arc::default())
    } else {
        let wasm: Arc<[u8]> = std::fs::read(component).unwrap().into();
        (Arc::new(Telling::new(wasm.clone(), &path.with_extension("code"))), wasm)
    };
    let scheduler = Scheduler::builder().sqlite(path).executor(executor).threads(2).build().await.unwrap();
    // So many kills in a row suspend a component; whoever runs this knows better.
    for task in scheduler.tasks().iter().filter(|task| task.pause.is_some()) {
        scheduler.resume_task(task.name.as_str()).await.unwrap();
    }
    if scheduler.task("work").is_none() {
        scheduler.register(wasm).grant(Grant::Runs).policy("work", policy).send().await.unwrap();
    }
    scheduler
}

/// Which execution of this process; the process's own number makes it unlike those of others.
pub(super) fn next_execution() -> u64 {
    static EXECUTIONS: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 24 | EXECUTIONS.fetch_add(1, Ordering::Relaxed)
}

/// Does what its input says, and tells.
fn work() -> Script {
    Arc::new(|attempt| {
        Box::pin(async move {
            let execution = next_execution();
            let (run, number) = (attempt.run, attempt.attempt);
            Entry::Started(run, number, execution, now()).tell();
            let mut children = Vec::new();
            let (how, outcome) = act(attempt, execution, &mut children).await;
            Entry::Returned(run, number, execution, how.into(), children).tell();
            outcome
        })
    })
}

async fn act(attempt: &mut AttemptRequest, execution: u64, children: &mut Vec<RunId>) -> (&'static str, Outcome) {
    let ok = || ("ok", Outcome::Done(Some(Payload::from_value(&execution, "output").unwrap())));
    let input = String::from_utf8(attempt.input.bytes().to_vec()).unwrap();
    let mut words = input.trim_matches('"').split(' ');
    let (what, number) = (words.next().unwrap_or_default(), words.next().and_then(|word| word.parse().ok()).unwrap_or(0));
    let failed = || ("fail", Outcome::failed(FailureReason::Returned, "as asked"));
    let first = attempt.attempt <= number;
    match what {
        "fail" if first => failed(),
        "fan" => {
            for due in [Due::Now, Due::After(Duration::from_millis(5)), Due::After(FAR)] {
                children.push(follow_up(attempt, due));
            }
            if first { failed() } else { ok() }
        }
        "snooze" => {
            children.push(follow_up(attempt, Due::After(Duration::from_millis(2))));
            if first { ("snooze", Outcome::Snooze(Duration::from_millis(3))) } else { ok() }
        }
        "detached" => {
            for place in 0..3 {
                detached(attempt, place, Duration::from_millis(3)).await;
            }
            if first { failed() } else { ok() }
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number.into())).await;
            ok()
        }
        "die" => failpoint::die(),
        "point" => {
            at_point(attempt, number == 1, children).await;
            ok()
        }
        _ => ok(),
    }
}

fn follow_up(attempt: &mut AttemptRequest, due: Due) -> RunId {
    let scheduled = attempt.calls.schedule(request(due, None)).now_or_never();
    scheduled.expect("a task without a schema needs no long check").unwrap()
}

/// Stores a follow-up at once.
async fn detached(attempt: &mut AttemptRequest, place: usize, after: Duration) {
    let key = format!("detached-{}-{place}", attempt.run);
    let child = attempt.calls.schedule_detached(request(Due::After(after), Some(&key))).await.unwrap();
    Entry::Detached(child, key).tell();
}

fn request(due: Due, key: Option<&str>) -> ScheduleRequest {
    ScheduleRequest {
        task: Name::parse("leaf", "task").unwrap(),
        due,
        input: Payload::null(),
        metadata: Metadata::from_entries([("by", "guest")]).unwrap(),
        unique_key: key.map(|key| UniqueKey::parse(key, "key").unwrap().into()),
        max_attempts: None,
        timeout: None,
        priority: None,
    }
}

pub(super) fn now() -> runlater::Timestamp {
    runlater::Clock::now(&SystemClock::new())
}

/// Tells what an observer sees of attempts, until it is dropped.
fn observe(scheduler: &Scheduler) -> JoinSet<()> {
    use tokio::sync::broadcast::error::RecvError;
    let mut events = scheduler.subscribe();
    let mut observer = JoinSet::new();
    observer.spawn(async move {
        loop {
            match events.recv().await {
                Ok(event) => {
                    if let RunChange::Finished { attempt, next, .. } = event.change {
                        Entry::Outcome(event.run, attempt, next.status().as_str().into()).tell();
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    observer
}

/// A mixed load, until somebody kills it; in some lives it ends by itself, which may be cut short too.
async fn load(seed: u64) {
    let scheduler = open().await;
    let mut chance = fastrand::Rng::with_seed(seed);
    let _observer = (chance.u8(..4) > 0).then(|| observe(&scheduler));
    for (name, expression, jitter) in CRONS {
        if scheduler.get_cron(name).await.is_err() {
            scheduler.cron(name, "work").expression(expression).jitter(jitter).input("ok").unwrap().create().await.unwrap();
        }
    }
    let metadata = Metadata::from_entries([("mine", "1")]).unwrap();
    let filter = RunFilter { statuses: vec![Status::Scheduled], metadata, ..RunFilter::default() };
    // What earlier lives left is changed too, each run by one part only.
    let (left, _) = scheduler.list(&filter, &Page::default()).await.unwrap();
    let left: Vec<RunId> = left.into_iter().map(|run| run.id).collect();
    if !setting("COMPONENT").is_empty() {
        // Its code is read by the first attempt, which takes longer than most lives.
        scheduler.wait(scheduler.schedule("touch").send().await.unwrap()).await.unwrap();
    }
    Entry::Ready.tell();
    let mut parts = JoinSet::new();
    for part in 0..PARTS {
        let mine = left.iter().skip(part).step_by(PARTS).copied().collect();
        parts.spawn(steps(scheduler.clone(), fastrand::Rng::with_seed(chance.u64(..)), mine));
    }
    parts.join_all().await;
    if chance.u8(..3) == 0 {
        scheduler.shutdown(Duration::from_millis(5)).await.unwrap();
        Entry::Closed.tell();
    }
    std::future::pending::<()>().await;
}

async fn steps(scheduler: Scheduler, mut chance: fastrand::Rng, mut mine: Vec<RunId>) {
    for _ in 0..STEPS {
        match chance.u8(..10) {
            0..=2 => {
                let input = ["ok", "fail 2", "fan 0", "fan 2", "snooze 2", "detached 1", "slow 12"][chance.usize(..7)];
                let after = Duration::from_millis([0, 0, 4, 15][chance.usize(..4)]);
                let due = now().saturating_add(after);
                let run = scheduler.schedule("work").at(due).input(input).unwrap().send().await.unwrap();
                Entry::Created(run, due, "-".into()).tell();
            }
            3 => {
                let key = format!("key-{}", chance.u16(..400));
                let due = now().saturating_add(Duration::from_millis(2));
                let sent = scheduler.schedule("work").at(due).input("fan 1").unwrap().unique_key(&key).send_unique().await.unwrap();
                // Of one that was there already, only that it is there.
                Entry::Created(sent.id, if sent.created { due } else { runlater::Timestamp::MIN }, key).tell();
            }
            4 => {
                let batch = format!("{:016x}", chance.u64(..));
                let due = now().saturating_add(Duration::from_millis(6));
                let run = || scheduler.schedule("work").at(due).input("fail 1").unwrap().metadata("batch", &batch).metadata("size", "5");
                let sent = scheduler.schedule_all((0..5).map(|_| run()).collect()).await.unwrap();
                tell_all(&sent.iter().map(|run| Entry::Created(run.id, due, "-".into())).collect::<Vec<_>>());
            }
            5 | 6 => {
                // Some come due just when they are about to be changed.
                let due = now().saturating_add(if chance.bool() { FAR } else { Duration::from_millis(chance.u64(2..12)) });
                let run = scheduler.schedule("work").at(due).input("slow 4").unwrap().metadata("mine", "1").send().await.unwrap();
                Entry::Created(run, due, "-".into()).tell();
                mine.push(run);
            }
            kind if !mine.is_empty() => {
                let run = mine.swap_remove(chance.usize(..mine.len()));
                match kind {
                    7 => {
                        let due = now().saturating_add(if chance.bool() { FAR } else { Duration::from_millis(5) });
                        Entry::TryMove(run, due).tell();
                        if scheduler.reschedule(run, due).await.is_ok() {
                            Entry::Moved(run, due).tell();
                        }
                        mine.push(run);
                    }
                    8 => {
                        Entry::TryDelete(run).tell();
                        if scheduler.delete(run).await.is_ok() {
                            Entry::Deleted(run).tell();
                        }
                    }
                    _ => {
                        Entry::TryCancel(run).tell();
                        match scheduler.cancel(run).await {
                            Ok(Cancelled::Now | Cancelled::Before) => Entry::Cancelled(run).tell(),
                            Ok(Cancelled::Requested) => Entry::CancelRequested(run).tell(),
                            Err(_) => {}
                        }
                    }
                }
            }
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Works off everything that is due soon, and ends.
async fn drain() {
    let scheduler = open().await;
    let _observer = observe(&scheduler);
    Entry::Ready.tell();
    end_crons(&scheduler).await;
    finish_all(&scheduler).await;
    scheduler.shutdown(Duration::from_secs(10)).await.unwrap();
    Entry::Closed.tell();
}

/// Stops the crons, once each has shown that it still goes on.
async fn end_crons(scheduler: &Scheduler) {
    let begun = now();
    for cron in scheduler.list_crons(&CronFilter::default()).await.unwrap() {
        let goes_on =
            |run: &Run| run.occurrence.as_ref().is_some_and(|of| of.cron.as_ref() == Some(&cron.name) && of.planned_at > Some(begun));
        let filter = RunFilter { origins: vec![Origin::Cron], trigger_from: Some(begun), ..RunFilter::default() };
        let run = loop {
            let (runs, _) = scheduler.list(&filter, &Page::default()).await.unwrap();
            match runs.into_iter().find(goes_on) {
                Some(run) => break run.id,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        assert_eq!(scheduler.wait(run).await.unwrap().status, Status::Succeeded);
        scheduler.pause_cron(cron.name.as_str(), None, "the last life ends").await.unwrap();
    }
}

async fn finish_all(scheduler: &Scheduler) {
    let statuses = vec![Status::Scheduled, Status::Queued, Status::Running, Status::Backoff];
    loop {
        let soon = Some(now().saturating_add(FAR / 2));
        let filter = RunFilter { statuses: statuses.clone(), trigger_before: soon, ..RunFilter::default() };
        let (runs, _) = scheduler.list(&filter, &Page::default()).await.unwrap();
        if runs.is_empty() {
            return;
        }
        for run in runs {
            scheduler.wait(run.id).await.unwrap();
        }
    }
}

/// Runs one parent that schedules three follow-ups, and dies at the place that the test chose, if it chose one.
async fn point(call: &str, at: &str) {
    if at.starts_with("recover:") || at == "claim:committed" {
        failpoint::arm(at);
    }
    let scheduler = open().await;
    SCHEDULER.send_replace(Some(scheduler.clone()));
    let _observer = observe(&scheduler);
    if let Some(at) = at.strip_prefix("create/") {
        failpoint::arm(at);
    }
    if at == "claim:queued" {
        failpoint::arm(at);
    }
    let input = if call == "detached" { "point 1" } else { "point 0" };
    // The same key each time: whether the last life got as far as storing it is what is not known.
    let parent = scheduler.schedule("work").after(FAR).input(input).unwrap().unique_key("parent").send().await.unwrap();
    Entry::Created(parent, runlater::Timestamp::MIN, "parent".into()).tell();
    // Due only now, so that its guest is not entered by a host that dies while it stores it. An earlier life may have done this.
    let _ = scheduler.trigger_now(parent).await;
    scheduler.wait(parent).await.unwrap();
    trigger_children(&scheduler).await;
    finish_all(&scheduler).await;
    if at.starts_with("checkpoint:") {
        failpoint::arm(at);
        let input = "x".repeat(60_000);
        for number in 0..400 {
            let due = now().saturating_add(FAR);
            let run = scheduler.schedule("work").at(due).input(&input).unwrap().send().await.unwrap();
            Entry::Created(run, due, "-".into()).tell();
            assert!(number < 399, "no checkpoint came");
        }
    }
    if at.starts_with("close:") {
        failpoint::arm(at);
    }
    scheduler.shutdown(Duration::from_secs(10)).await.unwrap();
    Entry::Closed.tell();
}

/// Makes due what the parent's guest scheduled far ahead.
async fn trigger_children(scheduler: &Scheduler) {
    let filter = RunFilter { statuses: vec![Status::Scheduled], ..RunFilter::default() };
    let (children, _) = scheduler.list(&filter, &Page::default()).await.unwrap();
    for child in children.into_iter().filter(|run| run.parent.is_some()) {
        // Of one that is due by itself meanwhile it is told so.
        let _ = scheduler.trigger_now(child.id).await;
    }
}

/// The scheduler of this process, once it is open.
static SCHEDULER: LazyLock<watch::Sender<Option<Scheduler>>> = LazyLock::new(|| watch::Sender::new(None));

/// Returns when the claim of the attempt that calls this is committed: the writer takes things in their order, and a claim is there
/// before its guest is entered.
async fn claim_committed() {
    let scheduler = SCHEDULER.subscribe().wait_for(Option::is_some).await.unwrap().clone().unwrap();
    // Of a run that there never was: it is in the queue like any change, and changes nothing.
    let refused = scheduler.delete(RunId::from_key(1, 1)).await;
    assert!(refused.is_err());
}

/// What the parent's guest does.
async fn at_point(attempt: &mut AttemptRequest, is_detached: bool, children: &mut Vec<RunId>) {
    let at = setting("AT");
    // A quick guest leaves its claim to be written together with its outcome, if the writer is not quicker.
    if setting("SLOW") == "yes" {
        claim_committed().await;
    }
    for place in 0..3 {
        if place == 2 && at == "call" {
            failpoint::die();
        }
        if let Some(at) = at.strip_prefix("call/")
            && place == 1
        {
            failpoint::arm(at);
        }
        if is_detached {
            // Not before the parent's own end, after which it is triggered: the next commit is to be the one that is meant.
            detached(attempt, place, FAR).await;
        } else {
            children.push(follow_up(attempt, Due::Now));
        }
    }
    if let Some(at) = at.strip_prefix("finish/") {
        failpoint::arm(at);
    }
}

/// A run that kills its host, among others.
async fn poison() {
    let scheduler = open().await;
    let due = |key: &str, input: &str| scheduler.schedule("work").input(input).unwrap().unique_key(key);
    let mut runs = vec![due("poison", "die")];
    let keys: Vec<String> = (0..10).map(|number| format!("other-{number}")).collect();
    runs.extend(keys.iter().map(|key| due(key, "slow 2")));
    let sent = scheduler.schedule_all(runs).await.unwrap();
    for run in sent {
        scheduler.wait(run.id).await.unwrap();
    }
    scheduler.shutdown(Duration::from_secs(10)).await.unwrap();
}
