//! How an attempt ends: what a task function may return, and what becomes of it.

use serde::Serialize;

use crate::error::Error;
use crate::time::Duration;

/// How an attempt ended that did not fail. Either way its writes are committed.
///
/// A task that never snoozes returns its output by itself: `Result<T, Failure>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The run succeeded, with this output.
    Done(T),
    /// Nothing to do yet: run me again this much later. Not counted as a failure.
    Snooze(Duration),
}

/// How an attempt failed. None of its writes happened.
///
/// Made by `?` from any error (then it is retried), or by [`Failure::retry`] and [`Failure::reject`].
// Not an `Error` itself: that would forbid the conversion from every other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth another attempt, as often as the task's policy allows.
    Retry {
        /// What went wrong, for whoever reads the run.
        reason: String,
        /// Not before this much later, whatever the retry policy says.
        after: Option<Duration>,
    },
    /// Don't try again: it will never work.
    Reject {
        /// What went wrong, for whoever reads the run.
        reason: String,
    },
}

impl Failure {
    /// Worth another attempt.
    pub fn retry(reason: impl Into<String>) -> Self {
        Failure::Retry { reason: reason.into(), after: None }
    }

    /// Don't try again: it will never work.
    pub fn reject(reason: impl Into<String>) -> Self {
        Failure::Reject { reason: reason.into() }
    }

    /// Not before this much later, whatever the retry policy says. Says nothing to a rejected run.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        match self {
            Failure::Retry { reason, .. } => Failure::Retry { reason, after: Some(delay) },
            reject @ Failure::Reject { .. } => reject,
        }
    }

    /// What went wrong.
    pub fn reason(&self) -> &str {
        match self {
            Failure::Retry { reason, .. } | Failure::Reject { reason } => reason,
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let reason = error.to_string();
        match (&error as &dyn std::error::Error).downcast_ref() {
            Some(Error::Invalid { .. }) => Failure::reject(reason),
            Some(Error::Unavailable(Some(delay))) => Failure::retry(reason).after(*delay),
            _ => Failure::retry(reason),
        }
    }
}

/// An outcome with its output as JSON; none when it is `null`, as of `()`.
pub type JsonOutcome = Outcome<Option<Vec<u8>>>;

/// What a task function may return: `Result<T, Failure>` or `Result<Outcome<T>, Failure>`, where `T` serializes.
pub trait IntoOutcome {
    /// Serializes the output.
    fn into_outcome(self) -> Result<JsonOutcome, Failure>;
}

impl<T: Serialize> IntoOutcome for Result<T, Failure> {
    fn into_outcome(self) -> Result<JsonOutcome, Failure> {
        done(&self?)
    }
}

impl<T: Serialize> IntoOutcome for Result<Outcome<T>, Failure> {
    fn into_outcome(self) -> Result<JsonOutcome, Failure> {
        match self? {
            Outcome::Done(output) => done(&output),
            Outcome::Snooze(delay) => Ok(Outcome::Snooze(delay)),
        }
    }
}

fn done(output: &impl Serialize) -> Result<JsonOutcome, Failure> {
    let json = serde_json::to_vec(output).map_err(|error| Failure::reject(format!("the output can't be written as JSON: {error}")))?;
    Ok(Outcome::Done((json != b"null").then_some(json)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::seconds;

    #[test]
    fn errors_become_the_failure_that_fits() {
        let from = |error: Error| Failure::from(error);
        assert_eq!(from(Error::invalid("due", "too late")), Failure::reject("`due` is not valid: too late"));
        assert_eq!(from(Error::Unavailable(Some(seconds(3)))), Failure::retry("the scheduler can't answer now").after(seconds(3)));
        assert_eq!(from(Error::Forbidden("runs".into())), Failure::retry("the task lacks the grant `runs`"));
        let other = "x".parse::<u8>().unwrap_err();
        assert_eq!(Failure::from(other), Failure::retry("invalid digit found in string"));
    }

    #[test]
    fn outputs_become_json() {
        assert_eq!(Ok::<_, Failure>(()).into_outcome(), Ok(Outcome::Done(None)));
        assert_eq!(Ok::<_, Failure>("a").into_outcome(), Ok(Outcome::Done(Some(b"\"a\"".to_vec()))));
        assert_eq!(Ok::<_, Failure>(Outcome::Done(1)).into_outcome(), Ok(Outcome::Done(Some(b"1".to_vec()))));
        assert_eq!(Ok::<Outcome<()>, Failure>(Outcome::Snooze(seconds(5))).into_outcome(), Ok(Outcome::Snooze(seconds(5))));
    }
}
