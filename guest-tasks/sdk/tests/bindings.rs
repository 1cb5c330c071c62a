//! `src/bindings.rs` is what `wit/` generates. `UPDATE=1 cargo test -p runlater-task --test bindings` rewrites it.

use std::path::Path;

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::Opts;

const HEADER: &str = "\
// The Rust bindings of `wit/`, world `tasks`. Not to be edited: `tests/bindings.rs` generates this file (with `UPDATE=1`),
// and fails when it differs from the contract.
";

#[test]
fn bindings_are_what_the_contract_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let expected = generate(&root.join("../../wit"));
    let path = root.join("src/bindings.rs");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).expect("src/bindings.rs is writable");
    }
    let actual = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "src/bindings.rs is not what `wit/` generates: run this test with UPDATE=1, and commit the result");
}

/// The bindings of world `tasks`, with a macro that exports an implementation from another crate.
fn generate(wit: &Path) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("tasks")).expect("the contract has a world `tasks`");
    let options = Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some("export_component".to_owned()),
        default_bindings_module: Some("$crate::bindings".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).expect("bindings can be generated");
    let (_, code) = files.iter().next().expect("one file is generated");
    // Two thirds of the generated text is indentation, which nobody reads and every build would.
    let code = std::str::from_utf8(code).expect("code is text");
    std::iter::once(HEADER).chain(code.lines().map(str::trim_start).flat_map(|line| [line, "\n"])).collect()
}
