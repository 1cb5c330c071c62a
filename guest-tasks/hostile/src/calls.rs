//! Too many calls, too many handles, arguments that are too long, and chains that never end.

use runlater_task::prelude::*;

/// Calls the host for ever, as fast as it can.
#[task]
pub(crate) fn flood(run: &Run) -> Result<(), Failure> {
    loop {
        std::hint::black_box(run.now());
    }
}

/// Makes resources and never drops them.
#[task]
pub(crate) fn handles() -> Result<(), Failure> {
    loop {
        leak_handle()?;
    }
}

#[cfg(target_family = "wasm")]
fn leak_handle() -> Result<(), Failure> {
    // The bindings themselves: the SDK drops its handles, as it should.
    std::mem::forget(runlater_task::bindings::runlater::scheduler::runs::RunFilter::new());
    Ok(())
}

#[cfg(not(target_family = "wasm"))]
fn leak_handle() -> Result<(), Failure> {
    Err(Failure::reject("there are no handles without a host"))
}

/// Passes a string of 2 MiB to the host.
#[task(name = "huge-argument")]
pub(crate) fn huge_argument() -> Result<(), Failure> {
    log::info("x".repeat(2 << 20));
    Ok(())
}

/// Passes a list of 1,000 ids to the host that all are the same 2 MiB: 2 GB to whoever copies them.
#[task(name = "aliased-list")]
pub(crate) fn aliased_list() -> Result<(), Failure> {
    let id = vec![b'x'; 2 << 20];
    bulk_delete(&vec![[id.as_ptr() as usize, id.len()]; 1_000], 1_000);
    Ok(())
}

/// Passes a list of 2^31 ids to the host, none of which are there.
#[task(name = "endless-list")]
pub(crate) fn endless_list() -> Result<(), Failure> {
    bulk_delete(&[], 1 << 31);
    Ok(())
}

#[cfg(target_family = "wasm")]
fn bulk_delete(ids: &[[usize; 2]], count: usize) {
    // Straight to the interface: Rust's own lists are as long as they say.
    #[link(wasm_import_module = "runlater:scheduler/runs@0.1.0")]
    unsafe extern "C" {
        #[link_name = "bulk-delete"]
        fn bulk_delete(ids: *const [usize; 2], count: usize, returned: *mut [usize; 8]);
    }
    let mut returned = [0; 8];
    // SAFETY: the canonical ABI reads so many pairs there, or traps, and writes a result.
    unsafe { bulk_delete(ids.as_ptr(), count, &mut returned) };
}

#[cfg(not(target_family = "wasm"))]
fn bulk_delete(_ids: &[[usize; 2]], _count: usize) {}

/// Schedules itself twice, at once.
#[task(name = "fork-bomb")]
pub(crate) fn fork_bomb() -> Result<(), Failure> {
    schedule("fork-bomb").send(&())?;
    schedule("fork-bomb").send(&())?;
    Ok(())
}

/// Schedules 1,001 runs of itself, a day ahead.
#[task(name = "many-children")]
pub(crate) fn many_children() -> Result<(), Failure> {
    for _ in 0..1_001 {
        schedule("many-children").after(days(1)).send(&())?;
    }
    Ok(())
}

/// Schedules itself at once, for ever.
#[task(name = "self-now")]
pub(crate) fn self_now() -> Result<(), Failure> {
    schedule("self-now").after(seconds(0)).send(&())?;
    Ok(())
}
