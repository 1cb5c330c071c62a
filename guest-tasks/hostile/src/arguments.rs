//! Arguments that no call accepts, runs that are somebody else's, and a look at what an attempt is given by the system.

use std::collections::BTreeMap;

use runlater_task::prelude::*;
use runlater_task::{Error, Schedule};

/// What each call answered, by what was tried.
type Answers = BTreeMap<&'static str, String>;

/// The error as Rust writes it: its variant and its fields.
fn answer<T>(said: Result<T, Error>) -> String {
    said.map_or_else(|error| format!("{error:?}"), |_| "accepted".to_owned())
}

/// Makes every call with something that is not valid. Returns what was answered.
#[task(name = "bad-arguments")]
pub(crate) fn bad_arguments(run: &Run) -> Result<Answers, Failure> {
    let a_day = || schedule("bad-arguments").after(days(1));
    let long = "x".repeat(129);
    let many = (0..33).fold(a_day(), |run, number| run.metadata(&format!("key-{number}"), "value"));
    let send = |run: Schedule| answer(run.send(&()));
    let ids = |count| vec![run.id(); count];
    let moves = |count| ids(count).into_iter().map(|id| (id, Due::Now)).collect::<Vec<_>>();
    let page = |size| answer(runs::list(runs::filter()).page_size(size).next().transpose());
    let nobody = RunId::from("not-an-id");
    Ok(Answers::from([
        ("name", send(schedule("Not A Name").after(days(1)))),
        ("name, empty", send(schedule(""))),
        ("name, 129 bytes", send(schedule(&long))),
        ("task that is not there", send(schedule("no-such-task"))),
        ("after", send(schedule("bad-arguments").after(Duration::from_nanos(u64::MAX)))),
        ("metadata, 33 entries", send(many)),
        ("metadata, key of 129 bytes", send(a_day().metadata(&long, "value"))),
        ("metadata, value of 129 bytes", send(a_day().metadata("key", &long))),
        ("metadata, no key", send(a_day().metadata("", "value"))),
        ("unique key, empty", send(a_day().unique_key(""))),
        ("unique key, 257 bytes", send(a_day().unique_key(&"k".repeat(257)))),
        ("find by unique key, empty", answer(runs::find_by_unique_key(""))),
        ("detached, unique key, empty", answer(a_day().send_detached("", &()))),
        ("priority 0", send(a_day().priority(0))),
        ("priority 9", send(a_day().priority(9))),
        ("timeout 0", send(a_day().timeout(seconds(0)))),
        ("timeout 25 h", send(a_day().timeout(hours(25)))),
        ("max attempts 0", send(a_day().max_attempts(0))),
        ("max attempts 101", send(a_day().max_attempts(101))),
        ("input of 256 KiB and two quotes", answer(a_day().send(&"x".repeat(256 << 10)))),
        ("bulk delete of 0", answer(runs::bulk_delete(&[]))),
        ("bulk delete of 501", answer(runs::bulk_delete(&ids(501)))),
        ("bulk reschedule of 0", answer(runs::bulk_reschedule(&[]))),
        ("bulk reschedule of 501", answer(runs::bulk_reschedule(&moves(501)))),
        ("bulk reschedule to two times", answer(runs::bulk_reschedule(&[(run.id(), Due::Now), (run.id(), Due::After(days(1)))]))),
        ("bulk delete by an empty filter", answer(runs::bulk_delete_matching(&runs::filter()))),
        ("bulk trigger by an empty filter", answer(runs::bulk_trigger_matching(&runs::filter()))),
        ("filter, all of a task", answer(runs::bulk_delete_matching(&runs::Filter::all().task("bad-arguments")))),
        ("filter, two values", answer(runs::bulk_delete_matching(&runs::filter().metadata("k", "1").metadata("k", "2")))),
        ("page of 0", page(0)),
        ("page of 501", page(501)),
        ("cursor, forged", forged_cursor()),
        ("id", answer(runs::get(&nobody))),
        ("id, deleted", answer(runs::delete(&nobody))),
        ("filter, parent", answer(runs::list(runs::filter().parent(&nobody)).next().transpose())),
        ("filter, status", answer(runs::list(runs::filter().status(Status::Other("dreaming".to_owned()))).next().transpose())),
    ]))
}

#[cfg(target_family = "wasm")]
fn forged_cursor() -> String {
    // The bindings themselves: the SDK has only cursors that the host gave it.
    use runlater_task::bindings::runlater::scheduler::runs;
    let page = runs::Page { size: 10, cursor: Some("forged".to_owned()), order: runs::Order::NewestFirst };
    match runs::list(&runs::RunFilter::new(), &page) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

#[cfg(not(target_family = "wasm"))]
fn forged_cursor() -> String {
    "there are no cursors without a host".to_owned()
}

/// Tries to read and to change runs that are in another namespace. Returns what was answered.
#[task]
pub(crate) fn trespass(foreign: Vec<RunId>) -> Result<Vec<Answers>, Failure> {
    let try_all = |run: RunId| {
        Answers::from([
            ("get", answer(runs::get(&run))),
            ("cancel", answer(runs::cancel(&run))),
            ("delete", answer(runs::delete(&run))),
            ("reschedule", answer(runs::reschedule(&run, days(1)))),
            ("trigger", answer(runs::trigger(&run))),
        ])
    };
    Ok(foreign.into_iter().map(try_all).collect())
}

/// Counts what the system gave to the attempt: variables, arguments, open directories, and bytes on standard input.
#[task(name = "look-around")]
pub(crate) fn look_around() -> Result<[usize; 4], Failure> {
    let read = std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok([std::env::vars_os().count(), std::env::args_os().count(), open_directories(), read as usize])
}

#[cfg(target_family = "wasm")]
fn open_directories() -> usize {
    // Straight to the interface: the standard library only looks for a path among them.
    #[link(wasm_import_module = "wasi:filesystem/preopens@0.2.0")]
    unsafe extern "C" {
        #[link_name = "get-directories"]
        fn get_directories(returned: *mut [usize; 2]);
    }
    let mut returned = [usize::MAX; 2];
    // SAFETY: the canonical ABI writes a pointer and a length there.
    unsafe { get_directories(&mut returned) };
    returned[1]
}

#[cfg(not(target_family = "wasm"))]
fn open_directories() -> usize {
    0
}
