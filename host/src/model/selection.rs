//! Which runs a bulk change is about.
//!
//! The types prove two promises: a bulk change takes no filter that is empty by accident, and it names each run once.

use super::limits::PAGE_SIZE_MAX;
use super::{Invalid, RunFilter, RunId};

/// The runs that a bulk change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The runs with these ids.
    Ids(RunIds),
    /// The runs that match.
    Matching(BulkFilter),
}

impl Selection {
    /// The runs with these ids: 1 to 500. An id that repeats counts once.
    ///
    /// # Errors
    /// `invalid-bulk` for no ids and for more than 500.
    pub fn ids(ids: impl IntoIterator<Item = RunId>) -> Result<Self, Invalid> {
        RunIds::new(ids).map(Self::Ids)
    }

    /// Every run of the namespace.
    pub fn all() -> Self {
        Self::Matching(BulkFilter::all())
    }
}

impl RunFilter {
    /// Selects every run of the namespace for a bulk change.
    pub fn all() -> Selection {
        Selection::all()
    }

    /// Selects the runs that match for a bulk change.
    ///
    /// # Errors
    /// `empty-filter` for a filter without conditions: [`RunFilter::all`] selects every run.
    pub fn select(self) -> Result<Selection, Invalid> {
        BulkFilter::new(self).map(Selection::Matching)
    }
}

/// The filter of a bulk change: it has at least one condition, or was made to mean every run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkFilter(RunFilter);

impl BulkFilter {
    /// Matches every run of the namespace.
    pub fn all() -> Self {
        Self(RunFilter::default())
    }

    /// Matches what `filter` matches.
    ///
    /// # Errors
    /// `empty-filter` for a filter without conditions.
    pub fn new(filter: RunFilter) -> Result<Self, Invalid> {
        if filter == RunFilter::default() {
            let reason = "has no condition, and would match every run; add one, or say that all are meant (RunFilter::all)";
            return Err(Invalid::new(BulkFilter::EMPTY, "filter", reason));
        }
        filter.checked().map(Self)
    }

    /// The code by which every surface refuses a filter without conditions.
    pub const EMPTY: &'static str = "empty-filter";

    /// Its conditions; the default if every run is meant.
    pub fn conditions(&self) -> &RunFilter {
        &self.0
    }
}

/// 1 to 500 ids, each once, in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunIds(Vec<RunId>);

impl RunIds {
    /// Checks the count, and leaves out ids that repeat.
    pub fn new(ids: impl IntoIterator<Item = RunId>) -> Result<Self, Invalid> {
        let mut seen = rustc_hash::FxHashSet::default();
        let mut given = 0;
        let each = ids.into_iter().inspect(|_| given += 1).filter(|id| seen.insert(*id)).collect();
        check_bulk_count(given, "ids")?;
        Ok(Self(each))
    }

    /// The ids.
    pub fn as_slice(&self) -> &[RunId] {
        &self.0
    }

    /// The ids.
    pub fn into_vec(self) -> Vec<RunId> {
        self.0
    }
}

/// Refuses a bulk request that names no run, or more than 500.
pub(crate) fn check_bulk_count(count: usize, field: &str) -> Result<(), Invalid> {
    match count {
        0 => Err(Invalid::new("invalid-bulk", field, format!("is empty; name 1 to {PAGE_SIZE_MAX} runs, or say that all are meant"))),
        1..=PAGE_SIZE_MAX => Ok(()),
        _ => Err(Invalid::new(
            "invalid-bulk",
            field,
            format!("1 to {PAGE_SIZE_MAX} runs in one request; send more in portions, or use a filter"),
        )
        .seen(count.to_string())),
    }
}

/// Leaves out runs that repeat with the same time, and keeps the order.
///
/// # Errors
/// `invalid-bulk`, with the place of the second one as its field, for a run that is given two different times.
pub(crate) fn distinct_moves<R: Clone + Eq + std::hash::Hash, T: PartialEq>(moves: Vec<(R, T)>) -> Result<Vec<(R, T)>, Invalid> {
    check_bulk_count(moves.len(), "moves")?;
    let mut places = rustc_hash::FxHashMap::default();
    let mut each: Vec<(R, T)> = Vec::with_capacity(moves.len());
    for (place, (run, to)) in moves.into_iter().enumerate() {
        match places.get(&run) {
            None => {
                places.insert(run.clone(), (each.len(), place));
                each.push((run, to));
            }
            Some(&(found, _)) if each[found].1 == to => {}
            Some((_, first)) => {
                let reason = format!("moves[{first}] moves the same run to another time; give each run one time");
                return Err(Invalid::new("invalid-bulk", format!("moves[{place}]"), reason));
            }
        }
    }
    Ok(each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;

    fn id(key: i64) -> RunId {
        RunId::from_key(key, 0)
    }

    #[test]
    fn an_empty_filter_selects_nothing_by_accident() {
        assert_eq!(RunFilter::default().select().unwrap_err().code, "empty-filter");
        assert_eq!(RunFilter::all(), Selection::Matching(BulkFilter::all()));
        let failed = RunFilter { statuses: vec![Status::Failed], ..RunFilter::default() };
        assert_eq!(failed.clone().select(), Ok(Selection::Matching(BulkFilter(failed))));
    }

    #[test]
    fn ids_are_counted_and_named_once() {
        assert_eq!(RunIds::new([id(2), id(1), id(2)]).unwrap().as_slice(), [id(2), id(1)]);
        for count in [0, 501] {
            assert_eq!(Selection::ids((0..count).map(id)).unwrap_err().code, "invalid-bulk");
        }
        assert!(Selection::ids((0..500).map(id)).is_ok());
    }

    #[test]
    fn a_run_has_one_time() {
        assert_eq!(distinct_moves(vec![(id(1), 5), (id(2), 6), (id(1), 5)]), Ok(vec![(id(1), 5), (id(2), 6)]));
        let conflict = distinct_moves(vec![(id(2), 1), (id(1), 5), (id(1), 6)]).unwrap_err();
        assert_eq!((conflict.code, conflict.field.as_str()), ("invalid-bulk", "moves[2]"));
        assert!(conflict.reason.contains("moves[1]"));
        assert!(distinct_moves::<RunId, i32>(vec![]).is_err());
    }
}
