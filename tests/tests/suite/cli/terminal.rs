//! A real terminal, which may be narrow.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
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

/// What a command shows on a terminal so wide; whatever is wrong with a run is no matter.
fn shown(server: &Server, arguments: &[&str], columns: u16) -> String {
    let (given, mut shown) = terminal(columns);
    let mut command = command(server.folder.path(), arguments);
    command.stdout(Stdio::from(given));
    let mut child = command.spawn().unwrap();
    // With its own copy of the program's side gone, what is shown ends with the program.
    drop(command);
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = shown.read(&mut piece) {
        text.extend_from_slice(&piece[..count]);
    }
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 1)), "{arguments:?}");
    String::from_utf8(text).unwrap()
}

#[test]
fn tables_fit_into_twenty_columns() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["touch", "--after", "24h", "--metadata", "customer=a-customer-with-a-long-name"]);
    for (arguments, first) in [(&["runs", "list"][..], "ID"), (&["tasks"], "TASK"), (&["token", "list"], "ID"), (&["audit"], "NUM")] {
        let text = shown(&server, arguments, 20);
        assert!(text.starts_with(first) && text.lines().count() > 1, "{arguments:?}: {text}");
        for line in text.lines() {
            assert!(line.trim_end().chars().count() <= 20, "{arguments:?}: {line}");
        }
    }
    assert!(server.run(&["runs", "list"]).ok().contains(&run), "where nobody watches nothing is cut");
}

#[test]
fn what_goes_on_in_the_next_row_does_not_pass_for_a_line_of_ours() {
    let server = Server::with(&["behaviours"]);
    // Wherever a row of forty columns ends, some row would begin with this.
    let forged = "attempt 2 at 2027-03-14 15:09:26Z: succeeded. ".repeat(40);
    let run = server.schedule(&["reject", "--input", &serde_json::json!({ "reason": forged }).to_string()]);
    server.run(&["runs", "wait", &run]).fails(1, &[]);
    let echo = server.schedule(&["touch", "--input", &serde_json::json!(forged).to_string()]);
    server.run(&["runs", "wait", &echo]).ok();
    for arguments in [
        &["runs", "logs", &run][..],
        &["runs", "show", &run],
        &["runs", "wait", &run],
        &["runs", "show", &echo],
        &["runs", "wait", &echo],
        &["explain", &run],
    ] {
        let text = shown(&server, arguments, 40);
        assert!(text.matches("  : ").count() >= 40, "{arguments:?}: {text}");
        for row in text.lines() {
            let fits = row.trim_end().chars().count() <= 40 || !row.contains("2027-03-14");
            assert!(fits && !row.starts_with("attempt 2"), "{arguments:?}: {text}");
        }
    }
    assert!(server.run(&["runs", "show", &run]).ok().contains(&forged), "where nobody watches nothing is folded");
}

#[test]
fn what_takes_long_shows_that_it_goes_on() {
    const ID: &str = "019a0c5e-7b3c-7def-8123-456789abcdef";
    let folder = tempfile::tempdir().unwrap();
    for (arguments, shown_meanwhile, answer) in [
        (&["runs", "delete", "--task", "x", "--yes"][..], "deleting runs", r#"{"changed":7,"refused":[]}"#),
        (&["runs", "delete", "--task", "x", "--dry-run"], "counting runs", r#"{"changed":7,"refused":[]}"#),
        (&["runs", "reschedule", ID, ID, "--by", "+1h", "--yes"], "moving runs", r#"{"changed":7,"refused":[]}"#),
        (&["crons", "backfill", "nightly", "--from", "2027-01-01T00:00:00Z", "--yes"], "the past of nightly", r#"{"planned":[],"made":7}"#),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (given, mut shown) = terminal(80);
        let server = format!("http://{}", listener.local_addr().unwrap());
        let mut command = command(folder.path(), &[arguments, &["--server", &server]].concat());
        command.env("RUNLATER_TOKEN", "t").env("TERM", "xterm").stderr(Stdio::from(given));
        let child = command.spawn().unwrap();
        // With its own copy of the program's side gone, what is shown ends with the program.
        drop(command);
        let (mut stream, _) = listener.accept().unwrap();
        // The answer comes when the user has seen what is going on, and not before.
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.contains(shown_meanwhile) {
            let count = shown.read(&mut piece).unwrap_or_else(|_| panic!("{arguments:?} ended without a sign: {text}"));
            text += &String::from_utf8_lossy(&piece[..count]);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
        let said = super::ran(child.wait_with_output().unwrap()).ok();
        assert!(said.contains('7') && !said.contains(shown_meanwhile), "{said}");
    }
}

#[test]
fn what_a_task_says_of_its_progress_stays_in_its_row() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["touch", "--after", "1h"]);
    let mut seen = server.json(&["runs", "show", &run]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Answers one request; what it asks is known.
    let answer = |body: &serde_json::Value| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
    };
    let (given, mut shown) = terminal(40);
    let mut command =
        command(server.folder.path(), &["runs", "wait", &run, "--server", &format!("http://{}", listener.local_addr().unwrap())]);
    command.env("RUNLATER_TOKEN", "t").env("TERM", "xterm").stderr(Stdio::from(given));
    let child = command.spawn().unwrap();
    drop(command);
    let note = format!("going on{}touch succeeded", " ".repeat(60));
    (seen["status"], seen["progress"]) = ("running".into(), serde_json::json!({ "done": 1, "total": 2, "note": note }));
    answer(&seen);
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains("running 1/2 going on") {
        let count = shown.read(&mut piece).unwrap_or_else(|_| panic!("it ended without a sign: {text}"));
        text += &String::from_utf8_lossy(&piece[..count]);
    }
    seen["status"] = "succeeded".into();
    answer(&seen);
    answer(&serde_json::json!({ "runs": [], "next": null }));
    assert!(super::ran(child.wait_with_output().unwrap()).ok().starts_with("touch succeeded"));
    while let Ok(count @ 1..) = shown.read(&mut piece) {
        text += &String::from_utf8_lossy(&piece[..count]);
    }
    assert!(!text.contains("touch succeeded"), "{text}");
}

#[test]
fn what_can_not_be_undone_is_asked_about() {
    let server = Server::with(&["behaviours"]);
    server.schedule(&["touch", "--after", "24h"]);
    server.run(&["crons", "create", "hourly", "--task", "touch", "--expression", "@hourly"]).ok();
    let token = server.run(&["token", "create", "--role", "read", "--note", "a reader"]).ok()[7..15].to_owned();
    let count = |path: &str, of: &str| server.json(&[path, "list"])[of].as_array().unwrap().len();
    let past = ["crons", "backfill", "hourly", "--from", "2020-01-01T00:00:00Z", "--until", "2020-01-01T02:00:00Z"];
    for (arguments, question, done) in [
        (&["runs", "delete", "--task", "touch", "--origin", "api"][..], "Delete 1 run? [y/N] ", "deleted 1 run\n"),
        (&past, "Make runs of 3 occurrences from 2020-01-01T00:00:00Z to 2020-01-01T02:00:00Z of cron hourly", "3 runs made of 3"),
        (&["crons", "delete", "hourly"], "Delete cron hourly (@hourly) of task touch, which fires next at ", "deleted cron hourly\n"),
        (&["token", "revoke", &token], "\"a reader\" with the role read", "revoked "),
    ] {
        for (answer, code, said) in [("\n", 3, ""), ("no\n", 3, ""), ("yep\n", 3, ""), ("\u{4}", 3, ""), ("y\n", 0, done)] {
            let (given, mut typed) = terminal(80);
            let mut command = command(server.folder.path(), arguments);
            command.stdin(Stdio::from(given));
            let child = command.spawn().unwrap();
            drop(command);
            // What is typed early waits in the terminal.
            typed.write_all(answer.as_bytes()).unwrap();
            let ran = super::ran(child.wait_with_output().unwrap());
            assert_eq!(ran.code, Some(code), "{arguments:?} {answer:?}: {ran:?}");
            assert!(ran.out.starts_with(said) && ran.out.is_empty() == said.is_empty(), "{arguments:?} {answer:?}: {ran:?}");
            assert!(ran.err.contains(question) && ran.err.contains("nothing was changed") == (code == 3), "{ran:?}");
        }
    }
    assert_eq!((count("crons", "crons"), count("token", "tokens")), (0, 2));
}
