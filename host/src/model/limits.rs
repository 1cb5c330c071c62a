//! Every bound on what a caller or a guest may ask for, with where the figure comes from.
//!
//! Constants are bounds of the data model; [`Limits`] holds those that an operator may change for one host.

use std::time::Duration;

/// Bytes of one input or output.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Bytes of a media type.
pub const MEDIA_TYPE_BYTES_MAX: usize = 128;
/// Levels of nesting in a JSON input.
pub const JSON_DEPTH_MAX: usize = 32;
/// Entries of additional metadata on one run.
pub const METADATA_ENTRIES_MAX: usize = 32;
/// Bytes of a metadata key, and of a metadata value.
pub const METADATA_BYTES_MAX: usize = 128;
/// Characters of a task or namespace name.
pub const NAME_CHARS_MAX: usize = 128;
/// Bytes of a unique key.
pub const UNIQUE_KEY_BYTES_MAX: usize = 256;
/// How long a unique key outlives its run.
pub const UNIQUE_KEY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long an idempotency key is held after the request, and after the end of its run.
pub const IDEMPOTENCY_KEY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Runs in one page, and ids in one bulk request.
pub const PAGE_SIZE_MAX: usize = 500;
/// Runs that are stored with one request. Each takes the writer some microseconds, in which it serves nobody else.
pub const RUNS_AT_ONCE_MAX: usize = 1_000;
/// Runs that a page may pass by.
pub const PAGE_SKIP_MAX: usize = 100_000;
/// Runs in a page when nothing is said.
pub const PAGE_SIZE_DEFAULT: usize = 50;
/// Failed attempts that may be allowed.
pub const ATTEMPTS_MAX: u32 = 100;
/// Attempts that are kept of a run, the last ones.
pub const ATTEMPTS_KEPT: u32 = 20;
/// Bytes of log that are kept of a run, the last ones. The log of its last attempt is kept in any case.
pub const LOG_BYTES_KEPT: i64 = 1 << 20;
/// Attempts in one page of a run's history.
pub const ATTEMPTS_PAGE_MAX: usize = 100;
/// Bytes of logs and messages in one page of a run's history. A page has one attempt at least.
pub const ATTEMPTS_PAGE_BYTES_MAX: usize = 1 << 20;
/// Shortest snooze: a shorter one is lengthened. Otherwise a task could run in a hot loop for ever.
pub const SNOOZE_MIN: Duration = Duration::from_secs(1);
/// Longest attempt.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest delay that a duration may express: 100 years, so that no sum with a valid time overflows.
pub const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
/// Priorities run from 1 to this.
pub const PRIORITY_MAX: u8 = 3;
/// Writes (schedule, reschedule, delete, cancel) of one attempt.
pub const WRITES_PER_ATTEMPT_MAX: usize = 1_000;
/// Bytes of inputs and metadata in the writes of one attempt.
pub const WRITE_BYTES_PER_ATTEMPT_MAX: usize = 4 << 20;
/// Unfinished follow-ups of one root run: what a fork bomb can grow to.
pub const LIVE_PER_ROOT_MAX: u64 = 100_000;
/// Namespaces of one host.
pub const NAMESPACES_MAX: usize = 10_000;
/// Runs that wait in one namespace, unless the operator says otherwise.
pub const LIVE_PER_NAMESPACE_MAX: u64 = 10_000_000;
/// Bytes that the runs of one namespace hold, unless the operator says otherwise.
pub const RUN_BYTES_PER_NAMESPACE_MAX: u64 = 64 << 30;
/// How long a write waits for the database's write lock that another program holds. Then it is withdrawn.
pub const WRITE_LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of all components of one namespace, unless the embedder says otherwise.
pub const COMPONENT_BYTES_PER_NAMESPACE_MAX: u64 = 4 << 30;
/// How deep follow-ups may nest when they follow each other faster than [`CHAIN_PACE`].
pub const DEPTH_MAX: u32 = 64;
/// A follow-up due at least this long after it was scheduled does not deepen its chain, so that a chain
/// that reschedules itself for ever is allowed, but not in a hot loop.
pub const CHAIN_PACE: Duration = Duration::from_secs(1);
/// Crashes of the host during a run's attempts after which the run is quarantined.
pub const CRASHES_MAX: u32 = 3;
/// Runs of a component that are quarantined, since it was registered, before its tasks are suspended.
pub const QUARANTINED_MAX: u32 = 5;
/// How long a cancelled attempt may go on.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// Bytes of a lane's key.
pub const LANE_BYTES_MAX: usize = 256;
/// Attempts that a policy may allow in flight.
pub const CONCURRENCY_MAX: u32 = 100_000;
/// Starts that a rate may allow in its unit.
pub const RATE_COUNT_MAX: u32 = 1_000_000;
/// What each level of priority is worth: a run of priority 2 starts before one of priority 1 that was due up to so much earlier, and not
/// before an older one. So nothing starves.
pub const PRIORITY_HEAD_START: Duration = Duration::from_secs(60);
/// Longest time back that missed runs are made up for.
pub const CATCH_UP_WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Missed runs of one task, or of one cron, that are made up for at a time.
pub const CATCH_UP_MAX: u32 = 10_000;
/// Longest time that ended runs may be kept.
pub const RETENTION_AGE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
/// Ended runs of one task that may be kept.
pub const RETENTION_COUNT_MAX: u64 = 1_000_000_000;
/// Explicit retry delays of one task.
pub const RETRY_DELAYS_MAX: usize = 100;
/// Runs that a bulk change by filter names among those that it could not change; it counts all of them.
pub const REFUSED_LISTED_MAX: usize = 100;
/// Bytes of a cron's expression.
pub const CRON_BYTES_MAX: usize = 256;
/// Shortest interval of a cron.
pub const CRON_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest jitter of a cron.
pub const CRON_JITTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Crons in one namespace.
pub const CRONS_MAX: u32 = 100_000;
/// Occurrences that one backfill, or one forecast of a cron, may hold.
pub const OCCURRENCES_MAX: usize = 10_000;
/// Bytes of the note on a pause.
pub const PAUSE_NOTE_BYTES_MAX: usize = 256;
/// How far a forecast looks.
pub const FORECAST_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Steps of a forecast: one for each hour in which a cron fires, one for each occurrence within two days of a change of the clocks, and one for
/// each search for what follows them. About a second of work.
pub const FORECAST_STEPS_MAX: u64 = 1_000_000;
/// Crons that a forecast looks at. Each takes less than 1 KiB while it does.
pub const FORECAST_CRONS_MAX: usize = 10_000;
/// Forecasts that are computed at a time, and of one namespace one.
pub const FORECASTS_AT_ONCE_MAX: usize = 4;
/// Forecasts of one namespace that wait for their turn.
pub const FORECASTS_WAITING_MAX: usize = 4;
/// What a forecast tells of changes of the clocks.
pub const FORECAST_NOTES_MAX: usize = 100;
/// Bytes of a component.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;
/// Tokens in force that one namespace may have, unless the operator says otherwise.
pub const TOKENS_PER_NAMESPACE_MAX: u64 = 1_000;
/// Tasks in one component.
pub const TASKS_PER_COMPONENT_MAX: usize = 256;
/// Code-defined schedules of one task.
pub const CODE_SCHEDULES_MAX: usize = 100;
/// Bytes of a task's description.
pub const DESCRIPTION_BYTES_MAX: usize = 1024;
/// Bytes of a task's input schema.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// References in a task's input schema: what bounds how deep a check may recurse.
pub const SCHEMA_REFERENCES_MAX: usize = 256;
/// Ways through a task's input schema, each followed once for each value of an input that it fits.
pub const SCHEMA_WAYS_MAX: u64 = 10_000;
/// Values of a task's input schema that are looked at to count these ways: some 50 ms of work.
pub const SCHEMA_NODES_MAX: u64 = 2_000_000;
/// Different patterns in a task's input schema.
pub const SCHEMA_PATTERNS_MAX: usize = 1_000;
/// Bytes that one pattern of a schema is compiled to.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1 << 20;
/// The same for a sequence of characters and counts, such as `^.{1,1000}$`, which is compiled only for text that is not ASCII.
pub const SCHEMA_SEQUENCE_BYTES_MAX: usize = 4 << 20;
/// Bytes that all patterns of a schema are compiled to.
pub const SCHEMA_PATTERNS_BYTES_MAX: usize = 8 << 20;
/// Bytes of all compiled schemas of a host. Those unused for longest are dropped, and compiled again when they are needed.
pub const COMPILED_SCHEMAS_BYTES_MAX: u64 = 128 << 20;
/// Work of checking one input against its schema, in units of about a nanosecond.
pub const SCHEMA_WORK_MAX: u64 = 100_000_000;
/// Work of such checks that one call of a guest, or one request, does on the thread that serves it. The rest is done elsewhere.
pub const SCHEMA_WORK_AT_ONCE_MAX: u64 = 1_000_000;
/// Bytes of a schema that is compiled on a thread that serves guests or requests.
pub const SCHEMA_BYTES_AT_ONCE_MAX: usize = 2 << 10;
/// Bytes of a progress note.
pub const PROGRESS_NOTE_BYTES_MAX: usize = 256;
/// Bytes of a failure's explanation that are kept.
pub const FAILURE_TEXT_BYTES_MAX: usize = 4096;

/// How long the cursor of a list may be handed back.
pub const CURSOR_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Runs that the guests of one namespace may create in a second, unless an operator says otherwise. Ten attempts that write as much as one
/// may; a bomb, which the bounds on each attempt and each chain let grow for a while, is slowed down early.
pub const GUEST_CREATES_PER_SECOND: u32 = 10_000;
/// Entries of the audit trail that are kept of one namespace.
pub const AUDIT_ENTRIES_MAX: i64 = 1_000_000;
/// How long an entry of the audit trail is kept.
pub const AUDIT_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Entries of the audit trail in one page.
pub const AUDIT_PAGE_MAX: usize = 500;
/// Bytes of what an entry of the audit trail says beside its run.
pub const AUDIT_TEXT_BYTES_MAX: usize = 256;

/// TCP sockets that the guests of a host may have open together, unless an operator says otherwise: a quarter of the 1,024 files that many systems
/// let a process have.
pub const GUEST_SOCKETS_MAX: usize = 256;

/// Bounds on one attempt of a guest. The defaults are those of the documentation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Sum of all linear memories and tables of an attempt, in bytes.
    pub memory_bytes: usize,
    /// Bytes of wasm stack.
    pub stack_bytes: usize,
    /// Sum of all table elements.
    pub table_elements: usize,
    /// Core instances, memories and tables in one attempt: nested components have several.
    pub instances: usize,
    /// Memories in one attempt.
    pub memories: usize,
    /// Tables in one attempt.
    pub tables: usize,
    /// Bytes that may be copied out of the guest by one host call.
    pub hostcall_bytes: usize,
    /// Live resources in an attempt.
    pub handles: usize,
    /// TCP sockets that an attempt may have open.
    pub sockets: usize,
    /// Calls of our interfaces, and of WASI, by one attempt.
    pub host_calls: u64,
    /// Bytes of stdout, stderr and log kept of an attempt.
    pub log_bytes: usize,
    /// Bytes of random data that one call may ask for.
    pub random_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            stack_bytes: 512 << 10,
            table_elements: 100_000,
            instances: 64,
            memories: 8,
            tables: 64,
            // A payload of 256 KiB with its metadata fits several times; `list<string>` aliasing bombs do not.
            hostcall_bytes: 1 << 20,
            // Two pages of 500 listed runs, and what an interpreter keeps beside; their bytes count as memory.
            handles: 10_000,
            // A pool of connections to a database fits.
            sockets: 16,
            host_calls: 100_000,
            log_bytes: 256 << 10,
            random_bytes: 64 << 10,
        }
    }
}
