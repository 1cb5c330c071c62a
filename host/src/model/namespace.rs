//! The tenant that everything belongs to.

use super::Name;

/// The key of a namespace inside one database. In every key and every query.
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
    /// The name of the namespace that is there from the start.
    pub const DEFAULT: &'static str = "default";
}
