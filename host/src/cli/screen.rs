//! Writing to the terminal, or to whatever stands in for it.
//!
//! Whatever came from the server, a guest or a file goes through [`clean`] before it is shown: a task's output must not be able
//! to move the cursor, set the window's title or reverse the reading order.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Where a command writes.
#[derive(Clone, Copy)]
pub(super) struct Screen {
    /// Results are written as JSON.
    pub(super) json: bool,
    /// Columns of a line; `None` if the output is not a terminal, and nothing is cut.
    pub(super) width: Option<usize>,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let width = io::stdout().is_terminal().then(|| console::Term::stdout().size().1.max(20).into());
        Self { json, width }
    }

    /// Writes a line of text that is clean already.
    pub(super) fn line(&self, text: impl Display) -> io::Result<()> {
        writeln!(io::stdout(), "{text}")
    }

    /// Writes a line that holds text of tasks or callers, clean already. A terminal would go on at the start of the next row if it is too
    /// long, where that text could pass for a line of ours: here what goes on is marked.
    pub(super) fn quote(&self, text: impl Display) -> io::Result<()> {
        match self.width {
            Some(width) => {
                let text = text.to_string();
                text.split('\n').flat_map(|line| fold(line, width)).try_for_each(|row| self.line(row))
            }
            None => self.line(text),
        }
    }

    /// Writes a value as one line of JSON.
    pub(super) fn value<T: serde::Serialize>(&self, value: &T) -> io::Result<()> {
        let text = serde_json::to_string(value).map_err(io::Error::other)?;
        writeln!(io::stdout(), "{}", escape_json(&text))
    }

    /// Tells the user something beside the result: on stderr, and not at all where programs read.
    pub(super) fn note(&self, text: impl Display) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// A spinner, where somebody watches.
    pub(super) fn spinner(&self, text: String) -> indicatif::ProgressBar {
        if self.json || !io::stderr().is_terminal() {
            return indicatif::ProgressBar::hidden();
        }
        // One row: what is said may be a task's word.
        let style = indicatif::ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well-formed");
        let spinner = indicatif::ProgressBar::new_spinner().with_style(style).with_message(text);
        spinner.enable_steady_tick(std::time::Duration::from_millis(100));
        spinner
    }
}

/// What stands before what goes on from the row above.
const GOES_ON: &str = "  : ";
/// How far apart a terminal's tabs are.
const TAB: usize = 8;

/// Breaks a line into rows of so many columns, of which all but the first are marked.
fn fold(line: &str, width: usize) -> Vec<String> {
    // Terminals differ about characters that have no width of their own, and about those that only widen others: rather too many than too few.
    let columns = |c: char| console::measure_text_width(c.encode_utf8(&mut [0; 4])).max(1);
    let (mut rows, mut used, mut column) = (vec![String::new()], 0, 0);
    for c in line.chars() {
        let (c, times) = if c == '\t' { (' ', TAB - column % TAB) } else { (c, 1) };
        for _ in 0..times {
            if used + columns(c) > width {
                rows.push(GOES_ON.into());
                used = GOES_ON.len();
            }
            rows.last_mut().expect("there is a first row").push(c);
            used += columns(c);
            column += columns(c);
        }
    }
    rows
}

/// Replaces what a terminal would obey or that changes the reading order by its escaped form. Line breaks go, too.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { cleaned.extend(c.escape_default()) } else { cleaned.push(c) }
    }
    cleaned
}

/// The same, with line breaks and tabs kept: for logs.
pub(super) fn clean_lines(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            line.split('\t').map(|part| clean(part.trim_end_matches('\n'))).collect::<Vec<_>>().join("\t")
                + if line.ends_with('\n') { "\n" } else { "" }
        })
        .collect()
}

/// The same for a text of a task or a caller among lines of ours: each further line is marked as one that goes on, so that it can't pass for ours.
pub(super) fn clean_marked(text: &str) -> String {
    clean_lines(text.trim_end_matches('\n')).replace('\n', &format!("\n{GOES_ON}"))
}

/// Escapes in JSON text what JSON allows in strings but terminals obey.
pub(super) fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Outside of strings there is none of these, and they all fit into one unit of UTF-16.
        if is_unsafe(c) { escaped.push_str(&format!("\\u{:04x}", c as u32)) } else { escaped.push(c) }
    }
    escaped
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(clean("a\u{1b}[31mb\u{9b}c\u{202e}d\ne"), "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\\ne");
        assert_eq!(clean("naïve 日本 ✓"), "naïve 日本 ✓");
        assert_eq!(clean_lines("a\tb\r\nc\u{7}\n"), "a\tb\\r\nc\\u{7}\n");
        assert_eq!(clean_lines("a\0\u{2028}\u{85}\rb\n\n\u{2066}c"), "a\\u{0}\\u{2028}\\u{85}\\rb\n\n\\u{2066}c");
        assert_eq!(clean_marked("a\n\tb\u{1b}\nstatus: done\n"), "a\n  : \tb\\u{1b}\n  : status: done");
        assert_eq!(escape_json("{\"a\":\"\u{9b}\u{202e}ü\"}"), "{\"a\":\"\\u009b\\u202eü\"}");
    }

    #[test]
    fn what_goes_on_in_the_next_row_is_marked() {
        for (line, rows) in [
            ("", &[""][..]),
            ("0123456789", &["0123456789"]),
            ("0123456789a", &["0123456789", "  : a"]),
            ("0123456789abcdefg", &["0123456789", "  : abcdef", "  : g"]),
            ("  | x       attempt 2", &["  | x     ", "  :   atte", "  : mpt 2"]),
            ("日本日本日本", &["日本日本日", "  : 本"]),
            ("x日本日本日", &["x日本日本", "  : 日"]),
            ("a\tb\tc", &["a       b ", "  :       ", "  : c"]),
            ("\t日", &["        日"]),
            ("e\u{301}e\u{301}", &["e\u{301}e\u{301}"]),
        ] {
            assert_eq!(fold(line, 10), rows, "{line:?}");
        }
        let long = "x\t日 ".repeat(1_000);
        for width in 20..40 {
            let rows = fold(&long, width);
            assert!(rows.iter().all(|row| console::measure_text_width(row) <= width && !row.contains('\t')));
            assert!(rows[1..].iter().all(|row| row.starts_with(GOES_ON)));
        }
    }
}
