//! Starts a victim, listens to it, and kills it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use super::ledger::Entry;

/// A victim that lives.
pub(crate) struct Victim {
    child: Child,
    listener: JoinHandle<Vec<Entry>>,
    ready: std::sync::mpsc::Receiver<()>,
    acknowledged: std::sync::mpsc::Receiver<()>,
}

impl Victim {
    /// Starts one: what it does, on which database, and what it should know.
    pub(crate) fn start(what: &str, database: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "crash::victim::victim", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("RUNLATER_VICTIM", what).env("RUNLATER_VICTIM_DB", database);
        command.envs(settings.iter().map(|(name, value)| (format!("RUNLATER_VICTIM_{name}"), value)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary can be started");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let (tell_ready, ready) = std::sync::mpsc::channel();
        let (tell_acknowledged, acknowledged) = std::sync::mpsc::channel();
        let listener = std::thread::spawn(move || {
            let (mut entries, mut line) = (Vec::new(), String::new());
            while out.read_line(&mut line).expect("a victim tells text") > 0 {
                if let Some(entry) = Entry::parse(&line) {
                    // Nobody may wait for it.
                    let _ = match entry {
                        Entry::Ready => tell_ready.send(()),
                        Entry::Created(..) => tell_acknowledged.send(()),
                        _ => Ok(()),
                    };
                    entries.push(entry);
                }
                line.clear();
            }
            entries
        });
        Self { child, listener, ready, acknowledged }
    }

    /// Waits until its load begins; returns as well if it ends before.
    pub(crate) fn await_ready(&self) {
        let _ = self.ready.recv();
    }

    /// Waits until a run is stored, as it says; returns as well if it ends before.
    pub(crate) fn await_acknowledged(&self) {
        let _ = self.acknowledged.recv();
    }

    /// Kills it. True if it lived until then.
    pub(crate) fn kill(mut self) -> (bool, Vec<Entry>) {
        let ended = self.child.try_wait().expect("it is our child");
        self.child.kill().expect("it is our child");
        let status = self.child.wait().expect("it is our child");
        assert!(status.signal() == Some(9) || status.success(), "a victim failed by itself: {status}");
        (ended.is_none(), self.listener.join().expect("the listener does not panic"))
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<Entry>) {
        let entries = self.listener.join().expect("the listener does not panic");
        (self.child.wait().expect("it is our child"), entries)
    }
}
