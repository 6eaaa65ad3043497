//! The problem `gemm`: operands, result and how they lie.

use super::{Element, Memory, Problem};
use std::io;

/// Where a matrix lies. Element (i, j) is at `i * row_stride + j * col_stride`; one of the strides is 1, the other the
/// leading dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Elements from one stored line to the next.
    pub leading: usize,
    /// The lines are columns, not rows.
    pub transposed: bool,
}

impl Stored {
    /// `leading` 0 is packed.
    fn new(rows: usize, cols: usize, transposed: bool, leading: usize) -> io::Result<Self> {
        let line = if transposed { rows } else { cols };
        let leading = if leading == 0 { line } else { leading };
        if leading < line {
            return Err(io::Error::other(format!("a leading dimension of {leading} cannot hold {line}")));
        }
        Ok(Self { rows, cols, leading, transposed })
    }

    /// Elements from a row to the next.
    pub fn row_stride(&self) -> isize {
        if self.transposed { 1 } else { self.leading as isize }
    }

    /// Elements from a column to the next.
    pub fn col_stride(&self) -> isize {
        if self.transposed { self.leading as isize } else { 1 }
    }

    /// Number and length of the stored lines.
    fn lines(&self) -> (usize, usize) {
        if self.transposed { (self.cols, self.rows) } else { (self.rows, self.cols) }
    }

    /// Elements from the first to the last, with those between lines.
    fn len(&self) -> usize {
        self.lines().0 * self.leading
    }
}

/// C = A B, m x n x k.
pub struct Product<T> {
    memory: Memory<T, 3>,
    /// A, m x k.
    pub a: Stored,
    /// B, k x n.
    pub b: Stored,
    /// C, m x n, stored by rows.
    pub c: Stored,
    /// Whether all that depends on the shape alone may be done before the time begins; otherwise every product is one call.
    pub planned: bool,
}

impl<T: Element> Product<T> {
    /// Reads the operands. Their files hold the stored lines without what is between them; in memory that is NaN.
    ///
    /// # Errors
    /// When the problem is another one, its layout does not fit, or its operands cannot be read.
    pub fn read(problem: &Problem) -> io::Result<Self> {
        let (kind @ ("gemm" | "gemm_planned"), &[m, n, k]) =
            (problem.kind.as_str(), problem.shape.as_slice())
        else {
            return Err(io::Error::other(format!("{} is not what this worker does", problem.kind)));
        };
        let layout = problem.layout;
        let a = Stored::new(m, k, layout.a_transposed, layout.leading)?;
        let b = Stored::new(k, n, layout.b_transposed, layout.leading)?;
        let c = Stored::new(m, n, false, layout.leading)?;
        let mut memory = Memory::<T, 3>::new([a.len(), b.len(), c.len()])?;
        let arrays = memory.arrays();
        for ((name, stored), array) in [("a", a), ("b", b)].into_iter().zip(arrays) {
            let (lines, line) = stored.lines();
            let bytes = problem.read(name, lines * line * size_of::<T>())?;
            let to = array.chunks_mut(stored.leading.max(1));
            for (to, from) in to.zip(bytes.chunks_exact((line * size_of::<T>()).max(1))) {
                bytemuck::cast_slice_mut(&mut to[..line]).copy_from_slice(from);
            }
        }
        Ok(Self { memory, a, b, c, planned: kind == "gemm_planned" })
    }

    /// Rows of C, columns of C, length of the sums.
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.c.rows, self.c.cols, self.a.cols)
    }

    /// The memory of A, B and C.
    pub fn arrays(&mut self) -> (&[T], &[T], &mut [T]) {
        let [a, b, c] = self.memory.arrays();
        (a, b, c)
    }

    /// C row by row, widened.
    pub fn result(&self) -> Vec<f64> {
        let lines = self.memory.array(2).chunks(self.c.leading.max(1));
        lines.flat_map(|line| &line[..self.c.cols]).map(|&x| x.into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Layout;

    #[test]
    fn operands_lie_as_the_layout_says() {
        let folder = std::env::temp_dir().join(format!("tilewise-layout-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let layout = Layout { a_transposed: true, b_transposed: false, leading: 5 };
        let (kind, element, shape) = ("gemm".into(), "f32".into(), vec![2, 4, 3]);
        let problem = Problem { kind, element, shape, layout, folder: folder.clone() };
        // A is 2 x 3, stored as its transpose, 3 x 2.
        problem.write("a", &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]).unwrap();
        problem.write("b", &[0.5; 12]).unwrap();
        let mut product = Product::<f32>::read(&problem).unwrap();
        assert_eq!((product.shape(), product.a.row_stride(), product.a.col_stride()), ((2, 4, 3), 1, 5));
        assert_eq!((product.b.row_stride(), product.b.col_stride()), (5, 1));
        let (a, b, c) = product.arrays();
        assert_eq!((a.len(), b.len(), c.len()), (15, 15, 10));
        assert!(
            a[..2] == [1.0, 4.0] && a[2].is_nan() && a[5..7] == [2.0, 5.0] && b[3] == 0.5 && b[4].is_nan()
        );
        c.copy_from_slice(&[0.0, 1.0, 2.0, 3.0, 9.0, 4.0, 5.0, 6.0, 7.0, 9.0]);
        assert_eq!(product.result(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let layout = Layout { leading: 3, ..Layout::default() };
        assert!(Product::<f32>::read(&Problem { layout, ..problem }).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
