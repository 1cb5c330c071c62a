//! One try of a run, and how it ended.

use std::borrow::Cow;
use std::time::Duration;

use super::limits::{ATTEMPTS_KEPT, ATTEMPTS_PAGE_MAX};
use super::{Digest, Invalid, Payload, Timestamp};

/// How an attempt ended, as the executor reports it. A guest's failure is data, never an error of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The task returned; its output, if it gave one.
    Done(Option<Payload>),
    /// The task asks to be run again this much later. Not a failure.
    Snooze(Duration),
    /// Worth another attempt, not before `after`.
    Failed {
        /// What kind of failure.
        reason: FailureReason,
        /// For whoever reads the run.
        message: String,
        /// The guest's own "not before".
        after: Option<Duration>,
    },
    /// The attempt ended because somebody cancelled the run.
    Cancelled,
    /// The host stopped the attempt in order to shut down. Not counted.
    ShutDown,
    /// The host had no room for what the attempt needs. Not counted.
    NoRoom,
}

impl Outcome {
    /// A failure without a wish for its delay.
    pub fn failed(reason: FailureReason, message: impl Into<String>) -> Self {
        Self::Failed { reason, message: message.into(), after: None }
    }
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The task returned a failure that is worth a retry.
    Returned,
    /// The task said that its input will never work.
    Rejected,
    /// The guest trapped: panic, unreachable, division by zero, out of bounds.
    Trap,
    /// The guest ended its process instead of returning.
    Exit,
    /// The attempt took longer than its timeout.
    Timeout,
    /// The guest wanted more memory than its limit.
    OutOfMemory,
    /// The guest recursed deeper than its stack.
    StackOverflow,
    /// The guest made more host calls than it may.
    HostcallQuota,
    /// The guest kept more handles of the host's resources than it may.
    ResourceQuota,
    /// The guest passed more data to a host call than it may.
    HostcallTooLarge,
    /// The guest returned more than an output may hold.
    OutputTooLarge,
    /// The guest returned what is not the JSON it says it is, or else no output.
    InvalidOutput,
    /// The component could not be loaded or instantiated.
    Instantiation,
    /// What the attempt wrote contradicts what was committed meanwhile.
    WriteConflict,
    /// What the attempt wrote exceeds what the chain or the namespace may have.
    QuotaExceeded,
    /// The host process died during the attempt.
    HostCrashed,
    /// The host process died during too many attempts of this run.
    Quarantined,
    /// What is stored of the run is not what was stored.
    DamagedRow,
}

impl FailureReason {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Self; 18] = [
        Self::Returned,
        Self::Rejected,
        Self::Trap,
        Self::Exit,
        Self::Timeout,
        Self::OutOfMemory,
        Self::StackOverflow,
        Self::HostcallQuota,
        Self::ResourceQuota,
        Self::HostcallTooLarge,
        Self::OutputTooLarge,
        Self::InvalidOutput,
        Self::Instantiation,
        Self::WriteConflict,
        Self::QuotaExceeded,
        Self::HostCrashed,
        Self::Quarantined,
        Self::DamagedRow,
    ];

    /// The stable, machine-readable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Returned => "failed",
            Self::Rejected => "rejected",
            Self::Trap => "trap",
            Self::Exit => "exit",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out-of-memory",
            Self::StackOverflow => "stack-overflow",
            Self::HostcallQuota => "hostcall-quota",
            Self::ResourceQuota => "resource-quota",
            Self::HostcallTooLarge => "hostcall-too-large",
            Self::OutputTooLarge => "output-too-large",
            Self::InvalidOutput => "invalid-output",
            Self::Instantiation => "instantiation",
            Self::WriteConflict => "write-conflict",
            Self::QuotaExceeded => "quota-exceeded",
            Self::HostCrashed => "host-crashed",
            Self::Quarantined => "quarantined",
            Self::DamagedRow => "damaged-row",
        }
    }

    /// Whether another attempt can't help.
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::Rejected | Self::QuotaExceeded | Self::Quarantined | Self::DamagedRow)
    }
}

/// An attempt as the history of its run shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// The component it executed.
    pub digest: Option<Digest>,
    /// When its guest was started.
    pub started_at: Timestamp,
    /// When it ended; `None` while it runs.
    pub finished_at: Option<Timestamp>,
    /// How it ended: `succeeded`, `snoozed`, `cancelled`, `shut-down`, `no-room` or a failure's code; `None` while it runs.
    pub outcome: Option<Cow<'static, str>>,
    /// What the failure said.
    pub message: Option<String>,
    /// Stdout, stderr and log lines, as the guest wrote them: bytes, to be escaped wherever they are shown. Empty if it was dropped.
    pub log: Vec<u8>,
    /// How many bytes of its log were dropped, because only the last [`LOG_BYTES_KEPT`](super::limits::LOG_BYTES_KEPT) of a run are kept.
    pub log_dropped: u64,
}

/// Which attempts of a run are read: oldest first, from one place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptQuery {
    /// Those with a greater number.
    pub after: u32,
    size: usize,
    /// Whether with their logs.
    pub with_logs: bool,
}

impl Default for AttemptQuery {
    /// The first page of the default size, with logs.
    fn default() -> Self {
        Self { after: 0, size: ATTEMPTS_KEPT as usize + 1, with_logs: true }
    }
}

impl AttemptQuery {
    /// A page of 1 to [`ATTEMPTS_PAGE_MAX`] attempts with their logs, after the one of this number.
    ///
    /// # Errors
    ///
    /// `invalid-page-size` if `size` is outside the range.
    pub fn new(size: Option<usize>, after: Option<u32>) -> Result<Self, Invalid> {
        let size = size.unwrap_or(Self::default().size);
        if !(1..=ATTEMPTS_PAGE_MAX).contains(&size) {
            let reason = format!("a page has 1 to {ATTEMPTS_PAGE_MAX} attempts");
            return Err(Invalid::new("invalid-page-size", "limit", reason).seen(size.to_string()));
        }
        Ok(Self { after: after.unwrap_or(0), size, with_logs: true })
    }

    /// What an explanation needs of a run with this many attempts: the last ones, without their logs.
    pub const fn last_of(attempts: u32) -> Self {
        Self { after: attempts.saturating_sub(ATTEMPTS_KEPT), size: ATTEMPTS_KEPT as usize + 1, with_logs: false }
    }

    /// How many attempts it asks for.
    pub const fn size(&self) -> usize {
        self.size
    }
}

/// A page of a run's attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptPage {
    /// Oldest first. Their logs and messages have [`ATTEMPTS_PAGE_BYTES_MAX`](super::limits::ATTEMPTS_PAGE_BYTES_MAX) bytes at most, unless it is one attempt.
    pub attempts: Vec<Attempt>,
    /// After which number the next page begins; `None` on the last.
    pub next: Option<u32>,
    /// How many attempts of the run, its first ones, are not kept any more.
    pub dropped: u32,
    /// When the first of the failed attempts that count started.
    pub failing_since: Option<Timestamp>,
}
