//! What only shows on a real connection: where requests begin and end, and for whom they are meant.

use runlater::scheduler::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::World;

#[tokio::test]
async fn doubtful_requests_end_the_connection() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runlater::http::serve(world.scheduler.clone(), Default::default(), listener, async { drop(stopped.await) });
    let asking = async {
        let token = world.token(Role::Admin);
        let post =
            format!("POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let get = format!("GET /v1/runs HTTP/1.1\r\nAuthorization: Bearer {token}\r\n");
        let many = "X-A: b\r\n".repeat(70);
        for (name, request, status) in [
            ("well-formed", format!("{get}Host: localhost:{}\r\nConnection: close\r\n\r\n", address.port()), "200"),
            ("somebody else's name", format!("{get}Host: evil.example\r\nConnection: close\r\n\r\n"), "421"),
            (
                "a page of elsewhere",
                "DELETE /v1/runs/7 HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n".to_string(),
                "403",
            ),
            (
                "a page of this host, without a token",
                "DELETE /v1/runs/7 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\r\n".to_string(),
                "401",
            ),
            ("a second token", format!("{get}Host: localhost\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n"), "401"),
            ("a NUL in the token", "GET /v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\0b\r\n\r\n".to_string(), "400"),
            (
                "a line break in the token",
                "GET /v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\rb\r\n\r\n".to_string(),
                "400",
            ),
            ("a token in the address", "GET /v1/runs?token=x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_string(), "400"),
            ("two names", format!("{get}Host: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"), "421"),
            ("no name", format!("{get}Connection: close\r\n\r\n"), "421"),
            ("length and chunks", format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "4"),
            ("two lengths", format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"), "400"),
            ("a length that is none", format!("{post}Content-Length: -1\r\n\r\n"), "400"),
            ("announced too long", format!("{post}Content-Length: 9999999\r\n\r\n"), "413"),
            ("longer than announced", format!("{post}Content-Length: 2\r\n\r\n{{}}GET"), "422"),
            ("two kinds of chunks", format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "4"),
            ("a line that goes on", format!("{get}Host: localhost\r\nX-A: a\r\n b\r\nConnection: close\r\n\r\n"), "400"),
            ("a space before the colon", format!("{get}Host : localhost\r\n\r\n"), "400"),
            (
                "forwarded for another",
                format!("{get}Host: localhost\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n"),
                "200",
            ),
            ("broken chunks", format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "400"),
            ("a NUL in a header", format!("{get}Host: localhost\r\nX-A: a\0b\r\n\r\n"), "400"),
            ("too many headers", format!("{get}Host: localhost\r\n{many}\r\n"), "431"),
            ("not HTTP", "Dear scheduler,\r\n\r\n".to_string(), "400"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // Ends because the server closes; a reset after the answer is an end, too.
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answer:?}");
        }
        // What could be read as two requests or as one: answered once, and closed. What RFC 9112 allows is read.
        let body = "{\"task\":\"nobody\"}";
        let smuggled = format!("{get}Host: localhost\r\n\r\n");
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        for (name, request, status) in [
            ("length after chunks", format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}{smuggled}"), "404"),
            ("length before chunks", format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}{smuggled}"), "404"),
            (
                "identity, chunked",
                format!("{post}Connection: close\r\nTransfer-Encoding: identity, chunked\r\n\r\n{chunked}{smuggled}"),
                "404",
            ),
            ("chunked, identity", format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n{chunked}{smuggled}"), "400"),
            ("chunks of HTTP/1.0", format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunked}").replace("HTTP/1.1", "HTTP/1.0"), "400"),
            ("LF in the head", format!("{get}Host: localhost\r\nConnection: close\r\n\r\n").replace("\r\n", "\n"), "200"),
            ("LF in chunks", format!("{post}Transfer-Encoding: chunked\r\n\r\n{}{smuggled}", chunked.replace("\r\n", "\n")), "400"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")) || answer.starts_with(&format!("HTTP/1.0 {status}")),
                "{name}: {answer:?}"
            );
            assert_eq!(answer.matches("HTTP/1.").count(), 1, "{name}: {answer:?}");
        }
        // Who goes away before a body is complete has asked for nothing.
        let body = "{\"task\":\"touch\"}";
        for cut in [format!("Content-Length: 100\r\n\r\n{body}"), format!("Transfer-Encoding: chunked\r\n\r\n10\r\n{body}\r\n")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("{post}{cut}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body-cut"), "{answer:?}");
        }
        drop(stop);
    };
    let (served, ()) = tokio::join!(serving, asking);
    served.unwrap();
    assert_eq!(world.scheduler.count(&Default::default()).await.unwrap(), 0);
}
