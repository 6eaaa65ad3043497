//! Where rows end up in trees, by the trees as they are shown: the same way as predictions go.

use tilewise_base::model::UNSEEN;
use tilewise_base::outline::Question;
use tilewise_base::{Outline, Result};
use tilewise_kernels::{MatMut, MatRef};

/// A tree that rows go through.
pub(crate) struct Ways {
    nodes: Vec<Option<Way>>,
}

/// A question of a node, and the nodes that follow.
struct Way {
    feature: usize,
    test: Test,
    missing_left: bool,
    unseen_left: bool,
    left: usize,
    right: usize,
}

enum Test {
    UpTo(f64),
    /// Of each category of the dictionary whether it passes; nothing of those that training did not see.
    OneOf(Vec<Option<bool>>),
}

impl Ways {
    pub(crate) fn new(outline: &Outline) -> Self {
        let way = |split: &tilewise_base::outline::Split| {
            let test = match &split.question {
                Question::UpTo(threshold) => Test::UpTo(*threshold),
                Question::OneOf(passing) => {
                    let unseen = outline.unseen.get(split.feature).map_or(&[][..], Vec::as_slice);
                    let last = passing.iter().chain(unseen).copied().max().map_or(0, |last| last + 1);
                    // What is not named at all is seen and does not pass.
                    let mut passes = vec![Some(false); last];
                    passing.iter().for_each(|&place| passes[place] = Some(true));
                    unseen.iter().for_each(|&place| passes[place] = None);
                    Test::OneOf(passes)
                }
            };
            Way {
                feature: split.feature,
                test,
                missing_left: split.missing_left,
                unseen_left: split.unseen_left.unwrap_or(split.missing_left),
                left: split.left,
                right: split.right,
            }
        };
        Self { nodes: outline.nodes.iter().map(|node| node.split.as_ref().map(way)).collect() }
    }

    /// The number of the leaf that a row comes to.
    fn leaf(&self, row: &[f64]) -> usize {
        let mut at = 0;
        while let Some(way) = &self.nodes[at] {
            let x = row[way.feature];
            let left = match &way.test {
                _ if x.is_nan() => way.missing_left,
                Test::UpTo(threshold) => x <= *threshold,
                Test::OneOf(_) if x == UNSEEN => way.unseen_left,
                Test::OneOf(passes) => {
                    passes.get(x as usize).copied().unwrap_or(Some(false)).unwrap_or(way.unseen_left)
                }
            };
            at = if left { way.left } else { way.right };
        }
        at
    }
}

/// The leaf of each row in each tree: rows x trees.
pub(crate) fn leaves(trees: &[Ways], cells: MatRef<'_, f64>, mut out: MatMut<'_, f64>) -> Result<()> {
    let mut row = vec![0.0; cells.cols()];
    for i in 0..cells.rows() {
        row.iter_mut().enumerate().for_each(|(j, x)| *x = cells.get(i, j));
        for (k, tree) in trees.iter().enumerate() {
            out.set(i, k, tree.leaf(&row) as f64);
        }
    }
    Ok(())
}
