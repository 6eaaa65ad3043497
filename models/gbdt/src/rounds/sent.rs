//! What goes to chunks and comes back from them.

use crate::GradientBoosting;
use crate::held_out::check_counts;
use crate::loss::{Derivatives, Objective, Truth};
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, ExactSum, Result, pool};
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{FixedPoint, exponents, largest, sizes};
use tilewise_tree::rounds::{Asked, Counted, Division, each_row_once};

/// What all requests of a fit have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) params: GradientBoosting,
    pub(super) seed: u64,
    pub(super) classes: Option<usize>,
}

impl Setup {
    pub(super) fn label(&self) -> Result<u64> {
        Ok(mixed(Philox::purpose("boosting in rounds"), &pool::to_bytes(self)?))
    }
}

/// Bytes in a number (FNV-1a, stirred at the end).
fn mixed(before: u64, bytes: &[u8]) -> u64 {
    let hash = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Philox::new(bytes.iter().fold(before, hash), Philox::purpose("label of steps")).bits(bytes.len() as u64)
}

/// The label of what a chunk remembers after a step.
pub(super) fn label_after(before: u64, step: &Step) -> Result<u64> {
    Ok(mixed(before, &pool::to_bytes(step)?))
}

/// Steps, and a question about where they lead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BoostingRequest {
    pub(super) setup: Setup,
    /// The label of the state that the steps start from; none for a replay, which starts from nothing.
    pub(super) before: Option<u64>,
    pub(super) after: u64,
    pub(super) steps: Vec<Step>,
    pub(super) ask: Ask,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Step {
    /// Scores of rows are these; weights are multiplied by those of classes.
    Start { base: Vec<f64>, balance: Option<Vec<f64>> },
    /// Nodes of the tree of a score are divided.
    Divide { score: u32, divisions: Vec<Division> },
    /// Leaves of the trees of a stage, one for each score, are added to scores.
    Add { leaves: Vec<Vec<(u32, f64)>> },
    /// Derivatives are rounded to these units for each score, and trees begin. `only` is the row that is drawn where none is.
    Round { units: Vec<[f64; 2]>, only: Option<u64> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Of rows as they are; sums of answers if weights need not be multiplied, or here by what.
    Begin(Option<Vec<f64>>),
    /// What was asked of any.
    Of { sizes: Option<Candidates>, nodes: Vec<Vec<Asked>>, loss: Option<LossOf> },
}

/// Of which rows the loss is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum LossOf {
    /// Those that are held out.
    HeldOut,
    /// These, and those that are learned from.
    Both,
}

/// The sum of a loss, of weights (none where all are 1), and how many rows there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LossSum {
    pub(super) sum: ExactSum,
    pub(super) weights: Option<ExactSum>,
    pub(super) rows: u64,
}

impl LossSum {
    /// That of these rows at scores; `None` where a loss is no sum.
    pub(super) fn of(truth: &Truth<'_>, scores: &[f64], objective: &dyn Objective) -> Option<Box<Self>> {
        let sum = objective.loss_sum(truth, scores)?;
        Some(Box::new(Self { sum, weights: objective.loss_weight(truth), rows: truth.y.len() as u64 }))
    }

    fn merge(self, other: Self) -> Self {
        Self {
            sum: self.sum.merge(other.sum),
            weights: self.weights.zip(other.weights).map(|(a, b)| a.merge(b)),
            rows: self.rows.saturating_add(other.rows),
        }
    }

    /// The mean.
    pub(super) fn mean(&self) -> f64 {
        self.sum.value() / self.weights.as_ref().map_or(self.rows as f64, ExactSum::value)
    }
}

/// At which exponents sums of sizes are wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Candidates {
    /// Those of the chunk and a few above, as its largest may not be the largest of all.
    Own,
    /// These, for each score, and one more and less.
    Around(Vec<[i32; 2]>),
    At(Vec<[i32; 2]>),
}

/// Exponents above the chunk's own: 2^5 times its largest size.
const ABOVE: i32 = 5;

/// What a chunk answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BoostingPartial(pub(super) Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Begun(Box<Begun>),
    Of(Answers),
    Missed,
    Failed(String),
}

/// What was asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Answers {
    /// For each score.
    pub(super) sizes: Vec<SizesOf>,
    pub(super) nodes: Vec<Vec<(Counted, Extra)>>,
    pub(super) loss: Option<Box<LossSum>>,
    pub(super) held_out: Option<Box<LossSum>>,
}

/// What leaves need of a node, besides what is counted of any tree.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Extra {
    /// Of derivatives, in fine steps.
    pub(super) sums: [i64; 2],
    pub(super) weight: f64,
}

/// Sizes of the derivatives of a score.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SizesOf {
    largest: [f32; 2],
    /// Sums by exponents, of gradients and of hessians.
    sums: [Vec<(i32, i64)>; 2],
}

impl SizesOf {
    pub(super) fn new(derivatives: &[Derivatives], candidates: &Candidates, score: usize) -> Self {
        let largest = largest(derivatives);
        let own = exponents(largest);
        let of = |all: &[[i32; 2]]| all.get(score).copied().unwrap_or(own);
        let (from, offsets) = match candidates {
            Candidates::Own => (own, 0..=ABOVE),
            Candidates::Around(all) => (of(all), -1..=1),
            Candidates::At(all) => (of(all), 0..=0),
        };
        let mut sums = [Vec::new(), Vec::new()];
        for offset in offsets {
            let at = from.map(|exponent| exponent + offset);
            let sizes = sizes(derivatives, at);
            sums.iter_mut().zip(at).zip(sizes).for_each(|((sums, at), size)| sums.push((at, size)));
        }
        Self { largest, sums }
    }

    pub(super) fn exponents(&self) -> [i32; 2] {
        exponents(self.largest)
    }

    pub(super) fn merge_with(mut self, other: Self) -> Self {
        for which in 0..2 {
            let (ours, theirs) = (&mut self.sums[which], &other.sums[which]);
            // Without sizes sums are 0 at all exponents.
            if other.largest[which] == 0.0 {
                continue;
            }
            if self.largest[which] == 0.0 {
                *ours = theirs.clone();
            } else {
                ours.retain_mut(|(at, sum)| {
                    let same = theirs.iter().find(|(exponent, _)| exponent == at);
                    same.is_some_and(|(_, more)| {
                        *sum = sum.saturating_add(*more);
                        true
                    })
                });
            }
            self.largest[which] = self.largest[which].max(other.largest[which]);
        }
        self
    }

    /// The units of so many rows; `None` where no sum was made at the exponents of all.
    pub(super) fn units(&self, rows: usize) -> Option<Result<FixedPoint>> {
        let exponents = self.exponents();
        let sum = |which: usize| {
            let nothing = self.largest[which] == 0.0;
            let sum = self.sums[which].iter().find(|(at, _)| *at == exponents[which]).map(|(_, sum)| *sum);
            if nothing { Some(0) } else { sum }
        };
        let sums = [sum(0)?, sum(1)?];
        Some(FixedPoint::of(rows, self.largest, sums).map_err(Error::from))
    }
}

/// What is known of rows before the first stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Which rows chunks have: the first and how many.
    pub(super) places: Vec<(u64, u64)>,
    pub(super) features: usize,
    pub(super) first_counted: Option<u64>,
    pub(super) classes: Option<usize>,
    /// The weights of classes, where they may have to be balanced.
    pub(super) of_classes: Vec<f64>,
    /// The sum of weights; none where all are 1.
    pub(super) weights: Option<ExactSum>,
    /// Of answers, as the loss needs them.
    pub(super) sums: Vec<ExactSum>,
    /// Rows by which it is seen whether the loss accepts all answers and weights.
    pub(super) witnesses: Vec<Witness>,
    /// Of them those that are learned from.
    pub(super) learned: Vec<Witness>,
    /// Rows that are held out, and others that have a weight.
    pub(super) held_out: [u64; 2],
    pub(super) fingerprint: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Witness {
    pub(super) row: u64,
    pub(super) y: f64,
    pub(super) weight: f64,
}

/// Of some rows with a weight those that decide whether a loss accepts all: the least and the largest answer, the first that is no number or
/// not whole, the largest weight and the largest product of both.
pub(super) fn witnesses(rows: impl Iterator<Item = Witness>) -> Vec<Witness> {
    let mut found: [Option<(f64, Witness)>; 5] = [None; 5];
    for row in rows {
        let wrong = if row.y.is_nan() { 2.0 } else { f64::from(u8::from(row.y.fract() != 0.0)) };
        let keys = [-row.y, row.y, wrong, row.weight, row.y.abs() * row.weight];
        for (found, key) in found.iter_mut().zip(keys) {
            if !key.is_nan() && found.is_none_or(|(most, _)| key > most) {
                *found = Some((key, row));
            }
        }
    }
    found.into_iter().flatten().map(|(_, row)| row).collect()
}

impl Begun {
    fn merge(mut self, other: Self) -> std::result::Result<Self, String> {
        if (self.features, self.classes) != (other.features, other.classes) {
            return Err("chunks have other columns or other classes than each other".into());
        }
        if self.sums.len() != other.sums.len() || self.of_classes.len() != other.of_classes.len() {
            return Err("chunks answered different requests".into());
        }
        self.places.extend(other.places);
        self.first_counted = self.first_counted.into_iter().chain(other.first_counted).min();
        self.of_classes.iter_mut().zip(&other.of_classes).for_each(|(sum, more)| *sum += more);
        self.weights = match (self.weights, other.weights) {
            (Some(a), Some(b)) => Some(a.merge(b)),
            (None, None) => None,
            _ => return Err("some rows have weights and others do not".into()),
        };
        self.sums = self.sums.into_iter().zip(other.sums).map(|(a, b)| a.merge(b)).collect();
        self.witnesses = witnesses(self.witnesses.into_iter().chain(other.witnesses));
        self.learned = witnesses(self.learned.into_iter().chain(other.learned));
        self.held_out = [0, 1].map(|i| self.held_out[i].saturating_add(other.held_out[i]));
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
        Ok(self)
    }

    /// The weight of all rows.
    pub(super) fn total(&self, rows: usize) -> f64 {
        self.weights.as_ref().map_or(rows as f64, ExactSum::value)
    }

    /// That chunks have all rows once, and what the trainer was told of.
    pub(super) fn check(&self, rows: u64, setup: &Setup) -> Result<()> {
        let mut places = self.places.clone();
        places.sort_unstable();
        each_row_once(places.into_iter(), rows)?;
        if setup.params.early_stopping.is_some() {
            let [held_out, learned] = self.held_out;
            check_counts(held_out, learned)?;
        }
        if self.classes != setup.classes {
            let named = |classes: Option<usize>| classes.map_or("numbers".into(), |n| format!("{n} classes"));
            let (theirs, ours) = (named(self.classes), named(setup.classes));
            return Err(Error::Fit(format!(
                "chunks have answers that are {theirs}; {ours} are to be learned"
            )));
        }
        Ok(())
    }

    /// That the loss accepts all answers.
    pub(super) fn check_answers(&self, objective: &dyn Objective) -> Result<()> {
        // What is held out must be in the domain, but need not be enough to learn from.
        check(&self.witnesses, objective)?;
        check(&self.learned, objective)
    }
}

fn check(witnesses: &[Witness], objective: &dyn Objective) -> Result<()> {
    let y: Vec<f64> = witnesses.iter().map(|row| row.y).collect();
    let weights: Vec<f64> = witnesses.iter().map(|row| row.weight).collect();
    // That chunks have whole queries they tell themselves.
    let each: Vec<_> = (0..y.len()).map(|row| row..row + 1).collect();
    let truth = Truth { y: &y, weights: Some(&weights), groups: Some(&each), events: None };
    objective.check(&truth).map_err(|e| match e {
        Error::Cell { row, column, what } => {
            let row = witnesses.get(row).map_or(row, |witness| witness.row as usize);
            Error::Cell { row, column, what }
        }
        other => other,
    })
}

impl Answer {
    pub(super) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed(e), _) | (_, Self::Failed(e)) => Self::Failed(e),
            (Self::Missed, _) | (_, Self::Missed) => Self::Missed,
            (Self::Begun(a), Self::Begun(b)) => {
                a.merge(*b).map_or_else(Self::Failed, |all| Self::Begun(Box::new(all)))
            }
            (Self::Of(a), Self::Of(b)) => a.merge(b).map_or_else(|e| Self::Failed(e.to_string()), Self::Of),
            _ => Self::Failed("chunks answered different requests".into()),
        }
    }
}

impl Answers {
    fn merge(mut self, other: Self) -> Result<Self> {
        let lengths = |answers: &Self| -> Vec<usize> { answers.nodes.iter().map(Vec::len).collect() };
        let fit = self.sizes.len() == other.sizes.len() && lengths(&self) == lengths(&other);
        let losses = |answers: &Self| (answers.loss.is_some(), answers.held_out.is_some());
        if !fit || losses(&self) != losses(&other) {
            return Err(Error::Fit("chunks answered different requests".into()));
        }
        self.sizes = self.sizes.into_iter().zip(other.sizes).map(|(a, b)| a.merge_with(b)).collect();
        for ((counted, extra), (c, e)) in
            self.nodes.iter_mut().flatten().zip(other.nodes.into_iter().flatten())
        {
            counted.add(c)?;
            extra.sums = [extra.sums[0].saturating_add(e.sums[0]), extra.sums[1].saturating_add(e.sums[1])];
            extra.weight += e.weight;
        }
        let merge = |(a, b): (Box<LossSum>, Box<LossSum>)| Box::new(a.merge(*b));
        self.loss = self.loss.zip(other.loss).map(merge);
        self.held_out = self.held_out.zip(other.held_out).map(merge);
        Ok(self)
    }
}
