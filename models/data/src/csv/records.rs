//! Cuts text into records and cells.
//!
//! RFC 4180 with what files in the wild need: spaces around cells, LF or CRLF, blank lines, a byte order mark. It is
//! ours because the usual reader takes a quote that is never closed for the rest of the file, takes a quote after a
//! space for text, and cannot say on which line a cell stands. Where those do not matter the `csv` crate is the
//! reference of the tests. Cells are slices of the text unless they hold doubled quotes.

use crate::column::Fault;
use std::borrow::Cow;

/// A cell and where it starts.
#[derive(Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) line: u64,
}

/// What [`Records::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record.
    Record,
    /// The text ends inside a record, and it is not the end of the file.
    More,
    /// The end.
    End,
}

/// Records of a text, one after another.
pub(crate) struct Records<'a> {
    text: &'a str,
    /// Where the next record starts, in bytes.
    pub(crate) at: usize,
    /// The line there.
    pub(crate) line: u64,
    delimiter: u8,
    /// Whether the file ends where the text ends.
    whole: bool,
}

impl<'a> Records<'a> {
    /// Records of `text`, whose first line is number `line` of the file. The delimiter is an ASCII byte.
    pub(crate) fn new(text: &'a str, line: u64, delimiter: u8, whole: bool) -> Self {
        Self { text, at: 0, line, delimiter, whole }
    }

    /// Puts the cells of the next record that is not a blank line into `cells`.
    pub(crate) fn next(&mut self, cells: &mut Vec<Cell<'a>>) -> Result<Step, Fault> {
        loop {
            cells.clear();
            let (at, line) = (self.at, self.line);
            if at == self.text.len() {
                return Ok(if self.whole { Step::End } else { Step::More });
            }
            let mut any_quoted = false;
            loop {
                let (edge, quoted) = self.cell(cells)?;
                any_quoted |= quoted;
                match edge {
                    Edge::Delimiter => {}
                    Edge::End if !self.whole => {
                        (self.at, self.line) = (at, line);
                        return Ok(Step::More);
                    }
                    Edge::Newline | Edge::End => break,
                }
            }
            if cells.len() > 1 || any_quoted || !cells[0].text.is_empty() {
                return Ok(Step::Record);
            }
        }
    }

    /// Appends the next cell; tells what ends it and whether it was quoted.
    fn cell(&mut self, cells: &mut Vec<Cell<'a>>) -> Result<(Edge, bool), Fault> {
        let bytes = self.text.as_bytes();
        self.skip_spaces();
        let (start, line) = (self.at, self.line);
        if bytes.get(start) == Some(&b'"') {
            return self.quoted(cells).map(|edge| (edge, true));
        }
        let delimiter = self.delimiter;
        let length = bytes[start..].iter().position(|&b| b == delimiter || b == b'\n');
        let end = length.map_or(bytes.len(), |n| start + n);
        cells.push(Cell { text: Cow::Borrowed(self.text[start..end].trim_ascii_end()), line });
        self.at = end;
        Ok((self.edge(), false))
    }

    /// The same for a cell in quotes.
    fn quoted(&mut self, cells: &mut Vec<Cell<'a>>) -> Result<Edge, Fault> {
        let line = self.line;
        let fault = |what: &str| Fault { line, column: None, what: what.to_owned() };
        let mut text = Cow::Borrowed("");
        loop {
            // Here `at` is on an opening quote, or on the second of a doubled one.
            let start = self.at + 1;
            let Some(length) = self.text.as_bytes()[start..].iter().position(|&b| b == b'"') else {
                if self.whole {
                    return Err(fault("a quote that opens here is never closed"));
                }
                return Ok(Edge::End);
            };
            let piece = &self.text[start..start + length];
            self.line += piece.bytes().filter(|&b| b == b'\n').count() as u64;
            if text.is_empty() {
                text = Cow::Borrowed(piece)
            } else {
                text.to_mut().push_str(piece)
            }
            self.at = start + length + 1;
            if self.text.as_bytes().get(self.at) != Some(&b'"') {
                break;
            }
            text.to_mut().push('"');
        }
        self.skip_spaces();
        cells.push(Cell { text, line });
        let at = self.at;
        match self.edge() {
            Edge::End if at < self.text.len() => Err(fault(
                "text follows the closing quote of a cell; a quote inside a quoted cell is written twice",
            )),
            edge => Ok(edge),
        }
    }

    /// Spaces around cells; tabs too unless they separate; the carriage return before a line feed.
    fn skip_spaces(&mut self) {
        let blank = |b: u8| b == b' ' || b == b'\r' || (b == b'\t' && self.delimiter != b'\t');
        self.at += self.text.as_bytes()[self.at..].iter().take_while(|&&b| blank(b)).count();
    }

    /// Steps over the delimiter or line feed at hand.
    fn edge(&mut self) -> Edge {
        match self.text.as_bytes().get(self.at) {
            Some(b'\n') => {
                self.at += 1;
                self.line += 1;
                Edge::Newline
            }
            Some(&b) if b == self.delimiter => {
                self.at += 1;
                Edge::Delimiter
            }
            _ => Edge::End,
        }
    }
}

/// What ends a cell.
enum Edge {
    Delimiter,
    Newline,
    End,
}
