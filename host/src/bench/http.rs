//! Durable creates over HTTP, beside a server that only parses the same request: 256 connections at once.
//!
//! The client is in this process and shares its processors, as a load generator on the same machine would. It writes one request
//! after the other on each connection and reads each answer to its end; it parses no more of it than the length.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Bench;
use crate::http::{self, Rates, shapes};
use crate::scheduler::{Error, NewToken, Role};

const CONNECTIONS: usize = 256;

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let scheduler = bench.scheduler("http", 2).await?;
    let token = scheduler.create_token(NewToken { role: Role::Trigger, note: "bench".into(), expires: None }).await?.0;
    let none = Rates { token: None, address: None, failures: None, uploads: None };
    let (ours, raw) = (listen().await?, listen().await?);
    let (at, raw_at) = (address(&ours)?, address(&raw)?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = http::serve(scheduler.clone(), none, ours, async { drop(stopped.await) });
    let parse = async |Json(request): Json<shapes::ScheduleRun>| Json(serde_json::json!({ "task": request.task }));
    let parser = axum::serve(raw, Router::new().route("/v1/runs", post(parse)));
    let (requests, repeats) = (bench.plan.creates * 20, bench.plan.repeats);
    let secret = token.secret().to_string();
    let client = async {
        let (mut created, mut parsed) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            parsed.push(send(raw_at, &secret, requests, "200").await?);
            created.push(send(at, &secret, requests, "201").await?);
        }
        let _ = stop.send(());
        Ok::<_, io::Error>((created, parsed))
    };
    let measured = tokio::select! {
        (served, measured) = async { tokio::join!(server, client) } => served.and(measured),
        parser = parser => Err(parser.err().unwrap_or_else(|| io::Error::other("the server that only parses ended"))),
    };
    let (created, parsed) = measured.map_err(failed)?;
    bench.report.add("http.create_per_s", "durable creates over HTTP, 256 connections, runs/s", created);
    bench.report.add("bare.http_parse_per_s", "the same requests to a server that parses their JSON and no more, /s", parsed);
    bench.report.add_ratio("http.create_ratio", "create over HTTP ÷ parse only", "http.create_per_s", "bare.http_parse_per_s");
    scheduler.shutdown(Duration::from_secs(5)).await
}

/// Requests a second, `requests` of them over all connections, each answered with `status`.
async fn send(to: SocketAddr, token: &str, requests: usize, status: &'static str) -> io::Result<f64> {
    let body = format!("{{\"task\":\"touch\",\"after\":\"24h\",\"input\":{{\"op\":\"noop\",\"payload\":\"{}\"}}}}", "x".repeat(74));
    let request = format!(
        "POST /v1/runs HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = TcpStream::connect(to).await?;
        connection.set_nodelay(true)?;
        connections.push(connection);
    }
    let start = Instant::now();
    let each = requests.div_ceil(CONNECTIONS);
    let mut clients = JoinSet::new();
    for connection in connections {
        clients.spawn(converse(connection, request.clone().into_bytes(), each, status));
    }
    while let Some(done) = clients.join_next().await {
        done.map_err(io::Error::other)??;
    }
    Ok((each * CONNECTIONS) as f64 / start.elapsed().as_secs_f64())
}

async fn converse(mut connection: TcpStream, request: Vec<u8>, times: usize, status: &str) -> io::Result<()> {
    let mut answer = Vec::with_capacity(4096);
    for _ in 0..times {
        connection.write_all(&request).await?;
        answer.clear();
        while !is_whole(&answer) {
            if connection.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if answer.get(9..12) != Some(status.as_bytes()) {
            return Err(io::Error::other(format!("not {status}: {}", String::from_utf8_lossy(&answer))));
        }
    }
    Ok(())
}

/// Whether an answer is there to its end, by its head's length of the body.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&answer[..head]).unwrap_or_default();
    let length = text.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, length)| length.parse::<usize>().ok()).is_some_and(|length| answer.len() >= head + 4 + length)
}

async fn listen() -> Result<TcpListener, Error> {
    TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::Start(format!("measuring over HTTP: {error}"))
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";
        assert!(is_whole(answer));
        for end in 0..answer.len() {
            assert!(!is_whole(&answer[..end]), "{end}");
        }
    }
}
