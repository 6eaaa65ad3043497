//! Test data: counter-based, so that each test makes its own without order.

use tilewise_kernels::random::Philox;
use tilewise_kernels::{Float, MatMut, MatRef};

/// Normal numbers.
pub(crate) fn normal<T: Float>(len: usize, seed: u64) -> Vec<T> {
    let stream = Philox::new(seed, Philox::purpose("kernel tests"));
    (0..len as u64).map(|i| T::from_f64(stream.normal(i))).collect()
}

/// Integers from -4 to 4: products and sums of up to 2^19 of them are exact even in f32, whatever the order.
pub(crate) fn small_integers<T: Float>(len: usize, seed: u64) -> Vec<T> {
    let stream = Philox::new(seed, Philox::purpose("kernel tests: integers"));
    (0..len as u64).map(|i| T::from_f64(stream.below(i, 9) as f64 - 4.0)).collect()
}

/// How a matrix lies in its slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    RowMajor,
    ColumnMajor,
    /// Row-major with a gap after each row.
    Padded,
    /// Rows from last to first.
    Upward,
    /// Columns from last to first.
    Mirrored,
    /// Gaps between the elements of a row too.
    Spread,
}

pub(crate) const LAYOUTS: [Layout; 6] =
    [Layout::RowMajor, Layout::ColumnMajor, Layout::Padded, Layout::Upward, Layout::Mirrored, Layout::Spread];

/// (offset, row stride, column stride, slice length) of a rows x cols matrix.
pub(crate) fn strides(layout: Layout, rows: usize, cols: usize) -> (usize, isize, isize, usize) {
    let (r, c) = (rows as isize, cols as isize);
    let area = rows * cols;
    match layout {
        Layout::RowMajor => (0, c, 1, area),
        Layout::ColumnMajor => (0, 1, r, area),
        Layout::Padded => (0, c + 3, 1, if area == 0 { 0 } else { (rows - 1) * (cols + 3) + cols }),
        Layout::Upward => (if area == 0 { 0 } else { (rows - 1) * cols }, -c, 1, area),
        Layout::Mirrored => (cols.saturating_sub(1).min(area), c, -1, area),
        Layout::Spread => {
            (0, 2 * c + 1, 2, if area == 0 { 0 } else { (rows - 1) * (2 * cols + 1) + 2 * (cols - 1) + 1 })
        }
    }
}

pub(crate) fn view<T: Copy>(data: &[T], layout: Layout, rows: usize, cols: usize) -> MatRef<'_, T> {
    let (offset, rs, cs, _) = strides(layout, rows, cols);
    MatRef::with_strides(data, offset, rows, cols, rs, cs).unwrap()
}

pub(crate) fn view_mut<T: Copy>(data: &mut [T], layout: Layout, rows: usize, cols: usize) -> MatMut<'_, T> {
    let (offset, rs, cs, _) = strides(layout, rows, cols);
    MatMut::with_strides(data, offset, rows, cols, rs, cs).unwrap()
}
