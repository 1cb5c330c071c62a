//! `runlater --version`.

use serde_json::json;

use super::screen::Screen;
use crate::executor::wasm::ENGINE_VERSION;
use crate::model::TZDB_VERSION;
use crate::storage::sqlite::SqliteStorage;

pub(super) fn show(screen: &Screen) -> anyhow::Result<()> {
    let (own, sqlite) = (env!("CARGO_PKG_VERSION"), SqliteStorage::library_version());
    if screen.json {
        screen.value(&json!({ "runlater": own, "sqlite": sqlite, "wasmtime": ENGINE_VERSION, "tzdb": TZDB_VERSION }))?;
    } else {
        screen.line(format!("runlater {own} (SQLite {sqlite}, wasmtime {ENGINE_VERSION}, time zones {TZDB_VERSION})"))?;
    }
    Ok(())
}
