//! Guesses the delimiter from the first records of a file.

use crate::csv::records::{Records, Step};

/// How much of a file is looked at, in bytes and records.
const SNIFFED_BYTES: usize = 64 * 1024;
/// The same in records.
pub(crate) const SNIFFED_RECORDS: usize = 100;

/// The beginning of `text` that is looked at, cut at a character.
pub(crate) fn beginning(text: &str) -> &str {
    let mut end = SNIFFED_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The one of `,` `;` tab `|` with which most of the first records have as many cells as the very first, at least two;
/// among equals the one with more cells; `,` if none divides anything.
pub(crate) fn delimiter(text: &str) -> u8 {
    let start = beginning(text);
    let mut best = (b',', 0, 1);
    for candidate in *b",;\t|" {
        let mut records = Records::new(start, 1, candidate, start.len() == text.len());
        let (mut cells, mut first, mut same, mut seen) = (Vec::new(), 0, 0, 0);
        while seen < SNIFFED_RECORDS && matches!(records.next(&mut cells), Ok(Step::Record)) {
            if seen == 0 {
                first = cells.len();
            }
            seen += 1;
            same += usize::from(cells.len() == first);
        }
        if first > 1 && (same, first) > (best.1, best.2) {
            best = (candidate, same, first);
        }
    }
    best.0
}
