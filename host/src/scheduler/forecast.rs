//! The forecast at the façade: what is to come, hour by hour.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Error, Scheduler};
use crate::model::limits::{FORECAST_MAX, FORECASTS_AT_ONCE_MAX, FORECASTS_WAITING_MAX};
use crate::model::{Forecast, Invalid, NamespaceId, forecast, format_duration};

impl Scheduler {
    /// What is to come within `span`, of one task or of all: scheduled runs, and occurrences of crons.
    ///
    /// Takes at most a million steps; [`Forecast::cut`] says what is left out then. One forecast of each namespace is computed at a time, and four
    /// of all namespaces together.
    ///
    /// # Errors
    ///
    /// `invalid-duration` if `span` is outside of 1 minute to 366 days; `forecast-busy` if four forecasts of the namespace wait already;
    /// [`Error::TaskNotFound`].
    pub async fn forecast(&self, span: Duration, task: Option<&str>) -> Result<Forecast, Error> {
        if !(Duration::from_secs(60)..=FORECAST_MAX).contains(&span) {
            let reason = format!("a forecast covers 1m to {}", format_duration(FORECAST_MAX));
            return Err(Invalid::new("invalid-duration", "for", reason).seen(format_duration(span)).into());
        }
        let task = match task {
            Some(name) => Some(self.task(name).ok_or_else(|| Error::TaskNotFound(name.into()))?.name.clone()),
            None => None,
        };
        let place = self.core.forecasts.place(self.namespace.id).await?;
        self.read(move |storage, namespace, now| {
            // The closure holds it until the work is done, even if nobody waits for it any more.
            let _held = &place;
            let until = now.saturating_add(span);
            let ahead = storage.ahead(namespace, task.as_ref(), until, now)?;
            Ok(forecast(&ahead, now, until))
        })
        .await
    }
}

/// How many forecasts are computed at a time. Each takes about a second of a thread, and some MiB.
pub(super) struct Forecasts {
    all: Arc<Semaphore>,
    /// The turn of each namespace. A forecast that waits for it or has it holds on to it, and so is counted.
    turns: Mutex<FxHashMap<NamespaceId, Arc<Semaphore>>>,
}

impl Default for Forecasts {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(FORECASTS_AT_ONCE_MAX)), turns: Mutex::default() }
    }
}

/// The right to compute a forecast, until it is dropped.
struct Place {
    _turn: OwnedSemaphorePermit,
    _one_of_all: OwnedSemaphorePermit,
}

impl Forecasts {
    /// Waits for this namespace's turn, unless too many forecasts of it wait already. Each namespace has at most one that waits for one of all
    /// places, and the one that has waited longest is next.
    async fn place(&self, namespace: NamespaceId) -> Result<Place, Invalid> {
        let turn = self.turn(namespace)?.acquire_owned().await.expect("the semaphore is never closed");
        let one_of_all = self.all.clone().acquire_owned().await.expect("the semaphore is never closed");
        Ok(Place { _turn: turn, _one_of_all: one_of_all })
    }

    fn turn(&self, namespace: NamespaceId) -> Result<Arc<Semaphore>, Invalid> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        let turn = turns.entry(namespace).or_insert_with(|| Arc::new(Semaphore::new(1)));
        if Arc::strong_count(turn) - 1 > FORECASTS_WAITING_MAX {
            let reason = format!(
                "{FORECASTS_WAITING_MAX} forecasts of this namespace wait until another one is computed, the limit; try again in some seconds"
            );
            return Err(Invalid::new("forecast-busy", "", reason));
        }
        Ok(Arc::clone(turn))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_namespace_has_one_forecast_and_leaves_places_for_others() {
        let forecasts = Forecasts::default();
        let (one, other) = (NamespaceId(1), NamespaceId(2));
        let first = forecasts.place(one).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..FORECASTS_WAITING_MAX).map(|_| Box::pin(forecasts.place(one))).collect();
        assert!(waiting.iter_mut().all(|place| place.now_or_never().is_none()));
        let refused = forecasts.place(one).now_or_never().unwrap().err().unwrap();
        assert_eq!(refused.code, "forecast-busy");
        assert!(forecasts.place(other).now_or_never().unwrap().is_ok());
        // A caller that goes away while it waits makes room.
        drop(waiting.pop());
        assert!(forecasts.place(one).now_or_never().is_none());
        drop((first, waiting));
        assert!(forecasts.place(one).now_or_never().unwrap().is_ok());
    }

    #[test]
    fn many_namespaces_share_the_places_in_turn() {
        let forecasts = Forecasts::default();
        let place = |id: usize| forecasts.place(NamespaceId(id as i64));
        let mut held: Vec<_> = (0..FORECASTS_AT_ONCE_MAX).map(|id| place(id).now_or_never().unwrap().unwrap()).collect();
        let (mut next, mut later) = (Box::pin(place(10)), Box::pin(place(11)));
        assert!(next.as_mut().now_or_never().is_none() && later.as_mut().now_or_never().is_none());
        held.pop();
        assert!(later.as_mut().now_or_never().is_none() && next.as_mut().now_or_never().is_some());
    }
}
