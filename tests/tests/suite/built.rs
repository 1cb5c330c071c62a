//! The program and the guests, built once by the first test that needs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The command line's program.
pub(crate) fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| executable("runlater"))
}

/// An example of the host.
pub(crate) fn example(name: &str) -> PathBuf {
    executable(name)
}

/// What can be started, built with the packages that `cargo test` builds, and an example among it: so that cargo gives their dependencies
/// the features that these tests have, and builds none of them anew.
fn executable(name: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<Value>> = OnceLock::new();
    let built = BUILT.get_or_init(|| cargo(&["--bin", "runlater", "--example", "embed"]));
    let of_name = built.iter().rev().filter(|artifact| artifact["target"]["name"] == name);
    of_name.filter_map(|artifact| artifact["executable"].as_str()).next().expect("cargo says where it is").into()
}

/// The component of a guest.
pub(crate) fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<Value>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let packages =
            ["hello", "reminder", "behaviours", "measured", "sockets", "seed", "hostile"].iter().flat_map(|package| ["-p", package]);
        cargo(&["--target", "wasm32-wasip2", "--profile", "guest"].into_iter().chain(packages).collect::<Vec<_>>())
    });
    let of_guest = built.iter().filter(|artifact| artifact["target"]["name"] == name);
    let mut files = of_guest.flat_map(|artifact| artifact["filenames"].as_array().into_iter().flatten()).filter_map(Value::as_str);
    files.find(|file| file.ends_with(".wasm")).unwrap_or_else(|| panic!("cargo built no {name}.wasm")).into()
}

/// Builds, and returns what cargo says of each artifact.
fn cargo(arguments: &[&str]) -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--message-format=json-render-diagnostics"]).args(arguments);
    // What cargo tells the tests of themselves would make some packages build anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"].iter().any(|own| name.starts_with(own)) {
            command.env_remove(&*name);
        }
    }
    let built =
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).stderr(Stdio::inherit()).output().expect("cargo can be run");
    assert!(built.status.success(), "cargo build {arguments:?} failed");
    let messages = String::from_utf8(built.stdout).expect("cargo writes text");
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).expect("cargo writes JSON"));
    messages.filter(|message| message["reason"] == "compiler-artifact").collect()
}

#[test]
fn the_engines_version_is_that_of_the_lock_file() {
    let lock = include_str!("../../../Cargo.lock");
    let locked = lock.split_once("name = \"wasmtime\"\nversion = \"").and_then(|(_, rest)| rest.split('"').next());
    assert_eq!(locked, Some(runlater::executor::wasm::ENGINE_VERSION));
}
