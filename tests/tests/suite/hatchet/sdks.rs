//! The official SDKs: where the scripts that use them are, and where they are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::registries;

pub(super) use crate::registries::has;

/// Where the scripts of this language are, and the file that says which SDK they need.
pub(super) fn scripts(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hatchet").join(language)
}

/// A Python that has the SDK.
pub(super) fn python() -> Command {
    registries::Python::with(&scripts("python").join("requirements.txt")).command()
}

/// The folder in whose `node_modules` the SDK is.
pub(super) fn typescript() -> PathBuf {
    registries::node_modules(&scripts("typescript").join("package.json"))
}
