//! Holds what was told against the database that is left.

use std::collections::{BTreeSet, HashMap};

use runlater::{RunId, Timestamp};
use rusqlite::Connection;

use super::ledger::Entry;

/// Later than any near time of a test, earlier than any far one.
const HORIZON_MICROS: i64 = 20 * 60 * 1_000_000;
/// What a scripted guest asks for when it snoozes.
const SNOOZE_MICROS: i64 = 3_000;

const SCHEDULED: i64 = 0;
const SUCCEEDED: i64 = 3;
const FAILED: i64 = 4;
const CANCELLED: i64 = 5;

/// What must hold of the tables at every moment, whatever happened: each statement finds what is wrong.
const NEVER: [(&str, &str); 10] = [
    (
        "a chain's counter is not the number of its unfinished runs",
        "SELECT root FROM (SELECT root, live FROM runlater_chains
             UNION ALL SELECT root, -count(*) FROM runlater_runs WHERE root IS NOT NULL AND status IN (0, 1, 2) GROUP BY root)
         GROUP BY root HAVING sum(live) <> 0",
    ),
    (
        "an entry of metadata has no run that says so",
        "SELECT run FROM runlater_run_metadata AS m WHERE NOT EXISTS (SELECT 1 FROM runlater_runs AS r, json_each(r.metadata) AS e
             WHERE r.id = m.run AND e.key = m.key AND e.value = m.value)",
    ),
    (
        "a run's metadata has no entry",
        "SELECT r.id FROM runlater_runs AS r, json_each(r.metadata) AS e WHERE NOT EXISTS (SELECT 1 FROM runlater_run_metadata AS m
             WHERE m.namespace = r.namespace AND m.key = e.key AND m.value = e.value AND m.run = r.id)",
    ),
    ("a batch is there in part", "SELECT min(run) FROM runlater_run_metadata WHERE key = 'batch' GROUP BY value HAVING count(*) <> 5"),
    (
        "two runs have one unique key",
        "SELECT min(id) FROM runlater_runs WHERE unique_key IS NOT NULL GROUP BY unique_key HAVING count(*) > 1",
    ),
    (
        "a unique key and its run do not know each other",
        "SELECT r.id FROM runlater_runs AS r FULL JOIN runlater_unique_keys AS k ON k.run = r.id AND k.key = r.unique_key
         WHERE (r.id IS NULL OR k.run IS NULL) AND (r.id IS NULL OR r.unique_key IS NOT NULL)",
    ),
    (
        "an attempt is no attempt of its run",
        "SELECT a.run FROM runlater_attempts AS a LEFT JOIN runlater_runs AS r ON r.id = a.run WHERE r.id IS NULL OR a.number NOT BETWEEN 1 AND r.attempt",
    ),
    (
        "the crashes of a run are not those of its attempts",
        "SELECT id FROM runlater_runs AS r WHERE crashes > 3
             OR crashes <> (SELECT count(*) FROM runlater_attempts WHERE run = r.id AND outcome = 'host-crashed')",
    ),
    (
        // They all have one in each second, and none is missed: a host is back within its grace.
        "an occurrence of a cron has no run",
        "SELECT id FROM (SELECT id, planned_at - lag(planned_at) OVER (PARTITION BY cron ORDER BY planned_at) AS step
             FROM runlater_runs WHERE cron IS NOT NULL) WHERE step <> 1000000",
    ),
    (
        "a run is quarantined that did not crash three times",
        "SELECT id FROM runlater_runs WHERE reason = 'quarantined' AND (crashes, status) <> (3, 4)",
    ),
];

/// Fails if the file is damaged, or its tables contradict each other.
pub(crate) fn sound(conn: &Connection) {
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    for (what, sql) in NEVER {
        let mut statement = conn.prepare(sql).unwrap();
        let found: Vec<Option<i64>> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(found.is_empty(), "{what}: {found:?}");
    }
}

/// One execution of a guest.
struct Execution {
    attempt: u32,
    number: u64,
    at: Timestamp,
    /// How it returned, with which follow-ups, if it came to that.
    returned: Option<(String, Vec<RunId>)>,
}

/// What was told of one run.
#[derive(Default)]
struct Told {
    created: bool,
    /// The times at which it may be due: the one that was acknowledged last, and those that were asked for since.
    due: Vec<Timestamp>,
    moved: bool,
    tried_delete: bool,
    deleted: bool,
    tried_cancel: bool,
    cancelled: bool,
    /// The life in which its attempt was told, and the executions since.
    requested: Option<(usize, usize)>,
    /// The life of its last execution.
    last_life: usize,
    executions: Vec<Execution>,
    /// The last attempt whose end was seen.
    seen_end: u32,
    outcome: Option<(u32, String)>,
}

/// All lives of one database.
#[derive(Default)]
pub(crate) struct History {
    runs: HashMap<RunId, Told>,
    keys: HashMap<String, BTreeSet<RunId>>,
    acknowledged: usize,
    /// What was wrong in itself, whatever the database says.
    wrong: Vec<String>,
}

/// A run as it is stored.
struct Row {
    status: i64,
    reason: Option<String>,
    attempt: u32,
    trigger_at: i64,
    parent: Option<RunId>,
    unique_key: Option<String>,
    output: Option<String>,
}

impl History {
    pub(crate) fn of(lives: &[Vec<Entry>]) -> Self {
        let mut history = Self::default();
        for (life, entries) in lives.iter().enumerate() {
            entries.iter().for_each(|entry| history.take(life, entry));
        }
        history
    }

    fn take(&mut self, life: usize, entry: &Entry) {
        use Entry::*;
        let acknowledges = matches!(entry, Created(..) | Moved(..) | Deleted(_) | Cancelled(_) | CancelRequested(_) | Detached(..));
        self.acknowledged += usize::from(acknowledges);
        match entry {
            Ready | Closed => {}
            Created(run, due, key) => {
                if key != "-" {
                    self.keys.entry(key.clone()).or_default().insert(*run);
                }
                let told = self.told(run);
                told.created = true;
                told.due.push(*due);
            }
            Detached(run, key) => {
                self.keys.entry(key.clone()).or_default().insert(*run);
            }
            TryMove(run, due) => self.told(run).due.push(*due),
            Moved(run, due) => {
                let told = self.told(run);
                (told.due, told.moved) = (vec![*due], true);
            }
            TryDelete(run) => self.told(run).tried_delete = true,
            Deleted(run) => self.told(run).deleted = true,
            TryCancel(run) => self.told(run).tried_cancel = true,
            Cancelled(run) => self.told(run).cancelled = true,
            CancelRequested(run) => self.told(run).requested = Some((life, 0)),
            Started(run, attempt, number, at) => {
                let wrong = self.told(run).start(life, *attempt, *at);
                self.wrong.extend(wrong.map(|what| format!("{run}, attempt {attempt}, life {life}: {what}")));
                self.told(run).executions.push(Execution { attempt: *attempt, number: *number, at: *at, returned: None });
            }
            Returned(run, _, number, how, children) => {
                let execution = self.told(run).executions.iter_mut().find(|execution| execution.number == *number);
                execution.expect("it was told to have started").returned = Some((how.clone(), children.clone()));
            }
            Outcome(run, attempt, status) => {
                let told = self.told(run);
                let is_final = ["succeeded", "failed", "cancelled"].contains(&status.as_str());
                let again = told.outcome.is_some() || *attempt <= told.seen_end;
                told.seen_end = *attempt;
                if is_final {
                    told.outcome = Some((*attempt, status.clone()));
                }
                if again {
                    self.wrong.push(format!("{run}: a second outcome, {status} of attempt {attempt}"));
                }
            }
        }
    }

    fn told(&mut self, run: &RunId) -> &mut Told {
        self.runs.entry(*run).or_default()
    }

    /// Everything that is wrong.
    pub(crate) fn held_against(&self, conn: &Connection) -> Vec<String> {
        let rows = rows(conn);
        let mut wrong = self.wrong.clone();
        for (run, told) in &self.runs {
            wrong.extend(told.held_against(rows.get(run)).into_iter().map(|what| format!("{run}: {what}")));
        }
        for (key, runs) in &self.keys {
            let holders: BTreeSet<RunId> =
                rows.iter().filter(|(_, row)| row.unique_key.as_ref() == Some(key)).map(|(run, _)| *run).collect();
            if &holders != runs {
                wrong.push(format!("key {key} was acknowledged for {runs:?}, and is that of {holders:?}"));
            }
        }
        let mut children: HashMap<RunId, BTreeSet<RunId>> = HashMap::new();
        for (run, row) in &rows {
            if let (Some(parent), None) = (row.parent, &row.unique_key) {
                children.entry(parent).or_default().insert(*run);
            }
        }
        let snoozes = snoozes(conn);
        for (run, row) in &rows {
            if row.status == 1 || row.status == 2 {
                wrong.push(format!("{run} is not ended: status {}", row.status));
            }
            let (expected, problems) = self.committed_children(run, row, snoozes.get(run).map_or(&[], Vec::as_slice));
            wrong.extend(problems);
            let there = children.remove(run).unwrap_or_default();
            if expected != there {
                wrong.push(format!("{run}: its committed attempts scheduled {expected:?}, there are {there:?}"));
            }
        }
        wrong.extend(children.keys().map(|parent| format!("{parent} has children and is not there")));
        wrong
    }

    /// The follow-ups that the committed attempts of a run were given.
    fn committed_children(&self, run: &RunId, row: &Row, snoozes: &[(u32, i64)]) -> (BTreeSet<RunId>, Vec<String>) {
        let (mut children, mut wrong) = (BTreeSet::new(), Vec::new());
        let none = Vec::new();
        let executions = self.runs.get(run).map_or(&none, |told| &told.executions);
        let mut commit = |execution: Option<&Execution>, expected: &str| match execution.and_then(|execution| execution.returned.as_ref()) {
            Some((how, scheduled)) if how == expected => children.extend(scheduled.iter().copied()),
            other => wrong.push(format!("{run}: {expected} is recorded, and its guest said {other:?}")),
        };
        for (number, finished_at) in snoozes {
            // An attempt's number is used again only while nothing of it is committed: so the last one is it.
            commit(executions.iter().rfind(|execution| execution.attempt == *number), "snooze");
            let early = executions.iter().find(|next| next.attempt > *number && next.at.as_micros() < finished_at + SNOOZE_MICROS);
            if early.is_some() {
                children.clear();
                return (children, vec![format!("{run}: was woken early from the snooze of attempt {number}")]);
            }
        }
        if row.status == SUCCEEDED {
            let number = row.output.as_ref().and_then(|output| output.parse::<u64>().ok());
            commit(executions.iter().find(|one| Some(one.number) == number && one.attempt == row.attempt), "ok");
        }
        (children, wrong)
    }

    /// How much was tried, in words.
    pub(crate) fn figures(&self, conn: &Connection) -> String {
        let all = || self.runs.values();
        let executions: usize = all().map(|told| told.executions.len()).sum();
        let cut = all().flat_map(|told| &told.executions).filter(|execution| execution.returned.is_none()).count();
        let outcomes = all().filter(|told| told.outcome.is_some()).count();
        let repeated: usize = all().map(Told::repeated).sum();
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        format!(
            "{} acknowledged, {} runs stored, {executions} executions of guests, {cut} cut off by a kill, {repeated} repeated after they had \
             returned, {outcomes} outcomes observed, {} crashes counted, {} quarantined, {} cancelled",
            self.acknowledged,
            number("SELECT count(*) FROM runlater_runs"),
            number("SELECT sum(crashes) FROM runlater_runs"),
            number("SELECT count(*) FROM runlater_runs WHERE reason = 'quarantined'"),
            number("SELECT count(*) FROM runlater_runs WHERE status = 5"),
        )
    }
}

impl Told {
    /// An execution begins; what is wrong with that.
    fn start(&mut self, life: usize, attempt: u32, at: Timestamp) -> Option<&'static str> {
        let before = self.executions.last().map(|last| last.attempt);
        let same_life = before.is_some() && self.last_life == life;
        self.last_life = life;
        if let Some((_, since)) = &mut self.requested {
            *since += 1;
        }
        if self.deleted {
            Some("it was deleted")
        } else if self.cancelled {
            Some("it was cancelled")
        } else if self.requested.is_some_and(|(then, since)| then != life || since > 1) {
            Some("its attempt in flight was cancelled")
        } else if self.outcome.is_some() {
            Some("it had ended")
        } else if attempt <= self.seen_end || before.is_some_and(|before| attempt < before || same_life && attempt == before) {
            Some("the attempts do not rise")
        } else if self.due.iter().min().is_some_and(|due| at < *due) {
            Some("it started early")
        } else {
            None
        }
    }

    fn held_against(&self, row: Option<&Row>) -> Vec<String> {
        let mut wrong = Vec::new();
        let Some(row) = row else {
            if self.created && !self.tried_delete {
                wrong.push("it was acknowledged and is lost".into());
            }
            if !self.executions.is_empty() && self.deleted {
                wrong.push("it was executed, and its deletion acknowledged".into());
            }
            return wrong;
        };
        if self.deleted {
            wrong.push("its deletion was acknowledged, and it is there".into());
        }
        let status = row.status;
        let quarantined = status == FAILED && row.reason.as_deref() == Some("quarantined");
        if self.cancelled && status != CANCELLED || self.requested.is_some() && ![SUCCEEDED, CANCELLED].contains(&status) {
            wrong.push(format!("its cancellation was acknowledged, and its status is {status}"));
        }
        if let Some((attempt, word)) = &self.outcome
            && (*attempt, word.as_str()) != (row.attempt, ["", "", "", "succeeded", "failed", "cancelled", ""][status as usize])
        {
            wrong.push(format!("{word} of attempt {attempt} was observed, stored is status {status} of attempt {}", row.attempt));
        }
        let known = self.created && !self.due.contains(&Timestamp::MIN);
        if known && self.due.iter().all(|due| due.as_micros() != row.trigger_at) {
            wrong.push(format!("it is due at {}, and was to be at one of {:?}", row.trigger_at, self.due));
        }
        if !self.moved && self.executions.iter().any(|execution| execution.at.as_micros() < row.trigger_at) && self.due.len() < 2 {
            wrong.push("it started early".into());
        }
        let far = row.trigger_at > runlater::Clock::now(&runlater::SystemClock::new()).as_micros() + HORIZON_MICROS;
        let by_itself = if far { status == SCHEDULED } else { status == SUCCEEDED || quarantined };
        let by_hand = status == CANCELLED && self.tried_cancel;
        if !by_itself && !by_hand {
            wrong.push(format!("it ended with status {status}, {:?}", row.reason));
        }
        wrong
    }

    /// Executions that were made again although their guest had returned.
    fn repeated(&self) -> usize {
        let again = |place: usize, execution: &Execution| {
            execution.returned.is_some() && self.executions[place + 1..].iter().any(|later| later.attempt == execution.attempt)
        };
        self.executions.iter().enumerate().filter(|(place, execution)| again(*place, execution)).count()
    }
}

fn rows(conn: &Connection) -> HashMap<RunId, Row> {
    let origin = origin(conn);
    let mut statement =
        conn.prepare("SELECT id, status, reason, attempt, trigger_at, parent, unique_key, output FROM runlater_runs").unwrap();
    let found = statement.query_map([], |row| {
        let output: Option<Vec<u8>> = row.get(7)?;
        let stored = Row {
            status: row.get(1)?,
            reason: row.get(2)?,
            attempt: row.get(3)?,
            trigger_at: row.get(4)?,
            parent: row.get::<_, Option<i64>>(5)?.map(|key| RunId::from_key(key, origin)),
            unique_key: row.get(6)?,
            output: output.map(|output| String::from_utf8(output).expect("a script returns JSON")),
        };
        Ok((RunId::from_key(row.get(0)?, origin), stored))
    });
    found.unwrap().map(Result::unwrap).collect()
}

/// The attempts that snoozed, and when they ended.
fn snoozes(conn: &Connection) -> HashMap<RunId, Vec<(u32, i64)>> {
    let origin = origin(conn);
    let mut statement = conn.prepare("SELECT run, number, finished_at FROM runlater_attempts WHERE outcome = 'snoozed'").unwrap();
    let mut found: HashMap<RunId, Vec<(u32, i64)>> = HashMap::new();
    let rows = statement.query_map([], |row| Ok((RunId::from_key(row.get(0)?, origin), row.get(1)?, row.get(2)?))).unwrap();
    for (run, number, at) in rows.map(Result::unwrap) {
        found.entry(run).or_default().push((number, at));
    }
    found
}

fn origin(conn: &Connection) -> u64 {
    conn.query_row("SELECT value FROM runlater_meta WHERE key = 'id_origin'", [], |row| row.get::<_, i64>(0)).unwrap() as u64
}
