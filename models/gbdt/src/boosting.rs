//! The stages of boosting.
//!
//! A stage takes the derivatives of the loss at the scores that there are, rounds them to fixed point, grows a tree for each score on
//! these, sets each leaf to Newton's step on the derivatives as they were, and adds it to the scores of its rows. Sums that decide are
//! integers, so neither threads nor the order of rows change a bit.

use crate::balance::balanced;
use crate::continued::{self, Origin};
use crate::dart;
use crate::held_out::{Divided, HeldOut, check_counts};
use crate::leaf_sums::leaf_sums;
use crate::loss::{Derivatives, LeafRule, Objective, Truth};
use crate::sampling::Sample;
use crate::smoothing::smoothed;
use crate::{Ensemble, GradientBoosting, Link, monotone};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use tilewise_base::{ArrayMut, Context, Error, Fit, FitReport, Result};
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{FixedPoint, Packed, fixed_point};
use tilewise_kernels::{parallel, same};
use tilewise_tree::{Answers, BinnedTable, ClassWeights, Gradients, Tree};

/// Boosted trees.
#[derive(Clone, Debug, PartialEq)]
pub struct Boosted {
    pub(crate) ensemble: Ensemble,
    /// What they were grown from.
    pub(crate) origin: Origin,
    /// The loss on the rows that were held out, after each stage; empty where none were.
    pub(crate) validation: Vec<f64>,
}

impl Boosted {
    /// The trees.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// The loss on the rows that were held out, after each stage; empty where none were.
    pub fn validation(&self) -> &[f64] {
        &self.validation
    }

    /// Stages that are kept.
    pub fn stages(&self) -> usize {
        self.ensemble.trees(0).len()
    }
}

/// What is learned from besides the columns: one number (or none) per row of the table each.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// What is to be predicted.
    pub answers: &'a Answers,
    /// Added to the first score before all trees.
    pub offset: Option<&'a [f64]>,
    /// The rows of each query, one range after another, for rankings.
    pub groups: Option<&'a [Range<usize>]>,
    /// Whether the event was seen, for survival.
    pub events: Option<&'a [bool]>,
    /// Which rows early stopping holds out, of rankings whole queries; none where it draws them.
    pub held_out: Option<&'a [bool]>,
}

impl<'a> Lesson<'a> {
    /// Answers alone.
    pub fn new(answers: &'a Answers) -> Self {
        Self { answers, offset: None, groups: None, events: None, held_out: None }
    }
}

/// Takes a model on the way to more stages.
pub(crate) type Keep<'a> = &'a dyn Fn(Fit<Boosted>) -> Result<()>;

/// From where boosting starts, and who hears of it.
struct Begin<'a> {
    earlier: Option<&'a Boosted>,
    origin: Origin,
    held_out: Option<&'a [bool]>,
    keep: Option<Keep<'a>>,
}

/// Rows of a piece of parallel work.
pub(crate) const PIECE: usize = 8 << 10;

/// What a fit goes through.
struct Stages<'a> {
    params: &'a GradientBoosting,
    table: &'a BinnedTable,
    objective: &'a dyn Objective,
    truth: Truth<'a>,
    /// The rows that trees may grow on.
    rows: Vec<u32>,
    held_out: Option<HeldOut>,
    context: &'a Context<'a>,
    /// Score after score, each with all rows.
    scores: ArrayMut<f64>,
    /// For each score memory that its stages use again: what is as long as the table costs more to get than to fill.
    rooms: Vec<Mutex<Room>>,
}

/// Memory of a tree.
struct Room {
    fixed: ArrayMut<Packed>,
    rows: Vec<u32>,
    /// The leaf of each row.
    leaves: Vec<AtomicU32>,
}

impl Room {
    /// For so many rows.
    fn new(context: &Context<'_>, rows: usize) -> Result<Self> {
        let leaves = (0..rows).map(|_| AtomicU32::new(NO_LEAF)).collect();
        Ok(Self { fixed: context.storage.zeros(rows)?, rows: Vec::new(), leaves })
    }
}

impl GradientBoosting {
    /// Fits stages to the rows of the table that have a weight.
    ///
    /// The same model, bit for bit, at any number of threads. O(stages x rows x columns x depth).
    ///
    /// # Errors
    /// When lengths or parameters are not what is accepted, answers are outside the loss's domain, or it was stopped before the first
    /// stage.
    pub fn fit(
        &self,
        table: &BinnedTable,
        lesson: &Lesson<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<Boosted>> {
        self.extend(None, table, lesson, context, None)
    }

    /// Goes on with a model until it has `self.stages` stages: the result has the trees that these parameters would have grown at once,
    /// bit for bit.
    ///
    /// # Errors
    /// When the model was grown with other parameters but `stages`, another seed or another table, naming what differs, or has
    /// more stages; with DART; else as [`GradientBoosting::fit`]. With early stopping the stages after the best, which are not kept, are
    /// grown again.
    pub fn continue_from(
        &self,
        earlier: &Boosted,
        table: &BinnedTable,
        lesson: &Lesson<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<Boosted>> {
        self.extend(Some(earlier), table, lesson, context, None)
    }

    /// As [`GradientBoosting::continue_from`], or from the beginning; `keep` gets the models that the checkpoints of `context` ask for.
    pub(crate) fn extend(
        &self,
        earlier: Option<&Boosted>,
        table: &BinnedTable,
        lesson: &Lesson<'_>,
        context: &Context<'_>,
        keep: Option<Keep<'_>>,
    ) -> Result<Fit<Boosted>> {
        let (y, classes) = match lesson.answers {
            Answers::Numbers(y) => (Cow::Borrowed(&y[..]), None),
            Answers::Classes { y, classes } => {
                (y.iter().map(|&class| f64::from(class)).collect(), Some(*classes))
            }
            Answers::Outputs(_) => {
                return Err(Error::Fit("boosting learns one target; there are several".into()));
            }
        };
        let table_and_more = continued::fingerprint(table, lesson)?;
        let origin = Origin { params: self.clone(), seed: context.seed, table: table_and_more };
        let weights = match (self.tree.class_weights, lesson.answers) {
            (ClassWeights::Rows, _) => None,
            (ClassWeights::Balanced, Answers::Classes { y, classes }) => Some(balanced(table, y, *classes)?),
            (ClassWeights::Balanced, _) => {
                return Err(Error::parameter("class_weight", "balanced", "for numbers only none is"));
            }
        };
        let truth =
            Truth { y: &y, weights: weights.as_deref(), groups: lesson.groups, events: lesson.events };
        let objective = self.loss.objective(classes)?;
        let begin = Begin { earlier, origin, held_out: lesson.held_out, keep };
        self.run(objective.as_ref(), &truth, lesson.offset, begin, table, context)
    }

    /// As [`GradientBoosting::fit`], for a loss of one's own: `truth` is all that it is told, but for the weights, which are those of the
    /// table; `self.loss` is not looked at.
    ///
    /// # Errors
    /// As there.
    pub fn fit_objective(
        &self,
        table: &BinnedTable,
        objective: &dyn Objective,
        truth: &Truth<'_>,
        offset: Option<&[f64]>,
        context: &Context<'_>,
    ) -> Result<Fit<Boosted>> {
        let answers = Answers::Numbers(truth.y.to_vec());
        let Truth { groups, events, .. } = *truth;
        let lesson = Lesson { offset, groups, events, ..Lesson::new(&answers) };
        // No loss of a name goes on with what it has grown.
        let table_and_more = !continued::fingerprint(table, &lesson)?;
        let origin = Origin { params: self.clone(), seed: context.seed, table: table_and_more };
        let truth = Truth { weights: None, ..*truth };
        let begin = Begin { earlier: None, origin, held_out: None, keep: None };
        self.run(objective, &truth, offset, begin, table, context)
    }

    /// `truth` has the weights of rows, if these are not those of the table.
    fn run(
        &self,
        objective: &dyn Objective,
        truth: &Truth<'_>,
        offset: Option<&[f64]>,
        Begin { earlier, origin, held_out, keep }: Begin<'_>,
        table: &BinnedTable,
        context: &Context<'_>,
    ) -> Result<Fit<Boosted>> {
        self.check()?;
        self.check_monotone(objective)?;
        let y = truth.y;
        same("answers against rows", table.rows(), y.len())?;
        if let Some(offset) = offset {
            same("offsets against rows", table.rows(), offset.len())?;
            if let Some(row) = offset.iter().position(|x| !x.is_finite()) {
                return Err(Error::cell(row, "offset", format!("{} is not a finite number", offset[row])));
            }
        }
        let divided = Divided { told: held_out, groups: truth.groups, first: [0; 2] };
        let (out, rows) = divided.rows(table.counted(), y.len(), self.early_stopping, context.seed)?;
        if self.early_stopping.is_some() {
            check_counts(out.len() as u64, rows.len() as u64)?;
        }
        let of_table = || (0..y.len()).map(|row| table.weight(row)).collect();
        let all_weights: Option<Vec<f64>> =
            truth.weights.map(<[f64]>::to_vec).or_else(|| (!table.has_equal_weights()).then(of_table));
        // What is held out must be in the domain, but need not be enough to learn from.
        let all = Truth { weights: all_weights.as_deref(), ..*truth };
        objective.check(&all)?;
        let mut weights = all_weights.clone();
        if !out.is_empty() {
            let of_rows = weights.get_or_insert_with(|| vec![1.0; y.len()]);
            out.iter().for_each(|&row| of_rows[row as usize] = 0.0);
        }
        let truth = Truth { weights: weights.as_deref(), ..*truth };
        objective.check(&truth)?;
        let base = objective.start(&truth);
        if !base.iter().all(|base| base.is_finite()) {
            return Err(Error::Fit(format!(
                "the scores to start from are {base:?}: weights times answers are too large, smaller weights are accepted"
            )));
        }
        let mut scores = context.storage.zeros::<f64>(base.len() * y.len())?;
        scores.chunks_exact_mut(y.len()).zip(&base).for_each(|(scores, &base)| scores.fill(base));
        if let Some(offset) = offset {
            scores.iter_mut().zip(offset).for_each(|(score, offset)| *score += offset);
        }
        let mut trees = vec![Vec::new(); base.len()];
        if let Some(earlier) = earlier {
            origin.continues(earlier)?;
            if earlier.ensemble.base() != base {
                return Err(Error::Fit(
                    "the model to continue starts from other scores: its answers or offsets were others"
                        .into(),
                ));
            }
            for (score, trees) in trees.iter_mut().enumerate() {
                trees.extend_from_slice(earlier.ensemble.trees(score));
                add_all(trees, table, &mut scores[score * y.len()..][..y.len()]);
            }
        }
        let mut held_out = (!out.is_empty()).then(|| HeldOut::new(out, &all, &scores));
        if let (Some(held_out), Some(earlier)) = (&mut held_out, earlier) {
            let losses = earlier.validation.get(..earlier.stages());
            held_out.losses = losses.map(<[f64]>::to_vec).ok_or_else(|| {
                Error::Fit("the model to continue lacks losses of its stages on rows held out".into())
            })?;
        }
        let rooms =
            base.iter().map(|_| Room::new(context, y.len()).map(Mutex::new)).collect::<Result<_>>()?;
        let stages = Stages { params: self, table, objective, truth, rows, held_out, context, scores, rooms };
        stages.run(base, trees, &origin, keep)
    }

    /// Refuses monotone constraints where they would not hold.
    pub(crate) fn check_monotone(&self, objective: &dyn Objective) -> Result<()> {
        if self.tree.monotone.iter().all(|&sign| sign == 0) || objective.link() != Link::Softmax {
            return Ok(());
        }
        // A score that rises may do so for the price of a probability that falls.
        let what = "for numbers and two classes with one score alone constraints are";
        Err(Error::parameter("monotone", format!("a constraint with {}", objective.name()), what))
    }
}

/// Adds trees, one after the other, to the scores of all rows of their table.
fn add_all(trees: &[Tree], table: &BinnedTable, scores: &mut [f64]) {
    parallel::for_each_chunk_mut(scores, PIECE, |piece, scores| {
        for tree in trees {
            for (i, score) in scores.iter_mut().enumerate() {
                *score += tree.numbers(tree.leaf_of(table, piece * PIECE + i)).next().unwrap_or(0.0);
            }
        }
    });
}

impl Stages<'_> {
    fn run(
        mut self,
        base: Vec<f64>,
        mut trees: Vec<Vec<Tree>>,
        origin: &Origin,
        keep: Option<Keep<'_>>,
    ) -> Result<Fit<Boosted>> {
        let (count, rows) = (base.len(), self.truth.y.len());
        let mut derivatives = self.context.storage.zeros::<Derivatives>(self.scores.len())?;
        let total = self.params.stages;
        let mut done = trees[0].len();
        let mut stopped = String::new();
        while done < total && !self.context.cancelled() {
            let seed = self.context.seed;
            let dropped = self.params.dart.map_or(Vec::new(), |dart| dart.dropped(seed, done));
            let (rate, old_share) = dart::shares(self.params.learning_rate, dropped.len());
            let taken_off = self.take_off(&dropped, &trees);
            self.objective.derivatives(&self.truth, &self.scores, &mut derivatives);
            let sample = Sample::new(self.params, &self.rows, seed, done, &mut derivatives, rows);
            let of_scores = derivatives.chunks_exact(rows);
            let grown = if count == 1 {
                of_scores
                    .map(|derivatives| self.grow(derivatives, &sample, [done, 0], rate))
                    .collect::<Vec<_>>()
            } else {
                let of_scores: Vec<&[Derivatives]> = of_scores.collect();
                parallel::map(count, |score| self.grow(of_scores[score], &sample, [done, score], rate))
            };
            self.scores.iter_mut().zip(&taken_off).for_each(|(score, sum)| *score += old_share * sum);
            for trees in &mut trees {
                for &stage in &dropped {
                    trees[stage] = trees[stage].clone().scaled(old_share)?;
                }
            }
            let mut leaves = 0;
            for (score, grown) in grown.into_iter().enumerate() {
                let tree = self.add(score, grown?)?;
                leaves += tree.leaves();
                trees[score].push(tree);
            }
            done += 1;
            let mut note = format!("{leaves} leaves");
            if let Some(held_out) = &mut self.held_out {
                let loss = self.objective.loss(&held_out.truth(), &held_out.scores);
                held_out.losses.push(loss);
                note = format!("loss {loss:.5} on rows held out, {note}");
                let patience = self.params.early_stopping.map_or(usize::MAX, |stop| stop.patience);
                let best = held_out.best();
                if done - best >= patience {
                    stopped = format!("loss on rows held out was least after stage {best}");
                }
            }
            if self.context.progress.wants_losses() {
                let training = self.objective.loss(&self.truth, &self.scores);
                let held_out = self.held_out.as_ref().and_then(|held_out| held_out.losses.last().copied());
                self.context.progress.losses(done as u64, training, held_out);
            }
            self.context.progress.round(done as u64, total as u64, &note);
            if !stopped.is_empty() {
                break;
            }
            if let (Some(keep), Some(checkpoint)) = (keep, &self.context.checkpoint)
                && done < total
                && (done as u64).is_multiple_of(checkpoint.every.max(1))
                && let Err(e) = keep(self.fitted(&base, trees.clone(), origin, done, "")?)
            {
                self.context.progress.warning(&format!("the model of {done} stages could not be kept: {e}"));
            }
        }
        if done == 0 {
            return Err(Error::Fit("stopped before the first stage".into()));
        }
        self.fitted(&base, trees, origin, done, &stopped)
    }

    /// The model of the stages that are done; `stopped` says why there are no more, if nobody asked for that.
    fn fitted(
        &self,
        base: &[f64],
        mut trees: Vec<Vec<Tree>>,
        origin: &Origin,
        done: usize,
        stopped: &str,
    ) -> Result<Fit<Boosted>> {
        let mut kept = done;
        let validation = match &self.held_out {
            Some(held_out) => {
                kept = held_out.best();
                trees.iter_mut().for_each(|trees| trees.truncate(kept));
                held_out.losses.clone()
            }
            None => Vec::new(),
        };
        let objective = if kept == done { self.objective.loss(&self.truth, &self.scores) } else { f64::NAN };
        let report = report(&trees, self.params.stages, done, stopped, objective);
        let (ensemble, origin) = (Ensemble::new(base.to_vec(), trees)?, origin.clone());
        Ok(Fit { model: Boosted { ensemble, origin, validation }, report })
    }

    /// Takes these stages off the scores; answers what was taken off each, nothing where there are none.
    fn take_off(&mut self, stages: &[usize], trees: &[Vec<Tree>]) -> Vec<f64> {
        if stages.is_empty() {
            return Vec::new();
        }
        let rows = self.truth.y.len();
        let of_scores = trees.iter().zip(self.scores.chunks_exact_mut(rows));
        of_scores
            .flat_map(|(trees, scores)| {
                let dropped: Vec<&Tree> = stages.iter().map(|&stage| &trees[stage]).collect();
                dart::take_off(&dropped, self.table, scores)
            })
            .collect()
    }

    /// A tree on these derivatives, of this stage and score, whose leaves take this part of their steps.
    fn grow(
        &self,
        derivatives: &[Derivatives],
        sample: &Sample<'_>,
        [stage, score]: [usize; 2],
        rate: f64,
    ) -> Result<Grown> {
        let number = (stage * self.objective.scores() + score) as u64;
        let mut room = self.rooms[score].lock().unwrap_or_else(PoisonError::into_inner);
        let Room { fixed, rows, leaves: of_rows } = &mut *room;
        let units = fixed_point(derivatives, rounding(self.context.seed, number), fixed)?;
        let FixedPoint { gradient_unit, hessian_unit, most_hessian } = units;
        let gradients =
            Gradients { values: fixed, gradient_unit, hessian_unit, most_hessian: most_hessian as u64 };
        let Self { params, table, context, .. } = self;
        let key = key_of_tree(context.seed, number);
        rows.clear();
        rows.extend_from_slice(&sample.rows);
        let rows = std::mem::take(rows);
        let parted = params.tree.grow_newton(table, &gradients, params.penalty, rows, key, context.scheme)?;
        let leaves = parted.leaves();
        if params.draws_rows() {
            // Those that were drawn for the last stage are not those of this one.
            of_rows.iter_mut().for_each(|leaf| *leaf.get_mut() = NO_LEAF);
        }
        let sums = leaf_sums(&parted.rows, &leaves, derivatives, units, of_rows);
        // What a node takes by itself, and its weight.
        let of_node = |places: Range<usize>, sums: [f64; 2]| {
            let rows = &parted.rows[places];
            let weight = sample.weight(rows, |rows| {
                if table.has_equal_weights() { rows.len() as f64 } else { table.weight_of(rows) }
            });
            (self.value(score, rows, sample, sums), weight)
        };
        let of_leaves = parallel::map(leaves.len(), |leaf| of_node(leaves[leaf].clone(), sums[leaf]));
        let (mut values, weights): (Vec<f64>, Vec<f64>) = of_leaves.into_iter().unzip();
        if params.path_smoothing > 0.0 {
            values = smoothed(&parted.tree, &leaves, &sums, params.path_smoothing, of_node);
        }
        room.rows = parted.rows;
        let mut tree = parted.tree;
        if self.objective.leaves() != LeafRule::Newton {
            // What it grew on is in other units than its leaves.
            tree = tree.with_leaves(&values, &weights)?;
        }
        Grown::new(params, tree, values, &weights, rate)
    }

    /// What a leaf adds, before learning rate.
    fn value(&self, score: usize, rows: &[u32], sample: &Sample<'_>, [gradient, hessian]: [f64; 2]) -> f64 {
        let rule = self.objective.leaves();
        if rule == LeafRule::Newton {
            return self.params.penalty.step(gradient, hessian);
        }
        let scores = &self.scores[score * self.truth.y.len()..];
        let residual = |&row: &u32| {
            let row = row as usize;
            (self.truth.y[row] - scores[row], self.truth.weight(row) * sample.factor(row))
        };
        rule.value(&mut rows.iter().map(residual).collect::<Vec<_>>()).unwrap_or(0.0)
    }

    /// Adds a tree to the scores of all rows.
    fn add(&mut self, score: usize, grown: Grown) -> Result<Tree> {
        let Grown { tree, values } = grown;
        // Leaves by their numbers among nodes, for rows that did not grow it.
        let leaf_of = |row: usize| tree.numbers(tree.leaf_of(self.table, row)).next().unwrap_or(0.0);
        let rows = self.truth.y.len();
        let all = self.rows.len() == rows && !self.params.draws_rows();
        let room = self.rooms[score].get_mut().unwrap_or_else(PoisonError::into_inner);
        let of_rows = &room.leaves;
        let scores = &mut self.scores[score * rows..][..rows];
        parallel::for_each_chunk_mut(scores, PIECE, |piece, scores| {
            let first = piece * PIECE;
            for ((i, score), leaf) in scores.iter_mut().enumerate().zip(&of_rows[first..]) {
                match values.get(leaf.load(Ordering::Relaxed) as usize) {
                    Some(value) => *score += value,
                    None if all => {}
                    None => *score += leaf_of(first + i),
                }
            }
        });
        if let Some(held_out) = &mut self.held_out {
            let count = held_out.rows.len();
            let of_rows = &held_out.rows;
            let scores = &mut held_out.scores[score * count..][..count];
            parallel::for_each_chunk_mut(scores, PIECE, |piece, scores| {
                for (score, row) in scores.iter_mut().zip(&of_rows[piece * PIECE..]) {
                    *score += leaf_of(*row as usize);
                }
            });
        }
        Ok(tree)
    }
}

/// What stands for rows that a tree was not grown on.
const NO_LEAF: u32 = u32::MAX;

/// The random numbers by which the derivatives of a tree are rounded, by its number among those of all stages and scores.
pub(crate) fn rounding(seed: u64, number: u64) -> Philox {
    const ROUNDING: u64 = Philox::purpose("rounding of derivatives");
    Philox::new(Philox::new(seed, ROUNDING).bits(number), ROUNDING)
}

/// The key of the random numbers of a tree.
pub(crate) fn key_of_tree(seed: u64, number: u64) -> u64 {
    const TREE: u64 = Philox::purpose("trees of boosting");
    Philox::new(seed, TREE).bits(number)
}

/// A tree and what its leaves add, from left to right.
pub(crate) struct Grown {
    pub(crate) tree: Tree,
    pub(crate) values: Vec<f64>,
}

impl Grown {
    /// The tree whose leaves take this part of their steps `values`.
    pub(crate) fn new(
        params: &GradientBoosting,
        tree: Tree,
        mut values: Vec<f64>,
        weights: &[f64],
        rate: f64,
    ) -> Result<Self> {
        monotone::keep(&tree, &params.tree.monotone, &mut values);
        values.iter_mut().for_each(|value| *value *= rate);
        Ok(Self { tree: tree.with_leaves(&values, weights)?, values })
    }
}

/// The report of these trees; `stopped` says why there are no more, if nobody asked for that.
pub(crate) fn report(
    trees: &[Vec<Tree>],
    total: usize,
    done: usize,
    stopped: &str,
    objective: f64,
) -> FitReport {
    let mut warnings = Vec::new();
    let early = !stopped.is_empty();
    if done < total && !early {
        warnings.push(format!("stopped after {done} of {total} stages"));
    }
    let leaves: usize = trees.iter().flatten().map(Tree::leaves).sum();
    if trees.iter().flatten().all(|tree| tree.leaves() == 1) {
        warnings.push(
            "no tree has a split: none leaves min_samples_leaf rows and second derivatives, which weights multiply, of \
             min_child_weight on both sides and gains more than min_gain"
                .into(),
        );
    }
    let why = if early { stopped.to_owned() } else { format!("{done} stages") };
    let kept = trees.first().map_or(0, Vec::len);
    let stopped = format!("{why}; {kept} stages with {leaves} leaves are kept");
    let (converged, rounds) = (done == total || early, done as u64);
    FitReport { converged, stopped, warnings, objective, optimality: f64::NAN, rounds }
}
