//! The best split of a node that has no histogram, found on its rows.
//!
//! A full tree has a node for about every other row, and most of them have so few rows that what costs is not to add these up but
//! everything around it. So all features of a node are one call: rows are added to cells feature by feature, only the bins that hold
//! rows are gone through, and the gains of the candidates of all features are computed together, in lanes.
//!
//! Splits, gains and ties are those of [`super::best_split`], bit for bit.

use super::split::{NewtonRule, Split, largest, score};
use super::{Cell, Pair};
use crate::ShapeError;
use crate::matrix::{below, same};
use crate::simd::{Lanes, LanesOfEverySet, Task};

/// Bins that a byte names.
const BINS: usize = 256;
/// Copies of the cells of a feature of few bins, for many rows: an addition to the cell of the one before waits for it.
const COPIES: usize = 4;
/// Rows for which copies are worth their sum.
const MANY: usize = 512;
/// Flag of a candidate that sends missing values to the left.
const MISSING_LEFT: u32 = 1 << 16;
/// Flag of the one that sends them alone.
const ALONE: u32 = 1 << 17;
/// The bin of a candidate.
const BIN: u32 = MISSING_LEFT - 1;

/// A feature that a node is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its number, which is told of the split; the first of equals is the one of the lowest number.
    pub feature: usize,
    /// The place of its bins: that of row r is at `place` + rows\[r\].
    pub place: usize,
    /// How many bins there are.
    pub bins: usize,
    /// Whether the last of them is that of missing values.
    pub missing: bool,
}

/// A split of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSplit {
    /// The split.
    pub split: Split,
    /// Whether any of the rows misses its value.
    pub any_missing: bool,
    /// The next bin of values that holds rows, the number of these bins if there is none; `None` where missing values go left alone.
    pub next: Option<usize>,
}

/// Memory of [`best_split_of_rows`], for any number of calls.
#[derive(Clone, Debug)]
pub struct RowSums<C> {
    /// Nothing between calls.
    cells: Box<[C; BINS]>,
    lefts: Vec<C>,
    bins: Vec<u32>,
    gains: Vec<f64>,
    /// Where the candidates of each feature end, and whether any value is missing.
    ends: Vec<(usize, bool)>,
}

impl<C: Cell> Default for RowSums<C> {
    fn default() -> Self {
        Self {
            cells: Box::new([C::default(); BINS]),
            lefts: Vec::new(),
            bins: Vec::new(),
            gains: Vec::new(),
            ends: Vec::new(),
        }
    }
}

/// The best split of some rows over some features. `values` are what the rows bring, `all` is their sum. As [`super::best_split`] on their histograms, but that splits after a bin which holds none of the rows
/// are not candidates, except the one that has missing values alone on its left. On the calling thread. O(rows + occupied bins) for
/// each feature.
///
/// ```
/// use tilewise_kernels::tree::{Asked, NewtonRule, Pair, RowSums, best_split_of_rows};
/// // Three rows of two features.
/// let bins = [0, 5, 1, 5, 1, 7];
/// let value = |gradient| Pair { gradient, hessian: 1 };
/// let asked = [0, 1].map(|feature| Asked { feature, place: feature, bins: 9, missing: false });
/// let rule = NewtonRule { gradient_unit: 1.0, hessian_unit: 1.0, l2: 0.0, min_hessian: 1, min_gain: 0.0 };
/// let values = [value(-3), value(1), value(2)];
/// let all = Pair { gradient: 0, hessian: 3 };
/// let found = best_split_of_rows(&bins, &[0, 2, 4], &values, all, &asked, rule, &mut RowSums::default())?.unwrap();
/// assert_eq!((found.split.feature, found.split.bin, found.split.gain), (0, 0, 13.5));
/// # Ok::<(), tilewise_kernels::ShapeError>(())
/// ```
///
/// # Errors
/// When there are not as many values as rows, a row or feature is outside the bins, or a feature has more than 256 bins or none.
pub fn best_split_of_rows<C: Cell + Into<Pair>>(
    bins: &[u8],
    rows: &[u32],
    values: &[C],
    all: C,
    asked: &[Asked],
    rule: NewtonRule,
    sums: &mut RowSums<C>,
) -> Result<Option<RowSplit>, ShapeError> {
    same("values against rows", rows.len(), values.len())?;
    let last = rows.iter().fold(0, |last, &row| last.max(row as usize));
    for feature in asked {
        below("the bins of a feature", BINS + 1, feature.bins)?;
        below("the first bin of a feature", feature.bins, 0)?;
        if !rows.is_empty() {
            below("the place of a row and feature", bins.len(), last.saturating_add(feature.place))?;
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    // One missing on the right and one on the left for each bin, and the one before the first.
    let most = (2 * rows.len().min(BINS) + 2).saturating_mul(asked.len());
    if sums.lefts.len() < most {
        sums.lefts.resize(most, C::default());
        sums.bins.resize(most, 0);
        sums.gains.resize(most, 0.0);
    }
    sums.ends.clear();
    Ok(f64::dispatch(ByRows { bins, rows, values, all, asked, rule, sums }))
}

struct ByRows<'a, C> {
    bins: &'a [u8],
    rows: &'a [u32],
    values: &'a [C],
    all: C,
    asked: &'a [Asked],
    rule: NewtonRule,
    sums: &'a mut RowSums<C>,
}

impl<C: Cell + Into<Pair>> Task<f64> for ByRows<'_, C> {
    type Output = Option<RowSplit>;
    #[inline(always)]
    fn run<S: Lanes<f64>>(self, _: S) -> Self::Output {
        let Self { bins, rows, values, all, asked, rule, sums } = self;
        let RowSums { cells, lefts, bins: places, gains, ends } = sums;
        let mut count = 0;
        for feature in asked {
            let column = &bins[feature.place..];
            let occupied = add_up(column, rows, values, feature.bins, cells);
            count +=
                candidates(occupied, feature, cells, &mut lefts[count..], &mut places[count..], ends, count);
        }
        let (lefts, gains) = (&lefts[..count], &mut gains[..count]);
        let all: Pair = all.into();
        let whole = if all.hessian > 0 { score(all, rule) } else { 0.0 };
        let least = rule.min_hessian.max(1);
        for (gain, &left) in gains.iter_mut().zip(lefts) {
            let left: Pair = left.into();
            let right = all.minus(left);
            let gain_here = score(left, rule) + score(right, rule) - whole;
            let allowed = (left.hessian >= least) & (right.hessian >= least);
            *gain = if allowed { gain_here } else { f64::NEG_INFINITY };
        }
        let most = largest(gains);
        if most <= rule.min_gain {
            return None;
        }
        // The first of the feature of the lowest number.
        let mut best: Option<(usize, usize)> = None;
        let mut start = 0;
        for (number, &(end, _)) in ends.iter().enumerate() {
            let better = best.is_none_or(|(best, _)| asked[number].feature < asked[best].feature);
            if better && let Some(place) = gains[start..end].iter().position(|&gain| gain == most) {
                best = Some((number, start + place));
            }
            start = end;
        }
        let (number, place) = best?;
        let (bin, missing_left) = ((places[place] & BIN) as usize, places[place] & MISSING_LEFT != 0);
        let Asked { feature, bins, missing, .. } = asked[number];
        let (end, any_missing) = ends[number];
        // What follows in the order of bins: the other candidate of this one, or the next.
        let next = places[place..end].iter().map(|place| (place & BIN) as usize).find(|&next| next > bin);
        let alone = places[place] & ALONE != 0;
        let next = (!alone).then_some(next.unwrap_or(bins - usize::from(missing)));
        Some(RowSplit { split: Split { feature, bin, missing_left, gain: most }, any_missing, next })
    }
}

/// Adds rows to the cells of their bins; answers which hold rows then, a bit each.
#[inline(always)]
fn add_up<C: Cell>(
    column: &[u8],
    rows: &[u32],
    values: &[C],
    bins: usize,
    cells: &mut [C; BINS],
) -> [u64; 4] {
    let mut occupied = [0_u64; 4];
    let copies = bins * COPIES <= BINS && rows.len() >= MANY;
    if !copies {
        for (&row, &value) in rows.iter().zip(values) {
            let bin = usize::from(column[row as usize]);
            occupied[bin / 64] |= 1 << (bin % 64);
            cells[bin] = cells[bin].plus(value);
        }
        return occupied;
    }
    for (i, (&row, &value)) in rows.iter().zip(values).enumerate() {
        let bin = usize::from(column[row as usize]) % (BINS / COPIES);
        occupied[0] |= 1 << bin;
        let cell = &mut cells[i % COPIES * (BINS / COPIES) + bin];
        *cell = cell.plus(value);
    }
    let (first, others) = cells.split_at_mut(BINS / COPIES);
    for copy in others.chunks_exact_mut(BINS / COPIES) {
        for (sum, cell) in first.iter_mut().zip(copy) {
            *sum = sum.plus(*cell);
            *cell = C::default();
        }
    }
    occupied
}

/// Puts down the left sides of all candidates of a feature, in the order in which the first of equals counts, and takes the cells back
/// to nothing; answers how many there are.
#[inline(always)]
fn candidates<C: Cell>(
    mut occupied: [u64; 4],
    feature: &Asked,
    cells: &mut [C; BINS],
    lefts: &mut [C],
    places: &mut [u32],
    ends: &mut Vec<(usize, bool)>,
    before: usize,
) -> usize {
    let last = feature.bins - 1;
    let any_missing = feature.missing && occupied[last / 64] >> (last % 64) & 1 == 1;
    let mut count = 0;
    let mut left = C::default();
    if any_missing {
        occupied[last / 64] &= !(1 << (last % 64));
        let missing = std::mem::take(&mut cells[last]);
        // Missing values alone may go left of the first.
        if occupied[0] & 1 == 0 {
            (lefts[0], places[0]) = (missing, MISSING_LEFT | ALONE);
            count = 1;
        }
        each_bit(occupied, |bin| {
            left = left.plus(std::mem::take(&mut cells[bin]));
            (lefts[count], places[count]) = (left, bin as u32);
            (lefts[count + 1], places[count + 1]) = (left.plus(missing), bin as u32 | MISSING_LEFT);
            count += 2;
        });
    } else {
        each_bit(occupied, |bin| {
            left = left.plus(std::mem::take(&mut cells[bin]));
            (lefts[count], places[count]) = (left, bin as u32);
            count += 1;
        });
    }
    ends.push((before + count, any_missing));
    count
}

/// Calls `see` with the number of each bit that is set, ascending.
#[inline(always)]
fn each_bit(words: [u64; 4], mut see: impl FnMut(usize)) {
    for (word, mut bits) in words.into_iter().enumerate() {
        while bits != 0 {
            see(64 * word + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
}
