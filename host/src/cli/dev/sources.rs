//! Notices that sources changed, by looking: no watcher of the system's has to be set up, and editors that replace files are no
//! special case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders without sources, of which some change with every build, or when a host starts.
const SKIPPED: [&str; 4] = ["target", "node_modules", ".git", crate::cli::discovery::FOLDER];
const DEPTH_MAX: usize = 12;

/// The sources as they were when somebody looked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

/// Looks at all sources in a folder.
pub(super) fn look(folder: &Path) -> Look {
    let mut look = Look::default();
    walk(folder, DEPTH_MAX, &mut look);
    look
}

fn walk(folder: &Path, depth: usize, look: &mut Look) {
    // What can't be read now is read next time, or is a change.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let skipped = SKIPPED.iter().any(|skipped| name == *skipped);
            if !skipped && depth > 0 {
                walk(&path, depth - 1, look);
            }
        } else if path.extension().is_some_and(|extension| ["rs", "toml", "wit", "json"].iter().any(|source| extension == *source)) {
            let Ok(meta) = entry.metadata() else { continue };
            look.0.insert(path, (meta.modified().ok(), meta.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_and_builds_are_not() {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| tree.path().join(path);
        fs::create_dir_all(at("a/src")).unwrap();
        fs::create_dir_all(at("a/target")).unwrap();
        fs::write(at("a/src/lib.rs"), "1").unwrap();
        let first = look(tree.path());
        fs::write(at("a/target/x.rs"), "1").unwrap();
        fs::write(at("a/notes.txt"), "1").unwrap();
        fs::create_dir(at("a/.runlater")).unwrap();
        fs::write(at("a/.runlater/server.json"), "{}").unwrap();
        assert_eq!(look(tree.path()), first);
        fs::write(at("a/src/lib.rs"), "22").unwrap();
        let second = look(tree.path());
        assert_ne!(second, first);
        fs::remove_file(at("a/src/lib.rs")).unwrap();
        assert_ne!(look(tree.path()), second);
    }
}
