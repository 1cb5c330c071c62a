//! Which time zone database a command uses, and when a host reads it again.

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Exit, Failure};
use super::screen::{Screen, clean};
use crate::scheduler::{Error, Scheduler, SchedulerBuilder};
use crate::zones::Zones;

/// The folder with the time zones.
#[derive(Args, Default)]
pub(super) struct TimeZonesArgument {
    /// Take time zones from this zoneinfo folder [env: RUNLATER_TZDIR] [default: the newer one of the system's and the bundled copy]
    #[arg(long, value_name = "DIR")]
    tzdir: Option<PathBuf>,
}

impl TimeZonesArgument {
    /// Reads them.
    pub(super) fn select(&self) -> anyhow::Result<Zones> {
        Zones::select(self.tzdir.as_deref()).map_err(|invalid| Failure::new(Exit::Config, "invalid-tzdir", invalid.to_string()).into())
    }

    pub(super) fn apply(&self, builder: SchedulerBuilder) -> SchedulerBuilder {
        match &self.tzdir {
            Some(folder) => builder.tzdir(folder),
            None => builder,
        }
    }
}

/// SIGHUP, on which a host reads its time zones again.
pub(super) struct ReloadSignal {
    hangup: Signal,
    /// Whether the process has a terminal, whose end is a SIGHUP, too.
    had_terminal: bool,
}

impl ReloadSignal {
    /// From now on, SIGHUP does not end the process by itself.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, had_terminal: has_terminal() })
    }

    /// Reloads at each SIGHUP. Ends if the terminal is gone from which the host was started: nobody could stop the host there any more.
    pub(super) async fn obey(mut self, scheduler: &Scheduler, screen: &Screen) {
        while self.hangup.recv().await.is_some() {
            if self.had_terminal && !has_terminal() {
                return;
            }
            match scheduler.reload_time_zones().await {
                Ok(zones) => screen.note(clean(&format!("in force: time zones {zones}"))),
                Err(Error::Storage(error)) => {
                    tracing::error!(%error, "new time zones are in force; the host renews the crons as soon as it can store them");
                }
                Err(error) => tracing::error!(%error, "the time zones could not be read again; those in force stay"),
            }
        }
    }
}

/// Whether the process has a terminal that exists.
fn has_terminal() -> bool {
    std::fs::File::open(Path::new("/dev/tty")).is_ok()
}
