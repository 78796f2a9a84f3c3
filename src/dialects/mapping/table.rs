//! Tables in Markdown.

use std::fmt::Write;

/// Appends a table.
pub(super) fn write(
    out: &mut String,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) {
    line(out, header.iter().map(|cell| (*cell).to_owned()));
    line(out, header.iter().map(|_| "---".to_owned()));
    for row in rows {
        assert_eq!(row.len(), header.len(), "{row:?}");
        line(out, row.into_iter());
    }
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    out.push('|');
    for cell in cells {
        let _ = write!(out, " {} |", cell.replace('|', "\\|").replace('\n', " "));
    }
    out.push('\n');
}
