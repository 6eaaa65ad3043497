//! Random operands: packed ones for timing, and ones in every layout that a view allows for checking.

use tilewise_kernels::random::Philox;
use tilewise_kernels::{Float, MatMut, MatRef, ShapeError};

/// Draws operands one after another; the same seed draws the same ones.
pub struct Draw {
    stream: Philox,
    next: u64,
    varied: bool,
}

impl Draw {
    /// Operands as programs mostly hold them: packed rows, alpha 1, beta 0.
    pub fn packed(seed: u64) -> Self {
        Self { stream: Philox::new(seed, Philox::purpose("bench operands")), next: 0, varied: false }
    }

    /// Operands in layouts drawn from all kinds: padded, transposed, mirrored, strided, misaligned; any alpha and beta.
    pub fn varied(seed: u64) -> Self {
        Self { varied: true, ..Self::packed(seed) }
    }

    /// Whether operands come in all kinds, as for checks.
    pub fn is_varied(&self) -> bool {
        self.varied
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next += 1;
        self.stream.below(self.next - 1, n)
    }

    /// 0 when packed, else one of `0..n`.
    pub fn choose(&mut self, n: usize) -> usize {
        if self.varied { self.below(n as u64) as usize } else { 0 }
    }

    /// Numbers in [-1, 1).
    fn numbers<T: Float>(&mut self, len: usize) -> Vec<T> {
        let from = self.next;
        self.next += len as u64;
        (from..self.next).map(|i| T::from_f64(2.0 * self.stream.uniform(i) - 1.0)).collect()
    }

    /// Standard normal numbers.
    pub fn normals<T: Float>(&mut self, len: usize) -> Vec<T> {
        let from = self.next;
        self.next += len as u64;
        (from..self.next).map(|i| T::from_f64(self.stream.normal(i))).collect()
    }

    /// A factor such as alpha: `usual`, or one of a few when varied.
    pub fn factor<T: Float>(&mut self, usual: f64) -> T {
        let choices = [usual, 0.0, 1.0, -1.0, 0.75];
        T::from_f64(choices[self.choose(choices.len())])
    }

    /// A vector with entries in [-1, 1) times `scale`; misaligned when varied.
    pub fn vector<T: Float>(&mut self, len: usize, scale: f64) -> Vector<T> {
        let start = self.choose(9);
        let scale = T::from_f64(scale);
        let data = self.numbers::<T>(start + len).into_iter().map(|x| x * scale).collect();
        Vector { data, start }
    }

    /// A matrix with entries in [-1, 1).
    pub fn matrix<T: Float>(&mut self, rows: usize, cols: usize) -> Matrix<T> {
        let kind = self.choose(7);
        let (r, c) = (rows as isize, cols as isize);
        let (row_stride, col_stride) = match kind {
            1 => (c + 3, 1),
            2 => (1, r),
            3 => (-c, 1),
            4 => (-(2 * c + 1), -2),
            5 => (1, -(r + 1)),
            6 => (2 * c, 2),
            _ => (c, 1),
        };
        let reach = |n: usize, stride: isize| n.saturating_sub(1) * stride.unsigned_abs();
        let back = |n: usize, stride: isize| if stride < 0 { reach(n, stride) } else { 0 };
        let pad = self.choose(5);
        let offset = pad + back(rows, row_stride) + back(cols, col_stride);
        let len =
            if rows == 0 || cols == 0 { 0 } else { reach(rows, row_stride) + reach(cols, col_stride) + 1 };
        let data = self.numbers((pad + len).max(offset));
        Matrix { data, offset, rows, cols, row_stride, col_stride }
    }
}

/// A vector inside a longer slice.
#[derive(Clone)]
pub struct Vector<T> {
    data: Vec<T>,
    start: usize,
}

impl<T: Float> Vector<T> {
    /// Its entries.
    pub fn get(&self) -> &[T] {
        &self.data[self.start..]
    }
    /// Its entries, to be written.
    pub fn get_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..]
    }
}

/// A matrix somewhere in a slice.
#[derive(Clone)]
pub struct Matrix<T> {
    data: Vec<T>,
    offset: usize,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

impl<T: Copy> Matrix<T> {
    /// The same layout with `f` of every element.
    pub fn map<U>(&self, f: impl Fn(T) -> U) -> Matrix<U> {
        let Self { offset, rows, cols, row_stride, col_stride, .. } = *self;
        Matrix { data: self.data.iter().map(|&x| f(x)).collect(), offset, rows, cols, row_stride, col_stride }
    }
    /// A view of it.
    ///
    /// # Errors
    /// Never; layouts are made to fit.
    pub fn get(&self) -> Result<MatRef<'_, T>, ShapeError> {
        MatRef::with_strides(&self.data, self.offset, self.rows, self.cols, self.row_stride, self.col_stride)
    }
    /// A view to be written.
    ///
    /// # Errors
    /// Never; layouts are made to fit.
    pub fn get_mut(&mut self) -> Result<MatMut<'_, T>, ShapeError> {
        MatMut::with_strides(
            &mut self.data,
            self.offset,
            self.rows,
            self.cols,
            self.row_stride,
            self.col_stride,
        )
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

impl<T: Float> Matrix<T> {
    /// The elements in row-major order, then what lies between them in the slice, which kernels must leave alone.
    pub fn everything(&self) -> Vec<f64> {
        let mut between = vec![true; self.data.len()];
        let mut elements = Vec::with_capacity(self.data.len());
        for i in 0..self.rows as isize {
            for j in 0..self.cols as isize {
                let place = self.offset.wrapping_add_signed(i * self.row_stride + j * self.col_stride);
                elements.push(self.data[place].to_f64());
                between[place] = false;
            }
        }
        elements
            .extend(self.data.iter().zip(between).filter(|(_, between)| *between).map(|(x, _)| x.to_f64()));
        elements
    }
    /// `bounds` for the elements, in row-major order, and none for what lies between them.
    pub fn allow(&self, bounds: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut allowed: Vec<f64> = bounds.collect();
        allowed.resize(self.data.len(), 0.0);
        allowed
    }
    /// Copies the upper triangle of a square matrix to the lower.
    pub fn mirror(&mut self) {
        let n = self.rows;
        if let Ok(mut view) = self.get_mut() {
            (0..n).for_each(|i| (0..i).for_each(|j| view.set(i, j, view.get(j, i))));
        }
    }
    /// Absolute values in row-major order.
    pub fn absolute(&self) -> Vec<f64> {
        self.get().map(|view| view.to_vec().iter().map(|x| x.abs().to_f64()).collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_fits_its_slice() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut draw = Draw::varied(seed);
            let shape = [(0, 0), (1, 1), (3, 5), (7, 1), (0, 4), (4, 0)][seed as usize % 6];
            let mut matrix: Matrix<f32> = draw.matrix(shape.0, shape.1);
            let view = matrix.get().unwrap();
            assert_eq!((view.rows(), view.cols()), shape);
            seen.insert((
                view.row_stride().signum(),
                view.col_stride().signum(),
                view.col_stride().abs() == 1,
            ));
            assert!(matrix.get_mut().is_ok());
            let everything = matrix.everything();
            assert_eq!(everything.len(), matrix.allow(std::iter::empty()).len());
            let elements: Vec<f64> = matrix.get().unwrap().to_vec().iter().map(|&x| x as f64).collect();
            assert_eq!(everything[..elements.len()], elements);
        }
        assert!(seen.len() >= 6, "{seen:?}");
    }
}
