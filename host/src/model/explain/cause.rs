//! The causes that an explanation is made of: each a code with its times and ids for programs, and a sentence for people.

use serde::Serialize;

use super::super::{Name, RunId, Timestamp};

/// One cause of an explanation. As JSON it is an object with its `code` and the fields of its variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the sentences below say what each means")]
pub enum Cause {
    NotDue { until: Timestamp },
    Due { since: Timestamp },
    Moved { at: Timestamp, to: Option<String>, by: Option<String> },
    PutOff { key: String, since: Timestamp },
    TriggeredByHand { at: Timestamp, by: Option<String> },
    CaughtUp { trigger_at: Timestamp },
    StartDeadline { until: Timestamp },

    TaskPaused { task: Name, since: Timestamp, until: Option<Timestamp>, note: String },
    LaneFull { lane: Option<String>, limit: u32, ahead: u64 },
    TaskFull { limit: u32, ahead: u64 },
    SlotHeld { run: RunId, since: Timestamp },
    PlaceKept { run: RunId, since: Timestamp, until: Option<Timestamp> },
    RateReached { lane: Option<String>, rate: String, until: Timestamp, ahead: u64 },
    LastChance { run: Option<RunId> },
    NamespaceFull { running: u64 },
    HostFull { running: u64 },
    WaitsForTurn,
    HostTrouble { trouble: String },

    AttemptFailed { attempt: u32, reason: String, message: Option<String>, at: Option<Timestamp>, until: Option<Timestamp> },
    Snoozed { attempt: u32, until: Timestamp },
    Retries { failures: u32, max: u32, delays: String },
    HostShutDown { attempt: u32 },
    GivenBack { attempt: u32 },
    HostCrashed { attempt: u32 },
    Running { attempt: u32, since: Timestamp, until: Option<Timestamp> },
    WaitsForMemory { bytes: u64 },
    AskedToEnd { at: Option<Timestamp>, by: Option<String>, for_run: Option<RunId>, grace: Option<String> },

    Succeeded { attempt: u32, at: Timestamp },
    Failed { reason: String, message: Option<String>, at: Timestamp },
    AttemptsUsedUp { failures: u32, max: u32 },
    RetryWindowOver { failures: u32, until: Timestamp },
    GaveUp { failures: u32 },
    Rejected,
    QuotaExceeded,
    Quarantined,
    DamagedRow,
    OnFailureRun { run: RunId, task: Name },

    HostDown { since: Option<Timestamp>, until: Timestamp },
    OccurrencesSkipped { count: u32, since: Timestamp, until: Timestamp },
    MissedPolicy { message: String },
    Overlapped { run: Option<RunId>, since: Option<Timestamp>, message: Option<String> },
    Expired { until: Timestamp, deadline: Option<String> },
    Missed { reason: String, message: Option<String> },
    Cancelled { at: Timestamp, by: Option<String>, attempt: Option<u32> },
    MadeWay { run: Option<RunId>, message: Option<String> },

    AskedFor { at: Timestamp, by: Option<String> },
    Occurrence { cron: Option<Name>, rule: Option<String>, planned_at: Timestamp, made_at: Option<Timestamp> },
    CronByHand { cron: Option<Name>, at: Timestamp },
    Declared { task: Name, at: Timestamp },
    FollowUp { parent: RunId, task: Option<Name>, root: Option<RunId>, at: Timestamp },
    FollowUpOfFailure { parent: RunId, task: Option<Name>, at: Timestamp },
    Webhook { at: Timestamp },
}

impl Cause {
    /// It in a sentence, with times in UTC.
    pub fn sentence(&self) -> String {
        match self {
            Self::NotDue { until } => format!("its time has not come: it is due at {until}"),
            Self::Due { since } => format!("it has been due since {since}"),
            Self::Moved { at, to, by } => {
                let to = to.as_ref().map_or(String::new(), |to| format!(" ({to})"));
                format!("{} moved it{to} at {at}", who(by))
            }
            Self::PutOff { key, since } => {
                format!("each request under its unique key {key:?} puts it off; it was first asked for at {since}")
            }
            Self::TriggeredByHand { at, by } => format!("{} triggered it by hand at {at}", who(by)),
            Self::CaughtUp { trigger_at } => {
                format!("no host was running at its time, {trigger_at}, and its task's missed policy makes up for it")
            }
            Self::StartDeadline { until } => format!("it is missed if it has not started by {until}"),

            Self::TaskPaused { task, since, until, note } => {
                let until = until.map_or("until somebody resumes it".into(), |until| format!("until {until}"));
                let note = if note.is_empty() { String::new() } else { format!(": {note}") };
                format!("its task {task} is paused since {since} {until}{note}")
            }
            Self::LaneFull { lane, limit, ahead } => {
                format!("{} may have {} in flight, and has as many{}", lane_of(lane), attempts(*limit), behind(*ahead))
            }
            Self::TaskFull { limit, ahead } => {
                format!("its task may have {} in flight over all lanes, and has as many{}", attempts(*limit), behind(*ahead))
            }
            Self::SlotHeld { run, since } => format!("run {run} has held a slot since {since}"),
            Self::PlaceKept { run, since, until } => {
                let until = until.map_or(String::new(), |until| format!(" at {until}"));
                format!("run {run} has kept its place since {since}, lest the order change, and waits for its next attempt{until}")
            }
            Self::RateReached { lane, rate, until, ahead } => {
                format!("{} may start {rate}: the next one at {until}{}", lane_of(lane), behind(*ahead))
            }
            Self::LastChance { run } => {
                let other = run.map_or("another such run".into(), |run| format!("run {run}"));
                format!("the host died during earlier attempts of it, so it starts alone; {other} is in flight")
            }
            Self::NamespaceFull { running } => format!(
                "its namespace has {} in flight, which is its share of the slots: the host keeps the others for other namespaces",
                attempts(*running)
            ),
            Self::HostFull { running } => format!("it waits for a free slot of the host, which has {} in flight", attempts(*running)),
            Self::WaitsForTurn => "it waits for its turn: nothing is known to be in its way".into(),
            Self::HostTrouble { trouble } => format!("the host can't write: {trouble}"),

            Self::AttemptFailed { attempt, reason, message, at, until } => {
                let at = at.map_or(String::new(), |at| format!(" at {at}"));
                let until = until.map_or(String::new(), |until| format!("; the next one is due at {until}"));
                format!("attempt {attempt} failed{at}{}{}{until}", why(reason), said(message))
            }
            Self::Snoozed { attempt, until } => format!("its task asked, in attempt {attempt}, to be run again at {until}"),
            Self::Retries { failures, max, delays } => {
                format!("{failures} of at most {} failed; its task's delays are {delays}", attempts(*max))
            }
            Self::HostShutDown { attempt } => format!("the host was stopped during attempt {attempt}, which does not count"),
            Self::GivenBack { attempt } => {
                format!(
                    "the host had not the memory free that attempt {attempt} asked for: it does not count, and the next one reserves it first"
                )
            }
            Self::WaitsForMemory { bytes } => {
                format!("it waits until the host has {bytes} bytes of guest memory free, or places for its instances")
            }
            Self::HostCrashed { attempt } => format!("the host died during attempt {attempt}, so it is tried again at once"),
            Self::Running { attempt, since, until } => {
                let until = until.map_or(String::new(), |until| format!(", and is stopped at {until} if it has not ended by then"));
                format!("attempt {attempt} has been running since {since}{until}")
            }
            Self::AskedToEnd { at, by, for_run, grace } => {
                let at = at.map_or(String::new(), |at| format!(" at {at}"));
                let grace = grace.as_ref().map_or(String::new(), |grace| format!("; it is dropped {grace} later"));
                match for_run {
                    Some(run) => format!("it was asked to end{at}, to make way for run {run}{grace}"),
                    None => format!("{} asked it to end{at}{grace}", who(by)),
                }
            }

            Self::Succeeded { attempt, at } => format!("attempt {attempt} succeeded at {at}"),
            Self::Failed { reason, message, at } => format!("it failed for good at {at}{}{}", why(reason), said(message)),
            Self::AttemptsUsedUp { failures, max } => format!("{failures} of at most {} have failed", attempts(*max)),
            Self::RetryWindowOver { failures, until } => {
                format!("{} failed, and no further one is made after {until}", attempts(*failures))
            }
            Self::GaveUp { failures } => format!("{} failed, which was the most that its task allowed then", attempts(*failures)),
            Self::Rejected => "its task said that this input will never work, so it is not tried again".into(),
            Self::QuotaExceeded => "what it wanted to write exceeds a quota, which another attempt would not change".into(),
            Self::Quarantined => "the host died during too many attempts of it, so nobody but you starts it again".into(),
            Self::DamagedRow => "somebody else wrote to the database what can't be understood".into(),
            Self::OnFailureRun { run, task } => format!("because of that, run {run} of {task} was made"),

            Self::HostDown { since, until } => {
                let since = since.map_or(String::new(), |since| format!("from {since} "));
                format!("no host was running {since}until {until}, and its time passed meanwhile")
            }
            Self::OccurrencesSkipped { count, since, until } => match count {
                1 => format!("it stands for the occurrence of {since}, which was skipped"),
                _ => format!("it stands for {count} occurrences from {since} to {until}, which were skipped"),
            },
            Self::MissedPolicy { message } => message.clone(),
            Self::Overlapped { run, since, message } => match (run, since, message) {
                (_, _, Some(message)) => message.clone(),
                (Some(run), Some(since), None) => format!("run {run} had been running since {since}, and its task's policy is not to wait"),
                (Some(run), None, None) => format!("run {run} was running, and its task's policy is not to wait"),
                (None, ..) => "another run of its lane was running, and its task's policy is not to wait".into(),
            },
            Self::Expired { until, deadline } => {
                let deadline = deadline.as_ref().map_or(String::new(), |deadline| format!(" (start-deadline = {deadline})"));
                format!("it had not started by {until}, when its task's start deadline was over{deadline}")
            }
            Self::Missed { reason, message } => format!("it was missed ({reason}){}", said(message)),
            Self::Cancelled { at, by, attempt } => match attempt {
                Some(attempt) => format!("{} cancelled it, and attempt {attempt} ended at {at}", who(by)),
                None => format!("{} cancelled it at {at}, before it started", who(by)),
            },
            Self::MadeWay { run, message } => match (run, message) {
                (_, Some(message)) => message.clone(),
                (Some(run), None) => format!("it was cancelled to make way for run {run}"),
                (None, None) => "it was cancelled to make way for another run of its lane".into(),
            },

            Self::AskedFor { at, by } => format!("{} scheduled it at {at}", who(by)),
            Self::Occurrence { cron, rule, planned_at, made_at } => {
                let rule = rule.as_ref().map_or(String::new(), |rule| format!(" ({rule})"));
                let made = made_at.map_or(String::new(), |at| format!(", and was made up for at {at}"));
                format!("it is the occurrence of {}{rule} planned for {planned_at}{made}", cron_of(cron))
            }
            Self::CronByHand { cron, at } => format!("somebody triggered {} by hand at {at}", cron_of(cron)),
            Self::Declared { task, at } => format!("the code of task {task} declares it, as it was registered at {at}"),
            Self::FollowUp { parent, task, root, at } => {
                let root = root.filter(|root| root != parent).map_or(String::new(), |root| format!("; their chain began with run {root}"));
                format!("run {parent}{} scheduled it at {at}{root}", task_of(task))
            }
            Self::FollowUpOfFailure { parent, task, at } => {
                format!("run {parent}{} failed at {at}, and its task asks for this one then", task_of(task))
            }
            Self::Webhook { at } => format!("a webhook made it at {at}"),
        }
    }

    /// Takes out who did it: not everybody who may read runs may read the audit trail.
    pub(super) fn conceal(&mut self) {
        match self {
            Self::Moved { by, .. }
            | Self::TriggeredByHand { by, .. }
            | Self::AskedToEnd { by, .. }
            | Self::Cancelled { by, .. }
            | Self::AskedFor { by, .. } => *by = None,
            _ => {}
        }
    }
}

fn who(token: &Option<String>) -> String {
    token.as_ref().map_or("somebody".into(), |token| format!("the holder of token {token}"))
}

/// The code of a failure, where it says more than that it was one.
fn why(reason: &str) -> String {
    if reason == "failed" { String::new() } else { format!(" ({reason})") }
}

fn said(message: &Option<String>) -> String {
    message.as_ref().filter(|message| !message.is_empty()).map_or(String::new(), |message| format!(": {message}"))
}

fn attempts(count: impl Into<u64>) -> String {
    match count.into() {
        1 => "1 attempt".into(),
        count => format!("{count} attempts"),
    }
}

fn behind(ahead: u64) -> String {
    match ahead {
        0 => String::new(),
        1 => "; 1 run goes first".into(),
        ahead => format!("; {ahead} runs go first"),
    }
}

fn lane_of(lane: &Option<String>) -> String {
    lane.as_ref().map_or("its task".into(), |lane| format!("its lane {lane:?}"))
}

fn cron_of(cron: &Option<Name>) -> String {
    cron.as_ref().map_or("a cron that is gone".into(), |cron| format!("cron {cron}"))
}

fn task_of(task: &Option<Name>) -> String {
    task.as_ref().map_or(String::new(), |task| format!(" of {task}"))
}
