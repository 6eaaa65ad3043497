//! The nodes of a finished tree: what only splits need is kept of splits only.

use crate::counts::Counts;
use crate::ranked::Ranked;
use crate::tree::{Input, Node, Test};
use crate::values::Values;
use serde::{Deserialize, Serialize};

/// Nodes, each before those below it, left before right. Of the splits, which are half of the nodes, there is more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arena {
    /// Whether each node has a split.
    pub(crate) divided: Ranked,
    /// Training rows that came to each node.
    pub(crate) rows: Counts,
    /// In the order of their nodes.
    pub(crate) splits: Vec<Split>,
    pub(crate) sets: Vec<[u64; 4]>,
    pub(crate) values: Values,
}

/// A split. Its left child is the next node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Split {
    /// What it gained.
    pub(crate) gain: f64,
    /// The bits of a threshold, or the number of a set.
    pub(crate) test: u64,
    /// The feature, and flags above it.
    pub(crate) feature: u32,
    /// The right child.
    pub(crate) right: u32,
}

/// Set where missing values go left.
pub(crate) const MISSING_LEFT: u32 = 1 << 31;
/// Set where categories are tested.
pub(crate) const CATEGORY: u32 = 1 << 30;

/// Feature, test, whether missing values go left, gain.
pub(crate) type NewSplit = (u32, Test, bool, f64);

impl Split {
    pub(crate) fn feature(&self) -> usize {
        (self.feature & !(MISSING_LEFT | CATEGORY)) as usize
    }

    pub(crate) fn missing_left(&self) -> bool {
        self.feature & MISSING_LEFT != 0
    }
}

impl Arena {
    /// No nodes yet, and room for so many.
    pub(crate) fn new(mut values: Values, nodes: usize) -> Self {
        values.reserve(nodes);
        let mut rows = Counts::default();
        rows.reserve(nodes);
        Self {
            divided: Ranked::with_capacity(nodes),
            rows,
            splits: Vec::with_capacity(nodes / 2),
            sets: Vec::new(),
            values,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.divided.len()
    }

    /// Adds a node, whose value is put down by the caller, and answers its number. `parent` is the node of which it is the right
    /// child, if it is one.
    pub(crate) fn push(&mut self, parent: Option<u32>, rows: u32, split: Option<NewSplit>) -> u32 {
        let place = self.len() as u32;
        if let Some(split) = parent.and_then(|parent| self.divided.rank(parent as usize)) {
            self.splits[split].right = place;
        }
        self.divided.push(split.is_some());
        self.rows.push(rows);
        if let Some((feature, test, missing_left, gain)) = split {
            let (kind, test) = match test {
                Test::UpTo(threshold) => (0, threshold.to_bits()),
                Test::Bins(set) => {
                    self.sets.push(set);
                    (CATEGORY, self.sets.len() as u64 - 1)
                }
            };
            let missing = if missing_left { MISSING_LEFT } else { 0 };
            self.splits.push(Split { gain, test, feature: feature | kind | missing, right: 0 });
        }
        place
    }

    /// Nodes that were made elsewhere.
    pub(crate) fn of_nodes(nodes: &[Node], values: Values) -> Result<Self, String> {
        let mut arena = Self { values, ..Self::new(Values::numbers(0), nodes.len()) };
        for (place, node) in nodes.iter().enumerate() {
            let left = place + usize::from(node.test.is_some());
            if node.left as usize != left || node.test.is_none() && node.right as usize != place {
                return Err(format!("the left child of node {place} is {}, not {left}", node.left));
            }
            if node.feature >= CATEGORY {
                return Err(format!("node {place} tests input {}, which no tree can have", node.feature));
            }
            let split = node.test.map(|test| (node.feature, test, node.missing_left, node.gain));
            arena.push(None, node.rows, split);
            if let Some(split) = arena.splits.last_mut().filter(|_| node.test.is_some()) {
                split.right = node.right;
            }
        }
        Ok(arena)
    }

    pub(crate) fn split(&self, node: usize) -> Option<&Split> {
        self.divided.rank(node).map(|split| &self.splits[split])
    }

    pub(crate) fn test(&self, split: &Split) -> Test {
        if split.feature & CATEGORY == 0 {
            Test::UpTo(f64::from_bits(split.test))
        } else {
            Test::Bins(self.sets[split.test as usize])
        }
    }

    pub(crate) fn node(&self, at: usize) -> Node {
        let here = at as u32;
        let leaf = Node { weight: self.values.weight(at), ..Node::leaf(here, self.rows.get(at)) };
        let Some(split) = self.split(at) else { return leaf };
        Node {
            feature: split.feature() as u32,
            test: Some(self.test(split)),
            missing_left: split.missing_left(),
            left: here + 1,
            right: split.right,
            gain: split.gain,
            ..leaf
        }
    }

    /// That this is a tree whose tests fit the inputs, and whose numbers are some.
    pub(crate) fn check(&self, inputs: &[Input]) -> Result<(), String> {
        let (count, all) = (self.len(), self.splits.len());
        if count == 0 || count >= u32::MAX as usize || count != 2 * all + 1 || self.divided.all() != all {
            return Err(format!("{count} nodes and {all} splits are no tree"));
        }
        if self.rows.len() != count {
            return Err(format!("{count} nodes have {} numbers of rows", self.rows.len()));
        }
        self.values.fit(count)?;
        // The right children that are still to come, the next one last.
        let (mut rights, mut sets, mut follows) = (Vec::new(), 0, true);
        for at in 0..count {
            // A left child follows its parent, a right one the last leaf below the left.
            if !follows && rights.pop() != Some(at) {
                return Err(format!("node {at} is not where its parent says"));
            }
            let split = self.split(at);
            follows = split.is_some();
            let Some(split) = split else { continue };
            if !split.gain.is_finite() {
                return Err(format!("the gain of node {at} is {}", split.gain));
            }
            let fits = match (inputs.get(split.feature()), split.feature & CATEGORY != 0) {
                (Some(Input::Number), false) => !f64::from_bits(split.test).is_nan(),
                // Sets stand in the order of their splits.
                (Some(Input::Category(_)), true) => {
                    sets += 1;
                    split.test == sets - 1
                }
                _ => false,
            };
            if !fits {
                return Err(format!("the test of node {at} does not fit its input"));
            }
            rights.push(split.right as usize);
        }
        if !rights.is_empty() {
            return Err("a node has no right child".into());
        }
        if sets != self.sets.len() as u64 {
            return Err(format!("{sets} splits of categories have {} sets", self.sets.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trees_whose_tests_fit_their_inputs_are_accepted() {
        let leaf = |at: u32| Node::leaf(at, 1);
        let root = Node { test: Some(Test::UpTo(0.5)), left: 1, right: 2, ..leaf(0) };
        let inputs = [Input::Number, Input::Category(vec![0, 1].into())];
        let check = |nodes: &[Node]| {
            let values = Values::Numbers {
                outputs: 1,
                numbers: vec![0.0; nodes.len()],
                weights: vec![1.0; nodes.len()],
            };
            Arena::of_nodes(nodes, values).and_then(|arena| arena.check(&inputs))
        };
        let second = Node { test: root.test, left: 3, right: 4, ..leaf(2) };
        assert_eq!(check(&[root, leaf(1), leaf(2)]), Ok(()));
        assert_eq!(check(&[root, leaf(1), second, leaf(3), leaf(4)]), Ok(()));
        assert_eq!(check(&[leaf(0)]), Ok(()));
        for nodes in [
            vec![],
            // A child that is not there, a circle, two parents or none, a leaf with children.
            vec![root, leaf(1)],
            vec![Node { left: 0, ..root }, leaf(1), leaf(2)],
            vec![Node { right: 0, ..root }, leaf(1), leaf(2)],
            vec![Node { right: 1, ..root }, leaf(1), leaf(2)],
            vec![Node { right: 3, ..root }, leaf(1), leaf(2)],
            vec![root, leaf(1), Node { right: 2, ..second }, leaf(3), leaf(4)],
            vec![Node { right: 3, ..root }, leaf(1), second, leaf(3), leaf(4)],
            vec![leaf(0), leaf(1)],
            vec![Node { test: None, ..root }, leaf(1), leaf(2)],
            // An input that is not there or of another kind.
            vec![Node { feature: 2, ..root }, leaf(1), leaf(2)],
            vec![Node { feature: CATEGORY, ..root }, leaf(1), leaf(2)],
            vec![Node { feature: 1, ..root }, leaf(1), leaf(2)],
            vec![Node { test: Some(Test::Bins([1; 4])), ..root }, leaf(1), leaf(2)],
            vec![Node { test: Some(Test::UpTo(f64::NAN)), ..root }, leaf(1), leaf(2)],
            vec![Node { gain: f64::INFINITY, ..root }, leaf(1), leaf(2)],
        ] {
            assert!(check(&nodes).is_err(), "{nodes:?}");
        }
    }

    #[test]
    fn nodes_are_what_they_were_made_of() {
        let node = |at: u32, feature: u32, test: Option<Test>, missing_left: bool, right: u32| Node {
            feature,
            test,
            missing_left,
            left: at + u32::from(test.is_some()),
            right,
            rows: 10 - at,
            weight: f64::from(at),
            gain: if test.is_some() { 0.5 } else { 0.0 },
        };
        let nodes = [
            node(0, 3, Some(Test::Bins([1, 2, 3, 4])), true, 4),
            node(1, 1, Some(Test::UpTo(-0.5)), true, 3),
            node(2, 0, None, false, 2),
            node(3, 0, None, false, 3),
            node(4, 2, Some(Test::Bins([5, 6, 7, 8])), false, 6),
            node(5, 0, None, false, 5),
            node(6, 0, None, false, 6),
        ];
        let values = Values::Numbers {
            outputs: 2,
            numbers: (0..14).map(f64::from).collect(),
            weights: nodes.iter().map(|node| node.weight).collect(),
        };
        let arena = Arena::of_nodes(&nodes, values).unwrap();
        assert!((0..7).map(|at| arena.node(at)).eq(nodes));
        assert!(arena.values.of(3).eq([6.0, 7.0]));
        let inputs =
            [Input::Number, Input::Number, Input::Category(vec![].into()), Input::Category(vec![].into())];
        assert_eq!(arena.check(&inputs), Ok(()));
        for broken in [
            Arena { sets: vec![[0; 4]], ..arena.clone() },
            Arena { sets: vec![[0; 4]; 3], ..arena.clone() },
            Arena {
                splits: arena.splits.iter().map(|split| Split { test: 0, ..*split }).collect(),
                ..arena.clone()
            },
            Arena { splits: arena.splits[..2].to_vec(), ..arena.clone() },
            Arena { values: Values::numbers(2), ..arena.clone() },
            Arena {
                values: Values::Shares { classes: 2, weights: vec![0; 14].into(), unit: 1.0 },
                ..arena.clone()
            },
            Arena { divided: vec![true; 7].into(), ..arena.clone() },
            Arena { divided: vec![true, true, true, false, false, false, false].into(), ..arena.clone() },
            Arena { rows: vec![1; 6].into(), ..arena.clone() },
        ] {
            assert!(broken.check(&inputs).is_err(), "{broken:?}");
        }
    }
}
