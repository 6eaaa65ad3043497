//! Trees of boosting in rounds: what a trainer knows of one, and what chunks count for it. Stages, and rounding to fixed point, are the
//! caller's.

use super::division::{Asked, Counted, Division, count};
use super::frontier::{Counting, Frontier};
use crate::codes::of_codes;
use crate::newton::{Gradients, Penalty};
use crate::parameters::DecisionTree;
use crate::search::Search;
use crate::table::BinnedTable;
use crate::target::Newton;
use crate::tree::Tree;
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::tree::Packed;

/// What is known of a tree of boosting that grows over chunks: that of [`DecisionTree::grow_newton`].
pub struct NewtonTree {
    tree: DecisionTree,
    penalty: Penalty,
    units: [f64; 2],
    most_hessian: u64,
    frontier: Frontier,
}

/// A tree that has grown, and how chunks come to its leaves.
pub struct GrownNewton {
    /// As [`crate::Parted::tree`].
    pub tree: Tree,
    /// Leaves from left to right, by the numbers that chunks know.
    pub leaves: Vec<u32>,
    /// What divides the root into them.
    pub divisions: Vec<Division>,
}

impl NewtonTree {
    /// A tree of which nothing is known; `gradients` has units, no rows. `hessian_of_rows` is the hessian that each row has, where all
    /// have the same: rows then need not be counted.
    ///
    /// # Errors
    /// When a parameter is not accepted: `growth` must not be oblivious.
    pub fn new(
        tree: &DecisionTree,
        table: &BinnedTable,
        gradients: &Gradients<'_>,
        penalty: Penalty,
        hessian_of_rows: Option<u32>,
        key: u64,
    ) -> Result<Self> {
        tree.check()?;
        super::refuse_oblivious(tree)?;
        let mut limits = tree.limits(0, table.features(), false, tree.constraints(table)?, key);
        limits.min_gain = tree.min_impurity_decrease;
        limits.min_weight = (penalty.min_hessian / gradients.hessian_unit).ceil().max(1.0) as u64;
        let counting = match hessian_of_rows {
            _ if limits.min_rows <= 1 => Counting::No,
            Some(hessian) => Counting::Each(i64::from(hessian.max(1))),
            None => Counting::Chunks,
        };
        let frontier = Frontier::new(limits, key, counting);
        let units = [gradients.gradient_unit, gradients.hessian_unit];
        Ok(Self { tree: tree.clone(), penalty, units, most_hessian: gradients.most_hessian, frontier })
    }

    /// The nodes to ask for; none when it is grown.
    pub fn asked(&self) -> Vec<Asked> {
        self.frontier.asked()
    }

    /// Whether it is grown.
    pub fn is_done(&self) -> bool {
        self.frontier.is_done()
    }

    /// Divisions that chunks were not told before this round, and all so far.
    pub fn divisions(&self) -> (&[Division], &[Division]) {
        self.frontier.divisions()
    }

    fn gradients(&self) -> Gradients<'static> {
        let [gradient_unit, hessian_unit] = self.units;
        Gradients { values: &[], gradient_unit, hessian_unit, most_hessian: self.most_hessian }
    }

    /// Takes what all chunks together counted. `table` may have no rows.
    ///
    /// # Errors
    /// When that was not asked for.
    pub fn take(&mut self, table: &BinnedTable, counted: Vec<Counted>) -> Result<()> {
        let gradients = self.gradients();
        let target = Newton::new(&gradients, self.penalty);
        let limits = self.frontier.limits();
        of_codes!(table.stored, codes => {
            let search = Search { table, codes, target: &target, limits: &limits, scheme: Scheme::Auto, uncounted: false };
            self.frontier.take(&search, counted)
        })
    }

    /// The tree, as far as it has grown.
    ///
    /// # Errors
    /// When not even the root was counted.
    pub fn finish(&self, table: &BinnedTable) -> Result<GrownNewton> {
        let gradients = self.gradients();
        let target = Newton::new(&gradients, self.penalty);
        let grown = self.frontier.grown(&target)?.ok_or(Error::Cancelled)?;
        let tree = Tree::new(table, self.tree.unseen, 1.0, &target, &grown.nodes);
        Ok(GrownNewton { tree, leaves: grown.leaves, divisions: grown.divisions })
    }
}

/// Counts these rows of a chunk, those of a node. `tree` and `key` say which columns the tree uses; `ones` have a hessian of 1 for each
/// row of the table.
///
/// # Errors
/// When derivatives and rows do not fit.
pub fn count_newton(
    table: &BinnedTable,
    gradients: &Gradients<'_>,
    (tree, key): (&DecisionTree, u64),
    rows: &[u32],
    asked: Asked,
    ones: &[Packed],
) -> Result<Counted> {
    count(table, &Newton::new(gradients, Penalty::default()), tree, key, rows, asked, Some(ones))
}
