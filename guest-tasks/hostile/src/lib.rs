//! Tasks that try to take more than they may, so that the host's limits are tested by what they are for.
//!
//! `compute` holds those that need no import of the scheduler, `calls` those that abuse its calls, `arguments` those that are refused
//! politely.

mod arguments;
mod calls;
mod compute;

runlater_task::export_tasks!(
    compute::endless_loop,
    compute::grow,
    compute::hold,
    compute::recurse,
    compute::huge_output,
    compute::huge_log,
    compute::trap,
    compute::panic,
    compute::exit,
    compute::random_1g,
    compute::canary,
    calls::flood,
    calls::handles,
    calls::huge_argument,
    calls::aliased_list,
    calls::endless_list,
    calls::fork_bomb,
    calls::many_children,
    calls::self_now,
    arguments::bad_arguments,
    arguments::trespass,
    arguments::look_around,
);
