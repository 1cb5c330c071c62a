//! Tables that fit the terminal.

use console::{measure_text_width, pad_str, truncate_str};

const GAP: usize = 2;
/// Columns narrower than this say nothing.
const COLUMN_MIN: usize = 4;

/// Lays out rows under their heads, one line each, without trailing blanks. Too wide columns are cut with `…`, the widest first;
/// without a width, nothing is.
pub(super) fn lay_out(heads: &[&str], rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    let lines = || std::iter::once(&heads).chain(rows);
    let mut widths: Vec<usize> =
        (0..heads.len()).map(|column| lines().map(|line| measure_text_width(&line[column])).max().unwrap_or(0)).collect();
    if let Some(width) = width {
        let room = width.saturating_sub(GAP * heads.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let widest = widths.iter_mut().max().expect("a table has a column");
            if *widest <= COLUMN_MIN {
                break;
            }
            *widest -= 1;
        }
    }
    lines()
        .map(|line| {
            let cells = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| pad_str(&truncate_str(cell, *width, "…"), *width, console::Alignment::Left, None).into_owned());
            let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
            let line = line.trim_end();
            width.map_or(line.to_string(), |width| truncate_str(line, width, "…").into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![vec!["a".into(), "0123456789".into(), "x".into()], vec!["bb".into(), "日本語".into(), "yy".into()]]
    }

    #[test]
    fn columns_align() {
        let lines = lay_out(&["ID", "TEXT", "C"], &rows(), None);
        assert_eq!(lines, ["ID  TEXT        C", "a   0123456789  x", "bb  日本語      yy"]);
    }

    #[test]
    fn the_widest_column_gives_way() {
        let lines = lay_out(&["ID", "TEXT", "C"], &rows(), Some(14));
        assert_eq!(lines, ["ID  TEXT    C", "a   01234…  x", "bb  日本語  yy"]);
        for width in 1..40 {
            assert!(lay_out(&["ID", "TEXT", "C"], &rows(), Some(width)).iter().all(|line| measure_text_width(line) <= width));
        }
    }
}
