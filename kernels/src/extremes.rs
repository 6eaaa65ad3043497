//! Largest and smallest elements, and where they are.
//!
//! **NaN** counts as more extreme than any number, as in NumPy: the answer is the first NaN if there is one, so that none
//! goes unseen. Of equal extremes the first counts; zeros of both signs are equal, and as a value zero is +0.
//!
//! The lanes' maximum passes over NaN. Beside it they add up all elements: a sum that is a number has seen no NaN, and
//! where it is NaN, which infinities of both signs bring about too, the elements are looked at once more.

use crate::columns::with_contiguous_rows;
use crate::matrix::same;
use crate::reduce::{LEAF, Reduction, in_parallel, leaves};
use crate::rows::{each_row, pieces};
use crate::simd::{Lanes, Task};
use crate::{Float, MatRef, ShapeError};

/// The index of the largest element: the first of equals, the first NaN if there is one; `None` when empty.
///
/// One pass over `x` at the speed of [`crate::sum`], and a second look at the 4096 elements around the largest.
///
/// ```
/// use tilewise_kernels::arg_max;
/// assert_eq!(arg_max(&[1.0, 3.0, 3.0]), Some(1));
/// assert_eq!(arg_max(&[1.0, f64::NAN, 3.0, f64::NAN]), Some(1));
/// assert_eq!(arg_max::<f64>(&[]), None);
/// ```
pub fn arg_max<T: Float>(x: &[T]) -> Option<usize> {
    arg::<T, true>(x)
}

/// The index of the smallest element: the first of equals, the first NaN if there is one; `None` when empty.
///
/// ```
/// assert_eq!(tilewise_kernels::arg_min(&[2.0f32, -0.0, 0.0]), Some(1));
/// ```
pub fn arg_min<T: Float>(x: &[T]) -> Option<usize> {
    arg::<T, false>(x)
}

/// The smallest and the largest element, both NaN if any is; `None` when empty.
///
/// ```
/// assert_eq!(tilewise_kernels::min_max(&[2.0f32, -1.0, 7.0]), Some((-1.0, 7.0)));
/// ```
pub fn min_max<T: Float>(x: &[T]) -> Option<(T, T)> {
    in_parallel(
        x.len(),
        size_of_val(x),
        |range| T::dispatch(BothEnds { x: &x[range] }),
        |left, right| (better::<T, false>(left.0, right.0), better::<T, true>(left.1, right.1)),
    )
}

/// out_i = the largest element of row i, NaN if any of the row is. Any strides; of columns by `a.transpose()`.
///
/// ```
/// use tilewise_kernels::{MatRef, row_max};
/// let a = MatRef::new(&[1.0, 4.0, 3.0, 2.0], 2, 2).unwrap();
/// let mut out = [0.0; 2];
/// row_max(a, &mut out).unwrap();
/// assert_eq!(out, [4.0, 3.0]);
/// row_max(a.transpose(), &mut out).unwrap();
/// assert_eq!(out, [3.0, 4.0]);
/// ```
///
/// # Errors
/// When `out` is not as long as A has rows, or the rows are empty.
pub fn row_max<T: Float>(a: MatRef<'_, T>, out: &mut [T]) -> Result<(), ShapeError> {
    not_empty(a, out)?;
    each_row::<T, Extreme<true>, 2, T>(a, out, |i, found| seen(found, (0..a.cols()).map(|j| a.get(i, j))));
    Ok(())
}

/// out_i = the column of the largest element of row i, as [`arg_max`] finds it: classes from scores. Any strides.
///
/// ```
/// use tilewise_kernels::{MatRef, row_arg_max};
/// let scores = MatRef::new(&[0.1, 0.7, 0.2, 0.5, 0.1, 0.4], 2, 3).unwrap();
/// let mut classes = [0; 2];
/// row_arg_max(scores, &mut classes).unwrap();
/// assert_eq!(classes, [1, 0]);
/// ```
///
/// # Errors
/// When `out` is not as long as A has rows, or the rows are empty.
pub fn row_arg_max<T: Float>(a: MatRef<'_, T>, out: &mut [usize]) -> Result<(), ShapeError> {
    not_empty(a, out)?;
    pieces(a, out, |first, out| {
        with_contiguous_rows(a.row_range(first..first + out.len()), |a| {
            for (i, out) in out.iter_mut().enumerate() {
                let row = a.row(i).unwrap_or_default();
                *out = if row.len() <= NARROW { one_by_one(row) } else { arg_max(row).unwrap_or(0) };
            }
        });
    });
    Ok(())
}

/// Columns up to which [`row_arg_max`] looks at one element after the other.
const NARROW: usize = 24;

fn not_empty<T: Float, R>(a: MatRef<'_, T>, out: &[R]) -> Result<(), ShapeError> {
    same("length of out against rows of A", a.rows(), out.len())?;
    if a.rows() > 0 && a.cols() == 0 { same("columns of A, to have a largest", 1, 0) } else { Ok(()) }
}

/// The extreme that lanes found, or NaN if it is among the elements, whose sum tells whether to look.
#[inline(always)]
fn seen<T: Float>([extreme, sum]: [T; 2], mut elements: impl Iterator<Item = T>) -> T {
    if sum.is_nan() && elements.any(T::is_nan) { T::from_f64(f64::NAN) } else { extreme }
}

/// Whether `x` is more extreme than `than`; NaN is more so than any number.
#[inline(always)]
fn beats<T: Float, const LARGEST: bool>(x: T, than: T) -> bool {
    let not_worse = if LARGEST { x <= than } else { x >= than };
    !not_worse & !than.is_nan()
}

/// The more extreme of two, the first of equals.
#[inline(always)]
fn better<T: Float, const LARGEST: bool>(a: T, b: T) -> T {
    if beats::<T, LARGEST>(b, a) { b } else { a }
}

fn arg<T: Float, const LARGEST: bool>(x: &[T]) -> Option<usize> {
    if x.len() <= LEAF {
        return (!x.is_empty()).then(|| T::dispatch(ArgOfLeaf::<T, LARGEST> { x }));
    }
    let task = |range: std::ops::Range<usize>| {
        let (leaf, extreme) = T::dispatch(BestLeaf::<T, LARGEST> { x: &x[range.clone()] });
        (range.start + leaf, extreme)
    };
    let first =
        |left: (usize, T), right: (usize, T)| if beats::<T, LARGEST>(right.1, left.1) { right } else { left };
    let (leaf, _) = in_parallel(x.len(), size_of_val(x), task, first)?;
    Some(leaf + T::dispatch(ArgOfLeaf::<T, LARGEST> { x: &x[leaf..x.len().min(leaf + LEAF)] }))
}

/// Where the first leaf with the extreme begins, and the extreme.
struct BestLeaf<'a, T, const LARGEST: bool> {
    x: &'a [T],
}

impl<T: Float, const LARGEST: bool> Task<T> for BestLeaf<'_, T, LARGEST> {
    type Output = (usize, T);
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> (usize, T) {
        let mut best = (0, T::ZERO);
        for (i, x) in self.x.chunks(LEAF).enumerate() {
            let extreme = extreme::<T, S, LARGEST>(simd, x);
            if i == 0 || beats::<T, LARGEST>(extreme, best.1) {
                best = (i * LEAF, extreme);
            }
        }
        best
    }
}

/// The index of the extreme of at most [`LEAF`] elements.
struct ArgOfLeaf<'a, T, const LARGEST: bool> {
    x: &'a [T],
}

impl<T: Float, const LARGEST: bool> Task<T> for ArgOfLeaf<'_, T, LARGEST> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> usize {
        let x = self.x;
        let extreme = extreme::<T, S, LARGEST>(simd, x);
        if extreme.is_nan() {
            return x.iter().position(|x| x.is_nan()).unwrap_or(0);
        }
        // Pieces first, without a way out inside, which the compiler turns into vectors.
        const PIECE: usize = 64;
        let mut place = 0;
        for piece in x.chunks_exact(PIECE) {
            let mut found = false;
            for &x in piece {
                found |= x == extreme;
            }
            if found {
                break;
            }
            place += PIECE;
        }
        while place + 1 < x.len() && x[place] != extreme {
            place += 1;
        }
        place
    }
}

/// The smallest and the largest element. A leaf is read twice while it is in the first-level cache: both at once have no
/// filler for vectors that are not full.
struct BothEnds<'a, T> {
    x: &'a [T],
}

impl<T: Float> Task<T> for BothEnds<'_, T> {
    type Output = (T, T);
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> (T, T) {
        let mut both = (self.x[0], self.x[0]);
        for x in self.x.chunks(LEAF) {
            both.0 = better::<T, false>(both.0, extreme::<T, S, false>(simd, x));
            both.1 = better::<T, true>(both.1, extreme::<T, S, true>(simd, x));
        }
        // A zero that came first may be -0.
        (both.0 + T::ZERO, both.1 + T::ZERO)
    }
}

/// The extreme of a leaf.
#[inline(always)]
fn extreme<T: Float, S: Lanes<T>, const LARGEST: bool>(simd: S, x: &[T]) -> T {
    seen(leaves::<T, S, Extreme<LARGEST>, 2>(simd, x, x), x.iter().copied())
}

/// As [`arg_max`], for a few elements.
#[inline(always)]
fn one_by_one<T: Float>(row: &[T]) -> usize {
    let mut best = (0, row[0]);
    for (j, &x) in row.iter().enumerate() {
        best = if beats::<T, true>(x, best.1) { (j, x) } else { best };
    }
    best.0
}

/// The largest or the smallest of what is not NaN, and the sum.
struct Extreme<const LARGEST: bool>;
impl<const LARGEST: bool> Reduction<2> for Extreme<LARGEST> {
    #[inline(always)]
    fn start<T: Float>() -> [T; 2] {
        [Self::filler(), T::ZERO]
    }
    #[inline(always)]
    fn filler<T: Float>() -> T {
        T::from_f64(if LARGEST { f64::NEG_INFINITY } else { f64::INFINITY })
    }
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, [extreme, sum]: [S::V; 2], x: S::V, _: S::V) -> [S::V; 2] {
        [if LARGEST { simd.max(x, extreme) } else { simd.min(x, extreme) }, simd.add(sum, x)]
    }
    #[inline(always)]
    fn merge<T: Float, S: Lanes<T>>(simd: S, a: [S::V; 2], b: [S::V; 2]) -> [S::V; 2] {
        [if LARGEST { simd.max(a[0], b[0]) } else { simd.min(a[0], b[0]) }, simd.add(a[1], b[1])]
    }
    #[inline(always)]
    fn join<T: Float>(a: [T; 2], b: [T; 2]) -> [T; 2] {
        [if (a[0] > b[0]) == LARGEST { a[0] } else { b[0] }, a[1] + b[1]]
    }
}
