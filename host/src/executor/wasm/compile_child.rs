//! What the process does that checks and compiles: a request and a component on its standard input, one answer on its standard output.
//!
//! The program named in [`Compiler::ChildProcess`](super::Compiler) calls [`compile_child_main`] first thing.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use crate::model::limits::{COMPONENT_BYTES_MAX, Limits};

use super::compile::refused;
use super::compile_request::{Answer, Request, Work};
use super::component_cache::engine_hash;
use super::confine::{Bounds, confine};
use super::engine;
use super::precheck::precheck;

/// The status by which the child says that it can't confine itself, and compiles nothing.
pub(super) const UNCONFINED: u8 = 3;

/// What the compiling process does.
///
/// The program calls this before it starts threads or opens files, and exits with the status returned.
pub fn compile_child_main() -> ExitCode {
    // Nothing but the host's own words is read before the process is confined.
    let mut input = io::stdin().lock();
    let Ok(request) = Request::read(&mut input) else {
        eprintln!("this command is for the host alone, which tells it what to do");
        return ExitCode::FAILURE;
    };
    let bounds = match request.work {
        Work::Check => Bounds::CHECK,
        Work::Compile => Bounds::COMPILE,
    };
    if let Err(error) = confine(bounds) {
        eprintln!("{error}");
        return ExitCode::from(UNCONFINED);
    }
    match serve(&request, input, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // The host is gone, or has heard enough.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Answers the request about the component that follows in `input`.
fn serve(request: &Request, input: impl Read, output: &mut impl Write) -> io::Result<()> {
    if request.wasm_bytes > COMPONENT_BYTES_MAX as u64 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut wasm = Vec::with_capacity(request.wasm_bytes as usize);
    input.take(request.wasm_bytes).read_to_end(&mut wasm)?;
    if wasm.len() as u64 != request.wasm_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (answer, hash) = match request.work {
        Work::Check => (precheck(&wasm, &request.limits).map_or_else(Answer::Refused, Answer::Outline), String::new()),
        Work::Compile => compile(&wasm).unwrap_or_else(|error| (Answer::Refused(refused(&format!("{error:#}"))), String::new())),
    };
    answer.write(&hash, output)?;
    output.flush()
}

fn compile(wasm: &[u8]) -> wasmtime::Result<(Answer, String)> {
    // The limits of attempts don't decide the code, so the default ones do.
    let engine = engine::compiling(&Limits::default())?;
    Ok((Answer::Code(engine.precompile_component(wasm)?), engine_hash(&engine)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(work: Work, wasm: &[u8], wasm_bytes: u64) -> io::Result<Answer> {
        let mut output = Vec::new();
        serve(&Request { work, wasm_bytes, limits: Limits::default() }, wasm, &mut output)?;
        Answer::read(&output[..], &engine_hash(&engine::compiling(&Limits::default()).unwrap()))
    }

    #[test]
    fn what_a_child_makes_can_be_loaded() {
        let wasm = wat::parse_str("(component (core module (func (export \"f\"))) (export \"x\" (core module 0)))").unwrap();
        let length = wasm.len() as u64;
        let Answer::Code(code) = ask(Work::Compile, &wasm, length).unwrap() else { panic!("code") };
        let engine = engine::compiling(&Limits::default()).unwrap();
        super::super::component_cache::load_code(&engine, &code).unwrap();
        let Answer::Outline(outline) = ask(Work::Check, &wasm, length).unwrap() else { panic!("an outline") };
        assert_eq!(outline.exports, ["x"]);
        for work in [Work::Check, Work::Compile] {
            assert!(matches!(ask(work, &wasm[..20], 20).unwrap(), Answer::Refused(refused) if refused.code == "invalid-component"));
            assert!(ask(work, &wasm[..20], length).is_err(), "the host died while it wrote");
            assert!(ask(work, &wasm, u64::MAX).is_err());
        }
    }
}
