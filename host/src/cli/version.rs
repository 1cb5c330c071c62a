//! `runlater --version`.

use serde_json::json;

use super::screen::{Screen, clean};
use super::time_zones::TimeZonesArgument;
use crate::executor::wasm::ENGINE_VERSION;
use crate::storage::sqlite::SqliteStorage;

pub(super) fn show(screen: &Screen) -> anyhow::Result<()> {
    let zones = TimeZonesArgument::default().select()?.release();
    let (own, sqlite) = (env!("CARGO_PKG_VERSION"), SqliteStorage::library_version());
    if screen.json {
        screen.value(
            &json!({ "runlater": own, "sqlite": sqlite, "wasmtime": ENGINE_VERSION, "tzdb": zones.release, "tzdb_source": zones.source }),
        )?;
    } else {
        let zones = clean(&zones.to_string());
        screen.line(format!("runlater {own} (SQLite {sqlite}, wasmtime {ENGINE_VERSION}, time zones {zones})"))?;
    }
    Ok(())
}
