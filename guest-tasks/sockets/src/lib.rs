//! Opens a socket, so that its component imports `wasi:sockets`. A host that grants no network must refuse it.

use std::io::{Read, Write};
use std::net::TcpStream;

use runlater_task::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Connect {
    /// Where to: an address and a port, for example `127.0.0.1:8080`.
    address: String,
    /// What is sent.
    #[serde(default)]
    send: String,
}

#[derive(Serialize)]
struct Received {
    received: String,
}

/// Connects, sends a few bytes, and returns the first that come back.
#[task]
fn connect(input: Connect) -> Result<Received, Failure> {
    let mut stream = TcpStream::connect(&input.address)?;
    stream.write_all(input.send.as_bytes())?;
    let mut buffer = [0; 64];
    let length = stream.read(&mut buffer)?;
    Ok(Received { received: String::from_utf8_lossy(&buffer[..length]).into_owned() })
}

export_tasks!(connect);
