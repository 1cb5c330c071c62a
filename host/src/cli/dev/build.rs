//! Builds guests with cargo.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::crates::GuestCrate;
use crate::cli::failure::{self, Exit, Failure};
use crate::cli::register::read_component;
use crate::cli::screen::Screen;

const TARGET: &str = "wasm32-wasip2";

/// A component that was built.
pub(super) struct Built {
    pub(super) name: String,
    pub(super) wasm: Vec<u8>,
    pub(super) grants: Vec<String>,
}

/// The cargo that runs us, if one does, so that both use one toolchain.
pub(super) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Installs the target that guests are built for, if it is missing.
pub(super) fn check_target(screen: &Screen) -> anyhow::Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    let asked = asked.map_err(|error| {
        Failure::new(
            Exit::Config,
            "no-rust",
            format!("guests are built with Rust, and rustc can't be run ({error}); install it from https://rustup.rs"),
        )
    })?;
    let folder = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    if asked.status.success() && folder.is_dir() {
        return Ok(());
    }
    let command = format!("rustup target add {TARGET}");
    screen.note(format!("the target {TARGET} is missing; running `{command}`"));
    match Command::new("rustup").args(["target", "add", TARGET]).status() {
        Ok(status) if status.success() => Ok(()),
        failed => {
            let why = failed.map_or_else(|error| error.to_string(), |status| status.to_string());
            let message =
                format!("the target {TARGET} is missing and could not be installed ({why}); run `{command}` yourself, with a network");
            Err(Failure::new(Exit::Config, "no-target", message).into())
        }
    }
}

/// What came of a build.
pub(super) struct Builds {
    pub(super) built: Vec<Built>,
    /// The names of the guests that could not be built. The others are not held up by them.
    pub(super) failed: Vec<String>,
}

/// Builds all guests: those of one workspace with one call. Cargo shows its progress and its errors by itself.
pub(super) fn build(crates: &[GuestCrate]) -> anyhow::Result<Builds> {
    let mut workspaces: BTreeMap<&Path, Vec<&GuestCrate>> = BTreeMap::new();
    for guest in crates {
        workspaces.entry(&guest.workspace).or_default().push(guest);
    }
    let mut builds = Builds { built: Vec::new(), failed: Vec::new() };
    for (workspace, guests) in workspaces {
        let artifacts = build_workspace(workspace, &guests)?;
        for guest in guests {
            match artifacts.get(&guest.id) {
                Some(path) => {
                    builds.built.push(Built { name: guest.name.clone(), wasm: read_component(path)?, grants: guest.grants.clone() })
                }
                None => builds.failed.push(guest.name.clone()),
            }
        }
    }
    Ok(builds)
}

/// Builds these members, and says where the component is of each that could be built.
fn build_workspace(workspace: &Path, guests: &[&GuestCrate]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let manifest = workspace.join("Cargo.toml");
    let failed = |error| failure::io("run", Path::new("cargo"), &error);
    let has_profile = fs::read_to_string(&manifest).is_ok_and(|text| text.lines().any(|line| line.trim() == "[profile.guest]"));
    let mut command = Command::new(cargo());
    command
        .args(["build", "--keep-going", "--target", TARGET, "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(&manifest);
    if has_profile {
        command.args(["--profile", "guest"])
    } else {
        command.arg("--release")
    };
    for guest in guests {
        command.args(["-p", &guest.id]);
    }
    // Diagnostics and progress go where the user looks; what is for us comes on stdout.
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(failed)?;
    let mut artifacts = BTreeMap::new();
    let messages = child.stdout.take().expect("stdout was asked for as a pipe");
    for line in BufReader::new(messages).lines() {
        if let Some((id, path)) = artifact(&line.map_err(failed)?) {
            artifacts.insert(id, path);
        }
    }
    child.wait().map_err(failed)?;
    Ok(artifacts)
}

/// The package and its component, if a message of cargo tells of one.
fn artifact(message: &str) -> Option<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        #[serde(default)]
        package_id: String,
        #[serde(default)]
        filenames: Vec<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        crate_types: Vec<String>,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    let is_component = message.target?.crate_types.iter().any(|kind| kind == "cdylib");
    if message.reason != "compiler-artifact" || !is_component {
        return None;
    }
    let wasm = message.filenames.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "wasm"))?;
    Some((message.package_id, wasm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_found_among_the_messages() {
        let message = r#"{"reason":"compiler-artifact","package_id":"path+a","target":{"crate_types":["cdylib","rlib"]},
            "filenames":["/t/a.wasm","/t/liba.rlib"]}"#;
        assert_eq!(artifact(message), Some(("path+a".into(), "/t/a.wasm".into())));
        for other in [
            r#"{"reason":"build-finished","success":true}"#,
            r#"{"reason":"compiler-artifact","package_id":"x","target":{"crate_types":["lib"]},"filenames":["/t/x.wasm"]}"#,
            "not JSON",
        ] {
            assert_eq!(artifact(other), None);
        }
    }
}
