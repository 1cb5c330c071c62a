//! A disk between SQLite and the system's own: it fails when it is told to, and knows what a loss of power would leave.
//!
//! What SQLite writes to a watched folder is written, and besides kept apart until it is synced; only then it reaches the *plate*, a
//! file beside the real one that holds what the disk is bound to have. So the plates of a process that was killed are what a machine would find
//! whose power was cut at that moment. A system may also write by itself, in any order and in part: some of that is done, too.
//!
//! Made as SQLite's own way to other disks, a VFS, which is the default in this process: the host knows nothing of it. It only ever
//! looks at folders that a test watches.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock};

use rusqlite::ffi::{
    SQLITE_FULL, SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE, SQLITE_OK, sqlite3_file, sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find,
    sqlite3_vfs_register,
};

/// What SQLite may write beside the database, itself first.
const SUFFIXES: [&str; 3] = ["", "-wal", "-journal"];

/// How a disk behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Well.
    None,
    /// Syncing fails, after everything has reached the disk.
    SyncKept,
    /// Syncing fails, and nothing has.
    SyncLost,
    /// The same of the database itself, while its log is well.
    SyncLostOfDatabase,
    /// Writing fails.
    Write,
    /// There is no room: no file becomes longer.
    Full,
    /// Syncing the log does nothing, and says that all is well.
    Lying,
}

/// A change of a file that is not synced.
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

struct Folder {
    fault: Fault,
    /// What the system writes by itself; `None`: nothing.
    chance: Option<fastrand::Rng>,
    unsynced: HashMap<PathBuf, Vec<Change>>,
    /// Files that were made, and never synced. SQLite syncs their folder when it first syncs one of them.
    fresh: HashSet<PathBuf>,
    /// Files that were deleted while the folder was not synced: their names may outlive them, and then what they held does.
    lingering: HashSet<PathBuf>,
}

/// An open file of a watched folder.
struct Opened {
    folder: PathBuf,
    path: PathBuf,
    /// What SQLite's own methods do.
    real: *const sqlite3_io_methods,
}

#[derive(Default)]
struct State {
    folders: HashMap<PathBuf, Folder>,
    /// By the address of SQLite's handle.
    opened: HashMap<usize, Opened>,
}

// SAFETY: the pointers are to tables of functions that live as long as the program and never change.
unsafe impl Send for State {}

fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(Mutex::default).lock().expect("nothing panics while it holds the disks")
}

/// Watches a folder from now on; what is in it is on the disk. `seed` decides what the system writes by itself.
pub(crate) fn watch(folder: &Path, seed: Option<u64>) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(install);
    let watched = Folder {
        fault: Fault::None,
        chance: seed.map(fastrand::Rng::with_seed),
        unsynced: HashMap::new(),
        fresh: HashSet::new(),
        lingering: HashSet::new(),
    };
    state().folders.insert(folder.canonicalize().expect("the folder is there"), watched);
}

/// Has the disk of a watched folder behave so.
pub(crate) fn set(folder: &Path, fault: Fault) {
    let folder = folder.canonicalize().expect("the folder is there");
    state().folders.get_mut(&folder).expect("it is watched").fault = fault;
}

/// Leaves of a database what a loss of power would have left of it: for when its process is dead.
pub(crate) fn cut_power(database: &Path) {
    for suffix in SUFFIXES {
        let path = beside(database, suffix);
        let plate = beside(&path, ".plate");
        // What there is none of was not there, or never synced.
        match plate.exists() {
            true => drop(std::fs::copy(plate, path).expect("it can be copied")),
            false => drop(std::fs::remove_file(path)),
        }
    }
    drop(std::fs::remove_file(beside(database, "-shm")));
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Folder {
    /// A change that SQLite made.
    fn changed(&mut self, path: &Path, change: Change) {
        if let (Some(chance), Change::Write(at, bytes)) = (&mut self.chance, &change) {
            let kept = match chance.u8(..8) {
                0 | 1 => bytes.len(),
                // Torn, at a sector's end.
                2 => bytes.len() / 2 & !511,
                _ => 0,
            };
            if let (1.., Some(plate)) = (kept, plate(path)) {
                plate.write_all_at(&bytes[..kept], *at).expect("the plate can be written");
            }
        }
        self.unsynced.entry(path.to_owned()).or_default().push(change);
    }

    /// All changes of a file reach the disk.
    fn sync(&mut self, path: &Path) {
        let Some(plate) = plate(path) else { return };
        if self.fresh.remove(path) {
            for gone in self.lingering.drain().filter(|gone| !gone.exists()) {
                drop(std::fs::remove_file(beside(&gone, ".plate")));
            }
        }
        for change in self.unsynced.remove(path).into_iter().flatten() {
            match change {
                Change::Write(at, bytes) => plate.write_all_at(&bytes, at),
                Change::Length(length) => plate.set_len(length),
            }
            .expect("the plate can be written");
        }
    }
}

/// The plate of a file; `None` when its folder is gone, and the test with it.
fn plate(path: &Path) -> Option<File> {
    let plate = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".plate"));
    plate.map_err(|error| assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "the plate of {}", path.display())).ok()
}

/// Makes this the way to the disk of every connection of the process.
fn install() {
    // SAFETY: SQLite's own VFS is valid for as long as the program runs, and so is ours, which is never freed. It differs from that one in
    // two functions only, which keep the contract of those that they call.
    unsafe {
        let real = sqlite3_vfs_find(ptr::null());
        let ours = Box::leak(Box::new(sqlite3_vfs {
            pNext: ptr::null_mut(),
            zName: c"faulty".as_ptr(),
            xOpen: Some(open),
            xDelete: Some(delete),
            ..*real
        }));
        assert_eq!(sqlite3_vfs_register(ours, 1), SQLITE_OK);
    }
}

fn real_vfs() -> *mut sqlite3_vfs {
    // SAFETY: the name ends with a NUL.
    unsafe { sqlite3_vfs_find(c"unix".as_ptr()) }
}

/// The path, if SQLite gave one.
fn path_of(name: *const c_char) -> Option<PathBuf> {
    // SAFETY: SQLite's names end with a NUL and live as long as the call.
    (!name.is_null()).then(|| Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())).to_owned())
}

unsafe extern "C" fn open(_: *mut sqlite3_vfs, name: *const c_char, file: *mut sqlite3_file, flags: c_int, out: *mut c_int) -> c_int {
    let real = real_vfs();
    let path = path_of(name);
    let is_new = path.as_ref().is_some_and(|path| !path.exists());
    // SAFETY: SQLite's arguments go on as they are, to the function that they are for.
    let done = unsafe { (*real).xOpen.expect("every VFS has it")(real, name, file, flags, out) };
    if done != SQLITE_OK {
        return done;
    }
    let Some(path) = path else { return done };
    let Some(folder) = path.parent().map(Path::to_owned) else { return done };
    let mut state = state();
    if let Some(watched) = state.folders.get_mut(&folder) {
        if is_new {
            watched.fresh.insert(path.clone());
        }
        // SAFETY: an open file has a table of methods; ours is a copy with four of them changed, and is never freed.
        unsafe {
            let methods = (*file).pMethods;
            let ours =
                sqlite3_io_methods { xWrite: Some(write), xTruncate: Some(truncate), xSync: Some(sync), xClose: Some(close), ..*methods };
            (*file).pMethods = Box::leak(Box::new(ours));
            state.opened.insert(file as usize, Opened { folder, path, real: methods });
        }
    }
    done
}

/// SQLite's own methods for a file of ours, and where it is.
fn opened(file: *mut sqlite3_file) -> (&'static sqlite3_io_methods, PathBuf, PathBuf) {
    let state = state();
    let opened = &state.opened[&(file as usize)];
    // SAFETY: see `State`.
    (unsafe { &*opened.real }, opened.folder.clone(), opened.path.clone())
}

unsafe extern "C" fn write(file: *mut sqlite3_file, bytes: *const c_void, count: c_int, at: i64) -> c_int {
    let (real, folder, path) = opened(file);
    match state().folders[&folder].fault {
        Fault::Write => return SQLITE_IOERR_WRITE,
        Fault::Full if std::fs::metadata(&path).map_or(0, |meta| meta.len()) < (at + i64::from(count)) as u64 => return SQLITE_FULL,
        _ => {}
    }
    // SAFETY: SQLite's arguments go on as they are.
    let done = unsafe { real.xWrite.expect("every file has it")(file, bytes, count, at) };
    if done == SQLITE_OK {
        // SAFETY: SQLite wrote so many bytes from there just now.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count as usize) }.to_vec();
        state().folders.get_mut(&folder).expect("it is watched").changed(&path, Change::Write(at as u64, bytes));
    }
    done
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: i64) -> c_int {
    let (real, folder, path) = opened(file);
    // SAFETY: SQLite's arguments go on as they are.
    let done = unsafe { real.xTruncate.expect("every file has it")(file, length) };
    if done == SQLITE_OK {
        state().folders.get_mut(&folder).expect("it is watched").changed(&path, Change::Length(length as u64));
    }
    done
}

/// The system's own disk is not waited for: what counts as durable is what the plates hold.
unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    let (_, folder, path) = opened(file);
    let mut state = state();
    let folder = state.folders.get_mut(&folder).expect("it is watched");
    let is_log = path.to_string_lossy().ends_with("-wal");
    match folder.fault {
        Fault::SyncLost => return SQLITE_IOERR_FSYNC,
        Fault::SyncLostOfDatabase if !is_log => return SQLITE_IOERR_FSYNC,
        Fault::Lying if is_log => return SQLITE_OK,
        _ => folder.sync(&path),
    }
    if folder.fault == Fault::SyncKept { SQLITE_IOERR_FSYNC } else { SQLITE_OK }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let real = opened(file).0;
    state().opened.remove(&(file as usize));
    // SAFETY: SQLite's argument goes on as it is.
    unsafe { real.xClose.expect("every file has it")(file) }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    let real = real_vfs();
    // SAFETY: SQLite's arguments go on as they are, to the function that they are for.
    let done = unsafe { (*real).xDelete.expect("every VFS has it")(real, name, sync_folder) };
    let path = path_of(name).expect("what is deleted has a name");
    let mut state = state();
    if done == SQLITE_OK
        && let Some(folder) = path.parent().and_then(|folder| state.folders.get_mut(folder))
    {
        // What a new file of this name holds takes the place of what the old one held.
        folder.unsynced.insert(path.clone(), vec![Change::Length(0)]);
        if sync_folder == 0 {
            folder.lingering.insert(path);
        } else {
            drop(std::fs::remove_file(beside(&path, ".plate")));
        }
    }
    done
}
