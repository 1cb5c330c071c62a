//! Tasks that declare crons, and one that keeps them, so that a test of the host can see what becomes of that.

use runlater_task::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Tick {
    n: Option<u32>,
}

/// Runs on workday mornings and every 40 seconds.
#[task(cron = "0 9 * * 1-5", timezone = "Europe/Prague", cron(key = "beat", expression = "@every 40s", input = "{\"n\":7}"))]
fn tick(input: Tick) -> Result<Option<u32>, Failure> {
    Ok(input.n)
}

#[derive(Deserialize, JsonSchema)]
struct Step {
    verb: String,
    name: String,
    expression: Option<String>,
    timezone: Option<String>,
    n: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    steps: Vec<Step>,
    fails: Option<bool>,
}

#[derive(Serialize)]
struct Kept {
    /// `ok`, or why not, for each step.
    said: Vec<String>,
    /// What there is then: name, expression, zone, and whether it is paused.
    seen: Vec<(String, String, String, bool)>,
}

impl Step {
    /// Returns `ok`, or what was asked for.
    fn take(&self, now: Instant) -> Result<String, runlater_task::Error> {
        let mut setting = cron(&self.name);
        if let Some(expression) = &self.expression {
            setting = setting.expression(expression);
        }
        if let Some(timezone) = &self.timezone {
            setting = setting.timezone(timezone);
        }
        if let Some(n) = self.n {
            setting = setting.input(&serde_json::json!({ "n": n })).metadata("n", &n.to_string());
        }
        match self.verb.as_str() {
            "create" => setting.create("tick"),
            "update" => setting.update(),
            "pause" => crons::pause(&self.name, None, "by a guest"),
            "resume" => crons::resume(&self.name),
            "delete" => crons::delete(&self.name),
            "trigger" => crons::trigger(&self.name).map(drop),
            "next" => {
                let next = crons::next(&self.name, self.n.unwrap_or(0))?;
                return Ok(next.iter().map(|at| format!("+{}", at.unix_seconds() - now.unix_seconds())).collect::<Vec<_>>().join(" "));
            }
            // Of the last so many seconds.
            "backfill" => {
                return crons::backfill(&self.name, now - seconds(self.n.unwrap_or(0).into()), now).map(|made| made.to_string());
            }
            _ => crons::get(&self.name).map(drop),
        }?;
        Ok("ok".to_owned())
    }
}

/// Takes the steps, says how each went and what there is then, and fails if it is told to.
#[task(max_attempts = 1)]
fn keep(input: Steps, run: &Run) -> Result<Kept, Failure> {
    let said = |step: &Step| step.take(run.now()).unwrap_or_else(|error| error.to_string());
    let said = input.steps.iter().map(said).collect();
    if input.fails == Some(true) {
        return Err(Failure::retry("told to"));
    }
    let seen =
        crons::list(Some("tick"))?.iter().map(|cron| (cron.name(), cron.expression(), cron.timezone(), cron.paused().is_some())).collect();
    Ok(Kept { said, seen })
}

export_tasks!(tick, keep);
