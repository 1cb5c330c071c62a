//! Tokens that carry claims: a token of ours in the three parts of a JSON Web Token.
//!
//! For doors whose clients read something out of their token. Nothing is stored for it: the third part holds the token itself, and a seal over
//! everything, so that what the claims say is what this host once said. Whoever takes tokens takes both forms, with
//! [`read_token`](Scheduler::read_token).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Scheduler, Token};
use crate::model::seal::{equal, seal};

/// The first part with its point: `{"alg":"runlater","typ":"JWT"}`. The algorithm is no registered one, because only the host that made a token
/// can check it.
const BEGINNING: &str = "eyJhbGciOiJydW5sYXRlciIsInR5cCI6IkpXVCJ9.";
const SEAL_BYTES: usize = 32;
/// Bytes of a token with its claims: several times what any has.
const TEXT_BYTES_MAX: usize = 4 << 10;

impl Token {
    /// What every token that carries claims begins with.
    pub const BEGINNING_WITH_CLAIMS: &str = BEGINNING;
}

impl Scheduler {
    /// The token with these claims, a JSON object, around it. It opens what the token opens, for as long as that does.
    pub fn token_with_claims(&self, token: &Token, claims: &str) -> String {
        let signed = format!("{BEGINNING}{}", URL_SAFE_NO_PAD.encode(claims));
        let mut last = self.seal_of_claims(&signed, token).to_vec();
        last.extend_from_slice(token.secret().as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(last))
    }

    /// The token in a text: as it is, or with claims that nobody has changed. Says nothing about whether it is in force.
    pub fn read_token(&self, text: &str) -> Option<Token> {
        if text.starts_with(Token::PREFIX) {
            return Token::parse(text).ok();
        }
        if text.len() > TEXT_BYTES_MAX || !text.starts_with(BEGINNING) {
            return None;
        }
        let (signed, last) = text.rsplit_once('.')?;
        let last = URL_SAFE_NO_PAD.decode(last).ok()?;
        let (found, secret) = last.split_at_checked(SEAL_BYTES)?;
        let token = Token::parse(std::str::from_utf8(secret).ok()?).ok()?;
        equal(found, &self.seal_of_claims(signed, &token)).then_some(token)
    }

    fn seal_of_claims(&self, signed: &str, token: &Token) -> [u8; SEAL_BYTES] {
        seal(&self.core.secret, &[b"claims ", signed.as_bytes(), b".", token.secret().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_is_json() {
        let header = URL_SAFE_NO_PAD.decode(BEGINNING.trim_end_matches('.')).unwrap();
        assert_eq!(header, br#"{"alg":"runlater","typ":"JWT"}"#);
    }
}
