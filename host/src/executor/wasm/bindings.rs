//! The Rust side of the WIT contract: the only place where bindings are generated.
//!
//! Used by the host interfaces and by whoever calls a guest. Nothing outside `executor/wasm` may see these types: they are
//! the contract's spelling, and the model's types are ours.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "tasks",
    imports: {
        // The only import that waits: it commits before it returns.
        "runlater:scheduler/runs.schedule-detached": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    trappable_error_type: { "runlater:scheduler/types.error" => super::host_interfaces::CallFailure },
    with: {
        "runlater:scheduler/definition.task-definition": super::host_interfaces::DefinitionDraft,
        "runlater:scheduler/runs.schedule-options": super::host_interfaces::ScheduleOptions,
        "runlater:scheduler/runs.run-filter": super::host_interfaces::FilterDraft,
        "runlater:scheduler/runs.run": crate::model::Run,
        "runlater:scheduler/definition.cron-options": crate::model::CronSettings,
        "runlater:scheduler/crons.cron": crate::model::Cron,
    },
});

pub(super) use self::runlater::scheduler::{context, crons, definition, pauses, runs, types};
pub(super) use exports::runlater::scheduler::task;
