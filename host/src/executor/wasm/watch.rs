//! Lets a call into a guest go on until it returns, or until the host has a reason to end it.
//!
//! Used by attempts and by registration. Clocks and signals are looked at only once the guest waited or an epoch made it yield, so that a short
//! call costs no timer. From then on they are looked at first: a guest whose time is over does not get another turn.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;

use crate::cancel::CancelSignal;
use crate::clock::{Clock, Sleep};
use crate::urgent;

use super::outcome::{Fault, Stop, stop};

/// What may end a call.
pub(super) struct Watch<'a> {
    pub(super) clock: &'a dyn Clock,
    /// By [`Clock::elapsed`].
    pub(super) deadline: Duration,
    pub(super) cancel: CancelSignal,
    /// How long the call may go on after it was told to end.
    pub(super) grace: Duration,
    pub(super) shut_down: CancelSignal,
}

/// Drives `call` to its end. A panic in it ends the call, not the process.
pub(super) async fn until_ended<R>(call: impl Future<Output = wasmtime::Result<R>>, watch: Watch<'_>) -> Result<R, Fault> {
    let mut call = pin!(AssertUnwindSafe(call).catch_unwind());
    let mut alarms = None;
    poll_fn(|cx| {
        if let Some(stop) = alarms.as_mut().and_then(|alarms: &mut Alarms| alarms.stop(&watch)) {
            return Poll::Ready(Err(Fault::Stopped(stop)));
        }
        if let Poll::Ready(ended) = call.as_mut().poll(cx) {
            return Poll::Ready(match ended {
                Ok(returned) => returned.map_err(Fault::Trapped),
                Err(panic) => Err(Fault::Panicked(panic_message(&*panic))),
            });
        }
        alarms.get_or_insert_with(|| Alarms::new(&watch)).poll(&watch, cx).map(|stop| Err(Fault::Stopped(stop)))
    })
    .await
}

/// Waits for `work`, which no guest takes part in, unless the host shuts down or the run is cancelled.
pub(super) async fn unless_stopped<R>(work: impl Future<Output = R>, cancel: &CancelSignal, shut_down: &CancelSignal) -> Result<R, Stop> {
    let (work, cancelled, ended) = (pin!(work), pin!(cancel.wait()), pin!(shut_down.wait()));
    let stopped = pin!(futures_util::future::select(ended, cancelled).map(|which| match which {
        futures_util::future::Either::Left(_) => Stop::ShutDown,
        futures_util::future::Either::Right(_) => Stop::Cancelled,
    }));
    match futures_util::future::select(work, stopped).await {
        futures_util::future::Either::Left((done, _)) => Ok(done),
        futures_util::future::Either::Right((stop, _)) => Err(stop),
    }
}

/// What wakes a call that waits, so that it can be ended.
struct Alarms {
    timeout: Sleep,
    cancel: Sleep,
    shut_down: Sleep,
    /// Begins when the cancellation is noticed.
    grace: Option<(Duration, Sleep)>,
}

impl Alarms {
    fn new(watch: &Watch<'_>) -> Self {
        let signal = |signal: CancelSignal| -> Sleep { Box::pin(async move { signal.wait().await }) };
        Self {
            timeout: watch.clock.sleep(watch.deadline.saturating_sub(watch.clock.elapsed())),
            cancel: signal(watch.cancel.clone()),
            shut_down: signal(watch.shut_down.clone()),
            grace: None,
        }
    }

    /// Why the call ends now, if it does.
    fn stop(&mut self, watch: &Watch<'_>) -> Option<Stop> {
        if self.grace.is_none() && watch.cancel.is_set() {
            self.grace = Some((watch.clock.elapsed(), watch.clock.sleep(watch.grace)));
        }
        let grace_over = self.grace.as_ref().map(|(at, _)| at.saturating_add(watch.grace));
        stop(watch.clock.elapsed(), watch.deadline, grace_over, watch.shut_down.is_set())
    }

    fn poll(&mut self, watch: &Watch<'_>, cx: &mut Context<'_>) -> Poll<Stop> {
        if let Some(stop) = self.stop(watch) {
            return Poll::Ready(stop);
        }
        // Attempts that compute may be ahead of this one: it must not wait for them to be ended.
        let urgent = urgent::waker(cx);
        let cx = &mut Context::from_waker(&urgent);
        let grace = self.grace.as_mut().map(|(_, sleep)| sleep);
        let cancel = if grace.is_some() { None } else { Some(&mut self.cancel) };
        let rang = |alarm: &mut Sleep| Pin::new(alarm).poll(cx).is_ready();
        // All of them, so that each knows whom to wake. One that rings too early for the clock is set anew by the next poll.
        let mut rang = rang;
        let mut any = rang(&mut self.timeout) | rang(&mut self.shut_down);
        any |= cancel.is_some_and(&mut rang);
        any |= grace.is_some_and(&mut rang);
        if any {
            self.timeout = watch.clock.sleep(watch.deadline.saturating_sub(watch.clock.elapsed()).max(Duration::from_millis(1)));
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
