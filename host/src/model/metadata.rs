//! Additional metadata: what the caller wants to find a run by.

use super::Invalid;
use super::limits::{METADATA_BYTES_MAX, METADATA_ENTRIES_MAX};

/// At most 32 entries of text, in order of key, each key once. Key and value have 1 to 128 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Metadata(#[serde(serialize_with = "as_map")] Vec<(String, String)>);

impl Metadata {
    /// Sets one entry, replacing an earlier one of the same key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Invalid> {
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
        match self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)) {
            Ok(found) => self.0[found].1 = value.into(),
            Err(_) if self.0.len() == METADATA_ENTRIES_MAX => {
                let reason = format!("more than {METADATA_ENTRIES_MAX} entries; put further data into the input");
                return Err(Invalid::new("invalid-metadata", "metadata", reason).seen(key));
            }
            Err(place) => self.0.insert(place, (key.into(), value.into())),
        }
        Ok(())
    }

    /// From entries in any order.
    pub fn from_entries<K: AsRef<str>, V: AsRef<str>>(entries: impl IntoIterator<Item = (K, V)>) -> Result<Self, Invalid> {
        let mut metadata = Self::default();
        for (key, value) in entries {
            metadata.set(key.as_ref(), value.as_ref())?;
        }
        Ok(metadata)
    }

    /// For storage, which reads back what was accepted.
    pub fn from_stored(entries: Vec<(String, String)>) -> Self {
        Self(entries)
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|found| self.0[found].1.as_str())
    }

    /// The entries in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

fn as_map<S: serde::Serializer>(entries: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(key, value)| (key, value)))
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
