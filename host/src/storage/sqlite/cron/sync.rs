//! Brings the crons that a component's code defines in line with what it says now.

use super::change::{create_for, remove, replace};
use super::fire::fire_overdue;
use super::read::{COLUMNS, stored};
use crate::model::{CodeCron, NamespaceId, Origin, Task, Timestamp};
use crate::storage::sqlite::group::Tx;
use crate::storage::sqlite::rows::origin_code;

/// Adds, changes and removes the crons of `task`. One that says what it said goes on undisturbed.
pub(in crate::storage::sqlite) fn sync(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    task: &Task,
    crons: &[CodeCron],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let known = {
        let mut statement =
            tx.conn.prepare_cached(&format!("-- cron: of code\nSELECT {COLUMNS} FROM runlater_crons WHERE task = ?1 AND origin = ?2"))?;
        let registry = &tx.shared.registry;
        let rows = statement.query_map((task.id.0, origin_code(Origin::Code)), |row| stored(row, registry))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let mut seen = Vec::new();
    for mut stored in known {
        let Some(cron) = crons.iter().find(|cron| cron.name == stored.cron.name) else {
            remove(tx, stored, now)?;
            continue;
        };
        seen.push(&cron.name);
        let spec = cron.spec(stored.cron.spec.rule.start());
        if spec != stored.cron.spec {
            fire_overdue(tx, &mut stored, now)?;
            stored.cron.spec = cron.spec(now);
            replace(tx, stored, now)?;
        }
    }
    for cron in crons {
        let spec = cron.spec(now);
        if !seen.contains(&&cron.name) && create_for(tx, namespace, task.id.0, &cron.name, &spec, Origin::Code, now)?.is_err() {
            tracing::error!(cron = %cron.name, "the cron that the code defines is not made: one of this name came meanwhile, or there are as many as may be");
        }
    }
    Ok(())
}
