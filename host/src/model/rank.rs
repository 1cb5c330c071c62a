//! Which of the waiting runs of a namespace goes first.
//!
//! Asked by storage, which keeps its queue in this order.

use super::limits::PRIORITY_HEAD_START;

/// The rank of a run that is due at `due_at`, both in microseconds since 1970: the lower one starts first, equals in order of id.
///
/// It never changes while the run waits. So a run of priority 3 overtakes whatever of priority 1 became due up to two minutes before it,
/// and nothing that waited longer: an old run has at most two minutes' worth of others before it, however many urgent ones come.
pub const fn rank(due_at: i64, priority: u8) -> i64 {
    due_at - (priority as i64 - 1) * PRIORITY_HEAD_START.as_micros() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_priority_is_worth_a_minute() {
        let minute = 60_000_000;
        for (case, (due, priority), (other_due, other_priority), first) in [
            ("equal times", (0, 2), (0, 1), true),
            ("a little later", (minute - 1, 2), (0, 1), true),
            ("a minute later", (minute + 1, 2), (0, 1), false),
            ("two levels", (2 * minute - 1, 3), (0, 1), true),
            ("an old one is not overtaken", (2 * minute + 1, 3), (0, 1), false),
            ("one level between them", (minute + 1, 3), (0, 2), false),
        ] {
            assert_eq!(rank(due, priority) < rank(other_due, other_priority), first, "{case}");
        }
    }
}
