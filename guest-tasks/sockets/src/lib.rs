//! Opens a socket, so that its component imports `wasi:sockets`. Without a grant, the host must deny the connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use runlater_task::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Connect {
    /// Where to: an address or a name, and a port, for example `127.0.0.1:8080`.
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

#[derive(Deserialize, JsonSchema)]
struct Many {
    /// Where to: an address and a port.
    address: String,
    /// How many connections to open.
    count: u32,
}

#[derive(Serialize)]
struct Opened {
    opened: usize,
    refused: Option<String>,
    /// Whether another connection could be opened after one was closed.
    again: bool,
}

/// Opens many connections and keeps them, until one is refused.
#[task]
fn many(input: Many) -> Result<Opened, Failure> {
    let (mut open, mut refused) = (Vec::new(), None);
    while refused.is_none() && open.len() < input.count as usize {
        match TcpStream::connect(&input.address) {
            Ok(stream) => open.push(stream),
            Err(error) => refused = Some(error.to_string()),
        }
    }
    let opened = open.len();
    open.pop();
    let again = TcpStream::connect(&input.address).is_ok();
    Ok(Opened { opened, refused, again })
}

export_tasks!(connect, many);
