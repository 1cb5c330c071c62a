//! A server with a certificate that nobody vouches for: what is wrong is said, and that nothing was sent.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::run_in;

/// Made for this test, and good for nothing else.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgssrs7aigJrJYujyz
htLVDNg8St6ZjpywxXmVFmwFyPWhRANCAARO89CZSo7DYo6ifkGCad0OYpeI5oEk
zHRGDrIwwO8AquJMbN3z9E+X0JcXz0juk7DGV2GIsX1LCxTJSlYWtAO9
-----END PRIVATE KEY-----
";
/// For 127.0.0.1 and localhost until 2120, and its own authority, as `openssl req -x509` makes them.
const OWN_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBZjCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABE7z0JlKjsNijqJ+
QYJp3Q5il4jmgSTMdEYOsjDA7wCq4kxs3fP0T5fQlxfPSO6TsMZXYYixfUsLFMlK
Vha0A72jTjBMMBoGA1UdEQQTMBGHBH8AAAGCCWxvY2FsaG9zdDAPBgNVHRMBAf8E
BTADAQH/MB0GA1UdDgQWBBTkMnlsSyc/no7+WuwOKV1UIJit6TAKBggqhkjOPQQD
AgNHADBEAiBZS3FyGPf0VscrwVEkcGycUBPs0lWSoc0sWIo3EJQs6QIgBN/zM8fC
0Gqa+vzQsheHB6eIB0cMMQazbjmvgIilQHI=
-----END CERTIFICATE-----
";
/// The same, but not allowed to sign anything.
const NO_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBZTCCAQqgAwIBAgIBAjAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABE7z0JlKjsNijqJ+
QYJp3Q5il4jmgSTMdEYOsjDA7wCq4kxs3fP0T5fQlxfPSO6TsMZXYYixfUsLFMlK
Vha0A72jSzBJMBoGA1UdEQQTMBGHBH8AAAGCCWxvY2FsaG9zdDAMBgNVHRMBAf8E
AjAAMB0GA1UdDgQWBBTkMnlsSyc/no7+WuwOKV1UIJit6TAKBggqhkjOPQQDAgNJ
ADBGAiEAhfctLFuUvDUJl31V1YsvMVQKyFuG9lQNGkGNnJjSPYACIQDeo6sRxebD
tjdRqrdIea1ss5DKdZ7ScMKrn0XDdF1/LA==
-----END CERTIFICATE-----
";
/// The same, until 2021.
const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBYjCCAQigAwIBAgIBAzAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjAUMRIwEAYDVQQDDAls
b2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARO89CZSo7DYo6ifkGC
ad0OYpeI5oEkzHRGDrIwwO8AquJMbN3z9E+X0JcXz0juk7DGV2GIsX1LCxTJSlYW
tAO9o0swSTAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwDAYDVR0TAQH/BAIw
ADAdBgNVHQ4EFgQU5DJ5bEsnP56O/lrsDildVCCYrekwCgYIKoZIzj0EAwIDSAAw
RQIgdTFMeSMS9RJlTXD6dZdxdIts6z9A0LKsS+8fAFCw63UCIQDcbISRYach1gEc
U1SB2Yn1gDxg7BR1AxgFbpeC/C8stQ==
-----END CERTIFICATE-----
";

/// The address of a server that greets one client with this certificate, and what it said of the handshake.
fn greets_once(certificate: &'static str) -> (String, std::thread::JoinHandle<std::io::Result<()>>) {
    let (chain, key) = (CertificateDer::from_pem_slice(certificate.as_bytes()), PrivateKeyDer::from_pem_slice(KEY.as_bytes()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![chain.unwrap()], key.unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(())
    });
    (server, serving)
}

#[test]
fn a_certificate_that_is_not_trusted_says_why_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for (certificate, words) in [
        (OWN_AUTHORITY, &["its certificate is self-signed", "public authority", "tunnel"][..]),
        (NO_AUTHORITY, &["issued by nobody who is known here", "tunnel"]),
        (EXPIRED, &["its certificate has expired"]),
    ] {
        // What reads and what changes: of neither it is unknown what became.
        for arguments in [&["runs", "list"][..], &["schedule", "x"]] {
            let (server, serving) = greets_once(certificate);
            let said = run_in(folder.path(), &[arguments, &["--server", &server, "--token", "t"]].concat());
            let said = said.fails(6, &[&[&*server, "no safe connection"], words].concat());
            assert!(!said.contains("runlater dev") && !said.contains("unknown whether"), "{said}");
            assert!(serving.join().unwrap().is_err(), "no request could be sent");
        }
    }
}

#[test]
fn what_does_not_speak_tls_is_told_from_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap());
    run_in(folder.path(), &["schedule", "x", "--server", &server, "--token", "t"]).fails(6, &[&server, "does not speak TLS", "http://"]);
    serving.join().unwrap();
    // The listener is gone with its thread.
    let said = run_in(folder.path(), &["runs", "list", "--server", &server, "--token", "t"]).fails(6, &["no server answers", "address"]);
    assert!(!said.contains("runlater dev"), "{said}");
}
