//! A circuit breaker: a task that calls somebody else, and one that pauses it when that fails.

use runlater_task::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Charge {
    #[serde(default)]
    amount: u32,
    /// What the gateway says; nothing if it works.
    down: Option<String>,
}

/// Charges a customer.
#[task(max_attempts = 1, on_failure = "trip")]
fn charge(input: Charge) -> Result<u32, Failure> {
    match input.down {
        Some(why) => Err(Failure::retry(why)),
        None => Ok(input.amount),
    }
}

/// What the host says of a run that has failed for good.
#[derive(Deserialize, JsonSchema)]
struct Failed {
    task: String,
    message: Option<String>,
}

/// Opens the circuit for ten minutes: the runs wait instead of failing one after the other.
#[task]
fn trip(failed: Failed, run: &Run) -> Result<(), Failure> {
    // A note is short, and a message need not be.
    let note: String = failed.message.unwrap_or_default().chars().take(60).collect();
    Ok(pauses::pause(&failed.task, Some(run.now() + minutes(10)), &note)?)
}

/// What is done with a task. The span is seconds from now.
#[derive(Deserialize, JsonSchema)]
struct Step {
    verb: String,
    task: String,
    until: Option<u32>,
    note: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    #[serde(default)]
    steps: Vec<Step>,
    fails: Option<bool>,
}

impl Step {
    /// Returns the note of the task then, if it is paused.
    fn take(&self, now: Instant) -> Result<Option<String>, runlater_task::Error> {
        let until = self.until.map(|until| now + seconds(until.into()));
        match self.verb.as_str() {
            "pause" => pauses::pause(&self.task, until, self.note.as_deref().unwrap_or_default())?,
            "resume" => pauses::resume(&self.task)?,
            _ => {}
        }
        pauses::get(&self.task)
    }
}

/// Takes the steps, says what it sees after each or why it was refused, and fails if it is told to.
#[task(max_attempts = 1)]
fn switch(input: Steps, run: &Run) -> Result<Vec<String>, Failure> {
    let said = |step: &Step| match step.take(run.now()) {
        Ok(Some(note)) => format!("paused: {note}"),
        Ok(None) => "not paused".to_owned(),
        Err(error) => error.to_string(),
    };
    let said = input.steps.iter().map(said).collect();
    if input.fails == Some(true) { Err(Failure::retry("told to")) } else { Ok(said) }
}

export_tasks!(charge, trip, switch);
