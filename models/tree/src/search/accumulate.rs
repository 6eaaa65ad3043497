//! Sums and counts of the rows of a node by the bins of one feature.

use super::{BINS, View};
use crate::codes::{Code, Marks};
use crate::target::Target;
use tilewise_kernels::tree::Cell;

/// Marks the bins whose cells hold something.
pub(super) fn mark<C: Cell>(cells: &[C], width: usize, occupied: &mut impl Marks) {
    for (bin, cells) in cells.chunks_exact(width).enumerate() {
        occupied.set_if(bin, cells.iter().any(|cell| *cell != C::default()));
    }
}

/// Adds rows to the cells of their bins, which are all nothing before, and marks those that then hold something.
#[inline(never)]
pub(super) fn accumulate<T: Target, B: Code>(
    target: &T,
    column: &[B],
    rows: &[u32],
    values: &[T::Value],
    count: usize,
    cells: &mut [T::Cell],
    occupied: &mut B::Marks,
) {
    /// Rows from which it is cheaper to look at all cells afterwards, if these are not many more.
    const MANY: usize = 256;
    /// Copies of the cells of a feature of few bins: an addition to the cell of the one before waits for it.
    const COPIES: usize = 4;
    let width = target.width();
    if rows.len() < MANY.max(count / 4) {
        for (&row, &value) in rows.iter().zip(values) {
            let bin: usize = column[row as usize].into();
            occupied.set(bin);
            target.put(value, &mut cells[bin * width..][..width]);
        }
        return;
    }
    let used = count * width;
    if count * COPIES <= BINS / 2 {
        let (several, last) = rows.as_chunks::<COPIES>();
        let (of_several, of_last) = values.split_at(several.len() * COPIES);
        for (rows, values) in several.iter().zip(of_several.as_chunks::<COPIES>().0) {
            for (copy, (&row, &value)) in rows.iter().zip(values).enumerate() {
                let bin: usize = column[row as usize].into();
                let at = copy * used + bin * width;
                target.put(value, &mut cells[at..][..width]);
            }
        }
        for (&row, &value) in last.iter().zip(of_last) {
            let bin: usize = column[row as usize].into();
            target.put(value, &mut cells[bin * width..][..width]);
        }
        let (first, others) = cells[..COPIES * used].split_at_mut(used);
        for copy in others.chunks_exact_mut(used) {
            for (sum, cell) in first.iter_mut().zip(copy) {
                *sum = sum.plus(*cell);
                *cell = T::Cell::default();
            }
        }
    } else {
        for (&row, &value) in rows.iter().zip(values) {
            let bin: usize = column[row as usize].into();
            target.put(value, &mut cells[bin * width..][..width]);
        }
    }
    mark(&cells[..used], width, occupied);
}

/// Counts the rows of each bin; all of them are in one of `order`.
pub(super) fn count_rows<B: Code>(
    view: &View<'_, B>,
    feature: usize,
    rows: &[u32],
    order: &[u16],
    counts: &mut Vec<u32>,
) {
    let most = order.last().map_or(0, |&bin| usize::from(bin) + 1);
    counts.resize(counts.len().max(most), 0);
    // The first bin is asked for whether it has rows or not: to its left there may be missing values alone.
    [0].iter().chain(order).for_each(|&bin| counts[usize::from(bin)] = 0);
    let column = view.column(feature);
    for &row in rows {
        let bin: usize = column[row as usize].into();
        counts[bin] += 1;
    }
}
