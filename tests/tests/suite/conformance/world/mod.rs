//! A storage under test, the names by which a case calls its runs, and the claims it holds.
//!
//! Times are seconds after [`EPOCH`]. Nothing here waits for time to pass: what the storage does in its own threads is waited
//! for with `flush`.

mod timeline;

pub(crate) use timeline::{check, name, play};

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runlater::model::{
    Component, Digest, FailureReason, Grants, Name, NamespaceId, NewRun, Next, Origin, PolicySettings, Task, TaskDefinition, TaskPolicy,
    Write, WriteSet,
};
use runlater::storage::{Claim, Created, Finish, Registration, Storage, StorageError};
use runlater::{Metadata, Page, Payload, Run, RunFilter, RunId, Status, Timestamp};

/// Where a backend keeps its data.
pub(crate) trait Place: Send {
    /// Opens what is there, or begins anew.
    fn open(&self, now: Timestamp) -> Result<Arc<dyn Storage>, StorageError>;
    /// How much room it takes, in a unit of its own.
    fn size(&self) -> u64;
    /// A place that holds what would be found here if the host were struck dead now.
    fn after_crash(&self) -> Box<dyn Place>;
    /// A place made of the backup in this file.
    fn at(&self, backup: &Path) -> Box<dyn Place>;
}

/// Second 0 of every case: a round moment in 2033.
pub(crate) const EPOCH: i64 = 2_000_000_000_000_000;

/// The moment this many seconds after [`EPOCH`].
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(EPOCH + seconds * 1_000_000).expect("a moment of a test")
}

/// A storage under test.
pub(crate) struct World {
    pub(crate) place: Box<dyn Place>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) namespace: NamespaceId,
    pub(crate) other: NamespaceId,
    pub(crate) task: Arc<Task>,
    pub(crate) names: HashMap<String, RunId>,
    pub(crate) claims: Vec<Claim>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    /// An empty storage, opened at second 0, with two namespaces; `task` is registered in both.
    pub(crate) fn new(place: Box<dyn Place>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let storage = place.open(at(0)).expect("an empty place can be opened");
        let name = |text| Name::parse(text, "name").expect("a name");
        let namespace = runtime.block_on(storage.namespace(&name("default"), false)).unwrap().expect("it is there from the start").id;
        let other = runtime.block_on(storage.namespace(&name("other"), true)).unwrap().expect("it was made").id;
        let mut tasks = Vec::new();
        for owner in [namespace, other] {
            let task = (TaskDefinition::new(name("task")), TaskPolicy::default());
            tasks.extend(runtime.block_on(storage.register(registration(owner, b"component", vec![task]), at(0))).unwrap());
        }
        let task = tasks.swap_remove(0);
        let world = Self { place, storage, namespace, other, task, names: HashMap::new(), claims: Vec::new(), runtime };
        world.settle();
        world
    }

    /// Runs a call of the storage to its end.
    pub(crate) fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// Until what the storage does after an answer is done: the first flush may be answered before a loading that the
    /// second one has to wait for.
    pub(crate) fn settle(&self) {
        for _ in 0..2 {
            self.wait(self.storage.flush()).expect("the storage works");
        }
    }

    /// Registers `task` with this over the default policy.
    pub(crate) fn govern(&mut self, settings: &[(&str, &str)], now: i64) {
        let mut over = PolicySettings::default();
        settings.iter().for_each(|(field, value)| over.set(field, value).expect("a policy"));
        let task = (TaskDefinition::new(name("task")), TaskPolicy::default().with(&over).expect("a sound policy"));
        let registered = self.wait(self.storage.register(registration(self.namespace, b"component", vec![task]), at(now)));
        self.task = registered.expect("it can be registered").swap_remove(0);
        self.settle();
    }

    /// A run of `task` due at second `due`, with nothing else said.
    pub(crate) fn new_run(&self, due: i64, now: i64) -> NewRun {
        NewRun {
            id: self.storage.next_run_id(at(now)),
            task: self.task.clone(),
            trigger_at: at(due),
            input: Payload::null(),
            metadata: Metadata::default(),
            unique_key: None,
            idempotency: None,
            origin: Origin::Api,
            lineage: None,
            occurrence: None,
            max_attempts: None,
            timeout: None,
            priority: None,
        }
    }

    /// Stores runs that can't be refused.
    pub(crate) fn create(&self, runs: Vec<NewRun>, now: i64) -> Vec<RunId> {
        let created = self.wait(self.storage.create(self.namespace, runs, at(now))).expect("they can be stored");
        created.iter().map(Created::id).collect()
    }

    /// Takes due runs until there are `limit` or none is left, also those that must be read from the disk first.
    pub(crate) fn claim(&self, limit: usize, now: i64) -> Vec<Claim> {
        let mut claims = Vec::new();
        loop {
            if !claims.is_empty() {
                // A cautious host hands out what it took once that is committed. Asked before, it takes others meanwhile.
                self.settle();
            }
            let mut more = self.storage.claim(limit - claims.len(), at(now));
            // The first look may have what is due brought into memory, and the second, in cautious mode, its claim committed.
            for _ in 0..2 {
                if more.is_empty() {
                    self.settle();
                    more = self.storage.claim(limit - claims.len(), at(now));
                }
            }
            if more.is_empty() {
                self.storage.nudge();
                return claims;
            }
            claims.extend(more);
            if claims.len() == limit {
                self.storage.nudge();
                return claims;
            }
        }
    }

    /// Ends an attempt, and waits until that is durable.
    pub(crate) fn finish(&self, run: RunId, attempt: u32, next: Next, now: i64) {
        self.finish_with(run, attempt, next, WriteSet::default(), now);
    }

    /// Ends an attempt with writes.
    pub(crate) fn finish_with(&self, run: RunId, attempt: u32, next: Next, writes: WriteSet, now: i64) {
        self.storage.finish(self.end_of(run, attempt, next, writes, now), at(now));
        self.settle();
    }

    /// The end of an attempt that started at `now`.
    pub(crate) fn end_of(&self, run: RunId, attempt: u32, next: Next, writes: WriteSet, now: i64) -> Finish {
        let if_conflict = Next::Backoff { due_at: at(now + 10), reason: FailureReason::WriteConflict, message: String::new() };
        Finish { run, attempt, started_at: at(now), digest: self.task.digest, next, if_conflict, writes, log: Vec::new() }
    }

    /// Reads a run that must be there.
    pub(crate) fn get(&self, run: RunId, now: i64) -> Run {
        self.storage.get(self.namespace, run, at(now)).expect("it can be read").expect("it is there")
    }

    /// All runs of a namespace, in order of id.
    pub(crate) fn all(&self, namespace: NamespaceId, now: i64) -> Vec<Run> {
        let (mut runs, mut cursor) = (Vec::new(), None);
        loop {
            let page = Page::new(500, cursor, runlater::model::Order::OldestFirst).expect("a page");
            let (more, next) = self.storage.list(namespace, &RunFilter::default(), &page, at(now)).expect("it can be read");
            runs.extend(more);
            cursor = next;
            if cursor.is_none() {
                return runs;
            }
        }
    }

    /// Where a run stands.
    pub(crate) fn status(&self, run: RunId, now: i64) -> Status {
        self.get(run, now).status
    }

    /// How much room its data take.
    pub(crate) fn size(&self) -> u64 {
        self.place.size()
    }

    /// Stops the host in good order, and starts another one.
    pub(crate) fn reopen(&mut self, now: i64) {
        self.wait(self.storage.close()).expect("it stops");
        self.storage = self.place.open(at(now)).expect("it can be opened again");
        self.begun();
    }

    /// Goes on with what another host would find if this one died now.
    pub(crate) fn crash(&mut self, now: i64) {
        let place = self.place.after_crash();
        // The other host goes first, while its place is still there.
        self.storage = place.open(at(now)).expect("it can be opened again");
        self.place = place;
        self.begun();
    }

    fn begun(&mut self) {
        self.claims.clear();
        self.settle();
    }
}

/// A component of these bytes with these tasks.
pub(crate) fn registration(namespace: NamespaceId, wasm: &[u8], tasks: Vec<(TaskDefinition, TaskPolicy)>) -> Registration {
    let component = Component { digest: Digest::of(wasm), wasm: wasm.to_vec() };
    Registration { namespace, component, grants: Grants::none(), tasks, overrides: Default::default() }
}

/// A failure for which another attempt is planned.
pub(crate) fn backoff(due: i64) -> Next {
    Next::Backoff { due_at: at(due), reason: FailureReason::Returned, message: "no luck".into() }
}

/// A success without output.
pub(crate) fn succeeded() -> Next {
    Next::Succeeded { output: None }
}

/// These writes as one set.
pub(crate) fn write_set(writes: impl IntoIterator<Item = Write>) -> WriteSet {
    let mut set = WriteSet::default();
    writes.into_iter().for_each(|write| set.push(write).expect("within the limits"));
    set
}

/// JSON text of about this many bytes.
pub(crate) fn large(bytes: usize) -> Payload {
    Payload::json(format!("\"{}\"", "x".repeat(bytes - 2)).as_bytes(), "input").expect("it is JSON")
}

/// The moment in seconds after [`EPOCH`], as a timeline writes it.
pub(crate) fn seconds(moment: Timestamp) -> String {
    let micros = moment.as_micros() - EPOCH;
    let span = runlater::model::format_duration(Duration::from_micros(micros.unsigned_abs()));
    if micros < 0 { format!("-{span}") } else { span }
}
