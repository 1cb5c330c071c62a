//! Tasks that declare crons, and one that keeps them, so that a test of the host can see what becomes of that.

use runlater_task::CatchUp;
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

/// What is done with a cron, and what is said of it. Times are seconds from now, spans are seconds.
#[derive(Deserialize, JsonSchema)]
struct Step {
    verb: String,
    name: String,
    expression: Option<String>,
    timezone: Option<String>,
    start: Option<u32>,
    end: Option<u32>,
    max_count: Option<u32>,
    jitter: Option<u32>,
    priority: Option<u8>,
    missed: Option<String>,
    window: Option<u32>,
    max: Option<u32>,
    until: Option<u32>,
    n: Option<u32>,
    /// What is taken back.
    #[serde(default)]
    lift: Vec<String>,
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
    fn setting(&self, now: Instant) -> crons::Setting {
        let mut setting = cron(&self.name);
        if let Some(expression) = &self.expression {
            setting = setting.expression(expression);
        }
        if let Some(timezone) = &self.timezone {
            setting = setting.timezone(timezone);
        }
        if let Some(start) = self.start {
            setting = setting.start(now + seconds(start.into()));
        }
        if let Some(end) = self.end {
            setting = setting.end(now + seconds(end.into()));
        }
        if let Some(count) = self.max_count {
            setting = setting.max_count(count);
        }
        if let Some(jitter) = self.jitter {
            setting = setting.jitter(seconds(jitter.into()));
        }
        if let Some(priority) = self.priority {
            setting = setting.priority(priority);
        }
        if let Some(which) = &self.missed {
            let which = match which.as_str() {
                "skip" => CatchUp::Skip,
                "latest" => CatchUp::Latest,
                _ => CatchUp::All,
            };
            setting = setting.missed(which, self.window.map(|window| seconds(window.into())), self.max);
        }
        for lift in &self.lift {
            setting = match lift.as_str() {
                "end" => setting.lift_end(),
                "max-count" => setting.lift_max_count(),
                "priority" => setting.lift_priority(),
                "missed" => setting.lift_missed(),
                _ => setting.lift_metadata(),
            };
        }
        if let Some(n) = self.n {
            setting = setting.input(&serde_json::json!({ "n": n })).metadata("n", &n.to_string());
        }
        setting
    }

    /// Returns `ok`, or what was asked for.
    fn take(&self, now: Instant) -> Result<String, runlater_task::Error> {
        let setting = self.setting(now);
        match self.verb.as_str() {
            "create" => setting.create("tick"),
            "update" => setting.update(),
            "pause" => crons::pause(&self.name, self.until.map(|until| now + seconds(until.into())), "by a guest"),
            "resume" => crons::resume(&self.name),
            "delete" => crons::delete(&self.name),
            "trigger" => crons::trigger(&self.name).map(drop),
            "next" => {
                let next = crons::next(&self.name, self.n.unwrap_or(0))?;
                return Ok(next.iter().map(|at| from_now(*at, now)).collect::<Vec<_>>().join(" "));
            }
            // Of the last so many seconds.
            "backfill" => {
                return crons::backfill(&self.name, now - seconds(self.n.unwrap_or(0).into()), now).map(|made| made.to_string());
            }
            "terms" => return terms(&crons::get(&self.name)?, now),
            "show" => return shown(&crons::get(&self.name)?, now),
            // All of them, and whether each comes after the one before.
            "count" => {
                let names = crons::list(None)?.iter().map(crons::Cron::name).collect::<Vec<_>>();
                return Ok(format!("{} {}", names.len(), if names.is_sorted_by(|one, next| one < next) { "in order" } else { "mixed" }));
            }
            "page" => return Ok(page(self.n.unwrap_or(0))),
            _ => crons::get(&self.name).map(drop),
        }?;
        Ok("ok".to_owned())
    }
}

/// The first page of this size, and where the next one begins: what the SDK's lists hide.
fn page(size: u32) -> String {
    #[cfg(target_family = "wasm")]
    if let Ok(page) = runlater_task::bindings::runlater::scheduler::crons::list(None, size, None) {
        return format!("{}, then {:?}", page.crons.len(), page.next);
    }
    format!("no page of {size}")
}

fn from_now(at: Instant, now: Instant) -> String {
    format!("{:+}", at.unix_seconds() - now.unix_seconds())
}

/// Everything else that can be read of a cron.
fn terms(cron: &crons::Cron, now: Instant) -> Result<String, runlater_task::Error> {
    let shown = |at: Option<Instant>| at.map_or("never".to_owned(), |at| from_now(at, now));
    let missed = cron.missed()?.map(|policy| (policy.catch_up, policy.window.as_millis() / 1000, policy.max));
    Ok(format!(
        "from {}, until {}, jitter {} ms, count {:?}, priority {:?}, missed {missed:?}, paused until {}, version {}",
        from_now(cron.start(), now),
        shown(cron.end()),
        cron.jitter().as_millis(),
        cron.max_count(),
        cron.priority(),
        shown(cron.paused_until()),
        cron.version(),
    ))
}

/// What it does, and what it has done.
fn shown(cron: &crons::Cron, now: Instant) -> Result<String, runlater_task::Error> {
    let next = cron.next_at().map_or("never".to_owned(), |at| from_now(at, now));
    let (input, metadata) = (cron.input::<serde_json::Value>()?, cron.metadata());
    Ok(format!(
        "{}: {} of {} in {}, next {next}, fired {}, paused {:?}, {input} {metadata:?}",
        cron.name(),
        cron.expression(),
        cron.task(),
        cron.timezone(),
        cron.fired(),
        cron.paused(),
    ) + &format!(", by {}", cron.origin()))
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
