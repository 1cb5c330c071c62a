//! API tokens: hashes, never secrets.

use rusqlite::{Connection, Row};

use super::rows::{optional_time, sound, time};
use crate::model::{NamespaceId, Timestamp};
use crate::storage::TokenRecord;

pub(super) fn create(conn: &Connection, token: &TokenRecord) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "-- create token
         INSERT INTO runlater_tokens (id, hash, namespace, role, note, created_at, expires_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        &token.id,
        &token.hash[..],
        token.namespace.0,
        &token.role,
        &token.note,
        token.created_at.as_micros(),
        token.expires_at.map(Timestamp::as_micros),
        token.revoked_at.map(Timestamp::as_micros),
    ))?;
    Ok(())
}

pub(super) fn list(conn: &Connection) -> rusqlite::Result<Vec<TokenRecord>> {
    let mut statement = conn.prepare_cached(
        "-- tokens
         SELECT id, hash, namespace, role, note, created_at, expires_at, revoked_at FROM runlater_tokens ORDER BY created_at, id",
    )?;
    let (mut rows, mut found) = (statement.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        found.extend(sound("tokens", token(row))?);
    }
    Ok(found)
}

pub(super) fn revoke(conn: &Connection, namespace: NamespaceId, id: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let changed = conn
        .prepare_cached(
            "-- revoke token\nUPDATE runlater_tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1 AND namespace = ?3",
        )?
        .execute((id, now.as_micros(), namespace.0))?;
    Ok(changed == 1)
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        id: row.get(0)?,
        hash: row.get(1)?,
        namespace: NamespaceId(row.get(2)?),
        role: row.get(3)?,
        note: row.get(4)?,
        created_at: time(row, 5)?,
        expires_at: optional_time(row, 6)?,
        revoked_at: optional_time(row, 7)?,
    })
}
