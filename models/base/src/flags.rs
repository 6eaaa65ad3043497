//! Cells of true and false, a byte for each, in memory or in a file that is mapped.

use crate::{Array, Result, Storage};
use std::fmt;

/// The byte of a missing cell.
const MISSING: u8 = 2;

/// The cells of a column of true and false, of which some may be missing. They lie wherever their [`Array`] does.
///
/// ```
/// use tilewise_base::Flags;
/// let flags = Flags::from(vec![Some(true), None]);
/// assert_eq!((flags.get(0), flags.get(1)), (Some(true), None));
/// ```
#[derive(Clone)]
pub struct Flags(Array<u8>);

impl Flags {
    /// Cells as [`Flags::code`] writes them: 0 is false, 1 true and any other byte missing.
    pub fn of_codes(codes: Array<u8>) -> Self {
        Self(codes)
    }

    /// The byte of a cell.
    #[inline]
    pub fn code(cell: Option<bool>) -> u8 {
        cell.map_or(MISSING, u8::from)
    }

    /// The cell of a byte.
    #[inline]
    fn cell(code: u8) -> Option<bool> {
        (code < MISSING).then_some(code == 1)
    }

    /// Cell `row`; `None` is missing.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<bool> {
        Self::cell(self.0[row])
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cells, one after another.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<bool>> + '_ {
        self.0.iter().map(|&code| Self::cell(code))
    }

    /// Whether they lie in a file.
    pub fn is_in_file(&self) -> bool {
        self.0.is_in_file()
    }

    /// The cells at `rows`, in that order, where `storage` puts them.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    ///
    /// # Panics
    /// When there is no such row.
    pub fn take_to(&self, storage: &Storage, rows: &[usize]) -> Result<Self> {
        storage.gather(&self.0, rows).map(Self)
    }
}

impl FromIterator<Option<bool>> for Flags {
    fn from_iter<I: IntoIterator<Item = Option<bool>>>(cells: I) -> Self {
        Self(cells.into_iter().map(Self::code).collect())
    }
}

impl From<Vec<Option<bool>>> for Flags {
    fn from(cells: Vec<Option<bool>>) -> Self {
        cells.into_iter().collect()
    }
}

impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_wherever_they_lie() {
        let cells: Vec<Option<bool>> =
            (0..40_000).map(|row| (row % 7 != 3).then_some(row % 3 == 0)).collect();
        let flags = Flags::from(cells.clone());
        assert_eq!(flags.len(), cells.len());
        assert!(flags.iter().eq(cells.iter().copied()));
        let rows: Vec<usize> = (0..cells.len()).rev().collect();
        for (limit, in_file) in [(0, true), (1 << 30, false)] {
            let storage = Storage::limited(limit, std::env::temp_dir()).unwrap();
            let taken = flags.take_to(&storage, &rows).unwrap();
            assert_eq!(taken.is_in_file(), in_file);
            assert!(rows.iter().enumerate().all(|(i, &row)| taken.get(i) == cells[row]));
            assert_ne!(taken, flags);
            assert_eq!(taken.take_to(&storage, &rows).unwrap(), flags);
        }
        // Any other byte is missing.
        let odd = Flags::of_codes(vec![0, 1, 2, 255].into());
        assert_eq!(odd, Flags::from(vec![Some(false), Some(true), None, None]));
    }
}
