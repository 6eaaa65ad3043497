//! Growing a tree: a node is a list of rows; its best split is found on its histogram, and divides it.
//!
//! Only the smaller child of a division is ever summed over its rows; the histogram of the other is what is left of the
//! parent's, exactly, since all sums are integers. A node of so few rows that going through the cells of a histogram would
//! take longer than sorting its rows has none: the bins that do occur are found by sorting, column by column.
//!
//! Where a node looks at some of the features only, drawn for it, those are summed one by one from the columns: of 28 features
//! 5 cost less than half of all, which is what the histogram of the smaller child would.
//!
//! All nodes may be divided at the same time, and in any order, where the number of leaves is not limited; where it is,
//! the node whose split gains most is divided first (of equals the one that was there first).

use crate::table::{BinnedTable, Binning};
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{Cell, LeftBins, Rows, partition, subtract};

/// When nodes are not divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_depth: usize,
    pub(crate) max_leaves: usize,
    pub(crate) min_samples_split: usize,
    /// The least weight of a child, in units of weights.
    pub(crate) min_weight: u64,
    /// Splits must gain more.
    pub(crate) min_gain: f64,
    /// Features that a node looks at, and more until one of them has a split.
    pub(crate) features: usize,
}

/// Which bins of a feature go left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Left {
    /// Those up to this one.
    UpTo(usize),
    /// Those whose bits are set.
    Set([u64; 4]),
}

/// A split of a node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Choice {
    pub(crate) feature: usize,
    pub(crate) left: Left,
    /// Where missing values go; `None` while the node has none.
    pub(crate) missing_left: Option<bool>,
    pub(crate) gain: f64,
}

/// A node; children are places in the same list.
#[derive(Clone, Debug)]
pub(crate) struct Grown<C> {
    pub(crate) sums: Vec<C>,
    pub(crate) rows: usize,
    /// The split and the children.
    pub(crate) split: Option<(Choice, usize, usize)>,
}

/// A node that is to be divided.
struct Open<C> {
    node: usize,
    rows: Range<usize>,
    depth: usize,
    key: u64,
    cells: Option<Vec<C>>,
    choice: Choice,
}

/// The one whose split gains most is the greatest; of equals the one that came first, as nodes are numbered.
impl<C> Ord for Open<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.choice.gain.total_cmp(&other.choice.gain).then(other.node.cmp(&self.node))
    }
}
impl<C> PartialOrd for Open<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<C> PartialEq for Open<C> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<C> Eq for Open<C> {}

/// A node to be, and its rows.
struct Part<C> {
    sums: Vec<C>,
    cells: Option<Vec<C>>,
    rows: Range<usize>,
    depth: usize,
    /// Of its random numbers: a function of the way from the root.
    key: u64,
}

/// The key of a child.
pub(crate) fn key_below(key: u64, is_right: bool) -> u64 {
    const WAY: u64 = Philox::purpose("way down a tree");
    Philox::new(key, WAY).bits(is_right.into())
}

/// All of `features` features in the random order in which the node of this key looks at them, as far as it does.
pub(crate) fn drawn(key: u64, features: usize) -> impl Iterator<Item = usize> {
    const DRAWN: u64 = Philox::purpose("features of a node");
    let random = Philox::new(key, DRAWN);
    let mut left: Vec<usize> = (0..features).collect();
    (0..features).map(move |i| left.swap_remove(random.below(i as u64, left.len() as u64) as usize))
}

/// Rows of both children from which these are grown at the same time.
const WORTH_SHARING: usize = 2048;

/// Rows of a node from which its features are searched at the same time.
const WORTH_SEARCHING_TOGETHER: usize = 16 << 10;

pub(crate) struct Grower<'a, T> {
    pub(crate) table: &'a BinnedTable,
    pub(crate) target: &'a T,
    pub(crate) limits: Limits,
}

impl<T: Target> Grower<'_, T> {
    /// The nodes of a tree over `rows`, in no particular order but that the first is the root. `key` is that of its random
    /// numbers.
    pub(crate) fn grow(&self, rows: &[u32], key: u64) -> Result<Vec<Grown<T::Cell>>> {
        let mut rows = rows.to_vec();
        let mut scratch = vec![0; rows.len()];
        let root = Part {
            sums: self.sums(&rows),
            cells: if self.is_few(rows.len()) { None } else { Some(self.histogram(&rows)?) },
            rows: 0..rows.len(),
            depth: 0,
            key,
        };
        if self.limits.max_leaves < rows.len() {
            self.best_first(root, &mut rows, &mut scratch)
        } else {
            self.subtree(root, &mut rows, &mut scratch)
        }
    }

    fn best_first(
        &self,
        root: Part<T::Cell>,
        rows: &mut [u32],
        scratch: &mut [u32],
    ) -> Result<Vec<Grown<T::Cell>>> {
        let (mut nodes, mut leaves) = (Vec::new(), 1);
        let mut open: BinaryHeap<Open<T::Cell>> = self.place(root, rows, &mut nodes)?.into_iter().collect();
        while leaves < self.limits.max_leaves
            && let Some(best) = open.pop()
        {
            for part in self.divide(best, rows, scratch, &mut nodes)? {
                open.extend(self.place(part, rows, &mut nodes)?);
            }
            leaves += 1;
        }
        Ok(nodes)
    }

    /// All nodes below and with `root`, whose rows are all of `rows`.
    fn subtree(
        &self,
        root: Part<T::Cell>,
        rows: &mut [u32],
        scratch: &mut [u32],
    ) -> Result<Vec<Grown<T::Cell>>> {
        let mut nodes = Vec::new();
        let mut open: Vec<Open<T::Cell>> = self.place(root, rows, &mut nodes)?.into_iter().collect();
        while let Some(next) = open.pop() {
            let parent = next.node;
            let [left, right] = self.divide(next, rows, scratch, &mut nodes)?;
            let (fewer, more) =
                (left.rows.len().min(right.rows.len()), left.rows.len().max(right.rows.len()));
            // Chains of one-sided splits must not become a chain of calls.
            if fewer < WORTH_SHARING || more > 16 * fewer {
                for part in [left, right] {
                    open.extend(self.place(part, rows, &mut nodes)?);
                }
                continue;
            }
            let (from, middle, end) = (left.rows.start, right.rows.start, right.rows.end);
            let (left_rows, right_rows) = rows[from..end].split_at_mut(middle - from);
            let (left_scratch, right_scratch) = scratch[from..end].split_at_mut(middle - from);
            let (below_left, below_right) = parallel::join(
                || self.subtree(Part { rows: 0..left_rows.len(), ..left }, left_rows, left_scratch),
                || self.subtree(Part { rows: 0..right_rows.len(), ..right }, right_rows, right_scratch),
            );
            for (child, below) in [below_left?, below_right?].into_iter().enumerate() {
                let first = nodes.len();
                nodes.extend(below.into_iter().map(|mut node| {
                    if let Some((_, left, right)) = &mut node.split {
                        (*left, *right) = (*left + first, *right + first);
                    }
                    node
                }));
                if let Some((_, left, right)) = &mut nodes[parent].split {
                    *(if child == 0 { left } else { right }) = first;
                }
            }
        }
        Ok(nodes)
    }

    /// Puts a node in the list, and finds its split if it is to have one.
    fn place(
        &self,
        part: Part<T::Cell>,
        rows: &[u32],
        nodes: &mut Vec<Grown<T::Cell>>,
    ) -> Result<Option<Open<T::Cell>>> {
        let Part { sums, cells, rows: range, depth, key } = part;
        let choice = self.search(&rows[range.clone()], &sums, cells.as_deref(), depth, key);
        let node = nodes.len();
        nodes.push(Grown { sums, rows: range.len(), split: None });
        Ok(choice.map(|choice| Open { node, rows: range, depth, key, cells, choice }))
    }

    /// Divides the rows of a node. Its children are told to be the next two nodes.
    fn divide(
        &self,
        open: Open<T::Cell>,
        rows: &mut [u32],
        scratch: &mut [u32],
        nodes: &mut [Grown<T::Cell>],
    ) -> Result<[Part<T::Cell>; 2]> {
        let Open { node, rows: range, depth, key, cells, mut choice } = open;
        let (rows, scratch) = (&mut rows[range.clone()], &mut scratch[range.clone()]);
        let lefts = self.divide_rows(&choice, rows, scratch)?;
        let (left_rows, right_rows) = rows.split_at(lefts);
        let small_is_left = lefts <= rows.len() - lefts;
        let small = if small_is_left { left_rows } else { right_rows };
        let small_sums = self.sums(small);
        let large_sums: Vec<T::Cell> =
            nodes[node].sums.iter().zip(&small_sums).map(|(all, &small)| all.minus(small)).collect();
        let (mut small_cells, mut large_cells) = (None, None);
        if let Some(mut cells) = cells
            && !self.is_few(rows.len() - small.len())
        {
            let of_small = self.histogram(small)?;
            subtract(&mut cells, &of_small)?;
            large_cells = Some(cells);
            small_cells = (!self.is_few(small.len())).then_some(of_small);
        }
        let middle = range.start + lefts;
        let (small, large) = ((small_sums, small_cells), (large_sums, large_cells));
        let (left, right) = if small_is_left { (small, large) } else { (large, small) };
        let part = |(sums, cells), rows, is_right| {
            let key = if self.draws() { key_below(key, is_right) } else { key };
            Part { sums, cells, rows, depth: depth + 1, key }
        };
        let left = part(left, range.start..middle, false);
        let right = part(right, middle..range.end, true);
        // What no row of the node tells goes where more of them go.
        let heavier = self.target.weight(&left.sums) > self.target.weight(&right.sums);
        choice.missing_left.get_or_insert(heavier);
        nodes[node].split = Some((choice, nodes.len(), nodes.len() + 1));
        Ok([left, right])
    }

    /// Puts the rows that go left in front, keeping the order on both sides; how many these are.
    pub(crate) fn divide_rows(
        &self,
        choice: &Choice,
        rows: &mut [u32],
        scratch: &mut [u32],
    ) -> Result<usize> {
        let missing = self.table.missing[choice.feature];
        let goes_left = choice.missing_left.unwrap_or(false);
        let words;
        let left = match choice.left {
            Left::UpTo(bin) => LeftBins::UpTo { bin, missing: missing.then_some(goes_left) },
            Left::Set(set) => {
                words = set;
                LeftBins::Set(&words)
            }
        };
        let lefts = partition(self.table.columns(), choice.feature, &self.rows(rows), left, scratch)?;
        rows.copy_from_slice(scratch);
        Ok(lefts)
    }

    fn sums(&self, rows: &[u32]) -> Vec<T::Cell> {
        let mut sums = vec![T::Cell::default(); self.target.width()];
        rows.iter().for_each(|&row| self.target.add(row, &mut sums));
        sums
    }

    /// Rows that are all there are need not be looked up.
    fn rows<'b>(&self, rows: &'b [u32]) -> Rows<'b> {
        let all = rows.len() == self.table.rows() && rows.is_sorted();
        if all { Rows::Range(0..rows.len()) } else { Rows::List(rows) }
    }

    pub(crate) fn histogram(&self, rows: &[u32]) -> Result<Vec<T::Cell>> {
        let mut cells = vec![T::Cell::default(); self.table.columns().cells() * self.target.width()];
        let rows = self.rows(rows);
        let mut rest = &mut cells[..];
        for tile in self.table.tiles() {
            let (here, after) = rest.split_at_mut(tile.cells() * self.target.width());
            self.target.histogram(tile, &rows, here)?;
            rest = after;
        }
        Ok(cells)
    }

    /// Whether nodes look at some of the features only.
    pub(crate) fn draws(&self) -> bool {
        self.limits.features < self.table.features()
    }

    /// Whether a node of so many rows goes without a histogram of all features: because sorting its rows in every column is
    /// less work than going through the cells, or because it does not look at all of them.
    fn is_few(&self, rows: usize) -> bool {
        if self.draws() {
            return true;
        }
        let cells = self.table.columns().cells();
        4 * rows * self.table.features() < cells
    }

    fn search(
        &self,
        rows: &[u32],
        sums: &[T::Cell],
        cells: Option<&[T::Cell]>,
        depth: usize,
        key: u64,
    ) -> Option<Choice> {
        if !self.may_divide(rows.len(), sums, depth) || self.target.is_pure(rows) {
            return None;
        }
        let of_feature = |feature: usize| match cells {
            Some(cells) => self.search_feature(feature, sums, self.of_feature(feature, cells), None),
            None if 4 * rows.len() < self.table.columns().count(feature) => {
                let (bins, cells) = self.sorted(feature, rows);
                self.search_feature(feature, sums, &cells, Some(&bins))
            }
            None => self.search_feature(feature, sums, &self.summed(feature, rows), None),
        };
        self.best_of_features(rows.len(), key, of_feature)
    }

    /// The best split of a node of which there is a histogram, and whose rows differ in what is learned if `differs`.
    pub(crate) fn search_cells(
        &self,
        (rows, differs): (usize, bool),
        sums: &[T::Cell],
        cells: &[T::Cell],
        depth: usize,
        key: u64,
    ) -> Option<Choice> {
        let of_feature =
            |feature: usize| self.search_feature(feature, sums, self.of_feature(feature, cells), None);
        let may = differs && self.may_divide(rows, sums, depth);
        may.then(|| self.best_of_features(rows, key, of_feature)).flatten()
    }

    /// Whether limits allow a node to be divided.
    fn may_divide(&self, rows: usize, sums: &[T::Cell], depth: usize) -> bool {
        let limits = &self.limits;
        depth < limits.max_depth
            && rows >= limits.min_samples_split.max(2)
            && self.target.weight(sums) >= 2 * limits.min_weight
    }

    /// The cells of a feature in those of all.
    pub(crate) fn of_feature<'b>(&self, feature: usize, cells: &'b [T::Cell]) -> &'b [T::Cell] {
        let (width, offsets) = (self.target.width(), self.table.columns().offsets());
        &cells[offsets[feature] * width..offsets[feature + 1] * width]
    }

    /// The best split of the features that a node with this key looks at.
    fn best_of_features(
        &self,
        rows: usize,
        key: u64,
        of_feature: impl Fn(usize) -> Option<Choice> + Sync,
    ) -> Option<Choice> {
        let of_all = |features: &[usize]| -> Vec<Option<Choice>> {
            if rows >= WORTH_SEARCHING_TOGETHER {
                parallel::map(features.len(), |i| of_feature(features[i]))
            } else {
                features.iter().map(|&feature| of_feature(feature)).collect()
            }
        };
        // The first of equals.
        let better = |best: Choice, next: Choice| {
            let first = next.gain > best.gain || next.gain == best.gain && next.feature < best.feature;
            if first { next } else { best }
        };
        let features = self.table.features();
        if !self.draws() {
            let all: Vec<usize> = (0..features).collect();
            return of_all(&all).into_iter().flatten().reduce(better);
        }
        let mut drawn = drawn(key, features);
        let few: Vec<usize> = drawn.by_ref().take(self.limits.features).collect();
        of_all(&few).into_iter().flatten().reduce(better).or_else(|| drawn.find_map(of_feature))
    }

    /// The cells of a feature, by its column.
    fn summed(&self, feature: usize, rows: &[u32]) -> Vec<T::Cell> {
        let (width, column) = (self.target.width(), self.column(feature));
        let mut cells = vec![T::Cell::default(); self.table.columns().count(feature) * width];
        for &row in rows {
            let first = usize::from(column[row as usize]) * width;
            self.target.add(row, &mut cells[first..first + width]);
        }
        cells
    }

    /// The bins of a feature, one per row.
    fn column(&self, feature: usize) -> &[u8] {
        let columns = self.table.columns();
        &columns.data()[feature * columns.rows()..][..columns.rows()]
    }

    /// The bins of a feature that these rows have, ascending, and their cells; and the first bin, since missing values alone
    /// may go left of it.
    fn sorted(&self, feature: usize, rows: &[u32]) -> (Vec<usize>, Vec<T::Cell>) {
        let (width, column) = (self.target.width(), self.column(feature));
        // A bin and a place in one number: a column has at most 256 bins, so there are fewer than 64 rows.
        let mut places: Vec<u32> =
            rows.iter().zip(0u32..).map(|(&row, at)| u32::from(column[row as usize]) << 16 | at).collect();
        places.sort_unstable();
        let (mut bins, mut cells) = (vec![0], vec![T::Cell::default(); width]);
        for place in places {
            let bin = (place >> 16) as usize;
            if bins.last() != Some(&bin) {
                bins.push(bin);
                cells.resize(cells.len() + width, T::Cell::default());
            }
            let last = cells.len() - width;
            self.target.add(rows[(place & 0xffff) as usize], &mut cells[last..]);
        }
        (bins, cells)
    }

    /// The best split of a feature. `bins` says which bins the cells are of, `None` that they are of all.
    fn search_feature(
        &self,
        feature: usize,
        sums: &[T::Cell],
        cells: &[T::Cell],
        bins: Option<&[usize]>,
    ) -> Option<Choice> {
        let (width, count) = (self.target.width(), self.table.columns().count(feature));
        let bin = |place: usize| bins.map_or(place, |bins| bins[place]);
        let places = cells.len() / width;
        let cell = |place: usize| &cells[place * width..][..width];
        let nothing = vec![T::Cell::default(); width];
        let last_is_missing = self.table.missing[feature] && bin(places - 1) + 1 == count;
        let any_missing = last_is_missing && cell(places - 1) != nothing;
        let best = |cells: &[T::Cell], missing: bool| {
            self.target.best(cells, missing, self.limits.min_gain, self.limits.min_weight)
        };
        let choice = |split: tilewise_kernels::tree::Split, left: Left| Choice {
            feature,
            left,
            missing_left: any_missing.then_some(split.missing_left),
            gain: split.gain,
        };
        if let Binning::Numeric { .. } = self.table.binnings[feature] {
            let split = best(cells, last_is_missing)?;
            return Some(choice(split, Left::UpTo(bin(split.bin))));
        }
        let mut order: Vec<usize> = (0..places - usize::from(last_is_missing)).collect();
        order.retain(|&place| cell(place) != nothing);
        let key = |place: &usize| self.target.key(cell(*place), sums);
        order.sort_by(|a, b| key(a).total_cmp(&key(b)));
        let mut ordered: Vec<T::Cell> = order.iter().flat_map(|&place| cell(place)).copied().collect();
        if any_missing {
            ordered.extend_from_slice(cell(places - 1));
        }
        let split = best(&ordered, any_missing)?;
        let mut set = [0u64; 4];
        let mut put = |bin: usize| set[bin / 64] |= 1 << (bin % 64);
        let lefts = &order[..=split.bin.min(order.len() - 1)];
        lefts.iter().for_each(|&place| put(bin(place)));
        if any_missing && split.missing_left {
            put(count - 1);
        }
        // Categories that the node does not have go where more of it goes.
        let weight = |places: &[usize]| places.iter().map(|&p| self.target.weight(cell(p))).sum::<u64>();
        let of_missing = if any_missing { self.target.weight(cell(places - 1)) } else { 0 };
        let left_weight = weight(lefts) + if split.missing_left { of_missing } else { 0 };
        if 2 * left_weight > self.target.weight(sums) {
            let mut here = [false; 256];
            order.iter().for_each(|&place| here[bin(place)] = true);
            let of_values = count - usize::from(self.table.missing[feature]);
            (0..of_values).filter(|&bin| !here[bin]).for_each(put);
        }
        Some(choice(split, Left::Set(set)))
    }
}
