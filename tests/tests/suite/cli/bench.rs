//! `bench`: every figure that it promises is there, under its key, with its spread.

use std::sync::Arc;

use runlater::bench::{Part, Plan, Subject};
use runlater::executor::wasm::Compiler;
use serde_json::Value;

use super::run_in;
use crate::{built, guests};

/// What each part reports, by the path of the key.
const KEYS: [&str; 21] = [
    "overhead_ratio",
    "attempt_us",
    "bare.instance_us_1t",
    "bare.instance_us_2t",
    "create_per_s.1",
    "create_per_s.64",
    "bare.sqlite_life_cycle_per_s",
    "drain_runs_per_s",
    "end_to_end_runs_per_s",
    "http.create_per_s",
    "lateness_us.p50",
    "lateness_us.p99",
    "lateness_us.p999",
    "lateness_idle_us.p99",
    "list_100_of_1m_ms",
    "bulk_100k_s.reschedule",
    "bulk_100k_s.delete",
    "writer_stall_ms",
    "rss_mib.idle",
    "rss_mib.tasks_1000",
    "rss_mib.waiting_1000",
];
/// Those of the parts `overhead` and `creates`.
const SMALLEST: usize = 6;

/// Each of these is a number above none, between the smallest and the largest of its spread.
fn check(report: &Value, keys: &[&str]) {
    for key in keys {
        let path = format!("/{}", key.replace('.', "/"));
        let median = report.pointer(&path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{key} is not in {report}"));
        let spread = report["spread"].pointer(&path).and_then(Value::as_array).unwrap_or_else(|| panic!("{key} has no spread: {report}"));
        let (min, max) = (spread[0].as_f64().unwrap(), spread[1].as_f64().unwrap());
        assert!(min <= median && median <= max && median >= 0.0 && max.is_finite(), "{key}: {median} of {min} to {max}");
    }
}

#[test]
fn the_smallest_parts_are_measured_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let component = built::guest("measured");
    let only = ["bench", "--quick", "--only", "overhead", "--only", "creates", "--json", "--component", &component.to_string_lossy()];
    let report: Value = serde_json::from_str(&run_in(folder.path(), &only).ok()).unwrap();
    check(&report, &KEYS[..SMALLEST]);
    assert!(report.get("lateness_us").is_none() && report.get("rss_mib").is_none(), "only what was asked for: {report}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its databases are gone");
    run_in(folder.path(), &["bench", "--only", "everything"]).fails(2, &["everything", "overhead, sqlite"]);
    run_in(folder.path(), &["bench", "--component", "no.wasm"]).fails(74, &["no.wasm"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_parts_report_what_they_promise() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        calls: 20,
        runs: 200,
        stored: 500,
        few: 100,
        many: 200,
        creates: 10,
        bulk: 100,
        crons: 50,
        crowd: 4,
        repeats: 1,
        ..Plan::quick()
    };
    let wasm = Arc::clone(&guests::component("measured"));
    let subject = Subject { wasm, compiler: Compiler::InProcess, folder: folder.path().to_path_buf() };
    let report = runlater::bench::run(&plan, &Part::ALL, &subject, &|_| ()).await.unwrap();
    check(&report.to_json(), &KEYS);
    check(
        &report.to_json(),
        &[
            "growth.ratio",
            "http.create_ratio",
            "policies.unused_ratio",
            "neighbour_ratio.endless",
            "neighbour_ratio.busy",
            "neighbour_ratio.compiling",
            "neighbour_ratio.sleepers",
            "neighbour_ratio.memory",
            "crons_10k.lateness_us.p99",
        ],
    );
    assert_eq!(report.rows().iter().filter(|[.., meaning]| meaning.is_empty()).count(), 0, "each figure says what it is");
}
