//! `runlater backup FILE`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::client::{Client, UPLOAD_TIMEOUT};
use super::failure::{self, Exit, Failure};
use super::screen::{Screen, clean};
use super::{Global, moment};
use crate::http::shapes;

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
    use rusqlite::OpenFlags;
    if to.symlink_metadata().is_ok() {
        let message = format!("{} exists; a backup never overwrites: name a new file", clean(&to.display().to_string()));
        return Err(Failure::new(Exit::Io, "file-exists", message).into());
    }
    let damaged = |error: rusqlite::Error| {
        let message = format!("can't copy {}: {error}", clean(&db.display().to_string()));
        anyhow::Error::from(Failure::new(Exit::DatabaseDamaged, "database", message))
    };
    std::fs::metadata(db).map_err(|error| failure::io("read", db, &error))?;
    let from =
        rusqlite::Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(damaged)?;
    // Written under another name first: a copy under the name that was asked for is a whole one.
    let draft = tempfile::NamedTempFile::new_in(to.parent().unwrap_or(Path::new("."))).map_err(|error| failure::io("write", to, &error))?;
    let mut copy = rusqlite::Connection::open(draft.path()).map_err(damaged)?;
    let bar = if screen.json { indicatif::ProgressBar::hidden() } else { indicatif::ProgressBar::new(0) };
    copy_pages(&from, &mut copy, &bar).map_err(damaged)?;
    bar.finish_and_clear();
    drop(copy);
    let keep = || {
        draft.as_file().sync_all()?;
        draft.persist_noclobber(to).map_err(|error| error.error)?;
        Ok(std::fs::metadata(to)?.len())
    };
    let bytes = keep().map_err(|error: std::io::Error| failure::io("write", to, &error))?;
    Ok(shapes::BackedUp { path: to.display().to_string(), bytes })
}

fn copy_pages(from: &rusqlite::Connection, to: &mut rusqlite::Connection, bar: &indicatif::ProgressBar) -> rusqlite::Result<()> {
    use rusqlite::backup::StepResult;
    const PAGES_PER_STEP: i32 = 4_096;
    let backup = rusqlite::backup::Backup::new(from, to)?;
    loop {
        let step = backup.step(PAGES_PER_STEP)?;
        let progress = backup.progress();
        bar.set_length(progress.pagecount.unsigned_abs().into());
        bar.set_position((progress.pagecount - progress.remaining).unsigned_abs().into());
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Somebody writes just now.
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
