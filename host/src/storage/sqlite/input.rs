//! What runs are given: their inputs' checksum, and reading those that are too large to be kept in memory.

use rusqlite::{Connection, Row};

use super::rows::strange;
use crate::model::Payload;
use crate::model::limits::PAYLOAD_BYTES_MAX;

/// CRC-32 of an input, stored beside it: what a fault of the disk or somebody else made of it meets no guest.
pub(super) fn checksum(bytes: &[u8]) -> i64 {
    i64::from(crc32fast::hash(bytes))
}

/// Whether an input is as it was stored. `crc` is `None` for runs of hosts that kept none.
pub(super) fn check(bytes: &[u8], crc: Option<i64>, column: usize) -> rusqlite::Result<()> {
    if crc.is_some_and(|crc| crc != checksum(bytes)) {
        return Err(strange(column, "an input that is not the one that was stored"));
    }
    Ok(())
}

/// Refuses a length that no input of ours has, so that nobody reads a gigabyte to find that out.
pub(super) fn check_length(row: &Row<'_>, column: usize) -> rusqlite::Result<()> {
    if row.get::<_, i64>(column)? > PAYLOAD_BYTES_MAX as i64 {
        return Err(strange(column, "the length of an input, and it is more than any may have"));
    }
    Ok(())
}

/// Reads the input of the run with this key.
pub(super) fn input(conn: &Connection, run: i64) -> rusqlite::Result<Payload> {
    let mut statement = conn.prepare_cached("-- input\nSELECT input_type, input, input_crc FROM runlater_runs WHERE id = ?1")?;
    statement.query_row([run], |row| {
        let bytes = row.get_ref(1)?.as_blob()?;
        check(bytes, row.get(2)?, 1)?;
        Ok(Payload::from_stored(row.get_ref(0)?.as_str_or_null()?, bytes))
    })
}
