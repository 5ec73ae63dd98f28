//! Columns of text, numbers of bytes, strings of JSON.

use std::fmt::Write as _;

/// Appends `rows` to `out`, their columns aligned: the first to the left, numbers to the right.
pub fn table(out: &mut String, header: &[&str], rows: &[Vec<String>]) {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let width = |column: usize| rows.iter().chain([&header]).filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    for row in [&header].into_iter().chain(rows) {
        let mut line = String::from(" ");
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let number = i > 0 && rows.iter().all(|r| r.get(i).is_none_or(|c| c.starts_with(|c: char| c.is_ascii_digit() || c == '-')));
            line += &if number { format!(" {cell:>width$} ") } else { format!(" {cell:<width$} ") };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// A number of bytes as people read it.
pub fn bytes(count: usize) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = count as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{amount:.1} {}", units[unit]) }
}

/// `text` as a string of JSON.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut out = String::new();
        table(&mut out, &["op", "count"], &[vec!["Add".into(), "5".into()], vec!["Softmax".into(), "12".into()]]);
        assert_eq!(out, "  op       count\n  Add          5\n  Softmax     12\n");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(3 << 30)], ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
