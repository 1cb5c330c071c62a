//! What is to come.

use serde::{Deserialize, Serialize};

use crate::model::{self, Timestamp};

/// What is to come, hour by hour.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forecast {
    /// From this moment on.
    pub from: Timestamp,
    /// Up to this one.
    pub until: Timestamp,
    /// What is left out, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// The hours in which something is due, rising.
    pub hours: Vec<ForecastHour>,
    /// What changes of the clocks do.
    pub notes: Vec<ForecastNote>,
}

/// What is due in an hour of UTC.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ForecastHour {
    /// When it begins.
    pub hour: Timestamp,
    /// Runs that somebody scheduled.
    pub runs: u64,
    /// Occurrences of crons.
    pub crons: u64,
}

/// What a change of the clocks does to an occurrence.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForecastNote {
    /// When it fires.
    pub at: Timestamp,
    /// The cron.
    pub cron: String,
    /// What happens to it.
    pub note: String,
}

impl From<model::Forecast> for Forecast {
    fn from(forecast: model::Forecast) -> Self {
        let hour = |hour: model::HourCount| ForecastHour { hour: hour.hour, runs: hour.runs, crons: hour.crons };
        let note = |note: model::ForecastNote| ForecastNote { at: note.at, cron: note.cron.to_string(), note: note.note.to_string() };
        Self {
            from: forecast.from,
            until: forecast.until,
            cut: forecast.cut.map(|cut| cut.to_string()),
            hours: forecast.hours.into_iter().map(hour).collect(),
            notes: forecast.notes.into_iter().map(note).collect(),
        }
    }
}
