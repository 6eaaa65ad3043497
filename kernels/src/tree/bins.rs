//! Binned columns and lists of rows.

use super::Shared;
use crate::matrix::{below, same};
use crate::{ShapeError, parallel};
use std::fmt::Debug;
use std::ops::Range;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
}

/// `u8` or `u16`: the number of a bin.
pub trait Bin: sealed::Sealed + Copy + Default + Debug + Ord + Into<usize> + Send + Sync + 'static {
    /// How many numbers there are.
    const COUNT: usize;
    /// The bin of this number; its low bits when it is too large.
    fn from_low_bits(bin: usize) -> Self;
}
impl Bin for u8 {
    const COUNT: usize = 1 << 8;
    #[inline(always)]
    fn from_low_bits(bin: usize) -> Self {
        bin as u8
    }
}
impl Bin for u16 {
    const COUNT: usize = 1 << 16;
    #[inline(always)]
    fn from_low_bits(bin: usize) -> Self {
        bin as u16
    }
}

/// The bins of some features for all rows, known to be as small as they claim.
///
/// `offsets` has a number more than there are features: feature f has `offsets[f + 1] - offsets[f]` bins, and its cells
/// in a histogram start at `offsets[f] - offsets[0]` (times the number of classes, in histograms of classes).
///
/// Row-major bins are best when all features of a row are wanted, in *tiles* of at most a cache line of features per
/// row, so that a row which is looked up costs one line of memory; column-major when a few features are.
#[derive(Clone, Copy, Debug)]
pub struct Bins<'a, B> {
    data: &'a [B],
    rows: usize,
    offsets: &'a [usize],
    row_major: bool,
}

impl<'a, B: Bin> Bins<'a, B> {
    /// Bins whose rows are contiguous. Reads all of them once, to check them: do it once for a data set.
    ///
    /// # Errors
    /// When `offsets` is empty, does not start at 0, or descends, when the length of `data` is not `rows` times the
    /// number of features, or a bin is not below its feature's number of bins.
    pub fn row_major(data: &'a [B], rows: usize, offsets: &'a [usize]) -> Result<Self, ShapeError> {
        Self::new(data, rows, offsets, true)
    }

    /// Bins whose columns are contiguous, one after another.
    ///
    /// # Errors
    /// As [`Bins::row_major`].
    pub fn column_major(data: &'a [B], rows: usize, offsets: &'a [usize]) -> Result<Self, ShapeError> {
        Self::new(data, rows, offsets, false)
    }

    fn new(data: &'a [B], rows: usize, offsets: &'a [usize], row_major: bool) -> Result<Self, ShapeError> {
        same("first offset of the bins", 0, offsets.first().copied().unwrap_or(usize::MAX))?;
        for pair in offsets.windows(2) {
            below("an offset of bins against the next plus 1", pair[1].saturating_add(1), pair[0])?;
        }
        let features = offsets.len() - 1;
        same("bins against rows times features", rows.saturating_mul(features), data.len())?;
        let bins = Self { data, rows, offsets, row_major };
        for (feature, largest) in bins.largest().into_iter().enumerate() {
            if let Some(largest) = largest {
                below("a bin against the bins of its feature", bins.count(feature), largest.into())?;
            }
        }
        Ok(bins)
    }

    /// The largest bin of every feature.
    fn largest(&self) -> Vec<Option<B>> {
        let features = self.features();
        if !self.row_major {
            let largest = |column: &[B]| column.iter().copied().reduce(B::max);
            return parallel::map(features, |f| largest(&self.data[f * self.rows..][..self.rows]));
        }
        // Several rows at once, or else vectors would be as short as a row.
        const LONG: usize = 512;
        if features == 0 {
            return Vec::new();
        }
        let several = LONG.div_ceil(features) * features;
        let chunk = (parallel::GRAIN_BYTES / (features * size_of::<B>())).max(1);
        let largest = parallel::map_reduce(
            self.rows,
            chunk,
            |rows| {
                let mut largest = vec![B::default(); several];
                for rows in self.data[rows.start * features..rows.end * features].chunks(several) {
                    largest.iter_mut().zip(rows).for_each(|(most, &bin)| *most = bin.max(*most));
                }
                (0..features)
                    .map(|f| largest[f..].iter().step_by(features).fold(B::default(), |a, &b| a.max(b)))
                    .collect::<Vec<B>>()
            },
            |a, b| a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect(),
        );
        largest.map_or(vec![None; features], |largest| largest.into_iter().map(Some).collect())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of features.
    pub fn features(&self) -> usize {
        self.offsets.len() - 1
    }
    /// Number of bins of a feature.
    ///
    /// # Panics
    /// When there is no such feature.
    pub fn count(&self, feature: usize) -> usize {
        self.offsets[feature + 1] - self.offsets[feature]
    }
    /// Bins of all features: the cells of a histogram.
    pub fn cells(&self) -> usize {
        self.offsets[self.features()] - self.offsets[0]
    }
    /// Where the cells of each feature start, and where the last end. The first is not 0 in a [part](Self::part).
    pub fn offsets(&self) -> &'a [usize] {
        self.offsets
    }
    /// Where the cells of a feature are.
    pub(super) fn cells_of(&self, feature: usize) -> Range<usize> {
        self.offsets[feature] - self.offsets[0]..self.offsets[feature + 1] - self.offsets[0]
    }
    /// Some features of bins whose columns are contiguous; nothing is checked again. `None` where there are no such features
    /// or rows are contiguous.
    ///
    /// ```
    /// use tilewise_kernels::tree::Bins;
    /// let bins = Bins::column_major(&[1u8, 0, 2, 2, 0, 3], 2, &[0, 2, 5, 9]).unwrap();
    /// let part = bins.part(1..3).unwrap();
    /// assert_eq!((part.features(), part.cells(), part.get(1, 1)), (2, 7, 3));
    /// ```
    pub fn part(self, features: Range<usize>) -> Option<Self> {
        if self.row_major {
            return None;
        }
        let offsets = self.offsets.get(features.start..features.end.checked_add(1)?)?;
        let data = self.data.get(features.start * self.rows..features.end * self.rows)?;
        (!offsets.is_empty()).then_some(Self { data, offsets, ..self })
    }
    /// The bin of a row and feature.
    ///
    /// # Panics
    /// When there is no such row or feature.
    pub fn get(&self, row: usize, feature: usize) -> B {
        assert!(row < self.rows && feature < self.features(), "row {row}, feature {feature}");
        let (first, stride) = self.column(feature);
        self.data[first + row * stride]
    }

    /// All bins, as they lie.
    pub fn data(&self) -> &'a [B] {
        self.data
    }
    /// Whether rows are contiguous, not columns.
    pub fn is_row_major(&self) -> bool {
        self.row_major
    }
    /// Place of a feature's first bin, and the distance to the next row's.
    pub(super) fn column(&self, feature: usize) -> (usize, usize) {
        if self.row_major { (feature, self.features()) } else { (feature * self.rows, 1) }
    }
}

/// [`Bins`] that own their memory, or share it with their clones and whoever else holds it.
#[derive(Clone, Debug)]
pub struct OwnedBins<B> {
    data: Shared<B>,
    rows: usize,
    offsets: Vec<usize>,
    row_major: bool,
}

impl<B: Bin> OwnedBins<B> {
    /// As [`Bins::row_major`].
    ///
    /// # Errors
    /// As there.
    pub fn row_major(data: Vec<B>, rows: usize, offsets: Vec<usize>) -> Result<Self, ShapeError> {
        Self::shared(data.into(), rows, offsets, true)
    }
    /// As [`Bins::column_major`].
    ///
    /// # Errors
    /// As there.
    pub fn column_major(data: Vec<B>, rows: usize, offsets: Vec<usize>) -> Result<Self, ShapeError> {
        Self::shared(data.into(), rows, offsets, false)
    }
    /// As [`Bins::row_major`] if `row_major`, else as [`Bins::column_major`], of memory that is used where it is.
    ///
    /// # Errors
    /// As there.
    pub fn shared(
        data: Shared<B>,
        rows: usize,
        offsets: Vec<usize>,
        row_major: bool,
    ) -> Result<Self, ShapeError> {
        Bins::new(&data, rows, &offsets, row_major)?;
        Ok(Self { data, rows, offsets, row_major })
    }
    /// A view of them; nothing is checked again.
    pub fn get(&self) -> Bins<'_, B> {
        let Self { data, rows, offsets, row_major } = self;
        Bins { data, rows: *rows, offsets, row_major: *row_major }
    }
}

/// Which rows: those of a node.
#[derive(Clone, Debug)]
pub enum Rows<'a> {
    /// Consecutive ones.
    Range(Range<usize>),
    /// The ones with these numbers, in this order; one that is named twice counts twice.
    List(&'a [u32]),
}

impl<'a> Rows<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Rows::Range(range) => range.len(),
            Rows::List(list) => list.len(),
        }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The row at a place.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn get(&self, place: usize) -> usize {
        match self {
            Rows::Range(range) => {
                assert!(place < range.len(), "row {place} of {}", range.len());
                range.start + place
            }
            Rows::List(list) => list[place] as usize,
        }
    }
    /// The rows at these places.
    pub(super) fn part(&self, places: Range<usize>) -> Rows<'a> {
        match self {
            Rows::Range(range) => Rows::Range(range.start + places.start..range.start + places.end),
            Rows::List(list) => Rows::List(&list[places]),
        }
    }
    /// That all are below `rows`. A list is read once, at the speed of memory.
    pub(super) fn check(&self, rows: usize) -> Result<(), ShapeError> {
        match self {
            Rows::Range(range) if range.is_empty() => Ok(()),
            Rows::Range(range) => {
                below("end of the rows against rows plus 1", rows.saturating_add(1), range.end)
            }
            Rows::List(list) => {
                let chunk = parallel::GRAIN_BYTES / size_of::<u32>();
                let largest = |part: Range<usize>| list[part].iter().fold(0, |a, &b| a.max(b));
                parallel::map_reduce(list.len(), chunk, largest, u32::max)
                    .map_or(Ok(()), |largest| below("a row number", rows, largest as usize))
            }
        }
    }
}
