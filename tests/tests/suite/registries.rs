//! Programs from the registries of other languages, installed once into the target folder: a second run needs no network.
//!
//! A machine without Python or Node still runs all other tests: what a test needs and does not find is said, and the test is
//! left out. CI requires them ([`REQUIRED`]): there, what is missing is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set where everything must be tried.
const REQUIRED: &str = "RUNLATER_SDKS_REQUIRED";

/// Whether `program` is on this machine. Fails where it must be.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdin(Stdio::null()).output().is_ok_and(|ran| ran.status.success());
    assert!(found || std::env::var_os(REQUIRED).is_none(), "{program} is not on this machine, and {REQUIRED} is set: install it");
    if !found {
        eprintln!("left out: {program} is not on this machine, and this test needs it");
    }
    found
}

/// A Python with the packages of this `requirements.txt`.
pub(crate) struct Python {
    folder: PathBuf,
}

impl Python {
    pub(crate) fn with(requirements: &Path) -> Self {
        let folder = install(requirements, |folder| {
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
        Self { folder }
    }

    /// The interpreter.
    pub(crate) fn command(&self) -> Command {
        if !self.folder.join("packages").exists() {
            return Command::new(self.folder.join("venv/bin/python"));
        }
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", self.folder.join("packages"));
        python
    }

    /// A program that one of the packages brings.
    pub(crate) fn program(&self, name: &str) -> Command {
        if !self.folder.join("packages").exists() {
            return Command::new(self.folder.join("venv/bin").join(name));
        }
        let mut program = Command::new(self.folder.join("packages/bin").join(name));
        program.env("PYTHONPATH", self.folder.join("packages"));
        program
    }
}

/// The folder in whose `node_modules` the dependencies of this `package.json` are.
pub(crate) fn node_modules(package: &Path) -> PathBuf {
    install(package, |folder| {
        let quiet = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(quiet).current_dir(folder))
    })
}

/// The folder of an installation of what `file` asks for, which is copied there. A new version gets a new one.
fn install(file: &Path, install: impl Fn(&Path) -> Result<(), String>) -> PathBuf {
    let wanted = std::fs::read(file).expect("the file is there");
    let name = file.file_name().expect("a file").to_string_lossy();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registries");
    let folder = root.join(format!("{name}-{}", &runlater::model::Digest::of(&wanted).to_string()[..12]));
    let mark = folder.join("installed");
    if mark.exists() {
        return folder;
    }
    // Of an installation that was cut off nobody knows what it has.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    std::fs::write(folder.join(&*name), &wanted).expect("the target folder can be written");
    if let Err(why) = install(&folder) {
        panic!("what {} asks for can't be installed, which this test needs: {why}", file.display());
    }
    std::fs::write(mark, "").expect("the target folder can be written");
    folder
}

/// Runs a program that must succeed, or says what it said.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let ended = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}{}", ended.status, String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr)))
}
