//! One attempt: a store of its own, one call of `handle`, and a report.
//!
//! Called by the executor with a component that is ready. Knows neither caches nor compiling.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::executor::{AttemptReport, AttemptRequest};
use crate::model::{Invalid, Outcome, RunId, Timestamp, WriteSet};

use super::Host;
use super::bindings::{TasksPre, types};
use super::capacity::Reservation;
use super::limiter::{Limiter, Reserved};
use super::log::LogSink;
use super::outcome::{Fault, TooManyHostCalls, outcome};
use super::reach::Reach;
use super::sockets::AttemptSockets;
use super::wasi;
use super::watch::{Watch, until_ended};

/// What the host keeps for one attempt while it runs: the data of its store. An embedder's own imports are given it.
pub struct AttemptState {
    pub(super) request: AttemptRequest,
    pub(super) host: Arc<Host>,
    pub(super) started_at: Timestamp,
    pub(super) table: ResourceTable,
    pub(super) limiter: Limiter,
    host_calls: u64,
    /// Made when the guest first writes to it, or asks WASI for anything: most tasks do neither.
    log: Option<LogSink>,
    wasi: Option<Box<WasiCtx>>,
    /// Where it may connect to. Made when it first asks.
    reach: Option<Arc<Reach>>,
    /// Made with the first socket. After the table, so that sockets are closed before they are given back.
    sockets: Option<AttemptSockets>,
    /// What a setter refused first, should the guest ignore it.
    pub(super) refused_definition: Option<Invalid>,
}

impl AttemptState {
    pub(super) fn new(host: &Arc<Host>, request: AttemptRequest, reservation: Reservation) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(host.limits.handles);
        let reserved = Reserved {
            capacity: Arc::clone(&host.capacity),
            clock: Arc::clone(&host.clock),
            run: request.run,
            reservation: Some(reservation),
        };
        Self {
            request,
            started_at: host.clock.now(),
            table,
            limiter: Limiter::new(&host.limits, reserved),
            host_calls: 0,
            log: None,
            wasi: None,
            reach: None,
            sockets: None,
            refused_definition: None,
            host: Arc::clone(host),
        }
    }

    /// The run that is executed.
    pub fn run(&self) -> RunId {
        self.request.run
    }

    /// The attempt's number.
    pub fn attempt(&self) -> u32 {
        self.request.attempt
    }

    /// The task that is executed.
    pub fn task(&self) -> &crate::model::Task {
        &self.request.task
    }

    /// Where host resources are kept. Bounded by the limit on handles.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Appends to the attempt's log.
    pub fn write_log(&mut self, bytes: &[u8]) {
        self.log_sink().write(bytes);
    }

    /// Counts one call of our interfaces.
    pub(super) fn count_call(&mut self) -> wasmtime::Result<()> {
        self.host_calls += 1;
        self.check_calls()
    }

    /// Whether the guest may make further calls. What it asks of WASI is counted there, and ends here, at the next epoch.
    fn check_calls(&self) -> wasmtime::Result<()> {
        if self.host_calls > self.host.limits.host_calls {
            return Err(TooManyHostCalls(self.host.limits.host_calls).into());
        }
        Ok(())
    }

    /// The end of what the guest wrote to stderr.
    pub(super) fn said(&self) -> String {
        self.log.as_ref().map(LogSink::stderr_end).unwrap_or_default()
    }

    /// The same, or the end of the log if nothing was written to stderr: for a call whose log is not kept.
    pub(super) fn said_or_logged(&self) -> String {
        let log_end = || self.log.as_ref().map(LogSink::log_end).unwrap_or_default();
        Some(self.said()).filter(|said| !said.is_empty()).unwrap_or_else(log_end)
    }

    pub(super) fn take_log(&mut self) -> Vec<u8> {
        self.log.take().map(|log| log.take()).unwrap_or_default()
    }

    pub(super) fn open_sockets(&mut self) -> &mut AttemptSockets {
        self.sockets.get_or_insert_with(|| AttemptSockets::new(&self.host.sockets, self.request.task.namespace, self.host.limits.sockets))
    }

    /// Where the guest may connect to.
    pub(super) fn reach(&mut self) -> &Arc<Reach> {
        self.reach.get_or_insert_with(|| Arc::new(Reach::of(&self.request.task.grants)))
    }

    fn log_sink(&mut self) -> &LogSink {
        self.log.get_or_insert_with(|| LogSink::new(self.host.limits.log_bytes))
    }
}

impl WasiView for AttemptState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // WASI asks for its context in each of its calls, and can't be refused it.
        self.host_calls += 1;
        if self.wasi.is_none() {
            let (log, reach) = (self.log_sink().clone(), Arc::clone(self.reach()));
            let wasi = wasi::context(&reach, &self.host.limits, &self.host.clock, &self.host.listeners, &log);
            self.wasi = Some(Box::new(wasi));
        }
        let Some(ctx) = &mut self.wasi else { unreachable!("it was made above") };
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// A store for one call into a guest: bounded, and yielding at every epoch.
pub(super) fn store(state: AttemptState) -> Store<AttemptState> {
    let (engine, hostcall_bytes) = (state.host.engine.clone(), state.host.limits.hostcall_bytes);
    let mut store = Store::new(&engine, state);
    store.limiter_async(|state| &mut state.limiter);
    store.set_hostcall_fuel(hostcall_bytes);
    // The guest yields at each epoch; whether there is time for it to go on is decided where it is polled.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| context.data().check_calls().map(|()| UpdateDeadline::Yield(1)));
    store
}

/// Executes the attempt, for which was reserved what it needs to start.
pub(super) async fn execute(
    host: &Arc<Host>,
    tasks: &TasksPre<AttemptState>,
    request: AttemptRequest,
    reservation: Reservation,
) -> AttemptReport {
    let task = Arc::clone(&request.task);
    let (timeout, run) = (request.timeout, request.run);
    let watch = Watch {
        clock: &*host.clock,
        deadline: host.clock.elapsed().saturating_add(timeout),
        cancel: request.cancel.clone(),
        grace: task.policy.cancel_grace,
        shut_down: request.shut_down.clone(),
    };
    let input = types::Payload { media_type: request.input.media_type().to_owned(), bytes: request.input.bytes().to_vec() };
    let mut store = store(AttemptState::new(host, request, reservation));
    let _epochs_advance = host.epochs.attempt();
    let call = async {
        let instance = tasks.instantiate_async(&mut store).await?;
        instance.runlater_scheduler_task().call_handle(&mut store, task.name.as_str(), &input).await
    };
    let ended = until_ended(call, watch).await;
    let state = store.data_mut();
    let ended = ended.map_err(|fault| fault.or_in_want(state.limiter.wanted()));
    let said = if matches!(ended, Err(Fault::Trapped(_))) { state.said() } else { String::new() };
    let outcome = outcome(ended, state.limiter.refused(), &host.limits, timeout, &said);
    let writes = match outcome {
        Outcome::Done(_) | Outcome::Snooze(_) => state.request.calls.take_writes(),
        // None of them happened.
        Outcome::Failed { .. } | Outcome::Cancelled | Outcome::ShutDown | Outcome::NoRoom => WriteSet::default(),
    };
    let report = AttemptReport { outcome, started_at: state.started_at, writes, log: state.take_log() };
    let (reservation, took, wanted) = (state.limiter.take_reservation(), state.limiter.bytes(), state.limiter.wanted());
    // Before what it had is somebody else's: that one takes it out of the pool.
    drop(store);
    if let Some(reservation) = reservation {
        match (&report.outcome, wanted) {
            (Outcome::NoRoom, Some(wanted)) => reservation.end_in_want(run, wanted as u64),
            _ => reservation.end(task.id, run, took as u64),
        }
    }
    report
}
