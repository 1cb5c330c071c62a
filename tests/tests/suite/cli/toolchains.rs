//! Components that stock toolchains make are registered and run, and the limits on their parts leave at least twice the room that they need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runlater::executor::wasm::component_counts;
use serde_json::json;

use super::Server;
use super::bombs::{leb, module, section};
use crate::built;
use crate::registries::{self, Python};

/// What is counted, and how many componentize-py 0.25.1 (CPython 3.14), componentize-js 0.23.0, and Go 1.27 make of it. Only the figures that are
/// known of Go are there: no registry that CI reaches has its toolchain, so modules of the same counts stand in for its components.
#[rustfmt::skip]
const MEASURED: [(&str, [u64; 3]); 15] = [
    ("functions",                                   [13_439, 12_792,       0]),
    ("bytes in one function",                       [426_843, 171_628,     0]),
    ("locals in one function",                      [   271,    118,       0]),
    ("branch table targets",                        [46_801, 48_164, 105_825]),
    ("levels of nesting",                           [     1,      1,       0]),
    ("types",                                       [ 1_277,    246,       0]),
    ("exports",                                     [ 4_296,     90,       0]),
    ("data segments",                               [ 1_999, 10_000,  43_973]),
    ("memories",                                    [     1,      1,       0]),
    ("tables",                                      [     2,      2,       0]),
    ("elements of tables to begin with",            [ 5_846,  7_801,       0]),
    ("operators in constant expressions",           [ 5_962, 20_012,       0]),
    ("table elements",                              [ 5_844,  7_800,       0]),
    ("parts",                                       [ 5_583,    698,       0]),
    ("imports and exports of the component itself", [    30,     20,       0]),
];

/// Compares the counts of a component with its column of the table, and the limits with both.
fn check_counts(column: usize, wasm: &[u8]) {
    let counts = component_counts(wasm).unwrap_or_else(|refused| panic!("{refused}"));
    let mut wrong = Vec::new();
    for (what, measured) in MEASURED {
        let (_, seen, max) = *counts.iter().find(|(counted, ..)| *counted == what).unwrap_or_else(|| panic!("{what} is not counted"));
        if seen.abs_diff(measured[column]) > measured[column] / 10 {
            wrong.push(format!("{what}: {seen}, in the table {}", measured[column]));
        }
        if measured.into_iter().any(|measured| 2 * measured > max) {
            wrong.push(format!("{what}: at most {max}, measured {measured:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The folder of a guest in another language.
fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-tasks").join(language).canonicalize().expect("it is there")
}

/// Registers the component, and has it greet somebody and refuse a greeting of nobody.
fn greets(server: &Server, component: &Path, language: &str) {
    server.run(&["register", &component.to_string_lossy()]).ok();
    let task = format!("greet-from-{language}");
    let run = server.json(&["schedule", &task, "--input", r#"{"name":"Ada"}"#, "--wait"]);
    let run = &run["run"];
    assert_eq!((&run["status"], &run["output"]), (&json!("succeeded"), &json!({ "greeting": "Hello, Ada!" })), "{run}");
    assert!(server.run(&["runs", "logs", run["id"].as_str().unwrap()]).ok().contains("attempt 1"));
    let refused = server.run(&["schedule", &task, "--input", "{}", "--wait"]);
    assert!(refused.code == Some(1) && format!("{refused:?}").contains("input.name is missing"), "{refused:?}");
}

#[test]
fn a_component_of_componentize_py_runs() {
    if !registries::has("python3") {
        return;
    }
    let server = Server::start();
    let (guest, component) = (sources("python"), server.path("greet.wasm"));
    let python = Python::with(&guest.join("requirements.txt"));
    let contract = sources("../wit");
    let mut build = python.program("componentize-py");
    build.arg("-d").arg(&contract).arg("-d").arg(guest.join("world.wit")).args([
        "-w",
        "example:greet/greeting",
        "componentize",
        "app",
        "-p",
    ]);
    registries::run(build.arg(&guest).arg("-o").arg(&component).env("PYTHONDONTWRITEBYTECODE", "1")).unwrap();
    check_counts(0, &fs::read(&component).unwrap());
    greets(&server, &component, "python");
}

#[test]
fn a_component_of_componentize_js_runs() {
    if !(registries::has("node") && registries::has("npm")) {
        return;
    }
    let server = Server::start();
    let (guest, component) = (sources("javascript"), server.path("greet.wasm"));
    // Node looks for packages beside the script, and the tool for the contract beside the world.
    let (built, wit) = (server.path("javascript"), server.path("wit"));
    fs::create_dir_all(wit.join("deps/scheduler")).unwrap();
    fs::create_dir(&built).unwrap();
    fs::copy(guest.join("world.wit"), wit.join("world.wit")).unwrap();
    for file in fs::read_dir(sources("../wit")).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), wit.join("deps/scheduler").join(file.file_name())).unwrap();
    }
    for file in ["app.js", "build.mjs", "package.json"] {
        fs::copy(guest.join(file), built.join(file)).unwrap();
    }
    let packages = registries::node_modules(&guest.join("package.json"));
    std::os::unix::fs::symlink(packages.join("node_modules"), built.join("node_modules")).unwrap();
    registries::run(Command::new("node").arg(built.join("build.mjs")).arg(&wit).arg(&component)).unwrap();
    check_counts(1, &fs::read(&component).unwrap());
    greets(&server, &component, "javascript");
}

/// A module with as many targets of `br_table`, in functions of 500, and as many data segments as a component of Go.
fn module_like_gos(targets: usize, segments: usize) -> Vec<u8> {
    let per_function = 500;
    let functions = targets.div_ceil(per_function);
    let body = |targets: usize| {
        // No locals; block; local.get 0; br_table, each target the block but for the default; end; end.
        let mut body = [&[0, 0x02, 0x40, 0x20, 0, 0x0e][..], &leb(targets - 1)].concat();
        body.extend(std::iter::repeat_n(0, targets));
        body.extend([0x0b, 0x0b]);
        [leb(body.len()), body].concat()
    };
    let bodies: Vec<u8> = (0..functions).flat_map(|number| body(per_function.min(targets - number * per_function))).collect();
    let data: Vec<u8> = (0..segments).flat_map(|number| [&[0, 0x41], &leb(number % 64)[..], &[0x0b, 1, number as u8]].concat()).collect();
    module(&[
        section(1, &[1, 0x60, 1, 0x7f, 0]),
        section(3, &[leb(functions), vec![0; functions]].concat()),
        section(5, &[1, 0, 1]),
        section(10, &[leb(functions), bodies].concat()),
        section(11, &[leb(segments), data].concat()),
    ])
}

#[test]
fn a_component_of_gos_counts_runs() {
    let of_go = |what: &str| MEASURED.iter().find(|(counted, _)| *counted == what).unwrap().1[2] as usize;
    let module = module_like_gos(of_go("branch table targets"), of_go("data segments"));
    let component = [fs::read(built::guest("hello")).unwrap(), section(1, &module)].concat();
    let counts = component_counts(&component).unwrap();
    for what in ["branch table targets", "data segments"] {
        let (_, seen, max) = *counts.iter().find(|(counted, ..)| *counted == what).unwrap();
        assert!(seen >= of_go(what) as u64 && max >= 2 * of_go(what) as u64, "{what}: {seen} of {max}");
    }
    let server = Server::start();
    fs::write(server.path("go.wasm"), component).unwrap();
    server.run(&["register", "go.wasm"]).ok();
    server.run(&["schedule", "hello", "--wait"]).ok();
}
