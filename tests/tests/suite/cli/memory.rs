//! What guests that mean harm cost the host's own memory, as the system counts it.

use std::fs;

use super::Server;

/// Beyond what it had before, while guests do their worst: what the host may need for them, and what they may have themselves.
const ALLOWED_KIB: u64 = (8 + 6) << 10;

/// Tasks of the guest `hostile` that ask the host to keep, copy or make more than they may, and need no more than 6 MiB themselves.
const TASKS: [&str; 8] = ["aliased-list", "endless-list", "huge-argument", "huge-output", "huge-log", "random-1g", "handles", "flood"];

impl Server {
    /// A line of the process's status, in KiB.
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Has each of them run, one after the other.
    fn suffer(&self) {
        for task in TASKS {
            let ran = self.run(&["schedule", task, "--max-attempts", "1", "--wait"]);
            assert_eq!(ran.code == Some(0), task == "huge-log", "{task}: {ran:?}");
        }
    }
}

#[test]
fn hostile_guests_take_little_of_the_hosts() {
    let server = Server::with(&["hostile"]);
    // Compiled, loaded, and the allocator has what it keeps.
    server.suffer();
    let before = server.memory("VmRSS");
    fs::write(format!("/proc/{}/clear_refs", server.child.id()), "5").unwrap();
    for _ in 0..3 {
        server.suffer();
    }
    let peak = server.memory("VmHWM");
    assert!(peak < before + ALLOWED_KIB, "{} KiB more than the {before} KiB before", peak - before);
}
