//! Interactions of inputs: what two add together beyond what each adds (Lundberg, Erion, Lee, 2018; the interaction index of
//! Grabisch and Roubens, "An axiomatic approach to the concept of interaction among players in cooperative games", 1999).
//!
//! The interaction of i and j is the mean step that i makes less the one that it makes where j is known, over the sets of others. In one
//! leaf, with the factors of the Shapley values, it is an integral once more (Owen 1972: the mixed derivative of the multilinear
//! extension on its diagonal):
//!
//! ```text
//! v (o_i - z_i) (o_j - z_j) times the integral over t from 0 to 1 of the product over the others k of t o_k + (1 - t) z_k
//! ```
//!
//! So leaves owe to two edges of the way, at each point, the product of what they owe to each. It is counted where the deeper of the two
//! is left, with the sum of the leaves below it, which lie below both. A row takes O(nodes x depth x inputs on the way), where
//! explaining it with each input known and unknown in turn, as in the paper, takes O(leaves x depth^2 x inputs).

use super::{Prepared, Shap, State};
use tilewise_base::{Result, predict_rows};
use tilewise_kernels::{MatMut, MatRef, same};

/// What is owed at the edges of the way.
#[derive(Default)]
struct Owed {
    /// Levels x points.
    all: Vec<f64>,
    /// By level: whether it is anything.
    any: Vec<bool>,
    /// Levels from here on are those of edges that were left.
    valid: usize,
    /// Points.
    products: Vec<f64>,
}

impl Shap<'_> {
    /// How much of what inputs of a row add is owed to two of them together: `out` is inputs x inputs x outputs, and symmetric. Each of
    /// two has half of what they add together; on the diagonal stands what an input adds by itself, so that a line sums to what
    /// [`Shap::explain_row`] says of its input, within [`super::SHAP_TOLERANCE`] times the largest absolute value of a leaf.
    ///
    /// O(nodes x depth x inputs on the way x outputs), and a third more memory than that takes with one output.
    ///
    /// ```
    /// use tilewise_base::Context;
    /// use tilewise_kernels::MatRef;
    /// use tilewise_tree::{BinnedTable, DecisionTree, Shap};
    /// // 8 where both are 1: neither adds anything where the other is 0.
    /// let x = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    /// let table = BinnedTable::of_matrix(MatRef::new(&x, 4, 2)?, None, 255, 0)?;
    /// let tree = DecisionTree::default().fit_numbers(&table, &[0.0, 0.0, 0.0, 8.0], &Context::default())?.model;
    /// let shap = Shap::new(std::slice::from_ref(&tree))?;
    /// let mut values = [0.0; 4];
    /// shap.interactions_row(&[1.0, 1.0], &mut values);
    /// // Base 2; each adds 3, of which 1 is half of what they add together.
    /// assert!(values.iter().zip([2.0, 1.0, 1.0, 2.0]).all(|(value, is)| (value - is).abs() < 1e-12));
    /// # Ok::<(), tilewise_base::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the row has fewer cells than the trees have inputs, or `out` is not inputs x inputs x outputs.
    pub fn interactions_row(&self, row: &[f64], out: &mut [f64]) {
        let (inputs, outputs) = (self.inputs, self.base.len());
        assert!(out.len() == inputs * inputs * outputs, "inputs x inputs x outputs");
        out.fill(0.0);
        let mut singles = vec![0.0; inputs * outputs];
        let mut state = State::default();
        let mut owed = Owed::default();
        for tree in &self.trees {
            tree.add_interactions(row, inputs, (&mut state, &mut owed), (&mut singles, out));
        }
        let half = 0.5 / self.trees.len() as f64;
        for i in 0..inputs {
            for output in 0..outputs {
                singles[i * outputs + output] /= self.trees.len() as f64;
                for j in i + 1..inputs {
                    let value = out[(i * inputs + j) * outputs + output] * half;
                    out[(i * inputs + j) * outputs + output] = value;
                    out[(j * inputs + i) * outputs + output] = value;
                }
                // In the order of the others.
                let line = (0..inputs).filter(|&j| j != i).map(|j| out[(i * inputs + j) * outputs + output]);
                out[(i * inputs + i) * outputs + output] = singles[i * outputs + output] - line.sum::<f64>();
            }
        }
    }

    /// [`Shap::interactions_row`] of rows of cells, over threads when there is much to do, with the same bits at any number of them.
    /// `out` is rows x (inputs x inputs x outputs).
    ///
    /// # Errors
    /// When `cells` has not the trees' inputs as columns, or `out` is of another shape.
    pub fn interactions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs, cells.cols())?;
        same("columns of out", self.inputs * self.inputs * self.base.len(), out.cols())?;
        let work =
            self.trees.iter().map(|tree| tree.order.len() * tree.rule.len() * tree.levels).sum::<usize>();
        predict_rows(cells, out, work * (1 + self.base.len()), |_, row, out| {
            self.interactions_row(row, out);
            Ok(())
        })
    }
}

impl Prepared<'_> {
    /// Adds the values of a row to `singles`, and twice the interactions of inputs i < j to line i of `pairs`.
    fn add_interactions(
        &self,
        row: &[f64],
        inputs: usize,
        (state, owed): (&mut State, &mut Owed),
        (singles, pairs): (&mut [f64], &mut [f64]),
    ) {
        let (points, outputs) = (self.rule.len(), self.tree.outputs());
        owed.all.resize(owed.all.len().max(self.levels * points), 0.0);
        owed.any.resize(owed.any.len().max(self.levels), false);
        owed.valid = 0;
        self.walk(row, state, |tree, way, edge, state| {
            let level = edge.level;
            let edges = way[owed.valid.min(level)..].iter().map(|(_, edge)| *edge);
            for edge in edges.chain([edge]) {
                let here = &mut owed.all[edge.level * points..][..points];
                owed.any[edge.level] = tree.owe(edge, &state.passed, &state.inverses, here);
            }
            owed.valid = level;
            if !owed.any[level] {
                return;
            }
            owed.products.resize(points, 0.0);
            let here = &owed.all[level * points..][..points];
            for output in 0..outputs {
                let sums = &state.sums[(level * outputs + output) * points..][..points];
                for (i, product) in owed.products.iter_mut().enumerate() {
                    *product = tree.rule[i].weight * here[i] * sums[i];
                }
                singles[edge.feature * outputs + output] += owed.products.iter().sum::<f64>();
                let others = way.iter().map(|(_, edge)| *edge);
                for other in others.filter(|other| owed.any[other.level] && other.feature != edge.feature) {
                    let of_other = &owed.all[other.level * points..][..points];
                    let sum: f64 = owed.products.iter().zip(of_other).map(|(a, b)| a * b).sum();
                    let (i, j) = (edge.feature.min(other.feature), edge.feature.max(other.feature));
                    pairs[(i * inputs + j) * outputs + output] += sum;
                }
            }
        });
    }
}
