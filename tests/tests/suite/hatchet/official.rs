//! Hatchet's own SDKs, as they are published, against a host: the examples of its documentation and much beside. What they do is in
//! `tests/hatchet`, a file for each topic; each case asks our own API what became of it.

use std::process::{Command, Stdio};

use runlater::scheduler::Role;

use super::{World, sdks};

/// How long a language's cases may take before they are given up: many times what they do.
const PATIENCE: &str = "300";

#[tokio::test(flavor = "multi_thread")]
async fn python() {
    if !sdks::has("python3") {
        return;
    }
    let output = run(|| {
        let scripts = sdks::scripts("python");
        let mut python = sdks::python();
        python.args(["-m", "unittest", "discover", "--start-directory"]).arg(&scripts).arg("--top-level-directory").arg(&scripts);
        python
    })
    .await;
    assert!(output.contains("\nOK") && !output.contains("Ran 0 tests"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn typescript() {
    if !(sdks::has("node") && sdks::has("npm")) {
        return;
    }
    let output = run(|| {
        let sdk = sdks::typescript();
        let mut node = Command::new("node");
        node.arg("--test-force-exit").arg(sdks::scripts("typescript").join("all.mjs")).env("SDK_FOLDER", sdk);
        node
    })
    .await;
    assert!(output.contains("# fail 0") && !output.contains("# pass 0"), "{output}");
}

/// Runs scripts against a host of their own, and returns what they said.
async fn run(command: impl FnOnce() -> Command + Send + 'static) -> String {
    let world = World::new().await;
    let other = world.scheduler.in_namespace("other").await.expect("it exists");
    let variables = [
        ("RUNLATER_URL", world.url()),
        ("HATCHET_CLIENT_TLS_STRATEGY", "none".into()),
        ("HATCHET_CLIENT_TOKEN", world.client_token(&world.scheduler, Role::Write).await),
        ("READ_TOKEN", world.client_token(&world.scheduler, Role::Read).await),
        ("OTHER_TOKEN", world.client_token(&other, Role::Write).await),
        ("MISSED_RUN", world.missed.to_string()),
    ];
    let folder = world.folder.path().to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        let script = command();
        let mut limited = Command::new("timeout");
        limited.args(["--kill-after=5", PATIENCE]).arg(script.get_program()).args(script.get_args());
        for (name, _) in std::env::vars_os() {
            let upper = name.to_string_lossy().to_uppercase();
            if upper.starts_with("HATCHET_") || upper.ends_with("_PROXY") {
                limited.env_remove(name);
            }
        }
        for (name, value) in script.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            limited.env(name, value);
        }
        // The SDK reads files of settings from where it is started.
        limited.current_dir(folder).envs(variables).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
        limited.output().expect("it can be started")
    })
    .await
    .expect("it ends");
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}\n{said}", ended.status);
    said
}
