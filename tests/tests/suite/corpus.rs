//! The corpus of the fuzzers, replayed: what was found once is not lost again.

use std::path::Path;

use runlater::fuzzing::TARGETS;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_target_has_a_program_and_seeds_that_it_survives() {
    let mut targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    targets.sort_unstable();
    let programs: Vec<String> = names(&folder().join("fuzz_targets")).iter().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!((&programs, &names(&folder().join("corpus"))), (&targets, &targets));
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for (name, target) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not in the manifest");
        let corpus = folder().join("corpus").join(name);
        let seeds = names(&corpus);
        assert!(seeds.len() >= 4, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            let bytes = std::fs::read(corpus.join(&seed)).unwrap();
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                panic!("{name} fails on {seed}");
            }
        }
    }
}
