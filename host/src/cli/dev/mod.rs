//! `runlater dev`: everything in one process, for whoever writes tasks.
//!
//! Builds the crates, registers what they are, serves the API, and shows runs as they happen; again whenever a source changes.
//! `crates.rs` finds the crates, `build.rs` builds them, `sources.rs` notices changes, `show.rs` shows runs.

mod build;
mod crates;
mod show;
mod sources;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;

use super::discovery;
use super::failure::{self, Exit, Failure};
use super::log;
use super::screen::{Screen, clean};
use super::serve::{self, SlotsArgument, StopSignal};
use super::time_zones::{ReloadSignal, TimeZonesArgument};
use crate::http;
use crate::model::{Grant, Origin, RunFilter};
use crate::scheduler::Scheduler;
use build::{Builds, Built};
use crates::GuestCrate;

/// How often sources are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Ports tried above the usual one.
const PORTS_TRIED: u16 = 100;
/// Where the crates of a source tree are.
const CRATES: &str = "guest-tasks";
/// The task that a newcomer sees first, and what it is given.
const FIRST_TASK: &str = "reminder";

/// Build the tasks in a folder, run them, and show runs as they happen
#[derive(Args)]
#[command(after_help = "Examples:
  runlater dev                 the crates in ./guest-tasks, or else the crate in this folder
  runlater dev my-task         one crate

The database and the address with its token are in ./.runlater. A crate asks for grants in its manifest:
  [package.metadata.runlater]
  grants = [\"runs\"]")]
pub(super) struct Dev {
    /// A crate, or a folder with crates in it [default: guest-tasks if there is such a folder, else the crate in this one]
    folder: Option<PathBuf>,
    /// Where to listen, instead of the first free port from 127.0.0.1:7180 on
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    slots: SlotsArgument,
    #[command(flatten)]
    time_zones: TimeZonesArgument,
}

impl Dev {
    pub(super) fn run(self, screen: &Screen) -> anyhow::Result<()> {
        if self.listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            return Err(failure::usage("dev listens on this machine only; use `runlater serve` for others"));
        }
        let folder = self.folder()?;
        build::check_target(screen)?;
        let crates = crates::find(&folder)?;
        log::install(screen.json);
        let runtime = serve::runtime()?;
        let done = runtime.block_on(self.host(screen, folder, crates));
        // A build may still be at work; cargo goes on by itself.
        runtime.shutdown_timeout(Duration::from_secs(1));
        done
    }

    /// The folder to build: the one that was named, or what `dev` finds where it was started.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        match &self.folder {
            Some(folder) if folder.is_dir() => Ok(folder.clone()),
            Some(folder) => {
                let shown = clean(&folder.display().to_string());
                Err(failure::usage(format!("there is no folder {shown}; name one, or make a crate with `runlater new {shown}/hello`")))
            }
            None if Path::new(CRATES).is_dir() => Ok(CRATES.into()),
            None if Path::new("Cargo.toml").is_file() => Ok(".".into()),
            None => Err(failure::usage(format!(
                "there is neither a folder {CRATES} nor a crate here; name a folder, or make a crate with `runlater new {CRATES}/hello`"
            ))),
        }
    }

    async fn host(self, screen: &Screen, watched: PathBuf, crates: Vec<GuestCrate>) -> anyhow::Result<()> {
        let (stop, reload) = (StopSignal::new()?, ReloadSignal::new()?);
        let folder = Path::new(".");
        let db = discovery::make_folder(folder)?.join("runlater.db");
        let listener = self.listen().await?;
        let scheduler = serve::open(&db, |builder| self.time_zones.apply(self.slots.apply(builder))).await?;
        let events = scheduler.subscribe();
        let address = listener.local_addr()?;
        let file = serve::announce(&scheduler, address, folder).await?;

        // Served from the start, so that a first build that fails can be mended while clients find the host.
        let mut serving = JoinSet::new();
        let (stop_serving, stopped) = oneshot::channel::<()>();
        serving.spawn(http::serve_with(serve::doors(), scheduler.clone(), http::Rates::default(), listener, async { drop(stopped.await) }));

        let mut seen = sources::look(&watched);
        let built = build_all(crates).await;
        register(&scheduler, screen, built).await?;
        screen.line(format!("\nlistening on http://{address}; address and token are in {}", clean(&file.display().to_string())))?;
        next_commands(&scheduler, screen)?;
        first_run(&scheduler, screen).await?;

        let watching = watch(&watched, &scheduler, screen, events, &mut seen);
        let watched = tokio::select! {
            watched = watching => watched,
            () = serve::stop_or_broken(stop, reload, &scheduler, screen) => Ok(()),
        };
        drop(stop_serving);
        while serving.join_next().await.is_some() {}
        serve::close(&scheduler, screen).await?;
        watched
    }

    async fn listen(&self) -> anyhow::Result<TcpListener> {
        if let Some(address) = self.listen {
            return serve::bind(address).await;
        }
        for port in serve::ADDRESS.port()..serve::ADDRESS.port() + PORTS_TRIED {
            match TcpListener::bind(SocketAddr::new(serve::ADDRESS.ip(), port)).await {
                Ok(listener) => return Ok(listener),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                // Anything else is no matter of the port.
                Err(_) => break,
            }
        }
        serve::bind(serve::ADDRESS).await
    }
}

/// Shows runs and follows the sources, for ever.
async fn watch(
    folder: &Path,
    scheduler: &Scheduler,
    screen: &Screen,
    mut events: broadcast::Receiver<crate::storage::RunEvent>,
    seen: &mut sources::Look,
) -> anyhow::Result<()> {
    let mut looking = tokio::time::interval(LOOK_EVERY);
    looking.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut builds = JoinSet::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => show::event(screen, &event, scheduler.now())?,
                Err(broadcast::error::RecvError::Lagged(count)) => screen.note(format!("({count} more changes, too fast to show)")),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            Some(built) = builds.join_next() => register(scheduler, screen, built?).await?,
            // One build at a time; what changes meanwhile is seen afterwards.
            _ = looking.tick(), if builds.is_empty() => {
                let looked = folder.to_path_buf();
                let now = tokio::task::spawn_blocking(move || sources::look(&looked)).await?;
                if now != *seen {
                    *seen = now;
                    screen.note("\nsources changed, building …");
                    let folder = folder.to_path_buf();
                    builds.spawn(async move {
                        // Crates may have come or gone.
                        match tokio::task::spawn_blocking(move || crates::find(&folder)).await {
                            Ok(Ok(crates)) => build_all(crates).await,
                            Ok(Err(error)) => Err(error),
                            Err(error) => Err(error.into()),
                        }
                    });
                }
            }
        }
    }
}

async fn build_all(crates: Vec<GuestCrate>) -> anyhow::Result<Builds> {
    tokio::task::spawn_blocking(move || build::build(&crates)).await?
}

/// Registers what was built. What fails is told, and the version before stays.
async fn register(scheduler: &Scheduler, screen: &Screen, built: anyhow::Result<Builds>) -> anyhow::Result<()> {
    let Builds { built, failed } = match built {
        Ok(built) => built,
        Err(error) => {
            screen.note(format!("{error:#}\nwhat was registered before stays; waiting for a change of the sources"));
            return Ok(());
        }
    };
    for name in failed {
        screen.note(format!("{} could not be built (see above); what was registered of it before stays", clean(&name)));
    }
    for Built { name, wasm, grants } in built {
        let name = clean(&name);
        let parsed: Result<Vec<_>, _> = grants.iter().map(|grant| Grant::parse(grant)).collect();
        let registered = match parsed {
            Ok(parsed) => scheduler.register(Arc::<[u8]>::from(wasm)).grants(parsed).send().await,
            Err(invalid) => Err(invalid.into()),
        };
        match registered {
            Ok(registered) => {
                let tasks: Vec<_> = registered.tasks.iter().map(|task| task.name.as_str()).collect();
                let granted = if grants.is_empty() { "no grants".into() } else { format!("granted {}", grants.join(", ")) };
                screen.line(format!("registered {name} ({granted}): {}", tasks.join(", ")))?;
            }
            Err(error) => screen.note(format!("{name} was not registered: {}", clean(&error.to_string()))),
        }
    }
    Ok(())
}

fn next_commands(scheduler: &Scheduler, screen: &Screen) -> anyhow::Result<()> {
    let own = std::env::args().next().filter(|own| own != "runlater").unwrap_or_else(|| "runlater".into());
    let own = clean(&own);
    let tasks = scheduler.tasks();
    let task = tasks.iter().find(|task| task.name.as_str() == FIRST_TASK).or(tasks.first());
    screen.line("In a second terminal in this folder:")?;
    if let Some(task) = task {
        screen.line(format!("  {own} schedule {} --after 2s --wait", task.name))?;
    }
    screen.line(format!("  {own} tasks"))?;
    screen.line(format!("  {own} runs list\n"))?;
    Ok(())
}

/// On an empty database, schedules what a newcomer should see: a run at its time, and the follow-up that it schedules.
async fn first_run(scheduler: &Scheduler, screen: &Screen) -> anyhow::Result<()> {
    let after = Duration::from_secs(2);
    // Runs that code declares were scheduled by the registration just now.
    let by_somebody = Origin::ALL.into_iter().filter(|origin| *origin != Origin::Code).collect();
    let scheduled = RunFilter { origins: by_somebody, ..RunFilter::default() };
    if scheduler.task(FIRST_TASK).is_none() || scheduler.count(&scheduled).await? > 0 {
        return Ok(());
    }
    match scheduler.schedule(FIRST_TASK).after(after).send().await {
        Ok(run) => screen.line(format!("Nothing was ever scheduled here, so a first run of `{FIRST_TASK}` is due in 2 s: run {run}"))?,
        Err(error) => screen.note(format!("a first run could not be scheduled: {}", clean(&error.to_string()))),
    }
    Ok(())
}

/// Builds the one guest in `folder`, also one that `dev` leaves out.
pub(super) fn build_one(folder: &Path, screen: &Screen) -> anyhow::Result<Vec<u8>> {
    build::check_target(screen)?;
    let guests = crates::find_all(folder)?;
    let built = build::build(&guests[..1])?.built.pop();
    built.map(|built| built.wasm).ok_or_else(|| Failure::new(Exit::Config, "build", "the guest could not be built: see above").into())
}
