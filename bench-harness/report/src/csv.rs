//! Comma-separated values (RFC 4180), written with the full precision that tables round away.

use std::fmt::Write as _;

/// A CSV document being written.
#[derive(Clone, Debug)]
pub struct Csv {
    text: String,
    columns: usize,
}

impl Csv {
    /// A document with a header line.
    pub fn new<S: AsRef<str>>(columns: &[S]) -> Self {
        let mut csv = Self { text: String::new(), columns: columns.len() };
        csv.push(columns);
        csv
    }

    /// Adds a line. Short ones are filled with empty cells, so that a column is never shifted.
    ///
    /// # Panics
    /// In debug builds, when the line has more cells than the header.
    pub fn push<S: AsRef<str>>(&mut self, cells: &[S]) {
        debug_assert!(cells.len() <= self.columns, "{} cells under {} columns", cells.len(), self.columns);
        for i in 0..self.columns {
            if i > 0 {
                self.text.push(',');
            }
            let cell = cells.get(i).map_or("", |cell| cell.as_ref());
            if cell.contains([',', '"', '\n', '\r']) {
                // Writing to a string cannot fail.
                let _ = write!(self.text, "\"{}\"", cell.replace('"', "\"\""));
            } else {
                self.text.push_str(cell);
            }
        }
        self.text.push('\n');
    }

    /// The document.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_separators_are_quoted() {
        let mut csv = Csv::new(&["case", "note"]);
        csv.push(&["gemm", "1024, \"f32\""]);
        csv.push(&["add"]);
        assert_eq!(csv.text(), "case,note\ngemm,\"1024, \"\"f32\"\"\"\nadd,\n");
    }
}
