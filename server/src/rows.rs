//! The body of `POST /predict`: rows as objects by column name or as arrays in the order of the inputs.
//!
//! ```text
//! body  = row | [row, ...] | {"inputs": body} | {"instances": body}
//! row   = {"column": cell, ...} | [cell, ...]
//! ```

use crate::failure::{Failure, Result};
use crate::json::Reader;
use crate::served::{Accepts, Input, Served};

/// Marks a cell that no key has filled yet: a NaN that no text reads as.
const ABSENT: u64 = 0x7ff8_0000_6162_7365;

/// What a body held besides cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    /// One row not wrapped in a list: the reply is one object.
    pub(crate) single: bool,
}

/// Reads `body` into `cells`, row-major.
pub(crate) fn read(body: &[u8], served: &Served, cells: &mut Vec<f64>) -> Result<Rows> {
    cells.clear();
    let mut reader = Reader::new(body)?;
    let rows = body_of(&mut reader, served, cells, true)?;
    reader.end()?;
    Ok(rows)
}

fn body_of(reader: &mut Reader<'_>, served: &Served, cells: &mut Vec<f64>, outermost: bool) -> Result<Rows> {
    match reader.peek() {
        Some(b'{') if outermost => {
            let start = reader.position();
            if !wrapper(reader, served)? {
                *reader = reader.at(start);
                object(reader, served, cells)?;
                return Ok(Rows { count: 1, single: true });
            }
            let rows = body_of(reader, served, cells, false)?;
            if reader.more(b'}')? {
                let key = reader.key()?;
                return Err(Failure::bad(format!("key {key:?} is not expected beside the rows")));
            }
            Ok(rows)
        }
        Some(b'{') => {
            object(reader, served, cells)?;
            Ok(Rows { count: 1, single: true })
        }
        Some(b'[') => {
            let start = reader.position();
            reader.take(b'[');
            match reader.peek() {
                Some(b'{' | b'[') => {}
                Some(b']') => {
                    reader.take(b']');
                    return Ok(Rows { count: 0, single: false });
                }
                _ => {
                    *reader = reader.at(start);
                    array(reader, served, cells)?;
                    return Ok(Rows { count: 1, single: true });
                }
            }
            let mut count = 0;
            loop {
                let row = match reader.peek() {
                    Some(b'{') => object(reader, served, cells),
                    Some(b'[') => array(reader, served, cells),
                    _ => Err(reader.refuse("a row (an object or an array)")),
                };
                row.map_err(|mut e| {
                    e.message = format!("row {}: {}", count + 1, e.message);
                    e
                })?;
                count += 1;
                if !reader.more(b']')? {
                    return Ok(Rows { count, single: false });
                }
            }
        }
        _ => Err(reader.refuse("a row (an object or an array) or a list of rows")),
    }
}

/// Whether the object that comes next wraps the rows; if so, steps to its value. A column of that name comes first.
fn wrapper(reader: &mut Reader<'_>, served: &Served) -> Result<bool> {
    reader.take(b'{');
    for name in ["inputs", "instances"] {
        let quoted = [b'"', b'"'];
        if served.position(name).is_none() {
            let start = reader.position();
            if reader.take_text(&quoted[..1])
                && reader.take_text(name.as_bytes())
                && reader.take_text(&quoted[1..])
            {
                reader.expect(b':', "a colon")?;
                return Ok(true);
            }
            *reader = reader.at(start);
        }
    }
    Ok(false)
}

/// One row by name. Keys mostly come in the order of the inputs, so the next one is tried before a lookup.
fn object(reader: &mut Reader<'_>, served: &Served, cells: &mut Vec<f64>) -> Result<()> {
    let first = cells.len();
    cells.resize(first + served.inputs.len(), f64::from_bits(ABSENT));
    let row = &mut cells[first..];
    let mut filled = 0;
    reader.expect(b'{', "a row")?;
    if !reader.take(b'}') {
        let mut next = 0;
        loop {
            let position = match served.inputs.get(next) {
                Some(input) if reader.take_text(&input.quoted) => {
                    reader.expect(b':', "a colon")?;
                    next
                }
                _ => {
                    let key = reader.key()?;
                    served.position(&key).ok_or_else(|| unknown(&key, served))?
                }
            };
            let input = &served.inputs[position];
            if row[position].to_bits() != ABSENT {
                return Err(Failure::bad(format!("column {:?} is given twice", input.name)));
            }
            row[position] = cell(reader, input)?;
            filled += 1;
            next = position + 1;
            if !reader.more(b'}')? {
                break;
            }
        }
    }
    if filled < row.len() {
        let missing = row.iter().position(|x| x.to_bits() == ABSENT);
        let name = missing.and_then(|at| served.inputs.get(at)).map_or("", |input| &input.name);
        // The model's offset stands behind its inputs.
        let is_offset = missing.is_some_and(|at| at >= served.model.inputs().len());
        let hint = if is_offset { "it is the model's offset, a number" } else { "a missing value is null" };
        return Err(Failure::bad(format!("column {name:?} is not given; {hint}")));
    }
    Ok(())
}

#[cold]
fn unknown(key: &str, served: &Served) -> Failure {
    const LISTED: usize = 12;
    let mut names: Vec<String> = served.inputs.iter().take(LISTED).map(|c| format!("{:?}", c.name)).collect();
    if served.inputs.len() > LISTED {
        names.push(format!("... ({} in all)", served.inputs.len()));
    }
    Failure::bad(format!("column {key:?} is not one of the model's inputs: {}", names.join(", ")))
}

/// One row by position.
fn array(reader: &mut Reader<'_>, served: &Served, cells: &mut Vec<f64>) -> Result<()> {
    let first = cells.len();
    let width = served.inputs.len();
    let mut extra = 0_usize;
    reader.array(|reader| {
        match served.inputs.get(cells.len() - first) {
            Some(input) => cells.push(cell(reader, input)?),
            None => {
                reader.skip()?;
                extra += 1;
            }
        }
        Ok(())
    })?;
    let found = cells.len() - first + extra;
    if found == width {
        Ok(())
    } else {
        Err(Failure::bad(format!("a row of {found} cells where {width} are needed")))
    }
}

/// One cell.
#[inline]
pub(crate) fn cell(reader: &mut Reader<'_>, input: &Input) -> Result<f64> {
    match reader.peek() {
        Some(b'-' | b'0'..=b'9') => {
            let x = reader.number()?;
            input.number(x)
        }
        Some(b'"') => {
            // Not parsed where text is not accepted: the error should name the column, not a broken escape.
            if !matches!(input.accepts, Accepts::Category(..)) {
                return Err(input.mistyped("a string"));
            }
            input.category(&reader.string()?)
        }
        Some(b'{') => Err(input.mistyped("an object")),
        Some(b'[') => Err(input.mistyped("an array")),
        _ => match reader.literal() {
            Some(None) => Ok(f64::NAN),
            Some(Some(x)) => input.boolean(x),
            None => Err(column_error(reader, input)),
        },
    }
}

#[cold]
fn column_error(reader: &mut Reader<'_>, input: &Input) -> Failure {
    let mut e = reader.refuse(input.accepted());
    e.message = format!("column {:?}: {}", input.name, e.message);
    e
}
