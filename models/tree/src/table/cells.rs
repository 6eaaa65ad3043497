//! Where the cells of columns lie.

use super::Feature;
use tilewise_base::by_rows::{self, ByRows};
use tilewise_base::{Column, Dataset, Result};
use tilewise_kernels::{Float, MatRef};

/// A column, wherever it lies.
pub(crate) enum Cells<'a> {
    /// Numbers; NaN is missing.
    Numbers(Box<dyn Numbers + 'a>),
    /// Codes of categories; one that is not below `levels` is missing.
    Codes { codes: &'a [u32], levels: usize },
}

impl<'a> Cells<'a> {
    /// A column of a matrix.
    pub(crate) fn of_matrix<T: Float>(x: MatRef<'a, T>, column: usize) -> Self {
        Self::Numbers(Box::new(Strided { x, column }))
    }

    /// The inputs of a table called `names`: of one that has them by rows, where these lie.
    ///
    /// # Errors
    /// When there is no such column.
    pub(crate) fn of_inputs(dataset: &'a Dataset, names: &[String]) -> Result<Vec<Self>> {
        fn of<'a, T: Float>(numbers: &'a [T], rows: &ByRows) -> Result<Vec<Cells<'a>>> {
            let x = MatRef::new(numbers, rows.rows(), rows.width())?;
            Ok((0..rows.width()).map(|j| Cells::of_matrix(x, j)).collect())
        }
        match dataset.rows_of(names).map(|rows| (rows, rows.numbers())) {
            Some((rows, by_rows::Numbers::F32(numbers))) => of(numbers, rows),
            Some((rows, by_rows::Numbers::F64(numbers))) => of(numbers, rows),
            None => names.iter().map(|name| dataset.column(name).map(Self::from)).collect(),
        }
    }

    /// Whether there is no value in any row. O(rows).
    pub(crate) fn all_missing(&self) -> bool {
        match self {
            Self::Numbers(numbers) => (0..numbers.len()).all(|row| numbers.get(row).is_nan()),
            Self::Codes { codes, levels } => codes.iter().all(|code| *code as usize >= *levels),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Codes { codes, .. } => codes.len(),
        }
    }
}

impl<'a> From<Feature<'a>> for Cells<'a> {
    fn from(feature: Feature<'a>) -> Self {
        match feature {
            Feature::Numeric(values) => Self::Numbers(Box::new(values)),
            Feature::Categorical { codes, levels } => Self::Codes { codes, levels },
        }
    }
}

impl<'a> From<&'a Column> for Cells<'a> {
    fn from(column: &'a Column) -> Self {
        match column {
            Column::Categorical { codes, dictionary } => Self::Codes { codes, levels: dictionary.len() },
            Column::F64(values) => Self::Numbers(Box::new(&values[..])),
            Column::F32(values) => Self::Numbers(Box::new(&values[..])),
            Column::Boolean(_) => Self::Numbers(Box::new(column)),
        }
    }
}

/// Numbers by rows. Many are asked for at once: what is called is not known before.
pub(crate) trait Numbers: Sync {
    fn len(&self) -> usize;
    fn get(&self, row: usize) -> f64;

    /// Whether all are numbers of f32.
    fn is_single(&self) -> bool {
        false
    }

    /// Reads those of the rows from `first` on, as far as there is room.
    fn read(&self, first: usize, out: &mut [f64]) {
        out.iter_mut().enumerate().for_each(|(i, out)| *out = self.get(first + i));
    }

    /// As [`Numbers::read`], of numbers of f32.
    fn read_single(&self, first: usize, out: &mut [f32]) {
        out.iter_mut().enumerate().for_each(|(i, out)| *out = self.get(first + i) as f32);
    }

    /// Reads those of these rows.
    fn take(&self, rows: &[u32], out: &mut [f64]) {
        match side_by_side(rows) {
            Some(first) => self.read(first, out),
            None => out.iter_mut().zip(rows).for_each(|(out, &row)| *out = self.get(row as usize)),
        }
    }

    /// As [`Numbers::take`], of numbers of f32.
    fn take_single(&self, rows: &[u32], out: &mut [f32]) {
        match side_by_side(rows) {
            Some(first) => self.read_single(first, out),
            None => out.iter_mut().zip(rows).for_each(|(out, &row)| *out = self.get(row as usize) as f32),
        }
    }

    /// Calls `see` with those of these rows, until it answers that this was enough.
    fn each(&self, rows: &[u32], see: &mut dyn FnMut(f64) -> bool) {
        let _ = rows.iter().any(|&row| see(self.get(row as usize)));
    }
}

/// The first of ascending rows, if none between them lacks.
fn side_by_side(rows: &[u32]) -> Option<usize> {
    let (first, last) = (*rows.first()? as usize, *rows.last()? as usize);
    (last + 1 == first + rows.len()).then_some(first)
}

/// Whether numbers are f32.
fn are_single<T: Float>() -> bool {
    size_of::<T>() == size_of::<f32>()
}

impl<T: Float> Numbers for &[T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }
    fn get(&self, row: usize) -> f64 {
        self[row].to_f64()
    }
    fn is_single(&self) -> bool {
        are_single::<T>()
    }
    fn read(&self, first: usize, out: &mut [f64]) {
        out.iter_mut().zip(&self[first..]).for_each(|(out, x)| *out = x.to_f64());
    }
    fn read_single(&self, first: usize, out: &mut [f32]) {
        out.iter_mut().zip(&self[first..]).for_each(|(out, x)| *out = x.to());
    }
}

/// Those of another column, by reference.
impl Numbers for &dyn Numbers {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn get(&self, row: usize) -> f64 {
        (**self).get(row)
    }
    fn is_single(&self) -> bool {
        (**self).is_single()
    }
    fn read(&self, first: usize, out: &mut [f64]) {
        (**self).read(first, out);
    }
    fn read_single(&self, first: usize, out: &mut [f32]) {
        (**self).read_single(first, out);
    }
    fn take(&self, rows: &[u32], out: &mut [f64]) {
        (**self).take(rows, out);
    }
    fn take_single(&self, rows: &[u32], out: &mut [f32]) {
        (**self).take_single(rows, out);
    }
    fn each(&self, rows: &[u32], see: &mut dyn FnMut(f64) -> bool) {
        (**self).each(rows, see);
    }
}

impl Numbers for &Column {
    fn len(&self) -> usize {
        Column::len(self)
    }
    fn get(&self, row: usize) -> f64 {
        self.cell(row)
    }
}

/// A column of a matrix.
struct Strided<'a, T> {
    x: MatRef<'a, T>,
    column: usize,
}

impl<T: Float> Strided<'_, T> {
    fn read_as<U: Float>(&self, first: usize, out: &mut [U]) {
        // Rows side by side: a step for each number, where places of a matrix are checked and multiplied out.
        match self.x.row_range(first..first + out.len()).as_slice() {
            Some(rows) => {
                let rows = rows.chunks_exact(self.x.cols());
                out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[self.column].to());
            }
            None => {
                let row = |i: usize| self.x.get(first + i, self.column);
                out.iter_mut().enumerate().for_each(|(i, out)| *out = row(i).to());
            }
        }
    }
}

impl<T: Float> Numbers for Strided<'_, T> {
    fn len(&self) -> usize {
        self.x.rows()
    }
    fn get(&self, row: usize) -> f64 {
        self.x.get(row, self.column).to_f64()
    }
    fn is_single(&self) -> bool {
        are_single::<T>()
    }
    fn read(&self, first: usize, out: &mut [f64]) {
        self.read_as(first, out);
    }
    fn read_single(&self, first: usize, out: &mut [f32]) {
        self.read_as(first, out);
    }
}
