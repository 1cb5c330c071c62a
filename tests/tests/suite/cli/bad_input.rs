//! What is typed wrongly: each time an exit code that says what kind of mistake it is, and words that say how to mend it.

use super::{Server, run_in, run_with_input};

const ID: &str = "019a0c5e-7b3c-7def-8123-456789abcdef";

#[test]
fn mistakes_in_the_command_are_told_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("bad.json"), "{").unwrap();
    std::fs::write(folder.path().join("latin1.json"), b"\"\xe9\"").unwrap();
    std::fs::write(folder.path().join("large.json"), format!("\"{}\"", "x".repeat(256 << 10))).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    std::fs::File::create(folder.path().join("endless.wasm")).unwrap().set_len(10 << 30).unwrap();
    for (arguments, code, words) in [
        (&["shcedule"][..], 2, &["shcedule", "schedule"][..]),
        (&["runs", "lits"], 2, &["lits", "list"]),
        (&["tasks", "--jsno"], 2, &["--jsno", "--json"]),
        (&["schedule"], 2, &["TASK"]),
        (&["schedule", "touch", "--after"], 2, &["--after", "DURATION"]),
        (&["schedule", "../x"], 2, &["../x", "a-z"]),
        (&["schedule", "x", "--at", "2100-01-01T00:00:00Z", "--after", "1s"], 2, &["--at", "--after"]),
        (&["schedule", "x", "--metadata", "novalue"], 2, &["novalue", "KEY=VALUE"]),
        (&["schedule", "x", "--input", "{"], 2, &["--input is not JSON", "quotes"]),
        (&["schedule", "x", "--input", "@no.json"], 74, &["no.json"]),
        (&["schedule", "x", "--input", "@folder"], 74, &["folder", "is a folder"]),
        (&["schedule", "x", "--input", "@pipe"], 74, &["pipe", "is not a file", "give -"]),
        (&["schedule", "x", "--input", "@/dev/zero"], 74, &["/dev/zero", "is not a file"]),
        (&["schedule", "x", "--input", "@bad.json"], 2, &["bad.json is not JSON"]),
        (&["schedule", "x", "--input", "@latin1.json"], 2, &["latin1.json is not UTF-8"]),
        (&["schedule", "x", "--input", "@large.json"], 3, &["large.json", "262144"]),
        (&["schedule", "x", "--priority", "300"], 2, &["300"]),
        (&["register", "no.wasm"], 74, &["no.wasm"]),
        (&["register", "folder"], 74, &["folder", "is a folder"]),
        (&["register", "/dev/zero"], 74, &["/dev/zero", "is not a file"]),
        (&["register", "pipe"], 74, &["pipe", "is not a file"]),
        (&["register", "endless.wasm"], 3, &["endless.wasm", "33554432"]),
        (&["schedule", "x", "--input", "@endless.wasm"], 3, &["endless.wasm", "262144"]),
        (&["audit", "--limit", "0"], 2, &["1..=500"]),
        (&["audit", "--run", "7"], 2, &["7", "UUID"]),
        (&["serve", "--db", "x.db", "--token-rate", "fast"], 2, &["fast", "10/s"]),
        (&["runs", "show", "7"], 2, &["7", "id"]),
        (&["runs", "show", "\u{1b}[31m"], 2, &["id"]),
        (&["runs", "list", "--limit", "0"], 2, &["1..=500"]),
        (&["runs", "list", "--status", "done"], 2, &["done", "succeeded"]),
        (&["runs", "reschedule", ID], 2, &["--at", "--after", "--by"]),
        (&["runs", "wait", ID, "--timeout", "5"], 2, &["--timeout", "5"]),
        (&["token", "create", "--role", "root"], 2, &["root", "operator"]),
        (&["new", "Hello"], 2, &["Hello", "a-z"]),
        (&["dev", "nowhere"], 2, &["nowhere", "runlater new"]),
        (&["dev", "folder"], 2, &["folder", "runlater new"]),
        (&["serve"], 2, &["--db"]),
        (&["serve", "--db", "x.db", "--listen", "here"], 2, &["here"]),
    ] {
        let said = run_in(folder.path(), arguments);
        assert!(said.out.is_empty(), "{arguments:?}: {said:?}");
        said.fails(code, words);
        // The same for programs: one line of JSON with the same code.
        let said = run_in(folder.path(), &[arguments, &["--json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&said.err).unwrap_or_else(|_| panic!("{arguments:?}: {said:?}"));
        assert_eq!((said.code, json["exit"].as_i64()), (Some(code), Some(code.into())), "{arguments:?}: {said:?}");
        assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{said:?}");
    }
}

#[test]
fn mistakes_that_the_server_sees_name_the_field() {
    let server = Server::with(&["behaviours"]);
    std::fs::write(server.path("letter.wasm"), "Dear scheduler,").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(server.path("pipe")).status().unwrap().success());
    std::fs::File::create(server.path("endless.json")).unwrap().set_len(10 << 30).unwrap();
    let behaviours = crate::built::guest("behaviours");
    let behaviours = behaviours.to_string_lossy();
    for (arguments, code, words) in [
        (&["schedule", "touch", "--at", "tomorrow"][..], 3, &["at:", "RFC 3339", "tomorrow"][..]),
        (&["schedule", "touch", "--at", "2100-02-30T00:00:00Z"], 3, &["at:", "2100-02-30"]),
        (&["schedule", "touch", "--after", "5"], 3, &["after:", "unit"]),
        (&["schedule", "touch", "--after", "-5s"], 2, &["-5"]),
        (&["schedule", "touch", "--unique-key", ""], 3, &["unique_key"]),
        (&["schedule", "touch", "--max-attempts", "0"], 3, &["max_attempts", "100"]),
        (&["schedule", "touch", "--timeout", "25h"], 3, &["timeout"]),
        (&["schedule", "touch", "--priority", "9"], 3, &["priority"]),
        (&["schedule", "touch", "--metadata", "=x"], 3, &["metadata"]),
        (&["register", "letter.wasm"], 3, &["wasm32-wasip2"]),
        (&["register", "letter.wasm", "--grant", "everything"], 3, &["grant", "everything"]),
        (&["register", &behaviours, "--grant", "crons"], 3, &["scheduler/runs@0.1.0", "runlater register FILE --grant runs --grant crons"]),
        (&["runs", "list", "--trigger-from", "now"], 3, &["trigger_from", "now"]),
        (&["runs", "list", "--cursor", "forged"], 3, &["cursor"]),
        (&["runs", "reschedule", ID, "--by", "+1"], 3, &["by", "unit"]),
        (&["token", "create", "--role", "read", "--expires", "soon"], 3, &["expires_after", "soon"]),
        (&["runs", "show", ID], 4, &[ID]),
        (&["crons", "create", "c", "--task", "touch", "--expression", "@daily", "--input", "@pipe"], 74, &["pipe", "is not a file"]),
        (&["crons", "update", "c", "--input", "@pipe"], 74, &["pipe", "is not a file"]),
        (&["crons", "update", "c", "--input", "@endless.json"], 3, &["endless.json", "262144"]),
    ] {
        server.run(arguments).fails(code, words);
        let said = server.run(&[arguments, &["--json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&said.err).unwrap_or_else(|_| panic!("{arguments:?}: {said:?}"));
        assert_eq!(json["exit"], code, "{arguments:?}");
    }
    run_with_input(server.folder.path(), &["schedule", "touch", "--input", "-"], b"\xff").fails(2, &["standard input is not UTF-8"]);
    assert_eq!(server.json(&["runs", "list"])["runs"].as_array().unwrap().len(), 0, "nothing was scheduled by a mistake");
}

#[test]
fn arguments_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["schedule"][..], &["runs", "show"], &["schedule", "x", "--input"], &["tasks", "--server"]] {
        let mut command = super::command(folder.path(), arguments);
        command.arg(std::ffi::OsStr::from_bytes(b"a\xff"));
        super::end(command).fails(2, &["UTF-8"]);
    }
    // A path may be anything.
    let mut command = super::command(folder.path(), &["register"]);
    command.arg(std::ffi::OsStr::from_bytes(b"a\xff.wasm"));
    super::end(command).fails(74, &["a\u{fffd}.wasm"]);
}

#[test]
fn usage_errors_do_not_repeat_arguments_raw() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}";
    for arguments in [&[hostile][..], &["schedule", "x", hostile], &["runs", "list", "--status", hostile], &["serve", "--slots", hostile]] {
        for json in [&[][..], &["--json"]] {
            let said = run_in(folder.path(), &[arguments, json].concat());
            assert_eq!(said.code, Some(2), "{said:?}");
            assert!(!said.err.contains(['\u{1b}', '\u{7}', '\u{202e}']) && said.err.contains("error: "), "{arguments:?}: {said:?}");
        }
    }
}

#[test]
fn an_answer_that_does_not_end_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
        // Until the client closes the connection.
        (0..1_000).take_while(|_| stream.write_all(&chunk).is_ok()).count()
    });
    run_in(folder.path(), &["runs", "list", "--server", &server, "--token", "t"]).fails(6, &["did not answer as it should"]);
    let mebibytes = serving.join().unwrap();
    assert!((64..100).contains(&mebibytes), "{mebibytes} MiB were taken");
}

/// The address of a server that answers one request with this.
fn answers_once(answer: String) -> (String, std::thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        // Until the head is there: an answer to half a request could get lost with the connection.
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).unwrap();
            head.extend_from_slice(&piece[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    (server, serving)
}

#[test]
fn what_answers_is_not_what_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let problem = |body: &str| {
        let length = body.len();
        format!("HTTP/1.1 422 X\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>Hi</html>".to_string();
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"runs\":[".to_string();
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n".to_string();
    let escapes = problem(r#"{"status":422,"code":"x","detail":"\u001b]0;owned\u0007\u202e","field":"\u001b[31m","seen":"\u009b2J"}"#);
    let limited = problem(r#"{"status":429,"code":"rate-limited","detail":"wait 3 s"}"#);
    for (answer, arguments, code, words) in [
        (html.clone(), &["runs", "list"][..], 6, &["can't be understood"][..]),
        (html, &["schedule", "x"], 7, &["unknown", "--unique-key"]),
        (cut.clone(), &["runs", "list"], 6, &["did not answer as it should"]),
        (cut.clone(), &["runs", "cancel", ID, "--yes"], 7, &["unknown"]),
        (String::new(), &["runs", "list"], 6, &["did not answer as it should"]),
        (String::new(), &["schedule", "x"], 7, &["unknown"]),
        // To count is no change: nothing is in doubt.
        (String::new(), &["runs", "delete", "--task", "x"], 6, &["did not answer as it should"]),
        (String::new(), &["runs", "reschedule", "--all", "--by", "+1h"], 6, &["did not answer as it should"]),
        (cut.clone(), &["runs", "cancel", "--task", "x", "--dry-run"], 6, &["did not answer as it should"]),
        (cut.clone(), &["crons", "backfill", "x", "--from", "2027-01-01T00:00:00Z"], 6, &["did not answer as it should"]),
        (cut, &["crons", "backfill", "x", "--from", "2027-01-01T00:00:00Z", "--yes"], 7, &["unknown"]),
        (moved, &["schedule", "x"], 6, &["302", "check the address"]),
        (escapes, &["runs", "list"], 3, &["\\u{1b}]0;owned\\u{7}\\u{202e}"]),
        (limited, &["runs", "list"], 3, &["wait 3 s"]),
    ] {
        let (server, serving) = answers_once(answer);
        run_in(folder.path(), &[arguments, &["--server", &server, "--token", "t"]].concat()).fails(code, words);
        serving.join().unwrap();
    }
}

#[test]
fn a_server_that_is_slower_than_half_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let listen = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // One takes connections and says nothing; the other's answer goes on and on.
    let (silent, slow) = (listen(), listen());
    let url = |listener: &std::net::TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let ask = |arguments: &[&str], server: String| {
        super::command(folder.path(), &[arguments, &["--server", &server, "--token", "t"]].concat()).spawn().unwrap()
    };
    let start = std::time::Instant::now();
    let reading = ask(&["runs", "list"], url(&slow));
    let changing = ask(&["schedule", "x"], url(&silent));
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = slow.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n").unwrap();
        // Until the other end has had enough.
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    });
    super::ran(reading.wait_with_output().unwrap()).fails(6, &["did not answer as it should: its answer took too long"]);
    super::ran(changing.wait_with_output().unwrap()).fails(7, &["it is unknown whether", "its answer took too long"]);
    assert!(start.elapsed() >= std::time::Duration::from_secs(30));
    trickle.join().unwrap();
}

#[test]
fn what_this_user_may_not_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for name in ["closed.wasm", "closed.json"] {
        std::fs::write(folder.path().join(name), "{}").unwrap();
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    for (arguments, name) in
        [(&["register", "closed.wasm"][..], "closed.wasm"), (&["schedule", "x", "--input", "@closed.json"], "closed.json")]
    {
        super::end(super::unprivileged(super::command(folder.path(), arguments))).fails(74, &[name, "ermission"]);
    }
}

#[test]
fn clocks_that_differ_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    for (date, words) in [
        ("Thu, 01 Jan 2015 00:00:00 GMT", "y ahead of the server's"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "y behind the server's"),
        ("once upon a time", ""),
    ] {
        let body = r#"{"runs":[],"next_cursor":null}"#;
        let answer =
            format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (server, serving) = answers_once(answer);
        let mut command = super::command(folder.path(), &["runs", "list", "--server", &server]);
        command.env("RUNLATER_TOKEN", "t");
        let said = super::end(command);
        assert!(said.code == Some(0) && said.err.contains(words), "{said:?}");
        assert_eq!(said.err.contains("clock"), !words.is_empty(), "{said:?}");
        serving.join().unwrap();
    }
}

#[test]
fn whoever_loses_patience_may_go() {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large.wasm"), vec![0; 8 << 20]).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    for arguments in [&["register", "large.wasm"][..], &["schedule", "x"], &["runs", "wait", ID]] {
        let child = super::command(folder.path(), &[arguments, &["--server", &server, "--token", "t"]].concat()).spawn().unwrap();
        // In the middle of what it sends, or while it waits for an answer.
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        // SAFETY: the call reads and writes no memory.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.signal() == Some(libc::SIGINT) || ended.status.code() == Some(130), "{arguments:?}: {ended:?}");
        assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"), "{ended:?}");
    }
}

#[test]
fn colours_are_for_terminals_and_for_who_wants_them() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["runs", "lits"], &["runs", "--help"]] {
        let coloured = |settings: &[(&str, &str)]| {
            let mut command = super::command(folder.path(), arguments);
            command.envs(settings.iter().copied());
            let said = super::end(command);
            said.out.contains('\u{1b}') || said.err.contains('\u{1b}')
        };
        assert!(!coloured(&[]) && !coloured(&[("NO_COLOR", "1"), ("TERM", "xterm-256color")]), "{arguments:?}");
        assert!(coloured(&[("CLICOLOR_FORCE", "1")]), "{arguments:?}: the test would notice colours");
    }
}

#[test]
fn what_tasks_and_callers_wrote_does_not_reach_the_terminal_raw() {
    let server = Server::with(&["behaviours"]);
    let evil = "\u{1b}]0;owned\u{7}\u{202e}\u{9b}2J";
    let input = serde_json::json!({ "k": evil }).to_string();
    let run = server.schedule(&["touch", "--input", &input, "--metadata", &format!("k={evil}")]);
    server.json(&["runs", "wait", &run]);
    let rejected = server.schedule(&["reject", "--input", &serde_json::json!({ "reason": evil }).to_string()]);
    server.run(&["runs", "wait", &rejected]).fails(1, &[]);
    for arguments in [
        &["runs", "list"][..],
        &["runs", "list", "--json"],
        &["runs", "show", &run],
        &["runs", "show", &run, "--json"],
        &["runs", "show", &rejected],
        &["runs", "logs", &rejected],
        &["runs", "wait", &run],
        &["audit"],
        &["audit", "--json"],
    ] {
        let said = server.run(arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        let raw = said.out.chars().chain(said.err.chars()).find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(raw, None, "{arguments:?}: {said:?}");
    }
}
