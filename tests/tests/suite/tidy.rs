//! The shape of the source: what no compiler checks and every reader relies on.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A layer may use those before it.
const LAYERS: [(&str, &[&str]); 20] = [
    // Marks for tests, anywhere.
    ("failpoint", &[]),
    ("model", &[]),
    ("cancel", &[]),
    ("listeners", &[]),
    ("clock", &["model"]),
    ("time_limit", &["cancel", "clock"]),
    ("urgent", &[]),
    ("stand_back", &[]),
    ("machine_memory", &[]),
    ("telemetry", &["model"]),
    // Reads the time zone database.
    ("zones", &["model"]),
    ("storage", &["model", "cancel", "clock", "time_limit", "zones"]),
    ("executor", &["model", "cancel", "clock", "listeners", "urgent", "stand_back", "zones"]),
    (
        "scheduler",
        &[
            "model",
            "cancel",
            "clock",
            "listeners",
            "time_limit",
            "urgent",
            "stand_back",
            "machine_memory",
            "telemetry",
            "zones",
            "storage",
            "executor",
        ],
    ),
    ("config", &["model", "cancel", "clock", "telemetry", "storage", "executor", "scheduler"]),
    // The doors. Storage's records and events are what they show; its verbs they reach through the scheduler.
    ("http", &["model", "cancel", "clock", "telemetry", "storage", "executor", "scheduler", "config"]),
    // Shares the listener, the gate and the form of refusals of `http`, which does not know it.
    ("hatchet", &["model", "cancel", "clock", "telemetry", "storage", "executor", "scheduler", "config", "http"]),
    // Calls the parsers of each layer; nothing knows it.
    ("fuzzing", &["model", "zones", "storage", "executor", "http", "hatchet"]),
    // Measures all of it; only the command line knows it.
    ("bench", &["model", "cancel", "clock", "stand_back", "telemetry", "storage", "executor", "scheduler", "config", "http"]),
    ("cli", &["model", "cancel", "clock", "telemetry", "zones", "storage", "executor", "scheduler", "config", "http", "hatchet", "bench"]),
];

const LINES_SOFT: usize = 400;
const LINES_HARD: usize = 700;

/// Files of the suite for which no backend has a verb: where they stand in for all of them.
const NOT_VERBS: [&str; 4] = ["mod", "sqlite", "history", "gate_history"];

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

/// Every file of the host: its path below `host/src`, and its text.
pub(crate) fn sources() -> Vec<(String, String)> {
    fn read(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("the source is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                read(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).expect("it is text")));
            }
        }
    }
    let (root, mut found) = (source_folder(), Vec::new());
    read(&root, &root, &mut found);
    found.sort();
    assert!(found.len() > 30, "the source is where it was");
    found
}

/// The lines of code with their numbers: neither comments nor tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests].lines().enumerate().map(|(number, line)| (number + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a file is compiled for tests alone: the module of its folder says so.
fn is_for_tests(name: &str) -> bool {
    let module = source_folder().join(name).with_file_name("mod.rs");
    let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".rs");
    fs::read_to_string(module).is_ok_and(|text| text.contains(&format!("#[cfg(test)]\nmod {stem};")))
}

/// Fails with every place where `wrong` says what is wrong.
fn all_well(wrong: impl Fn(&str, &str) -> Option<String>) {
    let mut found = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| !is_for_tests(name)) {
        for (number, line) in code(&text) {
            found.extend(wrong(&name, line).map(|what| format!("host/src/{name}:{number}: {what}")));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn layer(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or(name)
}

/// The crate's own modules that a line names.
fn uses(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""))
}

fn starts_with_any<'a>(name: &str, folders: &'a [&str]) -> Option<&'a str> {
    folders.iter().find(|folder| name.starts_with(**folder)).copied()
}

#[test]
fn layers_look_down_only() {
    all_well(|name, line| {
        let own = layer(name);
        let (_, below) = LAYERS.iter().find(|(layer, _)| *layer == own)?;
        let strange = uses(line).find(|used| LAYERS.iter().any(|(layer, _)| layer == used) && *used != own && !below.contains(used))?;
        Some(format!("`{own}` must not know `{strange}`"))
    });
}

#[test]
fn every_file_belongs_to_a_layer() {
    for (name, _) in sources() {
        let known = ["lib", "main"].contains(&layer(&name)) || LAYERS.iter().any(|(known, _)| *known == layer(&name));
        assert!(known, "host/src/{name} is in no layer: add it to LAYERS, with what it may know");
    }
}

#[test]
fn what_belongs_to_one_place_stays_there() {
    /// A word, the folders that may use it, and why nobody else.
    const HOMES: [(&str, &[&str], &str); 11] = [
        (
            "rusqlite",
            &["storage/sqlite/", "scheduler/schedule.rs", "bench/sqlite.rs"],
            "only the backend knows its database; a schedule joins an embedder's own transaction; the bench measures bare SQLite",
        ),
        (
            "wasmtime",
            &["executor/wasm/", "scheduler/builder.rs"],
            "only the wasm executor knows wasmtime; the builder hands an embedder's own host functions through",
        ),
        ("wasmparser", &["executor/wasm/"], "only the wasm executor knows wasm"),
        (
            "axum",
            &["http/", "hatchet/", "cli/", "bench/http.rs"],
            "nothing below the doors knows HTTP; the bench measures the raw limit of a server",
        ),
        ("tower_http", &["http/", "hatchet/", "cli/"], "nothing below the doors knows HTTP"),
        ("clap::", &["cli/", "main.rs"], "only the command line knows its parser"),
        ("anyhow", &["cli/", "main.rs"], "errors are sorted by what the caller can do"),
        ("SystemTime::now", &["clock.rs"], "take `now`"),
        ("Utc::now", &["clock.rs"], "take `now`"),
        ("Local::now", &["clock.rs"], "take `now`"),
        ("bindgen!", &["executor/wasm/bindings.rs"], "the contract is bound in one place"),
    ];
    all_well(|name, line| {
        let (word, _, why) = HOMES.iter().find(|(word, homes, _)| names(line, word) && starts_with_any(name, homes).is_none())?;
        Some(format!("`{word}`: {why}"))
    });
}

/// Whether `word` stands in the line by itself, and not within a longer word or as part of a text.
fn names(line: &str, word: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    code.match_indices(word).any(|(start, _)| {
        let inner = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let in_text = code[..start].matches('"').count() % 2 == 1;
        !in_text && !code[..start].ends_with(inner) && (word.ends_with([':', '!']) || !code[start + word.len()..].starts_with(inner))
    })
}

#[test]
fn the_model_knows_no_outside_world() {
    all_well(|name, line| {
        let strange =
            ["tokio", "std::fs", "std::net::Tcp", "std::thread", "async fn", "tracing::"].into_iter().find(|word| names(line, word));
        Some(format!("`{}` in the model", strange.filter(|_| layer(name) == "model")?))
    });
}

#[test]
fn statements_stand_in_storage_only() {
    const BEGINNINGS: [&str; 7] = ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM", "\"CREATE ", "\"PRAGMA ", "\"BEGIN"];
    all_well(|name, line| {
        let found = BEGINNINGS.into_iter().find(|beginning| line.contains(beginning))?;
        // The raw limit that the bench shows is measured in a database of its own.
        (layer(name) != "storage" && name != "bench/sqlite.rs").then(|| format!("{found}…: only storage speaks to its database"))
    });
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > LINES_HARD {
            wrong.push(format!("host/src/{name} has {lines} lines, {LINES_HARD} is the most"));
        } else if lines > LINES_SOFT {
            println!("host/src/{name} has {lines} lines; more than {LINES_SOFT} is much");
        }
        // What is generated or not written yet has nothing to say.
        if !text.starts_with("//!") && code(&text).any(|(_, line)| !line.trim().is_empty()) && name != "main.rs" {
            wrong.push(format!("host/src/{name} does not begin with `//!` and what it is for"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn no_file_is_a_drawer() {
    const DRAWERS: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "manager", "misc", "info"];
    for (name, _) in sources() {
        let drawer = name.trim_end_matches(".rs").split('/').find(|part| DRAWERS.contains(part));
        assert!(drawer.is_none(), "host/src/{name}: say what is in it");
    }
}

#[test]
fn the_suite_has_the_verbs_of_the_backends() {
    let names = |folder: PathBuf| {
        let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").path());
        let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        files.map(|path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let verbs = names(source_folder().join("storage/sqlite"));
    let cases = names(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/conformance"));
    for case in cases.iter().filter(|case| !NOT_VERBS.contains(&case.as_str())) {
        let is_there = verbs.contains(case) || source_folder().join("storage/sqlite").join(case).is_dir();
        assert!(is_there, "conformance/{case}.rs: there is no storage/sqlite/{case}.rs");
    }
    for verb in verbs.iter().filter(|verb| *verb != "mod") {
        let text = fs::read_to_string(source_folder().join(format!("storage/sqlite/{verb}.rs"))).expect("it is text");
        let changes = text.contains("tx: &mut Tx<'_>,") && text.contains("now: Timestamp");
        let covered = cases.contains(verb) || ["change"].contains(&verb.as_str());
        assert!(covered || !changes, "storage/sqlite/{verb}.rs changes runs: it needs a conformance/{verb}.rs");
    }
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(uses("use crate::storage::{A, B}; crate::model::X").collect::<Vec<_>>(), ["storage", "model"]);
    assert_eq!(layer("storage/sqlite/mod.rs"), "storage");
    assert_eq!(layer("clock.rs"), "clock");
    assert!(is_for_tests("model/cron/sweep.rs") && !is_for_tests("model/cron/search.rs") && !is_for_tests("clock.rs"));
    assert!(names("use axum::Router;", "axum") && names("let now = Utc::now();", "Utc::now"));
    assert!(!names("let text = \"axum\";", "axum") && !names("// axum", "axum") && !names("maxaxum::x", "axum"));
}
