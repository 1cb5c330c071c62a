//! Finds the crates that are guests: those that build a `cdylib` and don't say `dev = false`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::cli::failure::{self, Exit, Failure};
use crate::cli::screen::clean;

/// A crate that builds a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuestCrate {
    /// The package's name.
    pub(super) name: String,
    /// What cargo calls it.
    pub(super) id: String,
    /// The workspace that it is built in.
    pub(super) workspace: PathBuf,
    /// What its manifest asks for.
    pub(super) grants: Vec<String>,
}

/// The guests in a folder that `dev` registers: of its own manifest, or of the manifests one level below.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<GuestCrate>> {
    find_where(folder, |guest| guest["dev"] != false)
}

/// All guests in a folder, also those that `dev` leaves out.
pub(super) fn find_all(folder: &Path) -> anyhow::Result<Vec<GuestCrate>> {
    find_where(folder, |_| true)
}

/// The guests whose own part of the manifest is `wanted`.
fn find_where(folder: &Path, wanted: fn(&serde_json::Value) -> bool) -> anyhow::Result<Vec<GuestCrate>> {
    let own = folder.join("Cargo.toml");
    let manifests = if own.is_file() { vec![own] } else { manifests_below(folder)? };
    if manifests.is_empty() {
        let shown = clean(&folder.display().to_string());
        return Err(failure::usage(format!("there is no crate in {shown}; make one with `runlater new {shown}/hello`")));
    }
    let folder = folder.canonicalize().map_err(|error| failure::io("read", folder, &error))?;
    let mut found: Vec<GuestCrate> = Vec::new();
    for manifest in manifests {
        // Members of one workspace are all in the first member's answer.
        for guest in parse(&metadata(&manifest)?, &folder, wanted)? {
            if !found.contains(&guest) {
                found.push(guest);
            }
        }
    }
    if found.is_empty() {
        let message =
            format!("no crate in {} builds a component: it needs `[lib] crate-type = [\"cdylib\"]`", clean(&folder.display().to_string()));
        return Err(Failure::new(Exit::Usage, "no-guest", message).into());
    }
    Ok(found)
}

fn manifests_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let failed = |error| failure::io("read", folder, &error);
    let mut manifests = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let manifest = entry.map_err(failed)?.path().join("Cargo.toml");
        if manifest.is_file() {
            manifests.push(manifest);
        }
    }
    manifests.sort();
    Ok(manifests)
}

fn metadata(manifest: &Path) -> anyhow::Result<Vec<u8>> {
    let asked = Command::new(super::build::cargo())
        .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
        .arg(manifest)
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| failure::io("run", Path::new("cargo"), &error))?;
    if asked.status.success() {
        return Ok(asked.stdout);
    }
    let message =
        format!("cargo can't read {}:\n{}", clean(&manifest.display().to_string()), String::from_utf8_lossy(&asked.stderr).trim_end());
    Err(Failure::new(Exit::Config, "manifest", message).into())
}

/// Reads what `cargo metadata` says, keeping the guests whose manifests lie in `folder`.
fn parse(metadata: &[u8], folder: &Path, wanted: fn(&serde_json::Value) -> bool) -> anyhow::Result<Vec<GuestCrate>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
        workspace_root: PathBuf,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        id: String,
        manifest_path: PathBuf,
        targets: Vec<Target>,
        #[serde(default)]
        metadata: serde_json::Value,
    }
    #[derive(Deserialize)]
    struct Target {
        crate_types: Vec<String>,
    }
    let metadata: Metadata = serde_json::from_slice(metadata)?;
    let mut guests = Vec::new();
    for package in metadata.packages {
        let own = &package.metadata["runlater"];
        let is_component = package.targets.iter().any(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
        if !is_component || !wanted(own) || !package.manifest_path.starts_with(folder) {
            continue;
        }
        let grants = own["grants"].as_array().into_iter().flatten().filter_map(|grant| grant.as_str().map(Into::into)).collect();
        guests.push(GuestCrate { name: package.name, id: package.id, workspace: metadata.workspace_root.clone(), grants });
    }
    Ok(guests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_those_that_build_components() {
        let metadata = r#"{"workspace_root":"/w","packages":[
            {"name":"a","id":"path+a","manifest_path":"/w/g/a/Cargo.toml","targets":[{"crate_types":["cdylib","rlib"]}],
             "metadata":{"runlater":{"grants":["runs"]}}},
            {"name":"sdk","id":"path+sdk","manifest_path":"/w/g/sdk/Cargo.toml","targets":[{"crate_types":["lib"]}],"metadata":null},
            {"name":"trap","id":"path+t","manifest_path":"/w/g/t/Cargo.toml","targets":[{"crate_types":["cdylib"]}],
             "metadata":{"runlater":{"dev":false}}},
            {"name":"other","id":"path+o","manifest_path":"/w/o/Cargo.toml","targets":[{"crate_types":["cdylib"]}],"metadata":null}]}"#;
        let guests = parse(metadata.as_bytes(), Path::new("/w/g"), |guest| guest["dev"] != false).unwrap();
        assert_eq!(guests.iter().map(|guest| guest.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(guests[0].grants, ["runs"]);
    }
}
