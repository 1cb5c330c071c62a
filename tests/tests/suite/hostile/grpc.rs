//! Messages of gRPC that unfold, and streams that wait for very many runs.

use std::io::Write;
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Host, PATIENCE};

/// Requests at a time, over one connection.
const STREAMS: usize = 32;

struct Connection {
    send: h2::client::SendRequest<Bytes>,
    _driving: JoinSet<()>,
}

impl Connection {
    async fn to(host: &Host) -> Self {
        let stream = TcpStream::connect(host.address).await.expect("it listens");
        let (send, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        let mut driving = JoinSet::new();
        driving.spawn(async { drop(connection.await) });
        Self { send, _driving: driving }
    }

    /// Begins a call.
    async fn begin(&self, host: &Host, path: &str, encoding: &str) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let request = Request::builder().method("POST").uri(format!("http://{}{path}", host.address));
        let request = request.header("content-type", "application/grpc").header("te", "trailers").header("grpc-encoding", encoding);
        let request = request.header("authorization", format!("bearer {}", host.hostile)).body(()).expect("well-formed");
        self.send.clone().ready().await.expect("it takes requests").send_request(request, false).expect("it is well-formed")
    }
}

fn framed(mark: u8, message: &[u8]) -> Vec<u8> {
    [&[mark][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

#[test]
fn two_million_empty_messages_are_counted_before_they_are_decoded() {
    let host = Host::start();
    host.serves_others();
    let before = host.memory("VmRSS");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&[0x0a, 0].repeat(2_000_000)).unwrap();
    let message = Bytes::from(framed(1, &encoder.finish().unwrap()));
    assert!(message.len() < 8 << 10);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let connection = Connection::to(&host).await;
        let mut answers = JoinSet::new();
        for _ in 0..STREAMS {
            let (answer, mut body) = connection.begin(&host, "/WorkflowService/BulkTriggerWorkflow", "gzip").await;
            body.send_data(message.clone(), true).unwrap();
            answers.spawn(answer);
        }
        while let Some(answer) = tokio::time::timeout(PATIENCE, answers.join_next()).await.expect("it is answered") {
            let status = answer.unwrap().unwrap().headers()["grpc-status"].to_str().unwrap().to_owned();
            assert_eq!(status, "3", "INVALID_ARGUMENT");
        }
    });
    host.serves_others();
    let most = host.memory("VmHWM");
    assert!(most < before + (160 << 10), "{} MiB more than before", (most - before) >> 10);
}

#[test]
fn waits_for_runs_are_bounded_for_a_connection() {
    let host = Host::start();
    let scheduled = host.ask("POST", "/v1/runs", &host.hostile, Some(&serde_json::json!({ "task": "touch", "after": "24h" }))).1;
    let run = scheduled.rsplit_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next()).expect("an id");
    host.serves_others();
    let before = host.memory("VmRSS");
    let named = framed(0, &[&[0x0a, run.len() as u8][..], run.as_bytes()].concat());
    // As many as each stream may have, if nothing bounded those of a connection together.
    let all = Bytes::from(named.repeat(10_000));
    let sent = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let connection = Connection::to(&host).await;
        let mut streams = JoinSet::new();
        for _ in 0..8 {
            let (answer, body) = connection.begin(&host, "/Dispatcher/SubscribeToWorkflowRuns", "identity").await;
            streams.spawn(send_while_it_is_read(body, all.clone(), answer));
        }
        let mut streams = streams.join_all().await;
        host.serves_others();
        streams.drain(..).map(|(sent, ..)| sent).sum::<usize>()
    });
    // What was read, and what may be on its way.
    assert!((all.len()..2 * all.len()).contains(&sent), "{sent} bytes of {} were read", 8 * all.len());
    let most = host.memory("VmHWM");
    assert!(most < before + (64 << 10), "{} MiB more than before", (most - before) >> 10);
}

/// Sends as much as the host takes: how many bytes these are, and the stream, which stays open.
async fn send_while_it_is_read<A>(mut body: h2::SendStream<Bytes>, mut rest: Bytes, answer: A) -> (usize, h2::SendStream<Bytes>, A) {
    let mut sent = 0;
    while !rest.is_empty() {
        body.reserve_capacity(rest.len().min(16 << 10));
        let room = std::future::poll_fn(|context| body.poll_capacity(context));
        // Longer than the host takes for a read.
        let Ok(Some(Ok(room))) = tokio::time::timeout(Duration::from_secs(3), room).await else { break };
        let piece = rest.split_to(room.min(rest.len()));
        sent += piece.len();
        body.send_data(piece, false).expect("the stream is open");
    }
    (sent, body, answer)
}
