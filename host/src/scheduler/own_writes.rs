//! What an attempt's own writes have made of the runs they concern, so that its reads see them before they are committed.
//!
//! Used by `guest_calls.rs` only. Pure: it is told what storage says, and never asks.

use std::borrow::Cow;
use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use crate::model::{Cursor, Holder, NewRun, Order, Page, Payload, Run, RunFilter, RunId, Standing, Status, Timestamp, UniqueKey};

/// The runs that an attempt's writes concern.
#[derive(Default)]
pub(super) struct OwnWrites {
    runs: FxHashMap<RunId, Own>,
}

/// One of them.
struct Own {
    /// As the attempt sees it. Of a stored run without input and output, which would take the memory of all that it ever touched.
    seen: Run,
    /// Whether it is the attempt's own, and not stored yet.
    new: bool,
    moved_to: Option<Timestamp>,
    triggered_at: Option<Timestamp>,
    /// If it was triggered, too, that was before.
    cancelled_at: Option<Timestamp>,
    deleted: bool,
}

/// The runs of an attempt's writes that take a unique key when it commits.
pub(super) struct Takers {
    pub(super) runs: Vec<RunId>,
    /// Whether the attempt scheduled one of them.
    pub(super) has_new: bool,
}

impl OwnWrites {
    /// The attempt schedules this run. Until that is committed its time has not come, whatever it is.
    pub(super) fn schedule(&mut self, run: &NewRun, now: Timestamp) {
        let seen = Run {
            id: run.id,
            task: run.task.name.clone(),
            status: Status::Scheduled,
            reason: None,
            message: None,
            because: None,
            trigger_at: run.trigger_at,
            due_at: Some(run.trigger_at),
            created_at: now,
            started_at: None,
            finished_at: None,
            attempts: 0,
            failures: 0,
            max_attempts: run.max_attempts,
            timeout: run.timeout,
            cancel_requested: false,
            priority: run.priority.unwrap_or(run.task.policy.priority),
            origin: run.origin,
            parent: run.lineage.map(|lineage| lineage.parent),
            root: run.lineage.map(|lineage| lineage.root),
            on_failure: false,
            metadata: run.metadata.clone(),
            unique_key: run.unique_key.as_ref().map(|unique| unique.key.as_str().into()),
            input: run.input.clone(),
            output: None,
            progress: None,
            occurrence: run.occurrence.clone(),
        };
        self.runs.insert(run.id, Own { seen, new: true, moved_to: None, triggered_at: None, cancelled_at: None, deleted: false });
    }

    /// The attempt moves this run, as it saw it.
    pub(super) fn reschedule(&mut self, seen: Run, to: Timestamp) {
        self.change(seen, |own| own.moved_to = Some(to));
    }

    /// The attempt cancels this run, as it saw it.
    pub(super) fn cancel(&mut self, seen: Run, now: Timestamp) {
        self.change(seen, |own| own.cancelled_at = Some(now));
    }

    /// The attempt makes this run due, as it saw it: what it did to it before counts no more.
    pub(super) fn trigger(&mut self, seen: Run, now: Timestamp) {
        self.change(seen, |own| (own.moved_to, own.cancelled_at, own.triggered_at) = (None, None, Some(now)));
    }

    /// The attempt deletes this run, as it saw it. One of its own is as if it had never been.
    pub(super) fn delete(&mut self, seen: Run) {
        if self.is_new(seen.id) {
            self.runs.remove(&seen.id);
        } else {
            self.change(seen, |own| own.deleted = true);
        }
    }

    /// Whether the attempt scheduled this run.
    pub(super) fn is_new(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|own| own.new)
    }

    /// Whether the attempt made sure that this run never has an attempt: deleted it, or cancelled it before its first one.
    pub(super) fn will_not_come(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|own| own.deleted || (own.cancelled_at.is_some() && own.seen.attempts == 0))
    }

    /// Whether the attempt cancelled this run.
    pub(super) fn is_cancelled(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|own| own.cancelled_at.is_some())
    }

    /// Whether a write concerns this run.
    pub(super) fn concern(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    /// The stored runs that a write concerns.
    pub(super) fn stored(&self) -> impl Iterator<Item = RunId> {
        self.runs.iter().filter(|(_, own)| !own.new).map(|(run, _)| *run)
    }

    /// The run as the attempt scheduled it.
    pub(super) fn new_run(&self, run: RunId) -> Option<&Run> {
        self.runs.get(&run).filter(|own| own.new).map(|own| &own.seen)
    }

    /// A stored run with the attempt's writes applied; `None` if it deleted it.
    pub(super) fn apply(&self, stored: Run) -> Option<Run> {
        match self.runs.get(&stored.id) {
            None => Some(stored),
            Some(own) if own.deleted => None,
            Some(own) => Some(own.apply(stored)),
        }
    }

    /// The runs that take this unique key when the attempt commits: those that it schedules, then those that it triggers.
    pub(super) fn takers(&self, key: &UniqueKey) -> Takers {
        let under_key = || self.runs.iter().filter(|(_, own)| !own.deleted && own.seen.unique_key.as_deref() == Some(key.as_str()));
        let mut runs: Vec<_> = under_key().filter(|(_, own)| own.new).map(|(run, _)| *run).collect();
        let has_new = !runs.is_empty();
        runs.extend(under_key().filter(|(_, own)| !own.new && own.triggered_at.is_some()).map(|(run, _)| *run));
        Takers { runs, has_new }
    }

    /// The stored run that holds a unique key, with the attempt's writes applied; `None` if it deleted the run.
    pub(super) fn apply_to_holder(&self, holder: Holder) -> Option<Holder> {
        let Some(own) = self.runs.get(&holder.run) else { return Some(holder) };
        if own.deleted {
            return None;
        }
        let finished_at = match holder.standing {
            Standing::Ended(at) => Some(at),
            Standing::Waiting | Standing::Triggered => None,
        };
        let Holder { status, reason, trigger_at, .. } = holder;
        let seen = own.apply(Run { status, reason, trigger_at, finished_at, ..own.seen.clone() });
        let standing = match (seen.finished_at, seen.status) {
            (Some(at), _) => Standing::Ended(at),
            (None, Status::Scheduled) => Standing::Waiting,
            (None, _) => Standing::Triggered,
        };
        Some(Holder { status: seen.status, reason: seen.reason, trigger_at: seen.trigger_at, standing, ..holder })
    }

    /// The runs that a write concerns and that match now, in no order.
    pub(super) fn matching(&self, filter: &RunFilter) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|own| !own.deleted && filter.matches(&own.seen)).map(|own| &own.seen)
    }

    fn change(&mut self, seen: Run, change: impl FnOnce(&mut Own)) {
        let own = self.runs.entry(seen.id).or_insert_with(|| {
            let seen = Run { input: Payload::null(), output: None, ..seen };
            Own { seen, new: false, moved_to: None, triggered_at: None, cancelled_at: None, deleted: false }
        });
        change(own);
        own.seen = own.apply(own.seen.clone());
    }
}

impl Own {
    fn apply(&self, mut run: Run) -> Run {
        // What has triggered meanwhile is shown as it is: the commit will find the conflict.
        if let (Some(to), Status::Scheduled) = (self.moved_to, run.status) {
            run.trigger_at = to;
            run.due_at = Some(to);
        }
        if let Some(at) = self.triggered_at
            && !matches!(run.status, Status::Queued | Status::Running | Status::Succeeded)
        {
            run.status = Status::Queued;
            (run.trigger_at, run.due_at, run.finished_at) = (at, Some(at), None);
            (run.reason, run.message, run.because) = (None, None, None);
        }
        if let Some(at) = self.cancelled_at {
            match run.status {
                Status::Running => run.cancel_requested = true,
                status if status.is_final() => {}
                _ => {
                    run.status = Status::Cancelled;
                    run.reason = Some(Cow::Borrowed("cancelled"));
                    run.due_at = None;
                    run.finished_at = Some(at);
                }
            }
        }
        run
    }
}

/// The page that a list has when the attempt's writes are applied.
///
/// `stored` is the same page of what is stored, without the runs that a write concerns, and `next` where storage's next one
/// begins; `own` are the runs that a write concerns and that match. Storage has shown everything up to `next` and nothing beyond:
/// what the attempt put beyond it belongs to a later page.
pub(super) fn merge<'a>(
    page: &Page,
    mut stored: Vec<Run>,
    next: Option<Cursor>,
    own: impl Iterator<Item = &'a Run>,
) -> (Vec<Run>, Option<Cursor>) {
    let order = page.order;
    let mut own: Vec<_> = own
        .filter(|run| page.cursor.is_none_or(|begin| compare(order, place(run), begin).is_gt()))
        .filter(|run| next.is_none_or(|end| compare(order, place(run), end).is_le()))
        .collect();
    own.sort_unstable_by(|a, b| compare(order, place(a), place(b)));
    // One more than fits, to know whether the page ends here.
    own.truncate(page.size() + 1);
    stored.extend(own.into_iter().cloned());
    stored.sort_by(|a, b| compare(order, place(a), place(b)));
    if stored.len() <= page.size() {
        return (stored, next);
    }
    stored.truncate(page.size());
    let next = stored.last().map(place);
    (stored, next)
}

/// Where a run stands in a list.
pub(super) fn place(run: &Run) -> Cursor {
    Cursor { after: run.id, trigger_at: run.trigger_at }
}

fn compare(order: Order, a: Cursor, b: Cursor) -> Ordering {
    match order {
        Order::NewestFirst => b.after.cmp(&a.after),
        Order::OldestFirst => a.after.cmp(&b.after),
        Order::TriggerTime => (a.trigger_at, a.after).cmp(&(b.trigger_at, b.after)),
        Order::LatestTriggerTime => (b.trigger_at, a.after).cmp(&(a.trigger_at, b.after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::model::{Metadata, Name, Origin};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn run(key: i64, trigger_at: i64) -> Run {
        Run {
            id: RunId::from_key(key, 0),
            task: Name::parse("t", "task").unwrap(),
            status: Status::Scheduled,
            reason: None,
            message: None,
            because: None,
            trigger_at: at(trigger_at),
            due_at: Some(at(trigger_at)),
            created_at: at(0),
            started_at: None,
            finished_at: None,
            attempts: 0,
            failures: 0,
            max_attempts: None,
            timeout: None,
            cancel_requested: false,
            priority: 1,
            origin: Origin::Api,
            parent: None,
            root: None,
            on_failure: false,
            metadata: Metadata::default(),
            unique_key: None,
            input: Payload::null(),
            output: None,
            progress: None,
            occurrence: None,
        }
    }

    /// A page of `runs`, as storage would give it.
    fn list(runs: &[Run], filter: &RunFilter, page: &Page) -> (Vec<Run>, Option<Cursor>) {
        let mut found: Vec<_> = runs.iter().filter(|run| filter.matches(run)).cloned().collect();
        found.retain(|run| page.cursor.is_none_or(|begin| compare(page.order, place(run), begin).is_gt()));
        found.sort_by(|a, b| compare(page.order, place(a), place(b)));
        let more = found.len() > page.size();
        found.truncate(page.size());
        let next = found.last().map(place).filter(|_| more);
        (found, next)
    }

    #[test]
    fn pages_with_own_writes_are_the_pages_of_what_the_writes_would_leave() {
        let mut chance = fastrand::Rng::with_seed(17);
        for case in 0..3_000 {
            let stored: Vec<_> = (0..chance.i64(0..12)).map(|key| run(key, chance.i64(0..9))).collect();
            let mut own = OwnWrites::default();
            let mut left = stored.clone();
            for before in &stored {
                let place = left.iter().position(|run| run.id == before.id).unwrap();
                match chance.u8(0..7) {
                    0 => {
                        own.delete(before.clone());
                        left.remove(place);
                    }
                    1 => {
                        let to = at(chance.i64(0..9));
                        own.reschedule(before.clone(), to);
                        (left[place].trigger_at, left[place].due_at) = (to, Some(to));
                    }
                    2 => {
                        own.cancel(before.clone(), at(50));
                        left[place] = own.apply(before.clone()).unwrap();
                    }
                    3 => {
                        own.trigger(before.clone(), at(5));
                        left[place] = own.apply(before.clone()).unwrap();
                    }
                    _ => {}
                }
            }
            for key in 100..100 + chance.i64(0..4) {
                let new = run(key, chance.i64(0..9));
                own.runs.insert(
                    new.id,
                    Own { seen: new.clone(), new: true, moved_to: None, triggered_at: None, cancelled_at: None, deleted: false },
                );
                left.push(new);
            }
            let filter = RunFilter {
                statuses: if chance.bool() { vec![] } else { vec![Status::Scheduled] },
                trigger_before: chance.bool().then(|| at(6)),
                ..RunFilter::default()
            };
            for order in [Order::NewestFirst, Order::OldestFirst, Order::TriggerTime, Order::LatestTriggerTime] {
                let expected = list(&left, &filter, &Page::new(500, None, order).unwrap()).0;
                let mut page = Page::new(chance.usize(1..7), None, order).unwrap();
                let mut seen = Vec::new();
                loop {
                    let (mut runs, next) = list(&stored, &filter, &page);
                    runs.retain(|run| !own.concern(run.id));
                    let (runs, next) = merge(&page, runs, next, own.matching(&filter));
                    assert!(runs.len() <= page.size(), "case {case}");
                    seen.extend(runs);
                    page.cursor = next;
                    if next.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, expected, "case {case}, {order:?}");
            }
        }
    }

    #[test]
    fn the_holder_of_a_unique_key_is_the_one_that_the_writes_would_leave() {
        let key = UniqueKey::parse("k", "key").unwrap();
        let under_key = |run: Run| Run { unique_key: Some("k".into()), ..run };
        let holder = |seen: &Run, was_attempted| Holder {
            run: seen.id,
            trigger_at: seen.trigger_at,
            standing: seen.finished_at.map_or(Standing::Waiting, Standing::Ended),
            same_task: false,
            is_equal: false,
            held_for: Duration::from_secs(5),
            first_at: at(0),
            status: seen.status,
            reason: seen.reason.clone(),
            was_attempted,
        };
        let mut own = OwnWrites::default();
        let left = |own: &OwnWrites, holder: Holder, now| {
            let holder = own.apply_to_holder(holder).and_then(|holder| holder.holding(at(now)))?;
            Some((holder.status.unwrap(), holder.trigger_at, holder.held_until))
        };
        let (waits, backs_off) = (under_key(run(1, 10)), Run { status: Status::Backoff, attempts: 1, ..under_key(run(2, 10)) });
        own.reschedule(waits.clone(), at(20));
        assert_eq!(left(&own, holder(&waits, false), 1), Some((Status::Scheduled, at(20), None)));
        own.cancel(waits.clone(), at(1));
        assert_eq!(left(&own, holder(&waits, false), 1), None, "it will never have an attempt");
        own.cancel(backs_off.clone(), at(1));
        assert_eq!(left(&own, holder(&backs_off, true), 5), Some((Status::Cancelled, at(10), Some(at(6)))));
        assert_eq!(left(&own, holder(&backs_off, true), 6), None, "the hold time after its end is over");
        assert!(own.takers(&key).runs.is_empty());

        let failed = Run { status: Status::Failed, finished_at: Some(at(1)), attempts: 1, ..under_key(run(3, 0)) };
        own.trigger(failed.clone(), at(2));
        assert_eq!((own.takers(&key).runs, own.takers(&key).has_new), (vec![failed.id], false));
        let new = under_key(run(4, 10));
        own.runs
            .insert(new.id, Own { seen: new.clone(), new: true, moved_to: None, triggered_at: None, cancelled_at: None, deleted: false });
        own.cancel(new.clone(), at(2));
        assert_eq!((own.takers(&key).runs, own.takers(&key).has_new), (vec![new.id, failed.id], true));
        own.delete(new);
        own.delete(failed);
        assert_eq!((own.takers(&key).runs, own.takers(&key).has_new), (vec![], false));
    }

    #[test]
    fn what_happened_meanwhile_is_shown_as_it_is() {
        let mut own = OwnWrites::default();
        own.reschedule(run(1, 10), at(20));
        assert_eq!(own.apply(run(1, 10)).unwrap().trigger_at, at(20));
        let triggered = Run { status: Status::Running, ..run(1, 10) };
        assert_eq!(own.apply(triggered.clone()), Some(triggered.clone()), "it is too late to move it");

        own.cancel(triggered.clone(), at(30));
        assert!(own.apply(triggered).unwrap().cancel_requested);
        let ended = Run { status: Status::Succeeded, ..run(1, 10) };
        assert_eq!(own.apply(ended.clone()), Some(ended), "it is too late to cancel it");

        let failed = Run { status: Status::Failed, finished_at: Some(at(40)), ..run(2, 10) };
        own.trigger(failed.clone(), at(50));
        let again = Run { status: Status::Queued, trigger_at: at(50), due_at: Some(at(50)), finished_at: None, ..failed.clone() };
        assert_eq!(own.apply(failed), Some(again.clone()));
        own.cancel(again, at(60));
        let seen = own.apply(Run { status: Status::Failed, ..run(2, 10) }).unwrap();
        assert_eq!((seen.status, seen.finished_at), (Status::Cancelled, Some(at(60))));
    }
}
