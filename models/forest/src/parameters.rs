//! What a random forest is fitted with.

use crate::out_of_bag::{self, Bootstrap};
use crate::{Forest, OutOfBag, processes};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use tilewise_base::{Context, Engine, Error, Fit, FitReport, Result};
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_tree::{Answers, BinnedTable, DecisionTree, Draw, MaxFeatures, Tree};

/// A random forest (Breiman, "Random forests", *Machine Learning* 45, 2001).
///
/// ```
/// use tilewise_base::Context;
/// use tilewise_forest::RandomForest;
/// use tilewise_kernels::MatRef;
/// use tilewise_tree::BinnedTable;
/// let x: Vec<f64> = (0..100).map(f64::from).collect();
/// let y: Vec<f64> = x.iter().map(|x| 3.0 * x).collect();
/// let table = BinnedTable::of_matrix(MatRef::new(&x, 100, 1)?, None, 255, 0)?;
/// let params = RandomForest { trees: 20, out_of_bag: true, ..RandomForest::default() };
/// let fit = params.fit_numbers(&table, &y, &Context::default())?;
/// assert!(fit.model.out_of_bag().is_some_and(|judged| judged.score > 0.99));
/// # Ok::<(), tilewise_base::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomForest {
    /// How many trees.
    pub trees: usize,
    /// Whether each tree gets as many rows as there are, drawn with replacement; else all of them.
    pub bootstrap: bool,
    /// Features that each node looks at; `None` for the square root of their number for classes and a third for numbers.
    pub max_features: Option<MaxFeatures>,
    /// Whether to ask about every row the trees that were grown without it. Takes a fraction of the time of training.
    pub out_of_bag: bool,
    /// What each tree is grown with, but for `max_features`. With `bootstrap` a row counts as often as it was drawn.
    pub tree: DecisionTree,
}

impl Default for RandomForest {
    fn default() -> Self {
        let tree = DecisionTree::default();
        Self { trees: 100, bootstrap: true, max_features: None, out_of_bag: false, tree }
    }
}

/// A tree and the rows it was grown on, if these are wanted.
pub(crate) type Grown = (Tree, Vec<u64>);

/// What grows any tree of a forest by its number.
pub(crate) struct Growing<'a> {
    table: &'a BinnedTable,
    answers: &'a Answers,
    tree: DecisionTree,
    keys: Philox,
    bootstrap: Option<Bootstrap<'a>>,
    out_of_bag: bool,
}

impl<'a> Growing<'a> {
    pub(crate) fn new(
        forest: &RandomForest,
        table: &'a BinnedTable,
        answers: &'a Answers,
        seed: u64,
    ) -> Result<Self> {
        const TREES: u64 = Philox::purpose("trees of a forest");
        let keys = Philox::new(seed, TREES);
        let bootstrap = forest.bootstrap.then(|| Bootstrap::new(table, seed)).transpose()?;
        let tree = DecisionTree { max_features: forest.features(answers), ..forest.tree.clone() };
        Ok(Self { table, answers, tree, keys, bootstrap, out_of_bag: forest.out_of_bag })
    }

    pub(crate) fn grow(&self, number: usize) -> Result<Grown> {
        let counts = self.bootstrap.as_ref().map(|bootstrap| bootstrap.counts(number));
        let draw = Draw { key: self.keys.bits(number as u64), counts: counts.as_deref() };
        let tree = match self.answers {
            Answers::Classes { y, classes } => self.tree.grow_classes(self.table, y, *classes, &draw)?,
            Answers::Numbers(y) => self.tree.grow_numbers(self.table, y, &draw)?,
        };
        let bag = counts.filter(|_| self.out_of_bag).map(|counts| out_of_bag::bag(&counts));
        Ok((tree, bag.unwrap_or_default()))
    }
}

impl RandomForest {
    /// Grows a forest for classes `y` (one number below `classes` per row) on the rows that have a weight.
    ///
    /// The same forest, bit for bit, at any number of threads or worker processes, if nobody stops it. O(trees x rows x features of a node x
    /// depth).
    ///
    /// # Errors
    /// When lengths or parameters are not what is accepted, a class is `classes` or more, it was stopped before the first
    /// tree, or worker processes were asked for and cannot do it.
    pub fn fit_classes(
        &self,
        table: &BinnedTable,
        y: &[u32],
        classes: usize,
        context: &Context<'_>,
    ) -> Result<Fit<Forest>> {
        self.fit(table, &Answers::Classes { y: y.to_vec(), classes }, context)
    }

    /// As [`RandomForest::fit_classes`], for numbers.
    ///
    /// # Errors
    /// As there, or when a number is not finite.
    pub fn fit_numbers(&self, table: &BinnedTable, y: &[f64], context: &Context<'_>) -> Result<Fit<Forest>> {
        self.fit(table, &Answers::Numbers(y.to_vec()), context)
    }

    /// As [`RandomForest::fit_classes`] or [`RandomForest::fit_numbers`].
    ///
    /// # Errors
    /// As there.
    pub fn fit(&self, table: &BinnedTable, answers: &Answers, context: &Context<'_>) -> Result<Fit<Forest>> {
        self.check()?;
        let done = AtomicU64::new(0);
        let tell = |tree: &Tree| {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            context.progress.round(done, self.trees as u64, &format!("{} leaves", tree.leaves()));
        };
        let grown = match &context.engine {
            Engine::Threads => self.in_threads(table, answers, &tell, context)?,
            Engine::Processes(workers) => processes::grow(self, table, answers, workers, &tell, context)?,
        };
        let (trees, bags): (Vec<Tree>, Vec<Vec<u64>>) = grown.into_iter().flatten().unzip();
        if trees.is_empty() {
            return Err(Error::Fit("stopped before the first tree had grown".into()));
        }
        let out_of_bag = self.out_of_bag.then(|| {
            let predictions = out_of_bag::predictions(table, &trees, &bags);
            OutOfBag::of(table, answers, &predictions)
        });
        let model = Forest { trees, out_of_bag };
        let report = self.report(&model, answers);
        Ok(Fit { model, report })
    }

    /// Its trees, those that were grown before the context was cancelled.
    fn in_threads(
        &self,
        table: &BinnedTable,
        answers: &Answers,
        tell: &(dyn Fn(&Tree) + Sync),
        context: &Context<'_>,
    ) -> Result<Vec<Option<Grown>>> {
        let growing = Growing::new(self, table, answers, context.seed)?;
        let grow = |number: usize| -> Result<Option<Grown>> {
            if context.cancelled() {
                return Ok(None);
            }
            let grown = growing.grow(number)?;
            tell(&grown.0);
            Ok(Some(grown))
        };
        // A tree of one's own needs no waiting for others; those that are left over are shared.
        let alone = self.trees - self.trees % parallel::threads();
        let mut grown = parallel::map(alone, |number| parallel::on_this_thread(|| grow(number)));
        grown.extend((alone..self.trees).map(grow));
        grown.into_iter().collect()
    }

    /// Features that a node looks at.
    fn features(&self, answers: &Answers) -> MaxFeatures {
        self.max_features.unwrap_or(match answers {
            Answers::Classes { .. } => MaxFeatures::Sqrt,
            Answers::Numbers(_) => MaxFeatures::Third,
        })
    }

    fn report(&self, forest: &Forest, answers: &Answers) -> FitReport {
        let count = forest.trees.len();
        let mut stopped = format!("{count} trees grown to {} leaves", forest.leaves());
        let mut warnings = Vec::new();
        if let Some(OutOfBag { rows, score }) = &forest.out_of_bag {
            let what = if matches!(answers, Answers::Classes { .. }) { "accuracy" } else { "R2" };
            stopped += &format!("; out of bag {what} {score:.6} on {rows} rows");
        }
        if count < self.trees {
            warnings.push(format!("stopped after {count} of {} trees", self.trees));
        }
        FitReport {
            converged: count == self.trees,
            stopped,
            warnings,
            // It has no objective that more rounds would make smaller.
            objective: f64::NAN,
            optimality: f64::NAN,
            rounds: count as u64,
        }
    }

    /// Checks parameters that do not depend on data.
    ///
    /// # Errors
    /// Naming the first that is not accepted, and what would be.
    pub fn check(&self) -> Result<()> {
        if self.trees == 0 || self.trees >= 1 << 31 {
            return Err(Error::parameter("trees", self.trees, "a whole number above 0 is"));
        }
        if self.out_of_bag && !self.bootstrap {
            let what = "only false is where rows are not drawn (bootstrap is false)";
            return Err(Error::parameter("out_of_bag", true, what));
        }
        DecisionTree { max_features: self.max_features.unwrap_or_default(), ..self.tree.clone() }.check()
    }
}
