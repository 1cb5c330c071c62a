//! One entry of metadata in text: the grammar of `--metadata` and of the query parameter `metadata`.
//!
//! ```text
//! entry     = key separator value
//! key       = bare-key | json-string
//! separator = "=" | ":"
//! ```
//!
//! A bare key ends at the first separator, so it contains no `=` and no `:`; nor does it contain `"`. Any key can be written as a JSON string:
//! `"a:b"=c`. The value is the rest of the text, literally: it is never quoted and may contain anything. A bare key that is followed by `:` is
//! refused if a `=` comes later (`a:b=c`), because a reader could take `a:b` for the key; with the key in quotes the entry has one meaning.
//! Nothing is trimmed.

use super::Invalid;

/// Reads one entry: `customer=42`, `customer:42`, or `"a:b"=c`. Returns the key and the value.
///
/// # Errors
/// `invalid-metadata` if the text has no separator, if its quoted key is no JSON string, or if it has two meanings.
pub fn parse_entry(text: &str) -> Result<(String, String), Invalid> {
    let refused = |reason: String| Err(Invalid::new("invalid-metadata", "metadata", reason).seen(text));
    if text.starts_with('"') {
        let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let Some(Ok(key)) = strings.next() else {
            return refused("the quoted key is no JSON string; write \"KEY\"=VALUE, with \\\" for a quote and \\\\ for a backslash".into());
        };
        return match text[strings.byte_offset()..].strip_prefix(['=', ':']) {
            Some(value) => Ok((key, value.into())),
            None => refused("expected = after the quoted key: write \"KEY\"=VALUE".into()),
        };
    }
    let Some(end) = text.find(['=', ':']) else {
        return refused("expected KEY=VALUE".into());
    };
    let (key, value) = (&text[..end], &text[end + 1..]);
    if key.contains('"') {
        return refused(format!("a key that contains a quote is written as a JSON string{}", examples(&[(key, value)])));
    }
    if text[end..].starts_with(':')
        && let Some(later) = text.find('=')
    {
        let meanings = [(key, value), (&text[..later], &text[later + 1..])];
        return refused(format!("has two meanings; write the key as a JSON string{}", examples(&meanings)));
    }
    Ok((key.into(), value.into()))
}

/// Writes one entry so that [`parse_entry`] reads it back: `customer=42` or `"a:b"=c`.
pub fn write_entry(key: &str, value: &str) -> String {
    match key.contains(['=', ':', '"']) {
        true => format!("{}={value}", serde_json::to_string(key).expect("text is JSON")),
        false => format!("{key}={value}"),
    }
}

/// How these entries are written with a quoted key, for a message. Nothing if they are too long for one, or hold what does not belong into one.
fn examples(entries: &[(&str, &str)]) -> String {
    let written: Vec<_> =
        entries.iter().map(|(key, value)| format!("{}={value}", serde_json::to_string(key).expect("text is JSON"))).collect();
    let written = written.join(" or ");
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    if written.len() <= 160 && written.chars().all(is_plain) { format!(": {written}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_one_meaning() {
        for (text, key, value) in [
            ("customer=42", "customer", "42"),
            ("customer:42", "customer", "42"),
            ("url=http://x/?a=b", "url", "http://x/?a=b"),
            ("at:12:30", "at", "12:30"),
            ("k=\"v\"", "k", "\"v\""),
            ("two words= a, b ", "two words", " a, b "),
            (r#""a:b"=c"#, "a:b", "c"),
            (r#""a"=b:c"#, "a", "b:c"),
            (r#""a":b=c"#, "a", "b=c"),
            (r#""say \"hi\"\n":x"#, "say \"hi\"\n", "x"),
            ("k=", "k", ""),
            ("=v", "", "v"),
        ] {
            assert_eq!(parse_entry(text), Ok((key.into(), value.into())), "{text}");
        }
        for (text, word) in [
            ("", "KEY=VALUE"),
            ("customer", "KEY=VALUE"),
            ("a:b=c", r#": "a"=b=c or "a:b"=c"#),
            ("a\u{202e}:b=c", "as a JSON string"),
            (r#"a"b=c"#, r#""a\"b"=c"#),
            (r#""a"#, "JSON string"),
            (r#""a"b=c"#, "after the quoted key"),
            (r#""a" =c"#, "after the quoted key"),
            (r#""\ud800"=c"#, "JSON string"),
        ] {
            let refused = parse_entry(text).unwrap_err();
            assert_eq!(refused.code, "invalid-metadata");
            assert!(refused.reason.contains(word), "{text}: {}", refused.reason);
            assert!(!refused.reason.contains('\u{202e}'), "what was seen is shown elsewhere, escaped");
        }
    }

    #[test]
    fn every_entry_is_read_as_it_was_written() {
        let mut chance = fastrand::Rng::with_seed(4);
        for _ in 0..20_000 {
            let mut text = || -> String {
                (0..chance.usize(0..6)).map(|_| chance.choice(['a', ':', '=', '"', ',', ' ', '%', '\\', '\n', 'é']).unwrap()).collect()
            };
            let (key, value) = (text(), text());
            let written = write_entry(&key, &value);
            assert_eq!(parse_entry(&written), Ok((key, value)), "{written}");
        }
    }
}
