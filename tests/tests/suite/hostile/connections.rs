//! Connections that are opened and kept.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Host, PATIENCE, allow_files};

/// More than the host takes.
const CONNECTIONS: usize = 1_300;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `POST / http localhost` as the first stream of HTTP/2, which has no token.
const REFUSED: &[u8] = b"\0\0\x0d\x01\x05\0\0\0\x01\x83\x86\x84\x41\x09localhost";

#[test]
fn connections_without_a_token_leave_the_host_to_others() {
    allow_files(2 * CONNECTIONS as u64);
    let host = Host::start();
    host.serves_others();
    let before = host.memory("VmRSS");
    let mut held: Vec<TcpStream> = Vec::new();
    let began = Instant::now();
    for number in 0..CONNECTIONS {
        let mut stream = host.connect();
        // Some of these are closed by then, to make room.
        let _ = match number % 3 {
            0 => stream.write_all(b"GET /v1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            1 => stream.write_all(&[PREFACE, REFUSED].concat()),
            _ => Ok(()),
        };
        held.push(stream);
    }
    host.serves_others();
    assert!(host.memory("VmHWM") < before + (64 << 10));
    // Even the last ones are closed when they have sent no token in time.
    let mut last = held.pop().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let closed = last.read_to_end(&mut Vec::new());
    assert!(closed.is_ok() || closed.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset, "it is closed");
    assert!(began.elapsed() >= Duration::from_secs(5), "and not at once");
}

#[test]
fn connections_with_a_token_leave_a_seat_to_another_namespace() {
    allow_files(2 * CONNECTIONS as u64);
    let host = Host::start();
    let run = host.ask("POST", "/v1/runs", &host.hostile, Some(&serde_json::json!({ "task": "touch", "after": "24h" }))).1;
    let run = run.rsplit_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next()).expect("an id").to_string();
    let wait = format!("GET /v1/runs/{run}/wait?timeout=60s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", host.hostile);
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = host.connect();
        stream.write_all(wait.as_bytes()).unwrap();
        held.push(stream);
    }
    host.serves_others();
    // Those of the namespace itself that came too many were told so.
    held.last().unwrap().set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 12];
    held.last_mut().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}
