//! A chain of reminders: each run plans the next one, and a safety net for when the chain breaks.
//!
//! Shows what a task can do to other runs: schedule, list, move and delete. All of it commits with the run, so a
//! reminder that fails plans nothing, and its next attempt starts clean.

use runlater_task::prelude::*;

/// What to remind of, and how often.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Reminder {
    /// The text of the reminder.
    message: String,
    /// How many reminders there are, this one included.
    times: u32,
    /// The time between two reminders.
    every: Duration,
    /// The run that began the chain; its followers carry it in their metadata.
    chain: Option<RunId>,
}

impl Default for Reminder {
    fn default() -> Self {
        Reminder { message: "Stretch your legs".to_owned(), times: 3, every: seconds(1), chain: None }
    }
}

/// Prints a reminder, and plans the next one until enough were given.
#[task]
fn reminder(input: Reminder, run: &Run) -> Result<String, Failure> {
    println!("Reminder: {}", input.message);
    let chain = input.chain.clone().unwrap_or_else(|| run.id());
    let last = input.times <= 1;

    if !last {
        let next = Reminder { times: input.times - 1, chain: Some(chain.clone()), ..input.clone() };
        schedule("reminder").after(input.every).metadata("chain", chain.as_str()).metadata("role", "next").send(&next)?;
    }
    keep_safety(&input, &chain, last)?;
    Ok(if last { "the last one".to_owned() } else { format!("{} to come", input.times - 1) })
}

/// One more reminder lies ten intervals ahead while the chain lives: it comes only if the chain breaks.
fn keep_safety(input: &Reminder, chain: &RunId, last: bool) -> Result<(), Failure> {
    let later = Duration::from_nanos(input.every.as_nanos().saturating_mul(10));
    let safety = runs::filter().task("reminder").status(Status::Scheduled).metadata("chain", chain.as_str()).metadata("role", "safety");

    let mut found = false;
    for run in runs::list(safety) {
        let id = run?.id();
        found = true;
        if last { runs::delete(&id)? } else { runs::reschedule(&id, later)? }
    }
    if !found && !last {
        let net =
            Reminder { times: 1, chain: Some(chain.clone()), message: format!("{} (the chain broke)", input.message), ..input.clone() };
        schedule("reminder").after(later).metadata("chain", chain.as_str()).metadata("role", "safety").send(&net)?;
    }
    Ok(())
}

export_tasks!(reminder);

#[cfg(test)]
mod tests {
    use runlater_task::testing::FakeHost;

    use super::*;

    fn roles(host: &FakeHost) -> Vec<(String, u64)> {
        let now = host.now();
        let role = |run: &runlater_task::testing::ScheduledRun| run.metadata.iter().find(|(key, _)| key == "role").unwrap().1.clone();
        host.scheduled().iter().map(|run| (role(run), run.trigger_at.since(now).as_millis())).collect()
    }

    #[test]
    fn a_chain_plans_moves_deletes_and_ends() {
        let host = FakeHost::new();
        let plan = |next: u64, safety: u64| vec![("next".to_owned(), next), ("safety".to_owned(), safety)];

        host.execute::<reminder>(&()).unwrap();
        assert_eq!(roles(&host), plan(1_000, 10_000));

        let second = host.scheduled()[0].id.clone();
        host.execute_scheduled::<reminder>(&second).unwrap();
        assert_eq!(roles(&host), plan(1_000, 10_000));
        assert_eq!(host.moved().len(), 1);

        let third = host.scheduled()[0].id.clone();
        host.execute_scheduled::<reminder>(&third).unwrap();
        assert_eq!(host.scheduled(), []);
        assert_eq!(host.deleted().len(), 1);
    }

    #[test]
    fn the_input_is_optional_throughout() {
        let host = FakeHost::new();
        reminder(Reminder { times: 1, ..Reminder::default() }, &host.run()).unwrap();
        assert_eq!(host.scheduled(), []);
    }
}
