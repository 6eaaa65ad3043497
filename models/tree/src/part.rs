//! A binned table and what is to be learned from it as a part file, which worker processes map: the bins, two bytes per row
//! and column (four where a column has more than 255), are used where they lie. Rows that count, weights and targets, 4 to 8 bytes per row each, are copied.
//!
//! A part of kind `binned columns` has a header (rows, first cells of the columns, how values became bins, which columns have
//! a bin of missing values, the unit of weights, the number of classes) and these sections: `columns`, one column of bins
//! after another; `tile 0`, `tile 1` ..., the same by rows, each of at most 64 columns, or 32 where bins are two bytes (which
//! follows from the numbers of bins); `weights` (u32), where not all are 1; `classes` (u32) or `numbers` (f64), one per row, or for
//! each of several outputs one per row.

use crate::codes::{Code, Codes, Stored, of_codes};
use crate::cuts::UNKNOWN;
use crate::max_bins::{MOST_BINS, MOST_CATEGORIES};
use crate::table::{BinnedTable, Binning};
use crate::training::Answers;
use crate::weights::{MOST, Weights};
use serde::{Deserialize, Serialize};
use std::io::Write;
use tilewise_base::part::{self, Number, Part};
use tilewise_base::{Error, Result, Storage};
use tilewise_kernels::same;
use tilewise_kernels::tree::OwnedBins;

const KIND: &str = "binned columns";

#[derive(Serialize, Deserialize)]
struct Header {
    rows: usize,
    offsets: Vec<usize>,
    binnings: Vec<Binning>,
    missing: Vec<bool>,
    unit: f64,
    /// None where numbers are to be learned.
    classes: Option<usize>,
    /// How many numbers, where there may be several.
    outputs: Option<usize>,
}

/// Writes a table and what is to be learned from it. The columns are written as they lie in memory.
///
/// # Errors
/// When lengths differ or `to` fails.
pub fn write(table: &BinnedTable, answers: &Answers, to: &mut impl Write) -> Result<()> {
    of_codes!(table.stored, codes => write_as(table, codes, answers, to))
}

fn write_as<B: Code>(
    table: &BinnedTable,
    codes: &Codes<B>,
    answers: &Answers,
    to: &mut impl Write,
) -> Result<()> {
    let concat;
    let (name, y, classes, outputs) = match answers {
        Answers::Classes { y, classes } => ("classes", u32::bytes(y), Some(*classes), None),
        Answers::Numbers(y) => ("numbers", f64::bytes(y), None, None),
        Answers::Outputs(y) => {
            y.iter().try_for_each(|y| same("targets against rows", table.rows(), y.len()))?;
            concat = y.concat();
            ("numbers", f64::bytes(&concat), None, Some(y.len()))
        }
    };
    same("targets against rows", table.rows(), answers.len())?;
    let header = Header {
        rows: table.rows(),
        offsets: table.offsets().to_vec(),
        binnings: table.binnings.clone(),
        missing: table.missing.clone(),
        unit: table.weights.unit,
        classes,
        outputs,
    };
    let (columns, tiles) =
        (B::lying(codes.columns().data()), codes.tiles().map(|tile| B::lying(tile.data())));
    let tiles: Vec<_> = tiles.enumerate().map(|(number, tile)| (tile_name(number), tile)).collect();
    let mut sections: Vec<(&str, &[u8])> = vec![("columns", &columns), (name, &y)];
    sections.extend(tiles.iter().map(|(name, tile)| (name.as_str(), tile.as_ref())));
    let weights = table.weights.values.as_deref().map(u32::bytes);
    sections.extend(weights.as_deref().map(|weights| ("weights", weights)));
    part::write(to, KIND, &header, &sections)
}

fn tile_name(number: usize) -> String {
    format!("tile {number}")
}

/// Reads them back. The bins are read once, to be checked.
///
/// # Errors
/// When it is another part, or its sections do not fit each other.
pub fn read(part: &Part) -> Result<(BinnedTable, Answers)> {
    let (table, answers) = read_chunk(part)?;
    if table.total_weight() == 0 {
        return Err(bad(SUM_OF_WEIGHTS));
    }
    Ok((table, answers))
}

const SUM_OF_WEIGHTS: &str = "its weights have a sum that is not accepted";

fn bad(what: &str) -> Error {
    Error::Fit(format!("a part file of binned columns does not fit itself: {what}"))
}

/// As [`read`], of rows that are a part of all ([`crate::rounds`]): there may be none, or none with a weight.
///
/// # Errors
/// As there.
pub fn read_chunk(part: &Part) -> Result<(BinnedTable, Answers)> {
    let header: Header = part.header(KIND)?;
    let Header { rows, offsets, binnings, missing, unit, classes, outputs } = header;
    if binnings.is_empty() || binnings.len() != missing.len() || binnings.len() + 1 != offsets.len() {
        return Err(bad("it has not as many ways of binning as columns"));
    }
    let is_wide = is_wide(&offsets, &missing);
    let stored = if is_wide {
        Stored::TwoBytes(codes(part, rows, &offsets)?)
    } else {
        Stored::Bytes(codes(part, rows, &offsets)?)
    };
    for (column, (binning, missing)) in binnings.iter().zip(&missing).enumerate() {
        let count = offsets[column + 1] - offsets[column];
        let of_values = count.checked_sub(usize::from(*missing)).filter(|n| (1..=MOST_BINS).contains(n));
        let of_values = of_values.ok_or_else(|| bad("a column has no bins or too many"))?;
        let fits = match binning {
            Binning::Numeric { cuts } => cuts.len() + 1 == of_values && cuts.is_sorted_by(|a, b| a < b),
            Binning::Categorical { bin_of } => {
                of_values <= MOST_CATEGORIES
                    && bin_of.iter().all(|bin| *bin == UNKNOWN || usize::from(*bin) < of_values)
            }
        };
        if !fits {
            return Err(bad("a column has other bins than its way of binning gives"));
        }
    }
    let values = part.has("weights").then(|| part.numbers::<u32>("weights")).transpose()?;
    if rows >= 1 << 31 || values.as_ref().is_some_and(|values| values.len() != rows) {
        return Err(bad("it has not as many weights as rows, or too many rows"));
    }
    let total = values.as_ref().map_or(rows as u64, |values| values.iter().map(|&w| u64::from(w)).sum());
    if !(total <= MOST && unit > 0.0 && unit.is_finite()) {
        return Err(bad(SUM_OF_WEIGHTS));
    }
    let answers = match (classes, outputs) {
        (Some(classes), _) => Answers::Classes { y: part.numbers("classes")?, classes },
        (None, None) => Answers::Numbers(part.numbers("numbers")?),
        (None, Some(outputs)) => {
            let numbers: Vec<f64> = part.numbers("numbers")?;
            if rows.checked_mul(outputs) != Some(numbers.len()) {
                return Err(bad("it has not as many numbers as rows and outputs"));
            }
            Answers::Outputs(numbers.chunks_exact(rows.max(1)).map(<[f64]>::to_vec).collect())
        }
    };
    same("targets against rows", rows, answers.len())?;
    let weights = Weights { values, unit, total };
    Ok((BinnedTable::of_bins(binnings, missing, stored, weights), answers))
}

/// Whether a column has more bins of values than a byte can name besides missing ones.
fn is_wide(offsets: &[usize], missing: &[bool]) -> bool {
    let of_values = |(ends, &missing): (&[usize], &bool)| {
        ends[1].saturating_sub(ends[0]).saturating_sub(usize::from(missing))
    };
    offsets.windows(2).zip(missing).map(of_values).any(|count| count > usize::from(u8::MAX))
}

/// The bins, where they lie.
fn codes<B: Code>(part: &Part, rows: usize, offsets: &[usize]) -> Result<Codes<B>> {
    let bins = |name: &str, offsets: Vec<usize>, row_major| -> Result<OwnedBins<B>> {
        Ok(OwnedBins::shared(part.shared::<B>(name)?, rows, offsets, row_major)?)
    };
    let columns = bins("columns", offsets.to_vec(), false)?;
    let features = offsets.len() - 1;
    let tile = |first: usize| {
        let ends = &offsets[first..=features.min(first + B::TILE)];
        bins(&tile_name(first / B::TILE), ends.iter().map(|end| end - ends[0]).collect(), true)
    };
    let tiles = (0..features).step_by(B::TILE).map(tile).collect::<Result<_>>()?;
    Ok(Codes::new(tiles, columns, &Storage::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cells;
    use crate::{DecisionTree, Feature, MaxBins};
    use tilewise_base::Context;
    use tilewise_base::pool::SharedFile;

    const ROWS: usize = 400;

    /// Two columns with missing values, 70 more so that there are several tiles, and weights.
    fn table(more: &[f64]) -> BinnedTable {
        let number = |i: usize| if i % 7 == 3 { f64::NAN } else { (i * i % 31) as f64 };
        let numbers: Vec<f64> = (0..ROWS).map(number).collect();
        let codes: Vec<u32> = (0..ROWS as u32).map(|i| i * 5 % 9).collect();
        let weights: Vec<f64> = (0..ROWS).map(|i| (i % 4) as f64).collect();
        let mut features =
            vec![Feature::Numeric(&numbers), Feature::Categorical { codes: &codes, levels: 8 }];
        features.extend([Feature::Numeric(&weights); 69]);
        features.push(Feature::Numeric(more));
        BinnedTable::new(&features, Some(&weights), MaxBins::Exact, 0).unwrap()
    }

    fn part(fill: impl FnOnce(&mut Vec<u8>)) -> Part {
        let mut bytes = Vec::new();
        fill(&mut bytes);
        let file = SharedFile::new(|to| to.write_all(&bytes).map_err(|e| Error::io("", e))).unwrap();
        Part::new(&file.map().unwrap()).unwrap()
    }

    #[test]
    fn a_tree_of_a_mapped_table_is_that_of_the_table() {
        // With a column of 300 values that count, bins are two bytes each.
        for (values, is_wide) in [(50, false), (ROWS, true)] {
            let more: Vec<f64> = (0..ROWS).map(|i| (i * 7 % values) as f64).collect();
            let table = table(&more);
            assert_eq!(matches!(table.stored, Stored::TwoBytes(_)), is_wide);
            comes_back(&table);
        }
    }

    fn comes_back(table: &BinnedTable) {
        let context = Context::default();
        let y: Vec<u32> = (0..ROWS as u64).map(|i| (((i * 2_654_435_761) >> 13) % 4) as u32).collect();
        let part_of = |answers: &Answers| read(&part(|to| write(table, answers, to).unwrap())).unwrap();
        let (mapped, answers) = part_of(&Answers::Classes { y: y.clone(), classes: 4 });
        let Answers::Classes { y: read_back, classes: 4 } = answers else { panic!("{answers:?}") };
        assert_eq!((&read_back, mapped.counted(), mapped.features()), (&y, table.counted(), 72));
        let tree =
            |table: &BinnedTable| DecisionTree::default().fit_classes(table, &y, 4, &context).unwrap().model;
        assert!(tree(table).leaves() > 20);
        assert_eq!(tree(&mapped), tree(table));
        let numbers: Vec<f64> = (0..ROWS).map(|i| i as f64 * 0.3).collect();
        let (mapped, answers) = part_of(&Answers::Numbers(numbers.clone()));
        assert!(matches!(answers, Answers::Numbers(read_back) if read_back == numbers));
        let several = vec![numbers.clone(), numbers.iter().map(|y| y * y).collect()];
        let (_, answers) = part_of(&Answers::Outputs(several.clone()));
        assert!(matches!(answers, Answers::Outputs(read_back) if read_back == several));
        assert_eq!(tree(&mapped), tree(table));
    }

    #[test]
    fn a_chunk_may_have_no_rows() {
        let whole = table(&[1.0; ROWS]);
        let none = Answers::Classes { y: Vec::new(), classes: 3 };
        let columns = whole.binnings.iter().map(|binning| match binning {
            Binning::Numeric { .. } => Cells::from(Feature::Numeric(&[])),
            Binning::Categorical { bin_of } => Cells::Codes { codes: &[], levels: bin_of.len() },
        });
        let weights = Weights { values: Some(Vec::new()), ..whole.weights.clone() };
        let columns: Vec<_> = columns.collect();
        let empty = BinnedTable::of_binnings(0, &columns, weights, &whole.binnings, &whole.missing).unwrap();
        let part = part(|to| write(&empty, &none, to).unwrap());
        let (read_back, answers) = read_chunk(&part).unwrap();
        assert_eq!((read_back.rows(), read_back.offsets(), answers.len()), (0, whole.offsets(), 0));
        assert!(read(&part).unwrap_err().to_string().contains("weights"));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let two = || Binning::Numeric { cuts: vec![0.5] };
        let header = |change: &dyn Fn(&mut Header)| {
            let mut header = Header {
                rows: 3,
                offsets: vec![0, 2, 4],
                binnings: vec![two(), two()],
                missing: vec![false; 2],
                unit: 1.0,
                classes: Some(2),
                outputs: None,
            };
            change(&mut header);
            header
        };
        let message = |change: &dyn Fn(&mut Header), columns: &[u8], weights: &[u32]| {
            let (weights, classes) = (u32::bytes(weights), u32::bytes(&[0, 1, 1]));
            let sections =
                [("columns", columns), ("tile 0", columns), ("weights", &weights), ("classes", &classes)];
            let part = part(|to| part::write(to, KIND, &header(change), &sections).unwrap());
            read(&part).err().map(|e| e.to_string()).unwrap_or_default()
        };
        let (good, ones) = ([0, 1, 0, 1, 1, 0], [1; 3]);
        assert_eq!(message(&|_| (), &good, &ones), "");
        for (what, told) in [
            (message(&|_| (), &[0, 1, 0, 1, 2, 0], &ones), "bin"),
            (message(&|_| (), &good[..5], &ones), "bins"),
            (message(&|_| (), &good, &[1; 2]), "weights"),
            (message(&|_| (), &good, &[0; 3]), "weights"),
            (message(&|_| (), &good, &[1 << 30; 3]), "weights"),
            (message(&|h| h.rows = 2, &good, &ones), "bins"),
            (message(&|h| h.rows = usize::MAX, &good, &ones), "bins"),
            (message(&|h| h.unit = f64::NAN, &good, &ones), "weights"),
            (message(&|h| h.classes = None, &good, &ones), "numbers"),
            (message(&|h| h.missing = vec![true], &good, &ones), "columns"),
            (message(&|h| h.missing = vec![true; 2], &good, &ones), "way of binning"),
            (message(&|h| h.binnings[1] = Binning::Categorical { bin_of: vec![2] }, &good, &ones), "way"),
            (message(&|h| h.binnings[1] = Binning::Numeric { cuts: vec![1.0, 0.0] }, &good, &ones), "way"),
            (message(&|h| h.offsets = vec![0, 4, 2], &good, &ones), "offset"),
            (message(&|h| h.offsets = vec![0], &good, &ones), "columns"),
        ] {
            assert!(what.contains(told), "{told}: {what:?}");
        }
    }
}
