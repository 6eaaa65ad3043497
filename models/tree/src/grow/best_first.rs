//! Growing where leaves are limited: node after node, in the order of their gains.

use super::{Choice, Division, Grower, Growth, Part};
use crate::codes::Code;
use crate::nodes::Nodes;
use crate::search::Scratch;
use crate::target::Target;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::parallel;

/// A node that is to be divided.
pub(super) struct Open<C> {
    pub(super) part: Part<C>,
    pub(super) choice: Choice,
    /// What is divided later where nodes near to the root come first; 0 elsewhere.
    level: usize,
    /// Whether its histogram counts among those that are held.
    held: bool,
    /// What dividing it comes to, if that was done ahead of its turn.
    ahead: Option<Box<Ahead<C>>>,
}

/// A division and the splits of its children.
struct Ahead<C> {
    division: Division<C>,
    choices: [Option<Choice>; 2],
}

/// The one that is divided next is the greatest: of equals the one that came first, as nodes are numbered.
impl<C> Ord for Open<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_gain = self.choice.gain.total_cmp(&other.choice.gain);
        other.level.cmp(&self.level).then(by_gain).then(other.part.node.cmp(&self.part.node))
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

/// Bytes of the histograms of open nodes, where leaves are limited; nodes beyond go without, and so do those below them.
const HELD: usize = 256 << 20;

/// Nodes for each thread that are divided at the same time where leaves are limited, and rows of these that are enough: more would be
/// divided for nothing when there are no more leaves.
const AHEAD: usize = 2;
const ENOUGH: usize = 128 << 10;

/// Parts of `rows` that do not meet, in the order of `ranges`.
fn disjoint(rows: &mut [u32], ranges: impl Iterator<Item = Range<usize>>) -> Vec<&mut [u32]> {
    let mut ranges: Vec<(usize, Range<usize>)> = ranges.enumerate().collect();
    ranges.sort_by_key(|(_, range)| range.start);
    let (mut rest, mut done) = (rows, 0);
    let mut parts = Vec::with_capacity(ranges.len());
    for (place, range) in ranges {
        let (_, behind) = rest.split_at_mut(range.start - done);
        let (part, behind) = behind.split_at_mut(range.len());
        (rest, done) = (behind, range.end);
        parts.push((place, part));
    }
    parts.sort_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, part)| part).collect()
}

impl<T: Target, B: Code> Grower<'_, T, B> {
    pub(super) fn best_first(
        &self,
        root: Part<T::Cell>,
        rows: &mut [u32],
        nodes: &mut Nodes<T::Cell>,
        scratch: &mut Scratch<T, B>,
    ) -> Result<()> {
        let most = self.search.limits.max_leaves;
        let cells = self.search.table.cells() * self.search.target.width();
        let histograms = (HELD / (cells * size_of::<T::Cell>()).max(1)).max(1);
        let (mut leaves, mut held) = (1, 0);
        let mut open = BinaryHeap::new();
        if most > 1 {
            open.extend(self.open(root, rows, nodes, scratch));
        }
        while let Some(mut best) = open.pop() {
            if best.ahead.is_none() {
                best = self.look_ahead(best, &mut open, most - leaves, rows, nodes)?;
            }
            let Some(ahead) = best.ahead else { break };
            held -= usize::from(best.held);
            leaves += 1;
            let Ahead { division, choices } = *ahead;
            for (mut part, choice) in self.commit(best.part.node, division, nodes).into_iter().zip(choices) {
                if let Some(choice) = choice {
                    if held == histograms {
                        part.cells = None;
                    }
                    let mut child = self.opened(part, choice);
                    child.held = child.part.cells.is_some();
                    held += usize::from(child.held);
                    open.push(child);
                }
            }
            if leaves == most {
                break;
            }
        }
        Ok(())
    }

    /// Divides the node whose turn it is, and with it those that are next in line while there is too little work for all threads:
    /// most of them will have their turn, and what comes out does not depend on when it is done. `left` says how many may be
    /// divided at most.
    fn look_ahead(
        &self,
        best: Open<T::Cell>,
        open: &mut BinaryHeap<Open<T::Cell>>,
        left: usize,
        rows: &mut [u32],
        nodes: &Nodes<T::Cell>,
    ) -> Result<Open<T::Cell>> {
        let threads = parallel::threads();
        let most = left.min(if threads == 1 { 1 } else { AHEAD * threads });
        let mut work = best.part.rows.len();
        let (mut batch, mut done) = (vec![best], Vec::new());
        while batch.len() < most && work < ENOUGH {
            let Some(next) = open.pop() else { break };
            if next.ahead.is_some() {
                done.push(next);
            } else {
                work += next.part.rows.len();
                batch.push(next);
            }
        }
        open.extend(done);
        // After the last division nothing is looked for.
        let search = left > 1;
        let mut of_nodes = disjoint(rows, batch.iter().map(|open| open.part.rows.clone()));
        let divide = |open: &mut Open<T::Cell>, rows: &mut [u32]| -> Result<()> {
            let first = open.part.rows.start;
            let cells = open.part.cells.take();
            let division = self.division(&open.part, cells, open.choice, rows, nodes.sums(open.part.node))?;
            let mut scratch = Scratch::of_all(&self.search);
            let mut choices = [None; 2];
            if search {
                for (side, choice) in choices.iter_mut().enumerate() {
                    let rows = &rows[division.rows[side].start - first..division.rows[side].end - first];
                    let Division { sums, states, cells, .. } = &division;
                    *choice =
                        self.choose(rows, &sums[side], &states[side], cells[side].as_deref(), &mut scratch);
                }
            }
            open.ahead = Some(Box::new(Ahead { division, choices }));
            Ok(())
        };
        let jobs: Vec<_> = batch.iter_mut().zip(&mut of_nodes).map(std::sync::Mutex::new).collect();
        let divided = parallel::map(jobs.len(), |i| {
            let mut job = jobs[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (open, rows) = &mut *job;
            divide(open, rows)
        });
        divided.into_iter().collect::<Result<()>>()?;
        drop(jobs);
        let mut batch = batch.into_iter();
        let best = batch.next();
        open.extend(batch);
        best.ok_or_else(|| tilewise_base::Error::Fit("no node has its turn".into()))
    }

    pub(super) fn opened(&self, part: Part<T::Cell>, choice: Choice) -> Open<T::Cell> {
        let level = if self.search.limits.growth == Growth::DepthWise { part.state.depth } else { 0 };
        Open { part, choice, level, held: false, ahead: None }
    }
}
