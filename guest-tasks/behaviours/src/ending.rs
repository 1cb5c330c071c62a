//! How an attempt ends, and how long it takes to.

use runlater_task::prelude::*;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct FailUntil {
    /// The first attempt that succeeds.
    attempt: u32,
}

/// Fails until the given attempt, and returns which one that was.
#[task(name = "fail-until")]
pub(crate) fn fail_until(input: FailUntil, run: &Run) -> Result<u32, Failure> {
    let attempt = run.attempt();
    if attempt < input.attempt {
        return Err(Failure::retry(format!("attempt {attempt} of {} fails", input.attempt)));
    }
    Ok(attempt)
}

/// Fails, whatever the attempt.
#[task(name = "fail-always")]
pub(crate) fn fail_always() -> Result<(), Failure> {
    Err(Failure::retry("always"))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Millis {
    ms: u64,
}

/// Fails once and asks for this delay, then succeeds.
#[task(name = "retry-after")]
pub(crate) fn retry_after(input: Millis, run: &Run) -> Result<(), Failure> {
    if run.attempt() == 1 { Err(Failure::retry("not yet").after(milliseconds(input.ms))) } else { Ok(()) }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Reason {
    reason: String,
}

impl Default for Reason {
    fn default() -> Self {
        Reason { reason: "rejected".to_owned() }
    }
}

/// Fails for good.
#[task]
pub(crate) fn reject(input: Reason) -> Result<(), Failure> {
    Err(Failure::reject(input.reason))
}

/// Does nothing, under a name that stands in addresses.
#[task]
pub(crate) fn crons() -> Result<(), Failure> {
    Ok(())
}

/// Snoozes once for this long, then succeeds. Leaves a run of `touch` behind, a day ahead, to know that it did.
#[task(name = "snooze-once")]
pub(crate) fn snooze_once(input: Millis, run: &Run) -> Result<Outcome<&'static str>, Failure> {
    // An attempt can't keep anything for the next one, except in what it writes: a run under a key of this run.
    let mark = format!("snoozed-{}", run.id());
    let snoozed = runs::list(runs::filter().metadata("mark", &mark)).next().transpose()?.is_some();
    if snoozed {
        return Ok(Outcome::Done("woken"));
    }
    schedule("touch").after(days(1)).metadata("mark", &mark).send(&())?;
    Ok(Outcome::Snooze(milliseconds(input.ms)))
}

/// Sleeps by the clock on the wall.
#[task]
pub(crate) fn sleep(input: Millis) -> Result<(), Failure> {
    std::thread::sleep(milliseconds(input.ms).into());
    Ok(())
}

/// Computes until it is asked to stop, then fails with a reason that says so.
#[task(name = "spin-until-cancelled")]
pub(crate) fn spin_until_cancelled(run: &Run) -> Result<(), Failure> {
    while !run.is_cancelled() {
        for turn in 0..10_000_u32 {
            std::hint::black_box(turn);
        }
    }
    Err(Failure::reject("stopped when asked"))
}

/// Sleeps in small steps for ever, and never asks whether it should stop.
#[task(name = "ignore-cancel")]
pub(crate) fn ignore_cancel() -> Result<(), Failure> {
    loop {
        std::thread::sleep(milliseconds(10).into());
    }
}
