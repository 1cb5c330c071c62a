//! How a client finds the host that was started in the same folder: `.runlater/server.json`.
//!
//! Written by `dev` and `serve`, read by every client command in the same folder or below. It holds a token, so it is readable
//! by its owner only, and is refused otherwise, as ssh does with its keys.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::{self, Exit, Failure};
use super::file::{self, Expected};

/// The folder for what belongs to a project: the database of `dev`, and this file.
pub(super) const FOLDER: &str = ".runlater";
const FILE: &str = "server.json";
/// What is read of it: an address and a token are far less.
const EXPECTED: Expected = Expected {
    bytes_max: 64 << 10,
    too_large: (Exit::Config, "server-file", ", so it is not what a host wrote; start the host again"),
    instead: "remove it, and start the host again",
};

/// Where a host listens, and a token for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServerFile {
    pub(super) url: String,
    pub(super) token: String,
}

/// Makes the project's folder under `folder` if it is missing.
pub(super) fn make_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join(FOLDER);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|error| failure::io("make the folder", &path, &error))?;
    Ok(path)
}

/// Reads the file of `folder` or of the nearest folder above it that has one.
pub(super) fn find(folder: &Path) -> anyhow::Result<Option<ServerFile>> {
    match folder.ancestors().map(|folder| folder.join(FOLDER).join(FILE)).find(|path| path.exists()) {
        Some(path) => read(&path).map(Some),
        None => Ok(None),
    }
}

/// Reads the file of exactly this folder, if it has a good one.
pub(super) fn of_folder(folder: &Path) -> Option<ServerFile> {
    read(&folder.join(FOLDER).join(FILE)).ok()
}

fn read(path: &Path) -> anyhow::Result<ServerFile> {
    let failed = |error| failure::io("read", path, &error);
    let meta = fs::metadata(path).map_err(failed)?;
    let shown = path.display();
    if meta.mode() & 0o077 != 0 {
        let message = format!("{shown} holds a token and others may read it; run `chmod 600 {shown}`, or better make a new token");
        return Err(Failure::new(Exit::Auth, "permissions", message).into());
    }
    // Somebody else's file in a folder above, such as /tmp, could send us and our inputs anywhere.
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() != meta.uid() && own.uid() != 0) {
        let message = format!("{shown} belongs to another user; name the server with --server and RUNLATER_TOKEN");
        return Err(Failure::new(Exit::Auth, "permissions", message).into());
    }
    serde_json::from_slice(&file::read(path, &EXPECTED)?).map_err(|error| {
        Failure::new(Exit::Config, "server-file", format!("{shown} can't be understood ({error}); start the host again")).into()
    })
}

/// Replaces the file of `folder`.
pub(super) fn write(folder: &Path, server: &ServerFile) -> anyhow::Result<PathBuf> {
    let folder = make_folder(folder)?;
    let (path, draft) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
    let write = || {
        // A left-over draft might have looser permissions than those of a new file.
        let _ = fs::remove_file(&draft);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(server)?)?;
        file.sync_all()?;
        // Readers see the old file or the new one, never half of one.
        fs::rename(&draft, &path)
    };
    write().map_err(|error| failure::io("write", &path, &error))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_found_from_below_and_only_if_private() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        let server = ServerFile { url: "http://127.0.0.1:1".into(), token: "secret".into() };
        let path = write(folder.path(), &server).unwrap();
        write(folder.path(), &server).unwrap();
        assert_eq!(find(&below).unwrap(), Some(server.clone()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = find(&below).unwrap_err();
        assert_eq!(refused.downcast_ref::<Failure>().unwrap().exit(), Exit::Auth);
        assert!(refused.to_string().contains("chmod 600"));
        assert_eq!(of_folder(folder.path()), None);
    }
}
