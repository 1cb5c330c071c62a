//! Answers that are asked for and not read.

use std::io::{Read, Write};

use super::{Host, PATIENCE, allow_files};

#[test]
fn answers_that_nobody_reads_are_bounded_and_given_up() {
    allow_files(2_048);
    let host = Host::start();
    // A page ends at 8 MiB.
    host.fill(40);
    host.serves_others();
    let before = host.memory("VmRSS");
    let list = format!("GET /v1/runs?limit=500 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", host.hostile);
    let mut held = Vec::new();
    for _ in 0..600 {
        let mut stream = host.connect();
        stream.write_all(list.as_bytes()).unwrap();
        held.push(stream);
    }
    host.serves_others();
    // The last one is answered when the others are given up or refused, and not before all of them were tried.
    let mut last = held.pop().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut status = [0; 12];
    last.read_exact(&mut status).unwrap();
    host.serves_others();
    let most = host.memory("VmHWM");
    assert!(most < before + (400 << 10), "{} MiB more than before", (most - before) >> 10);
    // Whoever reads nothing is let go. What the system keeps of the answer can be read; the rest never comes.
    let mut first = held.swap_remove(0);
    first.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    wait_for_reset(&mut first, &host);
}

/// Waits until the host has closed its side, without reading: until then, more would come.
fn wait_for_reset(stream: &mut std::net::TcpStream, host: &Host) {
    let ended = std::time::Instant::now() + 3 * PATIENCE;
    let port = stream.local_addr().unwrap().port();
    let theirs = format!(":{:04X} ", host.address.port());
    let own = format!(":{port:04X} ");
    // The host's side of the connection, as the system lists it: state 01 is an open one.
    let is_open = || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        sockets.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, remote, state) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            format!("{local} ").ends_with(&theirs) && format!("{remote} ").ends_with(&own) && state == "01"
        })
    };
    while is_open() {
        assert!(std::time::Instant::now() < ended, "an answer that nobody reads is held for ever");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
