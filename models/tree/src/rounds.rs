//! A tree grown in rounds over chunks of rows, which may lie in other processes: the tree of [`DecisionTree::fit_classes`] and
//! [`DecisionTree::fit_numbers`], node for node.
//!
//! A *request* holds the divisions that the last answers led to, and a batch of nodes, as many as fit [`BATCH`]: breadth first, or where
//! leaves are limited those that may be divided (`frontier.rs`). A chunk divides its rows and answers with a *partial*: of each node in
//! the batch the number of rows, whether they differ in what is learned, and the histogram of all columns, in integers, so that merging
//! is exact. From the merged histograms the trainer chooses splits. As in memory one child is what is left of its parent.
//!
//! Which rows of a chunk belong to which node is a *cache*: the chunk keeps it with a digest of all divisions that led there.
//! Where that is not the state that a request starts from (the chunk was read again elsewhere, or has served another tree)
//! the chunk answers that it *missed*, and the trainer asks the same again with all divisions since the root: a *replay*.
//! So a chunk that is lost is made again from its rows alone.
//!
//! Bins and the scale of numbers come from the whole table here, [`BinnedTable`] and [`Learned`]: a chunk is a range of its
//! rows. [`BinningTrainer`] makes tables of chunks that have rows of their own, and [`NewtonTree`] grows trees of boosting on these. What is
//! refused: the absolute criterion, since medians are no sums; levels that are divided by one test; and balanced classes, for which
//! the rows of the table may be weighed.

mod bundle;
mod chunks;
mod columns;
mod division;
mod frontier;
mod newton;
pub mod pieces;
mod sent;

pub use bundle::{BundledRows, BundledTree, Learns, Weighed};
pub use chunks::{each_row_once, missed};
pub use columns::{BinnedColumns, BinningPartial, BinningRequest, BinningTrainer, RawChunk};
pub use division::{Asked, Counted, Division, NodeRows};
pub use frontier::BATCH;
pub use newton::{GrownNewton, NewtonTree, count_newton};
pub use pieces::{BinnedPiece, Described, Grows, Queries};

use crate::Criterion;
use crate::codes::of_codes;
use crate::grow::Growth;
use crate::parameters::{ClassWeights, DecisionTree};
use crate::search::Search;
use crate::table::BinnedTable;
use crate::target::{self, ManyClasses, Numbers, Outputs, Target, TwoClasses};
use crate::training::Answers;
use crate::tree::Tree;
use division::{NONE, count, digest};
use frontier::{Counting, Frontier};
use sent::Sent;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use tilewise_base::{Error, Result, Rounds};
use tilewise_kernels::parallel::Scheme;

/// What is to be learned, as integers of one scale for all chunks.
pub struct Learned(Kind);

enum Kind {
    TwoClasses(TwoClasses),
    ManyClasses(ManyClasses),
    Numbers(Numbers),
    Outputs(Outputs),
}

/// Calls a function of any target.
macro_rules! of {
    ($learned:expr, $target:ident => $do:expr) => {
        match &$learned.0 {
            Kind::TwoClasses($target) => $do,
            Kind::ManyClasses($target) => $do,
            Kind::Numbers($target) => $do,
            Kind::Outputs($target) => $do,
        }
    };
}

use of;

impl Learned {
    /// The integers of these answers, whose rows are those of the table.
    ///
    /// # Errors
    /// When lengths differ, a class is not below their number, a number is not finite, or the criterion is not one for them;
    /// `absolute` is none.
    pub fn new(params: &DecisionTree, table: &BinnedTable, answers: &Answers) -> Result<Self> {
        target::check(table.rows(), answers.len())?;
        let (weights, criterion) = (&table.weights, params.criterion);
        if criterion == Criterion::Absolute {
            let what = "in rounds auto, squared and poisson are (medians are no sums over rows)";
            return Err(Error::parameter("criterion", criterion, what));
        }
        if let Answers::Classes { y, classes } = answers {
            target::check_classes(y, *classes, weights)?;
        }
        Ok(Self(match answers {
            Answers::Classes { y, classes: 2 } => Kind::TwoClasses(TwoClasses::new(y, weights, criterion)?),
            Answers::Classes { y, classes } => {
                Kind::ManyClasses(ManyClasses::new(y, *classes, weights, criterion)?)
            }
            Answers::Numbers(y) => Kind::Numbers(Numbers::new(y, weights, criterion)?),
            Answers::Outputs(y) if y.len() == 1 => Kind::Numbers(Numbers::new(&y[0], weights, criterion)?),
            Answers::Outputs(y) => {
                y.iter().try_for_each(|y| target::check(table.rows(), y.len()))?;
                Kind::Outputs(Outputs::new(y, weights, criterion)?)
            }
        }))
    }
}

/// What chunks are asked: see the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The digest of the divisions that these follow; none for a replay.
    before: Option<u64>,
    divisions: Vec<Division>,
    asked: Vec<Asked>,
}

/// What a chunk answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial(Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Counted(Vec<Counted>),
    Missed,
    Failed(String),
}

/// Rows of a table, and which of them belong to which node.
pub struct TreeChunk<'a> {
    table: &'a BinnedTable,
    learned: &'a Learned,
    rows: Range<usize>,
    cache: Mutex<Cache>,
}

struct Cache {
    /// Of all divisions so far.
    digest: u64,
    nodes: NodeRows,
}

impl<'a> TreeChunk<'a> {
    /// The chunk of these rows of a table.
    ///
    /// # Errors
    /// When the table has fewer.
    pub fn new(table: &'a BinnedTable, learned: &'a Learned, rows: Range<usize>) -> Result<Self> {
        if rows.start > rows.end || rows.end > table.rows() {
            let all = table.rows();
            return Err(Error::Fit(format!("rows {rows:?} are no chunk of a table of {all} rows")));
        }
        let cache = Cache { digest: NONE ^ 1, nodes: NodeRows::default() };
        Ok(Self { table, learned, rows, cache: Mutex::new(cache) })
    }

    fn answer<T: Target<Cell: Sent>>(&self, target: &T, request: &Request) -> Result<Answer> {
        let Request { before, divisions, asked } = request;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let after = digest(before.unwrap_or(NONE), divisions);
        if before.is_none() {
            let mine = |row: &u32| self.rows.contains(&(*row as usize));
            let rows = self.table.rows.iter().copied().filter(mine).collect();
            *cache = Cache { digest: NONE, nodes: NodeRows::new(rows) };
        }
        // A chunk that was asked the same before has divided its rows already.
        if cache.digest == before.unwrap_or(NONE) {
            // A chunk that fails half way is in no state that a request starts from.
            cache.digest = NONE ^ 1;
            cache.nodes.divide(self.table, divisions)?;
            cache.digest = after;
        } else if cache.digest != after {
            return Ok(Answer::Missed);
        }
        let all = DecisionTree::default();
        let count =
            |&asked: &Asked| count(self.table, target, &all, 0, cache.nodes.of(asked.node())?, asked, None);
        Ok(Answer::Counted(asked.iter().map(count).collect::<Result<_>>()?))
    }
}

/// Grows a tree by rounds.
///
/// ```
/// use tilewise_base::{Context, rounds};
/// use tilewise_kernels::MatRef;
/// use tilewise_tree::rounds::{Learned, TreeChunk, TreeTrainer};
/// use tilewise_tree::{Answers, BinnedTable, DecisionTree};
/// let x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
/// let table = BinnedTable::of_matrix(MatRef::new(&x, 6, 1)?, None, 255, 0)?;
/// let (params, context) = (DecisionTree::default(), Context::default());
/// let learned = Learned::new(&params, &table, &Answers::Numbers(vec![1.0, 1.0, 1.0, 9.0, 9.0, 9.0]))?;
/// let chunks = [TreeChunk::new(&table, &learned, 0..4)?, TreeChunk::new(&table, &learned, 4..6)?];
/// let mut trainer = TreeTrainer::new(&params, &table, &learned, context.seed)?;
/// rounds::run_through_bytes(&mut trainer, &chunks, &context)?;
/// assert_eq!(trainer.finish()?.leaves(), 2);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
pub struct TreeTrainer<'a> {
    params: DecisionTree,
    table: &'a BinnedTable,
    learned: &'a Learned,
    frontier: Frontier,
    /// Of all divisions that chunks were told before this round.
    digest: u64,
    /// Whether a chunk missed.
    replay: bool,
}

/// Refuses levels that are divided by one test.
fn refuse_oblivious(params: &DecisionTree) -> Result<()> {
    if params.growth == Growth::Oblivious {
        let what = "in rounds leaf_wise and depth_wise are (a level has no histogram of its own)";
        return Err(Error::parameter("growth", "oblivious", what));
    }
    Ok(())
}

fn refuse_balanced(params: &DecisionTree) -> Result<()> {
    if params.class_weights == ClassWeights::Balanced {
        let what = "in rounds only none is (weigh the rows of the table)";
        return Err(Error::parameter("class_weight", "balanced", what));
    }
    Ok(())
}

impl<'a> TreeTrainer<'a> {
    /// A trainer that has grown nothing yet; `seed` is that of the features which nodes look at.
    ///
    /// # Errors
    /// When a parameter is not accepted: `growth` must not be oblivious, and classes not balanced.
    pub fn new(
        params: &DecisionTree,
        table: &'a BinnedTable,
        learned: &'a Learned,
        seed: u64,
    ) -> Result<Self> {
        params.check()?;
        match &learned.0 {
            Kind::ManyClasses(target) => params.check_classes(target.outputs())?,
            Kind::Outputs(target) => params.check_numbers(target.outputs())?,
            Kind::TwoClasses(_) | Kind::Numbers(_) => {}
        }
        refuse_oblivious(params)?;
        refuse_balanced(params)?;
        let numbers = table.cells() * of!(learned, target => numbers_of(target));
        if numbers > BATCH {
            return Err(Error::Fit(format!(
                "the bins of all columns take {numbers} numbers for a node, and in rounds up to {BATCH} are accepted: \
                 max_bins must be smaller"
            )));
        }
        let constraints = params.constraints(table)?;
        // Without weights these count rows.
        let counted = table.weights.values.is_none();
        let limits = params.limits(table.weights.total, table.features(), counted, constraints, seed);
        let counting = if limits.min_rows > 1 { Counting::Chunks } else { Counting::No };
        let frontier = Frontier::new(limits, seed, counting);
        Ok(Self { params: params.clone(), table, learned, frontier, digest: NONE, replay: true })
    }

    /// The tree, as far as it has grown.
    ///
    /// # Errors
    /// When not even the root was counted.
    pub fn finish(self) -> Result<Tree> {
        of!(self.learned, target => self.finish_as(target))
    }

    fn finish_as<T: Target<Cell: Sent>>(&self, target: &T) -> Result<Tree> {
        let grown = self.frontier.grown(target)?.ok_or(Error::Cancelled)?;
        let unit = self.table.weights.unit;
        Ok(self.params.pruned(Tree::new(self.table, self.params.unseen, unit, target, &grown.nodes)))
    }

    fn take<T: Target<Cell: Sent>>(&mut self, target: &T, counted: Vec<Counted>) -> Result<()> {
        if self.frontier.len() == 1 {
            self.check_weight(target, &counted)?;
        }
        let (table, limits) = (self.table, self.frontier.limits());
        of_codes!(table.stored, codes => {
            let search = Search { table, codes, target, limits: &limits, scheme: Scheme::Auto, uncounted: false };
            self.frontier.take(&search, counted)
        })
    }

    /// That the root has the weight of the table.
    fn check_weight<T: Target<Cell: Sent>>(&self, target: &T, counted: &[Counted]) -> Result<()> {
        let Some(root) = counted.first() else { return Ok(()) };
        let of_first = self.table.count(0) * numbers_of(target);
        let cells: Vec<T::Cell> = sent::receive(root.cells.get(..of_first).unwrap_or_default())?;
        let mut sums = vec![T::Cell::default(); target.width()];
        for bin in cells.chunks_exact(target.width()) {
            target::add_to(&mut sums, bin);
        }
        let (came, all) = (target.weight(&sums), self.table.weights.total);
        if root.cells.len() >= of_first && came != all {
            let what = format!("chunks of weight {came} came, in units of the table's weights; it has {all}");
            return Err(Error::Fit(what));
        }
        Ok(())
    }
}

/// Numbers that are sent of a bin.
fn numbers_of<T: Target<Cell: Sent>>(target: &T) -> usize {
    target.width() * T::Cell::NUMBERS
}

impl Rounds for TreeTrainer<'_> {
    type Chunk<'c> = TreeChunk<'c>;
    type Request = Request;
    type Partial = Partial;

    fn request(&self) -> Option<Request> {
        let (new, all) = self.frontier.divisions();
        let divisions = if self.replay { all } else { new }.to_vec();
        let before = (!self.replay).then_some(self.digest);
        let asked = self.frontier.asked();
        (!asked.is_empty()).then_some(Request { before, divisions, asked })
    }

    fn partial(request: &Request, chunk: &TreeChunk<'_>) -> Result<Partial> {
        of!(chunk.learned, target => chunk.answer(target, request)).map(Partial)
    }

    fn merge(left: Partial, right: Partial) -> Partial {
        Partial(match (left.0, right.0) {
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            (Answer::Missed, _) | (_, Answer::Missed) => Answer::Missed,
            (Answer::Counted(mut left), Answer::Counted(right)) => {
                let fit = left.len() == right.len();
                match left.iter_mut().zip(right).try_for_each(|(a, b)| a.add(b)) {
                    Ok(()) if fit => Answer::Counted(left),
                    _ => Answer::Failed("chunks answered different requests".into()),
                }
            }
        })
    }

    fn advance(&mut self, partial: Partial) -> Result<()> {
        let counted = match partial.0 {
            Answer::Failed(e) => return Err(Error::Fit(e)),
            Answer::Missed => return missed(&mut self.replay),
            Answer::Counted(counted) => counted,
        };
        (self.digest, self.replay) = (digest(self.digest, self.frontier.divisions().0), false);
        let learned = self.learned;
        of!(learned, target => self.take(target, counted))
    }

    fn note(&self) -> String {
        format!("{} nodes", self.frontier.len())
    }

    fn at_most(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
