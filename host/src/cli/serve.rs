//! `runlater serve`, and what it shares with `dev`: the composition root, where a scheduler and its doors are put together.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::discovery::{self, ServerFile};
use super::failure::{self, Exit, Failure};
use super::log;
use super::screen::{Screen, clean};
use super::time_zones::{ReloadSignal, TimeZonesArgument};
use crate::executor::wasm::{self, Compiler};
use crate::http::{self, Rates};
use crate::model::limits::{
    CATCH_UP_WINDOW_MAX, GUEST_SOCKETS_MAX, LIVE_PER_NAMESPACE_MAX, Limits, RUN_BYTES_PER_NAMESPACE_MAX, TOKENS_PER_NAMESPACE_MAX,
};
use crate::model::{GrantPattern, RateLimit, parse_duration};
use crate::scheduler::{Error, NewToken, Role, Scheduler, SchedulerBuilder};
use crate::storage::StorageError;
use crate::storage::sqlite::{Room, SqliteStorage};

/// Where a host listens unless it is told otherwise.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7180);
/// What makes this program a compiler: see [`crate::executor::wasm::compile_child_main`].
pub(super) const COMPILE_COMMAND: &str = "compile-component";
/// What a stop says that could not store everything.
const LEFT_LOCKED: &str = "stopped while another program held the write lock of the database: attempts that ended meanwhile are not recorded, \
                           and the next start repeats their runs; let that program finish, or stop it, before you start the host again";
/// How long attempts in flight may go on once the host is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(25);

/// Run the scheduler and its HTTP API on a database file
#[derive(Args)]
#[command(after_help = "Examples:
  runlater serve --db /var/lib/runlater/runlater.db
  runlater serve --db runlater.db --listen 127.0.0.1:8080

The first start makes an operator's token and keeps it, with the address, in ./.runlater/server.json, where client commands in the
same folder find it. Beyond this machine, put a proxy with TLS in front.

SIGHUP reads the time zones again, as the host does by itself once a day; SIGINT and SIGTERM stop it.

Exit codes: 65 the database is damaged, or is none; 78 it can't be used here: another program's, written by a newer
runlater, in use or locked, not writable, no file; 74 the disk failed, the address is taken, or another program's lock kept
the last outcomes from being stored. Each says what to do. Warnings and errors are logged on stderr.")]
pub(super) struct Serve {
    /// The database; made if it does not exist
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = ADDRESS)]
    listen: SocketAddr,
    /// Listen beyond this machine although tokens then travel unencrypted
    #[arg(long)]
    insecure: bool,
    /// Refuse new work while the database's disk has less than this free, in MiB; 0: never
    #[arg(long, value_name = "MIB", default_value_t = Room::default().keep_free >> 20, value_parser = clap::value_parser!(u64).range(..=1 << 30))]
    keep_free: u64,
    /// Runs that may wait in each namespace
    #[arg(long, value_name = "COUNT", default_value_t = LIVE_PER_NAMESPACE_MAX, value_parser = clap::value_parser!(u64).range(1..))]
    live_runs: u64,
    /// MiB that the runs of one namespace may hold: inputs, outputs, metadata, logs and messages
    #[arg(long, value_name = "MIB", default_value_t = RUN_BYTES_PER_NAMESPACE_MAX >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    run_bytes: u64,
    /// Tokens in force that callers may create in each namespace
    #[arg(long, value_name = "COUNT", default_value_t = TOKENS_PER_NAMESPACE_MAX, value_parser = clap::value_parser!(u64).range(1..))]
    tokens: u64,
    /// How late a scheduled run may start because no host was running, 1s to 366d; later, it is missed [default: 60s]
    #[arg(long, value_name = "SPAN", value_parser = parse_missed_grace)]
    missed_grace: Option<Duration>,
    /// Let tokens with the role deploy or admin grant this over the network: tcp=192.0.2.7:5432, tcp=10.0.0.0/8:5432,
    /// tcp=*.example.com:443, tcp=[2001:db8::]/32:* (repeat for several) [default: nothing]
    #[arg(long, value_name = "PATTERN", value_parser = parse_pattern)]
    allow_grant: Vec<GrantPattern>,
    #[command(flatten)]
    slots: SlotsArgument,
    /// TCP sockets that all attempts together may have open
    #[arg(long, value_name = "COUNT", default_value_t = GUEST_SOCKETS_MAX)]
    guest_sockets: usize,
    #[command(flatten)]
    rates: RateArguments,
    #[command(flatten)]
    time_zones: TimeZonesArgument,
}

/// How much may run at a time.
#[derive(Args)]
pub(super) struct SlotsArgument {
    /// Attempts of all tasks together that may be in flight, 1 to 1024 [default: 1024]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    slots: Option<u16>,
    /// Memory of all guests together, such as 512MiB or 4GiB, at least 128MiB; attempts that need more wait [default: half of what the machine or
    /// control group has]
    #[arg(long, value_name = "SIZE", value_parser = parse_guest_memory)]
    guest_memory: Option<u64>,
}

impl SlotsArgument {
    pub(super) fn apply(&self, builder: SchedulerBuilder) -> SchedulerBuilder {
        let builder = match self.slots {
            Some(slots) => builder.slots(usize::from(slots)),
            None => builder,
        };
        match self.guest_memory {
            Some(bytes) => builder.guest_memory(bytes),
            None => builder,
        }
    }
}

/// At least what one attempt may have.
fn parse_guest_memory(text: &str) -> Result<u64, String> {
    let least = Limits::default().memory_bytes as u64;
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "MiB" | "M" => 20,
        "GiB" | "G" => 30,
        "TiB" => 40,
        _ => return Err("a size looks like 512MiB or 4GiB".into()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)).ok_or("a size looks like 512MiB or 4GiB")?;
    if bytes < least {
        return Err(format!("at least {}MiB, which one attempt may have", least >> 20));
    }
    Ok(bytes)
}

/// At least a second: shorter downtime can't be told from a loaded machine.
fn parse_missed_grace(text: &str) -> Result<Duration, String> {
    let grace = parse_duration(text, "missed-grace").map_err(|invalid| invalid.reason)?;
    let accepted = Duration::from_secs(1)..=CATCH_UP_WINDOW_MAX;
    if accepted.contains(&grace) { Ok(grace) } else { Err("from 1s to 366d".into()) }
}

fn parse_pattern(text: &str) -> Result<GrantPattern, String> {
    GrantPattern::parse(text).map_err(|invalid| invalid.reason)
}

/// Rates, each a count in a second, minute or hour: 100/s, 600/m, 5/h; or `none`.
#[derive(Args)]
struct RateArguments {
    /// Requests that one token may send: 100/s, 600/m, 5/h or none [default: 50000/s]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    token_rate: Option<Rate>,
    /// Requests that one address may send; not counted on loopback [default: 2000/s]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    address_rate: Option<Rate>,
    /// Requests with a wrong token that one address may send; not counted on loopback [default: 10/m]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    failure_rate: Option<Rate>,
    /// Components that may be sent to one namespace, dry runs too [default: 120/m]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    upload_rate: Option<Rate>,
    /// Runs that the tasks of one namespace may create [default: 10000/s]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    guest_creates: Option<Rate>,
}

/// A rate as it was typed; no rate is one, too.
#[derive(Clone, Copy)]
struct Rate(Option<RateLimit>);

fn parse_rate(text: &str) -> Result<Rate, String> {
    match text {
        "none" => Ok(Rate(None)),
        _ => RateLimit::parse(text, "rate").map(|rate| Rate(Some(rate))).map_err(|invalid| invalid.reason),
    }
}

impl RateArguments {
    fn of_requests(&self) -> Rates {
        let default = Rates::default();
        Rates {
            token: self.token_rate.map_or(default.token, |rate| rate.0),
            address: self.address_rate.map_or(default.address, |rate| rate.0),
            failures: self.failure_rate.map_or(default.failures, |rate| rate.0),
            uploads: self.upload_rate.map_or(default.uploads, |rate| rate.0),
        }
    }
}

impl Serve {
    pub(super) fn run(self, screen: &Screen) -> anyhow::Result<()> {
        if !self.listen.ip().is_loopback() && !self.insecure {
            return Err(failure::usage(format!(
                "{} can be reached from other machines, and tokens would travel unencrypted: listen on 127.0.0.1 behind a proxy with TLS, \
                 or add --insecure",
                self.listen
            )));
        }
        log::install(screen.json);
        runtime()?.block_on(async {
            let (stop, reload) = (StopSignal::new()?, ReloadSignal::new()?);
            // The address first: a taken one must not cost a start of the scheduler.
            let listener = bind(self.listen).await?;
            let room = Room { keep_free: self.keep_free << 20, ..Room::default() };
            let scheduler = open(&self.db, |builder| {
                let builder = self
                    .time_zones
                    .apply(self.slots.apply(builder))
                    .room(room)
                    .live_runs(self.live_runs)
                    .run_bytes(self.run_bytes << 20)
                    .tokens(self.tokens)
                    .guest_sockets(self.guest_sockets);
                let builder = self.allow_grant.iter().cloned().fold(builder, SchedulerBuilder::allow_grant);
                let builder = match self.missed_grace {
                    Some(grace) => builder.missed_grace(grace),
                    None => builder,
                };
                match self.rates.guest_creates {
                    Some(rate) => builder.guest_creates(rate.0),
                    None => builder,
                }
            });
            let scheduler = scheduler.await?;
            let address = listener.local_addr()?;
            let file = announce(&scheduler, address, Path::new(".")).await?;
            if screen.json {
                screen.value(&serde_json::json!({ "url": format!("http://{address}"), "server_file": file }))?;
            } else {
                screen.line(format!("listening on http://{address}, with the database {}", clean(&self.db.display().to_string())))?;
                screen.line(format!("client commands in this folder find address and token in {}", clean(&file.display().to_string())))?;
            }
            let stop = stop_or_broken(stop, reload, &scheduler, screen);
            let served = http::serve_with(doors(), scheduler.clone(), self.rates.of_requests(), listener, stop).await;
            close(&scheduler, screen).await?;
            Ok(served?)
        })
    }
}

/// What is served beside the API.
pub(super) fn doors() -> Vec<http::Door> {
    #[cfg(feature = "hatchet")]
    return crate::hatchet::doors();
    #[cfg(not(feature = "hatchet"))]
    Vec::new()
}

/// The threads of a host. A host has many files open: connections, and sockets of guests. The soft limit on these is for programs that can't have
/// more than 1,024, so it is raised to the hard limit first.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit on open files can't be raised");
    }
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Opens the database and starts to execute. Components are compiled in a child process, since they come from whoever may deploy,
/// and once: the code is kept beside the database, sealed with a key that only this user can read. `more` says more to the builder.
pub(super) async fn open(db: &Path, more: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder) -> anyhow::Result<Scheduler> {
    let program = std::env::current_exe().map_err(|error| failure::io("find", Path::new("runlater"), &error))?;
    // Else a mistyped path would be made below, for the code.
    let folder = db.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let (db, folder) = (clean(&db.display().to_string()), clean(&folder.display().to_string()));
        let message = format!("can't open the database {db}: its folder does not exist; create it first: mkdir -p '{folder}'");
        return Err(Failure::new(Exit::Config, "database", message).into());
    }
    // Before anything is made beside it: who names the wrong file should find no trace of us there.
    SqliteStorage::refuse_foreign_tables(db).map_err(|error| failure::database(db, &error.into()))?;
    let mut code = db.as_os_str().to_owned();
    code.push(".code");
    let code = PathBuf::from(code);
    let fresh = !code.exists();
    let key = wasm::code_key(&code).map_err(|error| failure::io("use the folder", &code, &error))?;
    let scheduler = Scheduler::builder()
        .sqlite(db)
        .compiler(Compiler::ChildProcess { program, args: vec![COMPILE_COMMAND.into()] })
        .code_cache(&code, key)
        .catch_up_later();
    let scheduler = more(scheduler).build().await.map_err(|error| {
        if fresh {
            // Holds nothing but a key that seals nothing.
            let _ = fs::remove_dir_all(&code);
        }
        match error {
            // Not a matter of the database.
            Error::Invalid(invalid) if invalid.code == "invalid-tzdir" => {
                Failure::new(Exit::Config, invalid.code, clean(&invalid.to_string())).into()
            }
            error => failure::database(db, &error),
        }
    })?;
    SqliteStorage::make_private(db).map_err(|error| failure::database(db, &error.into()))?;
    Ok(scheduler)
}

/// Listens.
pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; another server listens there: stop it, or choose another port with --listen",
            io::ErrorKind::PermissionDenied => "; choose a port above 1023 with --listen",
            _ => "",
        };
        Failure::new(Exit::Io, "listen", format!("can't listen on {address}: {error}{hint}")).into()
    })
}

/// Writes where the host listens, with an operator's token: the one that is there already if this database knows it, else a new one.
pub(super) async fn announce(scheduler: &Scheduler, address: SocketAddr, folder: &Path) -> anyhow::Result<PathBuf> {
    let known = discovery::of_folder(folder)
        .map(|file| file.token)
        .filter(|token| scheduler.authenticate(token).is_ok_and(|caller| caller.is_some_and(|(_, role)| role == Role::Operator)));
    let token = match known {
        Some(token) => token,
        None => {
            let new = NewToken { role: Role::Operator, note: format!("made at the first start, for {}", discovery::FOLDER), expires: None };
            scheduler.create_token(new).await?.0.secret().to_string()
        }
    };
    // Who listens on all addresses is reached on this machine's own.
    let mut reached = address;
    if address.ip().is_unspecified() {
        reached.set_ip(ADDRESS.ip());
    }
    discovery::write(folder, &ServerFile { url: format!("http://{reached}"), token })
}

/// Ends when the host is told to stop, or its storage has given up. Meanwhile, it reads its time zones again when it is told to.
pub(super) async fn stop_or_broken(stop: StopSignal, reload: ReloadSignal, scheduler: &Scheduler, screen: &Screen) {
    tokio::select! {
        () = stop.wait() => {}
        () = reload.obey(scheduler, screen) => {}
        _ = scheduler.broken() => {}
    }
    // Else requests in flight would have the server wait for their compiler.
    scheduler.refuse_registrations();
}

/// Shuts down with a grace for the attempts in flight. A further signal ends the process at once: nothing acknowledged is lost. After the
/// storage has given up there is no grace, as no outcome could be recorded, and the failure says what it was.
pub(super) async fn close(scheduler: &Scheduler, screen: &Screen) -> anyhow::Result<()> {
    if let Some(trouble) = scheduler.health().trouble {
        drop(scheduler.shutdown(Duration::ZERO).await);
        let message = format!("the database can't be relied on any more ({trouble}); start the host again: it reads what was stored");
        return Err(Failure::new(Exit::Io, "database", clean(&message)).into());
    }
    screen.note("stopping; once more to stop at once");
    let again = StopSignal::new()?;
    tokio::select! {
        closed = scheduler.shutdown(STOP_GRACE) => match closed {
            Err(Error::Storage(StorageError::Locked)) => Err(Failure::new(Exit::Io, StorageError::Locked.code(), LEFT_LOCKED).into()),
            closed => Ok(closed?),
        },
        () = again.wait() => std::process::exit(130),
    }
}

/// SIGINT or SIGTERM.
pub(super) struct StopSignal {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// From now on, neither ends the process by itself.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub(super) async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory_have_a_unit_and_fit_one_attempt() {
        for (text, expected) in [
            ("128MiB", Some(128 << 20)),
            ("4GiB", Some(4 << 30)),
            ("1TiB", Some(1 << 40)),
            ("512M", Some(512 << 20)),
            ("2G", Some(2 << 30)),
        ] {
            assert_eq!(parse_guest_memory(text).ok(), expected, "{text}");
        }
        for text in
            ["127MiB", "0GiB", "4", "GiB", "-1GiB", "4 GiB", "4gib", "1.5GiB", "99999999999999999999GiB", "18446744073709551615TiB", ""]
        {
            assert!(parse_guest_memory(text).is_err(), "{text}");
        }
    }
}
