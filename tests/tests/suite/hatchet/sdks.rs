//! The official SDKs, installed once into the target folder: a second run needs no network.
//!
//! Whoever has no Python or no Node can still run all other tests: what an SDK needs and is not on the machine is said, and its scripts are
//! left out. CI requires them ([`REQUIRED`]): there, what is missing is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the scripts of this language are, and the file that says which SDK they need.
pub(super) fn scripts(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hatchet").join(language)
}

/// Set where every SDK must be tried.
const REQUIRED: &str = "RUNLATER_SDKS_REQUIRED";

/// Whether `program` is on this machine. Fails where it must be.
pub(super) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdin(Stdio::null()).output().is_ok_and(|ran| ran.status.success());
    assert!(found || std::env::var_os(REQUIRED).is_none(), "{program} is not on this machine, and {REQUIRED} is set: install it");
    if !found {
        eprintln!("left out: {program} is not on this machine, and an SDK of Hatchet's needs it");
    }
    found
}

/// A Python that has the SDK.
pub(super) fn python() -> Command {
    let folder = install("python", "requirements.txt", |folder| {
        let requirements = folder.join("requirements.txt");
        // Some systems split what makes environments off their Python. Then the packages stand beside each other.
        if run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv"))).is_ok() {
            return run(Command::new(folder.join("venv/bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(requirements));
        }
        let target = folder.join("packages");
        run(Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(target)
            .arg("--requirement")
            .arg(requirements))
    });
    let in_environment = folder.join("venv/bin/python");
    if folder.join("packages").exists() {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", folder.join("packages"));
        return python;
    }
    Command::new(in_environment)
}

/// The folder in whose `node_modules` the SDK is.
pub(super) fn typescript() -> PathBuf {
    install("typescript", "package.json", |folder| {
        let quiet = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(quiet).current_dir(folder))
    })
}

/// The folder of an installation of what `file` asks for, which is copied there. A new version gets a new one.
fn install(language: &str, file: &str, install: impl Fn(&Path) -> Result<(), String>) -> PathBuf {
    let wanted = std::fs::read(scripts(language).join(file)).expect("the file is there");
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hatchet-sdks");
    let folder = root.join(format!("{language}-{}", &runlater::model::Digest::of(&wanted).to_string()[..12]));
    let mark = folder.join("installed");
    if mark.exists() {
        return folder;
    }
    // Of an installation that was cut off nobody knows what it has.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    std::fs::write(folder.join(file), &wanted).expect("the target folder can be written");
    if let Err(why) = install(&folder) {
        panic!("the SDK for {language} that {file} asks for can't be installed, which these tests need: {why}");
    }
    std::fs::write(mark, "").expect("the target folder can be written");
    folder
}

fn run(command: &mut Command) -> Result<(), String> {
    let ended = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}{}", ended.status, String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr)))
}
