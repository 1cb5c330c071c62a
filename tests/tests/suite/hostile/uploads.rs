//! Components that are sent, and never end.

use std::io::{Read, Write};

use super::{Host, PATIENCE, allow_files};

#[test]
fn components_that_are_being_sent_are_bounded_together() {
    allow_files(2_048);
    let host = Host::start();
    host.serves_others();
    let before = host.memory("VmRSS");
    let length = 32 << 20;
    let post = format!(
        "POST /v1/tasks?dry_run=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/wasm\r\n\
         Content-Length: {length}\r\n\r\n",
        host.hostile
    );
    let (mut held, mut refused) = (Vec::new(), 0);
    let piece = vec![0; 1 << 20];
    for _ in 0..60 {
        let mut stream = host.connect();
        stream.write_all(post.as_bytes()).unwrap();
        // All but the last piece. A host that refuses stops reading.
        let sent = (0..31).try_for_each(|_| stream.write_all(&piece));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        if sent.is_err() || held.len() >= 3 {
            let mut status = [0; 12];
            // The answer may be lost to the reset that follows it.
            if stream.read_exact(&mut status).is_ok() {
                assert_eq!(&status, b"HTTP/1.1 429");
            }
            refused += 1;
        } else {
            held.push(stream);
        }
    }
    assert!(refused >= 57, "{refused} were refused");
    host.serves_others();
    let most = host.memory("VmHWM");
    assert!(most < before + (200 << 10), "{} MiB more than before", (most - before) >> 10);
}
