//! Products with a sparse matrix by rows: both sides of a Hessian's product in one sweep.

use std::ops::Range;
use tilewise_base::SparseRef;
use tilewise_kernels::{Float, parallel};

/// Most leaves of rows that have sums of their own: memory for so many times the columns, and so many cores find work.
const LEAVES: usize = 64;

/// Stored cells of a leaf, at least, for every column: adding up the leaves then costs a small share of making them.
const PER_COLUMN: usize = 8;

/// Stored cells of a leaf at least.
const LEAST: usize = 1 << 14;

/// Columns whose sums over leaves are added up together.
const STEP: usize = 1 << 12;

/// Sums over the rows of a leaf, a number for each column.
struct Leaf {
    rows: Range<usize>,
    sums: Vec<f64>,
    /// As long where it is wanted.
    squares: Vec<f64>,
    /// Sum of what rows are multiplied by.
    total: f64,
}

/// A matrix by rows, with room for sums over its rows. Rows are cut into leaves by how many cells they have, so that sums have the same
/// bits at any number of threads.
pub(crate) struct ByRows<'a, T> {
    x: SparseRef<'a, T>,
    leaves: Vec<Leaf>,
}

impl<'a, T: Float> ByRows<'a, T> {
    pub(crate) fn new(x: SparseRef<'a, T>) -> Self {
        let (starts, stored) = (x.starts(), x.stored());
        let count = (stored / (PER_COLUMN * x.cols()).max(LEAST)).clamp(1, LEAVES);
        // Rows where the next share of the cells is full.
        let mut ends: Vec<usize> = (1..count)
            .map(|k| starts.partition_point(|&s| (s as u128) * (count as u128) < (k * stored) as u128))
            .map(|end| end.min(x.rows()))
            .collect();
        ends.push(x.rows());
        let mut first = 0;
        let leaf = |end: usize| {
            let rows = std::mem::replace(&mut first, end)..end;
            Leaf { rows, sums: vec![0.0; x.cols()], squares: Vec::new(), total: 0.0 }
        };
        let leaves = ends.into_iter().map(leaf).collect();
        Self { x, leaves }
    }

    pub(crate) fn view(&self) -> SparseRef<'a, T> {
        self.x
    }

    /// X^T r.
    pub(crate) fn transposed(&mut self, r: &[f64]) -> Vec<f64> {
        let x = self.x;
        self.sweep(|leaf| {
            for i in leaf.rows.clone() {
                add(x.line(i), r[i], &mut leaf.sums);
            }
        });
        self.merged(|leaf| &leaf.sums)
    }

    /// Of each column the sums of r x and of d x^2.
    pub(crate) fn sums_and_squares(&mut self, r: &[f64], d: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let x = self.x;
        self.sweep(|leaf| {
            leaf.squares.clear();
            leaf.squares.resize(leaf.sums.len(), 0.0);
            for i in leaf.rows.clone() {
                let (indices, values) = x.line(i);
                let (r, d) = (r[i], d[i]);
                for (&j, x) in indices.iter().zip(values) {
                    let (x, j) = (x.to_f64(), j as usize);
                    leaf.sums[j] += r * x;
                    leaf.squares[j] += d * x * x;
                }
            }
        });
        (self.merged(|leaf| &leaf.sums), self.merged(|leaf| &leaf.squares))
    }

    /// With z = X v + shift into `z`: X^T (d z), and the sum of d z.
    pub(crate) fn bend(&mut self, v: &[f64], shift: f64, d: &[f64], z: &mut [f64]) -> (Vec<f64>, f64) {
        let x = self.x;
        let mut rest = z;
        let mut parts: Vec<(&mut Leaf, &mut [f64])> = Vec::with_capacity(self.leaves.len());
        for leaf in &mut self.leaves {
            let (own, others) = rest.split_at_mut(leaf.rows.len());
            rest = others;
            parts.push((leaf, own));
        }
        parallel::for_each_chunk_mut(&mut parts, 1, |_, parts| {
            for (leaf, z) in parts {
                leaf.sums.fill(0.0);
                leaf.total = 0.0;
                for (i, z) in leaf.rows.clone().zip(z.iter_mut()) {
                    let line = x.line(i);
                    *z = inner(line, v) + shift;
                    let bent = d[i] * *z;
                    leaf.total += bent;
                    add(line, bent, &mut leaf.sums);
                }
            }
        });
        let total = self.leaves.iter().map(|leaf| leaf.total).sum();
        (self.merged(|leaf| &leaf.sums), total)
    }

    fn sweep(&mut self, f: impl Fn(&mut Leaf) + Sync) {
        parallel::for_each_chunk_mut(&mut self.leaves, 1, |_, leaves| {
            for leaf in leaves {
                leaf.sums.fill(0.0);
                f(leaf);
            }
        });
    }

    /// The sums of all leaves, one after the other.
    fn merged(&self, which: impl Fn(&Leaf) -> &Vec<f64> + Sync) -> Vec<f64> {
        let mut out = vec![0.0; self.x.cols()];
        parallel::for_each_chunk_mut(&mut out, STEP, |piece, out| {
            for leaf in &self.leaves {
                let sums = &which(leaf)[piece * STEP..piece * STEP + out.len()];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        });
        out
    }
}

/// The products of all lines, rows or columns, with a vector, over threads.
pub(crate) fn products<T: Float>(x: SparseRef<'_, T>, v: &[f64]) -> Vec<f64> {
    let lines = x.starts().len() - 1;
    let mut out = vec![0.0; lines];
    let bytes = (x.stored() * 12 / lines.max(1)).max(8);
    let step = (parallel::GRAIN_BYTES / bytes).max(1);
    parallel::for_each_chunk_mut(&mut out, step, |piece, out| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = inner(x.line(piece * step + i), v);
        }
    });
    out
}

/// The product of a row with a vector.
#[inline]
pub(crate) fn inner<T: Float>((indices, values): (&[u32], &[T]), v: &[f64]) -> f64 {
    // Four sums: one would wait for each addition in turn.
    let mut sums = [0.0; 4];
    let (fours, rest) = (indices.chunks_exact(4), indices.len() / 4 * 4);
    for (i, x) in fours.zip(values.chunks_exact(4)) {
        for ((sum, &i), x) in sums.iter_mut().zip(i).zip(x) {
            *sum += x.to_f64() * v[i as usize];
        }
    }
    let mut sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (&i, x) in indices[rest..].iter().zip(&values[rest..]) {
        sum += x.to_f64() * v[i as usize];
    }
    sum
}

/// Adds `factor` times a row.
#[inline]
fn add<T: Float>((indices, values): (&[u32], &[T]), factor: f64, sums: &mut [f64]) {
    for (&j, x) in indices.iter().zip(values) {
        sums[j as usize] += factor * x.to_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_base::Sparse;
    use tilewise_kernels::MatRef;

    /// Against loops over the dense matrix, with leaves enough to be merged.
    #[test]
    fn products_are_those_of_the_dense_matrix() {
        let (rows, cols) = (4000, 60);
        let cell = |k: usize| if k.is_multiple_of(3) { ((k * 7919) % 101) as f64 - 50.0 } else { 0.0 };
        let dense: Vec<f64> = (0..rows * cols).map(cell).collect();
        let matrix = Sparse::of_dense(MatRef::new(&dense, rows, cols).unwrap()).unwrap();
        let v: Vec<f64> = (0..cols).map(|j| (j as f64 * 0.3).sin()).collect();
        let d: Vec<f64> = (0..rows).map(|i| 1.0 + (i % 5) as f64).collect();
        let z: Vec<f64> = dense
            .chunks(cols)
            .map(|row| row.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>() + 0.25)
            .collect();
        let of = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            (0..cols).map(|j| (0..rows).map(|i| f(i, dense[i * cols + j])).sum()).collect()
        };
        let run = |threads| {
            parallel::with_threads(threads, || {
                let mut by_rows = ByRows::new(matrix.view());
                assert!(by_rows.leaves.len() > 3);
                let mut own = vec![0.0; rows];
                let bent = by_rows.bend(&v, 0.25, &d, &mut own);
                (
                    products(matrix.view(), &v),
                    by_rows.transposed(&d),
                    by_rows.sums_and_squares(&d, &z),
                    bent,
                    own,
                )
            })
        };
        let all = run(1);
        assert_eq!(all, run(3));
        // Sums of some thousand terms of 10^4 at most.
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13 * 1e8);
        let (product, transposed, (sums, squares), (bent, total), own) = all;
        assert!(product.iter().zip(&z).all(|(a, z)| (a + 0.25 - z).abs() < 1e-9) && near(&own, &z));
        assert!(near(&transposed, &of(&|i, x| d[i] * x)) && sums == transposed);
        assert!(near(&squares, &of(&|i, x| z[i] * x * x)));
        assert!(near(&bent, &of(&|i, x| d[i] * z[i] * x)));
        assert!((total - d.iter().zip(&z).map(|(d, z)| d * z).sum::<f64>()).abs() < 1e-6);
    }
}
