//! Commits what a guest wrote, inside the transaction of its attempt's outcome.

use super::create::{Refused, create_one};
use super::group::Tx;
use super::{cancel, cron, delete, pause, reschedule, trigger};
use crate::model::{NamespaceId, NewRun, Origin, Timestamp, Write, WriteRefused, WriteSet};
use crate::storage::{ChangeError, Created, CronError, Move};

/// How far the effects in memory had come: what a savepoint is to the database, this is to them.
pub(super) struct Marks {
    arm: usize,
    disarmed: usize,
    ended: usize,
    events: usize,
    unarmed: usize,
    after_commit: usize,
    run_bytes: usize,
}

impl Marks {
    pub(super) fn of(tx: &Tx<'_>) -> Self {
        let (arm, unarmed, disarmed) = (tx.arm.len(), tx.unarmed.len(), tx.disarmed.len());
        let (ended, events, after_commit) = (tx.ended.len(), tx.events.len(), tx.after_commit.len());
        Self { arm, unarmed, disarmed, ended, events, after_commit, run_bytes: tx.shared.run_bytes.mark() }
    }

    /// Takes back what came later.
    pub(super) fn restore(self, tx: &mut Tx<'_>) {
        tx.arm.truncate(self.arm);
        tx.unarmed.truncate(self.unarmed);
        tx.after_commit.truncate(self.after_commit);
        tx.ended.truncate(self.ended);
        tx.events.truncate(self.events);
        tx.shared.run_bytes.undo_to(self.run_bytes);
        let disarmed = tx.disarmed.split_off(self.disarmed);
        tx.shared.due.arm(disarmed);
    }
}

/// Applies the writes in order. On a refusal the caller rolls back to before the first of them.
pub(super) fn apply(tx: &mut Tx<'_>, parent: i64, writes: &WriteSet, now: i64) -> rusqlite::Result<Result<(), WriteRefused>> {
    let Some(namespace) = tx.shared.due.in_flight(parent, |flight| NamespaceId(flight.namespace)) else { return Ok(Ok(())) };
    let now = Timestamp::from_micros(now).unwrap_or(Timestamp::MIN);
    for write in writes.iter() {
        let refused = match write {
            Write::Schedule(run) => match schedule(tx, namespace, run, now)? {
                Ok(()) => continue,
                Err(refusal) => refusal,
            },
            Write::Reschedule(run, at) => match reschedule::one(tx, namespace, *run, Move::To(*at), now)? {
                Ok(()) => continue,
                Err(refusal) => conflict(refusal),
            },
            Write::Delete(run) => match delete::one(tx, namespace, *run, now)? {
                Ok(()) => continue,
                Err(refusal) => conflict(refusal),
            },
            Write::Cancel(run) => match cancel::one(tx, namespace, *run, now)? {
                // That it ended meanwhile is what the guest wanted.
                Ok(_) | Err(ChangeError::AlreadyEnded(_)) => continue,
                Err(refusal) => conflict(refusal),
            },
            Write::Trigger(run) => match trigger::trigger(tx, namespace, *run, now)? {
                Ok(()) => continue,
                Err(refusal) => conflict(refusal),
            },
            Write::CreateCron(name, spec) => match cron::create(tx, namespace, name, spec, Origin::Guest, now)? {
                Ok(_) => continue,
                Err(refusal) => cron_conflict(refusal),
            },
            Write::ChangeCron(name, change) => match cron::change(tx, namespace, name, (**change).clone(), now)? {
                Ok(_) => continue,
                Err(refusal) => cron_conflict(refusal),
            },
            Write::PauseCron(name, pause) => match cron::pause(tx, namespace, name, pause.clone(), now)? {
                Ok(_) => continue,
                Err(refusal) => cron_conflict(refusal),
            },
            Write::DeleteCron(name) => match cron::delete(tx, namespace, name, now)? {
                Ok(()) => continue,
                Err(refusal) => cron_conflict(refusal),
            },
            Write::PauseTask(name, pause) => match pause::pause(tx, namespace, name, pause.clone(), now)? {
                true => continue,
                false => WriteRefused::Conflict(format!("there is no task {name} any more; that happened while the attempt ran")),
            },
        };
        return Ok(Err(refused));
    }
    Ok(Ok(()))
}

fn schedule(tx: &mut Tx<'_>, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> rusqlite::Result<Result<(), WriteRefused>> {
    let mut of = None;
    if let Some((occurrence, cron)) = run.occurrence.as_ref().and_then(|occurrence| Some((occurrence, occurrence.cron.as_ref()?))) {
        match cron::vacant(tx, namespace, cron, occurrence)? {
            Ok(Some(cron)) => of = Some((cron, occurrence.planned_at)),
            // Somebody else made it while the attempt ran: there is one, as the guest wanted.
            Ok(None) => return Ok(Ok(())),
            Err(refusal) => return Ok(Err(cron_conflict(refusal))),
        }
    }
    Ok(match create_one(tx, namespace, run, now)? {
        Ok(created @ (Created::New(_) | Created::PutOff(_))) if created.id() == run.id => {
            let id = run.id;
            if let (Some((cron, planned)), Some(key)) = (of, id.key_in(tx.shared.id_origin)) {
                cron::mark(tx.conn, key, cron, planned)?;
            }
            Ok(())
        }
        // The guest was given this run's own id, which now would lead nowhere: another one took the key meanwhile.
        Ok(created) => Err(taken(created.id())),
        Err(Refused::UniqueKeyTaken(holder) | Refused::IdempotencyConflict(holder)) => Err(taken(holder.run)),
        Err(Refused::Quota(reason)) => Err(WriteRefused::Quota(reason)),
        Err(Refused::Namespace(refused)) => Err(WriteRefused::Quota(refused.to_string())),
    })
}

fn taken(holder: crate::model::RunId) -> WriteRefused {
    WriteRefused::Conflict(format!("the unique key of a follow-up was taken by run {holder} while the attempt ran"))
}

fn conflict(refusal: ChangeError) -> WriteRefused {
    WriteRefused::Conflict(format!("{refusal}; that happened while the attempt ran"))
}

fn cron_conflict(refusal: CronError) -> WriteRefused {
    match refusal {
        CronError::TooMany(_) | CronError::Quota(_) => WriteRefused::Quota(refusal.to_string()),
        _ => WriteRefused::Conflict(format!("{refusal}; that happened while the attempt ran")),
    }
}
