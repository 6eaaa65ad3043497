//! The rows of a node, divided between its children.

use super::{Bin, Bins, Rows};
use crate::matrix::below;
use crate::scratch::Scratch;
use crate::{ShapeError, parallel};

/// Which bins of a feature go to the left child.
#[derive(Clone, Copy, Debug)]
pub enum LeftBins<'a> {
    /// Those up to `bin`. Where `missing` is given, the feature's last bin is that of missing values, and goes to the
    /// left if it says so.
    UpTo {
        /// The last of them.
        bin: usize,
        /// Where missing values go, if they have a bin.
        missing: Option<bool>,
    },
    /// Those whose bit is set, the first bin in the lowest bit of the first word; bins past the last word go right.
    Set(&'a [u64]),
}

impl LeftBins<'_> {
    /// Whether `bin` of a feature with `count` bins goes to the left.
    pub fn has(&self, bin: usize, count: usize) -> bool {
        match *self {
            LeftBins::UpTo { missing: Some(left), .. } if bin + 1 == count => left,
            LeftBins::UpTo { bin: last, .. } => bin <= last,
            LeftBins::Set(words) => words.get(bin / 64).is_some_and(|word| word >> (bin % 64) & 1 == 1),
        }
    }
}

/// Bins for each row from which it is cheaper to ask for the row's bin than to look it up in a table of all.
const LOOKED_UP: usize = 4;

/// Rows of a block: some 20 microseconds.
const BLOCK: usize = 16 << 10;

/// Puts the rows that go left before the ones that go right, both in the order they had, and answers how many go left. O(rows) time.
///
/// Every row is written to the next place on both sides and only one of the places moves on, so nothing depends on a
/// prediction; which way a bin goes is looked up in a table, if there are not many more bins than rows. Blocks of rows are divided in parallel and then copied to
/// where the counts of those before them say, so the result is the same at any number of threads. Memory is kept by the thread.
///
/// ```
/// use tilewise_kernels::tree::{Bins, LeftBins, partition};
/// let bins = Bins::column_major(&[3u8, 0, 1, 2], 4, &[0, 4]).unwrap();
/// let mut rows = [3, 2, 0, 1];
/// // The last bin holds missing values.
/// let left = LeftBins::UpTo { bin: 1, missing: Some(true) };
/// assert_eq!(partition(bins, 0, &mut rows, left), Ok(3));
/// assert_eq!(rows, [2, 0, 1, 3]);
/// ```
///
/// # Errors
/// When there is no such feature or row.
pub fn partition<B: Bin>(
    bins: Bins<'_, B>,
    feature: usize,
    rows: &mut [u32],
    left: LeftBins<'_>,
) -> Result<usize, ShapeError> {
    below("a feature", bins.features(), feature)?;
    Rows::List(rows).check(bins.rows())?;
    let count = bins.count(feature);
    let (first, stride) = bins.column(feature);
    let column = bins.data().get(first..).unwrap_or_default();
    if rows.len() < count / LOOKED_UP {
        return Ok(divide_all(rows, |row| left.has(column[row as usize * stride].into(), count)));
    }
    let goes_left: Vec<bool> = (0..count).map(|bin| left.has(bin, count)).collect();
    Ok(divide_all(rows, |row| goes_left[column[row as usize * stride].into()]))
}

/// Divides blocks of rows in parallel, and puts them together.
fn divide_all(rows: &mut [u32], goes_left: impl Fn(u32) -> bool + Copy + Sync) -> usize {
    let mut scratch = Scratch::new::<u32>(rows.len());
    let divided = &mut scratch.as_mut_slice::<u32>()[..rows.len()];
    if rows.len() <= BLOCK {
        return divide(rows, goes_left, divided);
    }
    let mut lefts = vec![0; rows.len().div_ceil(BLOCK)];
    {
        let blocks = rows.chunks_mut(BLOCK).zip(divided.chunks_mut(BLOCK)).zip(&mut lefts);
        let blocks: Vec<_> = blocks.map(std::sync::Mutex::new).collect();
        parallel::for_each(blocks.len(), |i| {
            if let Ok(mut block) = blocks[i].lock() {
                let ((rows, divided), lefts) = &mut *block;
                **lefts = divide(rows, goes_left, divided);
                divided.copy_from_slice(rows);
            }
        });
    }
    let all = lefts.iter().sum();
    let (mut to_left, mut to_right) = rows.split_at_mut(all);
    let mut moves = Vec::with_capacity(lefts.len());
    for (block, &lefts) in divided.chunks(BLOCK).zip(&lefts) {
        let (left, right) = block.split_at(lefts);
        let (l, r);
        (l, to_left) = to_left.split_at_mut(left.len());
        (r, to_right) = to_right.split_at_mut(right.len());
        moves.push(std::sync::Mutex::new((left, right, l, r)));
    }
    parallel::for_each(moves.len(), |i| {
        if let Ok(mut block) = moves[i].lock() {
            let (left, right, l, r) = &mut *block;
            l.copy_from_slice(left);
            r.copy_from_slice(right);
        }
    });
    all
}

/// Divides rows in place, with room for as many; answers how many go left.
fn divide(rows: &mut [u32], goes_left: impl Fn(u32) -> bool, room: &mut [u32]) -> usize {
    let mut lefts = 0;
    for i in 0..rows.len() {
        let row = rows[i];
        // lefts <= i: neither place holds a row that is still to come.
        rows[lefts] = row;
        room[i - lefts] = row;
        lefts += usize::from(goes_left(row));
    }
    let rights = rows.len() - lefts;
    rows[lefts..].copy_from_slice(&room[..rights]);
    lefts
}
