//! Reads the first bytes of a database file without releasing locks.
//!
//! On POSIX systems, closing a file releases all locks that the process holds on it, through whatever descriptor. An embedder may have connections
//! to the same file, and without their locks another program could delete the log that they write to. SQLite's own layer knows the locks of its
//! connections, and closes a file only when they are gone. So the file is opened as SQLite opens it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, ffi};

/// The bytes with which every SQLite database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whether the file begins as a database does; false for an empty one. Creates and changes nothing.
pub(super) fn is_database(path: &Path) -> rusqlite::Result<bool> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let mut head = [0_u8; MAGIC.len()];
    // SAFETY: the handle is that of a connection that lives until the end of this function. For this operation SQLite stores a pointer to the
    // connection's open file in a `*mut sqlite3_file`, which outlives the connection's use here. `xRead` writes at most as many bytes as `head` has.
    let read = unsafe {
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        let place = (&raw mut file).cast::<std::ffi::c_void>();
        let found = ffi::sqlite3_file_control(conn.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, place);
        let methods = if found == ffi::SQLITE_OK && !file.is_null() { (*file).pMethods.as_ref() } else { None };
        methods.and_then(|methods| methods.xRead).map(|read| read(file, head.as_mut_ptr().cast(), MAGIC.len() as i32, 0))
    };
    match read {
        // Of a shorter file, the rest is filled with zeros.
        Some(ffi::SQLITE_OK | ffi::SQLITE_IOERR_SHORT_READ) => Ok(&head == MAGIC),
        other => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(other.unwrap_or(ffi::SQLITE_CANTOPEN)), None)),
    }
}
