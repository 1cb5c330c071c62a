//! The Rust side of the WIT contract: the only place where bindings are generated.
//!
//! Used by the host interfaces and by whoever calls a guest. Nothing outside `executor/wasm` may see these types: they are
//! the contract's spelling, and the model's types are ours.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "tasks",
    imports: {
        // It commits before it returns.
        "runlater:scheduler/runs.schedule-detached": async | trappable,
        // What may take long lets other attempts use the thread meanwhile. To the guest it is an ordinary call.
        "runlater:scheduler/definition.[method]task-definition.set-input-schema": async | trappable,
        "runlater:scheduler/runs.schedule": async | trappable,
        "runlater:scheduler/runs.list": async | trappable,
        "runlater:scheduler/runs.bulk-delete": async | trappable,
        "runlater:scheduler/runs.bulk-delete-matching": async | trappable,
        "runlater:scheduler/runs.bulk-reschedule": async | trappable,
        "runlater:scheduler/runs.bulk-reschedule-matching": async | trappable,
        "runlater:scheduler/runs.bulk-shift-matching": async | trappable,
        "runlater:scheduler/runs.bulk-trigger": async | trappable,
        "runlater:scheduler/runs.bulk-trigger-matching": async | trappable,
        "runlater:scheduler/crons.create": async | trappable,
        "runlater:scheduler/crons.list": async | trappable,
        "runlater:scheduler/crons.update": async | trappable,
        "runlater:scheduler/crons.next": async | trappable,
        "runlater:scheduler/crons.trigger": async | trappable,
        "runlater:scheduler/crons.backfill": async | trappable,
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
