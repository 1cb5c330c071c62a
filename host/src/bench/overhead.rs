//! What one isolated run costs under the host, beside what the platform itself costs.

use std::sync::Arc;
use std::time::Instant;

use super::{Bare, Bench, input};
use crate::clock::SystemClock;
use crate::executor::wasm::{WasmConfig, WasmExecutor};
use crate::executor::{AttemptRequest, ComponentSource, Executor, forbidden_calls};
use crate::model::{Digest, Grants, Metadata, Name, NamespaceId, Origin, Outcome, RunId, Task, TaskId, TaskPolicy, Timestamp};
use crate::scheduler::Error;

/// The one component there is.
struct Only(Arc<[u8]>);

impl ComponentSource for Only {
    fn load(&self, _digest: &Digest) -> Result<Arc<[u8]>, String> {
        Ok(self.0.clone())
    }
}

/// A source of this component and no other.
pub(super) fn only(wasm: Arc<[u8]>) -> Arc<dyn ComponentSource> {
    Arc::new(Only(wasm))
}

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let bare = Bare::new(&bench.subject.wasm)?;
    let payload = input();
    let (repeats, calls) = (bench.plan.repeats, bench.plan.calls);
    let executor = WasmExecutor::new(WasmConfig::default(), Arc::new(SystemClock::new()), only(bench.subject.wasm.clone()));
    let executor = Arc::new(executor.map_err(|error| Error::Start(error.to_string()))?);
    let task = Arc::new(task(&bench.subject.wasm));
    let (mut one, mut two, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms caches and pools, and is not counted.
    for round in 0..=repeats {
        let micros = |span: std::time::Duration| span.as_secs_f64() * 1e6;
        let figures = [
            micros(bare.measure("touch", payload.bytes(), 1, calls)),
            micros(bare.measure("touch", payload.bytes(), 2, calls)),
            execute(&executor, &task, calls).await,
        ];
        if round > 0 {
            one.push(figures[0]);
            two.push(figures[1]);
            ours.push(figures[2]);
        }
    }
    bench.report.add("bare.instance_us_1t", "bare store + instance + call + drop, one thread, µs", one);
    bench.report.add("bare.instance_us_2t", "the same on two threads, wall µs for each", two);
    bench.report.add("attempt_us", "an attempt under the host, one thread, µs", ours);
    bench.report.add_ratio("overhead_ratio", "attempt ÷ bare instance", "attempt_us", "bare.instance_us_1t");
    Ok(())
}

/// Microseconds of one attempt of `touch`, over `calls` of them.
async fn execute(executor: &Arc<WasmExecutor>, task: &Arc<Task>, calls: usize) -> f64 {
    let metadata = Arc::new(Metadata::default());
    let start = Instant::now();
    for attempt in 0..calls {
        let request = AttemptRequest {
            task: task.clone(),
            run: RunId::from_key(attempt as i64, 0),
            attempt: 1,
            input: input(),
            metadata: metadata.clone(),
            origin: Origin::Api,
            parent: None,
            trigger_at: Timestamp::MIN,
            timeout: task.policy.timeout,
            cancel: Default::default(),
            shut_down: Default::default(),
            calls: forbidden_calls(),
        };
        let report = executor.execute(request).await;
        assert!(matches!(report.outcome, Outcome::Done(_)), "the measured task fails: {:?}", report.outcome);
    }
    start.elapsed().as_secs_f64() * 1e6 / calls as f64
}

fn task(wasm: &[u8]) -> Task {
    Task {
        id: TaskId(1),
        namespace: NamespaceId(1),
        name: Name::parse("touch", "task").expect("it is a name"),
        digest: Digest::of(wasm),
        grants: Grants::none(),
        description: None,
        input_schema: None,
        policy: TaskPolicy::default(),
        overrides: Default::default(),
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
        pause: None,
    }
}
