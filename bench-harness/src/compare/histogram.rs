//! Histograms of gradients in the forms that are compared: ours, and two with pairs of `f64`. Every worker draws the same
//! rows by itself.

use crate::operand::Draw;
use std::io;
use tilewise_kernels::parallel;
use tilewise_kernels::tree::{self, Gradients, OwnedBins, Packed, Rows};
use tilewise_report::worker::{Job, Problem};

/// The form of adding up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `tree::histogram`.
    Ours,
    /// A histogram of pairs for each block of rows, in parallel; blocks are added up.
    Blocks,
    /// One histogram of pairs, one loop, one thread.
    Loop,
}

/// Rows of a block of [`Form::Blocks`].
const BLOCK: usize = 20_000;
/// Magnitudes of gradients and of hessians are below this.
const LARGEST: usize = 1_000;

/// Bins, row by row, and gradients.
pub(super) struct Histogram {
    form: Form,
    bins: OwnedBins<u8>,
    /// Bins of a feature.
    count: usize,
    packed: Vec<Packed>,
    pairs: Vec<[f64; 2]>,
    /// About two rows of three, ascending, as a node of a tree has them.
    list: Option<Vec<u32>>,
    cells: Vec<Packed>,
    sums: Vec<[f64; 2]>,
}

impl Histogram {
    /// Draws the problem: shape is rows, features, bins of each.
    pub(super) fn draw(problem: &Problem, form: Form) -> io::Result<Self> {
        let &[rows, features, count] = problem.shape.as_slice() else {
            return Err(io::Error::other("expected rows, features and bins"));
        };
        let mut draw = Draw::packed(1);
        let mut integers = |len: usize, below: usize| -> Vec<usize> {
            let numbers = draw.vector::<f64>(len, 1.0);
            numbers.get().iter().map(|x| ((x + 1.0) / 2.0 * below as f64) as usize).collect()
        };
        let data = integers(rows * features, count).into_iter().map(|bin| bin as u8).collect();
        let gradients = integers(rows, 2 * LARGEST);
        let gradients = gradients.into_iter().zip(integers(rows, LARGEST));
        let packed: Vec<Packed> =
            gradients.map(|(g, h)| Packed::new(g as i32 - LARGEST as i32, h as i32)).collect();
        let gathered = problem.kind == GATHERED;
        let list = gathered.then(|| integers(rows, 3).into_iter().zip(0..).filter(|(one, _)| *one > 0));
        let offsets = (0..=features).map(|f| f * count).collect();
        Ok(Self {
            form,
            bins: OwnedBins::row_major(data, rows, offsets)
                .map_err(|error| io::Error::other(error.to_string()))?,
            count,
            pairs: packed.iter().map(|v| [v.gradient().into(), v.hessian().into()]).collect(),
            packed,
            list: list.map(|rows| rows.map(|(_, row)| row).collect()),
            cells: vec![Packed::default(); features * count],
            sums: vec![[0.0; 2]; features * count],
        })
    }

    fn once(&mut self) -> Result<(), String> {
        let bins = self.bins.get();
        let rows = self.list.as_ref().map_or(Rows::Range(0..bins.rows()), |list| Rows::List(list));
        match self.form {
            Form::Ours => {
                self.cells.fill(Packed::default());
                let gradients = Gradients::bounded(&self.packed, LARGEST as u32);
                tree::histogram(bins, &rows, gradients, &mut self.cells)
                    .map_err(|error| error.to_string())?;
            }
            Form::Loop => {
                self.sums.fill([0.0; 2]);
                add(
                    bins.data(),
                    bins.features(),
                    self.count,
                    (0..rows.len()).map(|i| rows.get(i)),
                    &self.pairs,
                    &mut self.sums,
                );
            }
            Form::Blocks => {
                let cells = self.sums.len();
                let block = |places: std::ops::Range<usize>| {
                    let mut sums = vec![[0.0; 2]; cells];
                    let rows = places.map(|i| rows.get(i));
                    add(bins.data(), bins.features(), self.count, rows, &self.pairs, &mut sums);
                    sums
                };
                let both = |mut a: Vec<[f64; 2]>, b: Vec<[f64; 2]>| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a = [a[0] + b[0], a[1] + b[1]]);
                    a
                };
                self.sums = parallel::map_reduce(rows.len(), BLOCK, block, both).unwrap_or_default();
            }
        }
        Ok(())
    }
}

/// The kind of problem with listed rows; the other takes all.
pub(super) const GATHERED: &str = "histogram_gathered";

/// Adds the pairs of `rows` to the cells of their bins.
fn add(
    data: &[u8],
    features: usize,
    count: usize,
    rows: impl Iterator<Item = usize>,
    pairs: &[[f64; 2]],
    sums: &mut [[f64; 2]],
) {
    for row in rows {
        let [gradient, hessian] = pairs[row];
        for (cells, &bin) in sums.chunks_exact_mut(count).zip(&data[row * features..][..features]) {
            let cell = &mut cells[usize::from(bin)];
            *cell = [cell[0] + gradient, cell[1] + hessian];
        }
    }
}

impl Job for Histogram {
    fn run(&mut self, times: u64) -> Result<(), String> {
        (0..times).try_for_each(|_| self.once())
    }

    fn result(&self) -> Vec<f64> {
        match self.form {
            Form::Ours => self.cells.iter().flat_map(|c| [c.gradient().into(), c.hessian().into()]).collect(),
            _ => self.sums.as_flattened().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_report::worker::Layout;

    #[test]
    fn all_forms_add_up_the_same() {
        for kind in ["histogram", GATHERED] {
            let problem = Problem {
                kind: kind.into(),
                element: "u8".into(),
                shape: vec![BLOCK + 7, 3, 5],
                layout: Layout::default(),
                folder: std::path::PathBuf::new(),
            };
            let results = [Form::Ours, Form::Blocks, Form::Loop].map(|form| {
                let mut histogram = Histogram::draw(&problem, form).unwrap();
                histogram.run(2).unwrap();
                histogram.result()
            });
            assert!(results[0].iter().any(|&sum| sum > 0.0));
            assert_eq!(results[0], results[1], "{kind}");
            assert_eq!(results[0], results[2], "{kind}");
        }
    }
}
