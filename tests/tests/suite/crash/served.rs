//! The program as users start it, killed under load while its log is long and is being copied. Each next start must take the file as it lies.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::built;
use crate::client::Client;
use crate::faults::half_copied::stored;
use crate::faults::log::{Log, beside};
use runlater::RunId;

/// Kills, unless `RUNLATER_CRASH_ROUNDS` says otherwise.
const ROUNDS: usize = 25;
/// Lives of one database. Then it is large, and checking it at each start takes long.
const LIVES: usize = 5;
/// Callers at a time.
const CALLERS: usize = 4;
/// With inputs of this size the log grows faster than it is copied.
const INPUT_BYTES: usize = 200_000;
/// From here on the host wants its log to start over.
const LONG_LOG_BYTES: u64 = 16 << 20;
/// Longest life under load, where no checkpoint is met.
const LIFE_MAX: Duration = Duration::from_secs(10);

/// A server in a process of its own.
struct Served {
    child: Child,
    url: String,
    token: String,
}

impl Served {
    /// Starts the program on the database in this folder. It must not refuse it.
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(built::program());
        command.args(["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]).current_dir(folder);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server refuses its database: {line:?}"));
        let file = fs::read_to_string(folder.join(".runlater/server.json")).expect("the server wrote it");
        let file: Value = serde_json::from_str(&file).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        Self { child, url: text(&said["url"]), token: text(&file["token"]) }
    }

    fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Dead already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kills met.
#[derive(Debug, Default)]
struct Met {
    long_logs: usize,
    half_copied: usize,
}

#[test]
fn each_start_after_a_kill_has_all_that_was_acknowledged() {
    let rounds = std::env::var("RUNLATER_CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let mut chance = fastrand::Rng::with_seed(1);
    let (mut met, mut acknowledged) = (Met::default(), 0);
    let mut left = rounds;
    while left > 0 {
        let lives = left.min(LIVES);
        left -= lives;
        acknowledged += live_and_die(lives, &mut chance, &mut met);
    }
    println!("{rounds} kills, {acknowledged} runs acknowledged, {met:?}");
    assert!(met.long_logs > 0 && met.half_copied > 0, "the kills met too little: {met:?}");
}

/// So many lives of one database. How many runs were acknowledged, of which none was lost.
fn live_and_die(lives: usize, chance: &mut fastrand::Rng, met: &mut Met) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut acknowledged = Vec::new();
    for life in 0..lives {
        let served = Served::start(folder.path());
        if life == 0 {
            register(folder.path());
        }
        assert_all_there(&path, &acknowledged, life);
        acknowledged.extend(load_and_kill(served, &path, chance));
        met.long_logs += usize::from(bytes(&beside(&path, "-wal")) > LONG_LOG_BYTES);
        met.half_copied += usize::from(Log::of(&path).is_half_copied(&fs::read(&path).unwrap()));
    }
    let served = Served::start(folder.path());
    assert_all_there(&path, &acknowledged, lives);
    served.kill();
    acknowledged.len()
}

fn register(folder: &Path) {
    let component = built::guest("hello");
    let mut command = Command::new(built::program());
    let done =
        command.arg("register").arg(component).current_dir(folder).env_remove("RUNLATER_SERVER").env_remove("RUNLATER_TOKEN").output();
    assert!(done.as_ref().is_ok_and(|done| done.status.success()), "{done:?}");
}

fn assert_all_there(path: &Path, acknowledged: &[RunId], life: usize) {
    let stored = stored(&Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap());
    let lost = acknowledged.iter().filter(|run| !stored.contains(run)).count();
    assert_eq!(lost, 0, "{lost} of {} acknowledged runs are lost after life {life}", acknowledged.len());
}

/// Has callers create runs until the kill, and returns those that were acknowledged.
fn load_and_kill(served: Served, path: &Path, chance: &mut fastrand::Rng) -> Vec<RunId> {
    let body = json!({ "task": "hello", "at": "2090-01-01T00:00:00Z", "input": { "name": "x".repeat(INPUT_BYTES) } }).to_string();
    let acknowledged = Mutex::new(Vec::new());
    let (url, token) = (served.url.clone(), served.token.clone());
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                // Until the server is dead, and says so by the end of the connection.
                let Ok(mut client) = Client::new(&url, &token) else { return };
                while let Ok(answer) = client.ask("POST", "/v1/runs", &body) {
                    assert_eq!(answer.status, 201, "{}", answer.body);
                    let run = RunId::parse(answer.body["id"].as_str().expect("an id"), "id").expect("an id");
                    acknowledged.lock().unwrap().push(run);
                }
            });
        }
        match chance.u8(..4) {
            // At any moment, also before anything was copied.
            0 => std::thread::sleep(Duration::from_millis(chance.u64(..1_500))),
            _ => await_checkpoint_of_a_long_log(path),
        }
        served.kill();
    });
    acknowledged.into_inner().unwrap()
}

/// Waits until the file grows while the log is long: only a checkpoint writes to the file.
fn await_checkpoint_of_a_long_log(path: &Path) {
    let (log, until) = (beside(path, "-wal"), Instant::now() + LIFE_MAX);
    let mut length = None;
    // Where none is met, the kill comes at any moment.
    while Instant::now() < until {
        let now = bytes(path);
        if bytes(&log) > LONG_LOG_BYTES && length.is_some_and(|before| now > before) {
            return;
        }
        length = Some(now);
        std::thread::yield_now();
    }
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}
