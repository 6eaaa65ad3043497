//! Boosting in rounds over chunks of rows, which may lie in other processes: the model of [`GradientBoosting::fit`], bit for bit.
//!
//! A chunk ([`BoostingChunk`]) has rows of its own, binned by the cuts of all ([`tilewise_tree::rounds::BinnedColumns`]), and the number
//! that the first of them has in the source, by which random numbers are drawn. The trainer sends *steps* and a question. Steps change what
//! a chunk remembers: scores start, nodes of the trees of a stage are divided, leaves are added to scores, derivatives are rounded to
//! fixed point. Answers are integers, maxima and exact sums, so no division among chunks changes a bit.
//!
//! What a chunk remembers is a *cache* under a label, which is made of all steps so far. A chunk that has another label *missed*, and the
//! trainer asks the same again with all steps that lead there: of stages that are over the divisions of their trees and what leaves
//! add.
//!
//! A stage costs a round for each level of its trees and one more. With the leaves of one stage goes the first question of the next, on
//! the guess that its units of fixed point are those of the stage before: they are powers of two and change a few times in a
//! hundred stages. Where the guess is wrong, or there is none, the roots are asked for again. Last comes a round for the loss.
//!
//! Rankings are sums over queries: chunks have whole ones.
//!
//! What is refused: losses that are no sums over rows or queries (survival) or whose leaves are medians and other quantiles (absolute,
//! Huber, quantile), gradient-based sampling, whose threshold all rows decide, dropped stages, and oblivious growth. The loss of rows that
//! are held out comes with the first answer of the stage after, and stops it.

mod chunk;
mod grows;
mod sent;

pub use chunk::BoostingChunk;
pub use sent::{BoostingPartial, BoostingRequest};

use crate::balance::factors;
use crate::boosting::{Grown, key_of_tree, report};
use crate::continued::Origin;
use crate::held_out::best;
use crate::leaf_sums::{coarse, fine_steps};
use crate::loss::{LeafRule, Objective, Truth};
use crate::smoothing::smoothed;
use crate::{Boosted, Ensemble, GradientBoosting, Loss};
use sent::{
    Answer, Answers as Answered, Ask, Begun, Candidates, Extra, LossOf, Setup, SizesOf, Step, label_after,
};
use std::collections::HashMap;
use tilewise_base::{Error, Fit, Result, Rounds};
use tilewise_kernels::tree::FixedPoint;
use tilewise_tree::rounds::{BATCH, BinnedColumns, Counted, GrownNewton, NewtonTree, missed};
use tilewise_tree::{Answers, BinnedTable, ClassWeights, Gradients, Growth, Tree};

/// What is asked next.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Of all rows: weights, sums of answers. Twice where classes are balanced.
    Begin,
    /// Sizes of derivatives, and roots on a guess of units.
    Stage,
    /// Sizes at these exponents.
    Sizes,
    Nodes,
    Loss,
    Done,
}

/// Boosts by rounds.
///
/// ```
/// use tilewise_base::{Context, rounds};
/// use tilewise_gbdt::rounds::{BoostingChunk, BoostingTrainer};
/// use tilewise_gbdt::{GradientBoosting, Lesson};
/// use tilewise_kernels::MatRef;
/// use tilewise_tree::Answers;
/// use tilewise_tree::rounds::{BinningTrainer, RawChunk};
/// let x: Vec<f64> = (0..200).map(f64::from).collect();
/// let raw = |rows: std::ops::Range<usize>| {
///     let matrix = MatRef::new(&x[rows.clone()], rows.len(), 1)?;
///     RawChunk::of_matrix(matrix, None, rows.start as u64)
/// };
/// let (raw, context) = ([raw(0..120)?, raw(120..200)?], Context::default());
/// let mut cuts = BinningTrainer::new(255, context.seed)?;
/// rounds::run_through_bytes(&mut cuts, &raw, &context)?;
/// let columns = cuts.finish()?;
/// let of = |x: &[f64]| Answers::Numbers(x.iter().map(|x| if *x < 100.0 { 1.0 } else { 3.0 }).collect());
/// let (tables, answers) = ([columns.table(&raw[0])?, columns.table(&raw[1])?], [of(&x[..120]), of(&x[120..])]);
/// let chunks = [
///     BoostingChunk::new(&tables[0], &Lesson::new(&answers[0]), [0, 0])?,
///     BoostingChunk::new(&tables[1], &Lesson::new(&answers[1]), [120, 0])?,
/// ];
/// let params = GradientBoosting { stages: 20, ..GradientBoosting::default() };
/// let mut trainer = BoostingTrainer::new(&params, &columns, None, context.seed)?;
/// rounds::run_through_bytes(&mut trainer, &chunks, &context)?;
/// assert_eq!(trainer.finish()?.model.stages(), 20);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
pub struct BoostingTrainer {
    setup: Setup,
    /// A table of no rows.
    outline: BinnedTable,
    rows: usize,
    objective: Box<dyn Objective>,
    phase: Phase,
    /// By what the weights of classes are multiplied, where they are balanced.
    balance: Option<Vec<f64>>,
    begun: Option<Begun>,
    base: Vec<f64>,
    /// For each score.
    trees: Vec<Vec<Tree>>,
    growing: Vec<NewtonTree>,
    extras: Vec<HashMap<u32, Extra>>,
    /// Of this stage, or the one before.
    units: Vec<FixedPoint>,
    sizes: Vec<SizesOf>,
    /// Steps from the start on, those of this stage from `of_stage`.
    log: Vec<Step>,
    of_stage: usize,
    /// Steps that chunks were not told.
    pending: Vec<Step>,
    /// Before and after these.
    labels: [u64; 2],
    replay: bool,
    loss: Option<f64>,
    /// Of rows that are held out, after each stage.
    validation: Vec<f64>,
    /// Why there are no more stages, if that was before the last.
    stopped: String,
}

impl BoostingTrainer {
    /// One that has grown nothing yet. `classes` is their number where classes are to be learned.
    ///
    /// # Errors
    /// When a parameter is not accepted, here or in memory: see the module.
    pub fn new(
        params: &GradientBoosting,
        columns: &BinnedColumns,
        classes: Option<usize>,
        seed: u64,
    ) -> Result<Self> {
        params.check()?;
        let objective = params.loss.objective(classes)?;
        refuse(params, objective.as_ref())?;
        params.check_monotone(objective.as_ref())?;
        if params.tree.class_weights == ClassWeights::Balanced && classes.is_none() {
            return Err(Error::parameter("class_weight", "balanced", "for numbers only none is"));
        }
        let outline = columns.outline()?;
        let numbers = 2 * outline.cells();
        if numbers > BATCH {
            return Err(Error::Fit(format!(
                "the bins of all columns take {numbers} numbers for a node, and in rounds up to {BATCH} are accepted: \
                 max_bins must be smaller"
            )));
        }
        let setup = Setup { params: params.clone(), seed, classes };
        let label = setup.label()?;
        let scores = objective.scores();
        let (log, pending, sizes, growing, units) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            setup,
            outline,
            rows: columns.rows() as usize,
            objective,
            phase: Phase::Begin,
            balance: None,
            begun: None,
            base: Vec::new(),
            trees: vec![Vec::new(); scores],
            growing,
            extras: vec![HashMap::new(); scores],
            units,
            sizes,
            log,
            of_stage: 0,
            pending,
            labels: [label; 2],
            replay: true,
            loss: None,
            validation: Vec::new(),
            stopped: String::new(),
        })
    }

    fn scores(&self) -> usize {
        self.trees.len()
    }

    /// Stages that are done.
    pub fn stages(&self) -> usize {
        self.trees[0].len()
    }

    /// Adds a step, of which chunks are told with the next request.
    fn push(&mut self, step: Step) -> Result<()> {
        self.labels[1] = label_after(self.labels[1], &step)?;
        self.pending.push(step.clone());
        self.log.push(step);
        Ok(())
    }

    fn ask(&self) -> Option<Ask> {
        let nodes = || self.growing.iter().map(NewtonTree::asked).collect();
        let ask = |sizes, nodes, loss| Some(Ask::Of { sizes, nodes, loss });
        // Of the stage before, which has no loss before it is over.
        let judged = self.setup.params.early_stopping.is_some() && self.stages() > 0;
        let of_held_out = judged.then_some(LossOf::HeldOut);
        match self.phase {
            Phase::Begin => Some(Ask::Begin(self.balance.clone())),
            Phase::Stage if self.sizes.is_empty() => ask(Some(Candidates::Own), Vec::new(), of_held_out),
            Phase::Stage => {
                let exponents = self.sizes.iter().map(SizesOf::exponents).collect();
                ask(Some(Candidates::Around(exponents)), nodes(), of_held_out)
            }
            Phase::Sizes => {
                let exponents = self.sizes.iter().map(SizesOf::exponents).collect();
                ask(Some(Candidates::At(exponents)), Vec::new(), None)
            }
            Phase::Nodes => ask(None, nodes(), None),
            Phase::Loss => ask(None, Vec::new(), Some(LossOf::Both)),
            Phase::Done => None,
        }
    }

    fn take_begun(&mut self, begun: Begun) -> Result<()> {
        begun.check(self.rows as u64, &self.setup)?;
        let balanced = self.setup.params.tree.class_weights == ClassWeights::Balanced;
        if balanced && self.balance.is_none() {
            let all = begun.of_classes.iter().sum();
            self.balance = Some(factors(&begun.of_classes, all));
            return Ok(());
        }
        begun.check_answers(self.objective.as_ref())?;
        let sums = self.objective.start_sums(&Truth::default());
        if sums.is_some_and(|sums| sums.len() != begun.sums.len()) {
            return Err(Error::Fit("an answer came that was not asked for".into()));
        }
        let total = begun.total(self.rows);
        let means: Vec<f64> = begun.sums.iter().map(|sum| sum.value() / total).collect();
        self.base = self.objective.start_of(&means);
        if self.base.len() != self.scores() || !self.base.iter().all(|base| base.is_finite()) {
            return Err(Error::Fit(format!(
                "the scores to start from are {:?}: weights times answers are too large, smaller weights are accepted",
                self.base
            )));
        }
        self.begun = Some(begun);
        self.push(Step::Start { base: self.base.clone(), balance: self.balance.clone() })?;
        // Chunks remember nothing yet.
        self.replay = true;
        self.begin_stage()
    }

    /// Asks for the sizes of the derivatives of the next stage, and for its roots if units can be guessed.
    fn begin_stage(&mut self) -> Result<()> {
        self.of_stage = self.log.len();
        self.phase = Phase::Stage;
        self.growing.clear();
        if !self.units.is_empty() {
            self.round(None)?;
        }
        Ok(())
    }

    /// Lets derivatives be rounded to the units of this stage, and trees begin.
    fn round(&mut self, only: Option<u64>) -> Result<()> {
        self.log.truncate(self.of_stage);
        let units = self.units.iter().map(|units| [units.gradient_unit, units.hessian_unit]).collect();
        self.push(Step::Round { units, only })?;
        self.begin_trees()
    }

    fn begin_trees(&mut self) -> Result<()> {
        let Setup { params, seed, .. } = &self.setup;
        let (stage, scores) = (self.stages(), self.scores());
        let squared = matches!((params.loss, self.setup.classes), (Loss::Squared | Loss::Auto, None));
        let equal = squared && self.outline.has_equal_weights();
        let tree = |(score, units): (usize, &FixedPoint)| {
            let FixedPoint { gradient_unit, hessian_unit, most_hessian } = *units;
            let most_hessian = most_hessian as u64;
            let gradients = Gradients { values: &[], gradient_unit, hessian_unit, most_hessian };
            // Those of squared differences are 1 each.
            let of_rows = equal.then_some((1.0 / hessian_unit) as u32);
            let key = key_of_tree(*seed, (stage * scores + score) as u64);
            NewtonTree::new(&params.tree, &self.outline, &gradients, params.penalty, of_rows, key)
        };
        self.growing = self.units.iter().enumerate().map(tree).collect::<Result<_>>()?;
        self.extras.iter_mut().for_each(HashMap::clear);
        Ok(())
    }

    fn take_sizes(&mut self, answered: Answered) -> Result<()> {
        if answered.sizes.len() != self.scores() {
            return Err(Error::Fit("an answer came that was not asked for".into()));
        }
        self.sizes = answered.sizes;
        let units = self.sizes.iter().map(|sizes| sizes.units(self.rows)).collect::<Option<Result<Vec<_>>>>();
        let Some(units) = units else {
            // Some chunk's largest are far from those of all.
            if self.phase == Phase::Sizes {
                return Err(Error::Fit("sizes came that were not asked for".into()));
            }
            self.phase = Phase::Sizes;
            self.growing.clear();
            return Ok(());
        };
        let units = units?;
        let same = |(a, b): (&FixedPoint, &FixedPoint)| {
            (a.gradient_unit, a.hessian_unit) == (b.gradient_unit, b.hessian_unit)
        };
        let guessed = !self.growing.is_empty() && units.iter().zip(&self.units).all(same);
        self.units = units;
        self.phase = Phase::Nodes;
        if guessed {
            self.begin_trees()?;
            return self.take_nodes(answered.nodes);
        }
        self.round(None)
    }

    /// Takes the loss of rows that are held out, if there are any; answers whether it says that more stages are not worth it.
    fn take_loss(&mut self, answered: &Answered) -> bool {
        let (Some(stop), Some(loss)) = (self.setup.params.early_stopping, &answered.held_out) else {
            return false;
        };
        self.validation.push(self.objective.loss_of(loss.mean()));
        let best = best(&self.validation);
        let stops = self.validation.len() - best >= stop.patience;
        if stops {
            self.stopped = format!("loss on rows held out was least after stage {best}");
        }
        stops
    }

    fn take_nodes(&mut self, nodes: Vec<Vec<(Counted, Extra)>>) -> Result<()> {
        let asked: Vec<_> = self.growing.iter().map(NewtonTree::asked).collect();
        if nodes.len() != asked.len() || nodes.iter().zip(&asked).any(|(a, b)| a.len() != b.len()) {
            return Err(Error::Fit("an answer came that was not asked for".into()));
        }
        let is_root = self.growing.iter().all(|tree| tree.divisions().1.is_empty());
        if is_root && nodes.iter().flatten().all(|(counted, _)| counted.rows() == 0) {
            // No row was drawn: the first of all stands for them.
            let first = self.begun.as_ref().and_then(|begun| begun.first_counted);
            let was_asked = matches!(self.log.last(), Some(Step::Round { only: Some(_), .. }));
            if first.is_none() || was_asked {
                return Err(Error::Fit("no chunk has a row of those to learn from, though some had".into()));
            }
            return self.round(first);
        }
        for (score, (nodes, asked)) in nodes.into_iter().zip(asked).enumerate() {
            if asked.is_empty() {
                continue;
            }
            let (counted, extras): (Vec<Counted>, Vec<Extra>) = nodes.into_iter().unzip();
            self.extras[score].extend(asked.iter().map(|asked| asked.node()).zip(extras));
            self.growing[score].take(&self.outline, counted)?;
        }
        for score in 0..self.scores() {
            let divisions = self.growing[score].divisions().0.to_vec();
            if !divisions.is_empty() && !self.growing[score].is_done() {
                self.push(Step::Divide { score: score as u32, divisions })?;
            }
        }
        if self.growing.iter().all(NewtonTree::is_done) { self.finish_stage() } else { Ok(()) }
    }

    /// Gives leaves their values, and goes on.
    fn finish_stage(&mut self) -> Result<()> {
        self.log.truncate(self.of_stage);
        let mut added = Vec::with_capacity(self.scores());
        for score in 0..self.scores() {
            let GrownNewton { tree, leaves, divisions } = self.growing[score].finish(&self.outline)?;
            let Grown { tree, values } = self.leaves(score, tree, &leaves)?;
            self.trees[score].push(tree);
            // Chunks have divided these, and others too, before.
            self.log.push(Step::Divide { score: score as u32, divisions });
            added.push(leaves.into_iter().zip(values).collect());
        }
        self.push(Step::Add { leaves: added })?;
        if self.stages() < self.setup.params.stages {
            return self.begin_stage();
        }
        self.phase = Phase::Loss;
        Ok(())
    }

    /// The tree with the values of its leaves.
    fn leaves(&self, score: usize, tree: Tree, leaves: &[u32]) -> Result<Grown> {
        let params = &self.setup.params;
        let FixedPoint { gradient_unit, hessian_unit, .. } = self.units[score];
        let steps = fine_steps([gradient_unit, hessian_unit]);
        let of_leaves = leaves.iter().map(|leaf| {
            let extra = self.extras[score].get(leaf);
            extra.ok_or_else(|| Error::Fit(format!("nothing was counted of leaf {leaf}")))
        });
        let of_leaves = of_leaves.collect::<Result<Vec<&Extra>>>()?;
        let sums: Vec<[f64; 2]> = of_leaves.iter().map(|extra| coarse(extra.sums, steps)).collect();
        let weights: Vec<f64> = of_leaves.iter().map(|extra| extra.weight).collect();
        let step = |[gradient, hessian]: [f64; 2]| params.penalty.step(gradient, hessian);
        let values = if params.path_smoothing > 0.0 {
            // As if each leaf had one row: weights of nodes are then those of ranges of leaves, exact sums of multiples of one unit.
            let places: Vec<_> = (0..leaves.len()).map(|leaf| leaf..leaf + 1).collect();
            smoothed(&tree, &places, &sums, params.path_smoothing, |leaves, sums| {
                (step(sums), weights[leaves].iter().sum())
            })
        } else {
            sums.iter().map(|&sums| step(sums)).collect()
        };
        Grown::new(params, tree, values, &weights, params.learning_rate)
    }

    /// The model of the stages that are done.
    ///
    /// # Errors
    /// When there are none.
    pub fn finish(self) -> Result<Fit<Boosted>> {
        let held_out = self.setup.params.early_stopping.is_some();
        let done = if held_out { self.validation.len() } else { self.stages() };
        let Some(begun) = self.begun.filter(|_| done > 0) else {
            return Err(Error::Fit("stopped before the first stage".into()));
        };
        let Setup { params, seed, classes } = self.setup;
        let kept = if held_out { best(&self.validation) } else { done };
        let mut trees = self.trees;
        trees.iter_mut().for_each(|trees| trees.truncate(kept));
        let objective = self.loss.filter(|_| kept == done).unwrap_or(f64::NAN);
        let report = report(&trees, params.stages, done, &self.stopped, objective);
        let nothing = match classes {
            Some(classes) => Answers::Classes { y: Vec::new(), classes },
            None => Answers::Numbers(Vec::new()),
        };
        let table = self.outline.fingerprint(&nothing)?.wrapping_add(begun.fingerprint);
        let ensemble = Ensemble::new(self.base, trees)?;
        let origin = Origin { params, seed, table };
        Ok(Fit { model: Boosted { ensemble, origin, validation: self.validation }, report })
    }
}

/// Refuses what is no sum over rows.
fn refuse(params: &GradientBoosting, objective: &dyn Objective) -> Result<()> {
    let refuse =
        |name: &str, value: &dyn std::fmt::Display, why: &str| Err(Error::parameter(name, value, why));
    let nothing = Truth { y: &[], ..Truth::default() };
    if objective.leaves() != LeafRule::Newton || objective.start_sums(&nothing).is_none() {
        let what = "in rounds auto, squared, logistic, softmax, poisson, gamma, tweedie and lambda_rank are (others need all rows at once)";
        return refuse("loss", &params.loss, what);
    }
    if let Some(goss) = params.goss {
        let what = "in rounds none is (all rows decide which are large); subsample is accepted";
        return refuse("goss", &format!("{}:{}", goss.top, goss.other), what);
    }
    if let Some(dart) = params.dart {
        return refuse("drop_rate", &dart.rate, "in rounds only 0 is (stages that are over do not change)");
    }
    if params.tree.growth == Growth::Oblivious {
        return refuse("growth", &"oblivious", "in rounds leaf_wise and depth_wise are");
    }
    Ok(())
}

impl Rounds for BoostingTrainer {
    type Chunk<'c> = BoostingChunk<'c>;
    type Request = BoostingRequest;
    type Partial = BoostingPartial;

    fn request(&self) -> Option<BoostingRequest> {
        let steps = if self.replay { &self.log } else { &self.pending };
        let [before, after] = self.labels;
        let before = (!self.replay).then_some(before);
        Some(BoostingRequest {
            setup: self.setup.clone(),
            before,
            after,
            steps: steps.clone(),
            ask: self.ask()?,
        })
    }

    fn partial(request: &BoostingRequest, chunk: &BoostingChunk<'_>) -> Result<BoostingPartial> {
        chunk.answer(request).map(BoostingPartial)
    }

    fn merge(left: BoostingPartial, right: BoostingPartial) -> BoostingPartial {
        BoostingPartial(left.0.merge(right.0))
    }

    fn advance(&mut self, partial: BoostingPartial) -> Result<()> {
        let answer = match partial.0 {
            Answer::Failed(e) => return Err(Error::Fit(e)),
            Answer::Missed => return missed(&mut self.replay),
            answer => answer,
        };
        self.labels[0] = self.labels[1];
        self.pending.clear();
        self.replay = false;
        match (answer, self.phase) {
            (Answer::Begun(begun), Phase::Begin) => self.take_begun(*begun),
            (Answer::Of(answered), Phase::Stage) if self.take_loss(&answered) => {
                self.phase = Phase::Done;
                Ok(())
            }
            (Answer::Of(answered), Phase::Stage | Phase::Sizes) => self.take_sizes(answered),
            (Answer::Of(answered), Phase::Nodes) => self.take_nodes(answered.nodes),
            (Answer::Of(answered), Phase::Loss) => {
                self.loss = answered.loss.as_ref().map(|loss| self.objective.loss_of(loss.mean()));
                self.take_loss(&answered);
                self.phase = Phase::Done;
                Ok(())
            }
            _ => Err(Error::Fit("an answer came that was not asked for".into())),
        }
    }

    fn note(&self) -> String {
        format!("stage {} of {}", self.stages().min(self.setup.params.stages), self.setup.params.stages)
    }

    fn at_most(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
