//! Request bodies and messages of arbitrary bytes.

use axum::body::Body;
use axum::extract::Request;
use futures_util::{FutureExt, StreamExt, stream};
use prost::Message;

use super::framing::Messages;
use super::messages;
use crate::http::InFlight;
use crate::model::NamespaceId;

/// Reads a body in pieces: the first byte says how long they are, and whether the request says that it is compressed.
pub(crate) fn fuzz_frames(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let pieces: Vec<_> = body.chunks(usize::from(first >> 1) + 1).map(|piece| Ok::<_, std::convert::Infallible>(piece.to_vec())).collect();
    let encoding = if first & 1 == 0 { "identity" } else { "gzip" };
    let request = Request::builder().header("content-type", "application/grpc").header("grpc-encoding", encoding);
    let request = request.body(Body::from_stream(stream::iter(pieces).boxed())).expect("its head is sound");
    let charge = InFlight::new(64 << 20).charge(NamespaceId(1));
    let Ok(mut messages) = Messages::charged(request, charge) else { return };
    let read = async { while let Ok(Some(_)) = messages.next::<messages::BulkTriggerWorkflowRequest>().await {} };
    read.now_or_never().expect("all pieces are there");
}

/// Reads a message as each request.
pub(crate) fn fuzz_messages(bytes: &[u8]) {
    fn read<T: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        if let Ok(message) = T::decode(bytes) {
            assert_eq!(T::decode(&*message.encode_to_vec()).as_ref(), Ok(&message));
        }
    }
    read::<messages::ScheduleWorkflowRequest>(bytes);
    read::<messages::TriggerWorkflowRequest>(bytes);
    read::<messages::BulkTriggerWorkflowRequest>(bytes);
    read::<messages::GetRunDetailsRequest>(bytes);
    read::<messages::SubscribeToWorkflowRunsRequest>(bytes);
    if let Ok(at) = messages::Timestamp::decode(bytes)
        && let Some(moment) = at.moment()
    {
        assert_eq!(messages::Timestamp::from(moment).moment(), Some(moment));
    }
}
