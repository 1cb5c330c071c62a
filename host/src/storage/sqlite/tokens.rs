//! API tokens: hashes, never secrets.

use rusqlite::{CachedStatement, Connection, Row};

use super::rows::{optional_time, sound, time};
use crate::model::{NamespaceId, Timestamp};
use crate::storage::TokenRecord;

/// Tokens of a namespace that are revoked or expired, and are kept to be listed.
const DEAD_MAX: u32 = 1_000;
const COLUMNS: &str = "id, hash, namespace, role, note, created_at, expires_at, revoked_at";

/// Refused with `max` if the namespace has so many tokens in force.
pub(super) fn create(conn: &Connection, token: &TokenRecord, max: Option<u64>) -> rusqlite::Result<Result<(), u64>> {
    let (namespace, now) = (token.namespace.0, token.created_at.as_micros());
    let in_force: i64 = conn
        .prepare_cached(
            "-- tokens in force
             SELECT count(*) FROM runlater_tokens WHERE namespace = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .query_row((namespace, now), |row| row.get(0))?;
    if let Some(max) = max.filter(|max| in_force.unsigned_abs() >= *max) {
        return Ok(Err(max));
    }
    conn.prepare_cached(
        "-- delete tokens
         DELETE FROM runlater_tokens WHERE id IN (
             SELECT id FROM runlater_tokens WHERE namespace = ?1 AND (revoked_at IS NOT NULL OR expires_at <= ?2)
             ORDER BY min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)) DESC, id LIMIT -1 OFFSET ?3)",
    )?
    .execute((namespace, now, DEAD_MAX))?;
    conn.prepare_cached(
        "-- create token
         INSERT INTO runlater_tokens (id, hash, namespace, role, note, created_at, expires_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
            &token.id,
            &token.hash[..],
            namespace,
            &token.role,
            &token.note,
            now,
            token.expires_at.map(Timestamp::as_micros),
            token.revoked_at.map(Timestamp::as_micros),
        ))?;
    Ok(Ok(()))
}

pub(super) fn list(conn: &Connection) -> rusqlite::Result<Vec<TokenRecord>> {
    collect(conn.prepare_cached(&format!("-- tokens\nSELECT {COLUMNS} FROM runlater_tokens ORDER BY created_at, id"))?, [])
}

pub(super) fn list_of(conn: &Connection, namespace: NamespaceId) -> rusqlite::Result<Vec<TokenRecord>> {
    let of = format!("-- tokens of a namespace\nSELECT {COLUMNS} FROM runlater_tokens WHERE namespace = ?1 ORDER BY created_at, id");
    collect(conn.prepare_cached(&of)?, [namespace.0])
}

fn collect(mut statement: CachedStatement<'_>, values: impl rusqlite::Params) -> rusqlite::Result<Vec<TokenRecord>> {
    let (mut rows, mut found) = (statement.query(values)?, Vec::new());
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
