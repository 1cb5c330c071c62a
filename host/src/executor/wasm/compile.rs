//! Checks components and turns them into machine code, in a process of its own or in this one.
//!
//! Called by the component cache, on a thread of its own. wasmtime promises nothing about the time and memory that hostile input costs its parser,
//! validator and compiler, so a server does all three in a child process with limits on both (`confine`). An embedder who wrote the
//! components may do without.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::cancel::CancelSignal;
use crate::model::Invalid;
use crate::model::limits::Limits;

use super::compile_child::UNCONFINED;
use super::compile_request::{Answer, Request, Work};
use super::component_cache::engine_hash;
use super::confine::Bounds;
use super::precheck::{Outline, precheck};

/// Threads of the compiling process: each takes some 50 MiB of its address space, so that of sixteen none would come to an end.
const THREADS_MAX: usize = 4;
/// Bytes of a child's last words that are read.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// How often the host looks whether a child that works must end.
const LOOK: Duration = Duration::from_millis(20);

/// Where components are checked and compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// In this process: for components that are trusted not to attack the parser, the validator and the compiler. The counts of parts and the
    /// validation are the same, but nothing bounds the memory and the time that they take.
    #[default]
    InProcess,
    /// In processes of their own: a check has 512 MiB of address space, 10 s of processor time and 120 s of wall time; compiling has 1 GiB, 60 s
    /// and 900 s. On Linux these processes have neither files nor sockets, and can't start programs.
    ChildProcess {
        /// The program to start: one that calls [`compile_child_main`](super::compile_child_main).
        program: PathBuf,
        /// What makes it do so.
        args: Vec<String>,
    },
}

/// What may be asked of a compiler.
pub(super) struct Job<'a> {
    pub(super) compiler: &'a Compiler,
    /// The engine that will load the code.
    pub(super) engine: &'a Engine,
    pub(super) limits: &'a Limits,
    /// Ends the work, and kills the process that does it.
    pub(super) stop: &'a CancelSignal,
}

impl Job<'_> {
    /// Parses, counts and validates `wasm`. Blocks until it is done or has failed.
    pub(super) fn check(&self, wasm: &[u8]) -> Result<Outline, Invalid> {
        match self.compiler {
            Compiler::InProcess => precheck(wasm, self.limits),
            Compiler::ChildProcess { program, args } => match self.in_child(program, args, Work::Check, wasm, Bounds::CHECK)? {
                Answer::Outline(outline) => Ok(outline),
                other => Err(unusable(other)),
            },
        }
    }

    /// Compiles `wasm` into what the engine can load. Blocks until it is done or has failed.
    pub(super) fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, Invalid> {
        match self.compiler {
            Compiler::InProcess => self.engine.precompile_component(wasm).map_err(|error| refused(&format!("{error:#}"))),
            Compiler::ChildProcess { program, args } => match self.in_child(program, args, Work::Compile, wasm, Bounds::COMPILE)? {
                Answer::Code(code) => Ok(code),
                other => Err(unusable(other)),
            },
        }
    }

    fn in_child(&self, program: &Path, args: &[String], work: Work, wasm: &[u8], bounds: Bounds) -> Result<Answer, Invalid> {
        let mut child = start(program, args).map_err(|error| failed("start", &error))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            unreachable!("all three were piped");
        };
        let request = Request { work, wasm_bytes: wasm.len() as u64, limits: self.limits.clone() };
        let hash = engine_hash(self.engine);
        let (answer, message, status) = std::thread::scope(|scope| {
            // The child may end before it has read everything; what counts then is how it ended.
            scope.spawn(move || drop(request.write(&mut stdin).and_then(|()| std::io::Write::write_all(&mut stdin, wasm))));
            let message = scope.spawn(move || read_some(stderr, MESSAGE_BYTES_MAX));
            let (done, wait) = mpsc::channel();
            scope.spawn(move || done.send(Answer::read(stdout, &hash)));
            let until = Instant::now() + bounds.wall;
            let late = || self.stop.is_set() || Instant::now() >= until;
            let answer = loop {
                match wait.recv_timeout(LOOK) {
                    Ok(answer) => break Some(answer),
                    Err(_) if late() => break None,
                    Err(_) => {}
                }
            };
            let stopped_short = |answer: &std::io::Result<Answer>| matches!(answer, Err(error) if error.kind() == ErrorKind::UnexpectedEof);
            let status = end(&mut child, answer.as_ref().is_some_and(stopped_short), late);
            (answer, message.join().unwrap_or_default(), status)
        });
        if self.stop.is_set() {
            return Err(stopping());
        }
        let status = status.map_err(|error| failed("wait for", &error))?;
        match answer {
            Some(Ok(Answer::Refused(invalid))) => Err(invalid),
            Some(Ok(answer)) => Ok(answer),
            _ if status.code() == Some(UNCONFINED.into()) => {
                let message = String::from_utf8_lossy(&message);
                let reason =
                    format!("{}; it needs resource limits and seccomp filters, which the host's system must allow", message.trim());
                Err(failed("confine", &std::io::Error::other(reason)))
            }
            // It said something else, or that all was well.
            Some(Err(error)) if error.kind() == ErrorKind::InvalidData || status.success() => Err(failed("understand", &error)),
            answer => Err(over_limit(work, bounds, answer.is_none(), status)),
        }
    }
}

fn start(program: &Path, args: &[String]) -> std::io::Result<Child> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    Command::new(program)
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
}

/// Ends the child. If it `ends_by_itself`, because its answer stopped short, how it ends says why, so it is waited for until it is `late`.
fn end(child: &mut Child, ends_by_itself: bool, late: impl Fn() -> bool) -> std::io::Result<ExitStatus> {
    while ends_by_itself && !late() {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
    drop(child.kill());
    child.wait()
}

fn read_some(from: impl Read, max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    drop(from.take(max).read_to_end(&mut bytes));
    bytes
}

pub(super) fn refused(message: &str) -> Invalid {
    Invalid::new("invalid-component", "component", format!("can't be compiled: {message}"))
}

/// The refusal of registrations while the host stops.
pub(super) fn stopping() -> Invalid {
    Invalid::new("shutting-down", "component", "the host is shutting down; register the component again when it is back")
}

fn failed(what: &str, error: &std::io::Error) -> Invalid {
    Invalid::new("compile-failed", "component", format!("the host could not {what} its compiler: {error}"))
}

/// The child answered a question that nobody asked.
fn unusable(answer: Answer) -> Invalid {
    let kind = match answer {
        Answer::Outline(_) => "an outline",
        Answer::Code(_) => "code",
        Answer::Refused(_) => "a refusal",
    };
    failed("understand", &std::io::Error::other(format!("it answered with {kind}")))
}

fn over_limit(work: Work, bounds: Bounds, timed_out: bool, status: ExitStatus) -> Invalid {
    let (verb, hint) = match work {
        Work::Check => ("checking", "nest types and instances less"),
        Work::Compile => ("compiling", "make its functions smaller"),
    };
    let how = if timed_out { "it was stopped".to_owned() } else { status.to_string() };
    let reason = format!(
        "{verb} it takes more than {} s, {} s of processor time or {} MiB ({how}); {hint}",
        bounds.wall.as_secs(),
        bounds.cpu_seconds,
        bounds.address_space >> 20,
    );
    Invalid::new("compile-limit", "component", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh_until(script: &str, wall: Duration, stop: &CancelSignal) -> Result<Answer, Invalid> {
        let (engine, limits) = (super::super::engine::compiling(&Limits::default()).unwrap(), Limits::default());
        let job = Job { compiler: &Compiler::InProcess, engine: &engine, limits: &limits, stop };
        job.in_child(Path::new("/bin/sh"), &["-c".into(), script.into()], Work::Compile, &[7; 300_000], Bounds { wall, ..Bounds::COMPILE })
    }

    fn sh(script: &str) -> Invalid {
        sh_until(script, Duration::from_secs(30), &CancelSignal::default()).unwrap_err()
    }

    #[test]
    fn a_child_is_judged_by_its_answer_and_its_end() {
        // Eight zero bytes of length do for a text of none.
        let refusal = r#"{"code":"invalid-component","reason":"bad section","seen":null}"#;
        let answer = format!("cat >/dev/null; printf 'RLA1\\002\\{:03o}\\0\\0\\0\\0\\0\\0\\0%s' '{refusal}'", refusal.len());
        assert_eq!(sh(&answer), Invalid::new("invalid-component", "component", "bad section"));
        // It need not end by itself then, nor read everything.
        assert_eq!(sh(&format!("{}; exec sleep 100 >&- 2>&-", answer.replace("cat >/dev/null; ", ""))).reason, "bad section");
        assert_eq!(
            sh("echo no filter >&2; exit 3").reason,
            "the host could not confine its compiler: no filter; it needs resource limits and seccomp filters, which the host's system must allow"
        );
        for script in ["kill -9 $$", "kill -ABRT $$", "exit 101", "exit 1"] {
            assert_eq!(sh(script).code, "compile-limit", "{script}");
        }
        for script in ["cat", "exit 0", "cat >/dev/null; echo RLA1"] {
            assert_eq!(sh(script).code, "compile-failed", "{script}");
        }
        let short = Duration::from_millis(50);
        assert_eq!(sh_until("exec sleep 100", short, &CancelSignal::default()).unwrap_err().code, "compile-limit");
        assert_eq!(sh_until("exec sleep 100 >&-", short, &CancelSignal::default()).unwrap_err().code, "compile-limit");
    }

    #[test]
    fn a_child_that_works_is_killed_when_the_host_stops() {
        let stop = CancelSignal::default();
        let told = std::thread::scope(|scope| {
            let told = scope.spawn(|| sh_until("exec sleep 100", Duration::from_secs(90), &stop));
            stop.set();
            told.join().unwrap().unwrap_err()
        });
        assert_eq!(told.code, "shutting-down");
    }

    #[test]
    fn a_program_that_is_missing_is_the_hosts_fault() {
        let compiler = Compiler::ChildProcess { program: "/nonexistent".into(), args: Vec::new() };
        let (engine, limits) = (super::super::engine::compiling(&Limits::default()).unwrap(), Limits::default());
        let job = Job { compiler: &compiler, engine: &engine, limits: &limits, stop: &CancelSignal::default() };
        assert_eq!((job.check(b"").unwrap_err().code, job.compile(b"").unwrap_err().code), ("compile-failed", "compile-failed"));
    }
}
