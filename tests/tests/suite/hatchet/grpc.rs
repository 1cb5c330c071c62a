//! gRPC on the wire: which status each bad request gets, and that HTTP/2 reaches nothing else.

use std::io::Write;

use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use runlater::scheduler::Role;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::World;

const SCHEDULE: &str = "/WorkflowService/ScheduleWorkflow";
const TRIGGER: &str = "/WorkflowService/TriggerWorkflow";
const DETAILS: &str = "/v1.AdminService/GetRunDetails";
const SUBSCRIBE: &str = "/Dispatcher/SubscribeToWorkflowRuns";

/// A connection that speaks HTTP/2.
pub(super) struct Connection {
    send: h2::client::SendRequest<Bytes>,
    authority: String,
    _driving: JoinSet<()>,
}

/// An answer: its status in gRPC, what it says, and the message if there is one.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    said: String,
    message: Vec<u8>,
}

impl Connection {
    pub(super) async fn to(world: &World) -> Self {
        let stream = TcpStream::connect(world.address).await.expect("it listens");
        let (send, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        let mut driving = JoinSet::new();
        driving.spawn(async { drop(connection.await) });
        Self { send, authority: world.address.to_string(), _driving: driving }
    }

    /// Sends one request, and reads the answer: its head, its body and its trailers.
    async fn send(&self, request: Request<()>, body: Vec<u8>) -> (axum::http::response::Parts, Vec<u8>, HeaderMap) {
        let mut send = self.send.clone().ready().await.expect("it takes requests");
        let (response, mut stream) = send.send_request(request, false).expect("it is well-formed");
        // What is refused before it is read whole may be reset; the answer tells.
        let _ = stream.send_data(body.into(), true);
        let (head, mut body) = response.await.expect("an answer").into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            let Ok(piece) = piece else { break };
            let _ = body.flow_control().release_capacity(piece.len());
            bytes.extend_from_slice(&piece);
        }
        let trailers = body.trailers().await.ok().flatten().unwrap_or_default();
        (head, bytes, trailers)
    }

    /// The status of a call without a message.
    pub(super) async fn status_of(&self, path: &str, token: &str) -> u16 {
        self.call(path, token, None, Vec::new()).await.status
    }

    /// Calls a method.
    async fn call(&self, path: &str, token: &str, encoding: Option<&str>, body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method("POST").uri(format!("http://{}{path}", self.authority));
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        if !token.is_empty() {
            request = request.header("authorization", format!("bearer {token}"));
        }
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let (head, bytes, trailers) = self.send(request.body(()).expect("well-formed"), body).await;
        assert_eq!((head.status.as_u16(), &head.headers["content-type"]), (200, &"application/grpc".parse().expect("ASCII")), "{path}");
        let named = |name| head.headers.get(name).or_else(|| trailers.get(name)).map(|value| value.to_str().expect("ASCII"));
        Answer {
            status: named("grpc-status").and_then(|status| status.parse().ok()).expect("a status"),
            said: named("grpc-message").unwrap_or("").into(),
            message: bytes.get(5..).unwrap_or_default().into(),
        }
    }
}

/// A field that is text.
fn text(number: u8, value: &str) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    [field.as_slice(), value.as_bytes()].concat()
}

/// A message as it is sent: as it is, or with the mark for compression.
fn framed(mark: u8, message: &[u8]) -> Vec<u8> {
    [&[mark][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector grows");
    encoder.finish().expect("a vector grows")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_its_status() {
    const SOME_TIME: &[u8] = &[0x12, 0x06, 0x08, 0x80, 0xa0, 0x8b, 0xee, 0x10];
    const YEAR_ZERO: &[u8] = &[0x12, 0x0b, 0x08, 0x80, 0x92, 0xb8, 0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 0x01];
    let world = World::new().await;
    let write = world.client_token(&world.scheduler, Role::Write).await;
    let read = world.client_token(&world.scheduler, Role::Read).await;
    let connection = Connection::to(&world).await;
    let simple = text(1, "simple");
    let schedule = |more: &[Vec<u8>]| [&simple[..], SOME_TIME, &more.concat()].concat();
    let bomb = gzip(&vec![0; 8 << 20]);
    let before = world.asked_for().await;
    for (name, path, token, encoding, body, status, words) in [
        ("no token", SCHEDULE, "", None, framed(0, &schedule(&[])), 16, "token"),
        ("a wrong token", SCHEDULE, "rl_api_x", None, framed(0, &schedule(&[])), 16, "token"),
        ("a role too low", SCHEDULE, &read, None, framed(0, &schedule(&[])), 7, "trigger"),
        ("a method of workers", "/v1.AdminService/PutWorkflow", &write, None, framed(0, b""), 12, "runlater register"),
        ("a stream of workers", "/Dispatcher/ListenV2", &write, None, framed(0, b""), 12, "runlater register"),
        ("the API", "/v1/runs", &write, None, framed(0, b""), 12, ""),
        ("no such workflow", SCHEDULE, &write, None, framed(0, &[&text(1, "nowhere"), SOME_TIME].concat()), 5, "workflow not found"),
        ("no such workflow to run", TRIGGER, &write, None, framed(0, &text(1, "nowhere")), 3, "workflow not found"),
        ("no time", SCHEDULE, &write, None, framed(0, &simple), 3, "schedules"),
        ("year 0", SCHEDULE, &write, None, framed(0, &[&simple[..], YEAR_ZERO].concat()), 3, "schedules[0]"),
        ("no JSON", SCHEDULE, &write, None, framed(0, &schedule(&[text(3, "{")])), 3, "input"),
        ("a list", SCHEDULE, &write, None, framed(0, &schedule(&[text(3, "[]")])), 3, "input"),
        ("metadata that is text", SCHEDULE, &write, None, framed(0, &schedule(&[text(8, "\"x\"")])), 3, "additionalMetadata"),
        ("half a parent", SCHEDULE, &write, None, framed(0, &schedule(&[text(4, "019a0c5e-7b3c-7def-8123-456789abcdef")])), 3, "parent_id"),
        (
            "a payload too large",
            SCHEDULE,
            &write,
            None,
            framed(0, &schedule(&[text(3, &format!("{{\"a\":\"{}\"}}", "x".repeat(262_144)))])),
            3,
            "262144",
        ),
        ("no such run", DETAILS, &write, None, framed(0, &text(1, "019a0c5e-7b3c-7def-8123-456789abcdef")), 5, "no run"),
        ("an id that is none", DETAILS, &write, None, framed(0, &text(1, "x")), 3, "UUID"),
        ("no message", SCHEDULE, &write, None, Vec::new(), 3, "no message"),
        ("half a message", SCHEDULE, &write, None, framed(0, &simple)[..7].to_vec(), 3, "within a message"),
        ("another message", SCHEDULE, &write, None, framed(0, b"\xff\xff\xff"), 3, "not the message"),
        ("two messages", SCHEDULE, &write, None, framed(0, &schedule(&[])).repeat(2), 3, "one message"),
        ("compressed, it does not say how", SCHEDULE, &write, None, framed(1, &gzip(&schedule(&[]))), 3, "grpc-encoding"),
        ("compressed otherwise", SCHEDULE, &write, Some("zstd"), framed(1, &schedule(&[])), 12, "gzip"),
        ("not compressed after all", SCHEDULE, &write, Some("gzip"), framed(1, &schedule(&[])), 3, "gzip"),
        ("announced too large", SCHEDULE, &write, None, vec![0, 0xff, 0xff, 0xff, 0xff], 3, "4194304"),
        ("a bomb", SCHEDULE, &write, Some("gzip"), framed(1, &bomb), 3, "4194304"),
    ] {
        let answer = connection.call(path, token, encoding, body).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.said.contains(words), "{name}: {answer:?}");
    }
    assert_eq!(world.asked_for().await, before);
    // The same connection still serves.
    let answer = connection.call(SCHEDULE, &write, Some("gzip"), framed(1, &gzip(&schedule(&[])))).await;
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(world.asked_for().await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_reaches_nothing_else() {
    let world = World::new().await;
    let token = world.client_token(&world.scheduler, Role::Admin).await;
    let connection = Connection::to(&world).await;
    for (method, path) in [("GET", "/v1/runs"), ("GET", "/healthz"), ("DELETE", "/v1/tokens/x"), ("GET", SCHEDULE)] {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", world.address));
        let request = request.header("authorization", format!("Bearer {token}")).body(()).unwrap();
        let (head, body, _) = connection.send(request, Vec::new()).await;
        assert_eq!((head.headers["grpc-status"].to_str().unwrap(), body.len()), ("12", 0), "{method} {path}");
    }
    // Nor does gRPC over HTTP/1.1, where it has no trailers.
    assert_eq!(world.ask("POST", SCHEDULE, &token, Some("{}")).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_what_is_not_there_is_told() {
    let world = World::new().await;
    let token = world.client_token(&world.scheduler, Role::Read).await;
    let connection = Connection::to(&world).await;
    let other = world.scheduler.in_namespace("other").await.unwrap();
    let foreign = other.schedule("simple").send().await.unwrap().to_string();
    let unknown = "019a0c5e-7b3c-7def-8123-456789abcdef";
    let mut said = Vec::new();
    for id in [foreign.as_str(), unknown, "x"] {
        let answer = connection.call(SUBSCRIBE, &token, None, framed(0, &text(1, id))).await;
        assert_eq!(answer.status, 0, "the stream ends when all have been told: {answer:?}");
        said.push(String::from_utf8_lossy(&answer.message).replace(id, "?"));
    }
    assert!(said[0].contains("there is no run") && said[2].contains("UUID"), "{said:?}");
    let without_time = |text: &str| text[text.find("there is").unwrap()..].to_owned();
    assert_eq!(without_time(&said[0]), without_time(&said[1]), "another namespace's run looks like none");
}
