//! Tasks that declare how their runs are treated, so that a test of the host can see that it is done.

use runlater_task::UniqueMode;
use runlater_task::prelude::*;

#[derive(Deserialize, Serialize, JsonSchema)]
struct Order {
    customer: Customer,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Customer {
    id: u32,
}

/// Says everything that can be said.
#[task(
    max_attempts = 3,
    retry_delays = "1s, 10s",
    timeout = "30s",
    priority = 2,
    concurrency = 1,
    concurrency_per_task = 10,
    overlap = "buffer-one",
    lane = "input.customer.id",
    rate = "10/m",
    missed = "all",
    missed_window = "3d",
    missed_max = 7,
    start_deadline = "5m",
    cancel_grace = "1s",
    on_failure = "alert",
    keep_for = "7d",
    keep_last = 1000
)]
fn everything(input: Order) -> Result<u32, Failure> {
    Ok(input.customer.id)
}

/// Never succeeds.
#[task(max_attempts = 3, retry_delays = "5s,60s", on_failure = "alert")]
fn fails(input: Order, run: &Run) -> Result<(), Failure> {
    Err(Failure::retry(format!("customer {}, attempt {}", input.customer.id, run.attempt())))
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Failed {
    run: String,
    task: String,
    reason: String,
    attempts: u32,
    input: Order,
}

/// Returns what it is told of a failed run.
#[task]
fn alert(failed: Failed) -> Result<Failed, Failure> {
    Ok(failed)
}

/// Runs after all when it was missed, once.
#[task(missed = "latest")]
fn daily() -> Result<(), Failure> {
    Ok(())
}

/// Runs as often as it was missed.
#[task(missed = "all", missed_window = "2d", missed_max = 2)]
fn ledger() -> Result<(), Failure> {
    Ok(())
}

/// Is forgotten a minute after it has ended.
#[task(keep_for = "1m", keep_last = 2)]
fn brief() -> Result<(), Failure> {
    Ok(())
}

/// Schedules a run with an input that does not fit.
#[task(max_attempts = 1)]
fn misfit() -> Result<String, Failure> {
    match schedule("fails").send(&serde_json::json!({"customer": {"id": "seven"}})) {
        Err(runlater_task::Error::Invalid { field, .. }) => Ok(field),
        other => Err(Failure::reject(format!("{other:?}"))),
    }
}

#[derive(Deserialize, JsonSchema)]
struct Keyed {
    mode: String,
    customer: u32,
    /// For how many seconds after the end of its run the key is held.
    held_for: Option<u32>,
    /// Whether the runs are stored at once.
    detached: Option<bool>,
}

/// Schedules `everything` twice under one key, for an hour from now unless the key says otherwise, and returns both ids. The second time it
/// is for the next customer, except where only an equal request gets the run there is.
#[task(max_attempts = 1)]
fn keyed(input: Keyed) -> Result<Vec<RunId>, Failure> {
    let (mode, next) = match input.mode.as_str() {
        "existing" => (UniqueMode::Existing, input.customer),
        "reject" => (UniqueMode::Reject, input.customer + 1),
        "replace" => (UniqueMode::Replace, input.customer + 1),
        _ => (UniqueMode::Debounce { wait: minutes(1), max_wait: minutes(5) }, input.customer + 1),
    };
    let send = |customer| {
        let detached = input.detached == Some(true);
        let mut run = if detached { schedule("everything") } else { schedule("everything").unique("order", mode) };
        if !matches!(mode, UniqueMode::Debounce { .. }) {
            run = run.after(hours(1));
        }
        if let Some(span) = input.held_for {
            run = run.unique_for(seconds(span.into()));
        }
        let order = Order { customer: Customer { id: customer } };
        if detached { run.send_detached("order", &order) } else { run.send(&order) }
    };
    Ok(vec![send(input.customer)?, send(next)?])
}

#[derive(Deserialize, JsonSchema)]
struct Audience {
    to: Option<String>,
}

/// Has a cron of which everything is said.
#[task(cron(
    key = "nightly",
    expression = "0 2 * * *",
    timezone = "Europe/Prague",
    start = "2030-01-01T00:00:00Z",
    end = "2031-01-01T00:00:00Z",
    max_count = 9,
    jitter = "5m",
    input = "{\"to\":\"all\"}",
    metadata = "team=billing, tier=gold",
    priority = 2,
    missed = "all",
    missed_window = "2d",
    missed_max = 5
))]
fn strict(input: Audience) -> Result<Option<String>, Failure> {
    Ok(input.to)
}

export_tasks!(strict, everything, fails, alert, daily, ledger, brief, misfit, keyed);
