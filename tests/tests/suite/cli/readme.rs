//! The README's commands, run for real: a newcomer types them as they stand there.

use std::path::Path;

use serde_json::Value;

use super::dev::Dev;
use super::{Ran, command, end, run_in};
use crate::built;

const README: &str = include_str!("../../../../README.md");

/// The blocks of commands, in their order.
fn blocks() -> Vec<&'static str> {
    README.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("there is something before the end")).collect()
}

/// Runs a line as a shell does, in which `runlater` is the program that was built.
fn shell(folder: &Path, line: &str) -> Ran {
    // What the program is run with otherwise holds for the shell and what it starts.
    let settings = command(folder, &[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("runlater() {{ \"$PROGRAM\" \"$@\"; }}\n{line}")]).env("PROGRAM", built::program()).current_dir(folder);
    for (name, value) in settings.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    end(shell)
}

/// What a newcomer would put for `RUN`.
fn some_run(folder: &Path) -> String {
    let listed: Value = serde_json::from_str(&run_in(folder, &["runs", "list", "--task", "reminder", "--json"]).ok()).unwrap();
    listed["runs"][0]["id"].as_str().expect("there was a first run").into()
}

#[test]
fn a_newcomers_commands_do_what_they_say() {
    let [two, then] = blocks()[..] else { panic!("the README has {} blocks of commands", blocks().len()) };
    // The words after `--` are what the program is given; building it for release is left to whoever reads the page.
    let main = two.lines().find_map(|line| line.strip_prefix("cargo run --release -- ")).expect("the main command is there");
    assert_eq!(main.split_once('#').map(|(words, _)| words.trim()), Some("dev"));
    assert!(two.lines().any(|line| line.starts_with("cargo test ")), "the other command is there: {two}");

    // In a folder of its own, for the sake of the database; the tasks are those of the source tree, which `dev` alone would take.
    let folder = tempfile::tempdir().unwrap();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-tasks").canonicalize().unwrap();
    let mut dev = Dev::start(folder.path(), &["dev", &guests.to_string_lossy(), "--listen", "127.0.0.1:0"]);
    dev.says(&["registered reminder", "granted runs"]);
    dev.says(&["listening on http://127.0.0.1:"]);
    dev.says(&["a first run of `reminder` is due in 2 s"]);
    dev.says(&["succeeded", "reminder", "2 to come"]);
    // The follow-up that it scheduled.
    dev.says(&["succeeded", "reminder", "1 to come"]);

    let mut tried = 0;
    for line in then.lines().filter(|line| line.starts_with("runlater ")) {
        tried += 1;
        if line.starts_with("runlater new ") {
            // Not among the tasks of the source tree.
            let elsewhere = tempfile::tempdir().unwrap();
            shell(elsewhere.path(), line).ok();
            assert!(elsewhere.path().join("guest-tasks/mine/src/lib.rs").is_file(), "{line}");
            continue;
        }
        let said = shell(folder.path(), &line.replace(" RUN ", &format!(" {} ", some_run(folder.path())))).ok();
        let expected: &[&str] = match line.split_whitespace().nth(1) {
            Some("schedule") if line.contains("--wait") => &["reminder succeeded in ", "output: \"2 to come\"", "follow-ups:", "scheduled"],
            Some("schedule") => &["scheduled hello for 2030-03-14 15:09:26Z"],
            Some("runs") if line.contains("--dry-run") => &["would have moved 1 run\n"],
            Some("runs") => &["scheduled", "hello", "2030-03-14"],
            Some("explain") => &["reminder"],
            _ => panic!("say what is expected of: {line}"),
        };
        assert!(expected.iter().all(|words| said.contains(words)), "{line} said, without one of {expected:?}: {said}");
    }
    assert!(tried >= 6, "{then}");
}
