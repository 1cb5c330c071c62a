//! Components that burst the compiler: the real one, in a process of its own, while the host goes on.

use super::{Server, command, ran};
use crate::built;

/// A number in LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 127) as u8;
        number >>= 7;
        bytes.push(if number > 0 { low | 128 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &leb(content.len())[..], content].concat()
}

/// A module with one function of about so many bytes and as many locals as it may have. Each of its blocks may be left early, so what each
/// local is at each block's end is a question that the compiler answers one by one: within all limits on what a file may say.
fn module_of_blocks(bytes: usize) -> Vec<u8> {
    const LOCALS: usize = 4_990;
    let mut body = [leb(1), leb(LOCALS), vec![0x7f]].concat();
    for number in 0.. {
        if body.len() >= bytes {
            break;
        }
        let (a, b) = (leb(1 + number * 7_919 % LOCALS), leb(1 + (number * 104_729 + 13) % LOCALS));
        // block; local.get a; br_if 0; local.get b; local.get a; i32.add; local.set b; end
        body.extend([&[0x02, 0x40, 0x20], &a[..], &[0x0d, 0, 0x20], &b, &[0x20], &a, &[0x6a, 0x21], &b, &[0x0b]].concat());
    }
    body.extend([0x20, 0, 0x0b]);
    let kind = section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let function = section(3, &[1, 0]);
    let code = section(10, &[leb(1), leb(body.len()), body].concat());
    [b"\0asm\x01\0\0\0", &kind[..], &function, &code].concat()
}

#[test]
fn one_that_takes_too_much_is_refused_while_others_are_served() {
    let server = Server::with(&["behaviours"]);
    let sound = std::fs::read(built::guest("hello")).unwrap();
    // A sound component, and in it a module that nobody calls.
    let bomb = [sound, section(1, &module_of_blocks(100_000))].concat();
    std::fs::write(server.path("bomb.wasm"), bomb).unwrap();
    let mut registering = command(server.folder.path(), &["register", "bomb.wasm"]).spawn().unwrap();
    let mut served = 0;
    while registering.try_wait().unwrap().is_none() {
        server.run(&["schedule", "touch", "--wait"]).ok();
        served += 1;
    }
    ran(registering.wait_with_output().unwrap()).fails(3, &["compiling it takes more than", "1024 MiB", "make its functions smaller"]);
    assert!(served > 1, "runs were executed while it was being compiled: {served}");
    assert_eq!(server.json(&["tasks"])["tasks"].as_array().unwrap().iter().filter(|task| task["name"] == "hello").count(), 0);
    server.register("hello");
    server.run(&["schedule", "hello", "--wait"]).ok();
}
