//! Namespaces: made, given quotas, and deleted slice by slice, whatever happens meanwhile.

use super::place;
use crate::conformance::world::{World, at, name, registration, succeeded};
use runlater::model::{
    AuditAction, AuditQuery, CronFilter, CronSettings, CronSpec, NamespaceId, NamespaceQuotas, Origin, TaskDefinition, TaskPolicy,
    UniqueKey, UniqueMode, ZoneDatabase,
};
use runlater::storage::{CreateError, Created, CronError, Erased, Holdings, NamespaceError, RegisterError, TokenRecord, TokenRefused};
use runlater::{Metadata, Page, RunFilter, RunId};

impl World {
    /// Begins to delete `other`.
    fn doom(&self, now: i64) -> Result<(), NamespaceError> {
        let storage = self.storage.on_behalf_of("operator");
        let begun = self.wait(storage.begin_deletion(self.namespace, name("other"), "all of it".into(), at(now)));
        begun.expect("the storage works").map(|record| assert_eq!(record.namespace.id, self.other))
    }

    /// Deletes what is left, as the background does.
    fn erase_all(&self, now: i64) -> usize {
        for slices in 1.. {
            match self.wait(self.storage.erase_namespace(self.other, at(now))).expect("the storage works") {
                Erased::More => {}
                Erased::InFlight => panic!("nothing is in flight"),
                Erased::Nothing => return slices,
            }
            assert!(slices < 1_000, "it must come to an end");
        }
        unreachable!()
    }

    fn other_run(&self, due: i64) -> runlater::model::NewRun {
        let task = self.storage.task(self.other, "task").expect("it is registered");
        runlater::model::NewRun { task, ..self.new_run(due, 0) }
    }

    fn create_other(&self, runs: Vec<runlater::model::NewRun>, now: i64) -> Result<Vec<RunId>, CreateError> {
        Ok(self.wait(self.storage.create(self.other, runs, at(now)))?.iter().map(Created::id).collect())
    }

    /// Some of everything in `other`; how many runs.
    fn fill_other(&self, runs: usize) -> usize {
        let metadata = Metadata::from_entries([("customer", "acme")]).unwrap();
        let mut made: Vec<_> = (0..runs).map(|_| runlater::model::NewRun { metadata: metadata.clone(), ..self.other_run(5) }).collect();
        made[0].unique_key = Some(unique("only"));
        self.create_other(made, 0).unwrap();
        let spec = cron_spec();
        for cron in ["beat", "tick"] {
            self.wait(self.storage.create_cron(self.other, name(cron), spec.clone(), Origin::Api, at(0))).unwrap().unwrap();
        }
        for id in ["a", "b"] {
            let token = TokenRecord {
                id: id.into(),
                hash: [7; 32],
                namespace: self.other,
                role: "admin".into(),
                note: String::new(),
                created_at: at(0),
                expires_at: None,
                revoked_at: None,
            };
            self.wait(self.storage.on_behalf_of("somebody").create_token(token)).unwrap().unwrap();
        }
        self.settle();
        self.storage.holdings(self.other).unwrap().runs as usize
    }
}

fn unique(key: &str) -> runlater::model::Unique {
    runlater::model::Unique { key: UniqueKey::parse(key, "key").unwrap(), mode: UniqueMode::Existing, held_for: Default::default() }
}

fn cron_spec() -> CronSpec {
    let settings = CronSettings { expression: Some("@every 1h".into()), ..CronSettings::default() };
    settings.create(name("task"), at(0), &ZoneDatabase::bundled()).expect("a cron")
}

#[test]
fn a_namespace_is_made_once_and_keeps_its_quotas() {
    let mut world = World::new(place());
    let quotas = NamespaceQuotas { live_runs: Some(3), tokens: Some(5), ..NamespaceQuotas::default() };
    let acme = world.wait(world.storage.create_namespace(None, name("acme"), quotas.clone(), at(1))).unwrap().unwrap();
    assert_eq!((acme.created_at, acme.deleting_since, &acme.quotas), (Some(at(1)), None, &quotas));
    let again = world.wait(world.storage.create_namespace(None, name("acme"), quotas.clone(), at(1))).unwrap();
    assert_eq!(again, Err(NamespaceError::Exists(name("acme"))));
    let changes = vec![("live-runs".into(), None), ("crons".to_owned(), Some("0".to_owned()))];
    world.wait(world.storage.change_quotas(world.namespace, name("acme"), changes.clone(), at(2))).unwrap().unwrap();
    let missing = world.wait(world.storage.change_quotas(world.namespace, name("nobody"), changes, at(2))).unwrap();
    assert_eq!(missing, Err(NamespaceError::NotFound("nobody".into())));
    world.reopen(3);
    let names: Vec<_> = world.storage.namespace_records().iter().map(|record| record.namespace.name.to_string()).collect();
    assert_eq!(names, ["acme", "default", "other"], "in order of name");
    let changed = NamespaceQuotas { live_runs: None, crons: Some(0), ..quotas };
    assert_eq!(world.storage.quotas_of(acme.namespace.id), changed, "what is not named stays");
    assert_eq!(world.storage.quotas_of(world.namespace), NamespaceQuotas::default());
}

#[test]
fn quotas_of_one_namespace_bind_no_other() {
    let world = World::new(place());
    let set = |field: &str, value: Option<&str>| {
        let change = vec![(field.to_owned(), value.map(str::to_owned))];
        world.wait(world.storage.change_quotas(world.namespace, name("other"), change, at(1))).unwrap().unwrap();
    };
    set("live-runs", Some("2"));
    world.create_other(vec![world.other_run(90), world.other_run(90)], 1).unwrap();
    let refused = world.create_other(vec![world.other_run(90)], 1).unwrap_err();
    assert!(matches!(&refused, CreateError::Quota(reason) if reason.contains("2 runs wait")), "{refused}");
    world.create((0..5).map(|_| world.new_run(90, 1)).collect(), 1);
    set("live-runs", None);
    world.create_other(vec![world.other_run(90)], 1).unwrap();

    set("crons", Some("1"));
    let create = |namespace: NamespaceId, cron: &str| {
        world.wait(world.storage.create_cron(namespace, name(cron), cron_spec(), Origin::Api, at(1))).unwrap().map(drop)
    };
    assert_eq!((create(world.other, "a"), create(world.other, "b")), (Ok(()), Err(CronError::TooMany(1))));
    assert_eq!((create(world.namespace, "a"), create(world.namespace, "b")), (Ok(()), Ok(())));

    set("component-bytes", Some("10"));
    let register = |namespace: NamespaceId, wasm: &[u8]| {
        let task = (TaskDefinition::new(name("large")), TaskPolicy::default());
        world.wait(world.storage.register(registration(namespace, wasm, vec![task]), at(1))).map(drop)
    };
    assert!(matches!(register(world.other, &[1; 100]), Err(RegisterError::Quota(reason)) if reason.contains("10 bytes")));
    register(world.namespace, &[1; 100]).unwrap();
}

#[test]
fn what_is_being_deleted_starts_nothing_and_takes_nothing() {
    let world = World::new(place());
    let runs = world.fill_other(3);
    let due = world.create(vec![world.new_run(5, 0)], 0);
    assert_eq!(world.doom(1), Ok(()));
    assert_eq!(world.doom(2), Ok(()), "once more changes nothing");
    let late = TokenRecord {
        id: "late".into(),
        hash: [7; 32],
        namespace: world.other,
        role: "admin".into(),
        note: String::new(),
        created_at: at(2),
        expires_at: None,
        revoked_at: None,
    };
    let refused = world.wait(world.storage.on_behalf_of("somebody").create_token(late)).unwrap();
    assert!(matches!(refused, Err(TokenRefused::Namespace(_))), "{refused:?}");
    assert_eq!(world.wait(world.storage.namespace(&name("other"), false)).unwrap(), None, "it is not found any more");
    assert!(world.storage.namespaces().iter().all(|namespace| namespace.id != world.other));
    let records = world.storage.namespace_records();
    let other = records.iter().find(|record| record.namespace.id == world.other).unwrap();
    assert_eq!(other.deleting_since, Some(at(1)), "but it is listed");
    let claimed: Vec<_> = world.claim(10, 10).iter().map(|claim| claim.run).collect();
    assert_eq!(claimed, due, "only the other namespace's run starts");
    assert!(matches!(world.create_other(vec![world.other_run(5)], 10), Err(CreateError::Namespace(NamespaceError::Deleting(_)))));
    let task = (TaskDefinition::new(name("task")), TaskPolicy::default());
    let registered = world.wait(world.storage.register(registration(world.other, b"new", vec![task]), at(10)));
    assert!(matches!(registered, Err(RegisterError::Namespace(NamespaceError::Deleting(_)))));
    let again = world.wait(world.storage.create_namespace(None, name("other"), NamespaceQuotas::default(), at(10))).unwrap();
    assert_eq!(again, Err(NamespaceError::Deleting(name("other"))), "its name is taken until it is gone");
    assert_eq!(world.storage.holdings(world.other).unwrap().runs as usize, runs, "nothing is deleted unasked");
}

#[test]
fn all_that_a_namespace_holds_goes_and_nothing_else() {
    let mut world = World::new(place());
    world.fill_other(450);
    let kept = world.create(vec![world.new_run(900, 0)], 0);
    let holds = world.storage.holdings(world.other).unwrap();
    assert_eq!((holds.live_runs, holds.tasks, holds.crons, holds.tokens, holds.components), (holds.runs, 1, 2, 2, 1), "{holds:?}");
    let before = world.storage.holdings(world.namespace).unwrap();
    world.doom(1).unwrap();
    assert!(world.erase_all(2) > 5, "in slices");
    assert_eq!(world.storage.holdings(world.other).unwrap(), Holdings::default());
    assert_eq!(world.storage.holdings(world.namespace).unwrap(), before);
    assert_eq!(world.all(world.other, 3), []);
    assert_eq!(world.storage.crons(world.other, &CronFilter::default(), at(3)).unwrap(), []);
    assert!(world.storage.audit(world.other, &AuditQuery::default()).unwrap().is_empty());
    assert!(world.storage.tokens().unwrap().is_empty());
    let recorded = world.storage.audit(world.namespace, &AuditQuery::default()).unwrap();
    let told: Vec<_> = recorded.iter().map(|entry| (entry.action, entry.subject.as_deref(), entry.detail.as_deref())).collect();
    assert_eq!(told, [(AuditAction::DeleteNamespace, Some("other"), Some("all of it"))], "once, and where the operator acts from");

    let stale = world.wait(world.storage.create(world.other, vec![world.new_run(5, 4)], at(4))).unwrap_err();
    assert!(matches!(stale, CreateError::Namespace(NamespaceError::NotFound(_))), "what still holds its key: {stale}");

    // One that is made under its name again has another key, also when that was the last one, and finds nothing.
    for restart in [false, true] {
        if restart {
            world.reopen(4);
        }
        let again = world.wait(world.storage.create_namespace(None, name("other"), NamespaceQuotas::default(), at(4))).unwrap().unwrap();
        assert!(again.namespace.id > world.other);
        assert_eq!(world.storage.holdings(again.namespace.id).unwrap(), Holdings::default());
        world.other = again.namespace.id;
        world.doom(5).unwrap();
        world.erase_all(5);
    }
    assert_eq!(world.get(kept[0], 6).id, kept[0]);
}

#[test]
fn a_deletion_goes_on_after_a_crash() {
    let mut world = World::new(place());
    let runs = world.fill_other(700);
    world.doom(1).unwrap();
    let mut left = runs;
    for life in 0..3 {
        world.crash(10 + life);
        assert!(world.storage.namespaces().iter().all(|namespace| namespace.id != world.other), "it is still marked");
        assert!(world.claim(10, 20 + life).is_empty(), "and starts nothing, though all of it is due");
        for _ in 0..2 {
            assert_eq!(world.wait(world.storage.erase_namespace(world.other, at(20 + life))).unwrap(), Erased::More);
        }
        let now = world.storage.holdings(world.other).unwrap().runs as usize;
        assert!(now < left, "{now} of {left} runs after life {life}");
        left = now;
    }
    world.erase_all(30);
    world.crash(40);
    assert_eq!(world.storage.namespace_records().len(), 1);
    assert_eq!(world.storage.holdings(world.other).unwrap(), Holdings::default());
    assert!(world.claim(10, 50).is_empty());
}

#[test]
fn an_attempt_in_flight_is_asked_to_end_and_awaited() {
    let world = World::new(place());
    let run = world.create_other(vec![world.other_run(5), world.other_run(5)], 0).unwrap()[0];
    let claim = world.claim(1, 5).swap_remove(0);
    assert_eq!(claim.run, run);
    world.doom(6).unwrap();
    assert!(claim.cancel.is_set());
    let erase = || world.wait(world.storage.erase_namespace(world.other, at(6))).unwrap();
    assert_eq!((erase(), erase(), erase()), (Erased::More, Erased::InFlight, Erased::InFlight));
    assert_eq!(world.storage.load_of(world.other).running, 1);
    world.finish(run, 1, succeeded(), 7);
    world.erase_all(8);
    let page = Page::new(1, None, Default::default()).unwrap();
    assert_eq!(world.storage.list(world.other, &RunFilter::default(), &page, at(9)).unwrap(), (vec![], None));
}

#[test]
fn some_namespaces_are_not_deleted() {
    let world = World::new(place());
    let delete = |acting_in: NamespaceId, which: &str| {
        world.wait(world.storage.begin_deletion(acting_in, name(which), String::new(), at(1))).unwrap().map(drop)
    };
    assert_eq!(delete(world.other, "default"), Err(NamespaceError::Permanent(name("default"))));
    assert_eq!(delete(world.other, "other"), Err(NamespaceError::ActingIn(name("other"))));
    assert_eq!(delete(world.other, "nobody"), Err(NamespaceError::NotFound("nobody".into())));
    // Without a mark, a slice deletes nothing.
    world.fill_other(2);
    assert_eq!(world.wait(world.storage.erase_namespace(world.other, at(2))).unwrap(), Erased::Nothing);
    assert_eq!(world.storage.holdings(world.other).unwrap().tokens, 2);
}
