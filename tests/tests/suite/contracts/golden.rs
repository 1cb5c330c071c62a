//! Golden files: what is seen is compared with what was reviewed. `UPDATE_GOLDEN=1` writes what is seen.

use std::path::Path;

/// Compares `seen` with the golden file of this name.
pub(crate) fn compare(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, seen).expect("the golden file can be written");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden != seen {
        let difference = difference(&golden, seen);
        panic!("{name} is not what was reviewed; if that is meant, run the test with UPDATE_GOLDEN=1 and review the diff:\n{difference}");
    }
}

/// The lines between the common start and the common end.
fn difference(golden: &str, seen: &str) -> String {
    let (golden, seen): (Vec<_>, Vec<_>) = (golden.lines().collect(), seen.lines().collect());
    let start = golden.iter().zip(&seen).take_while(|(a, b)| a == b).count();
    let end = golden[start..].iter().rev().zip(seen[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let lines =
        |sign: char, lines: &[&str]| lines[start..lines.len() - end].iter().map(|line| format!("{sign} {line}\n")).collect::<String>();
    format!("from line {}:\n{}{}", start + 1, lines('-', &golden), lines('+', &seen))
}

#[test]
fn a_difference_shows_the_lines_that_differ() {
    assert_eq!(difference("a\nb\nc", "a\nx\ny\nc"), "from line 2:\n- b\n+ x\n+ y\n");
}
