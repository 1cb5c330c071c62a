//! Computes again when crons fire next, after the time zones or the meaning of expressions changed.

use rusqlite::{Connection, OptionalExtension};

use super::read::{COLUMNS, Stored, stored};
use super::{AHEAD, settle};
use crate::model::{NamespaceId, Timestamp};
use crate::storage::sqlite::group::Tx;
use crate::storage::sqlite::meta;
use crate::storage::sqlite::registry::Registry;
use crate::storage::sqlite::rows::sound;

/// Counts the changes of what expressions mean. 2: a day field that begins with `*` does not restrict the days by itself, `L,LW` is both, and only the
/// text decides whether a rule names its times.
const MEANING: i64 = 2;
/// Crons that are renewed between two commits while the host runs.
const SLICE: usize = 500;

/// When the storage opens: renews all crons if the database was last used with other time zones or another meaning of expressions.
///
/// An overdue occurrence stays, because it was planned by the clocks as they were. Runs that exist already, of occurrences up to a minute ahead, stay, too.
pub(in crate::storage::sqlite) fn renew(conn: &mut Connection, registry: &Registry, now: Timestamp) -> rusqlite::Result<()> {
    let fingerprint = registry.zones().current().fingerprint().to_owned();
    let transaction = conn.transaction()?;
    let mut from = Some(i64::MIN);
    while let Some(after) = from {
        from = renew_some(&transaction, registry, &fingerprint, after, now)?;
    }
    transaction.commit()
}

/// The same for up to [`SLICE`] crons with a key after `after`, while the host runs. Returns where the next slice begins.
pub(in crate::storage::sqlite) fn renew_slice(
    tx: &mut Tx<'_>,
    fingerprint: &str,
    after: i64,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    // Tasks that this very transaction registers are not known in memory before its commit: their crons are renewed after it.
    if tx.registered {
        return Ok(Some(after));
    }
    let next = renew_some(tx.conn, &tx.shared.registry, fingerprint, after, now)?;
    settle(tx)?;
    Ok(next)
}

fn renew_some(conn: &Connection, registry: &Registry, fingerprint: &str, after: i64, now: Timestamp) -> rusqlite::Result<Option<i64>> {
    let known: Option<String> =
        conn.query_row("-- meta: tzdb\nSELECT value FROM runlater_meta WHERE key = 'tzdb'", [], |row| row.get(0)).optional()?;
    let has_new_meaning = meta::number(conn, "cron_meaning")? != Some(MEANING);
    if known.as_deref() == Some(fingerprint) && !has_new_meaning {
        return Ok(None);
    }
    let crons = {
        let mut statement =
            conn.prepare_cached(&format!("-- crons: renew\nSELECT {COLUMNS} FROM runlater_crons WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
        let rows = statement.query_map((after, SLICE as i64), |row| Ok((row.get::<_, i64>(0)?, stored(row, registry))))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let last = crons.last().map(|(id, _)| *id).filter(|_| crons.len() == SLICE);
    for (_, read) in crons {
        if let Some(stored) = sound("crons", read)? {
            renew_one(conn, registry, &stored, has_new_meaning, now)?;
        }
    }
    if last.is_none() {
        conn.execute("INSERT OR REPLACE INTO runlater_meta (key, value) VALUES ('tzdb', ?1)", [fingerprint])?;
        meta::set_number(conn, "cron_meaning", MEANING)?;
    }
    Ok(last)
}

fn renew_one(conn: &Connection, registry: &Registry, stored: &Stored, has_new_meaning: bool, now: Timestamp) -> rusqlite::Result<()> {
    let cron = &stored.cron;
    // Up to then, occurrences may have their runs.
    let soon = now.as_micros().saturating_add(AHEAD);
    // A run that exists is not made again, even if somebody deleted or moved another one since.
    let made: Option<i64> = conn
        .prepare_cached("-- cron: made last\nSELECT max(planned_at) FROM runlater_runs WHERE cron = ?1 AND planned_at <= ?2")?
        .query_row((stored.id, soon), |row| row.get(0))?;
    let made = made.and_then(Timestamp::from_micros).unwrap_or(Timestamp::MIN);
    let may_fire = cron.spec.max_count.is_none_or(|max| cron.fired < max);
    let next = match cron.next_at {
        Some(near) if near.as_micros() <= soon => Some(near),
        _ => cron.fires_after(now).filter(|_| may_fire).and_then(|after| cron.spec.rule.next_after(after.max(made))),
    };
    let why = if has_new_meaning { cron.spec.rule.changed_meaning() } else { None };
    if next == cron.next_at && why.is_none() {
        return Ok(());
    }
    let namespace = registry.namespaces().into_iter().find(|namespace| namespace.id == NamespaceId(stored.namespace));
    let namespace = namespace.map_or_else(String::new, |namespace| namespace.name.to_string());
    let in_words = |at: Option<Timestamp>| at.map_or_else(|| "never".into(), |at| at.to_string());
    tracing::warn!(
        cron = %cron.name, %namespace, expression = cron.spec.rule.text(), timezone = cron.spec.rule.zone(),
        before = in_words(cron.next_at), after = in_words(next),
        "the occurrences of a cron changed: {}", why.unwrap_or("the time zone database has new rules for its zone"),
    );
    conn.prepare_cached("-- cron: renew\nUPDATE runlater_crons SET next_at = ?2 WHERE id = ?1")?
        .execute((stored.id, next.map(Timestamp::as_micros)))
        .map(drop)
}
