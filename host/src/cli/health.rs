//! `runlater health`.

use clap::Args;

use super::Global;
use super::client::Client;
use super::screen::{Screen, clean};
use crate::http::shapes;

/// Show what waits on the host, and what it left out since it started
#[derive(Args)]
#[command(after_help = "Examples:
  runlater health
  runlater health --json

The numbers are those of the token's namespace. With the role `operator`, those of the whole host follow.")]
pub(super) struct Health;

impl Health {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let client = Client::find(global, screen)?;
        let health: shapes::Health = client.get("/v1/health", &[])?;
        if screen.json {
            return Ok(screen.value(&health)?);
        }
        let writes = match (health.writable, &health.reason) {
            (true, _) => "are taken".into(),
            (false, Some(reason)) => format!("can't be stored: {}, see the host's log", clean(reason)),
            (false, None) => "can't be stored: see the host's log".into(),
        };
        screen.line(format!("writes {writes}"))?;
        screen.line(format!("\nNamespace {}:", clean(&health.namespace)))?;
        show_load(screen, health.running, health.armed, health.parked)?;
        let Some(health) = health.host else { return Ok(()) };
        screen.line("\nThe whole host:")?;
        show_load(screen, health.running, health.armed, health.parked)?;
        screen.line(format!("writes that wait for their commit {}", health.queued_writes))?;
        screen.line(format!("time zones {}", clean(&health.time_zones.to_string())))?;
        screen.line(format!(
            "due runs that wait for a slot {}, attempts that wait for guest memory {}",
            health.waiting_for_slots, health.waiting_for_memory
        ))?;
        screen.line("\nSince the host started:")?;
        for (count, what) in [
            (health.missed.host_down, "runs missed because no host was running"),
            (health.missed.overlap, "runs missed because their lane was busy"),
            (health.missed.expired, "runs missed because they had not started by their deadline"),
            (health.made_way, "attempts asked to make way for others of their lane"),
            (health.rate_waits, "times a lane waited for its rate"),
            (health.pruned, "ended runs deleted because they are kept no longer"),
        ] {
            screen.line(format!("{count:>8}  {what}"))?;
        }
        Ok(())
    }
}

fn show_load(screen: &Screen, running: usize, armed: usize, parked: usize) -> anyhow::Result<()> {
    screen.line(format!("attempts in flight {running}"))?;
    Ok(screen.line(format!("runs due within seconds {armed}, held back by a policy or a pause {parked}"))?)
}
