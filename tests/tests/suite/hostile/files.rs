//! A host that may open few files.

use std::io::{Read, Write};

use super::{Host, allow_files};

#[test]
fn a_host_with_few_files_says_what_it_bounds_and_serves() {
    allow_files(2_048);
    let mut host = Host::within(Some(256));
    let mut held = Vec::new();
    for number in 0..600 {
        let mut stream = host.connect();
        // Some are closed by then, to make room.
        if number % 2 == 0 {
            let asks = format!("GET /v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", host.hostile);
            let _ = stream.write_all(asks.as_bytes());
        }
        held.push(stream);
        if number % 100 == 99 {
            host.serves_others();
        }
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", host.child.id())).unwrap().count();
    assert!(open < 200, "{open} files");
    host.child.kill().unwrap();
    let mut said = String::new();
    host.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("the limit of 256 open files leaves room for 64 connections"), "{said}");
    assert!(!said.contains("can't accept"), "{said}");
}
