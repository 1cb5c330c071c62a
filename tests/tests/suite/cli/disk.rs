//! `serve` on a disk that fails, and on one that is full: both for real, by means of the system's.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::{Server, command};
use crate::built;

const SERVE: &[&str] = &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"];

#[test]
fn a_disk_that_fails_ends_the_host_and_the_next_one_knows_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command(folder.path(), SERVE);
    // A file that may not grow is told by a signal first, which would end the process.
    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        serve.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        })
    };
    let server = Server::of(folder, serve);
    server.register("behaviours");
    let before = server.schedule(&["touch", "--after", "1h"]);
    // From now on each write behind the first page of any file fails.
    let limit = libc::rlimit { rlim_cur: 4_096, rlim_max: 4_096 };
    // SAFETY: `limit` is valid for as long as the call takes; the other pointer says that the old one is not wanted.
    let limited = unsafe { libc::prlimit(server.child.id() as libc::pid_t, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(limited, 0);

    let during = ["schedule", "touch", "--after", "1h", "--unique-key", "during"];
    server.run(&during).fails(7, &["unknown", "unique key"]);
    let (ended, folder) = server.ended();
    assert_eq!(ended.code, Some(74), "{ended:?}");
    assert!(ended.err.contains("can't be relied on") && ended.err.contains("start the host again"), "{}", ended.err);

    let serve = command(folder.path(), SERVE);
    let server = Server::of(folder, serve);
    assert!(server.run(&["runs", "show", &before]).ok().contains("scheduled"), "what was acknowledged is there");
    server.run(&during).ok();
    assert_eq!(server.json(&["runs", "list"])["runs"].as_array().unwrap().len(), 2, "repeated with its key, it is there once");
}

/// How to have a file system of one's own; `None` where the system lets nobody.
fn own_mounts() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];
    ways.into_iter().find(|way| {
        let tried = Command::new("unshare").args(*way).args(["mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// The small disk that a server sees at this place.
struct Disk(PathBuf);

impl Disk {
    fn of(server: &Server) -> Self {
        let inside = server.path("disk");
        Self(PathBuf::from(format!("/proc/{}/root{}", server.child.id(), inside.display())))
    }

    fn free(&self) -> u64 {
        let path = std::ffi::CString::new(self.0.as_os_str().as_bytes()).unwrap();
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: `path` ends with a NUL and `stat` is writable; both outlive the call, and all-zero is a valid `statvfs`.
        let stat = unsafe {
            assert_eq!(libc::statvfs(path.as_ptr(), stat.as_mut_ptr()), 0);
            stat.assume_init()
        };
        stat.f_bavail * stat.f_frsize
    }

    /// Writes until no more than `left` bytes are free.
    fn fill(&self, left: u64) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.0.join("others")).unwrap();
        while self.free() > left {
            let piece = vec![7; (self.free() - left).min(1 << 20) as usize];
            if file.write_all(&piece).is_err() {
                // Full before it is said to be: what the host writes meanwhile counts, too.
                return;
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }
}

#[test]
fn a_full_disk_costs_new_work_first_and_nothing_that_was_promised() {
    let Some(way) = own_mounts() else {
        eprintln!("not tried: this system lets nobody mount a small disk; the suite `faults` tries the same on one that only says so");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let mut serve = Command::new("unshare");
    serve.args(way).args(["sh", "-c", "mount -t tmpfs -o size=96m none disk && exec \"$@\"", "sh"]).arg(built::program());
    serve.args(["serve", "--db", "disk/runs.db", "--keep-free", "16", "--listen", "127.0.0.1:0", "--json"]);
    serve.current_dir(folder.path()).stdin(std::process::Stdio::null());
    serve.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let server = Server::of(folder, serve);
    server.register("behaviours");
    let disk = Disk::of(&server);
    assert!(disk.has("runs.db.ballast"));

    // Two that wait to be let go, and whose follow-ups need room.
    let children: Vec<_> = (0..4).map(|_| json!({ "task": "touch", "after": "1d", "input": "x".repeat(50_000) })).collect();
    let waiting = || {
        let gate = server.schedule(&["touch", "--after", "1h"]);
        std::fs::write(server.path("input.json"), json!({ "gate": gate, "runs": children }).to_string()).unwrap();
        let run = server.schedule(&["schedule-then-wait", "--input", "@input.json"]);
        while server.json(&["runs", "show", &run])["status"] != "running" {}
        (gate, run)
    };
    let (first_gate, first) = waiting();
    let (second_gate, second) = waiting();
    let later = server.schedule(&["touch", "--after", "1h"]);

    disk.fill(8 << 20);
    server.run(&["schedule", "touch"]).fails(3, &["disk is full", "free some space"]);
    server.run(&["runs", "cancel", &first_gate, "--yes"]).ok();
    server.run(&["runs", "wait", &first]).ok();
    assert!(disk.has("runs.db.ballast"), "there is still some room");

    disk.fill(0);
    let cancel = ["runs", "cancel", &second_gate, "--yes"];
    let said = server.run(&cancel);
    if said.code != Some(0) {
        // It was the first to find the disk full. Now there is the ballast's room.
        said.fails(3, &["disk is full"]);
        server.run(&cancel).ok();
    }
    server.run(&["runs", "wait", &second]).ok();
    assert!(!disk.has("runs.db.ballast"), "it was given up for this");
    server.run(&["schedule", "touch"]).fails(3, &["disk is full"]);
    server.run(&["runs", "trigger", &later]).ok();
    let held = server.json(&["runs", "show", &later]);
    assert_eq!((held["status"].as_str(), held["attempts"].as_u64()), (Some("queued"), Some(0)), "nothing starts: {held}");

    std::fs::remove_file(disk.0.join("others")).unwrap();
    server.run(&["runs", "wait", &later]).ok();
    assert!(disk.has("runs.db.ballast"), "it is there again");
    server.run(&["schedule", "touch", "--wait"]).ok();
    assert_eq!(server.stop().code, Some(0));
}
