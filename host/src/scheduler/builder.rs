//! Builds a scheduler: the one place that knows which storage, executor and clock it is made of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::background::{Background, IN_FLIGHT_MAX, Parts};
use super::component_source::StorageComponentSource;
use super::creates::GuestCreates;
use super::long_work::LongWork;
use super::watchdog::{AwakeClock, Watchdog};
use super::{Core, Error, Scheduler, keeper, namespaces};
use crate::clock::{Clock, SystemClock};
use crate::executor::Executor;
use crate::executor::wasm::{AttemptState, Compiler, WasmConfig, WasmExecutor};
use crate::listeners::OwnListeners;
use crate::machine_memory::machine_memory;
use crate::model::limits::{GUEST_CREATES_PER_SECOND, Limits};
use crate::model::{AllowedGrants, GrantPattern, Invalid, Name, Namespace, RateLimit, RateUnit, gaps_at_start};
use crate::storage::sqlite::{Room, SqliteStorage};
use crate::storage::{Quotas, Storage, StorageError};
use crate::zones::Zones;

/// How late a scheduled run may start because no host was running. A restart or an upgrade takes less.
const MISSED_GRACE: Duration = Duration::from_secs(60);

/// What a scheduler is built from. Only the database must be said.
///
/// ```no_run
/// # async fn example() -> Result<(), runlater::Error> {
/// let scheduler = runlater::Scheduler::builder().sqlite("app.db").threads(2).build().await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is opened until it is built"]
pub struct SchedulerBuilder {
    sqlite: Option<PathBuf>,
    clock: Option<Arc<dyn Clock>>,
    executor: Option<Arc<dyn Executor>>,
    threads: Option<usize>,
    slots: usize,
    wasm: WasmConfig,
    guest_memory: Option<u64>,
    namespace: Option<String>,
    seed: Option<u64>,
    missed_grace: Option<Duration>,
    guest_creates: Option<RateLimit>,
    quotas: Quotas,
    room: Room,
    paused: bool,
    catch_up_later: bool,
    tzdir: Option<PathBuf>,
    allowed_grants: AllowedGrants,
}

impl Default for SchedulerBuilder {
    fn default() -> Self {
        Self {
            sqlite: None,
            clock: None,
            executor: None,
            threads: None,
            slots: IN_FLIGHT_MAX,
            // One pooled instance for each attempt that the workers may have in flight.
            wasm: WasmConfig { attempts_at_once: IN_FLIGHT_MAX as u32, ..WasmConfig::default() },
            guest_memory: None,
            namespace: None,
            seed: None,
            missed_grace: None,
            guest_creates: Some(RateLimit { count: GUEST_CREATES_PER_SECOND, per: RateUnit::Second }),
            quotas: Quotas::default(),
            room: Room::default(),
            paused: false,
            catch_up_later: false,
            tzdir: None,
            allowed_grants: AllowedGrants::default(),
        }
    }
}

impl SchedulerBuilder {
    /// Keeps everything in this SQLite file, which is created if it does not exist.
    pub fn sqlite(mut self, path: impl Into<PathBuf>) -> Self {
        self.sqlite = Some(path.into());
        self
    }

    /// Tells the time by this clock; default: the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Executes attempts with this instead of wasmtime. What is set for wasm components then means nothing.
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self
    }

    /// How many threads execute guests; default: one per core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// How many attempts of all tasks together may be in flight, 1 to 1,024, which is the default. What is due beyond that waits its turn. While several
    /// namespaces have tasks, some slots are kept for those that have nothing in flight.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self.wasm.attempts_at_once = slots.min(IN_FLIGHT_MAX) as u32;
        self
    }

    /// Bytes that the memories and tables of all guests may have together, at least as many as one attempt may have. An attempt that needs more than is
    /// free waits. The namespaces share it. Default: half of what this process may use, by the machine and its control groups.
    pub fn guest_memory(mut self, bytes: u64) -> Self {
        self.guest_memory = Some(bytes);
        self
    }

    /// Bounds on each attempt.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.wasm.limits = limits;
        self
    }

    /// How many TCP sockets the guests of all tasks may have open together; default 256. Beyond it, WASI answers `new-socket-limit`. How many one attempt
    /// may have is one of the [`limits`](Self::limits).
    pub fn guest_sockets(mut self, sockets: usize) -> Self {
        self.wasm.guest_sockets = sockets;
        self
    }

    /// Where components are checked and compiled; default: in this process, which bounds neither the memory nor the time that a hostile component
    /// takes. Name a [child process](Compiler::ChildProcess) if others may register components.
    pub fn compiler(mut self, compiler: Compiler) -> Self {
        self.wasm.compiler = compiler;
        self
    }

    /// Keeps compiled code in this directory, so that a restart need not compile again; default: only in memory. The key seals it: 32
    /// random bytes, the same each time, kept where nobody else can read them, as [`code_key`](crate::executor::wasm::code_key) does. The start fails if the
    /// directory belongs to another user or is a symbolic link.
    pub fn code_cache(mut self, directory: impl Into<PathBuf>, key: [u8; 32]) -> Self {
        self.wasm.cache_dir = Some(directory.into());
        self.wasm.cache_key = key;
        self
    }

    /// Gives every guest imports of your own, beside those of its grants.
    pub fn extend_linker(
        mut self,
        extend: impl Fn(&mut wasmtime::component::Linker<AttemptState>) -> wasmtime::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.wasm.extend.push(Arc::new(extend));
        self
    }

    /// The namespace that the scheduler is bound to, which is created if it does not exist; default: `default`.
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Seeds the chance in retry delays, so that a test sees the same ones each time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How late a scheduled run may start because no host was running; later, it is missed. Default 60 s.
    ///
    /// The same holds for time in which the machine was suspended or the process stopped, and over which the clock was set forward. While the
    /// host runs, such a gap has to be longer than a second to be told from a loaded machine, however short the grace.
    pub fn missed_grace(mut self, grace: Duration) -> Self {
        self.missed_grace = Some(grace);
        self
    }

    /// How many runs the guests of one namespace may create; `None`: as many as the database takes. Default 10,000 in a second. What you
    /// schedule yourself is not counted.
    pub fn guest_creates(mut self, rate: Option<RateLimit>) -> Self {
        self.guest_creates = rate;
        self
    }

    /// Answers calls before it has dealt with the runs that were missed while no host was running, which may take a while. By default,
    /// [`build`](Self::build) waits for that. No run starts, and calls that register components or change crons wait, until it is done.
    pub fn catch_up_later(mut self) -> Self {
        self.catch_up_later = true;
        self
    }

    /// How many runs may wait in each namespace; default 10,000,000.
    pub fn live_runs(mut self, max: u64) -> Self {
        self.quotas.live_runs = max;
        self
    }

    /// How many bytes the runs of one namespace may hold; default 64 GiB. A run holds 256, its input, metadata, unique key and output, and the messages
    /// and logs of its attempts that are kept. Beyond it no run is created, and occurrences of crons are skipped.
    pub fn run_bytes(mut self, max: u64) -> Self {
        self.quotas.run_bytes = max;
        self
    }

    /// Bytes that all components of one namespace may have together; default 4 GiB. Those that no task has any more don't count.
    pub fn component_bytes(mut self, max: u64) -> Self {
        self.quotas.component_bytes = max;
        self
    }

    /// Lets tokens with the role `deploy` or `admin` grant what matches this pattern, beside what earlier calls allow. By default they may grant
    /// nothing that reaches the network; what your program registers itself, and the role `operator`, needs no such leave.
    pub fn allow_grant(mut self, pattern: GrantPattern) -> Self {
        self.allowed_grants.add(pattern);
        self
    }

    /// How many tokens in force each namespace may have where callers create them; default 1,000. Tokens that you create yourself are counted and
    /// not refused.
    pub fn tokens(mut self, max: u64) -> Self {
        self.quotas.tokens = max;
        self
    }

    /// How much room is kept on the database's disk. By default, new work is refused with [`StorageError::Full`] while less than 256 MiB
    /// are free, and a file of 32 MiB beside the database is given up for the outcomes of attempts when nothing is.
    pub fn room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// Opens the database without executing anything: runs wait until a host that is not paused opens it.
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Takes time zones from this zoneinfo folder, such as `/usr/share/zoneinfo`. A zone that it lacks is taken from the bundled copy.
    ///
    /// Default: the folder that the environment variable `RUNLATER_TZDIR` names, or else the system's folder or the bundled copy, whichever has the
    /// newer release. [`Scheduler::reload_time_zones`] reads the folder again; so does the scheduler by itself once a day.
    pub fn tzdir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.tzdir = Some(folder.into());
        self
    }

    /// Opens the database, recovers what an earlier host left, marks what was missed, and starts to execute.
    ///
    /// Called within a tokio runtime with time and I/O enabled, which must outlive the scheduler: guests use its timers and sockets.
    pub async fn build(self) -> Result<Scheduler, Error> {
        let path = self.sqlite.ok_or_else(|| Error::Start("no database was chosen; call `sqlite(path)` on the builder".into()))?;
        let name = Name::parse(self.namespace.as_deref().unwrap_or(Namespace::DEFAULT), "namespace")?;
        let slots = check_slots(self.slots)?;
        let guest_memory = check_guest_memory(self.guest_memory, &self.wasm.limits)?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let grace = self.missed_grace.unwrap_or(MISSED_GRACE);
        let threads = self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));

        let now = clock.now();
        // Opening recovers what an unclean stop left, which may take a while.
        let tzdir = self.tzdir;
        let opened = tokio::task::spawn_blocking(move || {
            let zones = Zones::select(tzdir.as_deref())?;
            Ok::<_, Error>(SqliteStorage::open_with(&path, self.room, zones, now)?)
        });
        let sqlite = Arc::new(opened.await.map_err(|_| StorageError::Unavailable("it could not be opened".into()))??);
        sqlite.set_quotas(self.quotas);
        sqlite.set_slots(slots);
        let storage: Arc<dyn Storage> = sqlite.clone();
        // From here on, so that a gap is noticed which comes while an earlier one is dealt with.
        let cannot = |what: &str, error: std::io::Error| Error::Start(format!("{what} can't be started: {error}"));
        let watchdog = Watchdog::start(clock.clone(), grace).map_err(|error| cannot("the thread that watches the clock", error))?;
        let listeners = OwnListeners::default();
        let executor = match self.executor {
            Some(executor) => executor,
            None => {
                let components = Arc::new(StorageComponentSource(storage.clone()));
                let wasm = WasmConfig { zones: storage.zones().clone(), listeners: listeners.clone(), guest_memory, ..self.wasm };
                let executor = WasmExecutor::new(wasm, Arc::new(AwakeClock(watchdog.clone())), components);
                Arc::new(executor.map_err(|error| Error::Start(error.to_string()))?)
            }
        };
        let namespace = namespaces::named(storage.as_ref(), name, clock.now()).await?;

        // The workers start after the sweep, because a missed run must not be claimed as if it were merely late.
        let now = clock.now();
        let mut gaps = gaps_at_start(&storage.signs_of_life(), now, grace);
        let (caught_up_sender, caught_up) = watch::channel(gaps.is_empty() || !self.catch_up_later || self.paused);
        if *caught_up.borrow() {
            for gap in std::mem::take(&mut gaps) {
                keeper::sweep(storage.as_ref(), clock.as_ref(), gap).await?;
            }
            // Only now: a crash in the middle of the sweep must not make the rest of the gap forgotten.
            storage.heartbeat(now).await?;
        } else {
            // The keeper sweeps them, and the workers claim nothing before that.
            watchdog.owe(gaps);
        }
        let long = Arc::new(LongWork::start().map_err(|error| cannot("the threads for long work", error))?);
        let background = if self.paused {
            Background::default()
        } else {
            let (storage, executor, clock, long) = (storage.clone(), executor.clone(), clock.clone(), long.clone());
            let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
            let guest_creates = GuestCreates::new(self.guest_creates);
            let caught_up = caught_up_sender;
            let parts = Parts { storage, executor, clock, long, threads, slots, seed, watchdog, guest_creates, caught_up };
            Background::start(parts).map_err(|error| cannot("the threads that execute guests", error))?
        };
        let (tokens, forecasts, secret, changes) = (Default::default(), Default::default(), storage.secret(), storage.clone());
        let allowed_grants = self.allowed_grants;
        let core =
            Core { storage, sqlite, executor, clock, background, long, tokens, forecasts, caught_up, secret, allowed_grants, listeners };
        Ok(Scheduler { core: Arc::new(core), namespace, changes, role: None })
    }
}

/// Accepts 1 to [`IN_FLIGHT_MAX`] slots.
fn check_slots(slots: usize) -> Result<usize, Invalid> {
    if (1..=IN_FLIGHT_MAX).contains(&slots) {
        return Ok(slots);
    }
    let reason = format!("1 to {IN_FLIGHT_MAX} attempts at a time; pause a task to let none of it start");
    Err(Invalid::new("invalid-slots", "slots", reason).seen(slots.to_string()))
}

/// Accepts at least what one attempt may have; else the default.
fn check_guest_memory(bytes: Option<u64>, limits: &Limits) -> Result<u64, Invalid> {
    let least = limits.memory_bytes as u64;
    match bytes {
        None => Ok((machine_memory() / 2).max(least)),
        Some(bytes) if bytes >= least => Ok(bytes),
        Some(bytes) => {
            let reason = format!("all guests together may have at least the {least} bytes that one attempt may have");
            Err(Invalid::new("invalid-guest-memory", "guest-memory", reason).seen(bytes.to_string()))
        }
    }
}
