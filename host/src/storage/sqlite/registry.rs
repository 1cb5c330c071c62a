//! The registered tasks, components and namespaces, in memory: every create and every claim asks for them.
//!
//! Filled when the storage opens; changed by the writer after the commit of a registration.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::{Connection, Row};
use rustc_hash::FxHashMap;

use super::pause::pause_of;
use super::rows::{sound, strange, time};
use crate::model::{Digest, Grant, Grants, InputSchema, Name, Namespace, NamespaceId, PolicySettings, Task, TaskId};

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

#[derive(Default)]
pub(super) struct Registry {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    namespaces: BTreeMap<NamespaceId, Namespace>,
    by_id: FxHashMap<i64, Arc<Task>>,
    by_name: BTreeMap<(NamespaceId, Name), Arc<Task>>,
    components: FxHashMap<i64, Digest>,
    component_ids: FxHashMap<Digest, i64>,
}

/// The registry, read and not yet in effect.
pub(super) struct Reloaded<'a> {
    inner: RwLockWriteGuard<'a, Inner>,
    fresh: Inner,
}

impl Reloaded<'_> {
    /// From now on it is what everybody sees.
    pub(super) fn take_effect(mut self) {
        *self.inner = self.fresh;
    }
}

impl Inner {
    /// What the database says. A row that can't be understood is left out, with what refers to it: runs of such a task wait for a host that
    /// knows it. `before` are the tasks as they were last read.
    fn of(conn: &Connection, before: &FxHashMap<i64, Arc<Task>>) -> rusqlite::Result<Self> {
        let mut fresh = Self::default();
        let mut statement = conn.prepare("-- registry: namespaces\nSELECT id, name FROM runlater_namespaces")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(namespace) = sound("namespaces", namespace(row))? {
                fresh.namespaces.insert(namespace.id, namespace);
            }
        }
        let mut statement = conn.prepare("-- registry: components\nSELECT id, digest FROM runlater_components")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let digest = Digest::from_bytes(row.get(1)?);
            fresh.components.insert(row.get(0)?, digest);
            fresh.component_ids.insert(digest, row.get(0)?);
        }
        let mut statement = conn.prepare(
            "-- registry: tasks
             SELECT id, namespace, name, component, grants, description, input_schema, policy, created_at, updated_at, overrides, pause
             FROM runlater_tasks",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(task) = sound("tasks", task(row, &fresh.components, before))? {
                let task = Arc::new(task);
                fresh.by_id.insert(task.id.0, task.clone());
                fresh.by_name.insert((task.namespace, task.name.clone()), task);
            }
        }
        Ok(fresh)
    }
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().expect("nothing panics while it holds the registry")
    }

    /// Reads everything from the database.
    pub(super) fn load(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.reload(conn).map(Reloaded::take_effect)
    }

    /// Reads everything as the transaction that is about to commit will leave it. Until that [takes effect](Reloaded::take_effect), or is dropped
    /// because nothing was committed, whoever asks for a task waits: so nobody who has seen a row of this commit finds a task as it was before.
    pub(super) fn reload(&self, conn: &Connection) -> rusqlite::Result<Reloaded<'_>> {
        let before = self.read().by_id.clone();
        let fresh = Inner::of(conn, &before)?;
        Ok(Reloaded { inner: self.inner.write().expect("nothing panics while it holds the registry"), fresh })
    }

    pub(super) fn namespace(&self, name: &Name) -> Option<Namespace> {
        self.read().namespaces.values().find(|namespace| namespace.name == *name).cloned()
    }

    pub(super) fn namespaces(&self) -> Vec<Namespace> {
        self.read().namespaces.values().cloned().collect()
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

fn namespace(row: &Row<'_>) -> rusqlite::Result<Namespace> {
    let name: String = row.get(1)?;
    let name = Name::parse(&name, "name").map_err(|_| strange(1, "a namespace name that is none"))?;
    Ok(Namespace { id: NamespaceId(row.get(0)?), name })
}

/// `before` are the tasks as they were last read.
fn task(row: &Row<'_>, components: &FxHashMap<i64, Digest>, before: &FxHashMap<i64, Arc<Task>>) -> rusqlite::Result<Task> {
    let (id, name, grants, policy): (i64, String, String, String) = (row.get(0)?, row.get(2)?, row.get(4)?, row.get(7)?);
    let grants: Result<Grants, _> = grants.split_whitespace().map(Grant::parse).collect();
    let schema: Option<String> = row.get(6)?;
    let schema = schema.map(|text| {
        // What was compiled of it before is good for longer than one reading.
        let known = before.get(&id).and_then(|task| task.input_schema.clone());
        known.filter(|schema| schema.as_str() == text).unwrap_or_else(|| InputSchema::from_stored(&text))
    });
    Ok(Task {
        id: TaskId(id),
        namespace: NamespaceId(row.get(1)?),
        name: Name::parse(&name, "name").map_err(|_| strange(2, "a task name that is none"))?,
        digest: *components.get(&row.get(3)?).ok_or_else(|| strange(3, "a component that does not exist"))?,
        grants: grants.map_err(|_| strange(4, "a grant that this version does not know"))?,
        description: row.get(5)?,
        input_schema: schema,
        policy: serde_json::from_str(&policy).map_err(|_| strange(7, "a policy that this version does not know"))?,
        overrides: overrides(&row.get::<_, String>(10)?).ok_or_else(|| strange(10, "a policy that this version does not know"))?,
        created_at: time(row, 8)?,
        updated_at: time(row, 9)?,
        pause: pause_of(row, 11)?,
    })
}
