//! The id of a run: a UUIDv7 outside, a 63-bit integer in the database.
//!
//! A UUID as key costs SQLite a third of its throughput against an integer key, and an index beside an integer key as
//! much. So the two are one value in two spellings: the integer is 42 bits of milliseconds and 21 bits of counter; the
//! UUID holds both in its time-ordered places, and a constant of the database in the 53 bits that remain.

use std::fmt;

use super::Invalid;

const COUNTER_BITS: u32 = 21;
/// Bits of a UUIDv7 that belong to the database and not to the run.
const ORIGIN_BITS: u32 = 53;
const ORIGIN_MASK: u128 = (1 << ORIGIN_BITS) - 1;

/// The id of a run. Ordered by time of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u128);

impl RunId {
    /// The id with this key in the database of this constant, of which the lowest 53 bits count.
    pub const fn from_key(key: i64, origin: u64) -> Self {
        let (millis, counter) = ((key >> COUNTER_BITS) as u128, (key as u128) & ((1 << COUNTER_BITS) - 1));
        // 48 bits time, 4 bits version 7, 12 bits counter, 2 bits variant 10, 9 bits counter, 53 bits origin.
        let bits =
            millis << 80 | 7 << 76 | (counter >> 9) << 64 | 0b10 << 62 | (counter & 0x1ff) << ORIGIN_BITS | (origin as u128 & ORIGIN_MASK);
        Self(bits)
    }

    /// The key in the database of this constant; `None` if the id can't be from it.
    pub const fn key_in(self, origin: u64) -> Option<i64> {
        let (millis, counter) = (self.0 >> 80, ((self.0 >> 64) & 0xfff) << 9 | (self.0 >> ORIGIN_BITS) & 0x1ff);
        if millis >= 1 << 42 {
            return None;
        }
        let key = (millis << COUNTER_BITS | counter) as i64;
        if Self::from_key(key, origin).0 == self.0 { Some(key) } else { None }
    }

    /// The first key that a run created at this millisecond can have.
    pub const fn first_key_at(millis: i64) -> i64 {
        millis << COUNTER_BITS
    }

    /// Parses the text of a UUID.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("invalid-id", field, "a run's id is a UUID such as 019a0c5e-7b3c-7def-8123-456789abcdef").seen(text);
        let hyphenated = text.len() == 36 && text.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-');
        if !hyphenated {
            return Err(invalid());
        }
        uuid::Uuid::try_parse(text).map(|uuid| Self(uuid.as_u128())).map_err(|_| invalid())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text, "id").map_err(|invalid| serde::de::Error::custom(invalid.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_uuids_are_two_spellings_of_one_value() {
        let origin = 0x000f_edcb_a987_6543;
        let mut before = None;
        for key in [0, 1, 511, 512, (1 << 21) - 1, 1 << 21, 1_795_000_000_000 << 21 | 77, i64::MAX] {
            let id = RunId::from_key(key, origin);
            assert_eq!(id.key_in(origin), Some(key));
            assert_eq!(id.key_in(origin + 1), None, "an id of another database");
            assert_eq!(RunId::parse(&id.to_string(), "id").unwrap(), id);
            let uuid = uuid::Uuid::from_u128(id.0);
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            assert!(before < Some(id), "ids sort as their keys do");
            before = Some(id);
        }
    }

    #[test]
    fn other_uuids_are_nobodys() {
        for text in ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10"]
        {
            assert_eq!(RunId::parse(text, "id").unwrap().key_in(5), None);
        }
        for text in [
            "",
            "019a",
            "../x",
            "{019a0c5e-7b3c-7def-8123-456789abcdef}",
            "019a0c5e7b3c7def8123456789abcdef",
            "urn:uuid:019a0c5e-7b3c-7def-8123",
        ] {
            assert_eq!(RunId::parse(text, "id").unwrap_err().code, "invalid-id");
        }
    }
}
