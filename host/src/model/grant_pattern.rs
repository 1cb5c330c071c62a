//! Which network grants an operator lets others give: patterns such as `tcp=10.0.0.0/8:5432`.
//!
//! A pattern names a protocol, a host and a port. It is compared with the text of a grant, so it holds for every grant that names a host and a
//! port, numeric or not. An address range never matches a name, because a name may lead anywhere.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{Grant, Invalid};

/// The protocols that a pattern may name, as they stand before the `=`.
const PROTOCOLS: [&str; 1] = ["tcp"];
/// Bytes of a pattern: the longest name, with protocol and port.
const PATTERN_BYTES_MAX: usize = 300;
const EXPECTED: &str = "write PROTOCOL=HOST:PORT, such as tcp=192.0.2.7:5432, tcp=10.0.0.0/8:5432, tcp=[2001:db8::]/32:*, tcp=db.example.com:5432 \
                        or tcp=*.example.com:443";

/// A pattern of network grants. Its text is what `serve --allow-grant` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantPattern {
    protocol: &'static str,
    host: HostPattern,
    /// `None`: every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    /// `*`: every address and every name.
    Any,
    /// All addresses that share so many leading bits with this one.
    Range(IpAddr, u8),
    /// This name.
    Name(String),
    /// Every name below this one.
    Below(String),
}

impl GrantPattern {
    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = |reason: String| Invalid::new("invalid-grant-pattern", "allow-grant", reason).seen(text);
        if text.len() > PATTERN_BYTES_MAX {
            return Err(refused(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes")));
        }
        let (protocol, place) = text.split_once('=').ok_or_else(|| refused(EXPECTED.into()))?;
        let protocol = PROTOCOLS.into_iter().find(|known| *known == protocol);
        let protocol = protocol.ok_or_else(|| refused(format!("unknown protocol; {EXPECTED}")))?;
        let (host, port) = place.rsplit_once(':').ok_or_else(|| refused(format!("the port is missing; {EXPECTED}")))?;
        let port = match port {
            "*" => None,
            _ => Some(parse_port(port).ok_or_else(|| refused("a port is 1 to 65535, or * for all".into()))?),
        };
        let host = HostPattern::parse(host).map_err(refused)?;
        Ok(Self { protocol, host, port })
    }

    /// Whether this grant is one of those that the pattern means.
    fn matches(&self, target: &Target) -> bool {
        self.protocol == target.protocol && self.port.is_none_or(|port| port == target.port) && self.host.matches(&target.host)
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(name) = text.strip_prefix("*.") {
            return parse_name(name).map(Self::Below).ok_or_else(|| EXPECTED.into());
        }
        let (address, bits) = match text.rsplit_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let ip = match address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => Some(IpAddr::V6(inner.parse::<Ipv6Addr>().map_err(|_| EXPECTED)?)),
            None => address.parse().ok().filter(IpAddr::is_ipv4),
        };
        let Some(ip) = ip else {
            return parse_name(text).map(Self::Name).ok_or_else(|| EXPECTED.into());
        };
        let width = width(ip);
        let bits = match bits {
            None => width,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or(format!("the prefix of a range is 0 to {width} bits"))?,
        };
        let base = masked(ip, bits);
        if base != ip {
            return Err(format!("the address has bits beyond its prefix; the range is {}", Self::Range(base, bits)));
        }
        // A range of mapped addresses is the range of IPv4 that they stand for, which is how targets are compared.
        match (ip.to_canonical(), bits.checked_sub(96)) {
            (canonical @ IpAddr::V4(_), Some(bits)) if ip.is_ipv6() => Ok(Self::Range(canonical, bits)),
            _ => Ok(Self::Range(ip, bits)),
        }
    }

    fn matches(&self, host: &TargetHost) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Range(base, bits), TargetHost::Address(ip)) => base.is_ipv4() == ip.is_ipv4() && masked(*ip, *bits) == *base,
            (Self::Name(name), TargetHost::Name(asked)) => name == asked,
            (Self::Below(name), TargetHost::Name(asked)) => {
                asked.strip_suffix(name.as_str()).and_then(|rest| rest.strip_suffix('.')).is_some_and(|labels| !labels.is_empty())
            }
            _ => false,
        }
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits after the first `bits` cleared.
fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0)).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0)).into()),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0 && text.bytes().all(|c| c.is_ascii_digit()))
}

/// A DNS name in lower case, without the dot of the root. One whose last label is a number is none: resolvers read such names as addresses.
fn parse_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|c| c.is_ascii_digit()) || label.starts_with("0x");
    let last = name.rsplit('.').next()?;
    (name.len() <= 253 && name.split('.').all(label) && !is_number(last)).then_some(name)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Range(ip, bits) => {
                match ip {
                    IpAddr::V4(ip) => write!(f, "{ip}")?,
                    IpAddr::V6(ip) => write!(f, "[{ip}]")?,
                }
                if *bits == width(*ip) { Ok(()) } else { write!(f, "/{bits}") }
            }
        }
    }
}

impl fmt::Display for GrantPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:", self.protocol, self.host)?;
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

/// What a network grant leads to, as its text says it.
struct Target {
    protocol: String,
    host: TargetHost,
    port: u16,
}

enum TargetHost {
    /// Of IPv4 where IPv6 only wraps it.
    Address(IpAddr),
    Name(String),
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let (protocol, place) = text.split_once('=')?;
        if let Ok(address) = place.parse::<SocketAddr>() {
            return Some(Self { protocol: protocol.into(), host: TargetHost::Address(address.ip().to_canonical()), port: address.port() });
        }
        let (name, port) = place.rsplit_once(':')?;
        Some(Self { protocol: protocol.into(), host: TargetHost::Name(parse_name(name)?), port: parse_port(port)? })
    }
}

/// What tokens below the role `operator` may grant over the network: nothing, until the operator allows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedGrants(Vec<GrantPattern>);

impl AllowedGrants {
    /// Allows what matches this pattern, too.
    pub fn add(&mut self, pattern: GrantPattern) {
        self.0.push(pattern);
    }

    /// Whether this grant may be given. Grants that don't reach the network may always be.
    pub fn allows(&self, grant: &Grant) -> bool {
        if matches!(grant, Grant::Runs | Grant::Crons | Grant::Pauses) {
            return true;
        }
        // A grant whose text is not understood here is not allowed by any pattern.
        Target::parse(&grant.to_string()).is_some_and(|target| self.0.iter().any(|pattern| pattern.matches(&target)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, grant: &str) -> bool {
        GrantPattern::parse(pattern).unwrap().matches(&Target::parse(grant).expect("it is a network grant"))
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, grants, others) in [
            (
                "tcp=192.0.2.7:5432",
                &["tcp=192.0.2.7:5432", "tcp=[::ffff:192.0.2.7]:5432"][..],
                &["tcp=192.0.2.7:5433", "tcp=192.0.2.8:5432", "tcp=[::192.0.2.7]:5432", "tcp=db.example.com:5432"][..],
            ),
            (
                "tcp=10.0.0.0/8:5432",
                &["tcp=10.0.0.1:5432", "tcp=10.255.255.255:5432", "tcp=[::ffff:10.1.2.3]:5432"],
                &["tcp=11.0.0.1:5432", "tcp=9.255.255.255:5432", "tcp=10.0.0.1:80", "tcp=[a00::]:5432"],
            ),
            ("tcp=[::ffff:10.0.0.0]/104:1", &["tcp=10.9.9.9:1", "tcp=[::ffff:10.9.9.9]:1"], &["tcp=11.0.0.1:1"]),
            ("tcp=0.0.0.0/0:80", &["tcp=8.8.8.8:80"], &["tcp=[2001:db8::1]:80", "tcp=example.com:80"]),
            (
                "tcp=[2001:db8::]/32:*",
                &["tcp=[2001:db8::1]:1", "tcp=[2001:db8:ffff::]:65535"],
                &["tcp=[2001:db9::1]:1", "tcp=32.1.13.184:1"],
            ),
            ("tcp=[2001:db8::1]:80", &["tcp=[2001:db8::1]:80"], &["tcp=[2001:db8::2]:80"]),
            (
                "tcp=db.example.com:5432",
                &["tcp=db.example.com:5432", "tcp=DB.Example.com:5432"],
                &["tcp=example.com:5432", "tcp=a.db.example.com:5432"],
            ),
            (
                "tcp=*.example.com:443",
                &["tcp=a.example.com:443", "tcp=a.b.example.com:443"],
                &["tcp=example.com:443", "tcp=badexample.com:443", "tcp=example.com.evil.net:443", "tcp=192.0.2.7:443"],
            ),
            ("tcp=*:443", &["tcp=192.0.2.7:443", "tcp=example.com:443", "tcp=[::1]:443"], &["tcp=192.0.2.7:444"]),
        ] {
            grants.iter().for_each(|grant| assert!(allows(pattern, grant), "{pattern} is to match {grant}"));
            others.iter().for_each(|grant| assert!(!allows(pattern, grant), "{pattern} is not to match {grant}"));
        }
        assert!(!GrantPattern::parse("tcp=*:*").unwrap().matches(&Target::parse("http=example.com:80").unwrap()), "another protocol");
    }

    #[test]
    fn text_forms() {
        for text in
            ["tcp=192.0.2.7:5432", "tcp=10.0.0.0/8:*", "tcp=[2001:db8::]/32:80", "tcp=[::1]:1", "tcp=a.b:1", "tcp=*.a.b:1", "tcp=*:*"]
        {
            assert_eq!(GrantPattern::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "tcp",
            "tcp=",
            "tcp=a",
            "tcp=a:",
            "tcp=a:0",
            "tcp=a:65536",
            "tcp=a:+1",
            "udp=a:1",
            "runs",
            "tcp=10.0.0.1/8:1",
            "tcp=10.0.0.0/33:1",
            "tcp=10.0.0.0/:1",
            "tcp=2001:db8::1:80",
            "tcp=[10.0.0.1]:80",
            "tcp=*:",
            "tcp=*.:1",
            "tcp=a.*:1",
            "tcp=*a.b:1",
            "tcp=1.2.3:1",
            "tcp=0x7f.0x1:1",
            "tcp=-a.b:1",
            "tcp=a..b:1",
            "tcp=a b:1",
            "tcp=ü.example:1",
            &format!("tcp={}:1", "a".repeat(400)),
        ] {
            assert_eq!(GrantPattern::parse(text).unwrap_err().code, "invalid-grant-pattern", "{text}");
        }
        assert!(GrantPattern::parse("tcp=10.0.0.1/8:1").unwrap_err().reason.contains("10.0.0.0/8"));
    }

    #[test]
    fn nothing_is_allowed_unless_somebody_said_so() {
        let mut allowed = AllowedGrants::default();
        let grant = Grant::parse("tcp=192.0.2.7:5432").unwrap();
        assert!(!allowed.allows(&grant));
        for grant in [Grant::Runs, Grant::Crons, Grant::Pauses] {
            assert!(allowed.allows(&grant));
        }
        allowed.add(GrantPattern::parse("tcp=198.51.100.0/24:*").unwrap());
        assert!(!allowed.allows(&grant));
        allowed.add(GrantPattern::parse("tcp=192.0.2.0/24:5432").unwrap());
        assert!(allowed.allows(&grant));
    }
}
