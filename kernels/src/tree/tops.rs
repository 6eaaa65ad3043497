//! Large trees in two parts: their top by masks, what is below for rows that go there together.
//!
//! The first splits of a tree are tests of a mask (see [`super::MaskTest`]), whose vectors take a fraction of a step each.
//! The rows are then sorted by where they leave the top, so that those on the way at a time share a part of the tree that
//! fits the first cache, while their codes are one line each.

use super::codes::{Code, CodeNode, Codes};
use super::masks::{MaskTest, Steps, numbers};
use super::walk::{LEAF, Layout as _, Start, Trees};
use crate::ShapeError;
use crate::scratch::Scratch;
use std::collections::HashSet;

/// Ways out of a top: bits of a mask.
const EXITS: usize = 32;

/// Leaves above which a tree has a top. (Nanoseconds per row and tree without and with it, on a machine that was busy and before
/// the nodes of the next tree were asked for ahead, which made 25 of the 46: 75 and 46 for 14,000 leaves, 14.8 and 12.4 for 1,000, 6.3
/// and 4.5 for 64.)
const LARGE: usize = 32;

/// The top of a tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Top {
    tests: Steps,
    /// The nodes below, from left to right; at most [`EXITS`].
    exits: Vec<u32>,
}

impl Top {
    /// The tops of large trees.
    pub(super) fn of_all(trees: &Trees<CodeNode>) -> Result<Vec<Option<Self>>, ShapeError> {
        // Leaves below each node; children stand after their parents.
        let mut leaves = vec![1_u32; trees.nodes.len()];
        for (place, node) in trees.nodes.iter().enumerate().rev() {
            if node.next() & LEAF == 0 {
                let left = node.next() as usize;
                leaves[place] = leaves[left].saturating_add(leaves[left + 1]);
            }
        }
        let large = |root: &u32| leaves[*root as usize] as usize > LARGE;
        trees
            .roots
            .iter()
            .map(|root| large(root).then(|| Self::new(trees, *root, &leaves)).transpose())
            .collect()
    }

    /// The tests with the most leaves below them, as many as there are bits for.
    fn new(trees: &Trees<CodeNode>, root: u32, leaves: &[u32]) -> Result<Self, ShapeError> {
        let is_test = |at: u32| {
            let node = trees.nodes[at as usize];
            node.next() & LEAF == 0 && node.set().is_none()
        };
        let mut exits = vec![root];
        let mut inner = HashSet::new();
        while exits.len() < EXITS {
            // Of equal ones the first.
            let tests = (0..exits.len()).rev().filter(|&i| is_test(exits[i]));
            let Some(largest) = tests.max_by_key(|&i| leaves[exits[i] as usize]) else { break };
            let node = exits[largest];
            inner.insert(node);
            let left = trees.nodes[node as usize].next();
            // In place, so that exits stay in order from left to right.
            exits.splice(largest..=largest, [left, left + 1]);
        }
        let mut tests = Vec::with_capacity(inner.len());
        add_tests(trees, &inner, root, &mut tests);
        Ok(Self { tests: Steps::new(&tests, exits.len())?, exits })
    }

    /// The values of the leaves that rows reach, with the mark of leaves.
    ///
    /// # Errors
    /// When there are fewer codes than rows.
    pub(super) fn leaves<B: Code>(
        &self,
        trees: &Trees<CodeNode>,
        codes: &Codes<'_, B>,
        out: &mut [u32],
    ) -> Result<(), ShapeError> {
        numbers(&self.tests, codes, out);
        // Sorted by exit: counted, then placed.
        let mut ends = [0_u32; EXITS];
        out.iter().for_each(|&exit| ends[exit as usize % EXITS] += 1);
        let mut sum = 0;
        for end in &mut ends {
            (*end, sum) = (sum, sum + *end);
        }
        let mut exits = [0; EXITS];
        exits[..self.exits.len()].copy_from_slice(&self.exits);
        let mut scratch = Scratch::new::<Start>(out.len());
        let starts = &mut scratch.as_mut_slice::<Start>()[..out.len()];
        for (item, &exit) in out.iter().enumerate() {
            let exit = exit as usize % EXITS;
            starts[ends[exit] as usize] = Start { node: exits[exit], item: item as u32 };
            ends[exit] += 1;
        }
        trees.leaves_from(starts, codes.rows(), out)
    }
}

/// Adds the tests of a node and below, left before right, as far as they are among `inner`; answers how many nodes that are not there
/// follow.
fn add_tests(trees: &Trees<CodeNode>, inner: &HashSet<u32>, at: u32, tests: &mut Vec<MaskTest>) -> u16 {
    if !inner.contains(&at) {
        return 1;
    }
    let node = trees.nodes[at as usize];
    let place = tests.len();
    tests.push(MaskTest { column: node.column() as u32, code: node.code() as u16, lefts: 0 });
    let lefts = add_tests(trees, inner, node.next(), tests);
    tests[place].lefts = lefts;
    lefts + add_tests(trees, inner, node.next() + 1, tests)
}
