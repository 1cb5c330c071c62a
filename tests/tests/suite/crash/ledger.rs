//! What a victim tells while it lives: one line for each thing, written when it happens.
//!
//! A line is in the pipe once it is written, so the death of its writer loses none. What is announced (`Try…`) may have happened or
//! not; everything else has.

use std::io::Write;
use std::str::FromStr;

use runlater::{RunId, Timestamp};

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// The database is open, and the load begins.
    Ready,
    /// The run is stored, due then; its unique key, or `-`.
    Created(RunId, Timestamp, String),
    /// The run is about to be moved.
    TryMove(RunId, Timestamp),
    Moved(RunId, Timestamp),
    TryDelete(RunId),
    Deleted(RunId),
    TryCancel(RunId),
    /// Cancelled before it ran.
    Cancelled(RunId),
    /// Its attempt in flight was told.
    CancelRequested(RunId),
    /// A guest was entered: the run, the attempt, this execution's own number, the time.
    Started(RunId, u32, u64, Timestamp),
    /// A guest returned: the same, how (`ok`, `fail` or `snooze`), and the follow-ups it was given.
    Returned(RunId, u32, u64, String, Vec<RunId>),
    /// A guest was told that its detached follow-up is stored, under this key.
    Detached(RunId, String),
    /// An observer saw an attempt end: the run, the attempt, the run's status then.
    Outcome(RunId, u32, String),
    /// The victim stopped of its own will.
    Closed,
}

impl Entry {
    /// Tells it.
    pub(crate) fn tell(&self) {
        tell_all(std::slice::from_ref(self));
    }

    fn line(&self) -> String {
        let time = |at: &Timestamp| at.as_micros();
        match self {
            Self::Ready => "ready".into(),
            Self::Created(run, due, key) => format!("created {run} {} {key}", time(due)),
            Self::TryMove(run, due) => format!("try-move {run} {}", time(due)),
            Self::Moved(run, due) => format!("moved {run} {}", time(due)),
            Self::TryDelete(run) => format!("try-delete {run}"),
            Self::Deleted(run) => format!("deleted {run}"),
            Self::TryCancel(run) => format!("try-cancel {run}"),
            Self::Cancelled(run) => format!("cancelled {run}"),
            Self::CancelRequested(run) => format!("cancel-requested {run}"),
            Self::Started(run, attempt, execution, now) => format!("started {run} {attempt} {execution} {}", time(now)),
            Self::Returned(run, attempt, execution, how, children) => {
                let children: Vec<String> = children.iter().map(ToString::to_string).collect();
                format!("returned {run} {attempt} {execution} {how} {}", children.join(" "))
            }
            Self::Detached(run, key) => format!("detached {run} {key}"),
            Self::Outcome(run, attempt, status) => format!("outcome {run} {attempt} {status}"),
            Self::Closed => "closed".into(),
        }
    }

    /// The entry of a whole line; `None` for what others write to the same pipe.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let line = line.strip_suffix('\n')?;
        let mut words = line.strip_prefix('!')?.split_whitespace();
        let mut next = || words.next();
        fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
            word?.parse().ok()
        }
        let run = |word: Option<&str>| RunId::parse(word?, "run").ok();
        let time = |word| Timestamp::from_micros(number(word)?);
        Some(match next()? {
            "ready" => Self::Ready,
            "created" => Self::Created(run(next())?, time(next())?, next()?.into()),
            "try-move" => Self::TryMove(run(next())?, time(next())?),
            "moved" => Self::Moved(run(next())?, time(next())?),
            "try-delete" => Self::TryDelete(run(next())?),
            "deleted" => Self::Deleted(run(next())?),
            "try-cancel" => Self::TryCancel(run(next())?),
            "cancelled" => Self::Cancelled(run(next())?),
            "cancel-requested" => Self::CancelRequested(run(next())?),
            "started" => Self::Started(run(next())?, number(next())?, number(next())?, time(next())?),
            "returned" => {
                let (parent, attempt, execution, how) = (run(next())?, number(next())?, number(next())?, next()?.to_owned());
                let children = words.map(|word| run(Some(word))).collect::<Option<_>>()?;
                Self::Returned(parent, attempt, execution, how, children)
            }
            "detached" => Self::Detached(run(next())?, next()?.into()),
            "outcome" => Self::Outcome(run(next())?, number(next())?, next()?.into()),
            "closed" => Self::Closed,
            _ => return None,
        })
    }
}

/// Tells several things with one write.
pub(crate) fn tell_all(entries: &[Entry]) {
    let lines: String = entries.iter().map(|entry| format!("!{}\n", entry.line())).collect();
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: then nobody needs to be told.
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

#[test]
fn what_is_told_is_understood() {
    let run = RunId::from_key(1 << 30, 7);
    let entries = [
        Entry::Created(run, Timestamp::MIN, "-".into()),
        Entry::Started(run, 2, 3, Timestamp::MIN),
        Entry::Returned(run, 2, 3, "ok".into(), vec![run, run]),
        Entry::Returned(run, 2, 3, "fail".into(), vec![]),
        Entry::CancelRequested(run),
    ];
    for entry in entries {
        assert_eq!(Entry::parse(&format!("!{}\n", entry.line())), Some(entry.clone()));
        assert_eq!(Entry::parse(&format!("!{}", entry.line())), None, "it may be cut");
    }
}
