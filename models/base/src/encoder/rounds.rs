//! Learning an encoder as rounds: of a table that lies in pieces on several machines, and of a whole one in memory.
//!
//! 1. Every piece tells the kind of each input, the sums of a number and the dictionary of a category. Dictionaries merge to
//!    the sorted union, so codes do not depend on the pieces.
//! 2. Every piece tells the squares of numbers around the mean of all. Where numbers stay as they are and none may be missing, nobody
//!    needs it.
//!
//! One piece gives the bits of [`Encoder::fit`], which is this; several give them up to the rounding of sums.

use super::moments::{Moments, Sums, check, sums};
use super::{Encoder, Options, Step, Stored};
use crate::{Dataset, Error, Field, Kind, Result, Rounds};
use serde::{Deserialize, Serialize};
use tilewise_kernels::{parallel, same};

/// A piece of the table.
#[derive(Clone, Copy)]
pub struct TableRows<'a> {
    /// Its columns; pieces may differ in their dictionaries.
    pub dataset: &'a Dataset,
    /// How often each row counts: finite and not negative. None means once.
    pub weights: Option<&'a [f64]>,
}

/// What is asked of pieces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request(Ask);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    /// Kinds, dictionaries, and of numbers with `moments` sums, else only whether they are accepted.
    Look { inputs: Vec<String>, impute: bool, moments: bool },
    /// Sums around these centres of inputs that are numbers.
    Around(Vec<(String, f64)>),
}

/// What a piece answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial(Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Look(Vec<Found>),
    Around(Vec<Sums>),
    Failed(String),
}

/// What a piece has of an input.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Found {
    Number { boolean: bool, sums: Sums },
    Category(Vec<String>),
}

impl Found {
    fn kind(&self) -> Kind {
        match self {
            Self::Number { boolean: false, .. } => Kind::Numeric,
            Self::Number { boolean: true, .. } => Kind::Boolean,
            Self::Category(dictionary) => Kind::Categorical { dictionary: dictionary.clone() },
        }
    }

    fn merge(self, other: Self) -> Result<Self, String> {
        Ok(match (self, other) {
            (Self::Category(a), Self::Category(b)) => Self::Category(union(a, b)),
            (Self::Number { boolean, sums }, Self::Number { boolean: too, sums: more }) if boolean == too => {
                Self::Number { boolean, sums: sums.merge(more) }
            }
            (a, b) => {
                return Err(format!(
                    "is {} in one piece of the table and {} in another",
                    a.kind().name(),
                    b.kind().name()
                ));
            }
        })
    }
}

/// The values of both dictionaries, sorted by bytes.
pub fn union(mut a: Vec<String>, b: Vec<String>) -> Vec<String> {
    if a != b {
        a.extend(b);
        a.sort_unstable();
        a.dedup();
    }
    a
}

enum Stage {
    Look,
    Around(Vec<Found>),
    Done(Encoder),
}

/// An encoder in the making.
pub struct EncoderTrainer {
    inputs: Vec<String>,
    options: Options,
    stage: Stage,
}

impl EncoderTrainer {
    /// Learns of the columns `inputs`.
    pub fn new(inputs: Vec<String>, options: Options) -> Self {
        Self { inputs, options, stage: Stage::Look }
    }

    /// The encoder.
    ///
    /// # Errors
    /// When not all rounds were done.
    pub fn finish(self) -> Result<Encoder> {
        match self.stage {
            Stage::Done(encoder) => Ok(encoder),
            Stage::Look | Stage::Around(_) => Err(Error::Cancelled),
        }
    }

    /// The encoder, by what all pieces have of each input.
    fn encoder(&self, found: Vec<Found>, around: Vec<Sums>) -> Result<Encoder> {
        let mut around = around.into_iter();
        let (mut steps, mut fields) = (Vec::new(), Vec::new());
        for (name, found) in self.inputs.iter().zip(found) {
            let (step, kind) = self.step(name, found, &mut around)?;
            steps.push(step);
            fields.push(Field { name: name.clone(), kind });
        }
        let Options { impute, standardise, .. } = self.options;
        Encoder::try_from(Stored { inputs: fields, steps, impute, standardise }).map_err(Error::Fit)
    }

    /// Step and kind of an input, by what all pieces have of it.
    fn step(
        &self,
        name: &str,
        found: Found,
        around: &mut impl Iterator<Item = Sums>,
    ) -> Result<(Step, Kind)> {
        let kind = found.kind();
        let step = match found {
            Found::Category(dictionary) => {
                let levels = dictionary.len();
                match self.options.numbered {
                    Some(least) if levels >= least.max(1) => Step::Code { levels },
                    _ => Step::OneHot { levels },
                }
            }
            Found::Number { sums, .. } if !self.options.moments() => {
                Step::Number { missing: 0.0, mean: 0.0, scale: 1.0, seen: sums.seen() }
            }
            Found::Number { sums: first, .. } => {
                let second = around.next().ok_or_else(|| unexpected("too few sums"))?;
                let m = Moments::new(name, &first, &second)?;
                let (mean, scale) = if self.options.standardise { (m.mean, m.scale) } else { (0.0, 1.0) };
                Step::Number { missing: m.mean, mean, scale, seen: m.seen }
            }
        };
        Ok((step, kind))
    }
}

/// Whether these inputs lie row by row, and are finite all through.
fn finite_rows(dataset: &Dataset, inputs: &[String]) -> bool {
    dataset.rows_of(inputs).is_some_and(|rows| rows.unusual().none())
}

/// Columns at the same time; of errors the first.
fn of_each<A: Sync, B: Send>(items: &[A], f: impl Fn(&A) -> Result<B> + Sync) -> Result<Vec<B>> {
    parallel::map(items.len(), |i| f(&items[i])).into_iter().collect()
}

fn unexpected(what: &str) -> Error {
    Error::Fit(format!("a piece of the table answered what was not asked: {what}"))
}

impl Rounds for EncoderTrainer {
    type Chunk<'a> = TableRows<'a>;
    type Request = Request;
    type Partial = Partial;

    fn request(&self) -> Option<Request> {
        match &self.stage {
            Stage::Look => {
                let Options { impute, .. } = self.options;
                let moments = self.options.moments();
                Some(Request(Ask::Look { inputs: self.inputs.clone(), impute, moments }))
            }
            Stage::Around(found) => {
                let centre = |(name, found): (&String, &Found)| match found {
                    Found::Number { sums, .. } => Some((name.clone(), sums.centre())),
                    Found::Category(_) => None,
                };
                Some(Request(Ask::Around(self.inputs.iter().zip(found).filter_map(centre).collect())))
            }
            Stage::Done(_) => None,
        }
    }

    fn partial(request: &Request, chunk: &TableRows<'_>) -> Result<Partial> {
        let TableRows { dataset, weights } = *chunk;
        if let Some(weights) = weights {
            same("weights", dataset.rows(), weights.len())?;
        }
        Ok(Partial(match &request.0 {
            Ask::Look { inputs, moments: false, .. } if finite_rows(dataset, inputs) => {
                let found = Found::Number { boolean: false, sums: Sums::counted(dataset.rows(), weights) };
                Answer::Look(vec![found; inputs.len()])
            }
            Ask::Look { inputs, impute, moments } => {
                // Once, before threads that each need one would make them all.
                dataset.columns();
                let look = |name: &String| {
                    let column = dataset.column(name)?;
                    Ok(match column.kind() {
                        Kind::Categorical { dictionary } => Found::Category(dictionary),
                        kind => {
                            let sums = if *moments {
                                sums(column, weights, 0.0)
                            } else {
                                Sums::counted(column.len(), weights)
                            };
                            if weights.is_some() || !*moments || !sums.all_accepted(column.len(), *impute) {
                                check(name, column, *impute)?;
                            }
                            Found::Number { boolean: kind == Kind::Boolean, sums }
                        }
                    })
                };
                Answer::Look(of_each(inputs, look)?)
            }
            Ask::Around(centres) => {
                let around =
                    |(name, centre): &(String, f64)| Ok(sums(dataset.column(name)?, weights, *centre));
                Answer::Around(of_each(centres, around)?)
            }
        }))
    }

    fn merge(left: Partial, right: Partial) -> Partial {
        Partial(match (left.0, right.0) {
            (Answer::Look(a), Answer::Look(b)) if a.len() == b.len() => {
                let merged = a.into_iter().zip(b).enumerate();
                let merged = merged.map(|(j, (a, b))| a.merge(b).map_err(|e| format!("input {j} {e}")));
                merged.collect::<Result<_, _>>().map_or_else(Answer::Failed, Answer::Look)
            }
            (Answer::Around(a), Answer::Around(b)) if a.len() == b.len() => {
                Answer::Around(a.into_iter().zip(b).map(|(a, b)| a.merge(b)).collect())
            }
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            _ => Answer::Failed("pieces of the table answered different requests".into()),
        })
    }

    fn advance(&mut self, partial: Partial) -> Result<()> {
        match (partial.0, std::mem::replace(&mut self.stage, Stage::Look)) {
            (Answer::Look(found), Stage::Look) if found.len() == self.inputs.len() => {
                let weightless =
                    |found: &Found| matches!(found, Found::Number { sums, .. } if !sums.has_weight());
                if found.iter().any(weightless) {
                    return Err(Error::Fit("no row has a positive weight".into()));
                }
                self.stage = if self.options.moments() {
                    Stage::Around(found)
                } else {
                    Stage::Done(self.encoder(found, Vec::new())?)
                };
                Ok(())
            }
            (Answer::Around(around), Stage::Around(found)) => {
                self.stage = Stage::Done(self.encoder(found, around)?);
                Ok(())
            }
            (Answer::Failed(e), _) => Err(Error::Fit(e)),
            _ => Err(unexpected("an answer of another round")),
        }
    }

    fn note(&self) -> String {
        match self.stage {
            Stage::Look | Stage::Around(_) => "means and dictionaries".into(),
            Stage::Done(_) => "deviations".into(),
        }
    }

    fn at_most(&self) -> u64 {
        2
    }
}
