//! Growing where leaves are limited: node after node, in the order of their gains.

use super::{Choice, Division, Grower, Growth, Part};
use crate::codes::Code;
use crate::constraints::State;
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

/// A division, the splits of its children, and what dividing these comes to where that was done too.
struct Ahead<C> {
    division: Division<C>,
    choices: [Option<Choice>; 2],
    below: [Option<Box<Ahead<C>>>; 2],
}

/// A node that can be divided ahead of its turn.
struct Candidate<'a, C> {
    rows: Range<usize>,
    cells: &'a mut Option<Vec<C>>,
    sums: &'a [C],
    state: &'a State,
    choice: &'a Choice,
    level: usize,
    to: &'a mut Option<Box<Ahead<C>>>,
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

/// Nodes for each thread that are divided at the same time where leaves are limited, and rows of these for each thread that are enough:
/// more would be divided for nothing when there are no more leaves. With 128k rows for all threads together and none of the nodes below
/// those that wait, the 100 trees of 63 leaves on 500,000 x 28 were grown in 20 batches each, and took 16 threads (Sapphire Rapids) 1.3 s
/// instead of 0.63 to 0.74.
const AHEAD: usize = 2;
const ENOUGH: usize = 64 << 10;

/// Divisions that wait for their turn, in units of the most that are made at the same time, and nodes that are looked at for these: with
/// 100,000 leaves all that are open would be too many to look at each time.
const WAITING: usize = 4;

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
        let threads = parallel::threads();
        let (mut leaves, mut held, mut waiting) = (1, 0, 0);
        let mut open = BinaryHeap::new();
        if most > 1 {
            open.extend(self.open(root, rows, nodes, scratch));
        }
        while let Some(mut best) = open.pop() {
            if best.ahead.is_none() {
                // A division that waits for its turn holds two histograms.
                let room = WAITING * AHEAD * threads;
                let room = room.min((histograms - held) / 2).saturating_sub(waiting);
                let others =
                    if threads == 1 { 0 } else { room.min(AHEAD * threads - 1).min(most - leaves - 1) };
                let more;
                (best, more) = self.look_ahead(best, &mut open, others, most - leaves > 1, rows, nodes)?;
                waiting += more;
            } else {
                waiting -= 1;
            }
            let Some(ahead) = best.ahead else { break };
            held -= usize::from(best.held);
            leaves += 1;
            let Ahead { division, choices, below } = *ahead;
            let children = self.commit(best.part.node, division, nodes).into_iter();
            for ((mut part, choice), below) in children.zip(choices).zip(below) {
                if let Some(choice) = choice {
                    if held == histograms {
                        part.cells = None;
                    }
                    let mut child = self.opened(part, choice);
                    child.held = child.part.cells.is_some();
                    child.ahead = below;
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

    /// Divides the node whose turn it is, and with it up to `others` of those that are next in line, and of those below them, while there is
    /// too little work for all threads: most of them will have their turn, and what comes out does not depend on when it is done.
    /// Answers how many others were divided. With `search` splits of children are looked for: not after the last division.
    fn look_ahead(
        &self,
        mut best: Open<T::Cell>,
        open: &mut BinaryHeap<Open<T::Cell>>,
        others: usize,
        search: bool,
        rows: &mut [u32],
        nodes: &Nodes<T::Cell>,
    ) -> Result<(Open<T::Cell>, usize)> {
        let enough = ENOUGH * parallel::threads();
        let mut work = best.part.rows.len();
        let looked_at = if work < enough && others > 0 { WAITING * AHEAD * parallel::threads() } else { 0 };
        let mut next: Vec<_> = std::iter::from_fn(|| open.pop()).take(looked_at).collect();
        let mut in_line = Vec::new();
        next.iter_mut().for_each(|open| self.candidates(open, nodes, &mut in_line));
        in_line.sort_by(|a, b| a.level.cmp(&b.level).then(b.choice.gain.total_cmp(&a.choice.gain)));
        let worth = in_line.iter().take(others).take_while(|candidate| {
            let more = work < enough;
            work += candidate.rows.len();
            more
        });
        let others = worth.count();
        in_line.truncate(others);
        self.candidates(&mut best, nodes, &mut in_line);
        let of_nodes = disjoint(rows, in_line.iter().map(|candidate| candidate.rows.clone()));
        let jobs: Vec<_> = in_line.into_iter().zip(of_nodes).map(std::sync::Mutex::new).collect();
        let divided = parallel::map(jobs.len(), |i| {
            let mut job = jobs[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (candidate, rows) = &mut *job;
            self.divide_ahead(candidate, rows, search)
        });
        divided.into_iter().collect::<Result<()>>()?;
        drop(jobs);
        open.extend(next);
        Ok((best, others))
    }

    /// This node, if it was not divided yet; else those below it that were not.
    fn candidates<'b>(
        &self,
        open: &'b mut Open<T::Cell>,
        nodes: &'b Nodes<T::Cell>,
        out: &mut Vec<Candidate<'b, T::Cell>>,
    ) {
        let Open { part, choice, level, ahead, .. } = open;
        let Part { node, rows, cells, state } = part;
        let sums = nodes.sums(*node);
        let own = Candidate { rows: rows.clone(), cells, sums, state, choice, level: *level, to: ahead };
        let mut waiting = vec![own];
        while let Some(candidate) = waiting.pop() {
            if candidate.to.is_none() {
                out.push(candidate);
            } else if let Some(ahead) = candidate.to.as_deref_mut() {
                let Ahead { division: Division { rows, sums, cells, states, .. }, choices, below } = ahead;
                let sides = cells.iter_mut().zip(below).zip(rows).zip(sums).zip(states).zip(choices);
                for (((((cells, to), rows), sums), state), choice) in sides {
                    let (rows, level) = (rows.clone(), self.level(state));
                    waiting.extend(choice.as_ref().map(|choice| Candidate {
                        rows,
                        cells,
                        sums,
                        state,
                        choice,
                        level,
                        to,
                    }));
                }
            }
        }
    }

    /// Divides a node, and with `search` finds the splits of its children.
    fn divide_ahead(
        &self,
        candidate: &mut Candidate<'_, T::Cell>,
        rows: &mut [u32],
        search: bool,
    ) -> Result<()> {
        let first = candidate.rows.start;
        // What is not in the list yet has no number, which a division does not need.
        let part =
            Part { node: 0, rows: candidate.rows.clone(), cells: None, state: candidate.state.clone() };
        let cells = candidate.cells.take();
        let division = self.division(&part, cells, *candidate.choice, rows, candidate.sums)?;
        let mut scratch = Scratch::of_all(&self.search);
        let mut choices = [None; 2];
        if search {
            for (side, choice) in choices.iter_mut().enumerate() {
                let rows = &rows[division.rows[side].start - first..division.rows[side].end - first];
                let Division { sums, states, cells, .. } = &division;
                *choice = self.choose(rows, &sums[side], &states[side], cells[side].as_deref(), &mut scratch);
            }
        }
        *candidate.to = Some(Box::new(Ahead { division, choices, below: [None, None] }));
        Ok(())
    }

    fn level(&self, state: &State) -> usize {
        if self.search.limits.growth == Growth::DepthWise { state.depth } else { 0 }
    }

    pub(super) fn opened(&self, part: Part<T::Cell>, choice: Choice) -> Open<T::Cell> {
        let level = self.level(&part.state);
        Open { part, choice, level, held: false, ahead: None }
    }
}
