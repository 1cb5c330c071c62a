//! Callers that mean harm, against the program itself: what they cost the host's memory, and that others are served meanwhile.

mod answers;
mod connections;
mod files;
mod grpc;
mod uploads;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runlater::Scheduler;
use runlater::scheduler::{NewToken, Role};
use serde_json::{Value, json};

use crate::built;

/// Longest time for an answer that must come beside an attack: much more than it takes, on any machine that runs these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host with the tasks of `behaviours`, which all tests of this suite have in two namespaces.
struct Host {
    _folder: tempfile::TempDir,
    child: Child,
    address: SocketAddr,
    /// A token of the namespace that attacks.
    hostile: String,
    /// A token of another namespace.
    other: String,
}

impl Host {
    fn start() -> Self {
        Self::within(None)
    }

    /// The same, with a limit on open files.
    fn within(files: Option<u32>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (hostile, other) = runtime.block_on(prepare(&folder.path().join("runs.db")));
        let program = built::program().to_string_lossy();
        let limit = files.map_or(String::new(), |files| format!("ulimit -n {files} && "));
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec '{program}' serve --db runs.db --listen 127.0.0.1:0 --json")])
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the host said {line:?}"));
        let address = said["url"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok()).expect("its address");
        Self { _folder: folder, child, address, hostile, other }
    }

    /// A line of the process's status, in KiB.
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a line of this name");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("it listens")
    }

    /// Sends a request over a connection of its own: the status of the answer, what it says, and how long that took.
    fn ask(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> (u16, String, Duration) {
        let began = Instant::now();
        let mut stream = self.connect();
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(head(method, path, token, body).as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{method} {path} was not answered: {error}"));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status =
            answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
        (status, answer, began.elapsed())
    }

    /// Health is told within a second, and another namespace can schedule and read.
    fn serves_others(&self) {
        let (status, answer, took) = self.ask("GET", "/healthz", "", None);
        assert_eq!(status, 200, "{answer}");
        assert!(took < Duration::from_secs(1), "health took {took:?}");
        let (status, answer, _) = self.ask("POST", "/v1/runs", &self.other, Some(&json!({ "task": "touch", "after": "1h" })));
        assert_eq!(status, 201, "{answer}");
        let (status, answer, _) = self.ask("GET", "/v1/runs?limit=1", &self.other, None);
        assert_eq!(status, 200, "{answer}");
    }

    /// Runs of the hostile namespace that fill several pages of a list.
    fn fill(&self, runs: usize) {
        let input = "x".repeat(250 << 10);
        for _ in 0..runs {
            let body = json!({ "task": "touch", "after": "24h", "input": input });
            let (status, answer, _) = self.ask("POST", "/v1/runs", &self.hostile, Some(&body));
            assert_eq!(status, 201, "{answer}");
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a database with two namespaces: a token with the role `deploy` for the first, and with `write` for the second.
async fn prepare(db: &std::path::Path) -> (String, String) {
    let scheduler = Scheduler::builder().sqlite(db).threads(1).build().await.expect("it starts");
    let wasm = std::fs::read(built::guest("behaviours")).expect("it was built");
    let mut tokens = Vec::new();
    for (name, role) in [("hostile", Role::Deploy), ("other", Role::Write)] {
        let bound = scheduler.in_namespace(name).await.expect("a namespace");
        bound.register(wasm.clone()).grant(runlater::Grant::Runs).send().await.expect("it is registered");
        let new = NewToken { role, note: String::new(), expires: None };
        tokens.push(bound.create_token(new).await.expect("it is stored").0.secret().to_string());
    }
    scheduler.shutdown(Duration::ZERO).await.expect("it stops");
    let other = tokens.pop().expect("two tokens");
    (tokens.pop().expect("two tokens"), other)
}

/// A whole request, after which the connection is closed.
fn head(method: &str, path: &str, token: &str, body: Option<&Value>) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !token.is_empty() {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    format!("{head}\r\n{body}")
}

/// Lets this process have so many connections open.
fn allow_files(files: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid place for one limit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_cur.max(files.min(limit.rlim_max));
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    assert!(limit.rlim_cur >= files, "the limit on open files is {} and can't be {files}", limit.rlim_max);
}
