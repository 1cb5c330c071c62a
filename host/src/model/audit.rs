//! What is put on record of the changes that callers from outside make: who, what, to which run or task, and when.
//!
//! Guests and embedders act in the name of the host itself; what they do is in the runs' own history.

use super::limits::{AUDIT_PAGE_MAX, PAGE_SIZE_DEFAULT};
use super::{Invalid, RunId, Timestamp};

/// What a caller did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditAction {
    /// Scheduled a run.
    Schedule,
    /// Moved a run.
    Reschedule,
    /// Deleted a run.
    Delete,
    /// Made a run due at once.
    Trigger,
    /// Cancelled a run, or asked it to end.
    Cancel,
    /// Registered a component's task.
    Register,
    /// Made a token.
    CreateToken,
    /// Revoked a token.
    RevokeToken,
    /// Copied the database.
    Backup,
    /// Made a cron.
    CreateCron,
    /// Changed a cron.
    UpdateCron,
    /// Paused a cron.
    PauseCron,
    /// Let a cron go on.
    ResumeCron,
    /// Deleted a cron.
    DeleteCron,
    /// Made a run of a cron by hand.
    TriggerCron,
    /// Made runs of a cron's past.
    BackfillCron,
    /// Paused a task.
    PauseTask,
    /// Let a task go on.
    ResumeTask,
    /// Made a namespace.
    CreateNamespace,
    /// Changed what a namespace may have.
    SetQuotas,
    /// Began to delete a namespace.
    DeleteNamespace,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Schedule,
        Self::Reschedule,
        Self::Delete,
        Self::Trigger,
        Self::Cancel,
        Self::Register,
        Self::CreateToken,
        Self::RevokeToken,
        Self::Backup,
        Self::CreateCron,
        Self::UpdateCron,
        Self::PauseCron,
        Self::ResumeCron,
        Self::DeleteCron,
        Self::TriggerCron,
        Self::BackfillCron,
        Self::PauseTask,
        Self::ResumeTask,
        Self::CreateNamespace,
        Self::SetQuotas,
        Self::DeleteNamespace,
    ];

    /// Whether it has something stored that was promised to nobody before: what a host refuses first when it runs out of room.
    pub const fn adds(self) -> bool {
        matches!(self, Self::Schedule | Self::Register | Self::CreateCron | Self::TriggerCron | Self::BackfillCron | Self::CreateNamespace)
    }

    /// The word for it on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Reschedule => "reschedule",
            Self::Delete => "delete",
            Self::Trigger => "trigger",
            Self::Cancel => "cancel",
            Self::Register => "register",
            Self::CreateToken => "create-token",
            Self::RevokeToken => "revoke-token",
            Self::Backup => "backup",
            Self::CreateCron => "create-cron",
            Self::UpdateCron => "update-cron",
            Self::PauseCron => "pause-cron",
            Self::ResumeCron => "resume-cron",
            Self::DeleteCron => "delete-cron",
            Self::TriggerCron => "trigger-cron",
            Self::BackfillCron => "backfill-cron",
            Self::PauseTask => "pause-task",
            Self::ResumeTask => "resume-task",
            Self::CreateNamespace => "create-namespace",
            Self::SetQuotas => "set-quotas",
            Self::DeleteNamespace => "delete-namespace",
        }
    }

    /// Parses that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// One entry on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number: 1 for a namespace's first, and no gap after it.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// The id of the token that was used.
    pub token: String,
    /// What was done.
    pub action: AuditAction,
    /// To which run.
    pub run: Option<RunId>,
    /// To which task, token or file.
    pub subject: Option<String>,
    /// More of it: a new time, a digest, a role.
    pub detail: Option<String>,
}

/// Which entries are meant, the latest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those about this run; `None`: all.
    pub run: Option<RunId>,
    /// Those before the one of this number.
    pub before: Option<i64>,
    size: Option<usize>,
}

impl AuditQuery {
    /// Of these, 1 to 500.
    pub fn new(size: Option<usize>, run: Option<RunId>, before: Option<i64>) -> Result<Self, Invalid> {
        match size {
            Some(seen) if !(1..=AUDIT_PAGE_MAX).contains(&seen) => {
                Err(Invalid::new("invalid-page-size", "limit", format!("1 to {AUDIT_PAGE_MAX} entries; go on with `before`"))
                    .seen(seen.to_string()))
            }
            _ => Ok(Self { run, before, size }),
        }
    }

    /// How many at most.
    pub fn size(&self) -> usize {
        self.size.unwrap_or(PAGE_SIZE_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_word() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::parse(action.as_str()), Some(action));
        }
        assert_eq!(AuditAction::parse("x"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(AuditQuery::new(None, None, None).unwrap().size(), 50);
        for size in [0, 501] {
            assert_eq!(AuditQuery::new(Some(size), None, None).unwrap_err().code, "invalid-page-size");
        }
    }
}
