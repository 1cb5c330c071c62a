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
    fn take(&self) -> Result<(), runlater_task::Error> {
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
            _ => crons::get(&self.name).map(drop),
        }
    }
}

/// Takes the steps, says how each went and what there is then, and fails if it is told to.
#[task(max_attempts = 1)]
fn keep(input: Steps) -> Result<Kept, Failure> {
    let said = |step: &Step| step.take().map_or_else(|error| error.to_string(), |()| "ok".to_owned());
    let said = input.steps.iter().map(said).collect();
    if input.fails == Some(true) {
        return Err(Failure::retry("told to"));
    }
    let seen =
        crons::list(Some("tick"))?.iter().map(|cron| (cron.name(), cron.expression(), cron.timezone(), cron.paused().is_some())).collect();
    Ok(Kept { said, seen })
}

export_tasks!(tick, keep);
