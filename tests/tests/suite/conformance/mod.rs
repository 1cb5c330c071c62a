//! The definition of [`Storage`](runlater::storage::Storage): one file per verb, compiled once for every backend.
//!
//! No case knows which backend it runs on: it opens a [`World`](world::World) at the `place()` of the module above it. A further
//! backend is a file like `sqlite.rs`, and is done when its copy of the suite is green.

/// The verbs, under whichever backend this is called in.
macro_rules! verbs {
    () => {
        #[path = "amend.rs"]
        mod amend;
        #[path = "attempts.rs"]
        mod attempts;
        #[path = "audit.rs"]
        mod audit;
        #[path = "backup.rs"]
        mod backup;
        #[path = "cancel.rs"]
        mod cancel;
        #[path = "catch_up.rs"]
        mod catch_up;
        #[path = "chain.rs"]
        mod chain;
        #[path = "claim.rs"]
        mod claim;
        #[path = "create.rs"]
        mod create;
        #[path = "cron.rs"]
        mod cron;
        #[path = "delete.rs"]
        mod delete;
        #[path = "finish.rs"]
        mod finish;
        #[path = "gate.rs"]
        mod gate;
        #[path = "gate_history.rs"]
        mod gate_history;
        #[path = "history.rs"]
        mod history;
        #[path = "idempotency.rs"]
        mod idempotency;
        #[path = "list.rs"]
        mod list;
        #[path = "load.rs"]
        mod load;
        #[path = "miss.rs"]
        mod miss;
        #[path = "namespaces.rs"]
        mod namespaces;
        #[path = "on_failure.rs"]
        mod on_failure;
        #[path = "pause.rs"]
        mod pause;
        #[path = "prune.rs"]
        mod prune;
        #[path = "ready.rs"]
        mod ready;
        #[path = "recover.rs"]
        mod recover;
        #[path = "register.rs"]
        mod register;
        #[path = "reschedule.rs"]
        mod reschedule;
        #[path = "tokens.rs"]
        mod tokens;
        #[path = "trigger.rs"]
        mod trigger;
        #[path = "unique_key.rs"]
        mod unique_key;
        #[path = "watch.rs"]
        mod watch;
        #[path = "write_set.rs"]
        mod write_set;
    };
}

pub(crate) mod sqlite;
pub(crate) mod world;
