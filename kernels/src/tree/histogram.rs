//! Histograms: what the rows of a node bring, added up for every bin of every feature.
//!
//! One addition per row and feature, at a place that the data chooses: nothing for SIMD, so the work is to keep the core
//! from waiting. **Accumulators** are separate from the result, eight at a time: those of eight features, or of four
//! features twice, for odd rows and even ones, down to one feature eight times. They fit the first cache, an addition
//! rarely meets the cell of the one before (a column of two bins: 1.1 G cells/s with one accumulator, 3.0 with eight), and their
//! distance is not a power of two, or else equal bins of several features would share a set of the cache. (28 features
//! of 4 bins, row by row into a table of 256 cells each: 0.16 G cells/s with pairs of f64, 0.94 with [`Packed`]; with
//! eight accumulators 3.7.) **Blocks** of rows, visited once for every eight features, stay in the second cache.

use super::cells::Cell;
use super::{Bin, Bins, ClassWeight, Gradients, Labels, Packed, Pair, Rows};
use crate::matrix::same;
use crate::simd::{Lanes, LanesOfEverySet, Task};
use crate::{ShapeError, parallel};
use std::marker::PhantomData;
use std::ops::Range;

/// Adds the packed gradients of `rows` to the cells of their bins: out\[offset of f + bin of (i, f)\] += gradient of i,
/// for all rows i and features f, exactly. O(rows x features) time.
///
/// ```
/// use tilewise_kernels::tree::{Bins, Gradients, Packed, Rows, histogram};
/// // Three rows; the first feature has 2 bins, the second 3.
/// let bins = Bins::row_major(&[0u8, 2, 1, 0, 1, 2], 3, &[0, 2, 5]).unwrap();
/// let gradients = [Packed::new(-4, 1), Packed::new(3, 1), Packed::new(5, 1)];
/// let mut out = [Packed::default(); 5];
/// histogram(bins, &Rows::Range(0..3), Gradients::new(&gradients), &mut out).unwrap();
/// assert_eq!(out.map(|cell| (cell.gradient(), cell.hessian())), [(-4, 1), (8, 2), (3, 1), (0, 0), (1, 2)]);
/// ```
///
/// # Errors
/// When the shapes do not fit, a row does not exist, or there are more rows than [`Gradients::rows_that_fit`]. (What is
/// in `out` before counts too: its total with the new must fit.)
pub fn histogram<B: Bin>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    gradients: Gradients<'_>,
    out: &mut [Packed],
) -> Result<(), ShapeError> {
    check(bins, rows, gradients.values.len(), 1, out.len())?;
    at_most("rows for cells of 32 bits", gradients.rows_that_fit(), rows.len())?;
    build(bins, rows, gradients.values, Plain::<Packed, Packed>::new(), usize::MAX, out);
    Ok(())
}

/// As [`histogram`], into cells of 64-bit numbers: any number of rows. As fast for many rows, as they are added in packed
/// cells for as long as [`Gradients::rows_that_fit`] allows.
///
/// # Errors
/// When the shapes do not fit or a row does not exist.
pub fn histogram_wide<B: Bin>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    gradients: Gradients<'_>,
    out: &mut [Pair],
) -> Result<(), ShapeError> {
    check(bins, rows, gradients.values.len(), 1, out.len())?;
    build(bins, rows, gradients.values, Plain::<Packed, Pair>::new(), gradients.rows_that_fit(), out);
    Ok(())
}

/// As [`histogram`], for gradients of 64 bits. Sums wrap past 64 bits.
///
/// # Errors
/// When the shapes do not fit or a row does not exist.
pub fn histogram_pairs<B: Bin>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    gradients: &[Pair],
    out: &mut [Pair],
) -> Result<(), ShapeError> {
    check(bins, rows, gradients.len(), 1, out.len())?;
    build(bins, rows, gradients, Plain::<Pair, Pair>::new(), usize::MAX, out);
    Ok(())
}

/// Counts classes: out\[(offset of f + bin of (i, f)) classes + class of i\] += weight of i, for all rows i and features
/// f, exactly. O(rows x features) time.
///
/// For two classes [`histogram`] of (weight if of the second class, weight) says the same and is faster.
///
/// # Errors
/// When the shapes do not fit, a row does not exist, or there are more rows than [`Labels::rows_that_fit`]. (What is in
/// `out` before counts too: its total with the new must fit.)
pub fn class_histogram<B: Bin>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    labels: Labels<'_>,
    out: &mut [u32],
) -> Result<(), ShapeError> {
    check(bins, rows, labels.values.len(), labels.classes, out.len())?;
    at_most("rows for counts of 32 bits", labels.rows_that_fit(), rows.len())?;
    build(bins, rows, labels.values, ByClass { classes: labels.classes }, usize::MAX, out);
    Ok(())
}

fn check<B: Bin>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    values: usize,
    width: usize,
    out: usize,
) -> Result<(), ShapeError> {
    same("gradients or labels against rows", bins.rows(), values)?;
    same("cells of the histogram", bins.cells().saturating_mul(width), out)?;
    rows.check(bins.rows())
}

fn at_most(what: &'static str, most: usize, found: usize) -> Result<(), ShapeError> {
    if found <= most { Ok(()) } else { Err(ShapeError::TooLong { what, most, found }) }
}

/// What a row brings, and to which of a bin's cells.
trait Sum: Copy + Sync {
    type Value: Copy + Default + Sync;
    /// What accumulators hold.
    type Cell: Cell;
    /// What the result holds.
    type Total: Cell + From<Self::Cell>;
    /// Cells of a bin.
    fn width(self) -> usize;
    fn place(self, bin: usize, value: Self::Value) -> usize;
    fn amount(value: Self::Value) -> Self::Cell;
}

/// One cell for each bin.
struct Plain<V, T>(PhantomData<fn() -> (V, T)>);
impl<V, T> Plain<V, T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}
impl<V, T> Clone for Plain<V, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<V, T> Copy for Plain<V, T> {}
impl<V: Cell, T: Cell + From<V>> Sum for Plain<V, T> {
    type Value = V;
    type Cell = V;
    type Total = T;
    #[inline(always)]
    fn width(self) -> usize {
        1
    }
    #[inline(always)]
    fn place(self, bin: usize, _: V) -> usize {
        bin
    }
    #[inline(always)]
    fn amount(value: V) -> V {
        value
    }
}

/// A cell for each class.
#[derive(Clone, Copy)]
struct ByClass {
    classes: usize,
}
impl Sum for ByClass {
    type Value = ClassWeight;
    type Cell = u32;
    type Total = u32;
    #[inline(always)]
    fn width(self) -> usize {
        self.classes
    }
    #[inline(always)]
    fn place(self, bin: usize, value: ClassWeight) -> usize {
        bin * self.classes + value.class as usize
    }
    #[inline(always)]
    fn amount(value: ClassWeight) -> u32 {
        value.weight
    }
}

/// Accumulators in use at a time: with 256 bins of [`Packed`] 16 KiB.
const TOGETHER: usize = 8;
/// Cells of a cache line: by this many the distance of accumulators differs from a power of two.
const SKEW: usize = 8;
/// Accumulators longer than this leave the second cache; such features are added to the result.
const LONGEST: usize = 4096;
/// Rows of a block: 128 KiB of a tile of 64 features.
const BLOCK: usize = 2048;
/// Cells of a piece of parallel work, some 50 microseconds: with four times as many 16 threads waited for the last of them.
const PIECE: usize = 128 << 10;

fn build<B: Bin, S: Sum>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    values: &[S::Value],
    sum: S,
    limit: usize,
    out: &mut [S::Total],
) {
    let features = bins.features();
    if features == 0 || rows.is_empty() {
        return;
    }
    let limit = limit.max(1);
    let add = |places: Range<usize>, total: &mut [S::Total]| {
        for start in places.clone().step_by(limit) {
            let part = rows.part(start..places.end.min(start.saturating_add(limit)));
            accumulate(bins, &part, values, sum, total);
        }
    };
    // A piece has its own result, whose merging must be small beside it. Sums are integers: this changes no bit.
    let piece = (PIECE / features).max(16 * out.len() / features).max(1);
    if rows.len() <= piece {
        return add(0..rows.len(), out);
    }
    let total = parallel::map_reduce(
        rows.len(),
        piece,
        |places| {
            let mut total = vec![S::Total::default(); out.len()];
            add(places, &mut total);
            total
        },
        |mut a, b| {
            merge::<S::Total, S::Total>(&mut a, &b);
            a
        },
    );
    merge::<S::Total, S::Total>(out, &total.unwrap_or_default());
}

fn merge<C: Cell + From<D>, D: Copy>(into: &mut [C], from: &[D]) {
    for (a, &b) in into.iter_mut().zip(from) {
        *a = a.plus(C::from(b));
    }
}

/// Adds rows to `total`, in accumulators if these pay.
fn accumulate<B: Bin, S: Sum>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    values: &[S::Value],
    sum: S,
    total: &mut [S::Total],
) {
    let (features, width) = (bins.features(), sum.width());
    let of_rows = |rows: &Rows<'_>, gathered: &mut Vec<S::Value>| {
        gathered.clear();
        match rows {
            Rows::Range(range) => gathered.extend_from_slice(&values[range.clone()]),
            Rows::List(list) => gathered.extend(list.iter().map(|&row| values[row as usize])),
        }
    };
    let cells_of = |feature: usize| {
        let cells = bins.cells_of(feature);
        cells.start * width..cells.end * width
    };
    let longest = (0..features).map(|f| cells_of(f).len()).max().unwrap_or(0);
    // Making, clearing and merging accumulators costs about an addition for each cell of the result.
    let alone = longest > LONGEST || rows.len() * features < total.len();
    let stride = if B::COUNT <= BYTES && width == 1 { BYTES + SKEW } else { longest + SKEW };
    if bins.is_row_major() {
        let groups = groups(features);
        let mut gathered = Vec::new();
        if alone {
            of_rows(rows, &mut gathered);
            let part = Part { data: bins.data(), features, rows, values: &gathered, sum };
            for group in groups {
                let bases = std::array::from_fn(|which| cells_of(group.start + which % group.len()).start);
                part.add_at(group, bases, total);
            }
            return;
        }
        let mut cells = vec![S::Cell::default(); groups.len() * TOGETHER * stride];
        let mut copy = Vec::new();
        for start in (0..rows.len()).step_by(BLOCK) {
            let rows = rows.part(start..rows.len().min(start + BLOCK));
            let part = match &rows {
                Rows::Range(range) => {
                    Part { data: bins.data(), features, rows: &rows, values: &values[range.clone()], sum }
                }
                Rows::List(list) => {
                    gather(bins.data(), features, values, list, &mut copy, &mut gathered);
                    Part { data: &copy, features, rows: &Rows::Range(0..list.len()), values: &gathered, sum }
                }
            };
            for (group, cells) in groups.iter().zip(cells.chunks_exact_mut(TOGETHER * stride)) {
                part.add(group.clone(), cells);
            }
        }
        for (group, cells) in groups.into_iter().zip(cells.chunks_exact(TOGETHER * stride)) {
            for (which, cells) in cells.chunks_exact(stride).enumerate() {
                merge(&mut total[cells_of(group.start + which % group.len())], cells);
            }
        }
    } else {
        let gathered: Vec<S::Value>;
        let values = match rows {
            Rows::Range(range) => &values[range.clone()],
            Rows::List(list) => {
                gathered = list.iter().map(|&row| values[row as usize]).collect();
                &gathered
            }
        };
        let mut cells = vec![S::Cell::default(); if alone { 0 } else { TOGETHER * stride }];
        for (feature, column) in bins.data().chunks_exact(bins.rows()).enumerate() {
            let column = Part { data: column, features: 1, rows, values, sum };
            let total = &mut total[cells_of(feature)];
            if alone {
                column.add_at(0..1, [0; TOGETHER], total);
                continue;
            }
            cells.chunks_exact_mut(stride).for_each(|cells| cells[..total.len()].fill(S::Cell::default()));
            column.add(0..1, &mut cells);
            cells.chunks_exact(stride).for_each(|cells| merge(total, cells));
        }
    }
}

/// Copies rows side by side. Copies of fixed length are a few instructions, so that the core has tens of rows under way at a time,
/// where additions leave it four; lines of rows to come are asked for, since the core alone does not reach far enough ahead: of a list of every
/// fourth of 500,000 rows of 28 features 2.4 G cells/s are added, 1.5 without asking and 1.5 without copies (3.4 of rows that lie side by
/// side; one thread, Zen 5, neighbours on its third cache).
fn gather<B: Bin, V: Copy + Default>(
    data: &[B],
    features: usize,
    values: &[V],
    list: &[u32],
    copy: &mut Vec<B>,
    copied: &mut Vec<V>,
) {
    copy.resize(list.len() * features + CHUNK, B::default());
    copied.resize(list.len(), V::default());
    f32::dispatch(Gather { data, features, values, list, copy, copied });
    copy.truncate(list.len() * features);
}

/// Bins copied at once; what is too much is written over by the next row.
const CHUNK: usize = 32;
/// Rows between the one that is copied and the one that is asked for.
const AHEAD: usize = 48;

struct Gather<'a, B, V> {
    data: &'a [B],
    features: usize,
    values: &'a [V],
    list: &'a [u32],
    copy: &'a mut [B],
    copied: &'a mut [V],
}

impl<B: Bin, V: Copy> Task<f32> for Gather<'_, B, V> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, simd: S) {
        let Self { data, features, values, list, copy, copied } = self;
        let chunks = features.div_ceil(CHUNK);
        for (i, (&row, copied)) in list.iter().zip(copied).enumerate() {
            *copied = values[row as usize];
            if let Some(&next) = list.get(i + AHEAD) {
                simd.prefetch(values.as_ptr().wrapping_add(next as usize));
                let next = data.as_ptr().wrapping_add(next as usize * features);
                simd.prefetch(next);
                simd.prefetch(next.wrapping_add(features - 1));
            }
            let (from, to) = (row as usize * features, i * features);
            let source = &data[from..];
            if source.len() >= chunks * CHUNK {
                for chunk in 0..chunks {
                    let source = source[chunk * CHUNK..].first_chunk::<CHUNK>();
                    let to = copy[to + chunk * CHUNK..].first_chunk_mut::<CHUNK>();
                    if let (Some(source), Some(to)) = (source, to) {
                        *to = *source;
                    }
                }
            } else {
                copy[to..to + features].copy_from_slice(&source[..features]);
            }
        }
    }
}

/// Features that are added together: eights, then a four, a two, a one.
fn groups(features: usize) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < features {
        let width = TOGETHER.min(1 << (features - start).ilog2());
        groups.push(start..start + width);
        start += width;
    }
    groups
}

/// Bins that a byte can name.
const BYTES: usize = 256;

/// Rows to be added.
#[derive(Clone, Copy)]
struct Part<'a, B, S: Sum> {
    /// Rows of `features` bins.
    data: &'a [B],
    features: usize,
    rows: &'a Rows<'a>,
    /// What these bring, in the order of `rows`.
    values: &'a [S::Value],
    sum: S,
}

impl<B: Bin, S: Sum> Part<'_, B, S> {
    /// Adds the columns of a group to its accumulators.
    fn add(&self, group: Range<usize>, cells: &mut [S::Cell]) {
        let (bytes, _) = cells.as_chunks_mut::<{ BYTES + SKEW }>();
        if B::COUNT <= BYTES
            && self.sum.width() == 1
            && let Ok(bytes) = <&mut [_; TOGETHER]>::try_from(bytes)
        {
            // No byte reaches outside such an accumulator: nothing is checked.
            self.columns(group, |which, bin, value| {
                let cell = &mut bytes[which][bin];
                *cell = cell.plus(S::amount(value));
            });
        } else {
            let stride = cells.len() / TOGETHER;
            self.add_at(group, std::array::from_fn(|which| which * stride), cells);
        }
    }

    /// Adds the columns of a group to cells that start at `bases`.
    fn add_at<C: Cell + From<S::Cell>>(
        &self,
        group: Range<usize>,
        bases: [usize; TOGETHER],
        cells: &mut [C],
    ) {
        self.columns(group, |which, bin, value| {
            if let Some(cell) = cells.get_mut(bases[which] + self.sum.place(bin, value)) {
                *cell = cell.plus(S::amount(value).into());
            }
        });
    }

    /// Calls `add(accumulator, bin, value)` for the columns of a group and all rows.
    #[inline(always)]
    fn columns(&self, group: Range<usize>, add: impl FnMut(usize, usize, S::Value)) {
        match group.len() {
            TOGETHER => self.each_row::<TOGETHER, 1>(group.start, add),
            4 => self.each_row::<4, { TOGETHER / 4 }>(group.start, add),
            2 => self.each_row::<2, { TOGETHER / 2 }>(group.start, add),
            _ if self.features == 1 => self.each_bin(add),
            _ => self.each_row::<1, TOGETHER>(group.start, add),
        }
    }

    /// `K` columns from `first` on, with a set of accumulators for each of `P` consecutive rows.
    #[inline(always)]
    fn each_row<const K: usize, const P: usize>(
        &self,
        first: usize,
        mut add: impl FnMut(usize, usize, S::Value),
    ) {
        let mut add = |copy: usize, row: &[B], value: S::Value| {
            if let Some(row) = row.first_chunk::<K>() {
                for (k, &bin) in row.iter().enumerate() {
                    add(copy * K + k, bin.into(), value);
                }
            }
        };
        let (data, features) = (self.data, self.features);
        let (several, rest) = self.values.as_chunks::<P>();
        match self.rows {
            Rows::Range(range) => {
                let data = &data[range.start * features..range.end * features];
                let (data, last) = data.split_at(several.len() * P * features);
                for (rows, values) in data.chunks_exact(P * features).zip(several) {
                    for copy in 0..P {
                        add(copy, &rows[copy * features + first..], values[copy]);
                    }
                }
                for (row, &value) in last.chunks_exact(features).zip(rest) {
                    add(0, &row[first..], value);
                }
            }
            Rows::List(list) => {
                let (list, last) = list.as_chunks::<P>();
                for (list, values) in list.iter().zip(several) {
                    for copy in 0..P {
                        add(copy, &data[list[copy] as usize * features + first..], values[copy]);
                    }
                }
                for (&row, &value) in last.iter().zip(rest) {
                    add(0, &data[row as usize * features + first..], value);
                }
            }
        }
    }

    /// A column that lies alone.
    #[inline(always)]
    fn each_bin(&self, mut add: impl FnMut(usize, usize, S::Value)) {
        let (several, rest) = self.values.as_chunks::<TOGETHER>();
        match self.rows {
            Rows::Range(range) => {
                let (bins, last) = self.data[range.clone()].as_chunks::<TOGETHER>();
                for (bins, values) in bins.iter().zip(several) {
                    for which in 0..TOGETHER {
                        add(which, bins[which].into(), values[which]);
                    }
                }
                last.iter().zip(rest).for_each(|(&bin, &value)| add(0, bin.into(), value));
            }
            Rows::List(list) => {
                let (list, last) = list.as_chunks::<TOGETHER>();
                for (list, values) in list.iter().zip(several) {
                    for which in 0..TOGETHER {
                        add(which, self.data[list[which] as usize].into(), values[which]);
                    }
                }
                last.iter()
                    .zip(rest)
                    .for_each(|(&row, &value)| add(0, self.data[row as usize].into(), value));
            }
        }
    }
}
