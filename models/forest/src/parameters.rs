//! What a random forest is fitted with.

use crate::continued::Origin;
use crate::out_of_bag::{self, Bootstrap};
use crate::quantiles;
use crate::{Forest, OutOfBag, processes};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use tilewise_base::metric::check_quantiles;
use tilewise_base::{Context, Engine, Error, Fit, FitReport, Result};
use tilewise_kernels::parallel::{self, Scheme};
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
    /// Whether each tree gets rows drawn with replacement; else all of them.
    pub bootstrap: bool,
    /// How many rows are drawn for a tree, with `bootstrap`.
    #[serde(default)]
    pub max_samples: MaxSamples,
    /// Features that each node looks at; `None` for the square root of their number for classes and a third for numbers.
    pub max_features: Option<MaxFeatures>,
    /// Whether to ask about every row the trees that were grown without it. Takes a fraction of the time of training.
    pub out_of_bag: bool,
    /// Quantiles of numbers to predict in place of the mean (Meinshausen, "Quantile regression forests", *Journal of Machine
    /// Learning Research* 7, 2006): ascending, from 0 to 1; none for the mean. The forest then keeps the training answers of its
    /// leaves, 4 bytes for each tree and row.
    #[serde(default)]
    pub quantiles: Vec<f64>,
    /// What each tree is grown with, but for `max_features`. With `bootstrap` a row counts as often as it was drawn.
    pub tree: DecisionTree,
}

impl Default for RandomForest {
    fn default() -> Self {
        let tree = DecisionTree::default();
        Self {
            trees: 100,
            bootstrap: true,
            max_samples: MaxSamples::All,
            max_features: None,
            out_of_bag: false,
            quantiles: Vec::new(),
            tree,
        }
    }
}

/// How many rows are drawn for a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxSamples {
    /// As many as there are.
    #[default]
    All,
    /// So many.
    Count(u64),
    /// This share of them, above 0 and at most 1, rounded to the nearest, one at least.
    Share(f64),
}

impl MaxSamples {
    /// How many of `rows` that there are: of those that have a weight, or repetitions of them where weights are whole.
    ///
    /// # Errors
    /// When it is more than there are.
    pub(crate) fn of(self, rows: u64) -> Result<u64> {
        match self {
            Self::All => Ok(rows),
            Self::Count(count) if count > rows => Err(Error::parameter(
                "max_samples",
                count,
                format!("there are {rows} rows to draw from; as many or fewer are"),
            )),
            Self::Count(count) => Ok(count),
            Self::Share(share) => Ok(((rows as f64 * share).round_ties_even() as u64).clamp(1, rows.max(1))),
        }
    }

    fn check(self, bootstrap: bool) -> Result<()> {
        match self {
            Self::All => Ok(()),
            _ if !bootstrap => {
                let what = "only all is where rows are not drawn (bootstrap is false)";
                Err(Error::parameter("max_samples", self.told(), what))
            }
            Self::Count(count) if count > 0 => Ok(()),
            Self::Share(share) if share > 0.0 && share <= 1.0 => Ok(()),
            _ => Err(Error::parameter(
                "max_samples",
                self.told(),
                "a number above 0 or a share above 0 and at most 1 is",
            )),
        }
    }

    fn told(self) -> String {
        match self {
            Self::All => "all".into(),
            Self::Count(count) => count.to_string(),
            Self::Share(share) => share.to_string(),
        }
    }
}

/// A tree and its number.
pub(crate) type Grown = (u32, Tree);

/// The key of the random numbers of a tree.
pub(crate) fn key_of_tree(seed: u64, number: u32) -> u64 {
    const TREES: u64 = Philox::purpose("trees of a forest");
    Philox::new(seed, TREES).bits(number.into())
}

/// What grows any tree of a forest by its number.
pub(crate) struct Growing<'a> {
    table: &'a BinnedTable,
    answers: &'a Answers,
    tree: DecisionTree,
    seed: u64,
    bootstrap: Option<Bootstrap<'a>>,
}

impl<'a> Growing<'a> {
    pub(crate) fn new(
        forest: &RandomForest,
        table: &'a BinnedTable,
        answers: &'a Answers,
        seed: u64,
    ) -> Result<Self> {
        let bootstrap =
            forest.bootstrap.then(|| Bootstrap::new(table, seed, forest.max_samples)).transpose()?;
        let tree = forest.tree_of(matches!(answers, Answers::Classes { .. }));
        Ok(Self { table, answers, tree, seed, bootstrap })
    }

    pub(crate) fn grow(&self, number: u32, scheme: Scheme) -> Result<Tree> {
        let counts = self.bootstrap.as_ref().map(|bootstrap| bootstrap.counts(number as usize));
        let draw = Draw { key: key_of_tree(self.seed, number), counts: counts.as_deref(), scheme };
        match self.answers {
            Answers::Classes { y, classes } => self.tree.grow_classes(self.table, y, *classes, &draw),
            Answers::Numbers(y) => self.tree.grow_numbers(self.table, y, &draw),
            Answers::Outputs(y) => self.tree.grow_outputs(self.table, y, &draw),
        }
    }

    /// The trees of these numbers, grown by threads; those that were begun before the context was cancelled.
    fn in_threads(
        &self,
        numbers: &[u32],
        tell: &(dyn Fn(&Tree) + Sync),
        context: &Context<'_>,
    ) -> Result<Vec<Option<Grown>>> {
        let grow = |i: usize| -> Result<Option<Grown>> {
            if context.cancelled() {
                return Ok(None);
            }
            let tree = self.grow(numbers[i], context.scheme)?;
            tell(&tree);
            Ok(Some((numbers[i], tree)))
        };
        // A tree of one's own needs no waiting for others. Those that are left over begin together and share the idle threads: one
        // after the other, four of them on sixteen threads took as long as two to four rounds of sixteen (5,000 x 100 to 50,000 x 8).
        let (alone, beside) = match context.scheme {
            Scheme::Auto => {
                let left = numbers.len() % parallel::threads();
                (numbers.len() - left, left)
            }
            Scheme::Tasks => (numbers.len(), 0),
            Scheme::Rows => (0, 0),
        };
        let mut grown = parallel::map(alone, |i| parallel::on_this_thread(|| grow(i)));
        grown.extend(parallel::map(beside, |i| grow(alone + i)));
        grown.extend((alone + beside..numbers.len()).map(grow));
        grown.into_iter().collect()
    }
}

impl RandomForest {
    /// Grows a forest for classes `y` (one number below `classes` per row) on the rows that have a weight.
    ///
    /// The same forest, bit for bit, at any number of threads or worker processes, if nobody stops it. O(trees x rows x features
    /// of a node x depth).
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

    /// As [`RandomForest::fit_classes`], for several numbers per row, which each tree predicts together
    /// ([`DecisionTree::fit_outputs`]): `y` has a list for each, as long as the table has rows. The out-of-bag score is the mean of
    /// the R2 of all.
    ///
    /// # Errors
    /// As there, when a number is not finite, there is none, or quantiles are asked for.
    pub fn fit_outputs<Y: AsRef<[f64]>>(
        &self,
        table: &BinnedTable,
        y: &[Y],
        context: &Context<'_>,
    ) -> Result<Fit<Forest>> {
        self.fit(table, &Answers::Outputs(y.iter().map(|y| y.as_ref().to_vec()).collect()), context)
    }

    /// As [`RandomForest::fit_classes`], [`RandomForest::fit_numbers`] or [`RandomForest::fit_outputs`].
    ///
    /// # Errors
    /// As there.
    pub fn fit(&self, table: &BinnedTable, answers: &Answers, context: &Context<'_>) -> Result<Fit<Forest>> {
        self.extend(None, table, answers, context)
    }

    /// Goes on with a forest until it has `self.trees` trees: the result is the forest that these parameters would have grown at
    /// once, bit for bit, since a tree is a function of its number. A forest that was stopped gets the trees that it lacks.
    ///
    /// # Errors
    /// When the forest was grown with other parameters (`out_of_bag` and `quantiles` may differ, and it may not have trees beyond
    /// `self.trees`), another seed or another table, naming what differs; else as [`RandomForest::fit`].
    pub fn continue_from(
        &self,
        forest: &Forest,
        table: &BinnedTable,
        answers: &Answers,
        context: &Context<'_>,
    ) -> Result<Fit<Forest>> {
        self.extend(Some(forest), table, answers, context)
    }

    fn extend(
        &self,
        earlier: Option<&Forest>,
        table: &BinnedTable,
        answers: &Answers,
        context: &Context<'_>,
    ) -> Result<Fit<Forest>> {
        self.check()?;
        let y = match answers {
            Answers::Numbers(y) => Some(&y[..]),
            Answers::Classes { .. } | Answers::Outputs(_) => None,
        };
        if y.is_none() && !self.quantiles.is_empty() {
            return Err(Error::parameter(
                "quantiles",
                self.listed_quantiles(),
                "none are where classes or several numbers are predicted",
            ));
        }
        let origin = Origin { params: self.clone(), seed: context.seed, table: table.fingerprint(answers)? };
        let mut grown = match earlier {
            Some(forest) => origin.continued(forest)?,
            None => Vec::new(),
        };
        let growing = Growing::new(self, table, answers, context.seed)?;
        let is_missing = |number: &u32| grown.binary_search_by_key(number, |(known, _)| *known).is_err();
        let missing: Vec<u32> = (0..self.trees as u32).filter(is_missing).collect();
        let done = AtomicU64::new(grown.len() as u64);
        let tell = |tree: &Tree| {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            context.progress.round(done, self.trees as u64, &format!("{} leaves", tree.leaves()));
        };
        let more = match &context.engine {
            Engine::Threads => growing.in_threads(&missing, &tell, context)?,
            Engine::Processes(workers) => {
                processes::grow(self, (table, answers), &missing, workers, &tell, context)?
            }
        };
        grown.extend(more.into_iter().flatten());
        grown.sort_by_key(|(number, _)| *number);
        let (numbers, trees): (Vec<u32>, Vec<Tree>) = grown.into_iter().unzip();
        if trees.is_empty() {
            return Err(Error::Fit("stopped before the first tree had grown".into()));
        }
        let out_of_bag = match &growing.bootstrap {
            Some(bootstrap) if self.out_of_bag => {
                let bag = |i: usize| out_of_bag::bag(&bootstrap.counts(numbers[i] as usize));
                let bags = parallel::map(numbers.len(), bag);
                let predictions = out_of_bag::predictions(table, &trees, &bags);
                context.progress.out_of_bag(&predictions);
                Some(OutOfBag::of(table, answers, &predictions))
            }
            _ => None,
        };
        let kept = match y {
            Some(y) if !self.quantiles.is_empty() => {
                Some(quantiles::Answers::new(table, y, growing.bootstrap.as_ref(), &trees, &numbers)?)
            }
            _ => None,
        };
        let model = Forest { trees, numbers, origin, answers: kept, out_of_bag };
        let report = self.report(&model, answers);
        Ok(Fit { model, report })
    }

    /// What each tree is grown with, for classes or for numbers.
    pub(crate) fn tree_of(&self, classes: bool) -> DecisionTree {
        let usual = if classes { MaxFeatures::Sqrt } else { MaxFeatures::Third };
        DecisionTree { max_features: self.max_features.unwrap_or(usual), ..self.tree.clone() }
    }

    pub(crate) fn listed_quantiles(&self) -> String {
        self.quantiles.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn report(&self, forest: &Forest, answers: &Answers) -> FitReport {
        let count = forest.trees.len();
        let mut stopped = format!("{count} trees grown to {} leaves", forest.leaves());
        let mut warnings = Vec::new();
        if let Some(judged) = &forest.out_of_bag {
            stopped += &format!("; {}", judged.told(matches!(answers, Answers::Classes { .. })));
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
        self.max_samples.check(self.bootstrap)?;
        if !self.quantiles.is_empty() {
            check_quantiles(&self.quantiles)?;
        }
        DecisionTree { max_features: self.max_features.unwrap_or_default(), ..self.tree.clone() }.check()
    }
}
