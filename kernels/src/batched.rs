//! Products of many matrices at once: one call for a strided items x rows x columns tensor.

use crate::{Float, MatMut, MatRef, ShapeError, naive, same};

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
    pub fn new(data: &'a [T], items: usize, item_stride: usize, rows: usize, cols: usize) -> Result<Self, ShapeError> {
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
            return Err(ShapeError::Overlap { shape: (items * rows, cols), strides });
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

/// C_i = alpha A_i B_i + beta C_i for every item.
///
/// # Errors
/// When the shapes do not fit.
pub fn gemm_batched<T: Float>(
    alpha: T,
    a: TensorRef<'_, T>,
    b: TensorRef<'_, T>,
    beta: T,
    c: TensorMut<'_, T>,
) -> Result<(), ShapeError> {
    same("items of B", a.items(), b.items())?;
    same("items of C", a.items(), c.items())?;
    same("rows of B against columns of A", a.cols(), b.rows())?;
    same("rows of C against rows of A", a.rows(), c.rows())?;
    same("columns of C against columns of B", b.cols(), c.cols())?;
    naive::gemm_batched(alpha, a, b, beta, c)
}
