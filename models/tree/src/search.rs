//! The best split of a node.
//!
//! A node of many rows comes with a histogram of all features, which a kernel scans. Any other node is summed feature by
//! feature into cells that are used again: what a bin holds is read once, in the order of bins that hold something, and put
//! back to nothing. So a feature costs a node of n rows some n steps, however many bins there are.

use crate::constraints::State;
use crate::grow::{Choice, Left, Limits, Splitter};
use crate::table::{BinnedTable, Binning};
use crate::target::{Candidates, FewRows, Room, Rule, Target};
use std::ops::{ControlFlow, Range};
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{Asked, Cell, Split};

/// Where the bins of rows lie.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [u8],
    /// The distance from a feature to the next.
    pub(crate) feature: usize,
}

impl<'a> View<'a> {
    /// The bin of a row of a feature stands where the row says.
    fn column(&self, feature: usize) -> &'a [u8] {
        &self.data[feature * self.feature..]
    }
}

/// A node that may be divided.
#[derive(Clone, Copy)]
pub(crate) struct Searched<'a, T: Target> {
    pub(crate) view: View<'a>,
    /// Its rows by their places in the view (those of their bins of the first feature), and what they bring. With a
    /// histogram they are read only to count rows.
    pub(crate) rows: &'a [u32],
    pub(crate) values: &'a [T::Value],
    /// How many rows there are.
    pub(crate) count: usize,
    pub(crate) sums: &'a [T::Cell],
    /// The cells of all features.
    pub(crate) histogram: Option<&'a [T::Cell]>,
    pub(crate) state: &'a State,
}

/// Memory of a search. All cells are nothing between searches.
pub(crate) struct Scratch<T: Target> {
    cells: Vec<T::Cell>,
    /// Rows of each bin, where they are counted.
    counts: Vec<u32>,
    order: Vec<u16>,
    room: Room<T::Cell>,
    /// The left side of a split that is drawn.
    drawn_left: Vec<T::Cell>,
    /// All features in any order, and how to undo what a draw has moved.
    features: Vec<u32>,
    moved: Vec<usize>,
    /// Those that a node looks at, and those of them that are asked together.
    few: Vec<usize>,
    asked: Vec<Asked>,
}

/// Bins that a byte can name.
const BINS: usize = 256;

impl<T: Target> Scratch<T> {
    pub(crate) fn new(target: &T, features: usize) -> Self {
        Self {
            cells: vec![T::Cell::default(); BINS * target.width()],
            counts: vec![0; BINS],
            order: Vec::with_capacity(BINS),
            room: Room::default(),
            drawn_left: Vec::new(),
            features: (0..features as u32).collect(),
            moved: Vec::new(),
            few: Vec::new(),
            asked: Vec::new(),
        }
    }
}

/// Calls `see` (how many were seen before, feature) with the features of a node of this key in random order until it has seen
/// enough. `features` holds all of them in ascending order, before and after; `moved` is room.
pub fn draw(
    key: u64,
    features: &mut [u32],
    moved: &mut Vec<usize>,
    mut see: impl FnMut(usize, usize) -> ControlFlow<()>,
) {
    const DRAWN: u64 = Philox::purpose("features of a node");
    let random = Philox::new(key, DRAWN);
    moved.clear();
    let mut words = [0; 4];
    for left in (1..=features.len()).rev() {
        let seen = moved.len();
        if seen.is_multiple_of(4) {
            words = random.words(seen as u64 / 4);
        }
        // The bias is below features / 2^32.
        let place = ((u64::from(words[seen % 4]) * left as u64) >> 32) as usize;
        let feature = features[place];
        features.swap(place, left - 1);
        moved.push(place);
        if see(seen, feature as usize).is_break() {
            break;
        }
    }
    while let Some(place) = moved.pop() {
        features.swap(place, features.len() - 1 - moved.len());
    }
}

/// All features in the order of [`draw`].
#[cfg(test)]
pub(crate) fn drawn(key: u64, features: usize) -> Vec<usize> {
    let mut all: Vec<u32> = (0..features as u32).collect();
    let mut order = Vec::new();
    draw(key, &mut all, &mut Vec::new(), |_, feature| {
        order.push(feature);
        ControlFlow::Continue(())
    });
    order
}

/// The bin up to which rows go left where splits are drawn: one of those from `first` to before `last`.
pub(crate) fn drawn_bin(key: u64, feature: usize, first: usize, last: usize) -> usize {
    const THRESHOLD: u64 = Philox::purpose("threshold of a node");
    let many = (last - first).max(1) as u64;
    first + Philox::new(key, THRESHOLD).below(feature as u64, many) as usize
}

/// Additions, or cells that are gone through, from which features are searched at the same time (some 50 microseconds).
const WORTH_SHARING: usize = 64 << 10;

/// Rows of a feature that are added up as one of several blocks.
const BLOCK: usize = 16 << 10;

/// What the splits of a node are searched with.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a, T> {
    pub(crate) table: &'a BinnedTable,
    pub(crate) target: &'a T,
    pub(crate) limits: &'a Limits,
    /// How the work of large nodes is divided; those below them are grown at the same time in any case.
    pub(crate) scheme: Scheme,
}

/// The better of two; of equals that of the first feature.
fn better(best: Option<Choice>, next: Option<Choice>) -> Option<Choice> {
    let (Some(a), Some(b)) = (best, next) else { return best.or(next) };
    let first = b.gain > a.gain || b.gain == a.gain && b.feature < a.feature;
    Some(if first { b } else { a })
}

impl<T: Target> Search<'_, T> {
    /// The split of a node that gains most among the features it looks at: all, or some that are drawn for it, and more of
    /// these until one has a split.
    pub(crate) fn best(&self, node: &Searched<'_, T>, scratch: &mut Scratch<T>) -> Option<Choice> {
        let all = self.table.features();
        // Cells to go through, or rows to add up.
        let work = node.histogram.map_or(node.count * self.limits.features.min(all), <[T::Cell]>::len);
        let together = work >= WORTH_SHARING && self.scheme != Scheme::Rows;
        let mut few = std::mem::take(&mut scratch.few);
        few.clear();
        let mut best = None;
        if self.limits.features >= all {
            few.extend(0..all);
            best = self.of_features(&few, together, node, scratch);
        } else {
            let mut features = std::mem::take(&mut scratch.features);
            let mut moved = std::mem::take(&mut scratch.moved);
            draw(node.state.key, &mut features, &mut moved, |seen, feature| {
                few.push(feature);
                if seen + 1 >= self.limits.features {
                    best = better(best, self.of_features(&few, together && few.len() > 1, node, scratch));
                    few.clear();
                    if best.is_some() {
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            (scratch.features, scratch.moved) = (features, moved);
        }
        scratch.few = few;
        best
    }

    /// The best split of some features; at the same time if `together`.
    fn of_features(
        &self,
        features: &[usize],
        together: bool,
        node: &Searched<'_, T>,
        scratch: &mut Scratch<T>,
    ) -> Option<Choice> {
        let may = |feature: usize| self.limits.constraints.may_use(node.state, feature);
        if together {
            let found = parallel::map(features.len(), |i| {
                let feature = features[i];
                may(feature).then(|| self.of_feature(feature, node, &mut Scratch::new(self.target, 0)))?
            });
            return found.into_iter().fold(None, better);
        }
        let mut best = None;
        let mut asked = std::mem::take(&mut scratch.asked);
        asked.clear();
        let in_blocks = self.scheme == Scheme::Rows && node.rows.len() > BLOCK;
        for &feature in features.iter().filter(|&&feature| may(feature)) {
            if node.histogram.is_none() && !in_blocks && self.is_plain(feature) {
                asked.push(Asked {
                    feature,
                    place: feature * node.view.feature,
                    bins: self.table.columns().count(feature),
                    missing: self.table.missing[feature],
                });
            } else {
                best = better(best, self.of_feature(feature, node, scratch));
            }
        }
        if !asked.is_empty() {
            let rows = FewRows {
                bins: node.view.data,
                rows: node.rows,
                values: node.values,
                sums: node.sums,
                asked: &asked,
            };
            if let Some(found) = self.target.split_of_rows(&rows, self.rule(), &mut scratch.room) {
                let choice = |(split, any_missing): (Split, bool)| Choice {
                    feature: split.feature,
                    left: Left::UpTo(split.bin),
                    missing_left: any_missing.then_some(split.missing_left),
                    gain: split.gain,
                };
                best = better(best, found.map(choice));
            } else {
                for asked in &asked {
                    best = better(best, self.of_feature(asked.feature, node, scratch));
                }
            }
        }
        scratch.asked = asked;
        best
    }

    /// The best split of one feature.
    fn of_feature(&self, feature: usize, node: &Searched<'_, T>, scratch: &mut Scratch<T>) -> Option<Choice> {
        let (table, width) = (self.table, self.target.width());
        let count = table.columns().count(feature);
        if let Some(histogram) = node.histogram {
            let first = table.columns().offsets()[feature];
            let cells = &histogram[first * width..(first + count) * width];
            if self.is_plain(feature)
                && let Some(split) = self.target.scan_all(cells, table.missing[feature], self.rule())
            {
                let split = split?;
                let nothing = |cells: &[T::Cell]| cells.iter().all(|cell| *cell == T::Cell::default());
                let any_missing = table.missing[feature] && !nothing(&cells[(count - 1) * width..]);
                let left = Left::UpTo(split.bin);
                let missing_left = any_missing.then_some(split.missing_left);
                return Some(Choice { feature, left, missing_left, gain: split.gain });
            }
            let occupied = occupied(cells, width);
            return self.of_bins(feature, node, cells, occupied, scratch);
        }
        let column = node.view.column(feature);
        let mut cells = std::mem::take(&mut scratch.cells);
        let occupied = if self.scheme == Scheme::Rows && node.rows.len() > BLOCK {
            self.by_blocks(column, node, &mut cells[..count * width])
        } else {
            accumulate(self.target, column, node.rows, node.values, count, &mut cells)
        };
        let choice = self.of_bins(feature, node, &cells[..count * width], occupied, scratch);
        if width == 1 {
            each_bit(occupied, |bin| cells[bin] = T::Cell::default());
        } else {
            each_bit(occupied, |bin| {
                cells[bin * width..(bin + 1) * width].iter_mut().for_each(|cell| *cell = T::Cell::default());
            });
        }
        scratch.cells = cells;
        choice
    }

    /// As [`accumulate`], for blocks of rows at the same time. Sums are integers: no bit depends on the blocks.
    fn by_blocks(&self, column: &[u8], node: &Searched<'_, T>, cells: &mut [T::Cell]) -> [u64; 4] {
        let width = self.target.width();
        let of_rows = |rows: Range<usize>| {
            let mut cells = vec![T::Cell::default(); BINS * width];
            let (rows, values) = (&node.rows[rows.clone()], &node.values[rows]);
            accumulate(self.target, column, rows, values, BINS, &mut cells);
            cells
        };
        let merged = parallel::map_reduce(node.rows.len(), BLOCK, of_rows, |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = a.plus(b));
            a
        });
        cells.iter_mut().zip(merged.unwrap_or_default()).for_each(|(cell, sum)| *cell = sum);
        occupied(cells, width)
    }

    fn rule(&self) -> Rule {
        let min_gain = self.limits.min_gain / self.target.gain_unit();
        Rule { min_weight: self.limits.min_weight.max(1), min_gain }
    }

    /// Whether nothing but sums decides about the splits of a feature of numbers.
    fn is_plain(&self, feature: usize) -> bool {
        matches!(self.table.binnings[feature], Binning::Numeric { .. })
            && self.limits.splitter == Splitter::Best
            && !self.limits.is_watched()
    }

    /// The best split of a feature of which these bins hold rows.
    fn of_bins(
        &self,
        feature: usize,
        node: &Searched<'_, T>,
        cells: &[T::Cell],
        occupied: [u64; 4],
        scratch: &mut Scratch<T>,
    ) -> Option<Choice> {
        let (table, target, width) = (self.table, self.target, self.target.width());
        let count = table.columns().count(feature);
        let of_bin = |bin: usize| &cells[bin * width..][..width];
        let numeric = matches!(table.binnings[feature], Binning::Numeric { .. });
        let has = |bin: usize| occupied[bin / 64] >> (bin % 64) & 1 == 1;
        let any_missing = table.missing[feature] && has(count - 1);
        let Scratch { counts, order, room, drawn_left, .. } = scratch;
        let holding = occupied.iter().map(|bits| bits.count_ones()).sum::<u32>();
        if holding < 2 {
            return None;
        }
        order.clear();
        each_bit(occupied, |bin| order.push(bin as u16));
        if any_missing {
            order.pop();
        }
        let mut random = None;
        if !numeric {
            let key = |bin: &u16| target.key(of_bin(usize::from(*bin)), node.sums);
            order.sort_by(|a, b| key(a).total_cmp(&key(b)));
        }
        if self.limits.splitter == Splitter::Random {
            // Of categories a place in their order, of numbers any bin between the first and the last.
            let places = order.len() - 1;
            let (first, last) = if numeric { (order[0], order[places]) } else { (0, places as u16) };
            let drawn = drawn_bin(node.state.key, feature, first.into(), last.into());
            let place =
                if numeric { order.partition_point(|&bin| usize::from(bin) <= drawn) - 1 } else { drawn };
            random = Some((place, drawn));
        } else if numeric && any_missing && order[0] != 0 {
            // Missing values alone may go left of the first.
            order.insert(0, 0);
        }
        let missing = any_missing.then(|| of_bin(count - 1));
        let limits = self.limits;
        let order: &[u16] = order;
        let candidates = match random {
            // The one candidate is a bin.
            Some((place, _)) => {
                drawn_left.clear();
                drawn_left.resize(width, T::Cell::default());
                for &bin in &order[..=place] {
                    let cells = of_bin(bin.into());
                    drawn_left.iter_mut().zip(cells).for_each(|(sum, &cell)| *sum = sum.plus(cell));
                }
                Candidates { cells: drawn_left, order: &[0], missing, all: node.sums }
            }
            None => Candidates { cells, order, missing, all: node.sums },
        };
        if limits.min_rows > 1 {
            count_rows(&node.view, feature, node.rows, counts);
        }
        let rows = |bins: &[u16]| bins.iter().map(|&bin| counts[usize::from(bin)]).sum::<u32>() as usize;
        // `lefts` says which bins go left at a place of the candidates.
        let mut scan = |candidates: &Candidates<'_, T::Cell>, lefts: &dyn Fn(usize) -> Range<usize>| {
            if !limits.is_watched() {
                return target.scan(candidates, self.rule(), room);
            }
            let allowed = |(place, missing_left): (usize, bool), left: &[T::Cell], right: &[T::Cell]| {
                let enough = || {
                    let of_missing = if missing_left { rows(&[count as u16 - 1]) } else { 0 };
                    let on_left = rows(&order[lefts(place)]) + of_missing;
                    on_left.min(node.rows.len() - on_left) >= limits.min_rows
                };
                let levels = || (target.level(left), target.level(right));
                (limits.min_rows <= 1 || enough()) && limits.constraints.allow(node.state, feature, levels)
            };
            room.scan(target, candidates, self.rule(), allowed)
        };
        let up_to = |place: usize| 0..random.map_or(place, |(place, _)| place) + 1;
        let mut best = scan(&candidates, &up_to).map(|found| (found, up_to(found.place)));
        if !numeric && !target.is_ordered() && random.is_none() {
            // Where no order of categories is best, each may also stand against all others.
            for place in 0..order.len() {
                let alone = Candidates { order: &order[place..=place], ..candidates };
                if let Some(found) = scan(&alone, &|_| place..place + 1)
                    && best.as_ref().is_none_or(|(best, _)| found.gain > best.gain)
                {
                    best = Some((found, place..place + 1));
                }
            }
        }
        let (found, lefts) = best?;
        let left = if numeric {
            Left::UpTo(random.map_or_else(|| usize::from(order[found.place]), |(_, drawn)| drawn))
        } else {
            let weight =
                |bins: &[u16]| bins.iter().map(|&bin| target.weight(of_bin(bin.into()))).sum::<u64>();
            let lefts = &order[lefts];
            let of_missing =
                if found.missing_left { missing.map_or(0, |cells| target.weight(cells)) } else { 0 };
            let mut set = [0_u64; 4];
            let mut put = |bin: usize| set[bin / 64] |= 1 << (bin % 64);
            lefts.iter().for_each(|&bin| put(bin.into()));
            if any_missing && found.missing_left {
                put(count - 1);
            }
            // Categories that the node does not have go where more of it goes, and those that no node has, in the bin
            // behind all others.
            if 2 * (weight(lefts) + of_missing) > target.weight(node.sums) {
                let of_values = count - usize::from(table.missing[feature]);
                (0..of_values).filter(|&bin| !has(bin)).chain([count]).for_each(put);
            }
            Left::Set(set)
        };
        let missing_left = any_missing.then_some(found.missing_left);
        Some(Choice { feature, left, missing_left, gain: found.gain })
    }
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

/// The bins whose cells hold something, a bit each.
fn occupied<C: Cell>(cells: &[C], width: usize) -> [u64; 4] {
    let mut occupied = [0; 4];
    for (bin, cells) in cells.chunks_exact(width).enumerate() {
        let holds = cells.iter().any(|cell| *cell != C::default());
        occupied[bin / 64] |= u64::from(holds) << (bin % 64);
    }
    occupied
}

/// Adds rows to the cells of their bins, which are all nothing before; answers which then hold something.
#[inline(never)]
fn accumulate<T: Target>(
    target: &T,
    column: &[u8],
    rows: &[u32],
    values: &[T::Value],
    count: usize,
    cells: &mut [T::Cell],
) -> [u64; 4] {
    /// Rows from which it is cheaper to look at all cells afterwards.
    const MANY: usize = 256;
    /// Copies of the cells of a feature of few bins: an addition to the cell of the one before waits for it.
    const COPIES: usize = 4;
    let width = target.width();
    if rows.len() < MANY {
        let mut occupied = [0_u64; 4];
        for (&row, &value) in rows.iter().zip(values) {
            let bin = usize::from(column[row as usize]);
            occupied[bin / 64] |= 1 << (bin % 64);
            target.put(value, &mut cells[bin * width..][..width]);
        }
        return occupied;
    }
    let used = count * width;
    if count * COPIES <= BINS / 2 {
        let (several, last) = rows.as_chunks::<COPIES>();
        let (of_several, of_last) = values.split_at(several.len() * COPIES);
        for (rows, values) in several.iter().zip(of_several.as_chunks::<COPIES>().0) {
            for (copy, (&row, &value)) in rows.iter().zip(values).enumerate() {
                let at = copy * used + usize::from(column[row as usize]) * width;
                target.put(value, &mut cells[at..][..width]);
            }
        }
        for (&row, &value) in last.iter().zip(of_last) {
            let bin = usize::from(column[row as usize]);
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
            let bin = usize::from(column[row as usize]);
            target.put(value, &mut cells[bin * width..][..width]);
        }
    }
    occupied(&cells[..used], width)
}

fn count_rows(view: &View<'_>, feature: usize, rows: &[u32], counts: &mut [u32]) {
    counts.fill(0);
    let column = view.column(feature);
    rows.iter().for_each(|&row| counts[usize::from(column[row as usize])] += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_drawn_without_repetition_and_put_back() {
        for features in [1, 2, 5, 28, 100] {
            let (mut all, mut moved): (Vec<u32>, _) = ((0..features).collect(), Vec::new());
            let mut firsts = vec![0; features as usize];
            for key in 0..2000 {
                let mut seen = Vec::new();
                draw(key, &mut all, &mut moved, |place, feature| {
                    assert_eq!(place, seen.len());
                    seen.push(feature);
                    if key % 3 == 0 && place == 1 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
                assert!(all.iter().copied().eq(0..features));
                firsts[seen[0]] += 1;
                assert_eq!(
                    seen.len(),
                    if key % 3 == 0 { 2.min(features as usize) } else { features as usize }
                );
                seen.sort_unstable();
                assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
            }
            // Each is the first about equally often: within six standard deviations.
            let mean = 2000.0 / f64::from(features);
            assert!(firsts.iter().all(|&n| (f64::from(n) - mean).abs() <= 6.0 * mean.sqrt()), "{firsts:?}");
        }
    }
}
