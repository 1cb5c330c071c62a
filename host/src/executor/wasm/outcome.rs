//! What the end of a call into a guest means for its attempt.
//!
//! Pure: an ended call, what the limiter refused, and the end of stderr go in, an [`Outcome`] comes out.

use std::fmt::Write;
use std::time::Duration;

use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::model::limits::{DURATION_MAX, FAILURE_TEXT_BYTES_MAX, Limits};
use crate::model::{FailureReason, Outcome, Payload, format_duration};

use super::bindings::task;
use super::engine::FRAMES_MAX;
use super::limiter::Refused;

/// Bytes of a name in a backtrace that are shown.
const NAME_BYTES_MAX: usize = 256;

/// Why a call did not return.
#[derive(Debug)]
pub(super) enum Fault {
    /// The guest trapped, or a host function made it.
    Trapped(wasmtime::Error),
    /// A host function panicked.
    Panicked(String),
    /// The host ended it.
    Stopped(Stop),
    /// The host had no room for what it needs: memory that it wanted to grow by, or a place in the pool.
    InWant,
}

impl Fault {
    /// The same, or that the guest was in want, if it was: what ended it then was that it waited, or was told so.
    pub(super) fn or_in_want(self, wanted: Option<usize>) -> Self {
        match self {
            Self::Trapped(_) | Self::Stopped(Stop::Timeout) if wanted.is_some() => Self::InWant,
            Self::Trapped(error) if error.is::<PoolConcurrencyLimitError>() => Self::InWant,
            other => other,
        }
    }
}

/// Why the host ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its time is over.
    Timeout,
    /// The run was cancelled, and the grace is over.
    Cancelled,
    /// The host can't wait any longer.
    ShutDown,
}

/// A guest that called our interfaces too often.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} host calls")]
pub(super) struct TooManyHostCalls(pub(super) u64);

/// What is decided at `elapsed` for a call that has not returned. `grace_over` is when it may no longer go on after its cancellation was
/// noticed.
pub(super) fn stop(elapsed: Duration, deadline: Duration, grace_over: Option<Duration>, shut_down: bool) -> Option<Stop> {
    if shut_down {
        return Some(Stop::ShutDown);
    }
    if grace_over.is_some_and(|at| elapsed >= at) {
        return Some(Stop::Cancelled);
    }
    (elapsed >= deadline).then_some(Stop::Timeout)
}

/// The outcome of a call to `handle`. `said` is the end of stderr.
pub(super) fn outcome(
    ended: Result<Result<task::Outcome, task::Failure>, Fault>,
    refused: Option<Refused>,
    limits: &Limits,
    timeout: Duration,
    said: &str,
) -> Outcome {
    match ended {
        Ok(Ok(task::Outcome::Done(None))) => Outcome::Done(None),
        Ok(Ok(task::Outcome::Done(Some(output)))) => match Payload::new(&output.media_type, &output.bytes, "output") {
            Ok(output) => Outcome::Done(Some(output)),
            Err(invalid) => {
                let too_large = invalid.code == "payload-too-large";
                Outcome::failed(if too_large { FailureReason::OutputTooLarge } else { FailureReason::InvalidOutput }, invalid.to_string())
            }
        },
        Ok(Ok(task::Outcome::Snooze(nanos))) => match Duration::from_nanos(nanos) {
            span if span <= DURATION_MAX => Outcome::Snooze(span),
            span => {
                let message =
                    format!("snooze: {} is longer than the longest duration, {}", format_duration(span), format_duration(DURATION_MAX));
                Outcome::failed(FailureReason::InvalidOutput, message)
            }
        },
        Ok(Err(task::Failure::Retry(task::Retry { reason, after }))) => Outcome::Failed {
            reason: FailureReason::Returned,
            message: cut(reason),
            after: after.map(|nanos| Duration::from_nanos(nanos).min(DURATION_MAX)),
        },
        Ok(Err(task::Failure::Reject(reason))) => Outcome::failed(FailureReason::Rejected, cut(reason)),
        Ok(Err(task::Failure::Other(reason))) => Outcome::failed(FailureReason::Returned, cut(reason)),
        Err(Fault::Stopped(Stop::Cancelled)) => Outcome::Cancelled,
        Err(Fault::Stopped(Stop::ShutDown)) => Outcome::ShutDown,
        Err(Fault::InWant) => Outcome::NoRoom,
        Err(fault) => {
            let (reason, message) = explain(fault, refused, limits, timeout, said);
            Outcome::failed(reason, message)
        }
    }
}

/// What kind of failure a fault is, and how to explain it. `said` is the end of stderr.
pub(super) fn explain(fault: Fault, refused: Option<Refused>, limits: &Limits, timeout: Duration, said: &str) -> (FailureReason, String) {
    let (reason, message) = match &fault {
        Fault::Stopped(_) => (FailureReason::Timeout, format!("took longer than its timeout of {}", format_duration(timeout))),
        Fault::Panicked(message) => (FailureReason::Trap, format!("the host panicked in a call of this guest: {}", cut(message.clone()))),
        Fault::InWant => (FailureReason::Instantiation, "the host has no room for it at present; try again in a minute".into()),
        Fault::Trapped(error) => trapped(error, refused, limits),
    };
    let mut text = match reason {
        _ if said.is_empty() => message,
        // An uncaught exception ends in a trap or an exit. The text that the language's runtime printed before it names the exception.
        FailureReason::Trap | FailureReason::Exit => format!("{said}\n{message}"),
        _ => format!("{message}\n{said}"),
    };
    if let Fault::Trapped(error) = &fault
        && let Some(backtrace) = error.downcast_ref::<WasmBacktrace>()
    {
        push_frames(&mut text, backtrace);
    }
    (reason, cut(text))
}

fn trapped(error: &wasmtime::Error, refused: Option<Refused>, limits: &Limits) -> (FailureReason, String) {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let cause = error.root_cause().to_string();
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        (FailureReason::Exit, format!("ended its process with status {} instead of returning", exit.0))
    } else if let Some(calls) = error.downcast_ref::<TooManyHostCalls>() {
        (FailureReason::HostcallQuota, format!("{calls}, the limit of an attempt"))
    } else if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        (FailureReason::ResourceQuota, format!("kept more than {} handles, the limit of an attempt", limits.handles))
    } else if cause.contains("fuel allocated for hostcalls") {
        // The host copies out of the guest when the guest calls, and when it returns: then no guest is on the stack.
        if backtrace.is_some() {
            let message = format!("passed more than {} bytes to one host call", limits.hostcall_bytes);
            (FailureReason::HostcallTooLarge, message)
        } else {
            let message = format!("returned more than {} bytes; store the data elsewhere and return its address", limits.hostcall_bytes);
            (FailureReason::OutputTooLarge, message)
        }
    } else if let Some(refused) = refused {
        (FailureReason::OutOfMemory, out_of_memory(refused))
    } else if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        (FailureReason::StackOverflow, format!("recursed deeper than its stack of {} bytes", limits.stack_bytes))
    } else {
        (FailureReason::Trap, cause)
    }
}

fn out_of_memory(refused: Refused) -> String {
    match refused {
        Refused::Bytes { asked, max } => {
            format!("asked for {asked} bytes of memory in all, the limit is {max}; what the host keeps for its handles counts")
        }
        Refused::Elements { asked, max } => format!("asked for {asked} table elements in all, the limit is {max}"),
    }
}

/// Appends a line for each frame.
///
/// The names come from the guest, so they are shown as they are. wasmtime's own text of a backtrace demangles them, and a name of a few hundred bytes
/// can demangle to gigabytes.
fn push_frames(text: &mut String, backtrace: &WasmBacktrace) {
    for frame in backtrace.frames().iter().take(FRAMES_MAX) {
        text.push_str("\n  at ");
        if let Some(offset) = frame.module_offset() {
            let _ = write!(text, "{offset:#x} - ");
        }
        push_name(text, frame.module().name().unwrap_or("<unknown>"));
        text.push('!');
        match frame.func_name() {
            Some(name) => push_name(text, name),
            None => drop(write!(text, "<wasm function {}>", frame.func_index())),
        }
    }
}

/// Appends a name of the guest's on one line, cut at [`NAME_BYTES_MAX`].
fn push_name(text: &mut String, name: &str) {
    let shown = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    for c in shown.chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    if shown.len() < name.len() {
        text.push('…');
    }
}

/// Shortens to what is kept of an explanation.
fn cut(mut text: String) -> String {
    if text.len() > FAILURE_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(FAILURE_TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
        // It waits for the writer, and should not take the memory of all that the guest passed.
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::bindings::types;
    use super::*;

    fn ended(ended: Result<Result<task::Outcome, task::Failure>, Fault>, refused: Option<Refused>) -> String {
        match outcome(ended, refused, &Limits::default(), Duration::from_secs(60), "") {
            Outcome::Done(output) => {
                format!("done {:?}", output.as_ref().map(|output| String::from_utf8_lossy(output.bytes()).into_owned()))
            }
            Outcome::Failed { reason, message, after } => format!("{} {message} {after:?}", reason.code()),
            other => format!("{other:?}"),
        }
    }

    fn payload(media_type: &str, bytes: &[u8]) -> types::Payload {
        types::Payload { media_type: media_type.into(), bytes: bytes.into() }
    }

    fn trap(error: impl Into<wasmtime::Error>) -> Result<Result<task::Outcome, task::Failure>, Fault> {
        Err(Fault::Trapped(error.into()))
    }

    #[test]
    fn what_a_guest_returns() {
        let done = |output| Ok(Ok(task::Outcome::Done(output)));
        let day = Duration::from_secs(24 * 3600);
        for (end, expected) in [
            (done(None), "done None"),
            (done(Some(payload("application/json", b"[1]"))), "done Some(\"[1]\")"),
            (done(Some(payload("application/json", b"[1"))), "invalid-output output: not JSON"),
            (done(Some(payload("x", b""))), "invalid-output output.media-type: a media type looks like text/plain"),
            (
                done(Some(payload("a/b", &[0; 262_145]))),
                "output-too-large output: 262145 bytes, the limit is 262144; store the data elsewhere",
            ),
            (Ok(Ok(task::Outcome::Snooze(5_000_000_000))), "Snooze(5s)"),
            (Ok(Ok(task::Outcome::Snooze(u64::MAX))), "invalid-output snooze: "),
            (
                Ok(Err(task::Failure::Retry(task::Retry { reason: "busy".into(), after: Some(day.as_nanos() as u64) }))),
                "failed busy Some(86400s)",
            ),
            (Ok(Err(task::Failure::Reject("never".into()))), "rejected never None"),
            (Ok(Err(task::Failure::Other("what".into()))), "failed what None"),
        ] {
            let seen = ended(end, None);
            assert!(seen.starts_with(expected), "{seen} / {expected}");
        }
        let long = ended(Ok(Err(task::Failure::Reject("ü".repeat(5_000)))), None);
        assert!(long.len() < 4_200 && long.contains('…'));
    }

    #[test]
    fn how_a_guest_fails() {
        let refused = Some(Refused::Bytes { asked: 200, max: 100 });
        for (end, refused, expected) in [
            (trap(Trap::UnreachableCodeReached), None, "trap wasm trap: wasm `unreachable` instruction executed"),
            (trap(Trap::UnreachableCodeReached), refused, "out-of-memory asked for 200 bytes of memory in all, the limit is 100"),
            (trap(Trap::StackOverflow), None, "stack-overflow recursed deeper than its stack of 524288 bytes"),
            (trap(I32Exit(3)), refused, "exit ended its process with status 3"),
            (trap(ResourceTableError::Full), None, "resource-quota kept more than 10000 handles"),
            (trap(ResourceTableError::NotPresent), None, "trap resource not present"),
            (trap(TooManyHostCalls(7)), None, "hostcall-quota more than 7 host calls"),
            (Err(Fault::Panicked("oh".into())), None, "trap the host panicked in a call of this guest: oh"),
            (Err(Fault::Stopped(Stop::Timeout)), refused, "timeout took longer than its timeout of 1m"),
            (Err(Fault::Stopped(Stop::Cancelled)), None, "Cancelled"),
            (Err(Fault::Stopped(Stop::ShutDown)), None, "ShutDown"),
        ] {
            let seen = ended(end, refused);
            assert!(seen.starts_with(expected), "{seen} / {expected}");
        }
    }

    #[test]
    fn what_the_guest_said_comes_first_where_its_runtime_trapped() {
        let (limits, minute) = (Limits::default(), Duration::from_secs(60));
        let said = "Traceback:\nKeyError: 'a'";
        let refused = Some(Refused::Bytes { asked: 200, max: 100 });
        for (fault, refused, expected) in [
            (Fault::Trapped(Trap::UnreachableCodeReached.into()), None, "Traceback:\nKeyError: 'a'\nwasm trap: wasm `unreachable`"),
            (Fault::Trapped(I32Exit(1).into()), None, "Traceback:\nKeyError: 'a'\nended its process with status 1"),
            (Fault::Trapped(Trap::UnreachableCodeReached.into()), refused, "asked for 200 bytes"),
            (Fault::Stopped(Stop::Timeout), None, "took longer than its timeout of 1m\nTraceback:\nKeyError: 'a'"),
        ] {
            let (_, message) = explain(fault, refused, &limits, minute, said);
            assert!(message.starts_with(expected) && message.contains(said), "{message} / {expected}");
        }
    }

    #[test]
    fn names_are_cut_and_stay_on_their_line() {
        let shown = |name: &str| {
            let mut text = String::new();
            push_name(&mut text, name);
            text
        };
        assert_eq!(shown("_ZN4core9panicking5panic17h0123E"), "_ZN4core9panicking5panic17h0123E");
        assert_eq!(shown("a\n  at b\u{1b}"), "a\\n  at b\\u{1b}");
        assert_eq!(shown(&"ü".repeat(1_000)), "ü".repeat(128) + "…");
    }

    #[test]
    fn when_a_call_is_ended() {
        let at = Duration::from_secs;
        for (elapsed, deadline, grace_over, shut_down, expected) in [
            (9, 10, None, false, None),
            (10, 10, None, false, Some(Stop::Timeout)),
            (9, 10, Some(10), false, None),
            (10, 20, Some(10), false, Some(Stop::Cancelled)),
            (10, 10, Some(10), false, Some(Stop::Cancelled)),
            (10, 10, Some(14), false, Some(Stop::Timeout)),
            (0, 10, None, true, Some(Stop::ShutDown)),
        ] {
            assert_eq!(stop(at(elapsed), at(deadline), grace_over.map(at), shut_down), expected);
        }
    }
}
