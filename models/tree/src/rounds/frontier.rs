//! The nodes of a tree that grows in rounds, as far as they are known, and which of them to ask for next.
//!
//! Where leaves are limited, the node whose split gains most is divided next, and which that is depends on the children of the one
//! before. A round for each leaf is not needed: with r leaves left, of the nodes whose splits are known only those can be divided
//! that would be if no unknown node came before them, and these are r at most. A round asks for the children of all of them, and the
//! order is then played again on what is known. So a tree takes about as many rounds as it has levels, and sums some nodes that it
//! does not divide in the end.
//!
//! Of two children only the one of smaller weight is asked for, where the histogram of their parent is still there: the other is the
//! rest.

use super::division::{Asked, Counted, Division};
use super::sent::{Sent, receive, send};
use crate::codes::Code;
use crate::constraints::State;
use crate::grow::{Choice, Growth, Limits};
use crate::nodes::Nodes;
use crate::search::{Scratch, Search, Searched, View};
use crate::target::Target;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel;
use tilewise_kernels::tree::Cell;

/// Numbers of the histograms of a batch at most, unless it is of one node: 32 MiB.
pub const BATCH: usize = 1 << 22;

/// Numbers of the histograms that are kept for what is left of them: 256 MiB.
const HELD: usize = 32 << 20;

/// A node, as far as it is known.
struct Node {
    /// Cells as numbers; of the root none until it is counted.
    sums: Vec<i64>,
    rows: Option<usize>,
    state: State,
    /// The histogram, and rows by bins, while those of a child may come from them.
    cells: Vec<i64>,
    counts: Vec<i64>,
    split: Option<Split>,
}

#[derive(Clone, Copy)]
struct Split {
    choice: Choice,
    left: usize,
    /// Whether chunks know of it, and children were asked for.
    told: bool,
}

/// The sums of a node, and if it has a split, that, and the sums and states of its children.
type Found = (Vec<i64>, Option<(Choice, [(Vec<i64>, State); 2])>);

/// Where the histogram of a node that was asked for comes from.
#[derive(Clone, Copy, PartialEq)]
enum From {
    /// It has none: it will not be divided.
    Nowhere,
    Chunks,
    /// What the node before or behind it leaves of their parent's.
    Rest {
        parent: usize,
        sibling: usize,
    },
}

/// Whether rows are counted.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Counting {
    /// Nobody asks.
    No,
    /// Chunks count them.
    Chunks,
    /// Each row has this in the last number of a cell.
    Each(i64),
}

pub(crate) struct Frontier {
    limits: Limits,
    counting: Counting,
    nodes: Vec<Node>,
    /// Nodes with a split whose children were not asked for, where leaves are not limited.
    open: VecDeque<usize>,
    asked: Vec<(usize, From)>,
    /// All divisions, and how many of them chunks knew before this round.
    divisions: Vec<Division>,
    told: usize,
    held: usize,
    pub(super) batch: usize,
}

impl Frontier {
    /// A root that is asked for.
    pub(crate) fn new(limits: Limits, key: u64, counting: Counting) -> Self {
        let state = limits.root(key);
        let root =
            Node { sums: Vec::new(), rows: None, state, cells: Vec::new(), counts: Vec::new(), split: None };
        let (nodes, asked) = (vec![root], vec![(0, From::Chunks)]);
        let (open, divisions, told, held) = (VecDeque::new(), Vec::new(), 0, 0);
        Self { limits, counting, nodes, open, asked, divisions, told, held, batch: BATCH }
    }

    /// The nodes of this round; none when the tree is grown.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let ask = |&(node, from): &(usize, From)| {
            let cells = from == From::Chunks;
            Asked { node: node as u32, cells, counts: cells && self.counting == Counting::Chunks }
        };
        self.asked.iter().map(ask).collect()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.asked.is_empty()
    }

    /// Divisions that chunks do not know, and all of them.
    pub(crate) fn divisions(&self) -> (&[Division], &[Division]) {
        (&self.divisions[self.told..], &self.divisions)
    }

    /// Nodes so far, of which some may not be divided from others in the end.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn is_limited(&self) -> bool {
        self.limits.max_leaves < usize::MAX
    }

    /// Takes what was counted of the nodes that were asked for, finds their splits and asks for the next.
    pub(crate) fn take<T: Target<Cell: Sent>, B: Code>(
        &mut self,
        search: &Search<'_, T, B>,
        counted: Vec<Counted>,
    ) -> Result<()> {
        let asked = std::mem::take(&mut self.asked);
        if counted.len() != asked.len() {
            return Err(Error::Fit("an answer came that was not asked for".into()));
        }
        self.told = self.divisions.len();
        let cells = search.table.cells();
        let mut differ = vec![true; asked.len()];
        for ((&(at, from), counted), differ) in asked.iter().zip(counted).zip(&mut differ) {
            let wanted =
                if from == From::Chunks { cells * search.target.width() * T::Cell::NUMBERS } else { 0 };
            if counted.cells.len() != wanted {
                let (came, wanted) = (counted.cells.len() / T::Cell::NUMBERS, wanted / T::Cell::NUMBERS);
                return Err(Error::Fit(format!("a histogram of {came} cells came in place of {wanted}")));
            }
            let counts = if self.counting == Counting::Chunks && wanted > 0 { cells } else { 0 };
            if counted.counts.len() != counts {
                let what = format!("counts of {} bins came in place of {counts}", counted.counts.len());
                return Err(Error::Fit(what));
            }
            *differ = counted.differ;
            let node = &mut self.nodes[at];
            node.rows = Some(counted.rows as usize);
            (node.cells, node.counts) = (counted.cells, counted.counts);
            self.held += node.cells.len() + node.counts.len();
        }
        for &(at, from) in &asked {
            if let From::Rest { parent, sibling } = from {
                self.rest(at, parent, sibling);
            }
        }
        let searched: Vec<(usize, bool)> = asked
            .iter()
            .zip(differ)
            .filter(|((_, from), _)| *from != From::Nowhere)
            .map(|(&(at, _), differ)| (at, differ))
            .collect();
        let this = &*self;
        let found = parallel::map(searched.len(), |i| this.search(search, searched[i].0, searched[i].1));
        for ((at, _), found) in searched.into_iter().zip(found) {
            self.found(at, found?);
        }
        self.next(search.target)
    }

    /// Makes the histogram of a node of those of its parent and its sibling.
    fn rest(&mut self, at: usize, parent: usize, sibling: usize) {
        let (mut cells, mut counts) = self.drop_cells(parent);
        let sibling = &self.nodes[sibling];
        let subtract = |all: &mut [i64], less: &[i64]| {
            all.iter_mut().zip(less).for_each(|(all, less)| *all = all.wrapping_sub(*less));
        };
        subtract(&mut cells, &sibling.cells);
        subtract(&mut counts, &sibling.counts);
        self.held += cells.len() + counts.len();
        (self.nodes[at].cells, self.nodes[at].counts) = (cells, counts);
    }

    fn drop_cells(&mut self, at: usize) -> (Vec<i64>, Vec<i64>) {
        let node = &mut self.nodes[at];
        let dropped = (std::mem::take(&mut node.cells), std::mem::take(&mut node.counts));
        self.held -= dropped.0.len() + dropped.1.len();
        dropped
    }

    /// Looks for the split of a node whose histogram is there.
    fn search<T: Target<Cell: Sent>, B: Code>(
        &self,
        search: &Search<'_, T, B>,
        at: usize,
        differ: bool,
    ) -> Result<Found> {
        let Search { table, target, .. } = *search;
        let width = target.width();
        let node = &self.nodes[at];
        let cells: Vec<T::Cell> = receive(&node.cells)?;
        if !target.accepts(&cells) {
            return Err(Error::Fit("a histogram that came holds what no sum of rows is".into()));
        }
        let of_feature = |feature: usize| {
            let offsets = table.offsets();
            cells[offsets[feature] * width..offsets[feature + 1] * width].chunks_exact(width)
        };
        // Every row is in one bin of the first column.
        let columns = &self.limits.columns;
        let sums: Vec<T::Cell> =
            if at == 0 { sum(of_feature(columns.first()), width) } else { receive(&node.sums)? };
        if (0..table.features())
            .any(|feature| columns.has(feature) && sum(of_feature(feature), width) != sums)
        {
            return Err(Error::Fit("a histogram came whose columns do not have the sums of its node".into()));
        }
        let rows = node.rows.unwrap_or(0);
        let sums_to_rows = |feature: usize| {
            let counts = &node.counts[table.offsets()[feature]..table.offsets()[feature + 1]];
            let sum =
                counts.iter().try_fold(0_i64, |sum, &count| sum.checked_add(count).filter(|_| count >= 0));
            !columns.has(feature) || sum == i64::try_from(rows).ok()
        };
        if self.counting == Counting::Chunks && !(0..table.features()).all(sums_to_rows) {
            return Err(Error::Fit("counts came whose columns do not have the rows of their node".into()));
        }
        let counts: Option<Vec<u32>> = match self.counting {
            Counting::No => None,
            Counting::Chunks => Some(node.counts.iter().map(|&count| count as u32).collect()),
            Counting::Each(each) => Some(
                node.cells
                    .chunks_exact(T::Cell::NUMBERS)
                    .map(|cell| (cell[T::Cell::NUMBERS - 1] / each) as u32)
                    .collect(),
            ),
        };
        let searched = Searched {
            view: View { data: &[], feature: 0 },
            rows: &[],
            values: &[],
            count: rows,
            counts: counts.as_deref(),
            sums: &sums,
            histogram: Some(&cells),
            state: &node.state,
        };
        let divides = differ && search.may_divide(rows, &sums, &node.state) && self.limits.max_leaves > 1;
        let choice = if divides { search.best(&searched, &mut Scratch::of_all(search)) } else { None };
        let Some(mut choice) = choice else { return Ok((send(&sums), None)) };
        let left = {
            let (goes, bins) = (choice.bins(table.missing[choice.feature]), table.count(choice.feature));
            let lefts = of_feature(choice.feature).enumerate().filter(|(bin, _)| goes.has(*bin, bins));
            sum(lefts.map(|(_, cells)| cells), width)
        };
        let right: Vec<T::Cell> = sums.iter().zip(&left).map(|(all, &left)| all.minus(left)).collect();
        let [of_left, of_right] = search.below(&mut choice, [&left, &right], &node.state);
        Ok((send(&sums), Some((choice, [(send(&left), of_left), (send(&right), of_right)]))))
    }

    /// Writes down what was found of a node.
    fn found(&mut self, at: usize, (sums, split): Found) {
        self.nodes[at].sums = sums;
        let Some((choice, children)) = split else {
            self.drop_cells(at);
            return;
        };
        let left = self.nodes.len();
        for (sums, state) in children {
            let (cells, counts) = (Vec::new(), Vec::new());
            self.nodes.push(Node { sums, rows: None, state, cells, counts, split: None });
        }
        self.nodes[at].split = Some(Split { choice, left, told: false });
        if !self.is_limited() {
            self.open.push_back(at);
        }
        if self.held > HELD {
            self.drop_cells(at);
        }
    }

    /// Nodes in the order in which they are divided, as far as nodes are known.
    fn divided(&self) -> Vec<usize> {
        let level = |node: &Node| if self.limits.growth == Growth::DepthWise { node.state.depth } else { 0 };
        // The one that is divided next is the greatest: of equals the one that came first.
        let entry = |at: usize, order: usize| {
            let node = &self.nodes[at];
            let split = node.split.filter(|_| node.rows.is_some())?;
            let gain = split.choice.gain;
            // The order of doubles as that of integers.
            let bits = gain.to_bits() as i64;
            let gain = bits ^ ((bits >> 63) as u64 >> 1) as i64;
            Some((Reverse(level(node)), gain, Reverse(order), at))
        };
        let mut open: BinaryHeap<_> = entry(0, 0).into_iter().collect();
        let mut divided = Vec::new();
        while divided.len() + 1 < self.limits.max_leaves
            && let Some((.., at)) = open.pop()
        {
            divided.push(at);
            if let Some(split) = self.nodes[at].split {
                let order = 2 * divided.len();
                open.extend(entry(split.left, order));
                open.extend(entry(split.left + 1, order + 1));
            }
        }
        divided
    }

    /// Chooses the nodes of the next round: as many as fit, and one division at least.
    fn next<T: Target<Cell: Sent>>(&mut self, target: &T) -> Result<()> {
        let mut left = self.batch;
        if !self.is_limited() {
            while let Some(&node) = self.open.front() {
                if !self.ask(target, node, true, &mut left)? {
                    break;
                }
                self.open.pop_front();
            }
            return Ok(());
        }
        for (place, node) in self.divided().into_iter().enumerate() {
            // Children of the last division, and of those that come no sooner, are leaves.
            let divides = place + 2 < self.limits.max_leaves;
            if self.nodes[node].split.is_some_and(|split| !split.told)
                && !self.ask(target, node, divides, &mut left)?
            {
                break;
            }
        }
        Ok(())
    }

    /// Asks for the children of a node if there is room; `divides` where they may be divided.
    fn ask<T: Target<Cell: Sent>>(
        &mut self,
        target: &T,
        parent: usize,
        divides: bool,
        room: &mut usize,
    ) -> Result<bool> {
        let Some(Split { choice, left, .. }) = self.nodes[parent].split else { return Ok(true) };
        let children = [left, left + 1];
        let of_one = self.nodes[parent].cells.len().max(1);
        let mut wants = [false; 2];
        let mut weights = [0; 2];
        for (side, &child) in children.iter().enumerate() {
            let node = &self.nodes[child];
            let sums: Vec<T::Cell> = receive(&node.sums)?;
            weights[side] = target.weight(&sums);
            wants[side] = divides
                && node.state.depth < self.limits.max_depth
                && weights[side] >= self.limits.min_weight.saturating_mul(2)
                && !target.is_pure_by_sums(&sums);
        }
        let small = usize::from(weights[1] < weights[0]);
        let mut from = wants.map(|wants| if wants { From::Chunks } else { From::Nowhere });
        if wants[1 - small] && !self.nodes[parent].cells.is_empty() {
            from[small] = From::Chunks;
            from[1 - small] = From::Rest { parent, sibling: children[small] };
        }
        let cost = from.iter().map(|from| if *from == From::Chunks { of_one } else { 1 }).sum::<usize>();
        if cost > *room && !self.asked.is_empty() {
            return Ok(false);
        }
        *room = room.saturating_sub(cost);
        if !from.iter().any(|from| matches!(from, From::Rest { .. })) {
            self.drop_cells(parent);
        }
        self.asked.extend(children.into_iter().zip(from));
        self.nodes[parent].split = Some(Split { choice, left, told: true });
        let node = |at: usize| at as u32;
        self.divisions.push(Division { node: node(parent), left: node(left), right: node(left + 1), choice });
        Ok(true)
    }

    /// The tree, as far as it has grown, and by what it was divided; `None` where not even the root was counted.
    pub(crate) fn grown<T: Target<Cell: Sent>>(&self, target: &T) -> Result<Option<Grown<T::Cell>>> {
        if self.nodes[0].rows.is_none() {
            return Ok(None);
        }
        let mut is_divided = vec![!self.is_limited(); self.nodes.len()];
        if self.is_limited() {
            self.divided().into_iter().for_each(|at| is_divided[at] = true);
        }
        let mut grown =
            Grown { nodes: Nodes::new(target.width()), leaves: Vec::new(), divisions: Vec::new() };
        let mut places = vec![0; self.nodes.len()];
        for (place, node) in places.iter_mut().zip(&self.nodes) {
            *place = grown.nodes.push(node.rows.unwrap_or(0), receive::<T::Cell>(&node.sums)?);
        }
        let mut next = vec![0];
        while let Some(at) = next.pop() {
            // Below a node of which nothing is known nothing is kept.
            let known = |split: &Split| {
                self.nodes[split.left].rows.is_some() && self.nodes[split.left + 1].rows.is_some()
            };
            match self.nodes[at].split.filter(|split| is_divided[at] && known(split)) {
                None => grown.leaves.push(at as u32),
                Some(Split { choice, left, .. }) => {
                    grown.nodes.divide(places[at], (choice, places[left], places[left + 1]));
                    let (node, left) = (at as u32, left as u32);
                    grown.divisions.push(Division { node, left, right: left + 1, choice });
                    next.extend([left as usize + 1, left as usize]);
                }
            }
        }
        Ok(Some(grown))
    }
}

/// A tree that has grown.
pub(crate) struct Grown<C> {
    pub(crate) nodes: Nodes<C>,
    /// Leaves from left to right, by the numbers that chunks know.
    pub(crate) leaves: Vec<u32>,
    /// Each before those below it.
    pub(crate) divisions: Vec<Division>,
}

/// The sums of bins.
fn sum<'c, C: Cell>(bins: impl Iterator<Item = &'c [C]>, width: usize) -> Vec<C> {
    let mut sums = vec![C::default(); width];
    bins.for_each(|bin| sums.iter_mut().zip(bin).for_each(|(sum, cell)| *sum = sum.plus(*cell)));
    sums
}
