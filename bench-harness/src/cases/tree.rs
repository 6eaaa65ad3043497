//! Kernels of trees. Their operations are counted as floating-point ones would be: additions to cells, rows, values.

use crate::case::{Case, Cost, Outcome, Work};
use crate::operand::Draw;
use tilewise_kernels::tree::{self, Bin, Gradients, OwnedBins, Packed, Pair, Rows};
use tilewise_kernels::{naive, parallel};

pub(super) fn cases() -> Vec<Case> {
    let histogram = |name, formula, make| Case {
        name,
        element: "i64",
        formula,
        dims: &["n", "features"],
        timed: &[&[100_000, 28], &[1_000_000, 16], &[1_000, 28]],
        quick: &[20_000, 28],
        largest: &[40_000, 64],
        beside: Some("pairs of f64"),
        make,
    };
    vec![
        histogram("histogram", "sums of (gradient, hessian) in 256 bins", |shape, draw| {
            Box::new(Histogram::<u8>::new(shape, 256, false, draw))
        }),
        histogram("histogram_4", "sums of (gradient, hessian) in 4 bins", |shape, draw| {
            Box::new(Histogram::<u8>::new(shape, 4, false, draw))
        }),
        histogram("histogram_u16", "sums of (gradient, hessian) in 1024 bins", |shape, draw| {
            Box::new(Histogram::<u16>::new(shape, 1024, false, draw))
        }),
        histogram(
            "histogram_list",
            "sums of (gradient, hessian) of listed rows in 256 bins",
            |shape, draw| Box::new(Histogram::<u8>::new(shape, 256, true, draw)),
        ),
    ]
}

/// Integers in `0..below`, as many as asked.
fn integers(draw: &mut Draw, len: usize, below: usize) -> impl Iterator<Item = usize> {
    let numbers = draw.vector::<f64>(len, 1.0).get().to_vec();
    numbers.into_iter().map(move |x| ((x + 1.0) / 2.0 * below as f64) as usize)
}

struct Histogram<B> {
    bins: OwnedBins<B>,
    gradients: Vec<Packed>,
    /// Every second row, or one in three.
    list: Option<Vec<u32>>,
    cells: Vec<Packed>,
    /// The same in f64.
    pairs: (Vec<[f64; 2]>, Vec<[f64; 2]>),
    in_f64: bool,
}

impl<B: Bin> Histogram<B> {
    fn new(shape: &[usize], bins: usize, listed: bool, draw: &mut Draw) -> Self {
        let (rows, features) = (shape[0], shape[1]);
        let mut part = |below: usize| integers(draw, rows, below).map(|x| x as i32).collect::<Vec<_>>();
        let (gradients, hessians) = (part(2_000), part(1_000));
        let gradients: Vec<Packed> =
            gradients.iter().zip(hessians).map(|(g, h)| Packed::new(g - 1_000, h)).collect();
        let real = gradients.iter().map(|v| [f64::from(v.gradient()), f64::from(v.hessian())]).collect();
        let step = 2 + draw.choose(2);
        Self {
            bins: {
                let data = integers(draw, rows * features, bins).map(B::from_low_bits).collect();
                let new = [OwnedBins::row_major, OwnedBins::column_major][draw.choose(2)];
                new(data, rows, (0..=features).map(|f| f * bins).collect()).expect("bins that fit")
            },
            gradients,
            list: listed.then(|| (0..rows as u32).step_by(step).collect()),
            cells: vec![Packed::default(); features * bins],
            pairs: (real, vec![[0.0; 2]; features * bins]),
            in_f64: false,
        }
    }
    fn rows(&self) -> Rows<'_> {
        self.list.as_ref().map_or(Rows::Range(0..self.gradients.len()), |list| Rows::List(list))
    }
    /// The common form: row by row (or column by column), a pair of f64 for each bin, blocks of rows in parallel.
    fn in_pairs(&mut self) -> Option<()> {
        let (bins, rows) = (self.bins.get(), self.rows());
        let count = self.cells.len().checked_div(bins.features())?;
        let total = parallel::map_reduce(
            rows.len(),
            20_000,
            |places| {
                let mut cells = vec![[0.0; 2]; self.cells.len()];
                let add = |cell: &mut [f64; 2], row: usize| {
                    cell[0] += self.pairs.0[row][0];
                    cell[1] += self.pairs.0[row][1];
                };
                if bins.is_row_major() {
                    for place in places {
                        let row = rows.get(place);
                        let bins = &bins.data()[row * bins.features()..][..bins.features()];
                        for (cells, &bin) in cells.chunks_exact_mut(count).zip(bins) {
                            add(&mut cells[bin.into()], row);
                        }
                    }
                } else {
                    let columns = bins.data().chunks_exact(bins.rows());
                    for (cells, bins) in cells.chunks_exact_mut(count).zip(columns) {
                        for place in places.clone() {
                            let row = rows.get(place);
                            add(&mut cells[bins[row].into()], row);
                        }
                    }
                }
                cells
            },
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a = [a[0] + b[0], a[1] + b[1]]);
                a
            },
        );
        self.pairs.1 = total?;
        Some(())
    }
}

impl<B: Bin> Work for Histogram<B> {
    fn ours(&mut self) -> Outcome {
        self.in_f64 = false;
        let mut cells = std::mem::take(&mut self.cells);
        cells.fill(Packed::default());
        let gradients = Gradients::bounded(&self.gradients, 1_000);
        let done = tree::histogram(self.bins.get(), &self.rows(), gradients, &mut cells);
        self.cells = cells;
        Ok(done?)
    }
    fn naive(&mut self) -> Outcome {
        self.in_f64 = false;
        let mut pairs = vec![Pair::default(); self.cells.len()];
        naive::tree::histogram_packed(self.bins.get(), &self.rows(), &self.gradients, &mut pairs);
        self.cells = pairs.iter().map(|p| Packed::new(p.gradient as i32, p.hessian as i32)).collect();
        Ok(())
    }
    fn beside(&mut self) -> Outcome {
        self.in_f64 = true;
        self.pairs.1.fill([0.0; 2]);
        self.in_pairs();
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        if self.in_f64 {
            self.pairs.1.as_flattened().to_vec()
        } else {
            self.cells.iter().flat_map(|c| [c.gradient().into(), c.hessian().into()]).collect()
        }
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; 2 * self.cells.len()]
    }
    fn cost(&self) -> Cost {
        let (rows, cells) = (self.rows().len() as f64, self.cells.len() as f64);
        let features = self.bins.get().features() as f64;
        let written = 8.0 * cells;
        let flops = rows * features;
        Cost { flops, bytes: flops * size_of::<B>() as f64 + 8.0 * rows + written, written }
    }
}
