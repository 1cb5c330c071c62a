//! Turns a component into machine code, where it can do no harm.
//!
//! Called by the component cache, on a thread of its own, one at a time of each kind. wasmtime promises nothing about the time and memory that
//! hostile input costs its compiler, so a server compiles in a child process with limits on both (`confine`); an embedder who
//! wrote the components may do without.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use wasmtime::Engine;

use crate::model::Invalid;
use crate::model::limits::{COMPONENT_BYTES_MAX, Limits};

use super::confine::{ADDRESS_SPACE_MAX, CPU_SECONDS_MAX, confine};

/// Time on the wall after which the compiling process is killed.
const WALL_MAX: Duration = Duration::from_secs(60);
/// Bytes of machine code that are accepted.
const CODE_BYTES_MAX: u64 = 512 << 20;
/// Threads of the compiling process: each takes some 50 MiB of its address space, so that of sixteen none would come to an end.
const THREADS_MAX: usize = 4;
/// The status by which the child says that the component is at fault.
const REFUSED: i32 = 2;
/// The status by which the child says that it can't confine itself, and compiles nothing.
const UNCONFINED: i32 = 3;
/// Bytes of a child's explanation that are read.
const MESSAGE_BYTES_MAX: u64 = 4096;

/// Where components are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// In this process: for components that are trusted not to attack the compiler.
    #[default]
    InProcess,
    /// In a process of its own with 1 GiB of address space, 60 s of processor time and 60 s on the wall; on Linux it has neither files nor
    /// sockets, and can't start programs.
    ChildProcess {
        /// The program to start: one that calls [`compile_child_main`].
        program: PathBuf,
        /// What makes it do so.
        args: Vec<String>,
    },
}

/// Compiles `wasm` into what `engine` can load. Blocks until it is done or has failed.
pub(super) fn compile(compiler: &Compiler, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, Invalid> {
    match compiler {
        Compiler::InProcess => engine.precompile_component(wasm).map_err(|error| refused(&format!("{error:#}"))),
        Compiler::ChildProcess { program, args } => in_child(program, args, wasm, WALL_MAX),
    }
}

fn refused(message: &str) -> Invalid {
    Invalid::new("invalid-component", "component", format!("can't be compiled: {message}"))
}

fn in_child(program: &Path, args: &[String], wasm: &[u8], wall: Duration) -> Result<Vec<u8>, Invalid> {
    let failed = |what: &str, error: std::io::Error| {
        Invalid::new("compile-failed", "component", format!("the host could not {what} its compiler: {error}"))
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        // mimalloc, if it is the program's allocator, reserves as much at its start as the child may have in all.
        .env("MIMALLOC_ARENA_RESERVE", "0")
        // How many processors it may use is in files that it can't read.
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("start", error))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
        unreachable!("all three were piped");
    };
    let (code, message, status) = std::thread::scope(|scope| {
        // The child may end before it has read everything; what counts then is how it ended.
        scope.spawn(move || drop(stdin.write_all(wasm)));
        let message = scope.spawn(move || read_some(stderr, MESSAGE_BYTES_MAX));
        let (done, wait) = mpsc::channel();
        scope.spawn(move || done.send(read_some(stdout, CODE_BYTES_MAX)));
        let code = wait.recv_timeout(wall).ok();
        if code.is_none() {
            drop(child.kill());
        }
        (code, message.join().unwrap_or_default(), child.wait())
    });
    let status = status.map_err(|error| failed("wait for", error))?;
    match code {
        Some(code) if status.success() => Ok(code),
        _ if status.code() == Some(REFUSED) => Err(refused(String::from_utf8_lossy(&message).trim())),
        _ if status.code() == Some(UNCONFINED) => {
            let message = String::from_utf8_lossy(&message);
            let reason = format!("{}; it needs resource limits and seccomp filters, which the host's system must allow", message.trim());
            Err(failed("confine", std::io::Error::other(reason)))
        }
        _ => Err(over_limit(code.is_none(), status)),
    }
}

fn read_some(from: impl Read, max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    drop(from.take(max).read_to_end(&mut bytes));
    bytes
}

fn over_limit(timed_out: bool, status: ExitStatus) -> Invalid {
    let how = if timed_out { "it was stopped".to_owned() } else { status.to_string() };
    let reason = format!(
        "compiling it takes more than {} s, {CPU_SECONDS_MAX} s of processor time or {} MiB ({how}); make its functions smaller",
        WALL_MAX.as_secs(),
        ADDRESS_SPACE_MAX >> 20,
    );
    Invalid::new("compile-limit", "component", reason)
}

/// What the compiling process does: a component on standard input, its machine code on standard output.
///
/// The program named in [`Compiler::ChildProcess`] calls this first thing, before it starts threads or opens files, and
/// exits with the status returned.
pub fn compile_child_main() -> std::process::ExitCode {
    if let Err(error) = confine() {
        eprintln!("{error}");
        return std::process::ExitCode::from(UNCONFINED as u8);
    }
    match compile_stream(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::from(REFUSED as u8)
        }
    }
}

fn compile_stream(input: impl Read, mut output: impl Write) -> wasmtime::Result<()> {
    let mut wasm = Vec::new();
    input.take(COMPONENT_BYTES_MAX as u64 + 1).read_to_end(&mut wasm)?;
    // The limits of attempts don't decide the code, so the default ones do.
    let code = super::engine::compiling(&Limits::default())?.precompile_component(&wasm)?;
    output.write_all(&code)?;
    output.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, wall: Duration) -> Result<Vec<u8>, Invalid> {
        in_child(Path::new("/bin/sh"), &["-c".into(), script.into()], &[7; 300_000], wall)
    }

    #[test]
    fn a_child_is_judged_by_how_it_ends() {
        let long = Duration::from_secs(30);
        assert_eq!(sh("cat", long).unwrap(), [7; 300_000]);
        assert_eq!(sh("cat >/dev/null; echo bad section >&2; exit 2", long).unwrap_err().reason, "can't be compiled: bad section");
        assert_eq!(
            sh("echo no filter >&2; exit 3", long).unwrap_err().reason,
            "the host could not confine its compiler: no filter; it needs resource limits and seccomp filters, which the host's system must allow"
        );
        for script in ["kill -9 $$", "kill -ABRT $$", "exit 101", "exit 1"] {
            assert_eq!(sh(script, long).unwrap_err().code, "compile-limit", "{script}");
        }
        assert_eq!(sh("exec sleep 100", Duration::from_millis(50)).unwrap_err().code, "compile-limit");
        let missing = in_child(Path::new("/nonexistent"), &[], b"", long).unwrap_err();
        assert_eq!(missing.code, "compile-failed");
    }

    #[test]
    fn what_a_child_makes_can_be_loaded() {
        let wasm = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
        let mut code = Vec::new();
        compile_stream(&wasm[..], &mut code).unwrap();
        let engine = super::super::engine::compiling(&Limits::default()).unwrap();
        super::super::component_cache::load_code(&engine, &code).unwrap();
        assert!(compile_stream(&wasm[..20], &mut Vec::new()).is_err());
    }
}
