//! `runlater --version`.

use serde_json::json;

use super::screen::Screen;

pub(super) fn show(screen: &Screen) -> anyhow::Result<()> {
    let (own, sqlite) = (env!("CARGO_PKG_VERSION"), rusqlite::version());
    let wasmtime = wasmtime_version();
    if screen.json {
        screen.value(&json!({ "runlater": own, "sqlite": sqlite, "wasmtime": wasmtime }))?;
    } else {
        screen.line(format!("runlater {own} (SQLite {sqlite}, wasmtime {wasmtime})"))?;
    }
    Ok(())
}

/// As the lock file of this build has it: wasmtime has no constant for it.
fn wasmtime_version() -> &'static str {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    LOCK.split_once("name = \"wasmtime\"\nversion = \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_known() {
        assert!(super::wasmtime_version().split('.').count() == 3, "{}", super::wasmtime_version());
    }
}
