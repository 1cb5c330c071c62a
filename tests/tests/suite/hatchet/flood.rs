//! Floods that only HTTP/2 knows: they end their own connection, and nobody else's.

use runlater::scheduler::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::World;
use super::grpc::Connection;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `POST / http localhost` by the static table.
const HEAD: &[u8] = b"\x83\x86\x84\x41\x09localhost";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Sends these frames after the preface, and reads until the host closes: the kinds of its frames, and the code with which it went away.
async fn sent(world: &World, frames: Vec<u8>) -> (Vec<u8>, Option<u32>) {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let opening = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[]), &frames].concat();
    // The host need not read all of it. Both at once: else each could wait for the other.
    let writing = async {
        let _ = writer.write_all(&opening).await;
        writer
    };
    let reading = async {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
        answer
    };
    let (_, answer) = tokio::join!(writing, reading);
    let (mut rest, mut kinds, mut code) = (&answer[..], Vec::new(), None);
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let (kind, payload) = (rest[3], rest.get(9..9 + length).unwrap_or_default());
        if kind == GO_AWAY {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        kinds.push(kind);
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    (kinds, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_end_their_own_connection() {
    let world = World::new().await;
    let other = Connection::to(&world).await;
    // Requests that are taken back as soon as they are sent.
    let resets: Vec<u8> = (0..2_000)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [frame(HEADERS, END_HEADERS, stream, HEAD), frame(RESET, 0, stream, &8u32.to_be_bytes())].concat()
        })
        .collect();
    let (_, code) = sent(&world, resets).await;
    assert_eq!(code, Some(0xb), "ENHANCE_YOUR_CALM");

    // A head that never ends.
    let endless = [frame(HEADERS, 0, 1, HEAD), frame(CONTINUATION, 0, 1, &[0; 16_384]).repeat(200)].concat();
    let (kinds, code) = sent(&world, endless).await;
    assert!(code.is_some_and(|code| code != 0) && !kinds.contains(&DATA), "{code:?} {kinds:?}");

    // A small head that unfolds: one long entry of the dynamic table, named again and again.
    let long = [&[0x40, 1, b'x', 0x7f, 0x81, 0x1e][..], &[b'y'; 4_000]].concat();
    let unfolding = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[HEAD, &long, &[0xbe; 10_000]].concat());
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(1_000);
    let bye = frame(GO_AWAY, 0, 0, &[0; 8]);
    let (kinds, _) = sent(&world, [unfolding, pings, bye].concat()).await;
    assert!(kinds.contains(&HEADERS) || kinds.contains(&RESET) || kinds.contains(&GO_AWAY), "it is refused: {kinds:?}");

    // Whoever else there is does not notice.
    let token = world.client_token(&world.scheduler, Role::Read).await;
    assert_eq!(world.ask("GET", "/v1/runs", &token, None).await.0, 200);
    assert_eq!(other.status_of("/nowhere", &token).await, 12);
}
