//! Where a page begins, and the text that doors give out for it.

use super::limits::CURSOR_KEPT;
use super::seal::{equal, seal};
use super::{Invalid, NamespaceId, Order, RunFilter, RunId, Timestamp};

/// Bytes of the seal in a text: half of SHA-256's.
const SEAL_BYTES: usize = 16;

/// Where a page begins: after this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last run of the page before.
    pub after: RunId,
    /// Its trigger time, which a list in order of trigger time continues from.
    pub trigger_at: Timestamp,
}

/// The list that a cursor belongs to: a place in one list means nothing in another.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// Whose.
    pub namespace: NamespaceId,
    /// Of which runs.
    pub filter: &'a RunFilter,
    /// In which order.
    pub order: Order,
}

impl Cursor {
    /// The text that guests hand back. It names a place and authorises nothing: every query is bound to a
    /// namespace by itself, so a forged cursor shows its forger nothing new.
    pub fn to_text(self) -> String {
        format!("{}.{}", self.trigger_at.as_micros(), self.after)
    }

    /// Parses what [`to_text`](Self::to_text) wrote.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (micros, id) = text.split_once('.').ok_or_else(|| bad(text))?;
        let trigger_at = micros.parse().ok().and_then(Timestamp::from_micros).ok_or_else(|| bad(text))?;
        Ok(Self { after: RunId::parse(id, "cursor").map_err(|_| bad(text))?, trigger_at })
    }

    /// The text that callers from outside hand back: only for the same list, unchanged, and within a day.
    pub fn to_sealed(self, list: List<'_>, key: &[u8; 32], now: Timestamp) -> String {
        let text = format!("{}.{}", self.to_text(), now.as_micros() / 1_000_000);
        let seal = seal_of(&text, list, key);
        let seal: String = seal.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{text}.{seal}")
    }

    /// Parses what [`to_sealed`](Self::to_sealed) wrote for this list under this key.
    pub fn parse_sealed(sealed: &str, list: List<'_>, key: &[u8; 32], now: Timestamp) -> Result<Self, Invalid> {
        let (text, seal) = sealed.rsplit_once('.').ok_or_else(|| bad(sealed))?;
        let expected: String = seal_of(text, list, key).iter().map(|byte| format!("{byte:02x}")).collect();
        if !equal(seal.as_bytes(), expected.as_bytes()) {
            return Err(bad(sealed));
        }
        let (text, issued) = text.rsplit_once('.').ok_or_else(|| bad(sealed))?;
        let issued = issued.parse().ok().and_then(|seconds: i64| Timestamp::from_micros(seconds.checked_mul(1_000_000)?));
        let issued = issued.ok_or_else(|| bad(sealed))?;
        if issued.saturating_add(CURSOR_KEPT) < now {
            let reason = format!("it is older than {}; begin again without one", super::format_duration(CURSOR_KEPT));
            return Err(Invalid::new("bad-cursor", "cursor", reason).seen(sealed));
        }
        Self::parse(text)
    }
}

fn seal_of(text: &str, list: List<'_>, key: &[u8; 32]) -> [u8; SEAL_BYTES] {
    // The debug form tells all of a filter; that another version may write it otherwise does not matter to what lives for a day.
    let list = format!("cursor {} {:?} {:?} ", list.namespace.0, list.order, list.filter);
    *seal(key, &[list.as_bytes(), text.as_bytes()]).first_chunk().expect("SHA-256 has 32 bytes")
}

fn bad(text: &str) -> Invalid {
    Invalid::new("bad-cursor", "cursor", "not a cursor of this list; begin again without one").seen(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Name, Status};

    const CURSOR: Cursor = Cursor { after: RunId::from_key(77, 5), trigger_at: Timestamp::MIN };

    #[test]
    fn plain() {
        let cursor = Cursor { trigger_at: Timestamp::from_micros(9).unwrap(), ..CURSOR };
        assert_eq!(Cursor::parse(&cursor.to_text()).unwrap(), cursor);
        for text in ["", "x", "9.", "-1.00000000-0000-7000-8000-000000000000", "9.x"] {
            assert_eq!(Cursor::parse(text).unwrap_err().code, "bad-cursor");
        }
    }

    #[test]
    fn sealed() {
        let day = 86_400_000_000;
        let at = |micros: i64| Timestamp::from_micros(micros).unwrap();
        let filter = RunFilter { tasks: vec![Name::parse("a", "name").unwrap()], ..RunFilter::default() };
        let list = List { namespace: NamespaceId(1), filter: &filter, order: Order::NewestFirst };
        let key = [7; 32];
        let text = CURSOR.to_sealed(list, &key, at(day));
        assert!(text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-'), "nothing to escape in an address: {text}");
        assert_eq!(Cursor::parse_sealed(&text, list, &key, at(day)).unwrap(), CURSOR);
        assert_eq!(Cursor::parse_sealed(&text, list, &key, at(2 * day)).unwrap(), CURSOR);
        let old = Cursor::parse_sealed(&text, list, &key, at(2 * day + 1)).unwrap_err();
        assert!(old.code == "bad-cursor" && old.reason.contains("older"), "{old}");

        let other = RunFilter { statuses: vec![Status::Failed], ..filter.clone() };
        for (list, key) in [
            (List { namespace: NamespaceId(2), ..list }, [7; 32]),
            (List { filter: &other, ..list }, [7; 32]),
            (List { order: Order::TriggerTime, ..list }, [7; 32]),
            (list, [8; 32]),
        ] {
            assert_eq!(Cursor::parse_sealed(&text, list, &key, at(day)).unwrap_err().code, "bad-cursor");
        }
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Cursor::parse_sealed(&changed, list, &key, at(day)).unwrap_err().code, "bad-cursor", "{changed}");
        }
        for text in ["", ".", "...", &CURSOR.to_text(), &text[..text.len() - 1], &format!("{text}0"), &text.to_uppercase()] {
            assert_eq!(Cursor::parse_sealed(text, list, &key, at(day)).unwrap_err().code, "bad-cursor", "{text}");
        }
    }
}
