//! Why there is no safe connection to a server, in words that say what to change.
//!
//! Only what is known before a request is sent: whoever reads it may repeat the command.

use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};

/// What is wrong with the server or its certificate, if that is why nothing was sent.
pub(super) fn explain(error: &ureq::Error) -> Option<String> {
    match error {
        ureq::Error::Rustls(error) => words(error),
        ureq::Error::Io(error) => words(error.get_ref()?.downcast_ref()?),
        _ => None,
    }
}

fn words(error: &Error) -> Option<String> {
    const UNKNOWN: &str = "its certificate was issued by nobody who is known here; get one from a public authority, or reach the server through \
                           a tunnel (`ssh -L`) at http://127.0.0.1";
    Some(match error {
        // What signs itself says so before anybody asks who signed it.
        Error::InvalidCertificate(Certificate::Other(other)) if other.to_string().contains("CaUsedAsEndEntity") => {
            format!("its certificate is self-signed: {UNKNOWN}")
        }
        Error::InvalidCertificate(Certificate::UnknownIssuer) => UNKNOWN.into(),
        Error::InvalidCertificate(Certificate::NotValidForName) => {
            "its certificate is for another host; name it as the certificate does".into()
        }
        Error::InvalidCertificate(Certificate::NotValidForNameContext { expected, presented }) => {
            // Each is given as `DnsName("example.com")`.
            let names: Vec<_> = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
            let names = if names.is_empty() { "no host at all".into() } else { names.join(", ") };
            format!("its certificate is not for {}, but for {names}; name the server as the certificate does", expected.to_str())
        }
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "its certificate has expired, unless this machine's clock is wrong".into()
        }
        Error::InvalidCertificate(Certificate::NotValidYet | Certificate::NotValidYetContext { .. }) => {
            "its certificate is not valid yet, unless this machine's clock is wrong".into()
        }
        Error::InvalidCertificate(other) => format!("its certificate is not valid: {other}"),
        Error::InvalidMessage(_) => "it does not speak TLS; is it an http:// address?".into(),
        Error::PeerIncompatible(_)
        | Error::AlertReceived(Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity | Alert::UnrecognisedName) => {
            format!("it and this program can't agree on how to encrypt: {error}")
        }
        // May happen to a connection on which the request was sent.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: Error) -> Option<String> {
        explain(&ureq::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
    }

    #[test]
    fn each_failure_says_what_to_change() {
        let other_host = Certificate::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from("runs.example.com").unwrap(),
            presented: vec!["DnsName(\"www.example.com\")".into()],
        };
        for (error, word) in [
            (Error::InvalidCertificate(Certificate::UnknownIssuer), "nobody who is known here"),
            (Error::InvalidCertificate(other_host), "not for runs.example.com, but for www.example.com"),
            (Error::InvalidCertificate(Certificate::NotValidForName), "for another host"),
            (Error::InvalidCertificate(Certificate::Expired), "has expired"),
            (Error::InvalidCertificate(Certificate::NotValidYet), "not valid yet"),
            (Error::InvalidCertificate(Certificate::Revoked), "not valid"),
            (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "http://"),
            (Error::AlertReceived(Alert::ProtocolVersion), "can't agree"),
        ] {
            let said = said(error).unwrap();
            assert!(said.contains(word) && !said.contains("runlater dev"), "{said}");
        }
        assert_eq!(said(Error::AlertReceived(Alert::InternalError)), None, "the request may have been sent");
        assert_eq!(explain(&ureq::Error::HostNotFound), None);
    }
}
