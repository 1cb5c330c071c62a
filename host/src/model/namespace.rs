//! The tenant that everything belongs to.

use super::{Name, NamespaceQuotas, Timestamp};

/// The key of a namespace inside one database. In every key and every query. Never given twice, so that what still holds the key of a namespace
/// that is gone reaches no other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct NamespaceId(pub i64);

/// A namespace that exists: only storage makes one, so holding it proves that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its key.
    pub id: NamespaceId,
    /// What people call it.
    pub name: Name,
}

impl Namespace {
    /// The name of the namespace that is there from the start, and always.
    pub const DEFAULT: &'static str = "default";

    /// Whether it is the one that is always there.
    pub fn is_default(&self) -> bool {
        self.name.as_str() == Self::DEFAULT
    }
}

/// All that is stored of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRecord {
    /// The namespace.
    pub namespace: Namespace,
    /// What it may have.
    pub quotas: NamespaceQuotas,
    /// When it was made; `None` for those made by a version that did not note it, and for the one that is there from the start.
    pub created_at: Option<Timestamp>,
    /// Since when it is being deleted: nothing of it starts any more, and its tokens open nothing.
    pub deleting_since: Option<Timestamp>,
}
