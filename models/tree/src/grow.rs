//! Growing a tree: a node is a list of rows; its best split is found on its sums, and divides it.
//!
//! Only the smaller child of a division is ever summed over its rows; the histogram of the other is what is left of the
//! parent's, exactly, since all sums are integers. Nodes that look at some of the features only, drawn for them, have no
//! histograms: of 28 features 5 cost less than half of all, which is what that of the smaller child would.
//!
//! A node of few rows is grown to its leaves on a copy of its rows ([`crate::local`]), since what costs there is to find a row
//! in memory.
//!
//! All nodes may be divided at the same time, and in any order, where the number of leaves is not limited; where it is,
//! the node whose split gains most is divided first (of equals the one that was there first), or the one that is nearest
//! to the root.

use crate::bundles::Bundles;
use crate::codes::{Code, Codes, of_codes};
use crate::columns::Columns;
use crate::constraints::{Constraints, State};
use crate::local::Local;
use crate::nodes::{Nodes, children};
use crate::oblivious;
use crate::search::{Scratch, Search, Searched, View};
use crate::table::BinnedTable;
use crate::target::{Target, add_to};
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{LeftBins, Rows, partition, subtract};

mod best_first;

use best_first::Open;

/// How the split of a feature is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splitter {
    /// The one that gains most.
    #[default]
    Best,
    /// One that is drawn, as in extremely randomised trees (Geurts, Ernst, Wehenkel, *Machine Learning* 63, 2006): of numbers a
    /// bin between the first and the last of the node, of categories a place in their order.
    Random,
}

/// Which node is divided next where leaves are limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// The one whose split gains most.
    #[default]
    LeafWise,
    /// One that is nearest to the root, of these the one whose split gains most.
    DepthWise,
    /// All nodes of a level at once and by the same test, whether leaves are limited or not. A gain is added to every candidate of a
    /// feature (a bin that any row of the level has) for each node and feature, however few rows the node has: O(rows + nodes x
    /// candidates) for a level and feature. Over columns of thousands of bins deep levels are slow.
    Oblivious,
}

/// When nodes are not divided, and how they are.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max_depth: usize,
    pub(crate) max_leaves: usize,
    pub(crate) min_samples_split: usize,
    /// The least weight of a child, in units of weights.
    pub(crate) min_weight: u64,
    /// The least number of rows of a child, where these are counted.
    pub(crate) min_rows: usize,
    /// Splits must gain more.
    pub(crate) min_gain: f64,
    /// Features that a node looks at, and more until one of them has a split.
    pub(crate) features: usize,
    pub(crate) splitter: Splitter,
    pub(crate) growth: Growth,
    pub(crate) constraints: Constraints,
    /// Features that the tree and its levels may use.
    pub(crate) columns: Columns,
}

/// Which bins of a feature go left.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Left {
    /// Those up to this one.
    UpTo(usize),
    /// Those whose bits are set.
    Set([u64; 4]),
}

/// A split of a node.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Choice {
    pub(crate) feature: usize,
    pub(crate) left: Left,
    /// Where missing values go; `None` while the node has none.
    pub(crate) missing_left: Option<bool>,
    pub(crate) gain: f64,
}

impl Choice {
    /// As the partition of rows takes it, for a feature that has a bin of missing values if `missing`.
    pub(crate) fn bins(&self, missing: bool) -> LeftBins<'_> {
        match &self.left {
            Left::UpTo(bin) => {
                LeftBins::UpTo { bin: *bin, missing: missing.then_some(self.missing_left.unwrap_or(false)) }
            }
            Left::Set(set) => LeftBins::Set(set),
        }
    }
}

/// A node that was divided, but is not yet in the list.
struct Division<C> {
    choice: Choice,
    rows: [Range<usize>; 2],
    sums: [Vec<C>; 2],
    cells: [Option<Vec<C>>; 2],
    states: [State; 2],
}

/// A node of the list and its rows.
struct Part<C> {
    node: usize,
    rows: Range<usize>,
    cells: Option<Vec<C>>,
    state: State,
}

/// The key of the random numbers of a child, from that of its parent.
pub fn key_below(key: u64, is_right: bool) -> u64 {
    const WAY: u64 = Philox::purpose("way down a tree");
    Philox::new(key, WAY).bits(is_right.into())
}

/// Rows that are added up as one of several blocks: some 20 microseconds.
const SUMMED: usize = 16 << 10;

/// Rows of both children from which these are grown at the same time.
const WORTH_SHARING: usize = 2048;

/// The nodes of a tree over `rows` of the table. `key` is that of its random numbers.
pub(crate) fn grow<T: Target>(
    table: &BinnedTable,
    target: &T,
    limits: &Limits,
    scheme: Scheme,
    rows: &[u32],
    key: u64,
) -> Result<Nodes<T::Cell>> {
    grow_on(table, target, limits, scheme, &mut rows.to_vec(), key)
}

/// As [`grow`], and puts `rows` into the order of leaves from left to right, those of a leaf in any order.
pub(crate) fn grow_on<T: Target>(
    table: &BinnedTable,
    target: &T,
    limits: &Limits,
    scheme: Scheme,
    rows: &mut [u32],
    key: u64,
) -> Result<Nodes<T::Cell>> {
    of_codes!(table.stored, codes => Grower::new(table, codes, target, limits, scheme).grow(rows, key))
}

pub(crate) struct Grower<'a, T, B> {
    search: Search<'a, T, B>,
}

impl<'a, T: Target, B: Code> Grower<'a, T, B> {
    /// `codes` are those of the table.
    pub(crate) fn new(
        table: &'a BinnedTable,
        codes: &'a Codes<B>,
        target: &'a T,
        limits: &'a Limits,
        scheme: Scheme,
    ) -> Self {
        Self { search: Search { table, codes, target, limits, scheme, uncounted: false } }
    }

    fn grow(&self, rows: &mut [u32], key: u64) -> Result<Nodes<T::Cell>> {
        let Search { target, limits, .. } = self.search;
        target.arrange(rows);
        let mut nodes = Nodes::new(target.width());
        let oblivious = limits.growth == Growth::Oblivious;
        let has_histogram = !oblivious && self.has_histogram(rows.len());
        let cells = if has_histogram { Some(self.histogram(rows)?) } else { None };
        let sums = cells.as_ref().map_or_else(|| self.sums(rows), |cells| self.sums_in(cells));
        let node = nodes.push(rows.len(), sums);
        if oblivious {
            oblivious::grow(&self.search, rows, key, &mut nodes)?;
            return Ok(nodes);
        }
        let root = Part { node, rows: 0..rows.len(), cells, state: limits.root(key) };
        let mut scratch = Scratch::of_all(&self.search);
        if limits.max_leaves < rows.len() {
            self.best_first(root, rows, &mut nodes, &mut scratch)?;
        } else {
            self.subtree(root, rows, &mut nodes, &mut scratch)?;
        }
        Ok(nodes)
    }

    /// Grows all that is below a node.
    fn subtree(
        &self,
        root: Part<T::Cell>,
        rows: &mut [u32],
        nodes: &mut Nodes<T::Cell>,
        scratch: &mut Scratch<T, B>,
    ) -> Result<()> {
        let mut parts = vec![root];
        while let Some(part) = parts.pop() {
            if !self.search.may_divide(part.rows.len(), nodes.sums(part.node), &part.state) {
                continue;
            }
            if part.cells.is_none() && Local::fits(&self.search, part.rows.len()) {
                let rows = &mut rows[part.rows];
                Local::new(&self.search, rows).grow(part.node, part.state, nodes, scratch, rows);
                continue;
            }
            let Some(next) = self.open(part, rows, nodes, scratch) else { continue };
            let [left, right] = self.divide(next, rows, nodes)?;
            let (fewer, more) =
                (left.rows.len().min(right.rows.len()), left.rows.len().max(right.rows.len()));
            // Chains of one-sided splits must not become a chain of calls.
            if fewer < WORTH_SHARING || more > 16 * fewer {
                parts.extend([right, left]);
                continue;
            }
            let (from, middle, end) = (left.rows.start, right.rows.start, right.rows.end);
            let (of_left, of_right) = rows[from..end].split_at_mut(middle - from);
            let grow = |part: Part<T::Cell>, rows: &mut [u32]| {
                let mut below = Nodes::new(nodes.width);
                let sums = nodes.sums(part.node).to_vec();
                let node = below.push(rows.len(), sums);
                let mut scratch = Scratch::of_all(&self.search);
                let root = Part { node, rows: 0..rows.len(), ..part };
                self.subtree(root, rows, &mut below, &mut scratch).map(|()| below)
            };
            let (left_node, right_node) = (left.node, right.node);
            let (below_left, below_right) = parallel::join(|| grow(left, of_left), || grow(right, of_right));
            nodes.graft(left_node, below_left?);
            nodes.graft(right_node, below_right?);
        }
        Ok(())
    }

    /// Finds the split of a node if it is to have one.
    fn open(
        &self,
        part: Part<T::Cell>,
        rows: &[u32],
        nodes: &Nodes<T::Cell>,
        scratch: &mut Scratch<T, B>,
    ) -> Option<Open<T::Cell>> {
        let rows = &rows[part.rows.clone()];
        let choice = self.choose(rows, nodes.sums(part.node), &part.state, part.cells.as_deref(), scratch)?;
        Some(self.opened(part, choice))
    }

    /// The split of a node of these rows, if it is to have one.
    fn choose(
        &self,
        rows: &[u32],
        sums: &[T::Cell],
        state: &State,
        histogram: Option<&[T::Cell]>,
        scratch: &mut Scratch<T, B>,
    ) -> Option<Choice> {
        let Search { codes, target, .. } = self.search;
        if !self.search.may_divide(rows.len(), sums, state)
            || target.is_pure(sums, &mut rows.iter().map(|&row| target.value(row)))
        {
            return None;
        }
        let values: Vec<T::Value> = match histogram {
            Some(_) => Vec::new(),
            None => rows.iter().map(|&row| target.value(row)).collect(),
        };
        let columns = codes.columns();
        let node = Searched {
            view: View { data: columns.data(), feature: columns.rows() },
            rows,
            count: rows.len(),
            counts: None,
            values: &values,
            sums,
            histogram,
            state,
        };
        self.search.best(&node, scratch)
    }

    /// Divides the rows of a node into those of two new nodes.
    fn divide(
        &self,
        open: Open<T::Cell>,
        rows: &mut [u32],
        nodes: &mut Nodes<T::Cell>,
    ) -> Result<[Part<T::Cell>; 2]> {
        let Open { mut part, choice, .. } = open;
        let cells = part.cells.take();
        let rows = &mut rows[part.rows.clone()];
        let division = self.division(&part, cells, choice, rows, nodes.sums(part.node))?;
        Ok(self.commit(part.node, division, nodes))
    }

    /// Divides `rows`, those of a node with these sums.
    fn division(
        &self,
        part: &Part<T::Cell>,
        cells: Option<Vec<T::Cell>>,
        mut choice: Choice,
        rows: &mut [u32],
        sums: &[T::Cell],
    ) -> Result<Division<T::Cell>> {
        let Search { target, .. } = self.search;
        let lefts = self.divide_rows(&choice, rows)?;
        let (of_left, of_right) = rows.split_at(lefts);
        let small_is_left = lefts <= rows.len() - lefts;
        let small = if small_is_left { of_left } else { of_right };
        let counts = [of_left.len(), of_right.len()];
        // Where there will be a histogram the sums of the node are those of the bins of any column.
        let divides_on = part.state.depth + 1 < self.search.limits.max_depth;
        let of_small = match &cells {
            Some(_) if divides_on && self.has_histogram(small.len()) => Some(self.histogram(small)?),
            _ => None,
        };
        let sums_of_small = of_small.as_ref().map_or_else(|| self.sums(small), |cells| self.sums_in(cells));
        let mut sums = children(sums, &sums_of_small, small_is_left);
        let (large, of_large) = if small_is_left { (1, of_right) } else { (0, of_left) };
        target.settle(&mut of_large.iter().map(|&row| target.value(row)), &mut sums[large]);
        let states = self.search.below(&mut choice, [&sums[0], &sums[1]], &part.state);
        let mut of_sides = [None, None];
        if let Some(mut cells) = cells {
            // A child that will not be divided needs none: all of the last level.
            let wants = |side: usize| {
                self.has_histogram(counts[side])
                    && self.search.may_divide(counts[side], &sums[side], &states[side])
            };
            if wants(large) || wants(1 - large) {
                let of_small = of_small.map_or_else(|| self.histogram(small), Ok)?;
                if wants(large) {
                    subtract(&mut cells, &of_small)?;
                    of_sides[large] = Some(cells);
                }
                of_sides[1 - large] = wants(1 - large).then_some(of_small);
            }
        }
        let (start, middle, end) = (part.rows.start, part.rows.start + lefts, part.rows.end);
        Ok(Division { choice, rows: [start..middle, middle..end], sums, cells: of_sides, states })
    }

    /// Puts the children of a node into the list.
    fn commit(
        &self,
        node: usize,
        division: Division<T::Cell>,
        nodes: &mut Nodes<T::Cell>,
    ) -> [Part<T::Cell>; 2] {
        let Division { choice, rows, sums, cells, states } = division;
        let [left, right] =
            [0, 1].map(|side: usize| nodes.push(rows[side].len(), sums[side].iter().copied()));
        nodes.divide(node, (choice, left, right));
        let [of_left, of_right] = rows;
        let [left_cells, right_cells] = cells;
        let [left_state, right_state] = states;
        [
            Part { node: left, rows: of_left, cells: left_cells, state: left_state },
            Part { node: right, rows: of_right, cells: right_cells, state: right_state },
        ]
    }

    /// Puts the rows that go left before the others, both in the order they had; answers how many go left.
    pub(crate) fn divide_rows(&self, choice: &Choice, rows: &mut [u32]) -> Result<usize> {
        let table = self.search.table;
        let bins = choice.bins(table.missing[choice.feature]);
        Ok(partition(self.search.codes.columns(), choice.feature, rows, bins)?)
    }

    fn sums(&self, rows: &[u32]) -> Vec<T::Cell> {
        let target = self.search.target;
        let of = |rows: &[u32]| {
            let mut sums = vec![T::Cell::default(); target.width()];
            rows.iter().for_each(|&row| target.put(target.value(row), &mut sums));
            sums
        };
        let add = |mut a: Vec<T::Cell>, b: Vec<T::Cell>| {
            add_to(&mut a, &b);
            a
        };
        let of_blocks = parallel::map_reduce(rows.len(), SUMMED, |block| of(&rows[block]), add);
        let mut sums = of_blocks.unwrap_or_else(|| of(&[]));
        target.settle(&mut rows.iter().map(|&row| target.value(row)), &mut sums);
        sums
    }

    /// The sums of the rows of a histogram.
    fn sums_in(&self, cells: &[T::Cell]) -> Vec<T::Cell> {
        let Search { table, target, limits, .. } = self.search;
        let (width, offsets) = (target.width(), table.offsets());
        let mut sums = vec![T::Cell::default(); width];
        // Those of any column that the tree uses.
        let column = limits.columns.first();
        let of_column = &cells[offsets[column] * width..offsets[column + 1] * width];
        of_column.chunks_exact(width).for_each(|bin| add_to(&mut sums, bin));
        sums
    }

    /// Rows that are all there are need not be looked up.
    fn rows<'b>(&self, rows: &'b [u32]) -> Rows<'b> {
        let all = rows.len() == self.search.table.rows() && rows.is_sorted();
        if all { Rows::Range(0..rows.len()) } else { Rows::List(rows) }
    }

    pub(crate) fn histogram(&self, rows: &[u32]) -> Result<Vec<T::Cell>> {
        let Search { table, codes, target, limits, .. } = self.search;
        let mut cells = vec![T::Cell::default(); table.cells() * target.width()];
        let rows = self.rows(rows);
        let columns = codes.columns();
        // The cells of features that the tree does not use stay nothing.
        let used = |feature: usize| limits.columns.has(feature);
        if self.search.scheme == Scheme::Tasks && rows.len() >= WORTH_SHARING {
            // A task for each feature; what is divided by rows below goes through all features of a row at once.
            let of_feature = |feature: usize| -> Result<Vec<T::Cell>> {
                let mut cells = vec![T::Cell::default(); columns.count(feature) * target.width()];
                if used(feature)
                    && let Some(column) = columns.part(feature..feature + 1)
                {
                    parallel::on_this_thread(|| target.histogram(column, &rows, &mut cells))?;
                }
                Ok(cells)
            };
            let all = parallel::map(table.features(), of_feature);
            return Ok(all.into_iter().collect::<Result<Vec<_>>>()?.concat());
        }
        if let Some(bundles) = self.bundles(rows.len()) {
            let mut sums = vec![T::Cell::default(); bundles.cells() * target.width()];
            let mut rest = &mut sums[..];
            for tile in bundles.tiles() {
                let (here, after) = rest.split_at_mut(tile.cells() * target.width());
                rest = after;
                target.histogram(tile, &rows, here)?;
            }
            bundles.unbundle(&sums, target.width(), &mut cells);
            return Ok(cells);
        }
        let (mut rest, mut first) = (&mut cells[..], 0);
        for tile in codes.tiles() {
            let (mut here, after) = rest.split_at_mut(tile.cells() * target.width());
            let features = first..first + tile.features();
            (rest, first) = (after, features.end);
            // Where a tile has few columns of the tree, these are read one by one.
            if 2 * features.clone().filter(|&feature| used(feature)).count() >= tile.features() {
                target.histogram(tile, &rows, here)?;
                continue;
            }
            for feature in features {
                let (of_feature, others) = here.split_at_mut(table.count(feature) * target.width());
                here = others;
                if used(feature)
                    && let Some(column) = columns.part(feature..feature + 1)
                {
                    target.histogram(column, &rows, of_feature)?;
                }
            }
        }
        Ok(cells)
    }

    /// The bundles of columns, where the tree uses most of these and so many rows save more additions than combinations cost.
    fn bundles(&self, rows: usize) -> Option<&'a Bundles<B>> {
        /// Rows of a table, and additions of a node, below which bundles are not even asked for: what they take would not come back.
        const WORTH: usize = 1024;
        let Search { table, codes, limits, .. } = self.search;
        let features = table.features();
        let few = table.rows() < WORTH || rows * features < WORTH;
        if few || 2 * limits.columns.count(features) < features {
            return None;
        }
        let width = self.search.target.width();
        codes.bundles().filter(|bundles| {
            rows * (features - bundles.len()) > 4 * width * (bundles.cells() + 2 * bundles.others())
                && bundles.cells() * width * size_of::<T::Cell>() <= LARGEST
        })
    }

    /// Whether a node of so many rows has a histogram of all features: not where it looks at some of them only, or where
    /// rows have to be counted or looked at, or where going through its rows is less work than going through the cells, or where these
    /// would be large.
    fn has_histogram(&self, rows: usize) -> bool {
        let Search { table, target, limits, .. } = self.search;
        let cells = table.cells();
        limits.looks_at_all(table.features())
            && limits.columns.share_histograms()
            && target.is_sum()
            && rows * table.features() * B::HISTOGRAM_FROM >= cells * target.width()
            && cells * target.width() * size_of::<T::Cell>() <= LARGEST
    }
}

/// Bytes of the largest histogram. With 64 columns of 255 bins it is 256 KiB for two classes; with many columns of 65,535 it would
/// be as large as the table.
const LARGEST: usize = 32 << 20;

impl<T: Target, B: Code> Search<'_, T, B> {
    /// Whether a node may be divided, as far as its number and weight of rows say.
    pub(crate) fn may_divide(&self, rows: usize, sums: &[T::Cell], state: &State) -> bool {
        let limits = self.limits;
        state.depth < limits.max_depth
            && rows >= limits.min_samples_split.max(2).max(limits.min_rows.saturating_mul(2))
            && self.target.weight(sums) >= limits.min_weight.saturating_mul(2)
    }

    /// Writes down the split of a node and answers the states of its children.
    pub(crate) fn divided(
        &self,
        nodes: &mut Nodes<T::Cell>,
        node: usize,
        children: [usize; 2],
        mut choice: Choice,
        state: &State,
    ) -> [State; 2] {
        let [left, right] = children;
        let states = self.below(&mut choice, children.map(|child| nodes.sums(child)), state);
        nodes.divide(node, (choice, left, right));
        states
    }

    /// Settles where a split sends missing values that its node does not have, and answers the states of its sides, which have
    /// these sums.
    pub(crate) fn below(&self, choice: &mut Choice, sums: [&[T::Cell]; 2], state: &State) -> [State; 2] {
        // What no row of the node tells goes where more of them go.
        let heavier = self.target.weight(sums[0]) > self.target.weight(sums[1]);
        choice.missing_left.get_or_insert(heavier);
        let levels = || (self.target.level(sums[0]), self.target.level(sums[1]));
        let mut states = self.limits.constraints.below(state, choice.feature, levels);
        let columns = self.limits.columns.of_level(state.depth + 1);
        states.iter_mut().for_each(|state| state.columns.clone_from(&columns));
        if self.limits.draws(self.table.features()) {
            for (is_right, state) in [false, true].into_iter().zip(&mut states) {
                state.key = key_below(state.key, is_right);
            }
        }
        states
    }
}

impl Limits {
    /// The state of a root.
    pub(crate) fn root(&self, key: u64) -> State {
        State::root(key, self.columns.of_level(0))
    }

    /// Whether nodes look at all features that their level may use, in a table of so many.
    pub(crate) fn looks_at_all(&self, features: usize) -> bool {
        self.features >= self.columns.count(features)
    }

    /// Whether anything is drawn for nodes.
    pub(crate) fn draws(&self, features: usize) -> bool {
        !self.looks_at_all(features) || self.splitter == Splitter::Random
    }
}
