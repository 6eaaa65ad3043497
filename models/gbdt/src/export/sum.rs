//! What all formats have in common.

use crate::{Link, Loss};
use tilewise_base::model::UNSEEN;
use tilewise_base::{Error, Field, Kind, Result, Task, Unseen};
use tilewise_tree::{Node, Test, Tree};

/// A model as a sum of trees: score k is `base[k]` plus what the trees add to it, in their order, over `over`; `link` makes predictions
/// of the scores.
#[derive(Clone, Debug)]
pub struct Sum<'a> {
    /// The columns that trees read.
    pub inputs: &'a [Field],
    /// What is predicted.
    pub task: &'a Task,
    /// What the target columns are called.
    pub targets: Vec<&'a str>,
    /// The column that is added to scores, if there is one.
    pub offset: Option<&'a str>,
    /// What happens to categories that training did not see.
    pub unseen: Unseen,
    /// Trees, with the score to which the first of their numbers is added; further numbers are added to the scores behind it. Each
    /// score gets as many, and they are in the order of scores: 0, 1, 2, 0, 1, 2 ...
    pub trees: Vec<(&'a Tree, usize)>,
    /// What scores start with, one for each.
    pub base: Vec<f64>,
    /// What scores are divided by: the number of trees where it is their mean, 1 where it is their sum.
    pub over: f64,
    /// What makes predictions of scores.
    pub link: Link,
    /// What was made smaller in training, where the trees were boosted.
    pub loss: Option<Loss>,
}

/// What a split asks.
pub(super) enum Ask {
    /// Numbers up to it go left.
    UpTo(f64),
    /// For each category whether it goes left; the last is for those that the dictionary lacks.
    OneOf(Vec<bool>),
}

impl Sum<'_> {
    /// Scores of a row.
    pub(super) fn scores(&self) -> usize {
        self.base.len()
    }

    /// Trees of a score.
    pub(super) fn rounds(&self) -> usize {
        self.trees.iter().map(|(tree, _)| tree.outputs()).sum::<usize>() / self.scores()
    }

    /// How far scores of XGBoost and ONNX may be off, which round cells, leaves and sums to f32, if no cell changes sides: (trees + 3) x
    /// 2^-24 x (|start| + the sum over trees of the largest |leaf|). O(nodes).
    ///
    /// # Panics
    /// When there is no such score.
    pub fn rounding_of_f32(&self, score: usize) -> f64 {
        let largest = |&(tree, first): &(&Tree, usize)| {
            let leaves = tree.nodes().enumerate().filter(|(_, node)| node.test.is_none());
            leaves
                .filter_map(|(at, _)| tree.numbers(at).nth(score.checked_sub(first)?))
                .fold(0.0, |most: f64, x| most.max(x.abs()))
        };
        let all = self.base[score].abs() + self.trees.iter().map(largest).sum::<f64>() / self.over;
        (self.rounds() + 3) as f64 * all / (1 << 24) as f64
    }

    /// That trees add to scores in turn, and starts are not divided.
    pub(super) fn check(&self) -> Result<()> {
        let scores = self.scores();
        let mut next = 0;
        for (tree, first) in &self.trees {
            if *first != next || next + tree.outputs() > scores || tree.inputs().len() != self.inputs.len() {
                let what = "trees do not add to one score after the other, or read other inputs";
                return Err(Error::Fit(what.into()));
            }
            next = (next + tree.outputs()) % scores;
        }
        let starts = self.starts();
        if scores == 0
            || next != 0
            || self.trees.is_empty()
            || self.over.is_nan()
            || self.over <= 0.0
            || starts && self.over != 1.0
        {
            return Err(Error::Fit("is no sum of trees, as many for each score".into()));
        }
        Ok(())
    }

    /// Whether a score starts with another number than 0, to which adding the first tree changes nothing.
    pub(super) fn starts(&self) -> bool {
        self.base.iter().any(|base| *base != 0.0)
    }

    /// What a split of a tree asks.
    pub(super) fn ask(&self, tree: &Tree, node: &Node, test: &Test) -> Ask {
        let feature = node.feature as usize;
        let input = &tree.inputs()[feature];
        match (test, &self.inputs[feature].kind) {
            (Test::UpTo(threshold), _) => Ask::UpTo(*threshold),
            (Test::Bins(_), kind) => {
                let categories =
                    if let Kind::Categorical { dictionary } = kind { dictionary.len() } else { 2 };
                let codes = (0..categories).map(|place| place as f64).chain([UNSEEN]);
                Ask::OneOf(codes.map(|x| test.passes(input, x).unwrap_or(node.missing_left)).collect())
            }
        }
    }
}

/// The places of what is `side` in a list.
pub(super) fn places(left: &[bool], side: bool) -> Vec<u32> {
    (0..).zip(left).filter(|(_, left)| **left == side).map(|(place, _)| place).collect()
}
