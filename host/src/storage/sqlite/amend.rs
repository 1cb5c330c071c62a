//! Moves or deletes one run, if it is still what the caller saw.

use super::group::Tx;
use super::list::Reader;
use super::{delete, reschedule};
use crate::model::{NamespaceId, RunId, Status, Timestamp, Version};
use crate::storage::{Amendment, ChangeError};

/// Compares and changes in one transaction, so that nothing comes in between.
pub(super) fn amend(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    run: RunId,
    amendment: Amendment,
    seen: &[Version],
    now: Timestamp,
) -> rusqlite::Result<Result<(), ChangeError>> {
    let reader = Reader { conn: tx.conn, registry: &tx.shared.registry, id_origin: tx.shared.id_origin, namespace, now };
    let current = reader.get(run)?;
    // What can't be changed at all is refused for that reason, below: to read it again would not help.
    if current.is_some_and(|run| run.status == Status::Scheduled && !seen.contains(&Version::of(&run))) {
        return Ok(Err(ChangeError::Stale(run)));
    }
    match amendment {
        Amendment::Move(to) => reschedule::one(tx, namespace, run, to, now),
        Amendment::Delete => delete::one(tx, namespace, run, now),
    }
}
