//! The body of an answer, in pieces of which each is on record until it was handed to the system.
//!
//! Called by `entrance.rs`. A connection is ended when the caller reads none of these for a while: see `seats.rs`. The bytes stay charged to the
//! namespace until the last piece is gone, because the pieces share one piece of memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::in_flight::Charge;
use super::seats::{InUse, Seat};

/// Bytes of one piece: a caller makes progress when it reads this much.
const PIECE_BYTES: usize = 64 << 10;

/// A body whose pieces are on record.
pub(super) struct AnswerBody {
    pub(super) inner: Body,
    pub(super) rest: Bytes,
    pub(super) charge: Option<Arc<Charge>>,
    pub(super) seat: Option<Arc<Seat>>,
    /// The request is in flight until its answer has been handed over whole.
    pub(super) _in_use: Option<InUse>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let data = self.rest.split_to(length);
        if let Some(seat) = &self.seat {
            seat.sent(length);
        }
        let piece = Piece { data, _charge: self.charge.clone(), seat: self.seat.clone() };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        match hint.exact() {
            Some(exact) => hint.set_exact(exact + rest),
            None => hint.set_lower(hint.lower() + rest),
        }
        hint
    }
}

struct Piece {
    data: Bytes,
    _charge: Option<Arc<Charge>>,
    seat: Option<Arc<Seat>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            seat.taken(self.data.len());
        }
    }
}
