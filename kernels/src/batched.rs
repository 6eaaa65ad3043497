//! Products of many matrices at once: one call for a strided items x rows x columns tensor.

use crate::gemm::Series;
use crate::matrix::same;
use crate::{Float, MatMut, MatRef, ShapeError, gemm, parallel};

/// `items` matrices of equal shape, item i beginning `i * item_stride` elements into the slice. Row-major inside an
/// item; an item stride of 0 uses one matrix for all.
#[derive(Clone, Copy)]
pub struct TensorRef<'a, T> {
    data: &'a [T],
    items: usize,
    item_stride: usize,
    rows: usize,
    cols: usize,
}

/// As [`TensorRef`], to be written: items may not overlap.
pub struct TensorMut<'a, T> {
    data: &'a mut [T],
    items: usize,
    item_stride: usize,
    rows: usize,
    cols: usize,
}

fn check(len: usize, items: usize, item_stride: usize, rows: usize, cols: usize) -> Result<(), ShapeError> {
    let end = rows.checked_mul(cols).and_then(|size| {
        if items == 0 { Some(0) } else { (items - 1).checked_mul(item_stride)?.checked_add(size) }
    });
    match end {
        Some(end) if end <= len => Ok(()),
        _ => Err(ShapeError::OutOfBounds {
            shape: (items.saturating_mul(rows), cols),
            strides: (item_stride as isize, cols as isize),
            len,
        }),
    }
}

impl<'a, T: Copy> TensorRef<'a, T> {
    /// A view of `items` matrices of `rows x cols`.
    ///
    /// # Errors
    /// When an item would reach past the slice.
    pub fn new(
        data: &'a [T],
        items: usize,
        item_stride: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Self, ShapeError> {
        check(data.len(), items, item_stride, rows, cols)?;
        Ok(Self { data, items, item_stride, rows, cols })
    }
    /// Number of matrices.
    pub fn items(&self) -> usize {
        self.items
    }
    /// Rows of each.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Columns of each.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Matrix `i`.
    ///
    /// # Panics
    /// When there is no such item.
    pub fn item(&self, i: usize) -> MatRef<'a, T> {
        assert!(i < self.items, "item {i} of {}", self.items);
        let data = &self.data[i * self.item_stride..][..self.rows * self.cols];
        match MatRef::new(data, self.rows, self.cols) {
            Ok(view) => view,
            Err(error) => unreachable!("the slice has rows * cols elements: {error}"),
        }
    }
}

impl<'a, T: Copy> TensorMut<'a, T> {
    /// A view of `items` matrices of `rows x cols`.
    ///
    /// # Errors
    /// When an item would reach past the slice or into the next item.
    pub fn new(
        data: &'a mut [T],
        items: usize,
        item_stride: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Self, ShapeError> {
        check(data.len(), items, item_stride, rows, cols)?;
        if items > 1 && item_stride < rows * cols {
            let strides = (item_stride as isize, cols as isize);
            return Err(ShapeError::Overlap { shape: (items.saturating_mul(rows), cols), strides });
        }
        Ok(Self { data, items, item_stride, rows, cols })
    }
    /// Number of matrices.
    pub fn items(&self) -> usize {
        self.items
    }
    /// Rows of each.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Columns of each.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Matrix `i`.
    ///
    /// # Panics
    /// When there is no such item.
    pub fn item_mut(&mut self, i: usize) -> MatMut<'_, T> {
        assert!(i < self.items, "item {i} of {}", self.items);
        let data = &mut self.data[i * self.item_stride..][..self.rows * self.cols];
        match MatMut::new(data, self.rows, self.cols) {
            Ok(view) => view,
            Err(error) => unreachable!("the slice has rows * cols elements: {error}"),
        }
    }
}

/// C_i = alpha A_i B_i + beta C_i for every item; items in parallel while they are small, tiles inside an item when each
/// is large enough to occupy all threads. A bit of an item does not depend on which. NaN and infinity as in [`gemm`].
///
/// ```
/// use tilewise_kernels::{TensorMut, TensorRef, gemm_batched};
/// let a = [1.0, 2.0, 3.0, 4.0];
/// let items = TensorRef::new(&a, 2, 2, 1, 2).unwrap();
/// let shared = TensorRef::new(&[1.0, 10.0], 2, 0, 2, 1).unwrap();
/// let mut c = [0.0; 2];
/// gemm_batched(1.0, items, shared, 0.0, TensorMut::new(&mut c, 2, 1, 1, 1).unwrap()).unwrap();
/// assert_eq!(c, [21.0, 43.0]);
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn gemm_batched<T: Float>(
    alpha: T,
    a: TensorRef<'_, T>,
    b: TensorRef<'_, T>,
    beta: T,
    mut c: TensorMut<'_, T>,
) -> Result<(), ShapeError> {
    same("items of B", a.items(), b.items())?;
    same("items of C", a.items(), c.items())?;
    same("rows of B against columns of A", a.cols(), b.rows())?;
    same("rows of C against rows of A", a.rows(), c.rows())?;
    same("columns of C against columns of B", b.cols(), c.cols())?;
    let work = (a.rows() * a.cols()).saturating_mul(b.cols());
    let (items, stride, size) = (c.items, c.item_stride, c.rows * c.cols);
    if work > ITEM_IN_PARALLEL || items <= 1 || size == 0 {
        return (0..items).try_for_each(|i| gemm(alpha, a.item(i), b.item(i), beta, c.item_mut(i)));
    }
    let per_task = (WORK_PER_TASK / work.max(1)).max(1);
    let end = (items - 1) * stride + size;
    // The others are long enough for a call each, or not computed in tiles.
    let in_series = alpha == T::ONE && a.cols() > 0 && b.cols() > 1 && work <= IN_SERIES;
    parallel::for_each_chunk_mut(&mut c.data[..end], per_task * stride, |task, data| {
        parallel::on_this_thread(|| {
            let first = task * per_task;
            if in_series {
                let items = first..items.min(first + per_task);
                return T::dispatch(Series { a, b, beta, items, c: data, stride });
            }
            for (i, data) in data.chunks_mut(stride).enumerate() {
                let item = first + i;
                if let Ok(out) = MatMut::new(&mut data[..size], a.rows(), b.cols()) {
                    // Shapes were checked above.
                    let _ = gemm(alpha, a.item(item), b.item(item), beta, out);
                }
            }
        });
    });
    Ok(())
}

/// Multiply-adds from which an item is parallel inside: 256 cubed, 0.2 ms and some 20 jobs on two threads.
const ITEM_IN_PARALLEL: usize = 1 << 24;

/// Multiply-adds up to which items are computed in series; with rows so few that none is skinny.
const IN_SERIES: usize = 1 << 15;

/// Multiply-adds of a task, some 50 microseconds.
const WORK_PER_TASK: usize = 2_000_000;
