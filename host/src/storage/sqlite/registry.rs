//! The registered tasks, components and namespaces, in memory: every create and every claim asks for them.
//!
//! Filled when the storage opens; read again by the writer just before a registration or a pause is committed, so that whoever has seen the commit
//! finds what it says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use rusqlite::{Connection, Row};
use rustc_hash::FxHashMap;

use super::pause::pause_of;
use super::rows::{optional_time, sound, strange, time};
use crate::model::{
    Digest, Grant, Grants, InputSchema, Name, Namespace, NamespaceId, NamespaceQuotas, NamespaceRecord, Pause, PolicySettings, Task,
    TaskId, TaskPolicy, Timestamp,
};
use crate::storage::NamespaceError;
use crate::zones::Zones;

/// What an operator says of a policy, as it is stored: a JSON object of fields and their text.
pub(super) fn overrides_text(settings: &PolicySettings) -> String {
    let entries: BTreeMap<_, _> = settings.entries().into_iter().collect();
    serde_json::to_string(&entries).expect("text as keys and values is JSON")
}

fn overrides(text: &str) -> Option<PolicySettings> {
    let entries: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    let mut settings = PolicySettings::default();
    entries.iter().try_for_each(|(field, value)| settings.set(field, value)).ok()?;
    Some(settings)
}

pub(super) struct Registry {
    inner: RwLock<Inner>,
    zones: Zones,
    /// Whether some namespace was deleted, or is being deleted, since the start: only then does anybody ask whether one still is.
    some_deleted: AtomicBool,
}

#[derive(Default)]
struct Inner {
    namespaces: BTreeMap<NamespaceId, NamespaceRecord>,
    by_id: FxHashMap<i64, Arc<Task>>,
    by_name: BTreeMap<(NamespaceId, Name), Arc<Task>>,
    components: FxHashMap<i64, Digest>,
    component_ids: FxHashMap<Digest, i64>,
}

impl Inner {
    /// The namespaces that are not being deleted.
    fn in_force(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values().filter(|record| record.deleting_since.is_none()).map(|record| &record.namespace)
    }

    /// What the database says. Rows of namespaces and components that can't be understood are left out; a task is there, and paused. `before` are
    /// the tasks as they were last read.
    fn of(conn: &Connection, before: &FxHashMap<i64, Arc<Task>>) -> rusqlite::Result<Self> {
        let mut fresh = Self::default();
        let mut statement =
            conn.prepare("-- registry: namespaces\nSELECT id, name, quotas, made_at, deleting_since FROM runlater_namespaces")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(namespace) = sound("namespaces", namespace(row))? {
                fresh.namespaces.insert(namespace.namespace.id, namespace);
            }
        }
        let mut statement = conn.prepare("-- registry: components\nSELECT id, digest FROM runlater_components")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(digest) = sound("components", row.get(1).map(Digest::from_bytes))? {
                fresh.components.insert(row.get(0)?, digest);
                fresh.component_ids.insert(digest, row.get(0)?);
            }
        }
        let mut statement = conn.prepare(
            "-- registry: tasks
             SELECT id, namespace, name, component, grants, description, input_schema, policy, created_at, updated_at, overrides, pause
             FROM runlater_tasks",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let task = Arc::new(task(row, &fresh.components, before)?);
            fresh.by_id.insert(task.id.0, task.clone());
            fresh.by_name.insert((task.namespace, task.name.clone()), task);
        }
        Ok(fresh)
    }
}

impl Registry {
    /// Empty, until it is loaded.
    pub(super) fn new(zones: Zones) -> Self {
        Self { inner: RwLock::default(), zones, some_deleted: AtomicBool::new(false) }
    }

    /// The time zones of crons.
    pub(super) fn zones(&self) -> &Zones {
        &self.zones
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().expect("nothing panics while it holds the registry")
    }

    /// Reads everything from the database, as the transaction under way sees it.
    pub(super) fn load(&self, conn: &Connection) -> rusqlite::Result<()> {
        let before = self.read().by_id.clone();
        let fresh = Inner::of(conn, &before)?;
        if fresh.namespaces.values().any(|record| record.deleting_since.is_some()) {
            self.some_deleted.store(true, Ordering::Release);
        }
        *self.inner.write().expect("nothing panics while it holds the registry") = fresh;
        Ok(())
    }

    pub(super) fn namespace(&self, name: &Name) -> Option<Namespace> {
        self.read().in_force().find(|namespace| namespace.name == *name).cloned()
    }

    /// Those that are not being deleted.
    pub(super) fn namespaces(&self) -> Vec<Namespace> {
        self.read().in_force().cloned().collect()
    }

    /// All, in order of name.
    pub(super) fn namespace_records(&self) -> Vec<NamespaceRecord> {
        let mut records: Vec<_> = self.read().namespaces.values().cloned().collect();
        records.sort_by(|one, other| one.namespace.name.cmp(&other.namespace.name));
        records
    }

    pub(super) fn quotas(&self, namespace: NamespaceId) -> NamespaceQuotas {
        self.read().namespaces.get(&namespace).map(|record| record.quotas.clone()).unwrap_or_default()
    }

    /// Why nothing may be stored for this namespace; `None` if something may.
    pub(super) fn refusal(&self, namespace: NamespaceId) -> Option<NamespaceError> {
        if !self.some_deleted.load(Ordering::Acquire) {
            return None;
        }
        match self.read().namespaces.get(&namespace) {
            None => Some(NamespaceError::NotFound("of this key".into())),
            Some(record) => record.deleting_since.map(|_| NamespaceError::Deleting(record.namespace.name.clone())),
        }
    }

    pub(super) fn task(&self, namespace: NamespaceId, name: &str) -> Option<Arc<Task>> {
        let name = Name::parse(name, "task").ok()?;
        self.read().by_name.get(&(namespace, name)).cloned()
    }

    pub(super) fn task_by_id(&self, id: i64) -> Option<Arc<Task>> {
        self.read().by_id.get(&id).cloned()
    }

    pub(super) fn all_tasks(&self) -> Vec<Arc<Task>> {
        self.read().by_id.values().cloned().collect()
    }

    pub(super) fn task_name(&self, id: i64) -> Option<Name> {
        self.read().by_id.get(&id).map(|task| task.name.clone())
    }

    pub(super) fn tasks(&self, namespace: NamespaceId) -> Vec<Arc<Task>> {
        self.read().by_name.iter().filter(|((owner, _), _)| *owner == namespace).map(|(_, task)| task.clone()).collect()
    }

    pub(super) fn digest(&self, component: i64) -> Option<Digest> {
        self.read().components.get(&component).copied()
    }

    pub(super) fn component_id(&self, digest: &Digest) -> Option<i64> {
        self.read().component_ids.get(digest).copied()
    }
}

/// Reads id, name, quotas, the time of its making, and since when it is being deleted.
pub(super) fn namespace(row: &Row<'_>) -> rusqlite::Result<NamespaceRecord> {
    let name: String = row.get(1)?;
    let name = Name::parse(&name, "name").map_err(|_| strange(1, "a namespace name that is none"))?;
    let quotas = quotas(&row.get::<_, String>(2)?).ok_or_else(|| strange(2, "quotas that this version does not know"))?;
    let namespace = Namespace { id: NamespaceId(row.get(0)?), name };
    Ok(NamespaceRecord { namespace, quotas, created_at: optional_time(row, 3)?, deleting_since: optional_time(row, 4)? })
}

/// What is set for one namespace, as it is stored: a JSON object of fields and their text.
pub(super) fn quotas_text(quotas: &NamespaceQuotas) -> String {
    let entries: BTreeMap<_, _> = quotas.entries().into_iter().collect();
    serde_json::to_string(&entries).expect("text as keys and values is JSON")
}

fn quotas(text: &str) -> Option<NamespaceQuotas> {
    let entries: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    NamespaceQuotas::default().with(entries.iter().map(|(field, value)| (field.as_str(), Some(value.as_str())))).ok()
}

/// A row of which not all could be understood.
#[derive(Default)]
struct Damage(Option<String>);

impl Damage {
    /// What was read, or else `instead`, the damage being noted.
    fn or<T>(&mut self, read: rusqlite::Result<T>, instead: T) -> T {
        read.unwrap_or_else(|error| {
            self.0.get_or_insert(error.to_string());
            instead
        })
    }
}

/// `before` are the tasks as they were last read. One of which a part can't be understood is as if that part said nothing, and paused: its runs and
/// crons are no worse off than those of a task that somebody paused, and registering its component again mends it.
fn task(row: &Row<'_>, components: &FxHashMap<i64, Digest>, before: &FxHashMap<i64, Arc<Task>>) -> rusqlite::Result<Task> {
    let (id, mut damage) = (row.get(0)?, Damage::default());
    let name = row.get::<_, String>(2)?;
    let name = Name::parse(&name, "name").map_err(|_| strange(2, "a task name that is none"));
    let unnamed = Name::parse(&format!("damaged-task-{id}"), "name").expect("it is a name");
    let digest = components.get(&row.get(3)?).copied().ok_or_else(|| strange(3, "a component that does not exist"));
    let grants: Result<Grants, _> = row.get::<_, String>(4)?.split_whitespace().map(Grant::parse).collect();
    let schema = row.get::<_, Option<String>>(6)?.map(|text| {
        // What was compiled of it before is good for longer than one reading.
        let known = before.get(&id).and_then(|task| task.input_schema.clone());
        known.filter(|schema| schema.as_str() == text).unwrap_or_else(|| InputSchema::from_stored(&text))
    });
    let policy = serde_json::from_str(&row.get::<_, String>(7)?).map_err(|_| strange(7, "a policy that this version does not know"));
    let overrides = overrides(&row.get::<_, String>(10)?).ok_or_else(|| strange(10, "a policy that this version does not know"));
    let mut task = Task {
        id: TaskId(id),
        namespace: NamespaceId(row.get(1)?),
        name: damage.or(name, unnamed),
        digest: damage.or(digest, Digest::from_bytes([0; 32])),
        grants: damage.or(grants.map_err(|_| strange(4, "a grant that this version does not know")), Grants::none()),
        description: row.get(5)?,
        input_schema: schema,
        policy: damage.or(policy, TaskPolicy::default()),
        overrides: damage.or(overrides, PolicySettings::default()),
        created_at: damage.or(time(row, 8), Timestamp::MIN),
        updated_at: damage.or(time(row, 9), Timestamp::MIN),
        pause: damage.or(pause_of(row, 11), None),
    };
    if let Some(damage) = damage.0 {
        tracing::error!(task = id, %damage, "a task can't be understood and is paused: somebody else wrote to the database");
        let note = format!("its row in the database is damaged ({damage}); register its component again");
        task.pause = Some(Pause { since: task.updated_at, until: None, note });
    }
    Ok(task)
}
