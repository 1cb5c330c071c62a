//! Tasks that each do one thing, so that a test of the host can ask for exactly that.
//!
//! `ending` holds those about how an attempt ends, `effects` those about what it says and sees, `writes` those about
//! what commits. Their inputs are a contract with the tests.

mod effects;
mod ending;
mod writes;

runlater_task::export_tasks!(
    ending::fail_until,
    ending::fail_always,
    ending::retry_after,
    ending::reject,
    ending::snooze_once,
    ending::sleep,
    ending::spin_until_cancelled,
    ending::ignore_cancel,
    ending::crons,
    effects::touch,
    effects::progress,
    effects::log,
    effects::context,
    writes::schedule,
    writes::schedule_then_fail,
    writes::schedule_then_trap,
    writes::decide_until,
    writes::schedule_then_wait,
    writes::schedule_detached_then_trap,
    writes::own_writes,
    writes::trigger,
    writes::bulk,
    writes::use_unique_keys,
    writes::work,
);
