//! What one namespace may do to another: attacks by hostile guests and callers, while a neighbour runs a hundred runs a second.
//!
//! Nothing of the neighbour fails or is lost, whatever the others do. How much later its runs end, and how much memory the host takes, is measured
//! attack by attack in the long round (`RUNLATER_NEIGHBOUR_SECONDS`), which asserts both.

mod callers;
mod guests;
mod host;

use std::time::Duration;

use host::{Host, Neighbour};

/// Seconds that each attack of the long round takes; unset in the short round, in which all attacks take place at once.
fn long_round() -> Option<Duration> {
    let seconds = std::env::var("RUNLATER_NEIGHBOUR_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("a number of seconds")))
}

/// How long the short round attacks.
const SHORT: Duration = Duration::from_secs(8);
/// What the host may take beyond what it takes while nobody attacks.
const RSS_MAX: u64 = 512 << 20;

/// An attack: begins, and goes on until what it returns is dropped.
type Attack = fn(&Host, &str) -> Box<dyn std::any::Any>;

fn attack_together(attacks: &[(&str, Attack)]) {
    if long_round().is_some() {
        return;
    }
    let host = Host::start();
    let neighbour = Neighbour::in_namespace(&host, "neighbour");
    let under_way: Vec<_> = attacks.iter().map(|(name, attack)| attack(&host, name)).collect();
    let seen = neighbour.runs_for(SHORT);
    drop(under_way);
    println!("beside {} attacks at once: {seen}", attacks.len());
}

fn attack_in_turn(attacks: &[(&str, Attack)]) {
    let Some(span) = long_round() else { return };
    for (name, attack) in attacks {
        let host = Host::start();
        let neighbour = Neighbour::in_namespace(&host, "neighbour");
        let alone = neighbour.runs_for(span);
        let idle = host.rss();
        let under_way = attack(&host, name);
        let beside = neighbour.runs_for(span);
        let rss = host.rss_max();
        drop(under_way);
        println!("{name}: alone {alone}; beside it {beside}; {} MiB more than idle", rss.saturating_sub(idle) >> 20);
        assert!(beside.p99 <= alone.p99 * 2 + Duration::from_millis(5), "{name}: {beside} beside it, {alone} alone");
        assert!(rss <= idle + RSS_MAX, "{name}: {rss} bytes, {idle} when idle");
    }
}

#[test]
fn nothing_of_a_neighbour_fails_beside_hostile_guests() {
    attack_together(&guests::ATTACKS);
}

#[test]
fn nothing_of_a_neighbour_fails_beside_hostile_callers() {
    attack_together(&callers::ATTACKS);
}

#[test]
fn a_neighbour_hardly_notices_each_attack() {
    attack_in_turn(&guests::ATTACKS);
    attack_in_turn(&callers::ATTACKS);
}
