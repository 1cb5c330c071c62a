//! The program itself, against a server of its own: what users type, what they see, and with which code it exits.

#[cfg(target_os = "linux")]
mod asleep;
mod authoring;
mod bad_input;
mod bench;
mod bombs;
mod crons;
mod databases;
mod dev;
mod disk;
mod earlier;
mod explain;
mod forecast;
mod help;
mod host;
mod locked;
#[cfg(target_os = "linux")]
mod memory;
mod namespaces;
mod readme;
mod register;
mod runs;
mod schedule;
mod terminal;
mod time_zones;
mod tls;
mod tokens;
mod toolchains;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::built;

/// A folder with a database and a server on it, for the commands that are run in the folder.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
    url: String,
}

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Server {
    /// Starts a server on a port of the system's choice.
    fn start() -> Self {
        Self::told(&[])
    }

    /// The same, told more.
    fn told(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let serve = command(folder.path(), &[&["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"], more].concat());
        Self::of(folder, serve)
    }

    /// The one that this command starts in the folder.
    fn of(folder: tempfile::TempDir, mut serve: Command) -> Self {
        let mut child = serve.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server said {line:?}"));
        let url = said["url"].as_str().expect("its address").into();
        Self { folder, child, url }
    }

    /// The same, with the tasks of these guests.
    fn with(guests: &[&str]) -> Self {
        let server = Self::start();
        guests.iter().for_each(|guest| server.register(guest));
        server
    }

    fn register(&self, guest: &str) {
        self.run(&["register", &built::guest(guest).to_string_lossy(), "--grant", "runs"]).ok();
    }

    /// Waits until it ends by itself: with which code, and what it said. Its folder stays.
    fn ended(mut self) -> (Ran, tempfile::TempDir) {
        let status = self.child.wait().expect("it ends");
        let mut err = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().expect("a pipe"), &mut err).expect("text");
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        (Ran { code: status.code(), out: String::new(), err }, folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run_in(self.folder.path(), arguments)
    }

    /// What a command that succeeds writes as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let ran = run_in(self.folder.path(), &[arguments, &["--json"]].concat());
        serde_json::from_str(&ran.ok()).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// The id of a run that a command schedules.
    fn schedule(&self, arguments: &[&str]) -> String {
        self.json(&[&["schedule"], arguments].concat())["id"].as_str().expect("an id").into()
    }

    /// The token that clients in the folder find.
    fn token(&self) -> String {
        let text = std::fs::read_to_string(self.path(".runlater/server.json")).expect("the server wrote it");
        serde_json::from_str::<Value>(&text).expect("JSON")["token"].as_str().expect("a token").into()
    }

    /// Sends SIGTERM, and says with which code the server exits and what it said.
    fn stop(self) -> Ran {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill is there");
        assert!(told.success());
        self.ended().0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already if the test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ran {
    /// What it wrote, if it succeeded.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// What it complained of. It exited with this code, and all of `words` are in the complaint.
    #[track_caller]
    fn fails(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in: {}", self.err);
        }
        assert!(!self.err.contains("panicked") && !self.err.contains('\u{1b}'), "{}", self.err);
        self.err
    }
}

/// The program in this folder, with nothing of the tester's own settings.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(built::program());
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["RUNLATER_SERVER", "RUNLATER_TOKEN", "NO_COLOR", "CLICOLOR_FORCE", "http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command
}

/// For root no file is read-only or closed, unless it starts the program without that privilege. For whoever isn't root it changes nothing.
fn unprivileged(mut command: Command) -> Command {
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec nothing but two system calls is made.
    unsafe {
        const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
        const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
            libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0);
            Ok(())
        });
    }
    command
}

fn run_in(folder: &Path, arguments: &[&str]) -> Ran {
    end(command(folder, arguments))
}

fn run_with_input(folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command(folder, arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
    // It may well end before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    ran(child.wait_with_output().expect("it ends"))
}

fn end(mut command: Command) -> Ran {
    ran(command.output().expect("the program starts"))
}

fn ran(output: std::process::Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
