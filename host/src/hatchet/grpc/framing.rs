//! Messages on the wire: a mark for compression, the length, the message; and the status in trailers after the last of an answer.
//!
//! The extractor [`Unary`] and the answer [`Reply`] are what methods with one message each way are made of; [`Messages`] reads several.

use std::convert::Infallible;
use std::io::Read;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes, BytesMut};
use flate2::read::GzDecoder;
use futures_util::StreamExt;
use futures_util::future::ready;
use http_body_util::{BodyExt, Full};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};

use super::messages::{Incoming, Repeated};
use crate::http::error::Problem;
use crate::http::{Caller, Charge};
use crate::model::Invalid;

/// Bytes of one message, compressed and unfolded: what clients take from the other side unless they are told otherwise.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
const PREFIX_BYTES: usize = 5;
/// Longest time for a request of one message.
const REQUEST_MAX: Duration = Duration::from_secs(60);
const MEDIA_TYPE: &str = "application/grpc";

/// The messages of a request, one after another.
pub(super) struct Messages {
    pieces: BodyDataStream,
    buffer: BytesMut,
    gzip: bool,
    /// The bytes that were read and not given out, and those of the last message.
    charge: Charge,
}

impl Messages {
    /// Begins to read a request, if it is one of gRPC.
    pub(super) fn of(request: Request) -> Result<Self, Problem> {
        let charge = request.extensions().get::<Caller>().map(Caller::charge).ok_or_else(Problem::unauthorized)?;
        Self::charged(request, charge)
    }

    /// The same, with its bytes charged to this.
    pub(super) fn charged(request: Request, charge: Charge) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let named = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let kind = named("content-type").and_then(|kind| kind.strip_prefix(MEDIA_TYPE));
        if !kind.is_some_and(|rest| rest.is_empty() || rest.starts_with("+proto") || rest.starts_with(';')) {
            let detail = "over HTTP/2 this host speaks gRPC only; the API is reached over HTTP/1.1";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail).at("content-type"));
        }
        let gzip = match named("grpc-encoding") {
            None | Some("identity") => false,
            Some("gzip") => true,
            Some(_) => return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "grpc-encoding", "compress with gzip, or not at all")),
        };
        Ok(Self { pieces: body.into_data_stream(), buffer: BytesMut::new(), gzip, charge })
    }

    /// The next one; `None` after the last. What was read stays read if this is dropped while it waits. The bytes of the message before are given
    /// back, unless [`hold`](Self::hold) took them.
    pub(super) async fn next<T: Incoming>(&mut self) -> Result<Option<T>, Problem> {
        loop {
            self.charge.settle(self.buffer.len() as u64).await?;
            if let Some(message) = self.whole().await? {
                check_repeated::<T>(&message)?;
                return T::decode(message).map(Some).map_err(|error| undecodable(&error));
            }
            match self.pieces.next().await {
                // Counted when the next round begins: if this were dropped while it waits for room, the piece would be lost.
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                None if self.buffer.is_empty() => return Ok(None),
                None | Some(Err(_)) => return Err(bad("the request ended within a message".into())),
            }
        }
    }

    /// Holds the bytes of the message that came last for as long as the charge is kept.
    fn hold(&mut self) -> Charge {
        self.charge.take_all()
    }

    /// Takes a message that has arrived whole, unfolded.
    async fn whole(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(too_large());
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        match (compressed, self.gzip) {
            (0, _) => {
                self.buffer.advance(PREFIX_BYTES);
                Ok(Some(self.buffer.split_to(length).freeze()))
            }
            (1, true) => {
                // Room for all that it may unfold to, before it is unfolded.
                let packed = self.buffer.len() as u64;
                self.charge.grow(MESSAGE_BYTES_MAX as u64).await?;
                self.buffer.advance(PREFIX_BYTES);
                let message = unfold(&self.buffer.split_to(length))?;
                self.charge.shrink_to(packed + message.len() as u64);
                Ok(Some(message))
            }
            _ => Err(bad("a message is marked as compressed, and grpc-encoding does not say how".into())),
        }
    }
}

/// Counts the values of a repeated field, without decoding them.
fn check_repeated<T: Incoming>(message: &[u8]) -> Result<(), Problem> {
    let Some(Repeated { tag, name, of, max }) = T::REPEATED else { return Ok(()) };
    let (mut rest, mut count) = (message, 0);
    while !rest.is_empty() {
        let (field, kind) = decode_key(&mut rest).map_err(|error| undecodable(&error))?;
        count += usize::from(field == tag);
        skip_field(kind, field, &mut rest, DecodeContext::default()).map_err(|error| undecodable(&error))?;
    }
    if (1..=max).contains(&count) {
        return Ok(());
    }
    Err(Invalid::new("invalid-bulk", name, format!("1 to {max} {of}")).seen(count.to_string()).into())
}

/// Unfolds a message, and no more of it than a message may have.
fn unfold(packed: &[u8]) -> Result<Bytes, Problem> {
    let mut unfolded = Vec::new();
    let read = GzDecoder::new(packed).take(MESSAGE_BYTES_MAX as u64 + 1).read_to_end(&mut unfolded);
    match read {
        Ok(_) if unfolded.len() > MESSAGE_BYTES_MAX => Err(too_large()),
        Ok(_) => Ok(unfolded.into()),
        Err(error) => Err(bad(format!("not gzip: {error}"))),
    }
}

fn undecodable(error: &DecodeError) -> Problem {
    bad(format!("not the message of this method: {error}"))
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-message", detail)
}

fn too_large() -> Problem {
    let detail = format!("a message has more than {MESSAGE_BYTES_MAX} bytes, which is the limit; send several");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "message-too-large", detail)
}

/// The one message of a request, and the bytes that it holds until the request is answered.
pub(super) struct Unary<T>(pub(super) T, pub(super) Charge);

impl<T: Incoming, S: Sync> FromRequest<S> for Unary<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        Self::read(Messages::of(request)?).await
    }
}

impl<T: Incoming> Unary<T> {
    async fn read(mut messages: Messages) -> Result<Self, Problem> {
        let read = async {
            let message = messages.next().await?.ok_or_else(|| bad("the request has no message".into()))?;
            let held = messages.hold();
            match messages.next::<T>().await? {
                None => Ok(Self(message, held)),
                Some(_) => Err(bad("this method takes one message".into())),
            }
        };
        let slow = || Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "the request did not arrive within 60 s");
        tokio::time::timeout(REQUEST_MAX, read).await.unwrap_or_else(|_| Err(slow()))
    }
}

/// The one message of an answer, with the status that all went well.
pub(super) struct Reply<T>(pub(super) T);

impl<T: Message> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let trailers = ready(Some(Ok::<_, Infallible>(ok())));
        answer(Body::new(Full::new(frame(&self.0)).with_trailers(trailers)))
    }
}

/// An answer that has begun.
pub(super) fn answer(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    response
}

/// The trailers of an answer that went well.
pub(super) fn ok() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().expect("a header's name"), HeaderValue::from_static("0"))])
}

/// A message as it is sent, which holds these bytes until it was.
pub(super) fn charged_frame(message: &impl Message, mut charge: Charge) -> Bytes {
    struct Framed(Bytes, #[allow(dead_code, reason = "held until this is dropped")] Charge);
    impl AsRef<[u8]> for Framed {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let framed = frame(message);
    charge.shrink_to(framed.len() as u64);
    Bytes::from_owner(Framed(framed, charge))
}

/// A message as it is sent.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let mut framed = vec![0; PREFIX_BYTES];
    message.encode(&mut framed).expect("a vector grows");
    let length = u32::try_from(framed.len() - PREFIX_BYTES).expect("payloads are bounded far below 4 GiB");
    framed[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    framed.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::messages::{BulkTriggerWorkflowRequest, GetRunDetailsRequest};
    use super::*;
    use crate::http::InFlight;
    use crate::model::NamespaceId;

    fn packed(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn framed(mark: u8, message: &[u8]) -> Vec<u8> {
        [&[mark][..], &(message.len() as u32).to_be_bytes(), message].concat()
    }

    /// What becomes of a request with this body, which arrives byte by byte.
    async fn read(encoding: Option<&str>, body: &[u8]) -> Result<String, String> {
        read_as::<GetRunDetailsRequest>(encoding, body).await.map(|message| message.external_id)
    }

    async fn read_as<T: Incoming>(encoding: Option<&str>, body: &[u8]) -> Result<T, String> {
        let pieces: Vec<_> = body.iter().map(|byte| Ok::<_, Infallible>(vec![*byte])).collect();
        let mut request = Request::builder().header("content-type", "application/grpc");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let request = request.body(Body::from_stream(futures_util::stream::iter(pieces))).unwrap();
        // Alone, a namespace may hold half: a message unfolded, and itself as it came.
        let messages = Messages::charged(request, InFlight::new(3 * MESSAGE_BYTES_MAX as u64).charge(NamespaceId(1)));
        let read = async { Unary::<T>::read(messages?).await };
        read.await.map(|Unary(message, _)| message).map_err(|problem| problem.code.into_owned())
    }

    #[tokio::test]
    async fn the_values_of_a_repeated_field_are_counted_before_they_are_decoded() {
        for (count, code) in [(0, Some("invalid-bulk")), (1_000, None), (1_001, Some("invalid-bulk")), (2_000_000, Some("invalid-bulk"))] {
            // Two bytes each: the field's tag, and no length.
            let message = [0x0a, 0].repeat(count);
            let read = read_as::<BulkTriggerWorkflowRequest>(Some("gzip"), &framed(1, &packed(&message))).await;
            assert_eq!(read.as_ref().err().map(String::as_str), code, "{count}");
            assert!(read.is_err() || read.unwrap().workflows.len() == count);
        }
        // A field that is not known is passed over, and one that does not end is refused.
        let unknown = [&[0x7a, 3, 0x0a, 0, 0x0a][..], &[0x0a, 0]].concat();
        assert_eq!(read_as::<BulkTriggerWorkflowRequest>(None, &framed(0, &unknown)).await.unwrap().workflows.len(), 1);
        let cut = read_as::<BulkTriggerWorkflowRequest>(None, &framed(0, &[0x0a, 9])).await;
        assert_eq!(cut.unwrap_err(), "invalid-message");
    }

    #[tokio::test]
    async fn messages_in_and_out() {
        let message = GetRunDetailsRequest { external_id: "x".into() }.encode_to_vec();
        let well = Ok("x".to_string());
        assert_eq!(read(None, &framed(0, &message)).await, well);
        assert_eq!(read(Some("identity"), &framed(0, &message)).await, well);
        assert_eq!(read(Some("gzip"), &framed(0, &message)).await, well, "small messages are sent as they are");
        assert_eq!(read(Some("gzip"), &framed(1, &packed(&message))).await, well);
        assert_eq!(frame(&GetRunDetailsRequest { external_id: "x".into() }).to_vec(), framed(0, &message));
        let bad = |code: &str| Err(code.to_string());
        for (encoding, body, code) in [
            (None, vec![], "invalid-message"),
            (None, framed(0, &message)[..4].to_vec(), "invalid-message"),
            (None, framed(0, &message)[..6].to_vec(), "invalid-message"),
            (None, framed(0, b"\xff\xff"), "invalid-message"),
            (None, framed(0, &message).repeat(2), "invalid-message"),
            (None, framed(1, &packed(&message)), "invalid-message"),
            (Some("gzip"), framed(1, &message), "invalid-message"),
            (Some("gzip"), framed(2, &message), "invalid-message"),
            (Some("zstd"), framed(0, &message), "grpc-encoding"),
            (None, vec![0, 0xff, 0xff, 0xff, 0xff], "message-too-large"),
            (Some("gzip"), framed(1, &packed(&vec![0; MESSAGE_BYTES_MAX + 1])), "message-too-large"),
        ] {
            assert_eq!(read(encoding, &body).await, bad(code), "{encoding:?} {} bytes", body.len());
        }
        // Eight thousand bytes that would be eight million.
        assert_eq!(unfold(&packed(&vec![0; 8 << 20])).unwrap_err().code, "message-too-large");
    }
}
