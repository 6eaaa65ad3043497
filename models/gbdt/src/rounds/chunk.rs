//! Rows of a chunk, and what is remembered of them between rounds.

use super::sent::{
    Answer, Answers as Answered, Ask, Begun, BoostingRequest, Extra, LossOf, LossSum, Setup, SizesOf, Step,
    Witness, witnesses,
};
use crate::boosting::{key_of_tree, rounding};
use crate::continued::fingerprint_of_rows;
use crate::held_out::{Divided, HeldOut};
use crate::leaf_sums::{fine, fine_steps};
use crate::loss::{Derivatives, Objective, Truth};
use crate::sampling::stream;
use crate::{Lesson, Loss};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};
use tilewise_base::{Error, Result};
use tilewise_kernels::tree::{FixedPoint, Packed, round_fixed};
use tilewise_kernels::{parallel, same};
use tilewise_tree::rounds::{Asked, BinnedPiece, Counted, NodeRows, Queries, count_newton};
use tilewise_tree::{Answers, BinnedTable, Gradients};

/// Rows of their own, and what is learned of them.
pub struct BoostingChunk<'a> {
    table: Cow<'a, BinnedTable>,
    answers: Cow<'a, Answers>,
    /// Numbers of classes as answers; none where answers are numbers.
    of_classes: Option<Vec<f64>>,
    offset: Option<Cow<'a, [f64]>>,
    /// The rows of each query, where there are queries, and the number of the first among all.
    queries: Option<Queries>,
    /// Which rows are held out, where that is told.
    told: Option<Cow<'a, [bool]>>,
    /// The number of the first row.
    first: u64,
    /// A hessian of 1 for each row, by which rows are counted.
    ones: OnceLock<Vec<Packed>>,
    cache: Mutex<Option<Cache>>,
}

/// What follows from the rows and the steps that were told.
struct Cache {
    label: u64,
    stage: usize,
    /// Those of all rows, and those by which is learned: 0 of rows that are held out.
    all_weights: Option<Vec<f64>>,
    weights: Option<Vec<f64>>,
    /// Rows that are held out, and those that are learned from.
    held_out: Vec<u32>,
    learned: Vec<u32>,
    /// Score after score, each with all rows; derivatives are none until they are needed.
    scores: Vec<f64>,
    derivatives: Vec<Derivatives>,
    fixed: Vec<Vec<Packed>>,
    units: Vec<[f64; 2]>,
    /// For each score the rows that its tree grows on, and others that have a weight; none before they are drawn.
    nodes: Vec<[NodeRows; 2]>,
}

impl BoostingChunk<'static> {
    /// As [`new`](Self::new), of rows that are the chunk's own.
    ///
    /// # Errors
    /// As there.
    pub fn owned(piece: BinnedPiece) -> Result<Self> {
        let BinnedPiece { table, answers, offset, queries, held_out, first } = piece;
        let (offset, told) = (offset.map(Cow::Owned), held_out.map(Cow::Owned));
        Self::of(Cow::Owned(table), Cow::Owned(answers), offset, told, queries, first)
    }
}

impl<'a> BoostingChunk<'a> {
    /// The rows of this table, whose first is number `first` of all. Queries are whole ones; `first_query` of all are in chunks before
    /// (not looked at where there are none).
    ///
    /// # Errors
    /// When lengths differ, an offset is not finite, or there are events or several targets.
    pub fn new(table: &'a BinnedTable, lesson: &Lesson<'a>, [first, first_query]: [u64; 2]) -> Result<Self> {
        if lesson.events.is_some() {
            return Err(Error::Fit("in rounds rows have no events".into()));
        }
        let (offset, told) = (lesson.offset.map(Cow::Borrowed), lesson.held_out.map(Cow::Borrowed));
        let queries = lesson.groups.map(|groups| Queries { rows: groups.to_vec(), first: first_query });
        Self::of(Cow::Borrowed(table), Cow::Borrowed(lesson.answers), offset, told, queries, first)
    }

    fn of(
        table: Cow<'a, BinnedTable>,
        answers: Cow<'a, Answers>,
        offset: Option<Cow<'a, [f64]>>,
        told: Option<Cow<'a, [bool]>>,
        queries: Option<Queries>,
        first: u64,
    ) -> Result<Self> {
        let of_classes = match &*answers {
            Answers::Numbers(_) => None,
            Answers::Classes { y, .. } => Some(y.iter().map(|&class| f64::from(class)).collect()),
            Answers::Outputs(_) => {
                return Err(Error::Fit("boosting learns one target; there are several".into()));
            }
        };
        same("answers against rows", table.rows(), answers.len())?;
        if let Some(offset) = &offset {
            same("offsets against rows", table.rows(), offset.len())?;
            if let Some(row) = offset.iter().position(|x| !x.is_finite()) {
                let what = format!("{} is not a finite number", offset[row]);
                return Err(Error::cell(first as usize + row, "offset", what));
            }
        }
        let (ones, cache) = (OnceLock::new(), Mutex::new(None));
        Ok(Self { table, answers, of_classes, offset, queries, told, first, ones, cache })
    }

    /// What is learned: numbers, or those of classes.
    fn y(&self) -> &[f64] {
        match (&self.of_classes, &*self.answers) {
            (Some(y), _) | (None, Answers::Numbers(y)) => y,
            _ => &[],
        }
    }

    /// Forgets what it remembers, as if it had been read again elsewhere.
    pub fn forget(&self) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn classes(&self) -> Option<usize> {
        match &*self.answers {
            Answers::Classes { classes, .. } => Some(*classes),
            _ => None,
        }
    }

    /// The weights of rows, those of classes multiplied by these; `None` where all are 1.
    fn weights(&self, balance: Option<&[f64]>) -> Option<Vec<f64>> {
        let of_row = |row: usize| {
            let weight = self.table.weight(row);
            match balance {
                // Of a row that does not count the class may be any.
                Some(factors) if weight > 0.0 => {
                    weight * factors.get(self.y()[row] as usize).copied().unwrap_or(0.0)
                }
                _ => weight,
            }
        };
        let equal = balance.is_none() && self.table.has_equal_weights();
        (!equal).then(|| (0..self.y().len()).map(of_row).collect())
    }

    /// Rows that are held out, and others that have a weight.
    fn divided(&self, setup: &Setup) -> Result<(Vec<u32>, Vec<u32>)> {
        let divided = Divided { told: self.told.as_deref(), groups: self.groups(), first: self.firsts() };
        divided.rows(self.table.counted(), self.y().len(), setup.params.early_stopping, setup.seed)
    }

    fn groups(&self) -> Option<&[Range<usize>]> {
        self.queries.as_ref().map(|queries| &queries.rows[..])
    }

    /// The numbers of the first row and the first query among all.
    fn firsts(&self) -> [u64; 2] {
        [self.first, self.queries.as_ref().map_or(0, |queries| queries.first)]
    }

    /// Weights by which is learned, given those of all rows.
    fn learned_weights(&self, all: Option<&[f64]>, held_out: &[u32], setup: &Setup) -> Option<Vec<f64>> {
        let mut weights = all.map(<[f64]>::to_vec);
        if setup.params.early_stopping.is_some() {
            let weights = weights.get_or_insert_with(|| vec![1.0; self.y().len()]);
            held_out.iter().for_each(|&row| weights[row as usize] = 0.0);
        }
        weights
    }

    fn truth<'t>(&'t self, weights: Option<&'t [f64]>) -> Truth<'t> {
        Truth { y: self.y(), weights, groups: self.groups(), events: None }
    }

    fn begin(&self, balance: Option<&[f64]>, setup: &Setup, objective: &dyn Objective) -> Result<Begun> {
        let counted = self.table.counted();
        let mut of_classes = vec![0.0; self.classes().unwrap_or(0)];
        if let Answers::Classes { y, classes } = &*self.answers {
            for &row in counted {
                let class = y[row as usize];
                let Some(sum) = of_classes.get_mut(class as usize) else {
                    let what = format!("is class {class}, and there are {classes}");
                    return Err(Error::cell(self.first as usize + row as usize, "target", what));
                };
                // Multiples of one power of two: no order of them matters.
                *sum += self.table.weight(row as usize);
            }
        }
        let all = self.weights(balance);
        if matches!(setup.params.loss, Loss::LambdaRank { .. }) {
            self.truth(all.as_deref()).check_queries(self.first as usize)?;
        }
        let (held_out, learned) = self.divided(setup)?;
        let weights = self.learned_weights(all.as_deref(), &held_out, setup);
        let truth = self.truth(weights.as_deref());
        let of_all = self.truth(all.as_deref());
        let witness = |&row: &u32| Witness {
            row: self.first + u64::from(row),
            y: self.y()[row as usize],
            weight: of_all.weight(row as usize),
        };
        let of_more =
            fingerprint_of_rows(self.offset.as_deref(), self.groups(), self.told.as_deref(), self.firsts());
        let fingerprint = self.table.fingerprint_of_rows(&self.answers, self.first)?.wrapping_add(of_more);
        // Of answers that are not accepted sums may be anything.
        let sums = objective.start_sums(&truth).unwrap_or_default();
        Ok(Begun {
            places: vec![(self.first, self.y().len() as u64)],
            features: self.table.features(),
            first_counted: learned.first().map(|&row| self.first + u64::from(row)),
            classes: self.classes(),
            of_classes,
            weights: truth.sum_of_weights(),
            sums,
            witnesses: witnesses(counted.iter().map(witness)),
            learned: witnesses(learned.iter().map(witness)),
            held_out: [held_out.len() as u64, learned.len() as u64],
            fingerprint,
        })
    }

    pub(super) fn answer(&self, request: &BoostingRequest) -> Result<Answer> {
        let BoostingRequest { setup, before, after, steps, ask } = request;
        if self.classes() != setup.classes {
            return Ok(Answer::Failed("a chunk has other classes than are to be learned".into()));
        }
        let objective = setup.params.loss.objective(setup.classes)?;
        if let Ask::Begin(balance) = ask {
            return Ok(Answer::Begun(Box::new(self.begin(balance.as_deref(), setup, objective.as_ref())?)));
        }
        let mut kept = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // A chunk that was asked the same before has taken these steps already; one that fails half way remembers nothing.
        let mut cache = match kept.take() {
            Some(cache) if cache.label == *after => cache,
            Some(cache) if Some(cache.label) == *before => {
                self.stepped(Some(cache), steps, setup, objective.as_ref())?
            }
            _ if before.is_none() => self.stepped(None, steps, setup, objective.as_ref())?,
            other => {
                *kept = other;
                return Ok(Answer::Missed);
            }
        };
        cache.label = *after;
        let answered = self.answered(&mut cache, ask, setup, objective.as_ref())?;
        *kept = Some(cache);
        Ok(Answer::Of(answered))
    }

    fn stepped(
        &self,
        mut cache: Option<Cache>,
        steps: &[Step],
        setup: &Setup,
        objective: &dyn Objective,
    ) -> Result<Cache> {
        let nothing = || Error::Fit("a chunk was told steps that follow none".into());
        for step in steps {
            if let Step::Start { base, balance } = step {
                cache = Some(self.started(base, balance.as_deref(), setup, objective)?);
                continue;
            }
            let cache = cache.as_mut().ok_or_else(nothing)?;
            match step {
                Step::Start { .. } => {}
                Step::Divide { score, divisions } => {
                    if cache.nodes.is_empty() {
                        self.draw(cache, setup, objective, None);
                    }
                    let nodes = cache.nodes.get_mut(*score as usize).ok_or_else(nothing)?;
                    nodes.iter_mut().try_for_each(|nodes| nodes.divide(&self.table, divisions))?;
                }
                Step::Add { leaves } => {
                    if cache.nodes.is_empty() {
                        self.draw(cache, setup, objective, None);
                    }
                    let rows = self.y().len();
                    let of_scores = cache.scores.chunks_exact_mut(rows.max(1));
                    for ((scores, nodes), leaves) in of_scores.zip(&cache.nodes).zip(leaves) {
                        for &(leaf, value) in leaves {
                            for nodes in nodes {
                                nodes.of(leaf)?.iter().for_each(|&row| scores[row as usize] += value);
                            }
                        }
                    }
                    cache.stage += 1;
                    cache.nodes.clear();
                    cache.derivatives.clear();
                }
                Step::Round { units, only } => {
                    same("units of scores", objective.scores(), units.len())?;
                    same("scores of rows", objective.scores() * self.y().len(), cache.scores.len())?;
                    self.derive(cache, objective);
                    self.draw(cache, setup, objective, *only);
                    cache.units.clone_from(units);
                    cache.fixed.resize(units.len(), Vec::new());
                    let rows = self.y().len();
                    for (score, (&[gradient_unit, hessian_unit], fixed)) in
                        units.iter().zip(&mut cache.fixed).enumerate()
                    {
                        let number = (cache.stage * units.len() + score) as u64;
                        let units = FixedPoint { gradient_unit, hessian_unit, most_hessian: 1 };
                        fixed.resize(rows, Packed::default());
                        let derivatives = &cache.derivatives[score * rows..][..rows];
                        round_fixed(
                            derivatives,
                            self.first as usize,
                            units,
                            rounding(setup.seed, number),
                            fixed,
                        )?;
                    }
                }
            }
        }
        cache.ok_or_else(nothing)
    }

    fn started(
        &self,
        base: &[f64],
        balance: Option<&[f64]>,
        setup: &Setup,
        objective: &dyn Objective,
    ) -> Result<Cache> {
        same("scores to start from", objective.scores(), base.len())?;
        let rows = self.y().len();
        let mut scores: Vec<f64> = base.iter().flat_map(|&base| std::iter::repeat_n(base, rows)).collect();
        if let Some(offset) = &self.offset {
            scores.iter_mut().zip(&**offset).for_each(|(score, offset)| *score += offset);
        }
        let (held_out, learned) = self.divided(setup)?;
        let all_weights = self.weights(balance);
        let weights = self.learned_weights(all_weights.as_deref(), &held_out, setup);
        let (derivatives, fixed, units, nodes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (label, stage) = (0, 0);
        Ok(Cache {
            label,
            stage,
            all_weights,
            weights,
            held_out,
            learned,
            scores,
            derivatives,
            fixed,
            units,
            nodes,
        })
    }

    /// Derivatives at the scores, if they are not there.
    fn derive(&self, cache: &mut Cache, objective: &dyn Objective) {
        if cache.derivatives.len() != cache.scores.len() {
            cache.derivatives.resize(cache.scores.len(), Derivatives::default());
            objective.derivatives(
                &self.truth(cache.weights.as_deref()),
                &cache.scores,
                &mut cache.derivatives,
            );
        }
    }

    /// Draws the rows of a stage, for each score the same.
    fn draw(&self, cache: &mut Cache, setup: &Setup, objective: &dyn Objective, only: Option<u64>) {
        let share = setup.params.subsample;
        let (drawn, mut others): (Vec<u32>, Vec<u32>) = if share < 1.0 {
            let stream = stream(setup.seed, cache.stage);
            let is_drawn = |row: u64| stream.uniform(row) < share || only == Some(row);
            cache.learned.iter().partition(|&&row| is_drawn(self.first + u64::from(row)))
        } else {
            (cache.learned.clone(), Vec::new())
        };
        others.extend_from_slice(&cache.held_out);
        let nodes = || [NodeRows::new(drawn.clone()), NodeRows::new(others.clone())];
        cache.nodes = (0..objective.scores()).map(|_| nodes()).collect();
    }

    /// The loss of rows that are learned from.
    fn loss(&self, cache: &Cache, objective: &dyn Objective) -> Option<Box<LossSum>> {
        LossSum::of(&self.truth(cache.weights.as_deref()), &cache.scores, objective)
    }

    /// The loss of rows that are held out.
    fn loss_held_out(&self, cache: &Cache, objective: &dyn Objective) -> Option<Box<LossSum>> {
        let all = self.truth(cache.all_weights.as_deref());
        let held_out = HeldOut::new(cache.held_out.clone(), &all, &cache.scores);
        LossSum::of(&held_out.truth(), &held_out.scores, objective)
    }

    fn answered(
        &self,
        cache: &mut Cache,
        ask: &Ask,
        setup: &Setup,
        objective: &dyn Objective,
    ) -> Result<Answered> {
        let Ask::Of { sizes, nodes, loss } = ask else { return Ok(Answered::default()) };
        let rows = self.y().len();
        if sizes.is_some() || !nodes.is_empty() {
            same("scores of rows", objective.scores() * rows, cache.scores.len())?;
            self.derive(cache, objective);
        }
        let of_score = |score: usize| &cache.derivatives[score * rows..][..rows];
        let sizes = sizes.iter().flat_map(|candidates| {
            (0..objective.scores()).map(move |score| SizesOf::new(of_score(score), candidates, score))
        });
        let sizes = sizes.collect();
        let mut counted = Vec::with_capacity(nodes.len());
        for (score, asked) in nodes.iter().enumerate() {
            counted.push(self.counted(cache, score, asked, setup, objective.scores())?);
        }
        let held_out = loss.and_then(|_| self.loss_held_out(cache, objective));
        let loss = loss.filter(|of| *of == LossOf::Both).and_then(|_| self.loss(cache, objective));
        Ok(Answered { sizes, nodes: counted, loss, held_out })
    }

    /// What is asked about nodes of the tree of a score.
    fn counted(
        &self,
        cache: &Cache,
        score: usize,
        asked: &[Asked],
        setup: &Setup,
        scores: usize,
    ) -> Result<Vec<(Counted, Extra)>> {
        let unknown = || Error::Fit("a chunk was asked about nodes before derivatives were rounded".into());
        let (Some(values), Some(&units), Some([nodes, _])) =
            (cache.fixed.get(score), cache.units.get(score), cache.nodes.get(score))
        else {
            return Err(unknown());
        };
        let [gradient_unit, hessian_unit] = units;
        let gradients = Gradients { values, gradient_unit, hessian_unit, most_hessian: 1 };
        let key = key_of_tree(setup.seed, (cache.stage * scores + score) as u64);
        let derivatives = &cache.derivatives[score * self.y().len()..][..self.y().len()];
        let (table, steps) = (&*self.table, fine_steps(units));
        let ones = self.ones.get_or_init(|| vec![Packed::new(0, 1); self.y().len()]);
        let of_node = |place: usize| -> Result<(Counted, Extra)> {
            let rows = nodes.of(asked[place].node())?;
            let mut sums = [0_i64; 2];
            for &row in rows {
                let [gradient, hessian] = fine(derivatives[row as usize], steps);
                sums = [sums[0] + gradient, sums[1] + hessian];
            }
            let weight = if table.has_equal_weights() { rows.len() as f64 } else { table.weight_of(rows) };
            let counted =
                count_newton(table, &gradients, (&setup.params.tree, key), rows, asked[place], ones)?;
            Ok((counted, Extra { sums, weight }))
        };
        parallel::map(asked.len(), of_node).into_iter().collect()
    }
}
