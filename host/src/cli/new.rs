//! `runlater new NAME`: a crate with one task.

use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::failure::{self, Exit, Failure};
use super::screen::{Screen, clean};

/// Make a crate with one task in it
#[derive(Args)]
#[command(after_help = "Examples:
  runlater new guest-tasks/hello-again
  runlater new invoice")]
pub(super) struct New {
    /// The crate's name, or the path of its folder; the last part is the name
    #[arg(value_name = "NAME")]
    path: PathBuf,
}

impl New {
    pub(super) fn run(self, screen: &Screen) -> anyhow::Result<()> {
        let failed = |error| failure::io("make", &self.path, &error);
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        check_name(name).map_err(failure::usage)?;
        let target = std::path::absolute(&self.path).map_err(failed)?;
        if target.symlink_metadata().is_ok() {
            let message = format!("{} exists; choose another name", clean(&self.path.display().to_string()));
            return Err(Failure::new(Exit::Refused, "exists", message).into());
        }
        let manifest = manifest(name, &sdk_dependency(&target), is_in_workspace(&target));
        let write = || {
            fs::create_dir_all(target.join("src"))?;
            fs::write(target.join("Cargo.toml"), manifest)?;
            fs::write(target.join("src/lib.rs"), source(name))
        };
        write().map_err(failed)?;
        let task = name.replace('-', "_");
        let shown = clean(&self.path.display().to_string());
        if screen.json {
            return Ok(screen.value(&serde_json::json!({ "path": self.path, "task": task }))?);
        }
        screen.line(format!("made {shown} with the task `{task}`. Next:"))?;
        screen.line(format!("  cargo test --manifest-path {shown}/Cargo.toml"))?;
        screen.line(format!("  runlater dev {shown}"))?;
        screen.line(format!("  runlater schedule {task} --input '{{\"name\": \"you\"}}' --wait      (in a second terminal)"))?;
        Ok(())
    }
}

/// What cargo takes as a name and Rust as an identifier.
fn check_name(name: &str) -> Result<(), String> {
    const KEYWORDS: [&str; 14] =
        ["as", "async", "await", "const", "crate", "dyn", "enum", "extern", "fn", "impl", "mod", "self", "test", "type"];
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    let well_formed = name.len() <= 64 && name.bytes().next().is_some_and(|c| c.is_ascii_lowercase()) && name.bytes().all(allowed);
    match well_formed && !KEYWORDS.contains(&name) {
        true => Ok(()),
        false => Err(format!("{:?} can't be a crate's name: 1 to 64 of a-z 0-9 - _, beginning with a letter, and no keyword", clean(name))),
    }
}

/// The SDK of the source tree that the crate will stand in, or of the one that this binary was built from, or the published one.
fn sdk_dependency(target: &Path) -> String {
    for (up, folder) in target.ancestors().skip(1).enumerate() {
        for sdk in ["guest-tasks/sdk", "sdk"] {
            let is_sdk =
                fs::read_to_string(folder.join(sdk).join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("\"runlater-task\""));
            if is_sdk {
                return format!("{{ path = \"{}{sdk}\" }}", "../".repeat(up + 1));
            }
        }
    }
    let built_from: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).components().filter(|part| *part != Component::CurDir).collect();
    let sdk = built_from.parent().map(|folder| folder.join("guest-tasks/sdk")).filter(|sdk| sdk.join("Cargo.toml").exists());
    match sdk.and_then(|sdk| sdk.to_str().map(|sdk| format!("{sdk:?}"))) {
        Some(sdk) => format!("{{ path = {sdk} }}"),
        None => "\"0.1\"".into(),
    }
}

fn is_in_workspace(target: &Path) -> bool {
    target.ancestors().skip(1).any(|folder| {
        fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
    })
}

fn manifest(name: &str, sdk: &str, in_workspace: bool) -> String {
    let mut text = format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
publish = false

# Alone: with an `rlib` beside it, cargo leaves out link-time optimisation, and the component is half as large again.
[lib]
crate-type = ["cdylib"]

[dependencies]
runlater-task = {sdk}
serde = {{ version = "1", features = ["derive"] }}

# What `runlater dev` allows the component. Without a grant it can only compute; `runs` lets it schedule follow-ups.
[package.metadata.runlater]
grants = ["runs"]
"#
    );
    if !in_workspace {
        text += r#"
[workspace]

# Small components compile, load and start faster.
[profile.guest]
inherits = "release"
opt-level = "s"
lto = true
codegen-units = 1
panic = "abort"
strip = true
"#;
    }
    text
}

fn source(name: &str) -> String {
    SOURCE.replace("TASK", &name.replace('-', "_"))
}

const SOURCE: &str = r#"//! One task. `runlater dev` builds, registers and runs it, again whenever this file changes.

use runlater_task::prelude::*;

/// What the task is given.
#[derive(Deserialize, JsonSchema)]
pub struct Input {
    name: String,
}

/// Greets somebody.
#[task]
fn TASK(input: Input, run: &Run) -> Result<String, Failure> {
    let _ = run; // Who am I, which attempt is this, is somebody cancelling me?
    Ok(greeting(&input.name))
}

export_tasks!(TASK);

fn greeting(name: &str) -> String {
    format!("Hello, {name}!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets_by_name() {
        assert_eq!(greeting("Ada"), "Hello, Ada!");
    }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["hello", "send-mail", "a1_b"] {
            check_name(good).unwrap();
        }
        for bad in ["", "Hello", "-a", "1a", "a b", "..", "../x", "fn", "naïve", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sdk_is_found_above() {
        let tree = tempfile::tempdir().unwrap();
        let sdk = tree.path().join("guest-tasks/sdk");
        fs::create_dir_all(&sdk).unwrap();
        fs::write(sdk.join("Cargo.toml"), "[package]\nname = \"runlater-task\"\n").unwrap();
        assert_eq!(sdk_dependency(&tree.path().join("guest-tasks/mine")), "{ path = \"../sdk\" }");
        assert_eq!(sdk_dependency(&tree.path().join("mine")), "{ path = \"../guest-tasks/sdk\" }");
        assert!(!is_in_workspace(&tree.path().join("mine")));
        fs::write(tree.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        assert!(is_in_workspace(&tree.path().join("guest-tasks/mine")));
    }

    #[test]
    fn a_crate_is_made_once() {
        let tree = tempfile::tempdir().unwrap();
        let (new, screen) = (|| New { path: tree.path().join("send-mail") }, Screen { json: true, width: None });
        new().run(&screen).unwrap();
        let source = fs::read_to_string(tree.path().join("send-mail/src/lib.rs")).unwrap();
        assert!(source.contains("fn send_mail(") && source.contains("export_tasks!(send_mail);"));
        let refused = new().run(&screen).unwrap_err();
        assert_eq!(refused.downcast_ref::<Failure>().unwrap().exit(), Exit::Refused);
    }
}
