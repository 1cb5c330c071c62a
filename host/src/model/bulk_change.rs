//! What a bulk change does to each of the selected runs, and to which of them it can't be done.
//!
//! A filter is divided into the runs that can be changed and those that cannot, so that a dry run, which counts, and the action, which walks
//! through the runs, agree. Both agree with [`BulkChange::verdict`], which judges one run.

use super::{BulkFilter, Origin, Run, RunFilter, Status, Timestamp};

/// What is done to each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkChange {
    /// Delete scheduled runs.
    Delete,
    /// Move scheduled runs to another time.
    Reschedule,
    /// Move scheduled runs by this many microseconds: later, or earlier if negative.
    Shift(i64),
    /// Cancel runs that have not ended.
    Cancel,
    /// Make runs due now. A filter without a status means failed and missed runs here.
    Trigger,
}

/// Why a run can't be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has triggered.
    AlreadyTriggered,
    /// A component's code declares it.
    DefinedByCode,
    /// It has ended.
    AlreadyEnded,
    /// It is due or running.
    UnderWay,
    /// Its new time would lie outside the years 1970 to 9999.
    OutOfRange,
}

/// A filter, divided by what a change can do. Each run that `asked` matches is matched by exactly one of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// All runs that the request means.
    pub asked: RunFilter,
    /// Those that can be changed; `None` if no run can.
    pub fit: Option<RunFilter>,
    /// Those that cannot.
    pub unfit: Vec<RunFilter>,
}

impl BulkChange {
    /// Whether this can be done to `run`.
    pub fn verdict(self, run: &Run) -> Result<(), Unfit> {
        match (self, run.status) {
            (Self::Cancel, status) if status.is_final() => Err(Unfit::AlreadyEnded),
            (Self::Cancel, _) => Ok(()),
            (Self::Trigger, Status::Queued | Status::Running) => Err(Unfit::UnderWay),
            (Self::Trigger, Status::Succeeded) => Err(Unfit::AlreadyEnded),
            (Self::Trigger, _) => Ok(()),
            (_, status) if status != Status::Scheduled => Err(Unfit::AlreadyTriggered),
            _ if run.origin == Origin::Code => Err(Unfit::DefinedByCode),
            (Self::Shift(by), _) => match run.trigger_at.as_micros().checked_add(by).and_then(Timestamp::from_micros) {
                Some(_) => Ok(()),
                None => Err(Unfit::OutOfRange),
            },
            _ => Ok(()),
        }
    }

    /// Divides `filter`.
    pub fn parts(self, filter: &BulkFilter) -> Parts {
        let mut asked = filter.conditions().clone();
        if self == Self::Trigger && asked.statuses.is_empty() {
            // Nobody means all that is still to come.
            asked.statuses = vec![Status::Failed, Status::Missed];
        }
        let statuses = if asked.statuses.is_empty() { &Status::ALL[..] } else { &asked.statuses[..] };
        let (fit, others): (Vec<_>, Vec<_>) = statuses.iter().partition(|status| self.takes(**status));
        let of = |statuses| RunFilter { statuses, ..asked.clone() };
        let mut unfit: Vec<_> = (!others.is_empty()).then(|| of(others)).into_iter().collect();
        let mut fit = (!fit.is_empty()).then(|| of(fit));
        if matches!(self, Self::Delete | Self::Reschedule | Self::Shift(_)) {
            fit = fit.and_then(|fit| without_code(fit, &mut unfit));
        }
        if let Self::Shift(by) = self {
            fit = fit.and_then(|fit| within_range(fit, by, &mut unfit));
        }
        Parts { asked, fit, unfit }
    }

    fn takes(self, status: Status) -> bool {
        match self {
            Self::Delete | Self::Reschedule | Self::Shift(_) => status == Status::Scheduled,
            Self::Cancel => !status.is_final(),
            Self::Trigger => !matches!(status, Status::Queued | Status::Running | Status::Succeeded),
        }
    }
}

/// Leaves out the runs that code declares.
fn without_code(mut fit: RunFilter, unfit: &mut Vec<RunFilter>) -> Option<RunFilter> {
    if fit.origins.is_empty() {
        fit.origins = Origin::ALL.to_vec();
    }
    if fit.origins.contains(&Origin::Code) {
        unfit.push(RunFilter { origins: vec![Origin::Code], ..fit.clone() });
        fit.origins.retain(|origin| *origin != Origin::Code);
    }
    (!fit.origins.is_empty()).then_some(fit)
}

/// Leaves out the runs whose time would leave the range of times.
fn within_range(mut fit: RunFilter, by: i64, unfit: &mut Vec<RunFilter>) -> Option<RunFilter> {
    let (first, last) = (Timestamp::MIN.as_micros().saturating_sub(by), Timestamp::MAX.as_micros().saturating_sub(by));
    // The first time that stays within the range, and the first that does not any more.
    let begin = Timestamp::from_micros(first.max(Timestamp::MIN.as_micros()));
    let end = Timestamp::from_micros(last.saturating_add(1).max(Timestamp::MIN.as_micros()));
    let (Some(begin), false) = (begin, last < Timestamp::MIN.as_micros()) else {
        unfit.push(fit);
        return None;
    };
    if by < 0 {
        unfit.push(RunFilter { trigger_before: Some(fit.trigger_before.map_or(begin, |before| before.min(begin))), ..fit.clone() });
        fit.trigger_from = Some(fit.trigger_from.map_or(begin, |from| from.max(begin)));
    } else if let Some(end) = end {
        unfit.push(RunFilter { trigger_from: Some(fit.trigger_from.map_or(end, |from| from.max(end))), ..fit.clone() });
        fit.trigger_before = Some(fit.trigger_before.map_or(end, |before| before.min(end)));
    }
    Some(fit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Metadata, Name, Payload, RunId};

    fn run(status: Status, origin: Origin, trigger_at: i64) -> Run {
        Run {
            id: RunId::from_key(1, 0),
            task: Name::parse("t", "task").unwrap(),
            status,
            reason: None,
            message: None,
            because: None,
            trigger_at: Timestamp::from_micros(trigger_at).unwrap(),
            due_at: None,
            created_at: Timestamp::MIN,
            started_at: None,
            finished_at: None,
            attempts: 0,
            failures: 0,
            max_attempts: None,
            timeout: None,
            cancel_requested: false,
            priority: 1,
            origin,
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

    #[test]
    fn each_run_is_in_one_part_by_its_verdict() {
        let mut chance = fastrand::Rng::with_seed(6);
        let last = Timestamp::MAX.as_micros();
        for _ in 0..30_000 {
            // Times and spans at the edges of their ranges, a few microseconds off.
            let mut time = || [0, 1_000, last / 2, last - 1_000, last][chance.usize(0..5)] + [0, 1, -1][chance.usize(0..3)];
            let (at, from, before) = (time().clamp(0, last), time().clamp(0, last), time().clamp(0, last));
            let mut span = time();
            if chance.bool() {
                span = -span;
            }
            let span = if chance.u8(0..20) == 0 { [i64::MIN, i64::MAX][chance.usize(0..2)] } else { span };
            let change = [BulkChange::Delete, BulkChange::Reschedule, BulkChange::Shift(span), BulkChange::Cancel, BulkChange::Trigger]
                [chance.usize(0..5)];
            let some = |chance: &mut fastrand::Rng, count: usize| -> Vec<usize> {
                (0..chance.usize(0..3)).map(|_| chance.usize(0..count)).collect()
            };
            let filter = RunFilter {
                statuses: some(&mut chance, Status::ALL.len()).into_iter().map(|at| Status::ALL[at]).collect(),
                origins: some(&mut chance, Origin::ALL.len()).into_iter().map(|at| Origin::ALL[at]).collect(),
                trigger_from: chance.bool().then(|| Timestamp::from_micros(from).unwrap()),
                trigger_before: chance.bool().then(|| Timestamp::from_micros(before).unwrap()),
                ..RunFilter::default()
            };
            let run = run(Status::ALL[chance.usize(0..Status::ALL.len())], Origin::ALL[chance.usize(0..Origin::ALL.len())], at);
            let bulk = if filter == RunFilter::default() { BulkFilter::all() } else { BulkFilter::new(filter.clone()).unwrap() };
            let parts = change.parts(&bulk);
            let (fit, unfit) =
                (parts.fit.iter().filter(|part| part.matches(&run)).count(), parts.unfit.iter().filter(|part| part.matches(&run)).count());
            let expected = match (parts.asked.matches(&run), change.verdict(&run)) {
                (false, _) => (0, 0),
                (true, Ok(())) => (1, 0),
                (true, Err(_)) => (0, 1),
            };
            assert_eq!((fit, unfit), expected, "{change:?} {filter:?} {run:?}");
            let implied = change == BulkChange::Trigger && filter.statuses.is_empty();
            let meant = filter.matches(&run) && (!implied || matches!(run.status, Status::Failed | Status::Missed));
            assert_eq!(parts.asked.matches(&run), meant);
        }
    }
}
