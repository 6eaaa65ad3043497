//! A whole pipeline as rounds: the encoder is learned, then the solver, of a table that lies in pieces.
//!
//! 1. [`encoder::rounds`] takes two; with its first the target is looked at.
//! 2. Every piece writes its design matrix beside its rows, once, when it first hears of the encoder; then the rounds are those of
//!    the solver. A request holds the encoder, so that a worker that starts later, or elsewhere, has all it needs.
//!
//! The model is that of [`Pipeline::fit`] up to the rounding of sums; of one piece its bits. Rows are dense here, however long categories
//! are: where `Pipeline::fit` keeps them sparse, both agree within the tolerances of fits (coefficients within 1e-6).

use super::columns::categories;
use super::{Estimator, Pipeline, columns};
use crate::rows::Chunk;
use crate::{Rows, generalised, huber, least_squares, logistic, stages};
use generalised::GeneralisedTrainer;
use huber::HuberTrainer;
use least_squares::LeastSquaresTrainer;
use logistic::LogisticTrainer;
use serde::{Deserialize, Serialize};
use std::io::Write;
use tilewise_base::encoder::rounds::{EncoderTrainer, TableRows};
use tilewise_base::encoder::{self, Encoder, Options};
use tilewise_base::part::{self, Number, Part};
use tilewise_base::rounds::Finishes;
use tilewise_base::target::SeenTarget;
use tilewise_base::{Dataset, Error, Fit, FitReport, Mapped, Model, Result, Roles, StoredTable, Task, roles};
use tilewise_base::{Rounds, rounds};
use tilewise_kernels::MatRef;

use super::target::Answers;
use crate::LinearModel;

/// How the head of a part that holds a design matrix calls it.
const KIND: &str = "dense rows";

/// What pieces are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request(Ask);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    /// What the encoder asks, and with its first round what there is to predict.
    Encoder { roles: Roles, ask: encoder::rounds::Request, target: Option<Answers> },
    /// What the solver asks of encoded rows.
    Solver { encoding: Vec<u8>, ask: Solving },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Solving {
    LeastSquares(least_squares::Request),
    Logistic(logistic::Request),
    Generalised(generalised::Request),
    Huber(huber::Request),
}

/// What a piece answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial(Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Encoder(encoder::rounds::Partial, Option<SeenTarget>),
    LeastSquares(least_squares::Partial),
    /// Of the others: all are sums of one kind.
    Staged(stages::Partial),
    Failed(String),
}

/// How rows become features and targets. As JSON in requests: the form in which an encoder is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Encoding {
    roles: Roles,
    encoder: Encoder,
    answers: Answers,
    /// In the order of class numbers; empty where numbers are learned.
    classes: Vec<String>,
}

enum Solver {
    LeastSquares(LeastSquaresTrainer<f64>),
    Logistic(LogisticTrainer<f64>),
    Generalised(GeneralisedTrainer<f64>),
    Huber(HuberTrainer<f64>),
}

enum Stage {
    Encoder(EncoderTrainer, Option<SeenTarget>),
    /// `answered` tells whether the solver has heard of rows.
    Solver {
        encoding: Box<Encoding>,
        bytes: Vec<u8>,
        solver: Box<Solver>,
        answered: bool,
    },
    Failed,
}

/// A pipeline in the making.
pub struct PipelineTrainer {
    kind: String,
    estimator: Estimator,
    roles: Roles,
    stage: Stage,
}

impl PipelineTrainer {
    /// Fits `estimator` to the encoded columns `inputs`; `kind` is the family's name that the file will tell.
    ///
    /// # Errors
    /// When the estimator is not fitted by sums over all rows: coordinate and gradient descent are not.
    pub fn new(
        kind: &str,
        estimator: &Estimator,
        options: Options,
        inputs: Vec<String>,
        roles: &Roles,
    ) -> Result<Self> {
        roles.needed_target()?;
        Answers::of(estimator)?;
        let stage = Stage::Encoder(EncoderTrainer::new(inputs, options), None);
        Ok(Self { kind: kind.to_owned(), estimator: estimator.clone(), roles: roles.clone(), stage })
    }

    /// The solver for what the first rounds have found.
    fn solver(&mut self, encoder: Encoder, seen: &SeenTarget) -> Result<Stage> {
        let (target, answers) = (self.roles.needed_target()?, Answers::of(&self.estimator)?);
        seen.check(target, self.roles.weight.as_deref())?;
        if encoder.width() == 0 {
            return Err(Error::Fit("the inputs have no column with a value".into()));
        }
        if let Some(bounded) = columns::bounded(&self.estimator, &encoder)? {
            self.estimator = bounded;
        }
        let width = encoder.width();
        let solver = match &self.estimator {
            Estimator::LeastSquares(params) => {
                let trainer = params.trainer(width, seen.rows())?.categories(categories(&encoder))?;
                Solver::LeastSquares(trainer)
            }
            Estimator::Logistic(params) => {
                Solver::Logistic(params.trainer(width, seen.classes().map_or(0, <[String]>::len))?)
            }
            Estimator::Generalised(params) => Solver::Generalised(params.trainer(width)?),
            Estimator::Huber(params) => Solver::Huber(params.trainer(width)?),
            Estimator::Bounded { .. }
            | Estimator::ElasticNet { .. }
            | Estimator::GroupLasso { .. }
            | Estimator::Quantile(_)
            | Estimator::Stochastic { .. }
            | Estimator::Searched { .. }
            | Estimator::GradientDescent(_) => {
                return Err(not_a_sum());
            }
        };
        let classes = seen.classes().unwrap_or_default().to_vec();
        let encoding = Box::new(Encoding { roles: self.roles.clone(), encoder, answers, classes });
        let bytes = serde_json::to_vec(&encoding).map_err(unwritable)?;
        Ok(Stage::Solver { encoding, bytes, solver: Box::new(solver), answered: false })
    }

    /// The fitted pipeline.
    ///
    /// # Errors
    /// When it was stopped before it had a solution.
    pub fn finish(self) -> Result<Pipeline> {
        let Stage::Solver { encoding, solver, .. } = self.stage else { return Err(Error::Cancelled) };
        let mut residuals = None;
        let Fit { model, report } = match *solver {
            Solver::Huber(trainer) => {
                let (fit, told) = trainer.finish()?;
                residuals = Some(told);
                fit
            }
            Solver::LeastSquares(trainer) => trainer.finish()?,
            Solver::Logistic(trainer) => trainer.finish()?,
            Solver::Generalised(trainer) => trainer.finish()?,
        };
        let Encoding { roles, encoder, classes, .. } = *encoding;
        let task = if classes.is_empty() { Task::Regression } else { Task::Classification { classes } };
        let fitted = Pipeline::assembled(&self.kind, self.estimator, encoder, (model, report), &roles, task)?;
        Ok(Pipeline { residuals, ..fitted })
    }
}

impl Pipeline {
    /// A pipeline of fitted parts.
    pub(super) fn assembled(
        kind: &str,
        estimator: Estimator,
        encoder: Encoder,
        (model, mut report): (LinearModel, FitReport),
        roles: &Roles,
        task: Task,
    ) -> Result<Self> {
        report.warnings.splice(0..0, encoder.warnings());
        let (kind, target) = (kind.to_owned(), roles.target_name().to_owned());
        let (offset, inference, residuals) = (roles.offset.clone(), None, None);
        Ok(Self { kind, estimator, encoder, model, target, offset, task, report, inference, residuals })
    }
}

pub(super) fn not_a_sum() -> Error {
    Error::Fit(
        "coordinate descent, gradient descent, quantiles and alpha=cv need all rows in one memory; least squares, ridge, logistic, Huber's, \
         Poisson, gamma and Tweedie regression are fitted to a table in pieces"
            .into(),
    )
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::Fit(format!("a request could not be passed on: {e}"))
}

impl Rounds for PipelineTrainer {
    type Chunk<'a> = &'a StoredTable;
    type Request = Request;
    type Partial = Partial;

    fn request(&self) -> Option<Request> {
        Some(Request(match &self.stage {
            Stage::Encoder(trainer, seen) => {
                let target = if seen.is_none() { Answers::of(&self.estimator).ok() } else { None };
                Ask::Encoder { roles: self.roles.clone(), ask: trainer.request()?, target }
            }
            Stage::Solver { bytes, solver, .. } => {
                let ask = match &**solver {
                    Solver::LeastSquares(trainer) => Solving::LeastSquares(trainer.request()?),
                    Solver::Logistic(trainer) => Solving::Logistic(trainer.request()?),
                    Solver::Generalised(trainer) => Solving::Generalised(trainer.request()?),
                    Solver::Huber(trainer) => Solving::Huber(trainer.request()?),
                };
                Ask::Solver { encoding: bytes.clone(), ask }
            }
            Stage::Failed => return None,
        }))
    }

    fn partial(request: &Request, chunk: &&StoredTable) -> Result<Partial> {
        match &request.0 {
            Ask::Encoder { roles, ask, target } => {
                let dataset = chunk.dataset()?;
                let weights = roles.weights_of_piece(&dataset)?;
                let seen = match target {
                    Some(answers) => {
                        // Checked here, where a row has its number.
                        roles.offsets(&dataset)?;
                        let name = roles.needed_target()?;
                        Some(answers.seen(&dataset, name, weights.as_deref())?)
                    }
                    None => None,
                };
                let rows = TableRows { dataset: &dataset, weights: weights.as_deref() };
                Ok(Partial(Answer::Encoder(EncoderTrainer::partial(ask, &rows)?, seen)))
            }
            Ask::Solver { encoding, ask } => {
                let name = xxhash_rust::xxh3::xxh3_128(encoding);
                let part = chunk.derived(name, |dataset, to| encode(dataset, encoding, to))?;
                let design = Design::new(&part)?;
                Ok(Partial(match ask {
                    Solving::LeastSquares(ask) => {
                        let chunk = design.chunk(design.numbers()?)?;
                        Answer::LeastSquares(LeastSquaresTrainer::partial(ask, &chunk)?)
                    }
                    Solving::Generalised(ask) => {
                        let chunk = design.chunk(design.numbers()?)?;
                        Answer::Staged(GeneralisedTrainer::partial(ask, &chunk)?)
                    }
                    Solving::Huber(ask) => {
                        let chunk = design.chunk(design.numbers()?)?;
                        Answer::Staged(HuberTrainer::partial(ask, &chunk)?)
                    }
                    Solving::Logistic(ask) => {
                        let classes = part.numbers::<u32>("class")?;
                        Answer::Staged(LogisticTrainer::partial(ask, &design.chunk(&classes)?)?)
                    }
                }))
            }
        }
    }

    fn merge(left: Partial, right: Partial) -> Partial {
        Partial(match (left.0, right.0) {
            (Answer::Encoder(a, seen), Answer::Encoder(b, more)) => {
                let seen = match (seen, more) {
                    (Some(a), Some(b)) => Some(a.merge(b)),
                    (a, b) => a.or(b),
                };
                Answer::Encoder(EncoderTrainer::merge(a, b), seen)
            }
            (Answer::LeastSquares(a), Answer::LeastSquares(b)) => {
                Answer::LeastSquares(LeastSquaresTrainer::<f64>::merge(a, b))
            }
            (Answer::Staged(a), Answer::Staged(b)) => Answer::Staged(a.merge(b)),
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            _ => Answer::Failed("pieces of the table answered different requests".into()),
        })
    }

    fn advance(&mut self, partial: Partial) -> Result<()> {
        match (partial.0, std::mem::replace(&mut self.stage, Stage::Failed)) {
            (Answer::Encoder(partial, found), Stage::Encoder(mut trainer, seen)) => {
                // What is wrong with the target comes first, as it does in memory.
                let seen = seen.or(found);
                if let Some(seen) = &seen {
                    seen.check(self.roles.needed_target()?, self.roles.weight.as_deref())?;
                }
                trainer.advance(partial)?;
                self.stage = match (trainer.request(), seen) {
                    (None, Some(seen)) => self.solver(trainer.finish()?, &seen)?,
                    (_, seen) => Stage::Encoder(trainer, seen),
                };
            }
            (answer, Stage::Solver { encoding, bytes, mut solver, .. }) => {
                match (&mut *solver, answer) {
                    (Solver::LeastSquares(trainer), Answer::LeastSquares(partial)) => {
                        trainer.advance(partial)?
                    }
                    (Solver::Logistic(trainer), Answer::Staged(partial)) => trainer.advance(partial)?,
                    (Solver::Generalised(trainer), Answer::Staged(partial)) => trainer.advance(partial)?,
                    (Solver::Huber(trainer), Answer::Staged(partial)) => trainer.advance(partial)?,
                    (_, Answer::Failed(e)) => return Err(Error::Fit(e)),
                    _ => return Err(Error::Fit("an answer came that was not asked for".into())),
                }
                self.stage = Stage::Solver { encoding, bytes, solver, answered: true };
            }
            (Answer::Failed(e), _) => return Err(Error::Fit(e)),
            _ => return Err(Error::Fit("an answer came that was not asked for".into())),
        }
        Ok(())
    }

    fn note(&self) -> String {
        match &self.stage {
            Stage::Encoder(trainer, _) => trainer.note(),
            Stage::Solver { answered: false, .. } => "deviations".into(),
            Stage::Solver { solver, .. } => match &**solver {
                Solver::LeastSquares(trainer) => trainer.note(),
                Solver::Logistic(trainer) => trainer.note(),
                Solver::Generalised(trainer) => trainer.note(),
                Solver::Huber(trainer) => trainer.note(),
            },
            Stage::Failed => "failed".into(),
        }
    }

    fn at_most(&self) -> u64 {
        // Two for the encoder.
        match &self.stage {
            Stage::Solver { solver, .. } => match &**solver {
                Solver::LeastSquares(trainer) => 2 + trainer.at_most(),
                Solver::Logistic(trainer) => trainer.at_most().saturating_add(2),
                Solver::Generalised(trainer) => trainer.at_most().saturating_add(2),
                Solver::Huber(trainer) => trainer.at_most().saturating_add(2),
            },
            // Not known before there is a solver.
            Stage::Encoder(..) | Stage::Failed => 0,
        }
    }
}

impl Finishes for PipelineTrainer {
    fn model(self) -> Result<Box<dyn Model>> {
        Ok(Box::new(self.finish()?))
    }
}

/// A piece's answer to a request of [`InBytes::request`](tilewise_base::InBytes::request).
///
/// # Errors
/// When the request is not one, or a row is not what it should be.
pub fn partial(request: &[u8], table: &StoredTable) -> Result<Vec<u8>> {
    rounds::partial_bytes::<PipelineTrainer>(request, &table)
}

/// Writes the design matrix of rows, their targets, weights and offsets.
fn encode(dataset: &Dataset, encoding: &[u8], mut to: &mut dyn Write) -> Result<()> {
    let encoding: Encoding = serde_json::from_slice(encoding).map_err(unwritable)?;
    let Encoding { roles, encoder, answers, classes } = encoding;
    let target = roles.needed_target()?;
    let design = encoder.encode(dataset)?;
    let (weights, offset) = (roles.weights_of_piece(dataset)?, roles.offsets(dataset)?);
    let (numbers, codes);
    let mut sections = vec![("x", f64::lying(&design))];
    match answers {
        Answers::Classes => {
            codes = roles::codes(dataset, target, &classes)?;
            sections.push(("class", u32::lying(&codes)));
        }
        Answers::Numbers | Answers::Positive(_) => {
            numbers = roles::numbers(dataset, target)?;
            sections.push(("y", f64::lying(&numbers)));
        }
    }
    sections.extend(weights.as_ref().map(|w| ("weight", f64::lying(w))));
    sections.extend(offset.as_ref().map(|o| ("offset", f64::lying(o))));
    let sections: Vec<(&str, &[u8])> = sections.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
    part::write(&mut to, KIND, &(dataset.rows() as u64, encoder.width() as u64), &sections)
}

/// Encoded rows, where they lie.
struct Design {
    rows: usize,
    width: usize,
    x: Mapped,
    y: Option<Mapped>,
    weight: Option<Mapped>,
    offset: Option<Mapped>,
}

impl Design {
    fn new(part: &Part) -> Result<Self> {
        let (rows, width): (u64, u64) = part.header(KIND)?;
        let maybe = |name| if part.has(name) { part.section(name).map(Some) } else { Ok(None) };
        let (rows, width) = (rows as usize, width as usize);
        let (x, y, weight, offset) = (part.section("x")?, maybe("y")?, maybe("weight")?, maybe("offset")?);
        Ok(Self { rows, width, x, y, weight, offset })
    }

    fn numbers(&self) -> Result<&[f64]> {
        self.y.as_ref().map_or_else(|| Err(unaligned()), doubles)
    }

    fn chunk<'a, Y>(&'a self, y: &'a [Y]) -> Result<Chunk<'a, f64, Y>> {
        let x = MatRef::new(doubles(&self.x)?, self.rows, self.width)?;
        let weights = self.weight.as_ref().map(doubles).transpose()?;
        let offset = self.offset.as_ref().map(doubles).transpose()?;
        Ok(Chunk { x, y, rows: Rows { weights, offset }, first_row: 0 })
    }
}

fn doubles(bytes: &Mapped) -> Result<&[f64]> {
    bytes.as_numbers().ok_or_else(unaligned)
}

fn unaligned() -> Error {
    Error::Fit("a part file has no numbers that can be read where they lie, as on a machine that keeps them the other way round".into())
}
