//! One of many trees that grow over the same chunks, each on rows drawn for it: what a trainer knows of one, and what a chunk does.

use super::division::{Asked, Counted, Division, NodeRows, count};
use super::frontier::{Counting, Frontier};
use super::{Kind, Learned, of};
use crate::Criterion;
use crate::codes::of_codes;
use crate::parameters::DecisionTree;
use crate::search::Search;
use crate::table::BinnedTable;
use crate::target::{ManyClasses, Numbers, TwoClasses};
use crate::training::Answers;
use crate::tree::Tree;
use crate::weights::Weights;
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::same;

/// What a tree learns: so many classes, or numbers between these, which are those of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Learns {
    /// How many there are.
    Classes(usize),
    /// The least and the largest.
    Numbers([f64; 2]),
}

/// The weights of the rows of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Weighed {
    /// Those of the table.
    Table,
    /// How often rows were drawn: so many draws in all.
    Draws(u64),
}

impl Learned {
    fn of_tree(params: &DecisionTree, answers: &Answers, weights: &Weights, learns: Learns) -> Result<Self> {
        let criterion = params.criterion;
        Ok(Self(match (answers, learns) {
            (Answers::Classes { y, classes: 2 }, Learns::Classes(2)) => {
                Kind::TwoClasses(TwoClasses::new(y, weights, criterion)?)
            }
            (Answers::Classes { y, classes }, Learns::Classes(count)) if *classes == count => {
                Kind::ManyClasses(ManyClasses::new(y, count, weights, criterion)?)
            }
            (Answers::Numbers(_), _) if criterion == Criterion::Absolute => {
                let what = "in rounds auto, squared and poisson are (medians are no sums over rows)";
                return Err(Error::parameter("criterion", criterion, what));
            }
            (Answers::Numbers(y), Learns::Numbers(range)) => {
                Kind::Numbers(Numbers::of_range(y, weights, criterion, range)?)
            }
            _ => return Err(Error::Fit("a chunk has other answers than are to be learned".into())),
        }))
    }
}

/// What is known of one of many trees.
pub struct BundledTree {
    params: DecisionTree,
    learned: Learned,
    frontier: Frontier,
    unit: f64,
}

impl BundledTree {
    /// A tree of which nothing is known. `table` has no rows but the weight of all; of a batch of nodes it takes one `share`th.
    ///
    /// # Errors
    /// When a parameter is not accepted.
    pub fn new(
        params: &DecisionTree,
        table: &BinnedTable,
        (learns, weighed): (Learns, Weighed),
        key: u64,
        share: usize,
    ) -> Result<Self> {
        params.check()?;
        super::refuse_oblivious(params)?;
        super::refuse_balanced(params)?;
        let nothing = match learns {
            Learns::Classes(classes) => {
                params.check_classes(classes)?;
                Answers::Classes { y: Vec::new(), classes }
            }
            Learns::Numbers(_) => Answers::Numbers(Vec::new()),
        };
        let (unit, total, counted) = match weighed {
            Weighed::Table => (table.weights.unit, table.weights.total, table.weights.values.is_none()),
            Weighed::Draws(total) => (1.0, total, true),
        };
        let weights = Weights { values: Some(Vec::new()), unit, total };
        let learned = Learned::of_tree(params, &nothing, &weights, learns)?;
        let limits = params.limits(total, table.features(), counted, params.constraints(table)?, key);
        let counting = if limits.min_rows > 1 { Counting::Chunks } else { Counting::No };
        let mut frontier = Frontier::new(limits, key, counting);
        frontier.batch /= share.max(1);
        Ok(Self { params: params.clone(), learned, frontier, unit })
    }

    /// The nodes to ask for; none when it is grown.
    pub fn asked(&self) -> Vec<Asked> {
        self.frontier.asked()
    }

    /// Whether it is grown.
    pub fn is_done(&self) -> bool {
        self.frontier.is_done()
    }

    /// Divisions that chunks were not told before this round.
    pub fn divisions(&self) -> &[Division] {
        self.frontier.divisions().0
    }

    /// Takes what all chunks together counted.
    ///
    /// # Errors
    /// When that was not asked for.
    pub fn take(&mut self, table: &BinnedTable, counted: Vec<Counted>) -> Result<()> {
        let limits = self.frontier.limits();
        let Self { learned, frontier, .. } = self;
        of!(learned, target => of_codes!(table.stored, codes => {
            let search = Search { table, codes, target, limits: &limits, scheme: Scheme::Auto, uncounted: false };
            frontier.take(&search, counted)
        }))
    }

    /// The tree, as far as it has grown.
    ///
    /// # Errors
    /// When not even the root was counted.
    pub fn finish(&self, table: &BinnedTable) -> Result<Tree> {
        of!(self.learned, target => {
            let grown = self.frontier.grown(target)?.ok_or(Error::Cancelled)?;
            Ok(self.params.pruned(Tree::new(table, self.params.unseen, self.unit, target, &grown.nodes)))
        })
    }
}

/// The rows of a chunk that a tree is grown on.
pub struct BundledRows {
    weights: Weights,
    learned: Option<Learned>,
    nodes: NodeRows,
}

impl BundledRows {
    /// Rows of the table by how often they were drawn, or all with the weights of the table.
    ///
    /// # Errors
    /// When there are not as many counts as rows, or a row without a weight was drawn.
    pub fn new(table: &BinnedTable, counts: Option<Vec<u32>>, draws: u64) -> Result<Self> {
        let Some(counts) = counts else {
            let (weights, nodes) = (table.weights.clone(), NodeRows::new(table.rows.clone()));
            return Ok(Self { weights, learned: None, nodes });
        };
        same("counts of rows", table.rows(), counts.len())?;
        let counted = |&row: &u32| counts[row as usize] > 0;
        let rows: Vec<u32> = table.rows.iter().copied().filter(counted).collect();
        if rows.len() < counts.iter().filter(|count| **count > 0).count() {
            return Err(Error::Fit("a row without a weight was drawn for a tree".into()));
        }
        let weights = Weights { values: Some(counts), unit: 1.0, total: draws };
        Ok(Self { weights, learned: None, nodes: NodeRows::new(rows) })
    }

    /// The least and the largest of the numbers of these rows; none where there are no rows or classes.
    pub fn range(&self, answers: &Answers) -> Option<[f64; 2]> {
        let Answers::Numbers(y) = answers else { return None };
        let counted =
            y.iter().enumerate().filter(|(row, _)| self.weights.get(*row) > 0).map(|(_, &y)| [y; 2]);
        counted.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
    }

    /// Makes integers of what is learned; `total` is the weight of all rows of all chunks.
    ///
    /// # Errors
    /// When the answers are not such.
    pub fn learn(
        &mut self,
        tree: &DecisionTree,
        answers: &Answers,
        learns: Learns,
        total: u64,
    ) -> Result<()> {
        self.weights.total = total;
        self.learned = Some(Learned::of_tree(tree, answers, &self.weights, learns)?);
        Ok(())
    }

    /// Divides nodes, one after another.
    ///
    /// # Errors
    /// When there is no such node or column.
    pub fn divide(&mut self, table: &BinnedTable, divisions: &[Division]) -> Result<()> {
        self.nodes.divide(table, divisions)
    }

    /// Counts the rows of a node. `tree` and `key` say which columns the tree uses.
    ///
    /// # Errors
    /// When there is no such node, or nothing to learn yet.
    pub fn count(
        &self,
        table: &BinnedTable,
        (tree, key): (&DecisionTree, u64),
        asked: Asked,
    ) -> Result<Counted> {
        let nothing = || Error::Fit("a chunk was asked about a tree before it knew what is learned".into());
        let rows = self.nodes.of(asked.node())?;
        of!(self.learned.as_ref().ok_or_else(nothing)?, target => count(table, target, tree, key, rows, asked, None))
    }
}
