//! `new` and `dev`: from nothing to a task that runs, and to its next version while the host goes on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{command, run_in};

/// Longer than cargo takes with a cold cache on a busy machine; only a test that would hang meets it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A `dev` at work, and what it and cargo say.
pub(super) struct Dev {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Dev {
    pub(super) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = command(folder, arguments);
        // With what cargo tells the tests of themselves, some packages would be built anew. The folder for what is built is the
        // tests' own, where most of what a guest needs lies already.
        forget_cargo(&mut command);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's folder for tests lies in the target folder");
        Self::of(command.env("CARGO_TARGET_DIR", target))
    }

    /// The one that this command starts, which must not be told what cargo tells the tests of themselves.
    pub(super) fn of(command: &mut Command) -> Self {
        let mut child = command.env("CARGO_TERM_COLOR", "never").spawn().expect("the program starts");
        let (send, lines) = channel();
        let (out, err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let other = send.clone();
        // Each ends with its pipe.
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|line| other.send(line)));
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line with all of these words.
    #[track_caller]
    pub(super) fn says(&mut self, words: &[&str]) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("{words:?} was not said, but:\n{}", self.said.join("\n")) };
            self.said.push(line.clone());
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }
}

/// Takes away what cargo tells the tests of themselves.
pub(super) fn forget_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") {
            command.env_remove(name);
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Ended already if the test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_new_task_is_built_run_and_built_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &["new", "greeter"]).ok();
    let (source, lock) = (folder.path().join("greeter/src/lib.rs"), "../Cargo.lock");
    // With the versions that are here: the test needs no network.
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(lock), folder.path().join("greeter/Cargo.lock")).unwrap();
    let greeted = || run_in(folder.path(), &["schedule", "greeter", "--input", "{\"name\": \"Ada\"}", "--wait"]).ok();
    let edit = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&source).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&source, text.replace(from, to)).unwrap();
    };

    let mut dev = Dev::start(folder.path(), &["dev", "greeter", "--listen", "127.0.0.1:0"]);
    dev.says(&["registered greeter", "granted runs", "greeter"]);
    dev.says(&["listening on http://127.0.0.1:", "server.json"]);
    dev.says(&["schedule greeter --after 2s --wait"]);
    let shown = greeted();
    assert!(shown.contains("greeter succeeded") && shown.contains("Hello, Ada!"), "{shown}");
    dev.says(&["succeeded", "greeter", "Hello, Ada!"]);

    edit("Hello, ", "Goodbye, ");
    dev.says(&["sources changed"]);
    dev.says(&["registered greeter"]);
    assert!(greeted().contains("Goodbye, Ada!"));

    // What can't be built is told, and the version before goes on.
    edit("Ok(greeting", "Ok(greating");
    dev.says(&["cannot find function", "greating"]);
    dev.says(&["greeter could not be built", "stays"]);
    assert!(greeted().contains("Goodbye, Ada!"));

    let told = Command::new("kill").args(["-INT", &dev.child.id().to_string()]).status().expect("kill is there");
    assert!(told.success());
    dev.says(&["stopping"]);
    assert_eq!(dev.child.wait().unwrap().code(), Some(0));
    run_in(folder.path(), &["tasks"]).fails(6, &["no server answers"]);
}
