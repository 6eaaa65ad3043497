//! Growing what is below a node of few rows, on a copy of them.
//!
//! Bins and what rows bring lie side by side here and in the first or second cache, and neither threads nor histograms are
//! worth their cost. Most nodes of a full tree are grown so.

use crate::codes::Code;
use crate::constraints::State;
use crate::grow::Choice;
use crate::nodes::Nodes;
use crate::search::{Scratch, Search, Searched, View};
use crate::target::Target;
use std::ops::Range;

/// Bytes of bins that are copied at most.
const BYTES: usize = 64 << 10;
/// A row is not copied if it has more features than this.
const WIDEST: usize = 512;

pub(crate) struct Local<'a, T: Target, B: Code> {
    search: &'a Search<'a, T, B>,
    /// Bins, rows x features.
    bins: Vec<B>,
    /// Rows in the order of nodes, by where their bins begin, and what they bring.
    rows: Vec<u32>,
    values: Vec<T::Value>,
    /// Those of the right child while a node is divided.
    other_rows: Vec<u32>,
    other_values: Vec<T::Value>,
}

/// A node and its place in `rows`.
struct Part {
    node: usize,
    rows: Range<usize>,
    state: State,
}

impl<'a, T: Target, B: Code> Local<'a, T, B> {
    /// Whether so many rows are few enough.
    pub(crate) fn fits(search: &Search<'_, T, B>, rows: usize) -> bool {
        let features = search.table.features();
        features <= WIDEST && rows * features * size_of::<B>() <= BYTES
    }

    pub(crate) fn new(search: &'a Search<'a, T, B>, rows: &[u32]) -> Self {
        let values = rows.iter().map(|&row| search.target.value(row)).collect();
        let bins = search.codes.gathered(rows);
        let count = rows.len();
        Self {
            search,
            bins,
            rows: (0..count).map(|row| (row * search.table.features()) as u32).collect(),
            values,
            other_rows: vec![0; count],
            other_values: vec![T::Value::default(); count],
        }
    }

    /// Grows all that is below `node` of `nodes`, which has all rows, and puts `rows`, which are those it was made of, into the order
    /// of leaves.
    pub(crate) fn grow(
        mut self,
        node: usize,
        state: State,
        nodes: &mut Nodes<T::Cell>,
        scratch: &mut Scratch<T, B>,
        rows: &mut [u32],
    ) {
        let mut small = vec![T::Cell::default(); self.search.target.width()];
        let mut parts = vec![Part { node, rows: 0..self.rows.len(), state }];
        while let Some(Part { node, rows, state }) = parts.pop() {
            let Some(choice) = self.choose(node, &rows, &state, nodes, scratch) else { continue };
            let middle = rows.start + self.divide(&rows, &choice);
            let small_is_left = middle - rows.start <= rows.end - middle;
            let values = &self.values[if small_is_left { rows.start..middle } else { middle..rows.end }];
            small.fill(T::Cell::default());
            values.iter().for_each(|&value| self.search.target.put(value, &mut small));
            let counts = [middle - rows.start, rows.end - middle];
            let children = nodes.push_children(node, counts, &small, small_is_left);
            if !self.search.target.is_sum() {
                for (child, rows) in children.into_iter().zip([rows.start..middle, middle..rows.end]) {
                    nodes.settle(self.search.target, child, self.values[rows].iter().copied());
                }
            }
            let [left, right] = self.search.divided(nodes, node, children, choice, &state);
            parts.push(Part { node: children[1], rows: middle..rows.end, state: right });
            parts.push(Part { node: children[0], rows: rows.start..middle, state: left });
        }
        let features = self.search.table.features() as u32;
        let old = &mut self.other_rows;
        old.copy_from_slice(rows);
        rows.iter_mut().zip(&self.rows).for_each(|(row, place)| *row = old[(place / features) as usize]);
    }

    fn choose(
        &self,
        node: usize,
        rows: &Range<usize>,
        state: &State,
        nodes: &Nodes<T::Cell>,
        scratch: &mut Scratch<T, B>,
    ) -> Option<Choice> {
        let (sums, values) = (nodes.sums(node), &self.values[rows.clone()]);
        let search = self.search;
        if !search.may_divide(rows.len(), sums, state)
            || search.target.is_pure(sums, &mut values.iter().copied())
        {
            return None;
        }
        let node = Searched {
            view: View { data: &self.bins, feature: 1 },
            rows: &self.rows[rows.clone()],
            values,
            count: values.len(),
            counts: None,
            sums,
            histogram: None,
            state,
        };
        search.best(&node, scratch)
    }

    /// Puts the rows of a node that go left before the others, both in the order they had; answers how many go left.
    fn divide(&mut self, rows: &Range<usize>, choice: &Choice) -> usize {
        let table = self.search.table;
        let feature = choice.feature;
        let count = table.count(feature);
        let left = choice.bins(table.missing[feature]);
        let (own_rows, values) = (&mut self.rows[rows.clone()], &mut self.values[rows.clone()]);
        let mut lefts = 0;
        for i in 0..own_rows.len() {
            let (row, value) = (own_rows[i], values[i]);
            let goes_left = left.has(self.bins[row as usize + feature].into(), count);
            // Both are written, one is kept: nothing depends on a prediction. lefts <= i.
            (own_rows[lefts], values[lefts]) = (row, value);
            (self.other_rows[i - lefts], self.other_values[i - lefts]) = (row, value);
            lefts += usize::from(goes_left);
        }
        let rights = own_rows.len() - lefts;
        own_rows[lefts..].copy_from_slice(&self.other_rows[..rights]);
        values[lefts..].copy_from_slice(&self.other_values[..rights]);
        lefts
    }
}
