//! A tree grown in rounds over chunks of rows, which may lie in other processes: the tree of [`DecisionTree::fit_classes`] and
//! [`DecisionTree::fit_numbers`], node for node.
//!
//! The trainer grows breadth first. A *request* holds the divisions that the last answers led to, and a batch of nodes, as
//! many as fit [`BATCH`]. A chunk divides its rows and answers with a *partial*: of each node in the batch the number of rows,
//! whether they differ in what is learned, and the histogram of all columns, in integers, so that merging is exact. From the
//! merged histograms the trainer chooses splits. Unlike the trainer in memory it asks for the histograms of both children of a
//! node, which is up to twice the work, and keeps none.
//!
//! Which rows of a chunk belong to which node is a *cache*: the chunk keeps it with a digest of all divisions that led there.
//! Where that is not the state that a request starts from (the chunk was read again elsewhere, or has served another tree)
//! the chunk answers that it *missed*, and the trainer asks the same again with all divisions since the root: a *replay*.
//! So a chunk that is lost is made again from its rows alone.
//!
//! Bins and the scale of numbers come from the whole table here, [`BinnedTable`] and [`Learned`]: a chunk is a range of its
//! rows. What is refused: the absolute criterion, since medians are no sums; limits of the number of leaves, which need the best
//! node of all first, one round per leaf; levels that are divided by one test; balanced classes, for which the rows of the table may
//! be weighed; and least numbers of rows of a leaf above 1 where rows have weights: histograms hold these, and do not count rows.

mod sent;

use crate::Criterion;
use crate::codes::{Code, Codes, of_codes};
use crate::constraints::{Constraints, State};
use crate::grow::{Choice, Grower, Growth, Left, Limits};
use crate::nodes::Nodes;
use crate::parameters::{ClassWeights, DecisionTree};
use crate::search::{Scratch, Search, Searched, View};
use crate::table::BinnedTable;
use crate::target::{self, ManyClasses, Numbers, Outputs, Target, TwoClasses};
use crate::training::Answers;
use crate::tree::Tree;
use sent::{Sent, receive, send};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use tilewise_base::{Error, Result, Rounds};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::Cell;

/// Numbers of the histograms of a batch at most, unless it is of one node: 32 MiB.
pub const BATCH: usize = 1 << 22;

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

/// A division of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Division {
    node: u32,
    left: u32,
    right: u32,
    choice: Choice,
}

/// The digest of no divisions.
const NONE: u64 = Philox::purpose("divisions of a tree");

/// The digest of divisions that follow others.
fn digest(before: u64, divisions: &[Division]) -> u64 {
    divisions.iter().fold(before, |before, division| {
        let Division { node, left, right, choice } = division;
        let way = match choice.left {
            Left::UpTo(bin) => [0, bin as u64, 0, 0, 0],
            Left::Set([a, b, c, d]) => [1, a, b, c, d],
        };
        let links = [u64::from(*node), u64::from(*left), u64::from(*right), choice.feature as u64];
        let missing = choice.missing_left.map_or(2, u64::from);
        let words = links.into_iter().chain(way).chain([missing]);
        words.fold(before, |before, word| Philox::new(before, NONE).bits(word))
    })
}

/// What chunks are asked: see the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The digest of the divisions that these follow; none for a replay.
    before: Option<u64>,
    divisions: Vec<Division>,
    /// Nodes, and whether their histograms are wanted.
    asked: Vec<(u32, bool)>,
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

/// A node's rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counted {
    rows: u64,
    /// What is learned of one of them.
    value: Option<i64>,
    differ: bool,
    cells: Vec<i64>,
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
    /// Rows in the order of nodes.
    rows: Vec<u32>,
    places: HashMap<u32, Range<usize>>,
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
        let cache = Cache { digest: NONE ^ 1, rows: Vec::new(), places: HashMap::new() };
        Ok(Self { table, learned, rows, cache: Mutex::new(cache) })
    }

    /// All rows in the root.
    fn start(&self) -> Cache {
        let mine = |row: &u32| self.rows.contains(&(*row as usize));
        let rows: Vec<u32> = self.table.rows.iter().copied().filter(mine).collect();
        let places = HashMap::from([(0, 0..rows.len())]);
        Cache { digest: NONE, rows, places }
    }

    fn answer<T: Target<Cell: Sent>, B: Code>(
        &self,
        target: &T,
        codes: &Codes<B>,
        request: &Request,
    ) -> Result<Answer> {
        let Request { before, divisions, asked } = request;
        // A chunk sums and divides; it chooses nothing.
        let limits =
            DecisionTree::default().limits(1, self.table.features(), true, Constraints::default(), 0);
        let grower = Grower::new(self.table, codes, target, &limits, Scheme::Auto);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let after = digest(before.unwrap_or(NONE), divisions);
        if before.is_none() {
            *cache = self.start();
        }
        // A chunk that was asked the same before has divided its rows already.
        if cache.digest == before.unwrap_or(NONE) {
            // A chunk that fails half way is in no state that a request starts from.
            cache.digest = NONE ^ 1;
            cache.divide(&grower, self.table, divisions)?;
            cache.digest = after;
        } else if cache.digest != after {
            return Ok(Answer::Missed);
        }
        let count = |&(node, wanted): &(u32, bool)| -> Result<Counted> {
            let rows = &cache.rows[cache.place(node)?];
            let answer = |&row: &u32| target.answer(target.value(row));
            let value = rows.first().map(answer);
            let differ = rows.iter().any(|row| Some(answer(row)) != value);
            let cells = if wanted { send(&grower.histogram(rows)?) } else { Vec::new() };
            Ok(Counted { rows: rows.len() as u64, value, differ, cells })
        };
        Ok(Answer::Counted(asked.iter().map(count).collect::<Result<_>>()?))
    }
}

impl Cache {
    fn place(&self, node: u32) -> Result<Range<usize>> {
        let place = self.places.get(&node).cloned();
        place.ok_or_else(|| Error::Fit(format!("a chunk was asked for node {node}, which it does not have")))
    }

    fn divide<T: Target, B: Code>(
        &mut self,
        grower: &Grower<'_, T, B>,
        table: &BinnedTable,
        divisions: &[Division],
    ) -> Result<()> {
        for Division { node, left, right, choice } in divisions {
            let place = self.place(*node)?;
            self.places.remove(node);
            if choice.feature >= table.features() {
                let what = format!("a chunk was asked to divide rows by column {}", choice.feature);
                return Err(Error::Fit(what));
            }
            let lefts = grower.divide_rows(choice, &mut self.rows[place.clone()])?;
            self.places.insert(*left, place.start..place.start + lefts);
            self.places.insert(*right, place.start + lefts..place.end);
        }
        Ok(())
    }
}

/// A node, as far as the trainer knows it.
struct Node {
    /// Cells as numbers; of the root none until it is counted.
    sums: Vec<i64>,
    rows: Option<usize>,
    state: State,
    split: Option<(Choice, usize, usize)>,
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
    limits: Limits,
    nodes: Vec<Node>,
    /// Nodes that were not asked for.
    open: VecDeque<usize>,
    asked: Vec<usize>,
    /// All divisions, and how many of them chunks were told before this round.
    divisions: Vec<Division>,
    told: usize,
    /// Whether a chunk missed.
    replay: bool,
    batch: usize,
}

impl<'a> TreeTrainer<'a> {
    /// A trainer that has grown nothing yet; `seed` is that of the features which nodes look at.
    ///
    /// # Errors
    /// When a parameter is not accepted: `max_leaves` must be none, `growth` not oblivious, classes not balanced,
    /// `min_samples_leaf` 1 where rows have weights.
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
        if params.growth == Growth::Oblivious {
            let what = "in rounds leaf_wise and depth_wise are (a level has no histogram of its own)";
            return Err(Error::parameter("growth", "oblivious", what));
        }
        if params.class_weights == ClassWeights::Balanced {
            let what = "in rounds only none is (weigh the rows of the table)";
            return Err(Error::parameter("class_weight", "balanced", what));
        }
        if params.min_samples_leaf > 1 && table.weights.values.is_some() {
            let what =
                "in rounds only 1 is where rows have weights (histograms hold these, and do not count rows)";
            return Err(Error::parameter("min_samples_leaf", params.min_samples_leaf, what));
        }
        if let Some(leaves) = params.max_leaves {
            let what =
                "in rounds only none is (of all nodes the best would be divided first, one in each round)";
            return Err(Error::parameter("max_leaves", leaves, what));
        }
        let numbers = table.cells() * of!(learned, target => numbers_of(target));
        if numbers > BATCH {
            return Err(Error::Fit(format!(
                "the bins of all columns take {numbers} numbers for a node, and in rounds up to {BATCH} are accepted: \
                 max_bins must be smaller"
            )));
        }
        let constraints = params.constraints(table)?;
        let limits = params.limits(table.weights.total, table.features(), true, constraints, seed);
        let root = Node { sums: Vec::new(), rows: None, state: limits.root(seed), split: None };
        let (nodes, open, asked) = (vec![root], VecDeque::new(), vec![0]);
        let (divisions, told, replay) = (Vec::new(), 0, true);
        let (params, batch) = (params.clone(), BATCH);
        Ok(Self { params, table, learned, limits, nodes, open, asked, divisions, told, replay, batch })
    }

    /// The tree, as far as it has grown.
    ///
    /// # Errors
    /// When not even the root was counted.
    pub fn finish(self) -> Result<Tree> {
        of!(self.learned, target => self.finish_as(target))
    }

    fn finish_as<T: Target<Cell: Sent>>(&self, target: &T) -> Result<Tree> {
        if self.nodes[0].rows.is_none() {
            return Err(Error::Cancelled);
        }
        let mut grown = Nodes::new(target.width());
        for node in &self.nodes {
            let place = grown.push(node.rows.unwrap_or(0), receive::<T::Cell>(&node.sums)?);
            // Below a node of which nothing is known nothing is kept.
            let known = |at: usize| self.nodes[at].rows.is_some();
            grown.list[place].split = node.split.filter(|&(_, left, right)| known(left) && known(right));
        }
        Ok(self.params.pruned(Tree::new(
            self.table,
            self.params.unseen,
            self.table.weights.unit,
            target,
            &grown,
        )))
    }

    /// Whether a node's histogram is needed: its own split, or all sums.
    fn is_wanted(&self, node: usize) -> bool {
        node == 0 || self.nodes[node].state.depth < self.limits.max_depth
    }

    /// Takes what was counted of nodes, and divides those that are to be.
    fn take_all<T: Target<Cell: Sent>, B: Code>(
        &mut self,
        target: &T,
        codes: &Codes<B>,
        asked: &[usize],
        counted: &[Counted],
    ) -> Result<()> {
        let (table, limits) = (self.table, self.limits.clone());
        let search = Search { table, codes, target, limits: &limits, scheme: Scheme::Auto, uncounted: false };
        let mut scratch = Scratch::of_all(&search);
        asked.iter().zip(counted).try_for_each(|(&at, counted)| self.take(&search, at, counted, &mut scratch))
    }

    fn take<T: Target<Cell: Sent>, B: Code>(
        &mut self,
        search: &Search<'_, T, B>,
        at: usize,
        counted: &Counted,
        scratch: &mut Scratch<T, B>,
    ) -> Result<()> {
        let Search { table, target, .. } = *search;
        let width = target.width();
        let cells: Vec<T::Cell> = receive(&counted.cells)?;
        let wanted = if self.is_wanted(at) { table.cells() * width } else { 0 };
        if cells.len() != wanted {
            let what = format!("a histogram of {} cells came in place of {wanted}", cells.len());
            return Err(Error::Fit(what));
        }
        let of_feature = |feature: usize| {
            let offsets = table.offsets();
            cells[offsets[feature] * width..offsets[feature + 1] * width].chunks_exact(width)
        };
        // Every row is in one bin of the first column.
        let sums: Vec<T::Cell> =
            if at == 0 { sum(of_feature(0), width) } else { receive(&self.nodes[at].sums)? };
        if at == 0 && target.weight(&sums) != table.weights.total {
            let (came, all) = (target.weight(&sums), table.weights.total);
            let what = format!("chunks of weight {came} came, in units of the table's weights; it has {all}");
            return Err(Error::Fit(what));
        }
        let count = counted.rows as usize;
        let node = &mut self.nodes[at];
        (node.sums, node.rows) = (send(&sums), Some(count));
        if cells.is_empty() {
            return Ok(());
        }
        if (0..table.features()).any(|feature| sum(of_feature(feature), width) != sums) {
            return Err(Error::Fit("a histogram came whose columns do not have the sums of its node".into()));
        }
        let state = &self.nodes[at].state;
        if !counted.differ || !search.may_divide(count, &sums, state) {
            return Ok(());
        }
        let searched = Searched {
            view: View { data: &[], feature: 0 },
            rows: &[],
            values: &[],
            count,
            sums: &sums,
            histogram: Some(&cells),
            state,
        };
        let Some(mut choice) = search.best(&searched, scratch) else { return Ok(()) };
        let left = {
            let (goes, bins) = (choice.bins(table.missing[choice.feature]), table.count(choice.feature));
            let lefts = of_feature(choice.feature).enumerate().filter(|(bin, _)| goes.has(*bin, bins));
            sum(lefts.map(|(_, cells)| cells), width)
        };
        let right: Vec<T::Cell> = sums.iter().zip(&left).map(|(all, &left)| all.minus(left)).collect();
        let states = search.below(&mut choice, [&left, &right], state);
        let first = self.nodes.len();
        for (sums, state) in [left, right].iter().zip(states) {
            self.open.push_back(self.nodes.len());
            self.nodes.push(Node { sums: send(sums), rows: None, state, split: None });
        }
        self.nodes[at].split = Some((choice, first, first + 1));
        let (node, left) = (at as u32, first as u32);
        self.divisions.push(Division { node, left, right: left + 1, choice });
        Ok(())
    }

    /// The nodes of the next round: as many as fit, and one at least.
    fn next_batch(&mut self) {
        let of_one = self.table.cells() * of!(self.learned, target => numbers_of(target));
        self.asked.clear();
        let mut left = self.batch;
        while let Some(&node) = self.open.front() {
            let numbers = if self.is_wanted(node) { of_one } else { 1 };
            if numbers > left && !self.asked.is_empty() {
                break;
            }
            left = left.saturating_sub(numbers);
            self.open.pop_front();
            self.asked.push(node);
        }
    }
}

/// The sums of bins.
fn sum<'c, C: Cell>(bins: impl Iterator<Item = &'c [C]>, width: usize) -> Vec<C> {
    let mut sums = vec![C::default(); width];
    bins.for_each(|bin| sums.iter_mut().zip(bin).for_each(|(sum, cell)| *sum = sum.plus(*cell)));
    sums
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
        let asked: Vec<(u32, bool)> =
            self.asked.iter().map(|&node| (node as u32, self.is_wanted(node))).collect();
        let from = if self.replay { 0 } else { self.told };
        let before = (!self.replay).then(|| digest(NONE, &self.divisions[..from]));
        let divisions = self.divisions[from..].to_vec();
        (!asked.is_empty()).then_some(Request { before, divisions, asked })
    }

    fn partial(request: &Request, chunk: &TreeChunk<'_>) -> Result<Partial> {
        of!(chunk.learned, target => {
            of_codes!(chunk.table.stored, codes => chunk.answer(target, codes, request)).map(Partial)
        })
    }

    fn merge(left: Partial, right: Partial) -> Partial {
        Partial(match (left.0, right.0) {
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            (Answer::Missed, _) | (_, Answer::Missed) => Answer::Missed,
            (Answer::Counted(mut left), Answer::Counted(right)) => {
                let fit = |(a, b): (&Counted, &Counted)| a.cells.len() == b.cells.len();
                if left.len() != right.len() || !left.iter().zip(&right).all(fit) {
                    return Partial(Answer::Failed("chunks answered different requests".into()));
                }
                for (a, b) in left.iter_mut().zip(right) {
                    let two = a.value.zip(b.value).is_some_and(|(a, b)| a != b);
                    a.differ |= b.differ || two;
                    a.rows = a.rows.saturating_add(b.rows);
                    a.value = a.value.or(b.value);
                    a.cells.iter_mut().zip(b.cells).for_each(|(a, b)| *a = a.wrapping_add(b));
                }
                Answer::Counted(left)
            }
        })
    }

    fn advance(&mut self, partial: Partial) -> Result<()> {
        let counted = match partial.0 {
            Answer::Failed(e) => return Err(Error::Fit(e)),
            Answer::Missed if self.replay => {
                return Err(Error::Fit("a chunk missed what does not depend on what it keeps".into()));
            }
            Answer::Missed => {
                self.replay = true;
                return Ok(());
            }
            Answer::Counted(counted) => counted,
        };
        let asked = std::mem::take(&mut self.asked);
        if counted.len() != asked.len() {
            return Err(Error::Fit("an answer came that was not asked for".into()));
        }
        (self.told, self.replay) = (self.divisions.len(), false);
        let (learned, table) = (self.learned, self.table);
        of!(learned, target => {
            of_codes!(table.stored, codes => self.take_all(target, codes, &asked, &counted))
        })?;
        self.next_batch();
        Ok(())
    }

    fn note(&self) -> String {
        format!("{} nodes", self.nodes.len())
    }

    fn at_most(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
