//! Compiled guests in the victim: the executor of every host, which tells what happens as the scripts do.
//!
//! The guest is the task `work` of `guest-tasks/behaviours`, which does the same as the script of this name. Its own outcome decides; only
//! what a success returns is put in its place, so that the ledger can tell one execution from another.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use runlater::SystemClock;
use runlater::executor::wasm::{WasmConfig, WasmExecutor};
use runlater::executor::{AttemptReport, AttemptRequest, ComponentSource, Executor, Inspection};
use runlater::model::{Digest, Invalid, Outcome, TaskDefinition, Write};
use runlater::{Payload, RunId};

use super::ledger::Entry;
use super::victim::{next_execution, now};

/// Attempts in flight: more than the load has.
const ATTEMPTS_AT_ONCE: u32 = 64;

/// Executes the one component there is, and tells.
pub(super) struct Telling(WasmExecutor);

impl Telling {
    /// Its compiled code is kept in this folder, for the next life.
    pub(super) fn new(wasm: Arc<[u8]>, code: &Path) -> Self {
        let config = WasmConfig {
            attempts_at_once: ATTEMPTS_AT_ONCE,
            cache_dir: Some(code.to_owned()),
            cache_key: [7; 32],
            ..WasmConfig::default()
        };
        Self(WasmExecutor::new(config, Arc::new(SystemClock::new()), Arc::new(OneComponent(wasm))).expect("it can be set up"))
    }
}

struct OneComponent(Arc<[u8]>);

impl ComponentSource for OneComponent {
    fn load(&self, digest: &Digest) -> Result<Arc<[u8]>, String> {
        (Digest::of(&self.0) == *digest).then(|| self.0.clone()).ok_or_else(|| format!("there is no component {digest}"))
    }
}

#[async_trait]
impl Executor for Telling {
    async fn inspect(&self, inspection: Inspection) -> Result<Vec<TaskDefinition>, Invalid> {
        self.0.inspect(inspection).await
    }

    async fn execute(&self, attempt: AttemptRequest) -> AttemptReport {
        let execution = next_execution();
        let (run, number) = (attempt.run, attempt.attempt);
        Entry::Started(run, number, execution, now()).tell();
        let mut report = self.0.execute(attempt).await;
        for (child, key) in detached(&report.log) {
            Entry::Detached(child, key).tell();
        }
        let how = match &report.outcome {
            Outcome::Done(_) => "ok",
            Outcome::Snooze(_) => "snooze",
            Outcome::Failed { .. } => "fail",
            // It did not return.
            _ => return report,
        };
        let children = report.writes.iter().filter_map(|write| match write {
            Write::Schedule(run) => Some(run.id),
            _ => None,
        });
        Entry::Returned(run, number, execution, how.into(), children.collect()).tell();
        if how == "ok" {
            report.outcome = Outcome::Done(Some(Payload::from_value(&execution, "output").expect("a number is JSON")));
        }
        report
    }
}

/// The detached runs that a guest was told are stored, as it said on its standard output.
fn detached(log: &[u8]) -> Vec<(RunId, String)> {
    let log = String::from_utf8_lossy(log);
    let said = log.lines().filter_map(|line| line.strip_prefix("detached ")?.split_once(' '));
    said.map(|(run, key)| (RunId::parse(run, "run").expect("a guest says ids"), key.to_owned())).collect()
}
