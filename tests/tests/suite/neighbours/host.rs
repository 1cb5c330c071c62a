//! The built program with a namespace for each attacker, and the neighbour.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::built;
use crate::client::Client;

/// How long after the last run was asked for all of the neighbour's must have ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two of the neighbour's runs.
const PACE: Duration = Duration::from_millis(10);

/// A server in a process of its own.
pub(super) struct Host {
    folder: tempfile::TempDir,
    child: Child,
    pub(super) url: String,
    operator: String,
}

impl Host {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(built::program());
        // What an address may send at all is not what is tried here: all of them come from the same one.
        command
            .args(["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json", "--guest-memory", "1GiB"])
            .current_dir(folder.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server said {line:?}"));
        let file = fs::read_to_string(folder.path().join(".runlater/server.json")).expect("the server wrote it");
        let file: Value = serde_json::from_str(&file).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        Self { url: text(&said["url"]), operator: text(&file["token"]), folder, child }
    }

    /// A token of a new namespace, with the tasks of these guests in it.
    pub(super) fn namespace(&self, name: &str, guests: &[&str]) -> String {
        self.command(&self.operator, &["namespaces", "create", name]);
        let created = self.command(&self.operator, &["token", "create", "--namespace", name, "--role", "admin", "--json"]);
        let created: Value = serde_json::from_str(&created).expect("JSON");
        let token = created["token"].as_str().expect("a token").to_string();
        for guest in guests {
            self.command(&token, &["register", &built::guest(guest).to_string_lossy(), "--grant", "runs"]);
        }
        token
    }

    pub(super) fn client(&self, token: &str) -> Client {
        Client::new(&self.url, token).expect("the host takes connections")
    }

    fn command(&self, token: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(built::program());
        let done = command.args(arguments).current_dir(self.folder.path()).env("RUNLATER_SERVER", &self.url).env("RUNLATER_TOKEN", token);
        let done = done.stdin(Stdio::null()).output().expect("the program starts");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    }

    /// Bytes that the host has in memory.
    pub(super) fn rss(&self) -> u64 {
        status(&self.child, "VmRSS")
    }

    /// The most that it ever had.
    pub(super) fn rss_max(&self) -> u64 {
        status(&self.child, "VmHWM")
    }
}

fn status(child: &Child, field: &str) -> u64 {
    let path = Path::new("/proc").join(child.id().to_string()).join("status");
    let status = fs::read_to_string(path).expect("the host lives");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the kernel says it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") << 10
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A namespace that only wants its runs to start in time and to succeed.
pub(super) struct Neighbour<'a> {
    host: &'a Host,
    token: String,
}

/// How its runs fared.
pub(super) struct Seen {
    runs: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs, p50 {:?}, p99 {:?}", self.runs, self.p50, self.p99)
    }
}

impl<'a> Neighbour<'a> {
    pub(super) fn in_namespace(host: &'a Host, name: &str) -> Self {
        let token = host.namespace(name, &["hello"]);
        Self { host, token }
    }

    /// Schedules a hundred runs a second for so long. All of them succeed, and none is lost.
    pub(super) fn runs_for(&self, span: Duration) -> Seen {
        let mut client = self.host.client(&self.token);
        let (began, mut ids) = (Instant::now(), Vec::new());
        while began.elapsed() < span {
            let asked = client.ask("POST", "/v1/runs", &json!({ "task": "hello", "input": { "name": "Ada" } }).to_string());
            let asked = asked.expect("the host answers");
            assert_eq!(asked.status, 201, "{}", asked.body);
            ids.push(asked.body["id"].as_str().expect("an id").to_string());
            let next = PACE * u32::try_from(ids.len()).expect("few runs");
            std::thread::sleep(next.saturating_sub(began.elapsed()));
        }
        let deadline = Instant::now() + PATIENCE;
        let mut spans: Vec<Duration> = ids.iter().map(|id| ended(&mut client, id, deadline)).collect();
        spans.sort_unstable();
        Seen { runs: spans.len(), p50: spans[spans.len() / 2], p99: spans[spans.len() * 99 / 100] }
    }
}

/// From a run's trigger time to its success.
fn ended(client: &mut Client, id: &str, deadline: Instant) -> Duration {
    loop {
        let run = client.ask("GET", &format!("/v1/runs/{id}"), "").expect("the host answers").body;
        if let Some(finished) = run["finished_at"].as_str() {
            assert_eq!((run["status"].as_str(), run["attempts"].as_u64()), (Some("succeeded"), Some(1)), "{run}");
            let at = |text: &str| runlater::Timestamp::parse(text, "at").expect("a time");
            return at(finished).since(at(run["trigger_at"].as_str().expect("a time")));
        }
        assert!(Instant::now() < deadline, "not ended: {run}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
