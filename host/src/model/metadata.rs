//! Additional metadata: what the caller wants to find a run by.

use super::Invalid;
use super::limits::{METADATA_BYTES_MAX, METADATA_ENTRIES_MAX};

/// At most 32 entries of text, in order of key, each key once. Key and value have 1 to 128 bytes.
///
/// A client of a protocol with typed metadata may give a value as other JSON than a string. Its value is then the JSON text, by which filters
/// find it, and [`is_json`](Self::is_json) says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    value: String,
    /// Whether the value is JSON text that was not given as a string.
    json: bool,
}

impl Metadata {
    /// Sets one entry, replacing an earlier one of the same key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Invalid> {
        self.put(key, value, false)
    }

    /// Sets one entry whose value is JSON text, but no string.
    pub fn set_json(&mut self, key: &str, json: &str) -> Result<(), Invalid> {
        self.put(key, json, true)
    }

    /// Adds one entry of a filter. Unlike [`set`](Self::set) it refuses a second value under the same key: no run has both.
    pub fn require(&mut self, key: &str, value: &str) -> Result<(), Invalid> {
        if self.get(key).is_some_and(|before| before != value) {
            return Err(Invalid::new("invalid-metadata", format!("metadata.{key}"), "no run has two values under one key").seen(value));
        }
        self.set(key, value)
    }

    fn put(&mut self, key: &str, value: &str, json: bool) -> Result<(), Invalid> {
        let fits = |text: &str| (1..=METADATA_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
        if !fits(key) {
            return Err(
                Invalid::new("invalid-metadata", "metadata", format!("a key has 1 to {METADATA_BYTES_MAX} bytes and no NUL")).seen(key)
            );
        }
        if !fits(value) {
            let reason = format!("a value has 1 to {METADATA_BYTES_MAX} bytes and no NUL; put longer data into the input");
            return Err(Invalid::new("invalid-metadata", format!("metadata.{key}"), reason).seen(value));
        }
        let entry = Entry { key: key.into(), value: value.into(), json };
        match self.place(key) {
            Ok(found) => self.0[found] = entry,
            Err(_) if self.0.len() == METADATA_ENTRIES_MAX => {
                let reason = format!("more than {METADATA_ENTRIES_MAX} entries; put further data into the input");
                return Err(Invalid::new("invalid-metadata", "metadata", reason).seen(key));
            }
            Err(place) => self.0.insert(place, entry),
        }
        Ok(())
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| entry.key.as_str().cmp(key))
    }

    /// From entries in any order.
    pub fn from_entries<K: AsRef<str>, V: AsRef<str>>(entries: impl IntoIterator<Item = (K, V)>) -> Result<Self, Invalid> {
        let mut metadata = Self::default();
        for (key, value) in entries {
            metadata.set(key.as_ref(), value.as_ref())?;
        }
        Ok(metadata)
    }

    /// For storage, which reads back what was accepted: key, value, and whether the value is JSON.
    pub fn from_stored(entries: impl IntoIterator<Item = (String, String, bool)>) -> Self {
        Self(entries.into_iter().map(|(key, value, json)| Entry { key, value, json }).collect())
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.place(key).ok().map(|found| self.0[found].value.as_str())
    }

    /// Whether the value under `key` was given as other JSON than a string.
    pub fn is_json(&self, key: &str) -> bool {
        self.place(key).is_ok_and(|found| self.0[found].json)
    }

    /// The places, in order of key, of the values that were given as other JSON than a string.
    pub fn json_places(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(_, entry)| entry.json).map(|(place, _)| place)
    }

    /// The entries in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|entry| entry.key.len() + entry.value.len()).sum()
    }
}

/// As an object of text, whatever the values were given as.
impl serde::Serialize for Metadata {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_ordered_unique_and_bounded() {
        let mut metadata = Metadata::from_entries([("b", "1"), ("a", "2"), ("b", "3")]).unwrap();
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!(metadata.get("b"), Some("3"));
        for (key, value) in [("", "x"), ("x", ""), ("k\0", "x"), (&"k".repeat(129), "x"), ("x", &"v".repeat(129))] {
            assert_eq!(metadata.set(key, value).unwrap_err().code, "invalid-metadata");
        }
        for i in 0..30 {
            metadata.set(&format!("k{i}"), "x").unwrap();
        }
        assert!(metadata.set("one-more", "x").is_err());
        metadata.set("a", "replaced").unwrap();
    }
}
