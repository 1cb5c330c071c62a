//! The forecast at the façade: what is to come, hour by hour.

use std::time::Duration;

use super::{Error, Scheduler};
use crate::model::limits::FORECAST_MAX;
use crate::model::{Forecast, Invalid, forecast, format_duration};

impl Scheduler {
    /// What is to come within `span`, of one task or of all: scheduled runs, and occurrences of crons.
    ///
    /// At most a million occurrences are counted; what is left out then, [`Forecast::cut`] says.
    pub async fn forecast(&self, span: Duration, task: Option<&str>) -> Result<Forecast, Error> {
        if !(Duration::from_secs(60)..=FORECAST_MAX).contains(&span) {
            let reason = format!("a forecast covers 1m to {}", format_duration(FORECAST_MAX));
            return Err(Invalid::new("invalid-duration", "for", reason).seen(format_duration(span)).into());
        }
        let task = match task {
            Some(name) => Some(self.task(name).ok_or_else(|| Error::TaskNotFound(name.into()))?.name.clone()),
            None => None,
        };
        self.read(move |storage, namespace, now| {
            let until = now.saturating_add(span);
            let ahead = storage.ahead(namespace, task.as_ref(), until, now)?;
            Ok(forecast(&ahead, now, until))
        })
        .await
    }
}
