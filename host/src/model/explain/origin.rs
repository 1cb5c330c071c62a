//! Who made a run: the last of its causes.

use super::super::{AuditAction, Origin};
use super::{Cause, Known};

pub(super) fn origin(known: &Known<'_>) -> Cause {
    let (run, at) = (known.run, known.run.created_at);
    if let Some(occurrence) = &run.occurrence {
        let cron = occurrence.cron.clone();
        return match occurrence.planned_at {
            Some(planned_at) => Cause::Occurrence {
                cron,
                rule: known.cron.map(|cron| format!("{:?} in {}", cron.spec.rule.text(), cron.spec.rule.zone())),
                planned_at,
                // Ordinary ones are made shortly before their time; a row for skipped ones is no run.
                made_at: (at > planned_at && occurrence.skipped.is_none()).then_some(at),
            },
            None => Cause::CronByHand { cron, at },
        };
    }
    if let Some(parent) = run.parent {
        let task = known.other(parent).map(|parent| parent.task.clone());
        return match run.on_failure {
            true => Cause::FollowUpOfFailure { parent, task, at },
            false => Cause::FollowUp { parent, task, root: run.root, at },
        };
    }
    match run.origin {
        Origin::Code => Cause::Declared { task: run.task.clone(), at },
        Origin::Trigger => Cause::Webhook { at },
        // A cron's run has its occurrence, a guest's its parent: what is left was asked for.
        Origin::Api | Origin::Guest | Origin::Cron => Cause::AskedFor {
            at,
            by: known.record.iter().rev().find(|entry| entry.action == AuditAction::Schedule).map(|entry| entry.token.clone()),
        },
    }
}
