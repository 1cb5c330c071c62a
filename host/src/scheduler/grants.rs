//! What a component may be granted, and by which token.
//!
//! Called at registration, before the component is looked at, and by the HTTP door before its bytes are read. Tasks that are registered keep
//! their grants: a grant is judged when it is given.

use super::{Role, Scheduler};
use crate::model::{Grant, Invalid};

impl Scheduler {
    /// Refuses grants that the token on whose behalf this scheduler acts may not give, and those that reach the host itself, which nobody may
    /// give.
    pub fn check_grants<'g>(&self, grants: impl IntoIterator<Item = &'g Grant>) -> Result<(), Invalid> {
        let unbound = self.role.is_none_or(|role| role.allows(Role::Operator));
        for grant in grants {
            if let Grant::Tcp(address) = grant
                && self.core.listeners.reaches(*address)
            {
                return Err(refused(grant, "the host itself listens there, and no task may connect to it"));
            }
            if !unbound && !self.core.allowed_grants.allows(grant) {
                let reason = "the operator of this host has not allowed this grant: start it with `serve --allow-grant PATTERN`, such as \
                              tcp=192.0.2.7:5432, or register with a token that has the role `operator`";
                return Err(refused(grant, reason));
            }
        }
        Ok(())
    }
}

fn refused(grant: &Grant, reason: &str) -> Invalid {
    Invalid::new("grant-not-allowed", "grant", reason).seen(grant.to_string())
}
