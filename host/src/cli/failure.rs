//! Why a command failed, as text or JSON on stderr and as an exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::screen::{clean, clean_marked};
use crate::http::error::Problem;
use crate::scheduler::Error;
use crate::storage::StorageError;

/// What scripts tell failures apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    RunFailed = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Auth = 5,
    Unreachable = 6,
    OutcomeUnknown = 7,
    // The last three are those of sysexits.h.
    DatabaseDamaged = 65,
    Io = 74,
    Config = 78,
}

/// A failure with its exit code. Any other error that a command returns exits with 74.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    code: &'static str,
    message: String,
    problem: Option<Box<Problem>>,
}

impl Failure {
    pub(super) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), problem: None }
    }

    /// What the server refused.
    pub(super) fn from_problem(problem: Problem) -> Self {
        let exit = match (problem.status, problem.code.as_ref()) {
            (_, "outcome-unknown") => Exit::OutcomeUnknown,
            (401 | 403, _) => Exit::Auth,
            (404, _) => Exit::NotFound,
            _ => Exit::Refused,
        };
        let mut message = clean_marked(&problem.detail);
        if let Some(field) = &problem.field {
            message = format!("{}: {message}", clean(field));
        }
        if let Some(seen) = &problem.seen {
            message += &format!(" (seen: \"{}\")", clean(seen));
        }
        Self { exit, code: "", message, problem: Some(Box::new(problem)) }
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A wrong use that clap can't see.
pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure::new(Exit::Usage, "usage", message).into()
}

/// A file or folder that can't be read or written.
pub(super) fn io(action: &str, path: &Path, error: &io::Error) -> anyhow::Error {
    Failure::new(Exit::Io, "io", format!("can't {action} {}: {error}", clean(&path.display().to_string()))).into()
}

/// Why the host could not be started on this database: in one paragraph, with what to do and the command for it.
pub(super) fn database(path: &Path, error: &Error) -> anyhow::Error {
    let exit = match error {
        Error::Storage(StorageError::Corrupt(_) | StorageError::NoDatabase(_)) => Exit::DatabaseDamaged,
        // The wrong file or folder, a file of a newer version or in use: its text says what to change.
        Error::Storage(StorageError::Unavailable(_)) => Exit::Config,
        Error::Storage(_) => Exit::Io,
        _ => Exit::Config,
    };
    let todo = match exit {
        // A file of another kind was named by mistake: nothing was lost.
        _ if matches!(error, Error::Storage(StorageError::NoDatabase(_))) => "To use another file: runlater serve --db OTHER",
        Exit::DatabaseDamaged => "Keep a copy of it, and go on with your last `runlater backup`: runlater serve --db BACKUP",
        Exit::Io => "Check that the folder is writable, and is on a local disk with free space: df -hT FOLDER",
        _ => "To use another file: runlater serve --db OTHER",
    };
    // SQLite's own words may have several lines.
    let why = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let known = !matches!(error, Error::Storage(StorageError::OutcomeUnknown(_)));
    let unchanged = if !known || why.contains("nothing was changed") || why.contains("nothing else was changed") {
        ""
    } else {
        " Nothing was changed."
    };
    let path = path.display().to_string();
    Failure::new(exit, "database", format!("can't open the database {}: {}.{unchanged} {todo}", clean(&path), clean(&why))).into()
}

/// Writes the failure to stderr. Silent if whoever read our output went away, as with `| head`.
pub(super) fn report(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let failure = error.downcast_ref::<Failure>();
    let exit = failure.map_or(Exit::Io, |failure| failure.exit);
    let message = if failure.is_some() { error.to_string() } else { clean(&format!("{error:#}")) };
    let text = if as_json {
        let mut fields = match failure.and_then(|failure| failure.problem.as_ref()) {
            Some(problem) => serde_json::to_value(problem).unwrap_or_default(),
            None => json!({ "code": failure.map_or("io", |failure| failure.code), "detail": message }),
        };
        fields["exit"] = json!(exit as u8);
        super::screen::escape_json(&fields.to_string())
    } else {
        format!("error: {message}")
    };
    use io::Write as _;
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(exit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_database_has_its_exit_code_and_one_paragraph() {
        let why = || "*** in database main ***\nTree 3 page 3: \u{1b}[31m".to_string();
        for (error, exit, words) in [
            (StorageError::Corrupt(why()), Exit::DatabaseDamaged, "main *** Tree 3 page 3: \\u{1b}[31m. Nothing was changed. Keep a copy"),
            (StorageError::Unavailable("x.db: nothing was changed".into()), Exit::Config, "nothing was changed. To use another file"),
            (StorageError::OutcomeUnknown("EIO".into()), Exit::Io, "unique key. Check that the folder is writable"),
            (StorageError::Full, Exit::Io, "with free space: df -hT"),
        ] {
            let failure = database(Path::new("x.db"), &error.into());
            let failure = failure.downcast_ref::<Failure>().unwrap();
            let text = failure.to_string();
            assert!(text.starts_with("can't open the database x.db: ") && text.contains(words) && text.lines().count() == 1, "{text}");
            assert_eq!(failure.exit(), exit, "{text}");
        }
    }

    #[test]
    fn the_servers_refusals_have_their_exit_codes() {
        for (status, code, exit) in [
            (401, "unauthorized", Exit::Auth),
            (403, "forbidden", Exit::Auth),
            (404, "run-not-found", Exit::NotFound),
            (409, "already-triggered", Exit::Refused),
            (422, "invalid-time", Exit::Refused),
            (503, "overloaded", Exit::Refused),
            (503, "database-locked", Exit::Refused),
            (503, "outcome-unknown", Exit::OutcomeUnknown),
        ] {
            let problem = Problem { status, code: code.into(), detail: "\u{1b}[31mx".into(), ..Problem::default() };
            let failure = Failure::from_problem(problem);
            assert_eq!(failure.exit(), exit, "{code}");
            assert!(!failure.to_string().contains('\u{1b}'));
        }
    }
}
