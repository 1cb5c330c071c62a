//! Makes occurrences into runs shortly before their time.

use super::occur::occur;
use super::read::{COLUMNS, Stored, stored};
use super::skip::skip_over_quota;
use super::{AHEAD, settle};
use crate::model::Timestamp;
use crate::storage::sqlite::group::Tx;
use crate::storage::sqlite::rows::sound;

/// Crons looked at in one transaction.
const CRONS_MAX: i64 = 256;
/// Runs made in one transaction, so that it does not hold up the writer.
const RUNS_MAX: usize = 512;

/// Makes the runs of all occurrences up to the horizon; what is left after a slice is done when the writer is asked again, at once.
pub(super) fn fire(tx: &mut Tx<'_>, now: i64) -> rusqlite::Result<()> {
    // Tasks that this very transaction registers are not known in memory before its commit: then their crons can be read, too.
    if tx.registered {
        return settle(tx);
    }
    let horizon = now.saturating_add(AHEAD);
    let due = {
        let mut statement = tx.conn.prepare_cached(&format!(
            "-- crons: due\nSELECT {COLUMNS} FROM runlater_crons WHERE next_at IS NOT NULL AND next_at <= ?1 ORDER BY next_at LIMIT ?2"
        ))?;
        let registry = &tx.shared.registry;
        let rows = statement.query_map((horizon, CRONS_MAX), |row| Ok((row.get(0)?, stored(row, registry))))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let mut room = RUNS_MAX;
    for (id, read) in due {
        let Some(mut stored) = or_set_aside(tx, id, read)? else { continue };
        room = room.saturating_sub(fire_one(tx, &mut stored, horizon, room, now)?);
        if room == 0 {
            break;
        }
    }
    settle(tx)
}

/// Makes the runs of occurrences whose time has come, and that only were not got at yet: a change of the cron must not drop them. What passed long
/// ago is for whoever decides about gaps.
pub(super) fn fire_overdue(tx: &mut Tx<'_>, stored: &mut Stored, now: Timestamp) -> rusqlite::Result<()> {
    let now = now.as_micros();
    match stored.cron.next_at.map(Timestamp::as_micros) {
        Some(next) if next <= now && now - next <= AHEAD => fire_one(tx, stored, now, RUNS_MAX, now).map(drop),
        _ => Ok(()),
    }
}

/// Makes up to `room` runs of one cron, and moves it on. Returns how many.
fn fire_one(tx: &mut Tx<'_>, stored: &mut Stored, horizon: i64, room: usize, now: i64) -> rusqlite::Result<usize> {
    let now = Timestamp::from_micros(now).unwrap_or(Timestamp::MIN);
    let (mut made, mut next) = (0, stored.cron.next_at);
    while let Some(planned) = next
        && planned.as_micros() <= horizon
        && made < room
    {
        if stored.cron.spec.max_count.is_some_and(|max| stored.cron.fired >= max) {
            next = None;
            break;
        }
        let due = planned.saturating_add(stored.cron.spec.rule.delay(stored.id, planned));
        match occur(tx, stored, Some(planned), due, now)? {
            Ok(Some(_)) => {
                stored.cron.fired += 1;
                made += 1;
            }
            Ok(None) => {}
            Err(why) => {
                skip_over_quota(tx, stored, planned, &why, now)?;
                made += 1;
            }
        }
        next = stored.cron.spec.rule.next_after(planned);
    }
    if stored.cron.spec.max_count.is_some_and(|max| stored.cron.fired >= max) {
        next = None;
    }
    stored.cron.next_at = next;
    move_on(tx, stored)?;
    Ok(made)
}

/// What was read of a cron. A row that says what none of ours can say is set aside: it makes no runs, and holds up no other cron. So is a cron
/// whose time zone is unknown.
pub(super) fn or_set_aside(tx: &Tx<'_>, id: i64, read: rusqlite::Result<Stored>) -> rusqlite::Result<Option<Stored>> {
    let found = sound("crons", read)?.filter(|stored| {
        let (cron, zone) = (&stored.cron, stored.cron.spec.rule.time_zone());
        if !zone.is_known() {
            tracing::error!(cron = %cron.name, namespace = stored.namespace, timezone = zone.name(),
                "the time zone database does not have the zone of a cron any more; it does not fire until it gets another one");
        }
        zone.is_known()
    });
    if found.is_none() {
        tx.conn.prepare_cached("-- cron: set aside\nUPDATE runlater_crons SET next_at = NULL WHERE id = ?1")?.execute([id])?;
    }
    Ok(found)
}

/// Stores how far a cron has come.
pub(super) fn move_on(tx: &Tx<'_>, stored: &Stored) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("-- cron: move on\nUPDATE runlater_crons SET next_at = ?2, fired = ?3 WHERE id = ?1")?.execute((
        stored.id,
        stored.cron.next_at.map(Timestamp::as_micros),
        stored.cron.fired,
    ))?;
    Ok(())
}
