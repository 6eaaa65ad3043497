//! Folding matrices down their columns, row after row: the loops of sums, maxima and moments of columns and of
//! [`crate::centred_sums`].
//!
//! **Order** of a reduction: blocks of 64 rows are each one chain over ascending rows; the blocks of a chunk are merged
//! one after the other, and chunks, whose rows depend on the number of columns alone, in the fixed tree.

use crate::gemv::vector;
use crate::reduce::{Everywhere, Reduction, Second};
use crate::simd::{Lanes, Task};
use crate::{Float, MatRef, parallel};
use std::marker::PhantomData;
use std::ops::Range;

/// Rows that all strips are added for before the next rows: at 2,000 columns of f64 they take 1 MB, second-level cache.
/// Without blocks that took 1.6 times as long with AVX2, whose strips are two lines wide, as four whole rows a pass; with
/// them 1.25 times, at 500 columns 1.1; AVX-512 gains or ties from 64 rows up. The sums are 1/p of a Gram matrix.
const BLOCK: usize = 64;

/// Columns that are folded in one go; more are pieces of their own.
const WIDE: usize = 4096;

/// What an element adds to the `N` numbers of its column.
pub(crate) trait ColumnStep<T: Float, const N: usize> {
    /// What all elements of row `i` share.
    fn row<S: Lanes<T>>(&self, simd: S, i: usize) -> [S::V; N];
    /// One more element of each of some columns; `y` belongs to the column.
    fn step<S: Lanes<T>>(simd: S, acc: [S::V; N], x: S::V, y: S::V, row: [S::V; N]) -> [S::V; N];
}

/// Takes `rows` of `a`, whose rows are contiguous, to what the columns hold: element j of each of `out`.
///
/// By strips of columns whose numbers stay in registers over all rows of a block: with N = 2 four vectors of columns take
/// 4 values of y and 8 numbers of 16 registers.
#[inline(always)]
pub(crate) fn strips<T: Float, S: Lanes<T>, C: ColumnStep<T, N>, const N: usize>(
    simd: S,
    step: &C,
    a: MatRef<'_, T>,
    y: impl Second<T>,
    out: &mut [&mut [T]; N],
) {
    let (m, n) = (a.rows(), a.cols());
    let block = if n <= 4 * S::LANES { m.max(1) } else { BLOCK };
    for top in (0..m).step_by(block) {
        let rows = top..m.min(top + block);
        for first in (0..n).step_by(4 * S::LANES) {
            match (n - first).div_ceil(S::LANES) {
                1 => strip::<T, S, C, N, 1>(simd, step, a, rows.clone(), first, y, out),
                2 => strip::<T, S, C, N, 2>(simd, step, a, rows.clone(), first, y, out),
                3 => strip::<T, S, C, N, 3>(simd, step, a, rows.clone(), first, y, out),
                _ => strip::<T, S, C, N, 4>(simd, step, a, rows.clone(), first, y, out),
            }
        }
    }
}

/// R vectors of columns from `first` on, the last of them perhaps not full.
#[inline(always)]
fn strip<T: Float, S: Lanes<T>, C: ColumnStep<T, N>, const N: usize, const R: usize>(
    simd: S,
    step: &C,
    a: MatRef<'_, T>,
    rows: Range<usize>,
    first: usize,
    y: impl Second<T>,
    out: &mut [&mut [T]; N],
) {
    let n = a.cols();
    let width = (n - first).min(R * S::LANES);
    let last = width - (R - 1) * S::LANES;
    assert!(last >= 1 && rows.end <= a.rows() && (a.col_stride() == 1 || n == 1) && y.reaches(n));
    assert!(out.iter().all(|out| out.len() == n));
    let mut beside = [simd.splat(T::ZERO); R];
    let mut acc = [[simd.splat(T::ZERO); N]; R];
    for r in 0..R {
        let count = if r + 1 < R { S::LANES } else { last };
        // SAFETY: R - 1 whole vectors and `last` elements more from `first` on lie within y and out.
        unsafe {
            beside[r] = y.at(simd, first + r * S::LANES, count);
            for (acc, out) in acc[r].iter_mut().zip(&*out) {
                *acc = vector::<T, S, R>(simd, out.as_ptr().add(first), r, last);
            }
        }
    }
    for i in rows {
        let row = a.as_ptr().wrapping_offset(i as isize * a.row_stride()).wrapping_add(first);
        let shared = step.row(simd, i);
        for r in 0..R {
            // SAFETY: row i is contiguous and holds n elements.
            let x = unsafe { vector::<T, S, R>(simd, row, r, last) };
            acc[r] = C::step(simd, acc[r], x, beside[r], shared);
        }
    }
    for (r, acc) in acc.into_iter().enumerate() {
        for (acc, out) in acc.into_iter().zip(&mut *out) {
            // SAFETY: as above, of out.
            unsafe {
                let p = out.as_mut_ptr().add(first + r * S::LANES);
                if r + 1 < R { simd.store(p, acc) } else { simd.store_first(p, acc, last) }
            }
        }
    }
}

/// out_j = `finish(j, total)` for every column j, with what `chunk` makes of the columns of some contiguous rows, merged.
pub(crate) fn each_column<T: Float, A: Send, R: Send>(
    a: MatRef<'_, T>,
    out: &mut [R],
    chunk: impl Fn(MatRef<'_, T>) -> Vec<A> + Sync,
    merge: impl Fn(A, A) -> A + Sync,
    finish: impl Fn(usize, Option<A>) -> R + Sync,
) {
    let wide = a.cols().clamp(1, WIDE);
    // About a grain, so that there is work for several threads, and few enough rows for the first-level cache to hold
    // what is merged for them.
    let rows = (parallel::GRAIN_BYTES / (wide * size_of::<T>())).clamp(BLOCK, 64 * BLOCK) / BLOCK * BLOCK;
    let mut all = || {
        parallel::for_each_chunk_mut(out, WIDE, |piece, out| {
            let first = piece * WIDE;
            let a = a.col_range(first..first + out.len());
            let part = |rows| with_contiguous_rows(a.row_range(rows), &chunk);
            let both = |left: Vec<A>, right| left.into_iter().zip(right).map(|(l, r)| merge(l, r)).collect();
            let mut total = parallel::map_reduce(a.rows(), rows, part, both).map(Vec::into_iter);
            for (j, out) in out.iter_mut().enumerate() {
                *out = finish(first + j, total.as_mut().and_then(Iterator::next));
            }
        });
    };
    // As in `reduce`.
    let few = a.rows() * a.cols() * size_of::<T>() < 4 * parallel::GRAIN_BYTES;
    if few { parallel::on_this_thread(all) } else { all() }
}

/// Folds every column of some contiguous rows, with y_j beside the elements of column j.
pub(crate) fn down<T: Float, K: Reduction<N>, const N: usize>(
    a: MatRef<'_, T>,
    y: impl Second<T>,
) -> Vec<[T; N]> {
    T::dispatch(Down::<_, _, K, N> { a, y, how: PhantomData })
}

/// [`down`] with nothing beside the elements.
pub(crate) fn down_alone<T: Float, K: Reduction<N>, const N: usize>(a: MatRef<'_, T>) -> Vec<[T; N]> {
    down::<T, K, N>(a, Everywhere(T::ZERO))
}

struct Down<'a, T, Y, K, const N: usize> {
    a: MatRef<'a, T>,
    y: Y,
    how: PhantomData<K>,
}

impl<T: Float, Y: Second<T>, K: Reduction<N>, const N: usize> Task<T> for Down<'_, T, Y, K, N> {
    type Output = Vec<[T; N]>;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> Vec<[T; N]> {
        let Self { a, y, .. } = self;
        let (m, n) = (a.rows(), a.cols());
        let mut total = vec![K::start(); n];
        let mut space = vec![T::ZERO; N * n];
        let mut parts = space.chunks_exact_mut(n.max(1));
        let mut block: [&mut [T]; N] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        for top in (0..m).step_by(BLOCK) {
            for (block, start) in block.iter_mut().zip(K::start()) {
                block.fill(start);
            }
            let rows = a.row_range(top..m.min(top + BLOCK));
            strips::<T, S, _, N>(simd, &Plain::<K>(PhantomData), rows, y, &mut block);
            for (j, total) in total.iter_mut().enumerate() {
                *total = K::join(*total, std::array::from_fn(|k| block[k][j]));
            }
        }
        total
    }
}

/// A reduction as a step of columns.
struct Plain<K>(PhantomData<K>);
impl<T: Float, K: Reduction<N>, const N: usize> ColumnStep<T, N> for Plain<K> {
    #[inline(always)]
    fn row<S: Lanes<T>>(&self, simd: S, _: usize) -> [S::V; N] {
        [simd.splat(T::ZERO); N]
    }
    #[inline(always)]
    fn step<S: Lanes<T>>(simd: S, acc: [S::V; N], x: S::V, y: S::V, _: [S::V; N]) -> [S::V; N] {
        K::step(simd, acc, x, y)
    }
}

/// `f` on `a`, or on a copy of it with contiguous rows.
pub(crate) fn with_contiguous_rows<T: Float, R>(a: MatRef<'_, T>, f: impl FnOnce(MatRef<'_, T>) -> R) -> R {
    if a.rows() == 0 || a.row(0).is_some() {
        return f(a);
    }
    let copy = a.to_vec();
    match MatRef::new(&copy, a.rows(), a.cols()) {
        Ok(packed) => f(packed),
        Err(_) => f(a),
    }
}
