//! Columns as numbers of cells.

use tilewise_tree::categories;

/// A column as it was given.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    Numbers(Vec<f64>),
    /// Codes, and how many there are; others are missing.
    Codes(Vec<u32>, usize),
}

/// A column whose cells are numbered: those of values first, in their order, then missing ones.
pub(super) struct Cells {
    pub(super) of_rows: Vec<usize>,
    pub(super) values: usize,
    /// Cells of numbers are cut here; `None` for categories.
    pub(super) cuts: Option<Vec<f64>>,
}

impl Cells {
    pub(super) fn new(column: &Column, counted: &[u32]) -> Self {
        match column {
            Column::Numbers(x) => {
                let mut values: Vec<f64> = counted.iter().map(|&row| x[row as usize]).collect();
                values.retain(|x| !x.is_nan());
                values.sort_by(f64::total_cmp);
                values.dedup();
                let half_way = |pair: &[f64]| {
                    let middle = pair[0] / 2.0 + pair[1] / 2.0;
                    if middle.is_finite() && middle < pair[1] { middle } else { pair[0] }
                };
                let cuts: Vec<f64> = values.windows(2).map(half_way).collect();
                let values = cuts.len() + 1;
                let cell =
                    |x: &f64| if x.is_nan() { values } else { cuts.iter().filter(|&cut| cut < x).count() };
                Self { of_rows: x.iter().map(cell).collect(), values, cuts: Some(cuts) }
            }
            Column::Codes(codes, levels) => {
                let mut counts = vec![0; *levels];
                for &row in counted {
                    if let Some(count) = counts.get_mut(codes[row as usize] as usize) {
                        *count += 1;
                    }
                }
                let (of_codes, values) = categories(&counts, 254);
                let values = values.max(1);
                let cell =
                    |code: &u32| of_codes.get(*code as usize).map_or(values, |&bin| values.min(bin.into()));
                Self { of_rows: codes.iter().map(cell).collect(), values, cuts: None }
            }
        }
    }
}
