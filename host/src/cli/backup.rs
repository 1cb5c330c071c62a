//! `runlater backup FILE`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::client::{Client, UPLOAD_TIMEOUT};
use super::failure::{self, Exit, Failure};
use super::screen::{Screen, clean};
use super::{Global, file, moment};
use crate::http::shapes;
use crate::storage::StorageError;
use crate::storage::sqlite::SqliteStorage;

/// Copy the whole database to a new file, while work goes on
#[derive(Args)]
#[command(after_help = "Examples:
  runlater backup /backups/runlater-monday.db          of the running server, on the server's machine
  runlater backup copy.db --db .runlater/runlater.db   of a database that no server uses")]
pub(super) struct Backup {
    /// The new file; never overwritten
    file: PathBuf,
    /// Copy this database file itself, without a server
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

impl Backup {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let path = std::path::absolute(&self.file).map_err(|error| failure::io("name", &self.file, &error))?;
        let started = std::time::Instant::now();
        let done = match &self.db {
            Some(db) => offline(screen, db, &path)?,
            None => {
                let Some(text) = path.to_str() else { return Err(failure::usage("the path is not UTF-8, which the API needs")) };
                let client = Client::find(global, screen)?;
                let spinner = screen.spinner(format!("copying to {}", clean(text)));
                let done: shapes::BackedUp =
                    client.post_slowly("/v1/backup", &shapes::Backup { path: text.into() }, UPLOAD_TIMEOUT * 20)?;
                spinner.finish_and_clear();
                done
            }
        };
        if screen.json {
            return Ok(screen.value(&done)?);
        }
        let took = moment::measured(started.elapsed());
        Ok(screen.line(format!("copied {} bytes to {} in {took}", done.bytes, clean(&done.path)))?)
    }
}

/// Copies a file that no server uses, or one whose server is left alone: reading does not disturb it.
fn offline(screen: &Screen, db: &Path, to: &Path) -> anyhow::Result<shapes::BackedUp> {
    if to.symlink_metadata().is_ok() {
        let message = format!("{} exists; a backup never overwrites: name a new file", clean(&to.display().to_string()));
        return Err(Failure::new(Exit::Io, "file-exists", message).into());
    }
    file::length(db, "name the database file")?;
    let bar = if screen.json { indicatif::ProgressBar::hidden() } else { indicatif::ProgressBar::new(0) };
    let copied = SqliteStorage::copy_file(db, to, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied.map_err(|error| {
        let message = format!("can't copy {}: {}", clean(&db.display().to_string()), clean(&error.to_string()));
        match error {
            StorageError::Corrupt(_) | StorageError::NoDatabase(_) => Failure::new(Exit::DatabaseDamaged, "database", message),
            _ => Failure::new(Exit::Io, "io", message),
        }
    })?;
    Ok(shapes::BackedUp { path: to.display().to_string(), bytes: file::length(to, "")? })
}
