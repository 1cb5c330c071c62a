//! The first commands of docs/guest-authoring.md, run for real in an empty folder outside the source tree.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::dev::{Dev, forget_cargo};
use super::{command, end};
use crate::built;

const PAGE: &str = include_str!("../../../../docs/guest-authoring.md");

/// The lines of the page's first block.
fn first_block() -> Vec<&'static str> {
    let block = PAGE.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page begins with commands");
    block.lines().collect()
}

/// A shell that runs a line, with the program on its path.
fn shell(folder: &Path, programs: &Path, line: &str) -> Command {
    let path = std::env::var_os("PATH").expect("a path");
    let path = std::env::join_paths(std::iter::once(programs.into()).chain(std::env::split_paths(&path))).expect("a path");
    let mut shell = Command::new("sh");
    // `exec`, so that the test stops the program in the end, and not the shell.
    shell.args(["-c", &format!("exec {line}")]).env("PATH", path).current_dir(folder);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The same environment as for every other command of these tests.
    for (name, value) in command(folder, &[]).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn the_first_commands_lead_from_an_empty_folder_to_a_run() {
    let (empty, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(built::program(), programs.path().join("runlater")).unwrap();
    let mut folder: PathBuf = empty.path().into();
    let (mut dev, mut tried) = (None, Vec::new());
    for line in first_block() {
        let words: Vec<_> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        match words[..] {
            [] => continue,
            ["cd", below] => folder.push(below),
            ["runlater", "new", name] => {
                end(shell(&folder, programs.path(), line)).ok();
                // With the versions that are here: the test needs no network. The SDK is the one of this source tree, as the page says.
                let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
                std::fs::copy(lock, folder.join(name).join("Cargo.lock")).unwrap();
            }
            ["runlater", "dev"] => {
                let mut command = shell(&folder, programs.path(), line);
                forget_cargo(&mut command);
                // Not the tests' own folder, where another crate of this name is built.
                let mut started = Dev::of(command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("authoring")));
                started.says(&["registered hello"]);
                started.says(&["listening on http://127.0.0.1:"]);
                dev = Some(started);
            }
            ["runlater", "schedule", ..] => {
                let said = end(shell(&folder, programs.path(), line)).ok();
                assert!(said.contains("scheduled hello for "), "{line} said: {said}");
                let dev = dev.as_mut().expect("a host is started first");
                dev.says(&["succeeded", "hello", "Hello, Ada!"]);
            }
            _ => panic!("say what is expected of: {line}"),
        }
        tried.push(words[1]);
    }
    assert_eq!(tried, ["new", "hello", "dev", "schedule"]);
}

#[test]
fn dev_says_what_it_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    super::run_in(empty.path(), &["dev"]).fails(2, &["guest-tasks", "crate", "runlater new"]);
    super::run_in(empty.path(), &["dev", "there"]).fails(2, &["there is no folder there", "runlater new there/hello"]);
}
