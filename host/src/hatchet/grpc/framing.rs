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
use prost::Message;

use crate::http::error::Problem;

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
}

impl Messages {
    /// Begins to read a request, if it is one of gRPC.
    pub(super) fn of(request: Request) -> Result<Self, Problem> {
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
        Ok(Self { pieces: body.into_data_stream(), buffer: BytesMut::new(), gzip })
    }

    /// The next one; `None` after the last. What was read stays read if this is dropped while it waits.
    pub(super) async fn next<T: Message + Default>(&mut self) -> Result<Option<T>, Problem> {
        loop {
            if let Some(message) = self.whole()? {
                return T::decode(message).map(Some).map_err(|error| bad(format!("not the message of this method: {error}")));
            }
            match self.pieces.next().await {
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                None if self.buffer.is_empty() => return Ok(None),
                None | Some(Err(_)) => return Err(bad("the request ended within a message".into())),
            }
        }
    }

    /// Takes a message that has arrived whole, unfolded.
    fn whole(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(too_large());
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        let message = self.buffer.split_to(length).freeze();
        match (compressed, self.gzip) {
            (0, _) => Ok(Some(message)),
            (1, true) => unfold(&message).map(Some),
            _ => Err(bad("a message is marked as compressed, and grpc-encoding does not say how".into())),
        }
    }
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

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-message", detail)
}

fn too_large() -> Problem {
    let detail = format!("a message has more than {MESSAGE_BYTES_MAX} bytes, which is the limit; send several");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "message-too-large", detail)
}

/// The one message of a request.
pub(super) struct Unary<T>(pub(super) T);

impl<T: Message + Default, S: Sync> FromRequest<S> for Unary<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let mut messages = Messages::of(request)?;
        let read = async {
            let message = messages.next().await?.ok_or_else(|| bad("the request has no message".into()))?;
            match messages.next::<T>().await? {
                None => Ok(Self(message)),
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

    use super::super::messages::GetRunDetailsRequest;
    use super::*;

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
        let pieces: Vec<_> = body.iter().map(|byte| Ok::<_, Infallible>(vec![*byte])).collect();
        let mut request = Request::builder().header("content-type", "application/grpc");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let request = request.body(Body::from_stream(futures_util::stream::iter(pieces))).unwrap();
        match Unary::<GetRunDetailsRequest>::from_request(request, &()).await {
            Ok(Unary(message)) => Ok(message.external_id),
            Err(problem) => Err(problem.code.into_owned()),
        }
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
