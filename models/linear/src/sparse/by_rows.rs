//! Products with a sparse matrix by rows: both sides of a Hessian's product in one sweep.

use super::loss::Losses;
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

/// Sums over the rows of a leaf, a number for each column and predictor: those of a column one after the other.
struct Leaf {
    rows: Range<usize>,
    sums: Vec<f64>,
    /// As long where it is wanted.
    squares: Vec<f64>,
    /// Sums of what rows are multiplied by, one for each predictor.
    totals: Vec<f64>,
}

/// A matrix by rows, with room for sums over its rows. Rows are cut into leaves by how many cells they have, so that sums have the same
/// bits at any number of threads.
pub(crate) struct ByRows<'a, T> {
    x: SparseRef<'a, T>,
    /// Linear predictors of a row.
    predictors: usize,
    leaves: Vec<Leaf>,
}

impl<'a, T: Float> ByRows<'a, T> {
    /// With so many linear predictors for each row.
    pub(crate) fn new(x: SparseRef<'a, T>, predictors: usize) -> Self {
        let (starts, stored) = (x.starts(), x.stored());
        let count = (stored / (PER_COLUMN * x.cols() * predictors).max(LEAST)).clamp(1, LEAVES);
        // Rows where the next share of the cells is full.
        let mut ends: Vec<usize> = (1..count)
            .map(|k| starts.partition_point(|&s| (s as u128) * (count as u128) < (k * stored) as u128))
            .map(|end| end.min(x.rows()))
            .collect();
        ends.push(x.rows());
        let mut first = 0;
        let leaf = |end: usize| {
            let rows = std::mem::replace(&mut first, end)..end;
            let (sums, totals) = (vec![0.0; x.cols() * predictors], vec![0.0; predictors]);
            Leaf { rows, sums, squares: Vec::new(), totals }
        };
        let leaves = ends.into_iter().map(leaf).collect();
        Self { x, predictors, leaves }
    }

    pub(crate) fn view(&self) -> SparseRef<'a, T> {
        self.x
    }

    /// X^T r.
    pub(crate) fn transposed(&mut self, r: &[f64]) -> Vec<f64> {
        let (x, k) = (self.x, self.predictors);
        self.sweep(|leaf| {
            for i in leaf.rows.clone() {
                add_all(x.line(i), &r[i * k..(i + 1) * k], &mut leaf.sums);
            }
        });
        self.merged(|leaf| &leaf.sums)
    }

    /// Of each column the sums of r x and of d x^2.
    pub(crate) fn sums_and_squares(&mut self, r: &[f64], d: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (x, k) = (self.x, self.predictors);
        self.sweep(|leaf| {
            leaf.squares.clear();
            leaf.squares.resize(leaf.sums.len(), 0.0);
            for i in leaf.rows.clone() {
                let (indices, values) = x.line(i);
                let (r, d) = (&r[i * k..(i + 1) * k], &d[i * k..(i + 1) * k]);
                if let ([r], [d]) = (r, d) {
                    for (&j, x) in indices.iter().zip(values) {
                        let (x, j) = (x.to_f64(), j as usize);
                        leaf.sums[j] += r * x;
                        leaf.squares[j] += d * x * x;
                    }
                    continue;
                }
                for (&j, x) in indices.iter().zip(values) {
                    let (x, at) = (x.to_f64(), j as usize * k);
                    let sums = leaf.sums[at..at + k].iter_mut().zip(&mut leaf.squares[at..at + k]);
                    for ((sum, square), (r, d)) in sums.zip(r.iter().zip(d)) {
                        *sum += r * x;
                        *square += d * x * x;
                    }
                }
            }
        });
        (self.merged(|leaf| &leaf.sums), self.merged(|leaf| &leaf.squares))
    }

    /// With z = X v + shift into `z`: X^T (H z) and the sums of H z, H being a row's Hessian times its share of the weight.
    pub(crate) fn bend(
        &mut self,
        v: &[f64],
        shift: &[f64],
        losses: &Losses,
        shares: &[f64],
        z: &mut [f64],
    ) -> (Vec<f64>, Vec<f64>) {
        let (x, k) = (self.x, self.predictors);
        let mut rest = z;
        let mut parts: Vec<(&mut Leaf, &mut [f64])> = Vec::with_capacity(self.leaves.len());
        for leaf in &mut self.leaves {
            let (own, others) = rest.split_at_mut(leaf.rows.len() * k);
            rest = others;
            parts.push((leaf, own));
        }
        parallel::for_each_chunk_mut(&mut parts, 1, |_, parts| {
            for (leaf, z) in parts {
                leaf.sums.fill(0.0);
                leaf.totals.fill(0.0);
                let mut bent = vec![0.0; k];
                for (i, z) in leaf.rows.clone().zip(z.chunks_exact_mut(k)) {
                    let line = x.line(i);
                    if let [z] = z {
                        *z = inner(line, v) + shift[0];
                        bent[0] = losses.curvature[i] * *z;
                    } else {
                        z.copy_from_slice(shift);
                        inner_all(line, v, z);
                        let chances = &losses.chances[i * k..(i + 1) * k];
                        let mean: f64 = chances.iter().zip(&*z).map(|(p, z)| p * z).sum();
                        for (bent, (p, z)) in bent.iter_mut().zip(chances.iter().zip(&*z)) {
                            *bent = if shares[i] == 0.0 { 0.0 } else { shares[i] * p * (z - mean) };
                        }
                    }
                    leaf.totals.iter_mut().zip(&bent).for_each(|(total, bent)| *total += bent);
                    add_all(line, &bent, &mut leaf.sums);
                }
            }
        });
        let mut totals = vec![0.0; k];
        for leaf in &self.leaves {
            totals.iter_mut().zip(&leaf.totals).for_each(|(total, own)| *total += own);
        }
        (self.merged(|leaf| &leaf.sums), totals)
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
        let mut out = vec![0.0; self.x.cols() * self.predictors];
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

/// Adds the products of a row with several vectors, whose numbers for a column lie one after the other.
#[inline]
fn inner_all<T: Float>((indices, values): (&[u32], &[T]), v: &[f64], z: &mut [f64]) {
    for (&j, x) in indices.iter().zip(values) {
        let (x, at) = (x.to_f64(), j as usize * z.len());
        z.iter_mut().zip(&v[at..]).for_each(|(z, v)| *z += x * v);
    }
}

/// Adds a row times each of some factors.
#[inline]
fn add_all<T: Float>((indices, values): (&[u32], &[T]), factors: &[f64], sums: &mut [f64]) {
    if let [factor] = factors {
        for (&j, x) in indices.iter().zip(values) {
            sums[j as usize] += factor * x.to_f64();
        }
        return;
    }
    for (&j, x) in indices.iter().zip(values) {
        let (x, at) = (x.to_f64(), j as usize * factors.len());
        sums[at..].iter_mut().zip(factors).for_each(|(sum, factor)| *sum += factor * x);
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
                let mut by_rows = ByRows::new(matrix.view(), 1);
                assert!(by_rows.leaves.len() > 3);
                let mut own = vec![0.0; rows];
                let losses = Losses { curvature: d.clone(), ..Losses::default() };
                let bent = by_rows.bend(&v, &[0.25], &losses, &[], &mut own);
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
        assert!((total[0] - d.iter().zip(&z).map(|(d, z)| d * z).sum::<f64>()).abs() < 1e-6);
    }
}
