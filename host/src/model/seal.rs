//! Seals: proof that a text or a file is ours, and unchanged.
//!
//! Used for compiled code on disk and for what callers are given to hand back. HMAC-SHA256, as RFC 2104 defines it.

use sha2::{Digest as _, Sha256};

/// The block size of SHA-256, by which HMAC is defined.
const BLOCK: usize = 64;

/// The seal under `key` of `parts` one after another. Where their borders matter, a part must say its length or end with a mark.
pub fn seal(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let keyed = |pad: u8| {
        let mut block = [pad; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        Sha256::new().chain_update(block)
    };
    let inner = parts.iter().fold(keyed(0x36), |hash, part| hash.chain_update(part)).finalize();
    keyed(0x5c).chain_update(inner).finalize().into()
}

/// Compares in a time that does not depend on where they differ.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_are_those_of_the_rfc() {
        // RFC 4231, test case 4 has a key of 25 bytes: HMAC pads keys with zeros, so it is also this key of 32.
        let mut key = [0; 32];
        (1..=25).for_each(|i| key[usize::from(i) - 1] = i);
        let hex = seal(&key, &[&[0xcd; 20], &[0xcd; 30]]).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    }

    #[test]
    fn equality() {
        assert!(equal(b"ab", b"ab") && equal(b"", b""));
        assert!(!equal(b"ab", b"ac") && !equal(b"ab", b"abc") && !equal(b"abc", b"ab"));
    }
}
