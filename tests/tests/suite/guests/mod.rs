//! The guests that scenarios run: built from `guest-tasks/` as users build theirs, once for each process of tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

/// The bytes of each guest by the name of its crate.
type Components = BTreeMap<&'static str, Arc<[u8]>>;

const TARGET: &str = "wasm32-wasip2";
const GUESTS: [&str; 11] =
    ["behaviours", "breaker", "crontab", "hello", "hostile", "maintenance", "measured", "plain", "policies", "reminder", "sockets"];
/// What the cargo that runs the tests was told for the host, and what would spoil a guest.
const NOT_FOR_GUESTS: [&str; 4] = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"];

/// The component of this guest crate. The first call builds them all.
pub(crate) fn component(name: &str) -> Arc<[u8]> {
    static BUILT: OnceLock<Result<Components, String>> = OnceLock::new();
    // What can't be built is not tried again for each test.
    let built = BUILT.get_or_init(build).as_ref().unwrap_or_else(|why| panic!("{why}"));
    built.get(name).unwrap_or_else(|| panic!("{name} is not among the guests: add it to GUESTS")).clone()
}

/// The folder that both cargos build into.
fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo puts its folder for tests into the target folder").to_owned()
}

fn build() -> Result<Components, String> {
    install_target()?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--target", TARGET, "--profile", "guest", "--manifest-path"]).arg(manifest);
    cargo.arg("--target-dir").arg(target_folder());
    for name in GUESTS {
        cargo.args(["-p", name]);
    }
    for variable in NOT_FOR_GUESTS {
        cargo.env_remove(variable);
    }
    let status = cargo.stdin(Stdio::null()).status().map_err(|error| format!("cargo can't be run: {error}"))?;
    if !status.success() {
        return Err("the guests could not be built: see above".into());
    }
    let read = |name: &'static str| {
        let path = target_folder().join(TARGET).join("guest").join(format!("{name}.wasm"));
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok((name, Arc::from(bytes)))
    };
    GUESTS.into_iter().map(read).collect()
}

fn install_target() -> Result<(), String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    if asked.is_ok_and(|asked| asked.status.success() && Path::new(String::from_utf8_lossy(&asked.stdout).trim()).is_dir()) {
        return Ok(());
    }
    match Command::new("rustup").args(["target", "add", TARGET]).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "guests need the target {TARGET}, and it could not be installed; run `rustup target add {TARGET}` yourself, with a network"
        )),
    }
}
