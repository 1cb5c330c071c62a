//! What the executor promises, tried with small guests written in the text format.
//!
//! A case is the body of `handle` (or `describe`) in a module that is otherwise sound: see [`Guest`]. The guests that authors would
//! write, in Rust, are tried in the workspace's own suite.

mod attempts;
mod cache;
mod capacity;
mod damage;
mod hostile;
mod kept;
mod registration;
mod said;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::clock::SystemClock;
use crate::executor::{CallError, CronCalls, HostCalls, PauseCalls, ScheduleRequest, Selected};
use crate::model::{
    BulkChange, BulkFilter, Cron, CronFilter, CronSettings, Cursor, Due, Existing, Grant, Grants, Metadata, Name, NamespaceId, Occurrence,
    Origin, Page, Pause, Payload, Progress, Run, RunFilter, RunId, Task, TaskId, TaskPolicy, Timestamp, UniqueKey, Write,
};

/// The parts of WASI that the guests here use, and an interface of an embedder.
const OTHERS: &str = r#"
    package test:guest;
    package wasi:io@0.2.0 {
        interface poll { resource pollable { block: func(); } }
        interface error { resource error; }
        interface streams {
            use error.{error};
            variant stream-error { last-operation-failed(error), closed }
            resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
        }
    }
    package wasi:clocks@0.2.0 {
        interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; subscribe-duration: func(when: u64) -> pollable; }
    }
    package wasi:random@0.2.0 { interface insecure { get-insecure-random-bytes: func(len: u64) -> list<u8>; } }
    package wasi:cli@0.2.0 {
        interface exit { exit: func(status: result); }
        interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
    }
    package acme:billing@1.0.0 { interface api { charge: func() -> u32; } }
"#;
const WORLD: &str = r#"
    package test:guests;
    world guest {
        include runlater:scheduler/tasks@0.1.0;
        import wasi:clocks/monotonic-clock@0.2.0;
        import wasi:random/insecure@0.2.0;
        import wasi:cli/exit@0.2.0;
        import wasi:cli/stderr@0.2.0;
        import acme:billing/api@1.0.0;
    }
"#;

/// A guest in parts. The result of `handle` lies at address 0, which is zero unless the body writes there: `ok(done(none))`.
#[derive(Clone, Copy)]
struct Guest<'a> {
    imports: &'a str,
    describe: &'a str,
    handle: &'a str,
    more: &'a str,
    realloc: &'a str,
    strings: wit_component::StringEncoding,
}

/// Describes one task, `remind`.
const ONE_TASK: &str = "
    (i32.store (i32.const 512) (call $new (i32.const 1024) (i32.const 6)))
    (i32.store (i32.const 520) (i32.const 512))
    (i32.store (i32.const 524) (i32.const 1))
    (i32.const 520)";

const SOUND: Guest<'static> =
    Guest { imports: "", describe: ONE_TASK, handle: "", more: "", realloc: "", strings: wit_component::StringEncoding::UTF8 };

impl Guest<'_> {
    fn build(&self) -> Arc<[u8]> {
        let Self { imports, describe, handle, more, realloc, strings } = self;
        let core = format!(
            r#"(module
                (import "runlater:scheduler/definition@0.1.0" "[constructor]task-definition" (func $new (param i32 i32) (result i32)))
                {imports}
                (memory (export "memory") 64)
                (data (i32.const 1024) "remind")
                (data (i32.const 1040) "019a0c5e-7b3c-7def-8123-456789abcdef")
                (global $next (mut i32) (i32.const 4096))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    {realloc}
                    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -8)))
                    (global.get $next)
                    (global.set $next (i32.add (global.get $next) (local.get 3))))
                (func (export "runlater:scheduler/task@0.1.0#describe") (result i32) {describe})
                (func (export "runlater:scheduler/task@0.1.0#handle") (param i32 i32 i32 i32 i32 i32) (result i32)
                    {handle} (i32.const 0))
                {more})"#
        );
        let mut module = wat::parse_str(core).expect("the test's own text");
        let mut resolve = wit_parser::Resolve::default();
        let (ours, _) = resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
        let _ = ours;
        resolve.push_str("others.wit", OTHERS).unwrap();
        let package = resolve.push_str("world.wit", WORLD).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, *strings).unwrap();
        let encoder = wit_component::ComponentEncoder::default().module(&module).unwrap();
        encoder.validate(false).encode().unwrap().into()
    }
}

fn handle(handle: &str) -> Guest<'_> {
    Guest { handle, ..SOUND }
}

/// Components by digest, and how often one was asked for.
#[derive(Default)]
struct Components {
    all: Mutex<HashMap<Digest, Arc<[u8]>>>,
    loads: std::sync::atomic::AtomicUsize,
}

impl Components {
    fn add(&self, wasm: &Arc<[u8]>) -> Digest {
        let digest = Digest::of(wasm);
        self.all.lock().unwrap().insert(digest, Arc::clone(wasm));
        digest
    }
}

impl ComponentSource for Components {
    fn load(&self, digest: &Digest) -> Result<Arc<[u8]>, String> {
        self.loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.all.lock().unwrap().get(digest).cloned().ok_or_else(|| format!("no component {digest}"))
    }
}

/// An executor with what it needs.
struct Host {
    executor: WasmExecutor,
    components: Arc<Components>,
}

impl Host {
    fn new() -> Self {
        Self::with(WasmConfig::default(), Arc::new(SystemClock::new()))
    }

    fn with(config: WasmConfig, clock: Arc<dyn Clock>) -> Self {
        let components = Arc::new(Components::default());
        let executor = WasmExecutor::new(WasmConfig { attempts_at_once: 8, ..config }, clock, Arc::clone(&components) as _).unwrap();
        Self { executor, components }
    }

    /// A request to execute this guest, with all of our interfaces and 30 s.
    fn request(&self, guest: Guest<'_>) -> AttemptRequest {
        request(self.components.add(&guest.build()))
    }

    async fn run(&self, guest: Guest<'_>) -> AttemptReport {
        self.executor.execute(self.request(guest)).await
    }
}

/// A task of nothing.
pub(super) fn task() -> Arc<Task> {
    request(Digest::from_bytes([0; 32])).task
}

fn request(digest: Digest) -> AttemptRequest {
    let task = Task {
        id: TaskId(1),
        namespace: NamespaceId(1),
        name: Name::parse("remind", "task").unwrap(),
        digest,
        grants: [Grant::Runs].into_iter().collect(),
        description: None,
        input_schema: None,
        policy: TaskPolicy::default(),
        overrides: Default::default(),
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
        pause: None,
    };
    AttemptRequest {
        task: Arc::new(task),
        run: RunId::from_key(7, 7),
        attempt: 1,
        input: Payload::null(),
        metadata: Arc::new(Metadata::default()),
        origin: Origin::Api,
        parent: None,
        trigger_at: Timestamp::MIN,
        timeout: Duration::from_secs(30),
        cancel: CancelSignal::default(),
        shut_down: CancelSignal::default(),
        calls: Box::new(Recorder::default()),
    }
}

/// The one run that a [`Recorder`] has.
const LARGE_RUN: &str = "019a0c5e-7b3c-7def-8123-456789abcde0";

/// A run with an input of 250 KiB, or with one of a few bytes.
fn stored_run(id: RunId, large: bool) -> Run {
    Run {
        id,
        task: Name::parse("remind", "task").unwrap(),
        status: crate::model::Status::Scheduled,
        reason: None,
        message: None,
        because: None,
        trigger_at: Timestamp::MIN,
        due_at: Some(Timestamp::MIN),
        created_at: Timestamp::MIN,
        started_at: None,
        finished_at: None,
        attempts: 0,
        failures: 0,
        max_attempts: None,
        timeout: None,
        cancel_requested: false,
        priority: 1,
        origin: Origin::Api,
        parent: None,
        root: None,
        on_failure: false,
        metadata: Metadata::default(),
        unique_key: None,
        input: if large { Payload::new("text/plain", &[b'x'; 250 << 10], "input").unwrap() } else { Payload::null() },
        output: None,
        progress: None,
        occurrence: None,
    }
}

/// Takes deletions as writes, has one large run and pages full of small ones, panics when asked for another run, and forbids the rest.
#[derive(Default)]
struct Recorder(WriteSet);

#[async_trait]
impl HostCalls for Recorder {
    async fn schedule(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(CallError::Unavailable)
    }

    async fn schedule_detached(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(CallError::Unavailable)
    }

    fn get(&mut self, run: RunId) -> Result<Run, CallError> {
        assert_eq!(run.to_string(), LARGE_RUN, "the storage is on fire");
        Ok(stored_run(run, true))
    }

    fn find_by_unique_key(&mut self, _key: &UniqueKey) -> Result<Option<Existing>, CallError> {
        Err(CallError::Unavailable)
    }

    async fn list(&mut self, _filter: &RunFilter, page: &Page) -> Result<(Vec<Run>, Option<Cursor>), CallError> {
        Ok(((0..page.size()).map(|_| stored_run(RunId::from_key(1, 1), false)).collect(), None))
    }

    fn reschedule(&mut self, _run: RunId, _due: Due) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn shift(&mut self, _run: RunId, _micros: i64) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn delete(&mut self, run: RunId) -> Result<(), CallError> {
        self.0.push(Write::Delete(run)).map_err(|(limit, max, asked)| CallError::Limit { limit, max, asked })
    }

    fn cancel(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn trigger(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    async fn select(&mut self, _filter: &BulkFilter, _change: BulkChange) -> Result<Selected, CallError> {
        Ok(Selected::default())
    }

    fn progress(&mut self, _progress: Progress) {}

    fn take_writes(&mut self) -> WriteSet {
        std::mem::take(&mut self.0)
    }
}

#[async_trait]
impl CronCalls for Recorder {
    async fn next_of_cron(&mut self, _name: &Name, _count: usize) -> Result<Vec<Occurrence>, CallError> {
        Err(CallError::Unavailable)
    }

    async fn create_cron(&mut self, _name: Name, _task: Name, _settings: CronSettings) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn cron(&mut self, _name: &Name) -> Result<Cron, CallError> {
        Err(CallError::Unavailable)
    }

    async fn crons(&mut self, _filter: &CronFilter) -> Result<(Vec<Cron>, Option<Name>), CallError> {
        Err(CallError::Unavailable)
    }

    async fn update_cron(&mut self, _name: &Name, _settings: CronSettings) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn pause_cron(&mut self, _name: &Name, _until: Option<Timestamp>, _note: &str) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn resume_cron(&mut self, _name: &Name) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn delete_cron(&mut self, _name: &Name) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    async fn trigger_cron(&mut self, _name: &Name) -> Result<RunId, CallError> {
        Err(CallError::Unavailable)
    }

    async fn backfill_cron(&mut self, _name: &Name, _from: Timestamp, _until: Timestamp) -> Result<u32, CallError> {
        Err(CallError::Unavailable)
    }
}

impl PauseCalls for Recorder {
    fn pause(&mut self, _task: &Name) -> Result<Option<Pause>, CallError> {
        Err(CallError::Unavailable)
    }

    fn pause_task(&mut self, _task: &Name, _until: Option<Timestamp>, _note: &str) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }

    fn resume_task(&mut self, _task: &Name) -> Result<(), CallError> {
        Err(CallError::Unavailable)
    }
}

/// The outcome as `code: message`, or as the word for it.
fn words(report: &AttemptReport) -> String {
    match &report.outcome {
        Outcome::Done(output) => format!("done {:?}", output.as_ref().map(|output| String::from_utf8_lossy(output.bytes()).into_owned())),
        Outcome::Failed { reason, message, .. } => format!("{}: {message}", reason.code()),
        other => format!("{other:?}"),
    }
}
