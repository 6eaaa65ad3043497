//! Borrowed two-dimensional views with signed strides.
//!
//! A view is a pointer to element (0, 0), a shape and two strides counted in elements; rows, columns, transposes,
//! mirrored and broadcast (zero stride, read only) matrices are all the same type. Constructors check once that every
//! element lies inside the slice given, so that kernels can trust a view without checking again.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// Why operands cannot be combined or a view cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// Two dimensions that must be equal are not.
    Mismatch {
        /// Which dimension, in words.
        what: &'static str,
        /// The length that the first operand asks for.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A number that must be below a limit is not.
    TooLarge {
        /// Which number, in words.
        what: &'static str,
        /// What it must be below.
        limit: usize,
        /// The number found.
        found: usize,
    },
    /// A view would reach outside its slice.
    OutOfBounds {
        /// Shape asked for: rows, columns.
        shape: (usize, usize),
        /// Strides asked for: row, column.
        strides: (isize, isize),
        /// Elements the slice holds.
        len: usize,
    },
    /// A mutable view would name one element twice.
    Overlap {
        /// Shape asked for: rows, columns.
        shape: (usize, usize),
        /// Strides asked for: row, column.
        strides: (isize, isize),
    },
    /// A number that must be at least 1 is 0.
    Zero {
        /// Which number, in words.
        what: &'static str,
    },
    /// A dimension is longer than the result's type can hold the sums of.
    TooLong {
        /// Which dimension, in words.
        what: &'static str,
        /// The longest that is accepted.
        most: usize,
        /// The length found.
        found: usize,
    },
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { what, expected, found } => {
                write!(f, "{what}: expected {expected}, found {found}")
            }
            Self::TooLarge { what, limit, found } => {
                write!(f, "{what}: expected below {limit}, found {found}")
            }
            Self::OutOfBounds { shape: (m, n), strides: (rs, cs), len } => {
                write!(
                    f,
                    "a {m} x {n} view with strides ({rs}, {cs}) reaches outside a slice of {len} elements"
                )
            }
            Self::Overlap { shape: (m, n), strides: (rs, cs) } => {
                write!(f, "a mutable {m} x {n} view with strides ({rs}, {cs}) names an element twice")
            }
            Self::Zero { what } => write!(f, "{what}: expected at least 1, found 0"),
            Self::TooLong { what, most, found } => write!(f, "{what}: at most {most}, found {found}"),
        }
    }
}

impl std::error::Error for ShapeError {}

/// Checks that two lengths agree.
///
/// # Errors
/// [`ShapeError::Mismatch`] naming `what` when they differ.
pub fn same(what: &'static str, expected: usize, found: usize) -> Result<(), ShapeError> {
    if expected == found { Ok(()) } else { Err(ShapeError::Mismatch { what, expected, found }) }
}

/// Checks that a number is below a limit.
///
/// # Errors
/// [`ShapeError::TooLarge`] naming `what` when it is not.
pub(crate) fn below(what: &'static str, limit: usize, found: usize) -> Result<(), ShapeError> {
    if found < limit { Ok(()) } else { Err(ShapeError::TooLarge { what, limit, found }) }
}

#[cfg(any(feature = "ndarray", feature = "faer"))]
mod foreign;

/// A read-only view of a matrix.
pub struct MatRef<'a, T> {
    ptr: *const T,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
    life: PhantomData<&'a [T]>,
}

impl<T> Clone for MatRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for MatRef<'_, T> {}

// SAFETY: a MatRef is a shared borrow of a slice of T, so it moves between threads when &[T] does.
unsafe impl<T: Sync> Send for MatRef<'_, T> {}
// SAFETY: as above; its methods only read.
unsafe impl<T: Sync> Sync for MatRef<'_, T> {}

/// A view of a matrix that may be written; no two of its indices name the same element.
pub struct MatMut<'a, T> {
    ptr: *mut T,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a MatMut is a unique borrow of distinct elements of a slice of T, so it moves when &mut [T] does.
unsafe impl<T: Send> Send for MatMut<'_, T> {}
// SAFETY: through a shared MatMut elements can only be read.
unsafe impl<T: Sync> Sync for MatMut<'_, T> {}

/// Checks that all elements of the view lie in `0..len`, for any signs of the strides.
fn check_bounds(
    len: usize,
    offset: usize,
    rows: usize,
    cols: usize,
    rs: isize,
    cs: isize,
) -> Result<(), ShapeError> {
    let error = ShapeError::OutOfBounds { shape: (rows, cols), strides: (rs, cs), len };
    if rows == 0 || cols == 0 {
        return if offset <= len { Ok(()) } else { Err(error) };
    }
    // i128 holds any product of two 64-bit numbers plus a sum of two of them.
    let reach_rows = (rows as i128 - 1) * rs as i128;
    let reach_cols = (cols as i128 - 1) * cs as i128;
    let low = offset as i128 + reach_rows.min(0) + reach_cols.min(0);
    let high = offset as i128 + reach_rows.max(0) + reach_cols.max(0);
    if low >= 0 && high < len as i128 { Ok(()) } else { Err(error) }
}

/// Strides along dimensions with nothing to step over say nothing: they become those of a row-major matrix, so that no
/// arithmetic with them can leave the slice.
fn canonical(rows: usize, cols: usize, rs: isize, cs: isize) -> (isize, isize) {
    let empty = rows == 0 || cols == 0;
    let rs = if empty || rows == 1 { cols as isize } else { rs };
    (rs, if empty || cols == 1 { 1 } else { cs })
}

/// Whether distinct (row, column) pairs name distinct elements: the larger stride must step over the whole smaller
/// dimension (or that dimension be of length 1). Sufficient for every layout in use; refuses exotic interleavings.
fn distinct(rows: usize, cols: usize, rs: isize, cs: isize) -> bool {
    if rows == 0 || cols == 0 {
        return true;
    }
    let (rs, cs) = (rs.unsigned_abs() as u128, cs.unsigned_abs() as u128);
    let (inner, outer) = if rs <= cs { ((rows, rs), (cols, cs)) } else { ((cols, cs), (rows, rs)) };
    let inner_distinct = inner.0 == 1 || inner.1 > 0;
    let outer_distinct = outer.0 == 1 || outer.1 > (inner.0 as u128 - 1) * inner.1;
    inner_distinct && outer_distinct
}

impl<'a, T: Copy> MatRef<'a, T> {
    /// A row-major view of `rows x cols` elements that follow each other in `data`.
    ///
    /// ```
    /// let a = tilewise_kernels::MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3).unwrap();
    /// assert_eq!(a.get(1, 0), 4.0);
    /// assert_eq!(a.transpose().get(0, 1), 4.0);
    /// ```
    ///
    /// # Errors
    /// When `data.len()` is not `rows * cols`.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Result<Self, ShapeError> {
        let (row_stride, col_stride) = (cols as isize, 1);
        if rows.checked_mul(cols) != Some(data.len()) {
            let strides = (row_stride, col_stride);
            return Err(ShapeError::OutOfBounds { shape: (rows, cols), strides, len: data.len() });
        }
        let (row_stride, col_stride) = canonical(rows, cols, row_stride, col_stride);
        Ok(Self { ptr: data.as_ptr(), rows, cols, row_stride, col_stride, life: PhantomData })
    }

    /// A view whose element (i, j) is `data[offset + i * row_stride + j * col_stride]`. Strides may be negative
    /// (mirrored) or zero (broadcast).
    ///
    /// # Errors
    /// When an element would lie outside `data`.
    pub fn with_strides(
        data: &'a [T],
        offset: usize,
        rows: usize,
        cols: usize,
        row_stride: isize,
        col_stride: isize,
    ) -> Result<Self, ShapeError> {
        check_bounds(data.len(), offset, rows, cols, row_stride, col_stride)?;
        let (row_stride, col_stride) = canonical(rows, cols, row_stride, col_stride);
        // SAFETY: check_bounds made sure that offset <= data.len().
        let ptr = unsafe { data.as_ptr().add(offset) };
        Ok(Self { ptr, rows, cols, row_stride, col_stride, life: PhantomData })
    }

    /// A single column over a slice.
    pub fn column(data: &'a [T]) -> Self {
        Self {
            ptr: data.as_ptr(),
            rows: data.len(),
            cols: 1,
            row_stride: 1,
            col_stride: 1,
            life: PhantomData,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Elements from one row to the next.
    pub fn row_stride(&self) -> isize {
        self.row_stride
    }
    /// Elements from one column to the next.
    pub fn col_stride(&self) -> isize {
        self.col_stride
    }
    /// Pointer to element (0, 0); every element of the view may be read through it.
    pub fn as_ptr(&self) -> *const T {
        self.ptr
    }

    /// Element (i, j).
    ///
    /// # Panics
    /// When out of range, as a slice does.
    #[inline]
    pub fn get(&self, i: usize, j: usize) -> T {
        assert!(
            i < self.rows && j < self.cols,
            "({i}, {j}) is outside a {} x {} matrix",
            self.rows,
            self.cols
        );
        // SAFETY: constructors made sure that every (i, j) inside the shape lies in the borrowed slice.
        unsafe { *self.ptr.offset(i as isize * self.row_stride + j as isize * self.col_stride) }
    }

    /// The same elements with rows and columns exchanged.
    pub fn transpose(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The rows in `range`.
    ///
    /// # Panics
    /// When the range reaches past the last row.
    pub fn row_range(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        let ptr = self.ptr.wrapping_offset(range.start as isize * self.row_stride);
        Self { ptr, rows: range.len(), ..self }
    }

    /// The columns in `range`.
    ///
    /// # Panics
    /// When the range reaches past the last column.
    pub fn col_range(self, range: Range<usize>) -> Self {
        self.transpose().row_range(range).transpose()
    }

    /// The rows in reverse order (negative row stride).
    pub fn reverse_rows(self) -> Self {
        let last = self.rows.saturating_sub(1) as isize;
        Self { ptr: self.ptr.wrapping_offset(last * self.row_stride), row_stride: -self.row_stride, ..self }
    }

    /// Row `i` as a slice, if its elements follow each other in memory.
    ///
    /// # Panics
    /// When `i` is not a row.
    #[inline]
    pub fn row(&self, i: usize) -> Option<&'a [T]> {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        if self.cols == 0 {
            return Some(&[]);
        }
        (self.col_stride == 1 || self.cols == 1).then(|| {
            // SAFETY: constructors made sure that all elements of the row lie in the borrowed slice; stride 1 makes
            // them contiguous.
            unsafe { std::slice::from_raw_parts(self.ptr.offset(i as isize * self.row_stride), self.cols) }
        })
    }

    /// All elements as one slice, if they lie in row-major order without gaps.
    pub fn as_slice(&self) -> Option<&'a [T]> {
        let packed = (self.col_stride == 1 || self.cols <= 1)
            && (self.row_stride == self.cols as isize || self.rows <= 1);
        if self.rows == 0 || self.cols == 0 {
            return Some(&[]);
        }
        packed.then(|| {
            // SAFETY: with these strides the rows * cols elements, all inside the borrowed slice, are contiguous.
            unsafe { std::slice::from_raw_parts(self.ptr, self.rows * self.cols) }
        })
    }

    /// The elements copied in row-major order.
    pub fn to_vec(&self) -> Vec<T> {
        let mut out = Vec::with_capacity(self.rows * self.cols);
        for i in 0..self.rows {
            match self.row(i) {
                Some(row) => out.extend_from_slice(row),
                None => out.extend((0..self.cols).map(|j| self.get(i, j))),
            }
        }
        out
    }
}

impl<'a, T: Copy> MatMut<'a, T> {
    /// A row-major view of `rows x cols` elements that follow each other in `data`.
    ///
    /// # Errors
    /// When `data.len()` is not `rows * cols`.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, ShapeError> {
        let (row_stride, col_stride) = (cols as isize, 1);
        if rows.checked_mul(cols) != Some(data.len()) {
            let strides = (row_stride, col_stride);
            return Err(ShapeError::OutOfBounds { shape: (rows, cols), strides, len: data.len() });
        }
        let (row_stride, col_stride) = canonical(rows, cols, row_stride, col_stride);
        Ok(Self { ptr: data.as_mut_ptr(), rows, cols, row_stride, col_stride, life: PhantomData })
    }

    /// A view whose element (i, j) is `data[offset + i * row_stride + j * col_stride]`.
    ///
    /// # Errors
    /// When an element would lie outside `data`, or two indices would name the same element.
    pub fn with_strides(
        data: &'a mut [T],
        offset: usize,
        rows: usize,
        cols: usize,
        row_stride: isize,
        col_stride: isize,
    ) -> Result<Self, ShapeError> {
        check_bounds(data.len(), offset, rows, cols, row_stride, col_stride)?;
        if !distinct(rows, cols, row_stride, col_stride) {
            return Err(ShapeError::Overlap { shape: (rows, cols), strides: (row_stride, col_stride) });
        }
        let (row_stride, col_stride) = canonical(rows, cols, row_stride, col_stride);
        // SAFETY: check_bounds made sure that offset <= data.len().
        let ptr = unsafe { data.as_mut_ptr().add(offset) };
        Ok(Self { ptr, rows, cols, row_stride, col_stride, life: PhantomData })
    }

    /// A single column over a slice.
    pub fn column(data: &'a mut [T]) -> Self {
        let rows = data.len();
        Self { ptr: data.as_mut_ptr(), rows, cols: 1, row_stride: 1, col_stride: 1, life: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Elements from one row to the next.
    pub fn row_stride(&self) -> isize {
        self.row_stride
    }
    /// Elements from one column to the next.
    pub fn col_stride(&self) -> isize {
        self.col_stride
    }
    /// Pointer to element (0, 0); every element of the view may be read and written through it.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.ptr
    }

    /// The same view, read only.
    pub fn as_ref(&self) -> MatRef<'_, T> {
        MatRef {
            ptr: self.ptr,
            rows: self.rows,
            cols: self.cols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
            life: PhantomData,
        }
    }

    /// A shorter borrow of the same view.
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut { life: PhantomData, ..*self }
    }

    /// Element (i, j).
    ///
    /// # Panics
    /// When out of range.
    #[inline]
    pub fn get(&self, i: usize, j: usize) -> T {
        self.as_ref().get(i, j)
    }

    /// Writes element (i, j).
    ///
    /// # Panics
    /// When out of range.
    #[inline]
    pub fn set(&mut self, i: usize, j: usize, x: T) {
        assert!(
            i < self.rows && j < self.cols,
            "({i}, {j}) is outside a {} x {} matrix",
            self.rows,
            self.cols
        );
        // SAFETY: constructors made sure that every (i, j) inside the shape lies in the uniquely borrowed slice.
        unsafe { *self.ptr.offset(i as isize * self.row_stride + j as isize * self.col_stride) = x }
    }

    /// The same elements with rows and columns exchanged.
    pub fn transpose(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Row `i` as a slice, if its elements follow each other in memory.
    ///
    /// # Panics
    /// When `i` is not a row.
    #[inline]
    pub fn row_mut(&mut self, i: usize) -> Option<&mut [T]> {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        if self.cols == 0 {
            return Some(&mut []);
        }
        (self.col_stride == 1 || self.cols == 1).then(|| {
            // SAFETY: the row's elements lie in the uniquely borrowed slice, contiguous by stride 1.
            unsafe {
                std::slice::from_raw_parts_mut(self.ptr.offset(i as isize * self.row_stride), self.cols)
            }
        })
    }

    /// All elements as one slice, if they lie in row-major order without gaps.
    pub fn into_slice(self) -> Result<&'a mut [T], Self> {
        let packed = (self.col_stride == 1 || self.cols <= 1)
            && (self.row_stride == self.cols as isize || self.rows <= 1);
        if self.rows == 0 || self.cols == 0 {
            return Ok(&mut []);
        }
        if packed {
            // SAFETY: with these strides the rows * cols elements of the uniquely borrowed slice are contiguous.
            Ok(unsafe { std::slice::from_raw_parts_mut(self.ptr, self.rows * self.cols) })
        } else {
            Err(self)
        }
    }

    /// The rows before `mid` and the rows from `mid` on.
    ///
    /// # Panics
    /// When `mid` is past the last row.
    pub fn split_rows_at(self, mid: usize) -> (Self, Self) {
        assert!(mid <= self.rows, "row {mid} of {}", self.rows);
        let below = self.ptr.wrapping_offset(mid as isize * self.row_stride);
        (Self { rows: mid, ..self }, Self { ptr: below, rows: self.rows - mid, ..self })
    }

    /// Sets every element to `x`.
    pub fn fill(&mut self, x: T) {
        for i in 0..self.rows {
            match self.row_mut(i) {
                Some(row) => row.fill(x),
                None => (0..self.cols).for_each(|j| self.set(i, j, x)),
            }
        }
    }
}

/// Checks the shapes of C = A B.
pub(crate) fn check_product<A: Copy, B: Copy, C: Copy>(
    a: MatRef<'_, A>,
    b: MatRef<'_, B>,
    c: &MatMut<'_, C>,
) -> Result<(), ShapeError> {
    same("rows of B against columns of A", a.cols(), b.rows())?;
    same("rows of C against rows of A", a.rows(), c.rows())?;
    same("columns of C against columns of B", b.cols(), c.cols())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_reach_what_they_name() {
        let data: Vec<i32> = (0..24).collect();
        let a = MatRef::new(&data, 4, 6).unwrap();
        assert_eq!(a.get(3, 5), 23);
        assert_eq!(a.transpose().row_range(2..4).col_range(1..3).to_vec(), [8, 14, 9, 15]);
        assert_eq!(a.reverse_rows().row(0).unwrap(), &data[18..24]);
        let broadcast = MatRef::with_strides(&data, 7, 3, 2, 0, 1).unwrap();
        assert_eq!(broadcast.to_vec(), [7, 8, 7, 8, 7, 8]);
    }

    #[test]
    fn views_outside_their_slice_are_refused() {
        let mut data = [0.0f32; 12];
        assert!(MatRef::new(&data, 3, 5).is_err());
        assert!(MatRef::with_strides(&data, 0, 2, 2, -1, 1).is_err());
        assert!(MatRef::with_strides(&data, 3, 4, 3, 3, 1).is_err());
        assert!(MatRef::with_strides(&data, 0, usize::MAX, 2, isize::MAX, 1).is_err());
        assert!(MatRef::with_strides(&data, 11, 4, 3, -3, -1).is_ok());
        assert!(MatMut::with_strides(&mut data, 0, 3, 3, 1, 1).is_err());
        assert!(MatMut::with_strides(&mut data, 0, 3, 2, 0, 1).is_err());
        assert!(MatMut::with_strides(&mut data, 0, 3, 2, 4, 1).is_ok());
    }

    #[test]
    fn strides_of_empty_and_single_dimensions_lead_nowhere() {
        let mut data = [1.0f64; 15];
        let far = MatRef::<f64>::with_strides(&[], 0, 5, 0, 1 << 40, 1).unwrap();
        assert_eq!((far.row(4), far.to_vec()), (Some(&[][..]), vec![]));
        let columns = MatRef::with_strides(&data, 0, 5, 3, 1, 5).unwrap();
        assert_eq!(columns.col_range(3..3).row(4), Some(&[][..]));
        let row = MatRef::with_strides(&data, 0, 1, 15, isize::MIN, 1).unwrap();
        assert_eq!(row.reverse_rows().row(0), Some(&data[..]));
        let mut c = MatMut::with_strides(&mut data, 0, 1, 15, isize::MAX, 1).unwrap();
        c.fill(2.0);
        let (a, b) = ([3.0; 1], [1.0; 15]);
        let (a, b) = (MatRef::new(&a, 1, 1).unwrap(), MatRef::new(&b, 1, 15).unwrap());
        crate::gemm(1.0, a, b, 1.0, c.reborrow()).unwrap();
        assert_eq!(data, [5.0; 15]);
    }
}
