//! Means and variances in one pass.
//!
//! Sums of deviations from a value near the mean, and of their squares, give both without cancellation: parts of the data
//! take the mean of their first sixteenth as that value, and parts are merged in the fixed tree by the update of Chan,
//! Golub and LeVeque (Algorithms for computing the sample variance, 1983). However the data lie, a sixteenth of them has
//! the mean that is taken, so that the sum of squares is at most 17 times that about the true mean: the relative
//! error of a variance is below 17 times that of a sum of as many squares. Sums are those of the element type inside a part,
//! and f64 from there on.

use crate::columns::{down, down_alone, each_column, with_contiguous_rows};
use crate::matrix::same;
use crate::reduce::{Everywhere, Reduction, Terms, fold, in_parallel};
use crate::rows::{by_rows, pieces};
use crate::simd::Lanes;
use crate::{Float, MatRef, ShapeError};

/// How many numbers there are, their mean, and how they spread about it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub count: usize,
    /// Their mean; 0 of nothing.
    pub mean: f64,
    /// The sum of the squares of their deviations from the mean.
    pub squares: f64,
}

impl Moments {
    /// The variance of these numbers themselves, `squares / count`; NaN of nothing. (Of the population they are a sample
    /// of, `squares / (count - 1)` is the unbiased estimate.)
    pub fn variance(&self) -> f64 {
        self.squares / self.count as f64
    }

    /// The moments of both sets of numbers together.
    ///
    /// ```
    /// use tilewise_kernels::moments;
    /// let (a, b) = (moments(&[1.0, 2.0]), moments(&[3.0f64, 6.0]));
    /// assert_eq!(a.merge(b), moments(&[1.0, 2.0, 3.0, 6.0]));
    /// ```
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let count = self.count + other.count;
        let (share, delta) = (other.count as f64 / count as f64, other.mean - self.mean);
        Self {
            count,
            mean: self.mean + share * delta,
            squares: self.squares + other.squares + delta * delta * (share * self.count as f64),
        }
    }

    /// From the sum of deviations of `count` numbers from `shift`, and of their squares.
    fn about(shift: f64, count: usize, [sum, squares]: [f64; 2]) -> Self {
        let mean = sum / count as f64;
        let squares = squares - sum * mean;
        // Rounding may leave less than nothing of equal numbers; NaN stays.
        Self { count, mean: shift + mean, squares: if squares < 0.0 { 0.0 } else { squares } }
    }
}

/// Count, mean and variance of `x`, read once. NaN or infinity in `x` makes the variance NaN, and the mean NaN or infinite;
/// so does a square of a deviation that overflows.
///
/// ```
/// let moments = tilewise_kernels::moments(&[1e9 + 1.0, 1e9 + 3.0]);
/// assert_eq!((moments.count, moments.mean, moments.variance()), (2, 1e9 + 2.0, 1.0));
/// ```
pub fn moments<T: Float>(x: &[T]) -> Moments {
    let part = |range: std::ops::Range<usize>| {
        let x = &x[range];
        let first = &x[..first(x.len())];
        let [sum] = fold::<T, Terms, 1>(first, first);
        let shift = shift(sum, first.len(), x[0]);
        let sums = fold::<T, Deviations, 2>(x, Everywhere(shift));
        Moments::about(shift.to_f64(), x.len(), sums.map(T::to_f64))
    };
    in_parallel(x.len(), size_of_val(x), part, Moments::merge).unwrap_or_default()
}

/// out_j = [`moments`] of column j, for any strides: what features are standardised with. Reads A once.
///
/// ```
/// use tilewise_kernels::{MatRef, Moments, column_moments};
/// let a = MatRef::new(&[1.0, 10.0, 3.0, 10.0], 2, 2).unwrap();
/// let mut out = [Moments::default(); 2];
/// column_moments(a, &mut out).unwrap();
/// assert_eq!(out.map(|column| (column.mean, column.variance())), [(2.0, 1.0), (10.0, 0.0)]);
/// ```
///
/// # Errors
/// When `out` is not as long as A has columns.
pub fn column_moments<T: Float>(a: MatRef<'_, T>, out: &mut [Moments]) -> Result<(), ShapeError> {
    same("length of out against columns of A", a.cols(), out.len())?;
    let columns = a.transpose();
    if by_rows(columns) {
        pieces(columns, out, |first, out| {
            with_contiguous_rows(columns.row_range(first..first + out.len()), |columns| {
                for (j, out) in out.iter_mut().enumerate() {
                    *out = moments(columns.row(j).unwrap_or_default());
                }
            });
        });
    } else {
        each_column(a, out, moments_of_columns, Moments::merge, |_, moments| moments.unwrap_or_default());
    }
    Ok(())
}

/// Elements that are looked at whole for the value to subtract.
const FEW: usize = 64;

/// Elements of `count` whose mean is near enough to all.
fn first(count: usize) -> usize {
    count.div_ceil(16).max(count.min(FEW))
}

/// The moments of the columns of some contiguous rows.
fn moments_of_columns<T: Float>(a: MatRef<'_, T>) -> Vec<Moments> {
    // Blocks of 64 rows are many where columns are: a sixteenth will do for them.
    let first = a.rows().div_ceil(16);
    let shifts: Vec<T> = down_alone::<T, Terms, 1>(a.row_range(0..first))
        .iter()
        .enumerate()
        .map(|(j, &[sum])| shift(sum, first, a.get(0, j)))
        .collect();
    let sums = down::<T, Deviations, 2>(a, &shifts[..]);
    let about = |(shift, sums): (&T, [T; 2])| Moments::about(shift.to_f64(), a.rows(), sums.map(T::to_f64));
    shifts.iter().zip(sums).map(about).collect()
}

/// The mean of `count` elements of this sum, or `one` of them where that overflows.
fn shift<T: Float>(sum: T, count: usize, one: T) -> T {
    let mean = sum / T::from_f64(count as f64);
    if mean.is_finite() { mean } else { one }
}

/// Sums of x - y and of its squares.
struct Deviations;
impl Reduction<2> for Deviations {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, [sum, squares]: [S::V; 2], x: S::V, y: S::V) -> [S::V; 2] {
        let deviation = simd.sub(x, y);
        [simd.add(sum, deviation), simd.mul_add(deviation, deviation, squares)]
    }
}
