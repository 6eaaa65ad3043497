//! Tables: one description, shown as Markdown, aligned text, HTML or CSV.

use crate::{Csv, escape};
use std::fmt::Write as _;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table of text cells under named columns.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table. A column whose name begins with `<` holds words, all others numbers.
    ///
    /// ```
    /// let mut table = tilewise_report::Table::new("Times", &["<case", "seconds"]);
    /// table.push(["dot", "0.5"]);
    /// assert_eq!(table.text(), "Times\ncase  seconds\ndot       0.5\n");
    /// ```
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_prefix('<') {
            Some(words) => (words.to_string(), Align::Left),
            None => (name.to_string(), Align::Right),
        };
        Self { title: title.into(), columns: columns.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, cells without a column are dropped.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Rows so far.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// GitHub's Markdown, columns padded so that the source reads well too.
    pub fn markdown(&self) -> String {
        let clean = |cell: &str| cell.replace('|', "\\|").replace(['\n', '\r'], " ");
        let header: Vec<String> = self.columns.iter().map(|(name, _)| clean(name)).collect();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|c| clean(c)).collect()).collect();
        let widths = widths(&header, &rows, 3);
        let mut out = String::new();
        if !self.title.is_empty() {
            out.push_str(&format!("**{}**\n\n", self.title));
        }
        let line = |row: &[String]| {
            let cells = row.iter().zip(&self.columns).zip(&widths);
            let cells: Vec<String> =
                cells.map(|((cell, (_, align)), &width)| pad(cell, width, *align)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        out.push_str(&line(&header));
        let rule = self.columns.iter().zip(&widths).map(|((_, align), &width)| match align {
            Align::Left => format!(" {} ", "-".repeat(width)),
            Align::Right => format!(" {}: ", "-".repeat(width - 1)),
        });
        out.push_str(&format!("|{}|\n", rule.collect::<Vec<_>>().join("|")));
        rows.iter().for_each(|row| out.push_str(&line(row)));
        out
    }

    /// Text for a terminal, columns aligned by spaces.
    pub fn text(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let widths = widths(&header, &self.rows, 0);
        let mut out = String::new();
        if !self.title.is_empty() {
            out.push_str(&format!("{}\n", self.title));
        }
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells = row.iter().zip(&self.columns).zip(&widths);
            let cells: Vec<String> =
                cells.map(|((cell, (_, align)), &width)| pad(cell, width, *align)).collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }

    /// An HTML table in a box of its own that scrolls sideways when the window is narrower.
    pub fn html(&self) -> String {
        let mut out = String::from("<div class=\"scroll\" tabindex=\"0\"><table>");
        if !self.title.is_empty() {
            out.push_str(&format!("<caption>{}</caption>", escape(&self.title)));
        }
        out.push_str("<thead><tr>");
        for (name, align) in &self.columns {
            let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(*align), escape(name));
        }
        out.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            out.push_str("<tr>");
            for (cell, (_, align)) in row.iter().zip(&self.columns) {
                let _ = write!(out, "<td{}>{}</td>", class(*align), escape(cell));
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div>\n");
        out
    }

    /// The cells as comma-separated values.
    pub fn csv(&self) -> Csv {
        let header: Vec<&String> = self.columns.iter().map(|(name, _)| name).collect();
        let mut csv = Csv::new(&header);
        self.rows.iter().for_each(|row| csv.push(row));
        csv
    }
}

fn class(align: Align) -> &'static str {
    match align {
        Align::Left => "",
        Align::Right => " class=\"number\"",
    }
}

fn pad(cell: &str, width: usize, align: Align) -> String {
    let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
    match align {
        Align::Left => format!("{cell}{fill}"),
        Align::Right => format!("{fill}{cell}"),
    }
}

fn widths(header: &[String], rows: &[Vec<String>], least: usize) -> Vec<usize> {
    let widest = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    header.iter().enumerate().map(|(i, name)| name.chars().count().max(widest(i)).max(least)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::well_formed;

    fn example() -> Table {
        let mut table = Table::new("A & B", &["<case", "time"]);
        table.push(["dot | <f32>", "1.2 µs"]);
        table.push(["x"]);
        table
    }

    #[test]
    fn markdown_keeps_its_columns() {
        let markdown = example().markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(lines[0], "**A & B**");
        assert_eq!(lines[2], "| case         |   time |");
        assert_eq!(lines[3], "| ------------ | -----: |");
        assert_eq!(lines[4], "| dot \\| <f32> | 1.2 µs |");
        assert_eq!(lines[5], "| x            |        |");
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(example().text(), "A & B\ncase           time\ndot | <f32>  1.2 µs\nx\n");
    }

    #[test]
    fn html_is_escaped_and_well_formed() {
        let html = example().html();
        assert_eq!(well_formed(&html), Ok(()));
        assert!(html.contains("<td>dot | &lt;f32&gt;</td><td class=\"number\">1.2 µs</td>"));
    }
}
