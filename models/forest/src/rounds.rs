//! Forests in rounds over chunks of rows, which may lie in other processes: the trees of [`RandomForest::fit`], bit for bit.
//!
//! A batch of trees grows at the same time and shares rounds: a request holds the divisions of all of them, and the nodes that each asks
//! for, so a forest costs about as many rounds as its deepest tree has levels, times its batches; more where levels of all trees ask for
//! more than 2^22 numbers, which are then cut. Rows are drawn by seed, tree and
//! draw, as in memory: every chunk makes all draws of a tree, a nanosecond or two each, and keeps those of its own rows. For numbers a
//! round before the first finds the range of what each tree learns.
//!
//! What a chunk remembers of a batch is a cache under a label; where it has another it *missed*, and is told all steps of the batch.
//!
//! What is refused: several targets, medians, balanced classes, oblivious growth, out-of-bag scores and quantiles.

mod chunk;
mod grows;

pub use chunk::ForestChunk;
pub use grows::OneTree;

use crate::continued::Origin;
use crate::out_of_bag::REPEATED;
use crate::parameters::key_of_tree;
use crate::{Forest, RandomForest};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::{Error, Fit, Result, Rounds, pool};
use tilewise_kernels::random::Philox;
use tilewise_tree::rounds::{
    Asked, BATCH, BinnedColumns, BundledTree, Counted, Division, Learns, Weighed, each_row_once, missed,
};
use tilewise_tree::{Answers, BinnedTable, DecisionTree, Tree};

/// Trees of a batch at most: each needs the weights and what is learned of all rows of a chunk, some 20 bytes a row.
const TREES: usize = 32;

/// Steps, and a question about where they lead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForestRequest {
    setup: Setup,
    /// The label of the state that steps start from; none for a replay.
    before: Option<u64>,
    after: u64,
    steps: Vec<Step>,
    ask: Ask,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Setup {
    /// What trees are grown with.
    tree: DecisionTree,
    seed: u64,
    classes: Option<usize>,
    /// Whether there is one tree, which is no forest's.
    alone: bool,
}

impl Setup {
    /// The key of the random numbers of a tree.
    fn key(&self, tree: u32) -> u64 {
        if self.alone { self.seed } else { key_of_tree(self.seed, tree) }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Step {
    /// The trees of a batch get their rows.
    Draw { trees: Range<u32>, draws: Option<Draws> },
    /// What they learn, and the weight of all rows of one.
    Learn { learns: Vec<Learns>, total: u64 },
    /// Nodes of a tree of the batch are divided.
    Divide { tree: u32, divisions: Vec<Division> },
}

/// How rows are drawn with replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Draws {
    count: u64,
    /// Draws of all rows: a draw falls between 0 and this.
    all: u64,
    /// Whether all rows that count are as likely.
    equal: bool,
    /// Draws of all rows for a weight of 1.
    scale: f64,
    /// For each chunk that has such rows its first row, how many such rows are before it, and their weight; and how many there are.
    before: Vec<(u64, u64, f64)>,
    counted: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    Begin,
    /// Of the numbers that each tree learns.
    Ranges,
    /// Nodes of each tree of the batch.
    Nodes(Vec<Vec<Asked>>),
}

/// What a chunk answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForestPartial(Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Begun(Begun),
    Ranges(Vec<Option<[f64; 2]>>),
    Nodes(Vec<Vec<Counted>>),
    Missed,
    Failed(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Begun {
    /// Of each chunk the first row, how many there are, how many count, and their weight.
    places: Vec<(u64, u64, u64, f64)>,
    classes: Option<usize>,
    /// Whether all rows that count weigh 1.
    ones: bool,
    fingerprint: u64,
}

impl Begun {
    /// That chunks have all rows once; sorts them.
    fn check(&mut self, rows: u64, classes: Option<usize>) -> Result<()> {
        self.places.sort_by_key(|place| (place.0, place.1));
        each_row_once(self.places.iter().map(|place| (place.0, place.1)), rows)?;
        if self.classes != classes {
            let (theirs, ours) = (told(self.classes), told(classes));
            return Err(Error::Fit(format!(
                "chunks have answers that are {theirs}; {ours} are to be learned"
            )));
        }
        Ok(())
    }
}

fn told(classes: Option<usize>) -> String {
    classes.map_or("numbers".into(), |classes| format!("{classes} classes"))
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Begin,
    Ranges,
    Nodes,
    Done,
}

/// Grows a forest by rounds.
pub struct ForestTrainer {
    params: RandomForest,
    setup: Setup,
    outline: BinnedTable,
    rows: u64,
    phase: Phase,
    draws: Option<Draws>,
    fingerprint: u64,
    grown: Vec<Tree>,
    growing: Vec<BundledTree>,
    /// Steps of the batch, and those of them that chunks were not told.
    log: Vec<Step>,
    pending: usize,
    labels: [u64; 2],
    replay: bool,
    /// Trees of a batch at most.
    together: usize,
}

impl ForestTrainer {
    /// One that has grown nothing yet. `classes` is their number where classes are to be learned.
    ///
    /// # Errors
    /// When a parameter is not accepted, here or in memory: see the module.
    pub fn new(
        params: &RandomForest,
        columns: &BinnedColumns,
        classes: Option<usize>,
        seed: u64,
    ) -> Result<Self> {
        params.check()?;
        if params.out_of_bag {
            return Err(Error::parameter("out_of_bag", true, "in rounds only false is"));
        }
        if !params.quantiles.is_empty() {
            return Err(Error::parameter("quantiles", params.listed_quantiles(), "in rounds none are"));
        }
        let outline = columns.outline()?;
        let numbers = classes.map_or(2, |classes| classes.max(2)) * outline.cells();
        if numbers > BATCH {
            return Err(Error::Fit(format!(
                "the bins of all columns take {numbers} numbers for a node, and in rounds up to {BATCH} are accepted: \
                 max_bins must be smaller"
            )));
        }
        let tree = params.tree_of(classes.is_some());
        // Says what is refused, before any data is read.
        let learns = classes.map_or(Learns::Numbers([0.0, 1.0]), Learns::Classes);
        BundledTree::new(&tree, &outline, (learns, Weighed::Table), 0, 1)?;
        let setup = Setup { tree, seed, classes, alone: false };
        let label = mixed(Philox::purpose("forest in rounds"), &pool::to_bytes(&setup)?);
        let (grown, growing, log) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            params: params.clone(),
            setup,
            outline,
            rows: columns.rows(),
            phase: Phase::Begin,
            draws: None,
            fingerprint: 0,
            grown,
            growing,
            log,
            pending: 0,
            labels: [label; 2],
            replay: true,
            together: TREES,
        })
    }

    /// One that grows a single tree on all rows: that of [`DecisionTree::fit_classes`] and [`DecisionTree::fit_numbers`].
    ///
    /// # Errors
    /// As [`ForestTrainer::new`].
    pub fn of_one_tree(
        tree: &DecisionTree,
        columns: &BinnedColumns,
        classes: Option<usize>,
        seed: u64,
    ) -> Result<Self> {
        let max_features = Some(tree.max_features);
        let (tree, defaults) = (tree.clone(), RandomForest::default());
        let params = RandomForest { trees: 1, bootstrap: false, max_features, tree, ..defaults };
        let mut trainer = Self::new(&params, columns, classes, seed)?;
        trainer.setup.alone = true;
        Ok(trainer)
    }

    fn push(&mut self, step: Step) -> Result<()> {
        self.labels[1] = mixed(self.labels[1], &pool::to_bytes(&step)?);
        self.log.push(step);
        Ok(())
    }

    /// The trees of this batch.
    fn batch(&self) -> Range<u32> {
        let first = self.grown.len();
        first as u32..self.params.trees.min(first + self.together) as u32
    }

    fn take_begun(&mut self, mut begun: Begun) -> Result<()> {
        begun.check(self.rows, self.setup.classes)?;
        self.fingerprint = begun.fingerprint;
        if self.params.bootstrap {
            let (mut counted, mut weight, mut before) = (0, 0.0, Vec::new());
            for &(first, _, rows, of_rows) in begun.places.iter().filter(|place| place.2 > 0) {
                before.push((first, counted, weight));
                counted += rows;
                // Multiples of one power of two: exact.
                weight += of_rows;
            }
            let repeated = self.outline.has_whole_weights() && weight <= REPEATED * counted as f64;
            let all = if repeated { weight } else { counted as f64 };
            if all >= (1_u64 << 31) as f64 {
                let most = (1_u64 << 31) - 1;
                return Err(Error::Fit(format!("{all} rows were drawn for a tree; 1 to {most} can be")));
            }
            let (equal, scale, all) = (begun.ones, all / weight, all as u64);
            let count = self.params.max_samples.of(all)?;
            self.draws = Some(Draws { count, all, equal, scale, before, counted });
        }
        self.begin_batch()
    }

    fn begin_batch(&mut self) -> Result<()> {
        self.log.clear();
        self.pending = 0;
        self.replay = true;
        let trees = self.batch();
        if trees.is_empty() {
            self.phase = Phase::Done;
            return Ok(());
        }
        self.push(Step::Draw { trees: trees.clone(), draws: self.draws.clone() })?;
        match self.setup.classes {
            Some(classes) => self.learn(vec![Learns::Classes(classes); trees.len()]),
            None => {
                self.phase = Phase::Ranges;
                Ok(())
            }
        }
    }

    fn learn(&mut self, learns: Vec<Learns>) -> Result<()> {
        let (weighed, total) = match &self.draws {
            Some(draws) => (Weighed::Draws(draws.count), draws.count),
            None => (Weighed::Table, self.outline.total_weight()),
        };
        let share = learns.len();
        let tree = |(number, &learns): (u32, &Learns)| {
            let key = self.setup.key(number);
            BundledTree::new(&self.setup.tree, &self.outline, (learns, weighed), key, share)
        };
        self.growing = self.batch().zip(&learns).map(tree).collect::<Result<_>>()?;
        self.phase = Phase::Nodes;
        self.push(Step::Learn { learns, total })
    }

    fn take_nodes(&mut self, nodes: Vec<Vec<Counted>>) -> Result<()> {
        if nodes.len() != self.growing.len() {
            return Err(Error::Fit("an answer came that was not asked for".into()));
        }
        let mut steps = Vec::new();
        for (number, (tree, counted)) in self.growing.iter_mut().zip(nodes).enumerate() {
            if tree.is_done() && counted.is_empty() {
                continue;
            }
            tree.take(&self.outline, counted)?;
            let divisions = tree.divisions().to_vec();
            if !tree.is_done() && !divisions.is_empty() {
                steps.push(Step::Divide { tree: number as u32, divisions });
            }
        }
        steps.into_iter().try_for_each(|step| self.push(step))?;
        if self.growing.iter().all(BundledTree::is_done) {
            for tree in std::mem::take(&mut self.growing) {
                self.grown.push(tree.finish(&self.outline)?);
            }
            return self.begin_batch();
        }
        Ok(())
    }

    /// The tree of [`of_one_tree`](Self::of_one_tree).
    ///
    /// # Errors
    /// When it has not grown.
    pub fn finish_tree(mut self) -> Result<Tree> {
        self.grown.pop().ok_or(Error::Cancelled)
    }

    /// The forest of the trees that are grown.
    ///
    /// # Errors
    /// When there are none.
    pub fn finish(self) -> Result<Fit<Forest>> {
        if self.grown.is_empty() {
            return Err(Error::Fit("stopped before the first tree had grown".into()));
        }
        let nothing = nothing(self.setup.classes);
        let table = self.outline.fingerprint(&nothing)?.wrapping_add(self.fingerprint);
        let origin = Origin { params: self.params.clone(), seed: self.setup.seed, table };
        let numbers = (0..self.grown.len() as u32).collect();
        let model = Forest { trees: self.grown, numbers, origin, answers: None, out_of_bag: None };
        let report = self.params.report(&model, &nothing);
        Ok(Fit { model, report })
    }
}

/// Answers of no rows.
fn nothing(classes: Option<usize>) -> Answers {
    match classes {
        Some(classes) => Answers::Classes { y: Vec::new(), classes },
        None => Answers::Numbers(Vec::new()),
    }
}

/// Bytes in a number (FNV-1a, stirred at the end).
fn mixed(before: u64, bytes: &[u8]) -> u64 {
    let hash = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Philox::new(bytes.iter().fold(before, hash), Philox::purpose("label of steps")).bits(bytes.len() as u64)
}

impl Answer {
    fn merge(self, other: Self) -> Self {
        let mixed = || Self::Failed("chunks answered different requests".into());
        match (self, other) {
            (Self::Failed(e), _) | (_, Self::Failed(e)) => Self::Failed(e),
            (Self::Missed, _) | (_, Self::Missed) => Self::Missed,
            (Self::Begun(mut a), Self::Begun(b)) => {
                if a.classes != b.classes {
                    return Self::Failed(format!("chunks have {} and {}", told(a.classes), told(b.classes)));
                }
                a.places.extend(b.places);
                a.ones &= b.ones;
                a.fingerprint = a.fingerprint.wrapping_add(b.fingerprint);
                Self::Begun(a)
            }
            (Self::Ranges(a), Self::Ranges(b)) if a.len() == b.len() => {
                let both = |a: [f64; 2], b: [f64; 2]| [a[0].min(b[0]), a[1].max(b[1])];
                let merged = a.into_iter().zip(b).map(|(a, b)| a.into_iter().chain(b).reduce(both));
                Self::Ranges(merged.collect())
            }
            (Self::Nodes(mut a), Self::Nodes(b)) => {
                let lengths = |nodes: &[Vec<Counted>]| -> Vec<usize> { nodes.iter().map(Vec::len).collect() };
                let fit = lengths(&a) == lengths(&b);
                let merged =
                    a.iter_mut().flatten().zip(b.into_iter().flatten()).try_for_each(|(a, b)| a.add(b));
                if fit && merged.is_ok() { Self::Nodes(a) } else { mixed() }
            }
            _ => mixed(),
        }
    }
}

impl Rounds for ForestTrainer {
    type Chunk<'c> = ForestChunk<'c>;
    type Request = ForestRequest;
    type Partial = ForestPartial;

    fn request(&self) -> Option<ForestRequest> {
        let ask = match self.phase {
            Phase::Begin => Ask::Begin,
            Phase::Ranges => Ask::Ranges,
            Phase::Nodes => Ask::Nodes(self.growing.iter().map(BundledTree::asked).collect()),
            Phase::Done => return None,
        };
        let [before, after] = self.labels;
        let steps = if self.replay { &self.log[..] } else { &self.log[self.pending..] };
        let before = (!self.replay).then_some(before);
        Some(ForestRequest { setup: self.setup.clone(), before, after, steps: steps.to_vec(), ask })
    }

    fn partial(request: &ForestRequest, chunk: &ForestChunk<'_>) -> Result<ForestPartial> {
        chunk.answer(request).map(ForestPartial)
    }

    fn merge(left: ForestPartial, right: ForestPartial) -> ForestPartial {
        ForestPartial(left.0.merge(right.0))
    }

    fn advance(&mut self, partial: ForestPartial) -> Result<()> {
        let answer = match partial.0 {
            Answer::Failed(e) => return Err(Error::Fit(e)),
            Answer::Missed => return missed(&mut self.replay),
            answer => answer,
        };
        self.labels[0] = self.labels[1];
        self.pending = self.log.len();
        self.replay = false;
        match (answer, self.phase) {
            (Answer::Begun(begun), Phase::Begin) => self.take_begun(begun),
            (Answer::Ranges(ranges), Phase::Ranges) if ranges.len() == self.batch().len() => {
                let nothing = || Error::Fit("there are no rows with a weight to learn from".into());
                let learns = ranges.into_iter().map(|range| range.map(Learns::Numbers).ok_or_else(nothing));
                self.learn(learns.collect::<Result<_>>()?)
            }
            (Answer::Nodes(nodes), Phase::Nodes) => self.take_nodes(nodes),
            _ => Err(Error::Fit("an answer came that was not asked for".into())),
        }
    }

    fn note(&self) -> String {
        format!("{} of {} trees", self.grown.len(), self.params.trees)
    }

    fn at_most(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
