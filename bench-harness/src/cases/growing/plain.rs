//! The plainest trainer: the rows of every node are sorted by every feature, and every place between two of them is tried.

use tilewise_kernels::random::Philox;

/// What is learned from.
pub(super) struct Trainer<'a> {
    /// Row by row.
    pub(super) x: &'a [f32],
    /// Classes 0 and 1.
    pub(super) y: &'a [u32],
    pub(super) features: usize,
    /// Splits on the way to a leaf at most.
    pub(super) depth: usize,
    /// Features that a node looks at, drawn if these are not all.
    pub(super) candidates: usize,
}

struct Node {
    /// Rows up to this value of this feature go left, to the next node; others to this one. `None` in leaves.
    split: Option<(usize, f32, usize)>,
    /// The share of class 1.
    share: f64,
}

pub(super) struct Tree(Vec<Node>);

impl Tree {
    /// The share of class 1 in the leaf of a row.
    pub(super) fn predict(&self, row: &[f32]) -> f64 {
        let mut at = 0;
        while let Some((feature, threshold, right)) = self.0[at].split {
            at = if row[feature] <= threshold { at + 1 } else { right };
        }
        self.0[at].share
    }
}

impl Trainer<'_> {
    /// Tree `number`, on all rows or on as many that are drawn.
    pub(super) fn grow(&self, number: u64, draws: bool) -> Tree {
        let stream = Philox::new(number, Philox::purpose("plain forest"));
        let rows = self.y.len() as u64;
        let row = |i| if draws { stream.below(i, rows) as usize } else { i as usize };
        let mut nodes = Vec::new();
        self.node((0..rows).map(row).collect(), 0, number, &mut nodes);
        Tree(nodes)
    }

    fn node(&self, mut rows: Vec<usize>, depth: usize, number: u64, nodes: &mut Vec<Node>) {
        let at = nodes.len();
        let ones = rows.iter().filter(|&&row| self.y[row] == 1).count();
        nodes.push(Node { split: None, share: ones as f64 / rows.len() as f64 });
        if depth >= self.depth || ones == 0 || ones == rows.len() {
            return;
        }
        let order: Vec<usize> = if self.candidates < self.features {
            Philox::new(number, Philox::purpose("plain features") ^ at as u64).permutation(self.features)
        } else {
            (0..self.features).collect()
        };
        let mut best: Option<(f64, usize, f32)> = None;
        for (seen, feature) in order.into_iter().enumerate() {
            if seen >= self.candidates && best.is_some() {
                break;
            }
            let value = |row: usize| self.x[row * self.features + feature];
            rows.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)));
            let mut left = 0;
            for i in 1..rows.len() {
                left += self.y[rows[i - 1]] as usize;
                if value(rows[i - 1]) == value(rows[i]) {
                    continue;
                }
                // The decrease of the Gini impurity, times rows, over two: m^2 / n of the sides less that of the node.
                let score = |ones: usize, rows: usize| ones as f64 * ones as f64 / rows as f64;
                let gain = score(left, i) + score(ones - left, rows.len() - i) - score(ones, rows.len());
                if best.is_none_or(|(most, ..)| gain > most) {
                    best = Some((gain, feature, value(rows[i - 1])));
                }
            }
        }
        let Some((_, feature, threshold)) = best else { return };
        let (left, right) = rows
            .into_iter()
            .partition::<Vec<usize>, _>(|&row| self.x[row * self.features + feature] <= threshold);
        self.node(left, depth + 1, number, nodes);
        nodes[at].split = Some((feature, threshold, nodes.len()));
        self.node(right, depth + 1, number, nodes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_and_equal_values_stay_together() {
        let trainer = Trainer {
            x: &[1.0, 5.0, 1.0, 6.0, 2.0, 5.0, 3.0, 6.0],
            y: &[0, 0, 1, 1],
            features: 2,
            depth: 9,
            candidates: 2,
        };
        let tree = trainer.grow(0, false);
        assert_eq!(tree.0[0].split, Some((0, 1.0, 2)));
        assert_eq!([[1.0, 9.0], [1.5, 0.0]].map(|row| tree.predict(&row)), [0.0, 1.0]);
        let twins = Trainer { x: &[1.0, 1.0], y: &[0, 1], features: 1, depth: 9, candidates: 1 };
        assert_eq!(twins.grow(0, false).predict(&[1.0]), 0.5);
    }
}
