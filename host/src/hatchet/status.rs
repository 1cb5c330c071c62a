//! Statuses, in the words of each of the three lists that the SDKs know. They refuse a whole answer for one word that they don't.

use crate::model::Status;

/// The words of a list's filter.
pub(super) const FILTER_WORDS: &str = "PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED, QUEUED, SCHEDULED";

/// What a row of a list says of its run; `None` while it has none, because its time lies ahead.
pub(super) const fn of_row(status: Status) -> Option<&'static str> {
    Some(match status {
        Status::Scheduled => return None,
        Status::Queued => "QUEUED",
        Status::Running => "RUNNING",
        Status::Backoff => "BACKOFF",
        Status::Succeeded => "SUCCEEDED",
        Status::Failed => "FAILED",
        // There is no word for what was missed.
        Status::Cancelled | Status::Missed => "CANCELLED",
    })
}

/// What a word of a list's filter means; `None`: it is no such word.
pub(super) fn meant_by(word: &str) -> Option<&'static [Status]> {
    Some(match word {
        "SCHEDULED" => &[Status::Scheduled],
        "QUEUED" => &[Status::Queued],
        // The filter has no word for the pause between two attempts.
        "RUNNING" => &[Status::Running, Status::Backoff],
        "SUCCEEDED" => &[Status::Succeeded],
        "FAILED" => &[Status::Failed],
        "CANCELLED" => &[Status::Cancelled, Status::Missed],
        // A run that exists and is not queued yet: there is none here.
        "PENDING" => &[],
        _ => return None,
    })
}

/// The number for it in gRPC.
pub(super) const fn of_run(status: Status) -> i32 {
    match status {
        Status::Scheduled | Status::Queued => 0,
        Status::Running | Status::Backoff => 1,
        Status::Succeeded => 2,
        Status::Failed => 3,
        Status::Cancelled | Status::Missed => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_word_that_the_sdks_know() {
        for status in Status::ALL {
            if let Some(word) = of_row(status) {
                assert!(["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "QUEUED", "BACKOFF"].contains(&word));
            }
            assert_eq!(of_run(status) >= 2, status.is_final());
            let found = FILTER_WORDS.split(", ").filter(|word| meant_by(word).unwrap().contains(&status)).count();
            assert_eq!(found, 1, "a filter finds each once: {status:?}");
        }
        assert_eq!(meant_by("scheduled"), None);
    }
}
