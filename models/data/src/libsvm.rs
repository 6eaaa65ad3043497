//! libsvm files: `label [qid:group] index:value ... # comment`, sparse, indices from 1.
//!
//! Becomes a dense table: `target`, `qid` where any line has one, then `f1` to `fN` up to the largest index in the
//! file or in the given schema. What is not written is 0.

use crate::column::{Fault, shown};
use crate::csv::{at, plan, text};
use crate::options::ReadOptions;
use tilewise_base::{Column, Dataset, Error, Result};

/// The largest index that is read: columns are dense.
const MOST_FEATURES: usize = 1 << 20;

/// The most cells of a table (8 GiB): a sparse file of a few bytes could ask for any size.
const MOST_CELLS: usize = 1 << 30;

/// The table in the bytes of a file that errors call `file`.
pub(crate) fn read(bytes: &[u8], file: &str, options: &ReadOptions<'_>) -> Result<Dataset> {
    let text = text(bytes, 1, true).map_err(|fault| at(file, fault))?;
    let rows = rows(text).map_err(|fault| at(file, fault))?;
    let refuse = |what: String| Error::Data { file: file.to_owned(), line: None, column: None, what };
    if options.columns.is_some() {
        return Err(refuse(
            "names can be given for CSV files only; these are target, qid, f1, f2 ...".to_owned(),
        ));
    }
    if rows.is_empty() {
        return Err(refuse("there are no rows; lines of label index:value ... are needed".to_owned()));
    }
    let given = options
        .schema
        .into_iter()
        .flat_map(|s| &s.fields)
        .filter_map(|f| f.name.strip_prefix('f')?.parse().ok());
    let largest = rows.iter().flat_map(|row| &row.cells).map(|&(index, _)| index);
    let width = largest.chain(given.filter(|&i: &usize| i <= MOST_FEATURES)).max().unwrap_or(0);
    if width.saturating_mul(rows.len()) > MOST_CELLS {
        return Err(refuse(format!(
            "{} rows of {width} features are too many for a dense table: at most {MOST_CELLS} cells are read",
            rows.len()
        )));
    }
    let grouped = rows.iter().any(|row| row.group.is_some());
    let mut names = vec!["target".to_owned()];
    names.extend(grouped.then(|| "qid".to_owned()));
    let before = names.len();
    names.extend((1..=width).map(|i| format!("f{i}")));
    let plans = plan(names, file, None, options)?;

    let mut place = vec![None; before + width];
    plans.iter().enumerate().for_each(|(i, plan)| place[plan.at] = Some(i));
    let mut columns = vec![vec![0.0; rows.len()]; plans.len()];
    for (r, row) in rows.iter().enumerate() {
        let mut put = |at: usize, value: f64| {
            if let Some(i) = place[at] {
                columns[i][r] = value;
            }
        };
        put(0, row.label);
        if grouped {
            put(1, row.group.unwrap_or(f64::NAN));
        }
        row.cells.iter().for_each(|&(index, value)| put(before + index - 1, value));
    }
    Dataset::new(plans.into_iter().zip(columns).map(|(plan, x)| (plan.name, Column::F64(x))).collect())
}

struct Row {
    label: f64,
    group: Option<f64>,
    cells: Vec<(usize, f64)>,
}

fn rows(text: &str) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let fault = |what: String| Fault { line: i as u64 + 1, column: None, what };
        let Some(label) = words.next() else { continue };
        let mut row = Row { label: number(label, "label").map_err(fault)?, group: None, cells: Vec::new() };
        for word in words {
            let Some((index, value)) = word.split_once(':') else {
                return Err(fault(format!("{} is not index:value", shown(word))));
            };
            if index == "qid" {
                row.group = Some(number(value, "qid").map_err(fault)?);
                continue;
            }
            let index = match index.parse::<usize>() {
                Ok(index @ 1..=MOST_FEATURES) => index,
                _ => {
                    let what = format!("the index {} is not one of 1 to {MOST_FEATURES}", shown(index));
                    return Err(fault(what));
                }
            };
            row.cells.push((index, number(value, "value").map_err(fault)?));
        }
        row.cells.sort_unstable_by_key(|&(index, _)| index);
        if let Some(pair) = row.cells.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(fault(format!("the index {} stands there twice", pair[0].0)));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn number(text: &str, what: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        _ => Err(format!("the {what} {} is not a finite number", shown(text))),
    }
}
