//! libsvm files: `label [qid:group] index:value ... # comment`, sparse, indices from 1.
//!
//! Linear models take the rows as they are ([`read_sparse`]) where there are very many columns. Else becomes a dense table: `target`, `qid` where any line has one, then `f1` to `fN` up to the largest index in the
//! file or in the given schema. What is not written is 0.

use crate::column::{Fault, shown};
use crate::csv::{at, plan, text};
use crate::options::{Format, ReadOptions};
use crate::read::format;
use std::path::Path;
use tilewise_base::{Column, Dataset, Error, Result, Sparse, SparseTable};

/// The largest index that is read: columns are dense.
const MOST_FEATURES: usize = 1 << 20;

/// The most cells of a table (8 GiB): a sparse file of a few bytes could ask for any size.
const MOST_CELLS: usize = 1 << 30;

/// Cells beyond which a table of which few are stored is better kept sparse: a gibibyte.
const DENSE_CELLS: usize = 1 << 27;

/// Of so many cells one is stored, at most, in a table that is kept sparse.
const SPARSE: usize = 8;

/// The rows of the libsvm file at `path` as they lie in it, if a dense table of them would be too large and most cells of it zero: more
/// than 2^27 cells, of which an eighth at most is stored. Nothing of another format, of stdin, and of smaller files, which
/// [`read`](crate::read) reads. With `width` there are so many inputs, whatever the file has; those beyond are left out.
///
/// # Errors
/// When it cannot be opened or a line is not one of libsvm (it is named).
pub fn read_sparse(
    path: impl AsRef<Path>,
    options: &ReadOptions<'_>,
    width: Option<usize>,
) -> Result<Option<SparseTable>> {
    let path = path.as_ref();
    if path == Path::new("-") || format(path, options)? != Format::Libsvm {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let file = path.display().to_string();
    let lines = lines(&bytes, &file)?;
    let columns = width.unwrap_or(lines.width);
    if columns.saturating_mul(lines.labels.len()) <= DENSE_CELLS
        || lines.values.len() > columns.saturating_mul(lines.labels.len()) / SPARSE
    {
        return Ok(None);
    }
    lines.sparse(columns).map(Some)
}

/// As [`read_sparse`], of bytes that errors call `name`, of any size.
///
/// # Errors
/// As there.
pub fn sparse_bytes(bytes: &[u8], name: &str, width: Option<usize>) -> Result<SparseTable> {
    let lines = lines(bytes, name)?;
    let columns = width.unwrap_or(lines.width);
    lines.sparse(columns)
}

/// The table in the bytes of a file that errors call `file`.
pub(crate) fn read(bytes: &[u8], file: &str, options: &ReadOptions<'_>) -> Result<Dataset> {
    let refuse = |what: String| Error::Data { file: file.to_owned(), line: None, column: None, what };
    if options.columns.is_some() {
        return Err(refuse(
            "names can be given for CSV files only; these are target, qid, f1, f2 ...".to_owned(),
        ));
    }
    let lines = lines(bytes, file)?;
    let given = options
        .schema
        .into_iter()
        .flat_map(|s| &s.fields)
        .filter_map(|f| f.name.strip_prefix('f')?.parse().ok());
    let width = given.filter(|&i: &usize| i <= MOST_FEATURES).chain([lines.width]).max().unwrap_or_default();
    let rows = lines.labels.len();
    if width.saturating_mul(rows) > MOST_CELLS {
        return Err(refuse(format!(
            "{rows} rows of {width} features are too many for a dense table: at most {MOST_CELLS} cells are read; linear models \
             train and predict on sparse rows, if at most one cell in 8 is stored"
        )));
    }
    let mut names = vec!["target".to_owned()];
    names.extend(lines.grouped.then(|| "qid".to_owned()));
    let before = names.len();
    names.extend((1..=width).map(|i| format!("f{i}")));
    let plans = plan(names, file, None, options)?;

    let mut place = vec![None; before + width];
    plans.iter().enumerate().for_each(|(i, plan)| place[plan.at] = Some(i));
    let mut columns = vec![vec![0.0; rows]; plans.len()];
    for (r, &label) in lines.labels.iter().enumerate() {
        let mut put = |at: usize, value: f64| {
            if let Some(i) = place[at] {
                columns[i][r] = value;
            }
        };
        put(0, label);
        if lines.grouped {
            put(1, lines.groups[r]);
        }
        let stored = lines.starts[r]..lines.starts[r + 1];
        let cells = lines.indices[stored.clone()].iter().zip(&lines.values[stored]);
        cells.for_each(|(&index, &value)| put(before + index as usize, value));
    }
    Dataset::new(plans.into_iter().zip(columns).map(|(plan, x)| (plan.name, Column::F64(x.into()))).collect())
}

/// What the lines of a file hold; indices from 0.
#[derive(Default)]
struct Lines {
    labels: Vec<f64>,
    /// NaN where a line has none.
    groups: Vec<f64>,
    grouped: bool,
    starts: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f64>,
    width: usize,
}

impl Lines {
    fn sparse(mut self, columns: usize) -> Result<SparseTable> {
        if columns < self.width {
            let (mut kept, mut from) = (0, 0);
            for end in &mut self.starts[1..] {
                for at in from..*end {
                    if (self.indices[at] as usize) < columns {
                        self.indices[kept] = self.indices[at];
                        self.values[kept] = self.values[at];
                        kept += 1;
                    }
                }
                from = std::mem::replace(end, kept);
            }
            self.indices.truncate(kept);
            self.values.truncate(kept);
        }
        let rows = self.labels.len();
        let x = Sparse::by_rows(rows, columns, self.starts, self.indices, self.values)?;
        Ok(SparseTable { x, target: self.labels, group: self.grouped.then_some(self.groups) })
    }
}

fn lines(bytes: &[u8], file: &str) -> Result<Lines> {
    let text = text(bytes, 1, true).map_err(|fault| at(file, fault))?;
    let lines = parse(text).map_err(|fault| at(file, fault))?;
    if lines.labels.is_empty() {
        let what = "there are no rows; lines of label index:value ... are needed".to_owned();
        return Err(Error::Data { file: file.to_owned(), line: None, column: None, what });
    }
    Ok(lines)
}

fn parse(text: &str) -> Result<Lines, Fault> {
    let mut lines = Lines { starts: vec![0], ..Lines::default() };
    let mut cells: Vec<(u32, f64)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let fault = |what: String| Fault { line: i as u64 + 1, column: None, what };
        let Some(label) = words.next() else { continue };
        lines.labels.push(number(label, "label").map_err(fault)?);
        let mut group = f64::NAN;
        cells.clear();
        for word in words {
            let Some((index, value)) = word.split_once(':') else {
                return Err(fault(format!("{} is not index:value", shown(word))));
            };
            if index == "qid" {
                group = number(value, "qid").map_err(fault)?;
                lines.grouped = true;
                continue;
            }
            let place = match index.parse::<usize>() {
                Ok(index @ 1..=MOST_FEATURES) => (index - 1) as u32,
                _ => {
                    let what = format!("the index {} is not one of 1 to {MOST_FEATURES}", shown(index));
                    return Err(fault(what));
                }
            };
            cells.push((place, number(value, "value").map_err(fault)?));
        }
        cells.sort_unstable_by_key(|&(index, _)| index);
        if let Some(pair) = cells.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(fault(format!("the index {} stands there twice", pair[0].0 + 1)));
        }
        lines.groups.push(group);
        lines.width = lines.width.max(cells.last().map_or(0, |&(index, _)| index as usize + 1));
        lines.indices.extend(cells.iter().map(|cell| cell.0));
        lines.values.extend(cells.iter().map(|cell| cell.1));
        lines.starts.push(lines.values.len());
    }
    Ok(lines)
}

fn number(text: &str, what: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        _ => Err(format!("the {what} {} is not a finite number", shown(text))),
    }
}
