//! Cost-complexity pruning (Breiman, Friedman, Olshen, Stone, *Classification and Regression Trees*, 1984, chapter 3).
//!
//! With R(T) the impurity of the leaves of T, each times its share of the weight, and |T| the number of leaves, the tree
//! wanted for a price alpha of a leaf is the smallest of those prunings that make R(T) + alpha |T| least. For a growing alpha
//! these are nested. The next one comes from the split t whose branch T_t is the weakest link: of least
//! g(t) = (R(t) - R(T_t)) / (|T_t| - 1).
//!
//! No impurity is needed for that: a split's gain is what it takes off R, times the weight of all rows, so that
//! R(t) - R(T_t) is the sum of the gains of the branch. These sums are formed anew on the way from a cut to the root, never by
//! subtraction: one branch has the same sum whatever was cut before. Links that would be equal if nothing were rounded are cut
//! together ([`TIE`]).

use crate::arena::Arena;
use crate::tree::Tree;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

/// A tree of a pruning path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pruning {
    /// The least price of a leaf for which this is the tree wanted, in units of the criterion.
    pub alpha: f64,
    /// Its leaves.
    pub leaves: usize,
    /// The impurity of its leaves, each times its share of the weight, less that of the leaves of the tree as it was grown.
    /// The latter is the impurity of the root less the sum of all gains over the weight of the root.
    pub increase: f64,
}

impl Tree {
    /// The trees that [`Tree::pruned`] makes of this one, from alpha 0 (all but splits that gain nothing) to the root alone.
    ///
    /// Alphas are those of the criterion it was grown by; entropy is in nats, where others have bits (a nat is 1.4427 bits).
    /// O(nodes x depth x log nodes).
    pub fn pruning_path(&self) -> Vec<Pruning> {
        let mut branches = Branches::new(self);
        let all = branches.of[0].gain;
        let mut path = Vec::new();
        let mut alpha = 0.0;
        loop {
            branches.cut(alpha);
            path.push(Pruning { alpha, leaves: branches.of[0].leaves, increase: branches.increase(all) });
            match branches.weakest() {
                // Above alpha, or it would have been cut.
                Some((strength, _)) => alpha = strength,
                None => return path,
            }
        }
    }

    /// The smallest tree of those that cutting branches off this one can make and for which impurity plus `alpha` times
    /// leaves is least. Rows below a cut are answered by the node that became a leaf. Nothing is cut for an `alpha` below 0
    /// or NaN. O(nodes x depth x log nodes).
    ///
    /// ```
    /// use tilewise_base::Context;
    /// use tilewise_kernels::MatRef;
    /// use tilewise_tree::{BinnedTable, DecisionTree};
    /// let x = [0.0, 1.0, 2.0, 3.0];
    /// let table = BinnedTable::of_matrix(MatRef::new(&x, 4, 1)?, None, 255, 0)?;
    /// let tree = DecisionTree::default().fit_numbers(&table, &[1.0, 3.0, 19.0, 21.0], &Context::default())?.model;
    /// let path = tree.pruning_path();
    /// assert_eq!(path.iter().map(|step| step.leaves).collect::<Vec<_>>(), [4, 2, 1]);
    /// // Two rows of four, each off by 1, are what two leaves less cost, half of it each.
    /// assert_eq!((path[1].alpha, tree.pruned(0.5).leaves()), (0.5, 2));
    /// # Ok::<(), tilewise_base::Error>(())
    /// ```
    pub fn pruned(&self, alpha: f64) -> Self {
        let mut branches = Branches::new(self);
        branches.cut(alpha);
        branches.rest()
    }
}

/// Links count as equal that differ by less than this part of all gains per unit of weight, 5.7e-14: a gain is the difference
/// of sums that are each rounded once or twice, to 2^-53. Without it a split that gains nothing could cost 1e-18.
const TIE: f64 = 1.0 / (1_u64 << 44) as f64;

/// What is below a node: the gains of its splits and its leaves.
#[derive(Clone, Copy, Debug)]
struct Branch {
    gain: f64,
    leaves: usize,
}

const LEAF: Branch = Branch { gain: 0.0, leaves: 1 };

/// A split and g(t), in the order of g, of equals the first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Link(f64, usize);

impl Eq for Link {}
impl Ord for Link {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}
impl PartialOrd for Link {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A tree while branches are cut off.
struct Branches<'a> {
    tree: &'a Tree,
    parents: Vec<u32>,
    of: Vec<Branch>,
    /// Whether a node is a leaf now, or was cut off.
    ended: Vec<bool>,
    /// All splits as they are, and some as they were.
    links: BinaryHeap<Reverse<Link>>,
    /// How much weaker links that count as equal may be.
    tie: f64,
    /// The weight of the root.
    weight: f64,
}

impl<'a> Branches<'a> {
    fn new(tree: &'a Tree) -> Self {
        let count = tree.len();
        let ended = (0..count).map(|node| tree.nodes.split(node).is_none()).collect();
        let mut new = Self {
            tree,
            parents: vec![0; count],
            of: vec![LEAF; count],
            ended,
            links: BinaryHeap::new(),
            tie: 0.0,
            weight: tree.node(0).weight,
        };
        // Children stand after their parent.
        for (place, node) in tree.nodes().enumerate().rev().filter(|(_, node)| node.test.is_some()) {
            new.parents[node.left as usize] = place as u32;
            new.parents[node.right as usize] = place as u32;
            new.sum(place);
        }
        let gain = (new.of[0].gain / new.weight).max(0.0);
        // The gains of the largest numbers are not finite.
        new.tie = if gain.is_finite() { TIE * gain } else { 0.0 };
        new
    }

    /// Forms the sums of a split from those of its children.
    fn sum(&mut self, place: usize) {
        let node = self.tree.node(place);
        let (left, right) = (self.of[node.left as usize], self.of[node.right as usize]);
        self.of[place] =
            Branch { gain: node.gain + (left.gain + right.gain), leaves: left.leaves + right.leaves };
        self.links.push(Reverse(Link(self.strength(place), place)));
    }

    /// g(t). A gain of a split that gains nothing may be rounded to less than nothing.
    fn strength(&self, place: usize) -> f64 {
        let Branch { gain, leaves } = self.of[place];
        (gain / self.weight / (leaves as f64 - 1.0)).max(0.0)
    }

    /// The weakest link, while there are splits.
    fn weakest(&mut self) -> Option<(f64, usize)> {
        while let Some(Reverse(Link(strength, place))) = self.links.peek().copied() {
            if !self.ended[place] && strength == self.strength(place) {
                return Some((strength, place));
            }
            self.links.pop();
        }
        None
    }

    /// Cuts all branches off that are not worth `alpha` a leaf.
    fn cut(&mut self, alpha: f64) {
        while let Some((strength, place)) = self.weakest()
            && strength <= alpha + self.tie
        {
            self.of[place] = LEAF;
            let mut next = vec![place];
            while let Some(at) = next.pop() {
                if !self.ended[at] {
                    self.ended[at] = true;
                    let node = self.tree.node(at);
                    next.extend([node.left as usize, node.right as usize]);
                }
            }
            let mut at = place;
            while at != 0 {
                at = self.parents[at] as usize;
                self.sum(at);
            }
        }
    }

    /// What the cuts so far have added to R, where all gains of the tree sum to `all`.
    fn increase(&self, all: f64) -> f64 {
        ((all - self.of[0].gain) / self.weight).max(0.0)
    }

    /// The tree that is left.
    fn rest(&self) -> Tree {
        let old = &self.tree.nodes;
        let mut rest = Arena::new(old.values.of_none(), 2 * self.of[0].leaves - 1);
        // Left before right; with a right child comes the new place of its parent.
        let mut next = vec![(0, None)];
        while let Some((at, parent)) = next.pop() {
            rest.values.push_from(&old.values, at);
            let node = self.tree.node(at);
            let test = node.test.filter(|_| !self.ended[at]);
            let split = test.map(|test| (node.feature, test, node.missing_left, node.gain));
            let place = rest.push(parent, node.rows, split);
            if test.is_some() {
                next.push((node.right as usize, Some(place)));
                next.push((node.left as usize, None));
            }
        }
        Tree { inputs: Arc::clone(&self.tree.inputs), nodes: rest.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Input, Node, Test};

    /// A chain of three splits with these gains, as a file may hold it.
    fn chain(weight: f64, gains: [f64; 3]) -> Tree {
        let leaf = |at: u32| Node { weight, ..Node::leaf(at, 1) };
        let mut nodes: Vec<Node> = (0..7).map(leaf).collect();
        for (at, gain) in [0, 2, 4].into_iter().zip(gains) {
            let (left, right) = (at as u32 + 1, at as u32 + 2);
            nodes[at] = Node { test: Some(Test::UpTo(0.0)), left, right, gain, ..nodes[at] };
        }
        Tree::from_nodes([Input::Number].into(), &nodes, vec![0.0; 7], 1).unwrap()
    }

    #[test]
    fn links_of_any_strength_come_to_an_end() {
        for (weight, gains, leaves) in [
            (2.0, [8.0, 4.0, 2.0], vec![4, 3, 2, 1]),
            // The last two are cut together, since both together are the weakest link.
            (2.0, [8.0, 2.0, 4.0], vec![4, 2, 1]),
            (2.0, [8.0, 1e-20, -1e-20], vec![2, 1]),
            (2.0, [0.0; 3], vec![1]),
            (0.0, [0.0; 3], vec![1]),
            (0.0, [1.0, 2.0, 3.0], vec![4, 1]),
            (1.0, [f64::MAX; 3], vec![4, 1]),
            (1.0, [f64::MIN; 3], vec![1]),
        ] {
            let path = chain(weight, gains).pruning_path();
            let found: Vec<usize> = path.iter().map(|step| step.leaves).collect();
            assert_eq!(found, leaves, "{weight} {gains:?}: {path:?}");
            assert!(path.iter().all(|step| step.alpha >= 0.0), "{path:?}");
        }
        let path = chain(2.0, [8.0, 4.0, 2.0]).pruning_path();
        assert_eq!(path.iter().map(|step| step.alpha).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 4.0]);
        assert_eq!(path.iter().map(|step| step.increase).collect::<Vec<_>>(), [0.0, 1.0, 3.0, 7.0]);
    }
}
