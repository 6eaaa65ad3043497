//! Writes tables as CSV: numbers in the fewest digits that read back as the same bits.

use std::io::{self, Write};
use tilewise_base::{Column, Dataset, MISSING_CODE};

/// Writes names and rows of `table` to `out`, cells apart by commas; missing cells are empty.
///
/// # Errors
/// Those of `out`.
pub fn write_csv(table: &Dataset, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    // A line with one empty cell would be a blank line; quotes make it a row.
    let empty = if table.columns().len() == 1 { "\"\"" } else { "" };
    for (i, name) in table.names().iter().enumerate() {
        line.push_str(if i > 0 { "," } else { "" });
        push_text(&mut line, name);
    }
    line.push('\n');
    for row in 0..table.rows() {
        for (i, column) in table.columns().iter().enumerate() {
            line.push_str(if i > 0 { "," } else { "" });
            match column {
                Column::F32(x) if x[row].is_nan() => line.push_str(empty),
                Column::F64(x) if x[row].is_nan() => line.push_str(empty),
                Column::F32(x) if plain(f64::from(x[row])) => line.push_str(&x[row].to_string()),
                Column::F32(x) => line.push_str(&format!("{:e}", x[row])),
                Column::F64(x) => push_number(&mut line, x[row]),
                Column::Categorical { codes, .. } if codes[row] == MISSING_CODE => line.push_str(empty),
                Column::Categorical { codes, dictionary } => {
                    push_text(&mut line, &dictionary[codes[row] as usize])
                }
                Column::Boolean(x) => line.push_str(match x.get(row) {
                    Some(true) => "true",
                    Some(false) => "false",
                    None => empty,
                }),
            }
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
        line.clear();
    }
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Appends `number` in the fewest digits that read back as the same bits.
pub fn push_number(line: &mut String, number: f64) {
    if plain(number) {
        line.push_str(&number.to_string());
    } else {
        line.push_str(&format!("{number:e}"));
    }
}

/// Whether a number is short when written without an exponent.
fn plain(number: f64) -> bool {
    number == 0.0 || (1e-5..1e16).contains(&number.abs())
}

fn push_text(line: &mut String, text: &str) {
    let inner = text.contains([',', '"', '\n', '\r', ';', '\t', '|']);
    if inner || text.is_empty() || text.trim_ascii() != text {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}
