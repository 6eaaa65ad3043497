//! The rows of a node, divided between its children.

use super::{Bin, Bins};
use crate::matrix::below;
use crate::scratch::Scratch;
use crate::simd::{Lanes, LanesOfEverySet, Task};
use crate::{ShapeError, parallel};
use std::sync::Mutex;

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

/// Bins that a byte can name.
const BYTES: usize = 256;

/// Rows of a block: some 5 microseconds.
const BLOCK: usize = 8 << 10;

/// Rows that are looked at together.
const TOGETHER: usize = 16;

/// Puts the rows that go left before the ones that go right, both in the order they had, and answers how many go left. O(rows) time.
///
/// Nothing depends on a prediction: which way a bin goes is looked up in a table, if there are not many more bins than rows, and the rows
/// of each side are packed 16 at a time. Blocks of rows are divided in parallel and then copied to
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
/// When there is no such feature, or no such row: then the rows are in any order.
pub fn partition<B: Bin>(
    bins: Bins<'_, B>,
    feature: usize,
    rows: &mut [u32],
    left: LeftBins<'_>,
) -> Result<usize, ShapeError> {
    below("a feature", bins.features(), feature)?;
    let count = bins.count(feature);
    let (first, stride) = bins.column(feature);
    let column = bins.data().get(first..).unwrap_or_default();
    // Rows that are not there are told by their numbers; until then they are the last.
    let last = bins.rows().saturating_sub(1);
    let Some(column) = column.get(..last * stride + 1) else {
        return rows.first().map_or(Ok(0), |&row| below("a row number", 0, row as usize).map(|()| 0));
    };
    let bin = |row: u32| -> usize { column[(row as usize).min(last) * stride].into() };
    let (lefts, most) = if rows.len() < count / LOOKED_UP {
        divide_all(rows, |row| left.has(bin(row), count))
    } else if count > BYTES {
        let goes_left: Vec<bool> = (0..count).map(|bin| left.has(bin, count)).collect();
        divide_all(rows, |row| goes_left[bin(row)])
    } else {
        let goes_left: [bool; BYTES] = std::array::from_fn(|bin| bin < count && left.has(bin, count));
        if stride == 1 {
            divide_all(rows, |row| {
                let bin: usize = column[(row as usize).min(column.len() - 1)].into();
                goes_left[bin & (BYTES - 1)]
            })
        } else {
            divide_all(rows, |row| goes_left[bin(row) & (BYTES - 1)])
        }
    };
    most.map_or(Ok(()), |most| below("a row number", bins.rows(), most as usize))?;
    Ok(lefts)
}

/// Divides blocks of rows in parallel, and puts them together; answers how many go left, and the largest row.
fn divide_all(rows: &mut [u32], goes_left: impl Fn(u32) -> bool + Copy + Sync) -> (usize, Option<u32>) {
    let mut scratch = Scratch::new::<u32>(rows.len());
    let divided = &mut scratch.as_mut_slice::<u32>()[..rows.len()];
    if rows.len() <= BLOCK {
        let (lefts, most) = f32::dispatch(Divide { rows, others: divided, stays: goes_left });
        let rights = rows.len() - lefts;
        rows[lefts..].copy_from_slice(&divided[..rights]);
        return (lefts, most);
    }
    let mut of_blocks = vec![(0, None); rows.len().div_ceil(BLOCK)];
    {
        let blocks = rows.chunks_mut(BLOCK).zip(divided.chunks_mut(BLOCK)).zip(&mut of_blocks);
        let blocks: Vec<_> = blocks.map(Mutex::new).collect();
        parallel::for_each(blocks.len(), |i| {
            if let Ok(mut block) = blocks[i].lock() {
                let ((rows, divided), of_block) = &mut *block;
                let task = Divide { rows, others: divided, stays: |row| !goes_left(row) };
                let (rights, most) = f32::dispatch(task);
                let lefts = rows.len() - rights;
                divided[lefts..].copy_from_slice(&rows[..rights]);
                **of_block = (lefts, most);
            }
        });
    }
    let all = of_blocks.iter().map(|(lefts, _)| lefts).sum();
    let (mut to_left, mut to_right) = rows.split_at_mut(all);
    let mut moves = Vec::with_capacity(of_blocks.len());
    for (block, &(lefts, _)) in divided.chunks(BLOCK).zip(&of_blocks) {
        let (left, right) = block.split_at(lefts);
        let (l, r);
        (l, to_left) = to_left.split_at_mut(left.len());
        (r, to_right) = to_right.split_at_mut(right.len());
        moves.push(Mutex::new((left, right, l, r)));
    }
    parallel::for_each(moves.len(), |i| {
        if let Ok(mut block) = moves[i].lock() {
            let (left, right, l, r) = &mut *block;
            l.copy_from_slice(left);
            r.copy_from_slice(right);
        }
    });
    (all, of_blocks.iter().filter_map(|&(_, most)| most).max())
}

/// Packs rows that stay to the front of `rows`, and the others to that of `others`, which is as long; answers how many stay and the
/// largest row. One row after the other, each written to both sides, took 4.5 cycles a row instead of 1.5 (500,000 rows, Zen 5).
struct Divide<'a, F> {
    rows: &'a mut [u32],
    others: &'a mut [u32],
    stays: F,
}

impl<F: Fn(u32) -> bool> Task<f32> for Divide<'_, F> {
    type Output = (usize, Option<u32>);
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, simd: S) -> Self::Output {
        let Self { rows, others, stays } = self;
        let others = &mut others[..rows.len()];
        let (mut kept, mut at) = (0, 0);
        let mut most = [0; TOGETHER];
        while let Some(&block) = rows[at..].first_chunk::<TOGETHER>() {
            most.iter_mut().zip(&block).for_each(|(most, &row)| *most = row.max(*most));
            let stay = block.iter().enumerate().fold(0, |bits, (i, &row)| bits | u32::from(stays(row)) << i);
            let stay = stay as u16;
            // kept <= at: no place holds a row that is still to come.
            if let Some(to) = rows[kept..].first_chunk_mut() {
                simd.pack(&block, stay, to);
            }
            if let Some(to) = others[at - kept..].first_chunk_mut() {
                simd.pack(&block, !stay, to);
            }
            kept += stay.count_ones() as usize;
            at += TOGETHER;
        }
        for at in at..rows.len() {
            let row = rows[at];
            rows[kept] = row;
            others[at - kept] = row;
            kept += usize::from(stays(row));
            most[0] = most[0].max(row);
        }
        (kept, (!rows.is_empty()).then(|| most.into_iter().fold(0, u32::max)))
    }
}
