//! One try of a run, and how it ended.

use std::borrow::Cow;
use std::time::Duration;

use super::{Digest, Payload, Timestamp};

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
    /// How it ended: `succeeded`, `snoozed`, `cancelled`, `shut-down` or a failure's code; `None` while it runs.
    pub outcome: Option<Cow<'static, str>>,
    /// What the failure said.
    pub message: Option<String>,
    /// Stdout, stderr and log lines, as the guest wrote them: bytes, to be escaped wherever they are shown.
    pub log: Vec<u8>,
}

impl Attempt {
    /// How attempts end that are no failures: of the host, of nobody, or not at all. A failed attempt says its reason's code.
    pub const NO_FAILURES: [&str; 5] = ["succeeded", "snoozed", "cancelled", "shut-down", FailureReason::HostCrashed.code()];

    /// Whether it counts towards the attempts that a run may fail.
    pub fn is_failure(&self) -> bool {
        self.outcome.as_deref().is_some_and(|outcome| !Self::NO_FAILURES.contains(&outcome))
    }
}
