//! Components that burst the compiler: the real one, in a process of its own, while the host goes on.

use super::{Server, command, ran};
use crate::built;

/// A number in LEB128.
pub(super) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 127) as u8;
        number >>= 7;
        bytes.push(if number > 0 { low | 128 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}

pub(super) fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &leb(content.len())[..], content].concat()
}

/// A core module of these sections.
pub(super) fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

/// A module with one function of about so many bytes and as many locals as it may have. Each of its blocks may be left early, so what each
/// local is at each block's end is a question that the compiler answers one by one: within all limits on what a file may say.
fn module_of_blocks(bytes: usize) -> Vec<u8> {
    const LOCALS: usize = 4_990;
    let mut body = [leb(1), leb(LOCALS), vec![0x7f]].concat();
    for number in 0.. {
        if body.len() >= bytes {
            break;
        }
        let (a, b) = (leb(1 + number * 7_919 % LOCALS), leb(1 + (number * 104_729 + 13) % LOCALS));
        // block; local.get a; br_if 0; local.get b; local.get a; i32.add; local.set b; end
        body.extend([&[0x02, 0x40, 0x20], &a[..], &[0x0d, 0, 0x20], &b, &[0x20], &a, &[0x6a, 0x21], &b, &[0x0b]].concat());
    }
    body.extend([0x20, 0, 0x0b]);
    let kind = section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let function = section(3, &[1, 0]);
    let code = section(10, &[leb(1), leb(body.len()), body].concat());
    module(&[kind, function, code])
}

/// A sound component, and in it a module that nobody calls and that takes the compiler some seconds or more.
fn bomb() -> Vec<u8> {
    let sound = std::fs::read(built::guest("hello")).unwrap();
    [sound, section(1, &module_of_blocks(100_000))].concat()
}

/// A component of 32 KB within all counts, for which a validator needs gigabytes: the innermost component has 500 types that depend on a resource
/// that it is given, and each of its 270,000 instances has types of its own.
fn bomb_of_instances() -> Vec<u8> {
    let given = r#"(import "r" (type $r (sub resource)))"#;
    let with = r#"(with "r" (type $r))"#;
    let each = |number: usize| format!(r#"(type $t{number} (record (field "f" (own $r)))) (export "t{number}" (type $t{number}))"#);
    let types: String = (0..500).map(each).collect();
    let each = |number: usize| format!(r#"(instance $i{number} (instantiate $c {with})) (export "i{number}" (instance $i{number}))"#);
    let instances: String = (0..300).map(each).collect();
    let many = format!("(instance (instantiate $b {with}))").repeat(900);
    let text = format!("(component {given} (component $b {given} (component $c {given} {types}) {instances}) {many})");
    wat::parse_str(text).unwrap()
}

/// Bytes of memory that a process has.
#[cfg(target_os = "linux")]
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn one_that_takes_too_much_to_check_is_refused_while_others_are_served() {
    let server = Server::with(&["behaviours"]);
    std::fs::write(server.path("bomb.wasm"), bomb_of_instances()).unwrap();
    #[cfg(target_os = "linux")]
    let before = memory(server.child.id());
    let mut registering = command(server.folder.path(), &["register", "bomb.wasm"]).spawn().unwrap();
    let mut served = 0;
    while registering.try_wait().unwrap().is_none() {
        server.run(&["schedule", "touch", "--wait"]).ok();
        served += 1;
    }
    ran(registering.wait_with_output().unwrap()).fails(3, &["checking it takes more than", "512 MiB", "nest types and instances less"]);
    assert!(served > 1, "runs were executed while it was being checked: {served}");
    #[cfg(target_os = "linux")]
    assert!(memory(server.child.id()) < before + (128 << 20), "the host has none of it");
}

#[test]
fn one_that_takes_too_much_is_refused_while_others_are_served() {
    let server = Server::with(&["behaviours"]);
    std::fs::write(server.path("bomb.wasm"), bomb()).unwrap();
    let mut registering = command(server.folder.path(), &["register", "bomb.wasm"]).spawn().unwrap();
    let mut served = 0;
    while registering.try_wait().unwrap().is_none() {
        server.run(&["schedule", "touch", "--wait"]).ok();
        served += 1;
    }
    ran(registering.wait_with_output().unwrap()).fails(3, &["compiling it takes more than", "1024 MiB", "make its functions smaller"]);
    assert!(served > 1, "runs were executed while it was being compiled: {served}");
    assert_eq!(server.json(&["tasks"])["tasks"].as_array().unwrap().iter().filter(|task| task["name"] == "hello").count(), 0);
    server.register("hello");
    server.run(&["schedule", "hello", "--wait"]).ok();
}

/// What the system tells of a process that compiles.
#[cfg(target_os = "linux")]
mod compiler {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use super::super::{Server, command, ran};

    /// The child of this process, once it has confined itself, as its folder in `/proc`.
    fn of(server: u32) -> Option<PathBuf> {
        let mut processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        processes.find(|process| {
            let status = lines(&fs::read_to_string(process.join("status")).unwrap_or_default());
            status.get("PPid") == Some(&server.to_string()) && status.get("Seccomp").is_some_and(|mode| mode == "2")
        })
    }

    /// The lines of the form `name: value`.
    fn lines(text: &str) -> BTreeMap<String, String> {
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name.into(), value.trim().into())).collect()
    }

    #[test]
    fn it_ends_at_once_when_the_host_is_told_to_stop() {
        let server = Server::start();
        fs::write(server.path("bomb.wasm"), super::bomb()).unwrap();
        let mut registering = command(server.folder.path(), &["register", "bomb.wasm"]).spawn().unwrap();
        // The one that compiles, not the one that checked before.
        let process = loop {
            let found = of(server.child.id());
            if let Some(process) =
                found.filter(|process| fs::read_to_string(process.join("limits")).is_ok_and(|it| it.contains("1073741824")))
            {
                break process;
            }
            assert!(registering.try_wait().unwrap().is_none(), "it was never seen confined: {registering:?}");
        };
        assert_eq!(server.stop().code, Some(0));
        // Where nobody collects the orphans of a container, it stays as a zombie.
        let state = fs::read_to_string(process.join("stat")).ok();
        let state = state.as_deref().and_then(|stat| stat.rsplit(')').next()?.trim_start().chars().next());
        assert!(state.is_none_or(|state| "ZX".contains(state)), "it ended with the host: {state:?}");
        // Not what a compiler says of a bomb, which takes a minute, and not a connection that was cut after the grace.
        ran(registering.wait_with_output().unwrap()).fails(3, &["shutting down"]);
    }

    #[test]
    fn it_has_three_pipes_and_nothing_else() {
        let server = Server::start();
        fs::write(server.path("bomb.wasm"), super::bomb()).unwrap();
        let mut registering = command(server.folder.path(), &["register", "bomb.wasm"]).spawn().unwrap();
        let process = loop {
            let found = of(server.child.id());
            if let Some(process) =
                found.filter(|process| fs::read_to_string(process.join("limits")).is_ok_and(|it| it.contains("1073741824")))
            {
                break process;
            }
            assert!(registering.try_wait().unwrap().is_none(), "it was never seen confined: {registering:?}");
        };
        let read = |name: &str| fs::read_to_string(process.join(name)).unwrap();
        let files = fs::read_dir(process.join("fd")).unwrap().map(|entry| {
            let file = entry.unwrap().path();
            (file.file_name().unwrap().to_string_lossy().into_owned(), fs::read_link(&file).unwrap().to_string_lossy().into_owned())
        });
        let files: BTreeMap<_, _> = files.collect();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{files:?}");
        assert!(files.values().all(|to| to.starts_with("pipe:")), "{files:?}");
        assert_eq!(lines(&read("status"))["NoNewPrivs"], "1");
        // State is the first field after the name, which ends with the last bracket; niceness the seventeenth.
        assert_eq!(read("stat").rsplit(')').next().unwrap().split_whitespace().nth(16), Some("10"), "it stands back");
        let limits = read("limits");
        for (name, limit) in [("Max address space", "1073741824"), ("Max cpu time", "60"), ("Max core file size", "0")] {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [limit; 2], "{name}");
        }
        let environment: Vec<_> =
            read("environ").split_terminator('\0').filter_map(|one| Some(one.split_once('=')?.0.to_owned())).collect();
        assert_eq!(environment, ["MIMALLOC_ARENA_RESERVE", "RAYON_NUM_THREADS"], "no secret of the host's is in it");

        let id = process.file_name().unwrap();
        assert!(Command::new("kill").arg("-KILL").arg(id).status().unwrap().success());
        ran(registering.wait_with_output().unwrap()).fails(3, &["compiling it takes more than", "signal: 9"]);
    }
}
