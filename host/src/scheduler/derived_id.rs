//! UUIDs for what has none of its own: namespaces, tasks and components, for a door whose protocol names them so.

use uuid::{Builder, Uuid};

use super::Scheduler;
use crate::model::seal::seal;

impl Scheduler {
    /// The UUID by which `subject`, of this kind, is known outside this namespace: the same each time in this database and its copies, and in
    /// no other. It follows from the database's secret, so there is nothing to store, and nobody can work out those of others.
    pub fn derived_id(&self, kind: &str, subject: &[u8]) -> Uuid {
        let namespace = self.namespace.id.0.to_be_bytes();
        let seal = seal(&self.core.secret, &[b"derived id ", kind.as_bytes(), b" ", &namespace, subject]);
        // Version 8 says that its bits mean nothing to others.
        Builder::from_custom_bytes(*seal.first_chunk().expect("SHA-256 has 32 bytes")).into_uuid()
    }
}
