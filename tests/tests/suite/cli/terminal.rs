//! A real terminal, which may be narrow.

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::Stdio;

use super::{Server, command};

/// A terminal so wide: the side that a program has, and the side that shows what it writes.
fn terminal(columns: u16) -> (File, File) {
    let (mut shown, mut given) = (-1, -1);
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the two numbers are written, the size is read, and null stands for what is not asked for. Both descriptors are new and nobody
    // else's.
    unsafe {
        assert_eq!(libc::openpty(&mut shown, &mut given, std::ptr::null_mut(), std::ptr::null(), &size), 0);
        (File::from_raw_fd(given), File::from_raw_fd(shown))
    }
}

#[test]
fn tables_fit_into_twenty_columns() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["touch", "--after", "24h", "--metadata", "customer=a-customer-with-a-long-name"]);
    for (arguments, first) in [(&["runs", "list"][..], "ID"), (&["tasks"], "TASK"), (&["token", "list"], "ID"), (&["audit"], "NUM")] {
        let (given, mut shown) = terminal(20);
        let mut command = command(server.folder.path(), arguments);
        command.stdout(Stdio::from(given));
        let mut child = command.spawn().unwrap();
        // With its own copy of the program's side gone, what is shown ends with the program.
        drop(command);
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = shown.read(&mut piece) {
            text.extend_from_slice(&piece[..count]);
        }
        assert!(child.wait().unwrap().success(), "{arguments:?}");
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(first) && text.lines().count() > 1, "{arguments:?}: {text}");
        for line in text.lines() {
            assert!(line.trim_end().chars().count() <= 20, "{arguments:?}: {line}");
        }
    }
    assert!(server.run(&["runs", "list"]).ok().contains(&run), "where nobody watches nothing is cut");
}
