//! The plainest trainer: the rows of every node are sorted by every feature, and every place between two of them is tried.

use tilewise_kernels::random::Philox;

/// What is learned from.
pub(in crate::cases) struct Trainer<'a> {
    /// Row by row.
    pub(in crate::cases) x: &'a [f32],
    pub(in crate::cases) features: usize,
    /// The first derivative of the loss of each row with its sign turned, and the second. A leaf predicts the quotient of their
    /// sums: of 0 or 1 by class, and 1, the share of class 1.
    pub(in crate::cases) derivatives: &'a [[f64; 2]],
    pub(in crate::cases) limits: Limits,
}

/// Where growing ends.
#[derive(Clone, Copy)]
pub(in crate::cases) struct Limits {
    /// Splits on the way to a leaf at most.
    pub(in crate::cases) depth: usize,
    /// Rows of a leaf at least.
    pub(in crate::cases) min_rows: usize,
    /// Features that a node looks at, drawn if these are not all.
    pub(in crate::cases) candidates: usize,
    /// Added to sums of second derivatives.
    pub(in crate::cases) l2: f64,
    /// What the gain of a split must exceed.
    pub(in crate::cases) min_gain: f64,
}

struct Node {
    /// Rows up to this value of this feature go left, to the next node; others to this one. `None` in leaves.
    split: Option<(usize, f32, usize)>,
    value: f64,
}

pub(in crate::cases) struct Tree(Vec<Node>);

impl Tree {
    /// What the leaf of a row predicts.
    pub(in crate::cases) fn predict(&self, row: &[f32]) -> f64 {
        let mut at = 0;
        while let Some((feature, threshold, right)) = self.0[at].split {
            at = if row[feature] <= threshold { at + 1 } else { right };
        }
        self.0[at].value
    }
}

impl Trainer<'_> {
    /// Tree `number`, on all rows or on as many that are drawn.
    pub(in crate::cases) fn grow(&self, number: u64, draws: bool) -> Tree {
        let stream = Philox::new(number, Philox::purpose("plain forest"));
        let rows = self.derivatives.len() as u64;
        let row = |i| if draws { stream.below(i, rows) as usize } else { i as usize };
        let mut nodes = Vec::new();
        self.node((0..rows).map(row).collect(), 0, number, &mut nodes);
        Tree(nodes)
    }

    fn node(&self, mut rows: Vec<usize>, depth: usize, number: u64, nodes: &mut Vec<Node>) {
        let Limits { candidates, min_rows, l2, min_gain, .. } = self.limits;
        let at = nodes.len();
        let sum = |rows: &[usize]| {
            let of = rows.iter().map(|&row| self.derivatives[row]);
            of.fold([0.0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
        };
        let all = sum(&rows);
        nodes.push(Node { split: None, value: all[0] / (all[1] + l2) });
        let is_pure = rows.iter().all(|&row| self.derivatives[row] == self.derivatives[rows[0]]);
        if depth >= self.limits.depth || is_pure {
            return;
        }
        let order: Vec<usize> = if candidates < self.features {
            Philox::new(number, Philox::purpose("plain features") ^ at as u64).permutation(self.features)
        } else {
            (0..self.features).collect()
        };
        let mut best: Option<(f64, usize, f32)> = None;
        for (seen, feature) in order.into_iter().enumerate() {
            if seen >= candidates && best.is_some() {
                break;
            }
            let value = |row: usize| self.x[row * self.features + feature];
            rows.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)));
            let mut left = [0.0; 2];
            for i in 1..rows.len() {
                let one = self.derivatives[rows[i - 1]];
                left = [left[0] + one[0], left[1] + one[1]];
                if value(rows[i - 1]) == value(rows[i]) || i < min_rows || rows.len() - i < min_rows {
                    continue;
                }
                // Twice what a Newton step lowers the loss by; of classes the decrease of the Gini impurity, times rows, over two.
                let score = |[g, h]: [f64; 2]| g * g / (h + l2);
                let right = [all[0] - left[0], all[1] - left[1]];
                let gain = score(left) + score(right) - score(all);
                if gain > best.map_or(min_gain, |(most, ..)| most) {
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

/// Derivatives of which a leaf predicts the share of class 1.
pub(in crate::cases) fn of_classes(y: &[u32]) -> Vec<[f64; 2]> {
    y.iter().map(|&y| [f64::from(y), 1.0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { depth: 9, min_rows: 1, candidates: 2, l2: 0.0, min_gain: f64::NEG_INFINITY };

    #[test]
    fn a_step_is_found_and_equal_values_stay_together() {
        let x = [1.0, 5.0, 1.0, 6.0, 2.0, 5.0, 3.0, 6.0];
        let (derivatives, twins) = (of_classes(&[0, 0, 1, 1]), of_classes(&[0, 1]));
        let trainer = Trainer { x: &x, features: 2, derivatives: &derivatives, limits: LIMITS };
        let tree = trainer.grow(0, false);
        assert_eq!(tree.0[0].split, Some((0, 1.0, 2)));
        assert_eq!([[1.0, 9.0], [1.5, 0.0]].map(|row| tree.predict(&row)), [0.0, 1.0]);
        let limits = Limits { min_rows: 3, ..LIMITS };
        assert_eq!(Trainer { limits, ..trainer }.grow(0, false).0.len(), 1);
        let limits = Limits { candidates: 1, ..LIMITS };
        let twins = Trainer { x: &[1.0, 1.0], features: 1, derivatives: &twins, limits };
        assert_eq!(twins.grow(0, false).predict(&[1.0]), 0.5);
    }

    #[test]
    fn penalty_and_gain_are_those_of_newton() {
        let derivatives = [[-1.0, 0.5], [-2.0, 0.5], [3.0, 1.0]];
        let x = [1.0, 2.0, 3.0];
        let grown = |l2, min_gain| {
            let limits = Limits { depth: 1, l2, min_gain, ..LIMITS };
            Trainer { x: &x, features: 1, derivatives: &derivatives, limits }.grow(0, false)
        };
        // (-3)^2 / (1 + 1) + 3^2 / (1 + 1) - 0.
        let tree = grown(1.0, 8.9);
        assert_eq!([2.0, 3.0].map(|x| tree.predict(&[x])), [-1.5, 1.5]);
        assert_eq!(grown(1.0, 9.0).predict(&[2.0]), 0.0);
    }
}
