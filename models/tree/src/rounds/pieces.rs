//! A whole pipeline as rounds: from the columns of a table that lies in pieces to a model, for whatever grows on binned columns.
//!
//! 1. Every piece tells how many rows it has, which kinds of columns, and what there is to predict.
//! 2. The rounds of [`BinningTrainer`].
//! 3. Those of the family's own trainer ([`Grows`]). What a piece needs for them is its *plan*: cuts, dictionaries, the number of its
//!    first row. It makes its bins by it once, and keeps them in memory with what it remembers of trees. A piece that has not heard
//!    of the plan (a process that started later, or elsewhere) *missed*, and the plan comes with the same question again.
//!
//! The model is that of all rows in one memory, in the order of the pieces, bit for bit: pieces know the number of their first row, or
//! it follows from the rows of those before.

use super::chunks::each_row_once;
use super::columns::{BinnedColumns, BinningPartial, BinningRequest, BinningTrainer, RawChunk};
use crate::MaxBins;
use crate::table::BinnedTable;
use crate::training::{Answers, without_values};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use tilewise_base::encoder::rounds::union;
use tilewise_base::rounds::{Finishes, partial_bytes};
use tilewise_base::target::SeenTarget;
use tilewise_base::{
    Column, Dataset, Error, Field, Kind, Model, Result, Roles, Rounds, StoredTable, Task, pool, roles,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A piece of a table, and its place among all.
#[derive(Clone, Copy)]
pub struct Piece<'a> {
    /// Its rows.
    pub table: &'a StoredTable,
    /// Pieces are in the order of these numbers, which need not follow each other.
    pub number: u64,
}

/// A piece whose columns are binned.
pub struct BinnedPiece {
    /// Its inputs.
    pub table: BinnedTable,
    /// What is to be learned of its rows.
    pub answers: Answers,
    /// Added to the first score, where there is such a column.
    pub offset: Option<Vec<f64>>,
    /// Queries, where rows are ranked.
    pub queries: Option<Queries>,
    /// Which rows are held out, where there is such a column.
    pub held_out: Option<Vec<bool>>,
    /// The number of its first row.
    pub first: u64,
}

/// Whole queries, one after another.
#[derive(Clone, Debug)]
pub struct Queries {
    /// The rows of each.
    pub rows: Vec<Range<usize>>,
    /// The number that the first has among all.
    pub first: u64,
}

/// What a model tells of its table.
#[derive(Clone, Debug)]
pub struct Described {
    /// With how many bins it was grown.
    pub max_bins: MaxBins,
    /// The inputs.
    pub inputs: Vec<Field>,
    /// Which columns played which part.
    pub roles: Roles,
    /// What is predicted.
    pub task: Task,
    /// What a person should know about the columns.
    pub warnings: Vec<String>,
}

/// What grows on binned columns: a family with its parameters.
pub trait Grows: Send + Sized {
    /// Its trainer, the same in every process.
    type Trainer: Rounds + Send;
    /// What a piece keeps between rounds.
    type Chunk: Send + Sync + 'static;

    /// Whether an offset column has a meaning.
    const OFFSETS: bool;

    /// Whether rows are ranked within queries, which the group column tells. A query is never in two pieces.
    fn ranks(&self) -> bool {
        false
    }

    /// A trainer for these columns, of so many classes, or numbers.
    ///
    /// # Errors
    /// When a parameter is not accepted.
    fn trainer(&self, columns: &BinnedColumns, classes: Option<usize>, seed: u64) -> Result<Self::Trainer>;

    /// What is kept of a piece.
    ///
    /// # Errors
    /// When its answers are not accepted.
    fn chunk(piece: BinnedPiece) -> Result<Self::Chunk>;

    /// The answer of a piece to a request of the trainer.
    ///
    /// # Errors
    /// When it does not fit the request.
    fn partial(
        request: &<Self::Trainer as Rounds>::Request,
        chunk: &Self::Chunk,
    ) -> Result<<Self::Trainer as Rounds>::Partial>;

    /// The model.
    ///
    /// # Errors
    /// When the trainer was stopped before it had one.
    fn model(self, trainer: Self::Trainer, described: Described) -> Result<Box<dyn Model>>;
}

/// What pieces are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request<R>(Ask<R>);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask<R> {
    /// `ranks`: queries are looked at.
    Look {
        roles: Roles,
        inputs: Vec<String>,
        classify: Option<bool>,
        ranks: bool,
    },
    Bin {
        roles: Roles,
        inputs: Vec<String>,
        places: Places,
        ask: BinningRequest,
    },
    Grow {
        plan: u128,
        bytes: Option<Vec<u8>>,
        ask: R,
    },
}

/// What a piece answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial<P>(Answer<P>);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer<P> {
    Seen(Box<Seen>),
    Bins(BinningPartial),
    Grown(P),
    Missed,
    Failed(String),
}

/// The number of the first row of each piece.
type Places = BTreeMap<u64, u64>;

/// What pieces have.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    /// Of each piece its number, how many rows, and the number of the first where that is known.
    pieces: Vec<(u64, u64, Option<u64>)>,
    /// Of each piece its number and, where rows are ranked, a number for the name of each query.
    queries: Vec<(u64, Vec<u64>)>,
    inputs: Vec<Found>,
    /// Whether an input has no value in any row.
    empty: Vec<bool>,
    target: SeenTarget,
}

/// Of which kind a column is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Found {
    Numbers,
    Booleans,
    Categories(Vec<String>),
}

impl Found {
    fn kind(&self) -> Kind {
        match self {
            Self::Numbers => Kind::Numeric,
            Self::Booleans => Kind::Boolean,
            Self::Categories(dictionary) => Kind::Categorical { dictionary: dictionary.clone() },
        }
    }

    fn merge(self, other: Self) -> std::result::Result<Self, String> {
        match (self, other) {
            (Self::Categories(a), Self::Categories(b)) => Ok(Self::Categories(union(a, b))),
            (a, b) if a == b => Ok(a),
            (a, b) => {
                let (a, b) = (a.kind(), b.kind());
                Err(format!("is {} in one piece of the table and {} in another", a.name(), b.name()))
            }
        }
    }
}

impl Seen {
    fn of(
        dataset: &Dataset,
        Piece { table, number }: Piece<'_>,
        roles: &Roles,
        inputs: &[String],
        (classify, ranks): (Option<bool>, bool),
    ) -> Result<Self> {
        let columns = inputs.iter().map(|name| dataset.column(name)).collect::<Result<Vec<_>>>()?;
        let found = |column: &&Column| match column.kind() {
            Kind::Categorical { dictionary } => Found::Categories(dictionary),
            Kind::Boolean => Found::Booleans,
            _ => Found::Numbers,
        };
        let weights = roles.weights_of_piece(dataset)?;
        roles.offsets(dataset)?;
        roles.held_out(dataset)?;
        let queries = match &roles.group {
            Some(group) if ranks => names_of_queries(dataset, group)?,
            _ => Vec::new(),
        };
        let target = SeenTarget::of(dataset, roles.needed_target()?, classify, weights.as_deref())?;
        let is_empty = |(name, &column): (&String, &&Column)| {
            !without_values(std::slice::from_ref(name), &[column]).is_empty()
        };
        Ok(Self {
            pieces: vec![(number, dataset.rows() as u64, table.first())],
            queries: vec![(number, queries)],
            inputs: columns.iter().map(found).collect(),
            empty: inputs.iter().zip(&columns).map(is_empty).collect(),
            target,
        })
    }

    fn merge(mut self, other: Self) -> std::result::Result<Self, String> {
        if self.inputs.len() != other.inputs.len() {
            return Err("pieces of the table have different columns".into());
        }
        let merged = self.inputs.into_iter().zip(other.inputs).enumerate();
        let merged = merged.map(|(j, (a, b))| a.merge(b).map_err(|e| format!("input {j} {e}")));
        self.inputs = merged.collect::<std::result::Result<_, _>>()?;
        self.pieces.extend(other.pieces);
        self.queries.extend(other.queries);
        self.empty.iter_mut().zip(other.empty).for_each(|(a, b)| *a &= b);
        if self.target.is_numbers() != other.target.is_numbers() {
            return Err("the target is a number in one piece of the table and is not in another".into());
        }
        self.target = self.target.merge(other.target);
        Ok(self)
    }

    /// The number of the first row of each piece.
    fn places(&self) -> Result<Places> {
        let mut pieces = self.pieces.clone();
        pieces.sort_unstable();
        if let Some(pair) = pieces.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Fit(format!("two pieces of the table have number {}", pair[0].0)));
        }
        pieces.retain(|piece| piece.1 > 0);
        let known = pieces.iter().filter(|piece| piece.2.is_some()).count();
        if known > 0 && known < pieces.len() {
            return Err(Error::Fit(
                "some pieces of the table know the numbers of their rows and others do not".into(),
            ));
        }
        if known > 0 {
            let mut ranges: Vec<(u64, u64)> =
                pieces.iter().filter_map(|(_, rows, first)| Some(((*first)?, *rows))).collect();
            ranges.sort_unstable();
            each_row_once(ranges.into_iter(), pieces.iter().map(|piece| piece.1).sum())?;
        }
        let mut next = 0_u64;
        let mut places = Places::new();
        for (number, rows, first) in pieces {
            places.insert(number, first.unwrap_or(next));
            next = next.saturating_add(rows);
        }
        Ok(places)
    }

    /// The number of the first query of each piece.
    fn first_queries(&self, group: &str) -> Result<Places> {
        let places = self.places()?;
        let mut pieces: Vec<_> =
            self.queries.iter().filter(|(piece, _)| places.contains_key(piece)).collect();
        pieces.sort_unstable_by_key(|(piece, _)| places[piece]);
        let mut names: Vec<u64> = pieces.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let what = "has rows of one query in two pieces of the table; all rows of a query in one piece, one after another, are \
                        accepted";
            return Err(Error::column(group, what));
        }
        let mut next = 0;
        let of_piece = |(piece, names): &(u64, Vec<u64>)| {
            let first = next;
            next += names.len() as u64;
            (*piece, first)
        };
        Ok(pieces.into_iter().map(of_piece).collect())
    }
}

/// A number for each query, the same for those of the same name in whichever piece; that two names share one has a chance of one in 2^64.
fn names_of_queries(dataset: &Dataset, group: &str) -> Result<Vec<u64>> {
    let column = dataset.column(group)?;
    let name = |rows: Range<usize>| match column {
        Column::Categorical { codes, dictionary } => {
            xxh3_64(dictionary[codes[rows.start] as usize].as_bytes())
        }
        // Adding 0 makes -0 and 0 one.
        _ => xxh3_64(&(column.cell(rows.start) + 0.0).to_le_bytes()),
    };
    Ok(roles::queries(dataset, group)?.into_iter().map(name).collect())
}

/// What a piece needs to grow trees.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    roles: Roles,
    inputs: Vec<String>,
    columns: BinnedColumns,
    classes: Option<Vec<String>>,
    places: Places,
    /// The number of the first query of each piece, where rows are ranked.
    queries: Option<Places>,
}

impl Plan {
    fn bin(&self, piece: Piece<'_>) -> Result<BinnedPiece> {
        let Self { roles, inputs, columns, classes, places, queries } = self;
        let dataset = piece.table.dataset()?;
        let first = first_of(places, piece, dataset.rows())?;
        let read = inputs.iter().map(|name| dataset.column(name)).collect::<Result<Vec<_>>>()?;
        let weights = roles.weights_of_piece(&dataset)?;
        let table = columns.table(&RawChunk::of_columns(&read, weights.as_deref(), first)?)?;
        let target = roles.needed_target()?;
        let answers = match classes {
            Some(classes) => {
                Answers::Classes { y: roles::codes(&dataset, target, classes)?, classes: classes.len() }
            }
            None => Answers::Numbers(roles::numbers(&dataset, target)?),
        };
        let queries = match (queries, &roles.group) {
            (Some(firsts), Some(group)) => {
                let first = first_of(firsts, piece, dataset.rows())?;
                Some(Queries { rows: roles::queries(&dataset, group)?, first })
            }
            _ => None,
        };
        let (offset, held_out) = (roles.offsets(&dataset)?, roles.held_out(&dataset)?);
        Ok(BinnedPiece { table, answers, offset, queries, held_out, first })
    }
}

fn first_of(places: &Places, piece: Piece<'_>, rows: usize) -> Result<u64> {
    match places.get(&piece.number) {
        Some(&first) => Ok(first),
        None if rows == 0 => Ok(0),
        None => Err(Error::Fit(format!("piece {} of the table was not there before", piece.number))),
    }
}

enum Stage<T> {
    Look,
    Bin(Box<Seen>, Box<BinningTrainer>),
    Grow { seen: Box<Seen>, plan: u128, bytes: Vec<u8>, told: bool, trainer: Box<T> },
    Failed,
}

/// A model in the making.
pub struct PiecesTrainer<G: Grows> {
    grows: G,
    max_bins: MaxBins,
    classify: Option<bool>,
    inputs: Vec<String>,
    roles: Roles,
    seed: u64,
    stage: Stage<G::Trainer>,
}

impl<G: Grows> PiecesTrainer<G> {
    /// Grows on the columns `inputs`: learns classes or numbers, or where that is not said what the target's kind suggests.
    ///
    /// # Errors
    /// When there is not one target, an offset has no meaning, or a parameter is not accepted.
    pub fn new(
        grows: G,
        max_bins: impl Into<MaxBins>,
        classify: Option<bool>,
        inputs: Vec<String>,
        roles: &Roles,
        seed: u64,
    ) -> Result<Self> {
        roles.needed_target()?;
        if let Some(offset) = roles.offset.as_ref().filter(|_| !G::OFFSETS) {
            return Err(Error::column(offset, "is an offset; a tree has no linear predictor to add it to"));
        }
        if grows.ranks() && roles.group.is_none() {
            return Err(Error::Fit(
                "a ranking needs to know which rows are of one query: a group column".into(),
            ));
        }
        let max_bins = max_bins.into();
        max_bins.check()?;
        let (roles, stage) = (roles.clone(), Stage::Look);
        Ok(Self { grows, max_bins, classify, inputs, roles, seed, stage })
    }

    /// The column of queries, where rows are ranked.
    fn ranked_by(&self) -> Option<&str> {
        self.roles.group.as_deref().filter(|_| self.grows.ranks())
    }

    fn grow(&self, seen: Box<Seen>, binning: BinningTrainer) -> Result<Stage<G::Trainer>> {
        let columns = binning.finish()?;
        let trainer = self.grows.trainer(&columns, seen.target.classes().map(<[String]>::len), self.seed)?;
        let (roles, inputs) = (self.roles.clone(), self.inputs.clone());
        let classes = seen.target.classes().map(<[String]>::to_vec);
        let queries = self.ranked_by().map(|group| seen.first_queries(group)).transpose()?;
        let plan = Plan { roles, inputs, columns, classes, places: seen.places()?, queries };
        let bytes = pool::to_bytes(&plan)?;
        Ok(Stage::Grow { seen, plan: xxh3_128(&bytes), bytes, told: false, trainer: Box::new(trainer) })
    }

    /// The model.
    ///
    /// # Errors
    /// When it was stopped before it had one.
    pub fn finish(self) -> Result<Box<dyn Model>> {
        let Stage::Grow { seen, trainer, .. } = self.stage else { return Err(Error::Cancelled) };
        let field = |(name, found): (&String, &Found)| Field { name: name.clone(), kind: found.kind() };
        let empty = self.inputs.iter().zip(&seen.empty).filter(|(_, empty)| **empty);
        let warnings = empty.map(|(name, _)| crate::training::told_empty(name)).collect();
        let task = match seen.target.classes() {
            Some(classes) => Task::Classification { classes: classes.to_vec() },
            None => Task::Regression,
        };
        let inputs = self.inputs.iter().zip(&seen.inputs).map(field).collect();
        let described = Described { max_bins: self.max_bins, inputs, roles: self.roles, task, warnings };
        self.grows.model(*trainer, described)
    }
}

const UNASKED: &str = "an answer came that was not asked for";

impl<G: Grows> Rounds for PiecesTrainer<G> {
    type Chunk<'a> = Piece<'a>;
    type Request = Request<<G::Trainer as Rounds>::Request>;
    type Partial = Partial<<G::Trainer as Rounds>::Partial>;

    fn request(&self) -> Option<Self::Request> {
        let (roles, inputs) = (self.roles.clone(), self.inputs.clone());
        Some(Request(match &self.stage {
            Stage::Look => Ask::Look { roles, inputs, classify: self.classify, ranks: self.grows.ranks() },
            Stage::Bin(seen, trainer) => {
                Ask::Bin { roles, inputs, places: seen.places().ok()?, ask: trainer.request()? }
            }
            Stage::Grow { plan, bytes, told, trainer, .. } => {
                let bytes = (!told).then(|| bytes.clone());
                Ask::Grow { plan: *plan, bytes, ask: trainer.request()? }
            }
            Stage::Failed => return None,
        }))
    }

    fn partial(request: &Self::Request, &piece: &Piece<'_>) -> Result<Self::Partial> {
        Ok(Partial(match &request.0 {
            Ask::Look { roles, inputs, classify, ranks } => {
                let dataset = piece.table.dataset()?;
                let seen = Seen::of(&dataset, piece, roles, inputs, (*classify, *ranks));
                Answer::Seen(Box::new(seen.map_err(|e| numbered(e, piece.table.first()))?))
            }
            Ask::Bin { roles, inputs, places, ask } => {
                let dataset = piece.table.dataset()?;
                let first = first_of(places, piece, dataset.rows())?;
                let columns = inputs.iter().map(|name| dataset.column(name)).collect::<Result<Vec<_>>>()?;
                let weights = roles.weights_of_piece(&dataset)?;
                let chunk = RawChunk::of_columns(&columns, weights.as_deref(), first)?;
                Answer::Bins(BinningTrainer::partial(ask, &chunk)?)
            }
            Ask::Grow { plan, bytes, ask } => {
                let made = || {
                    let made = |bytes: &Vec<u8>| {
                        let plan = pool::from_bytes::<Plan>(bytes)?;
                        let chunk = G::chunk(plan.bin(piece)?).map_err(|e| plan.roles.named(e))?;
                        Ok((plan.roles, chunk))
                    };
                    bytes.as_ref().map(made).transpose()
                };
                // With the names of columns, for what is told of them.
                match piece.table.kept::<(Roles, G::Chunk)>(*plan, made)? {
                    Some(kept) => Answer::Grown(G::partial(ask, &kept.1).map_err(|e| kept.0.named(e))?),
                    None => Answer::Missed,
                }
            }
        }))
    }

    fn merge(left: Self::Partial, right: Self::Partial) -> Self::Partial {
        Partial(match (left.0, right.0) {
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            (Answer::Missed, _) | (_, Answer::Missed) => Answer::Missed,
            (Answer::Seen(a), Answer::Seen(b)) => {
                a.merge(*b).map_or_else(Answer::Failed, |seen| Answer::Seen(Box::new(seen)))
            }
            (Answer::Bins(a), Answer::Bins(b)) => Answer::Bins(BinningTrainer::merge(a, b)),
            (Answer::Grown(a), Answer::Grown(b)) => Answer::Grown(G::Trainer::merge(a, b)),
            _ => Answer::Failed("pieces of the table answered different requests".into()),
        })
    }

    fn advance(&mut self, partial: Self::Partial) -> Result<()> {
        match (partial.0, std::mem::replace(&mut self.stage, Stage::Failed)) {
            (Answer::Failed(e), _) => return Err(Error::Fit(e)),
            (Answer::Seen(seen), Stage::Look) if seen.inputs.len() == self.inputs.len() => {
                seen.places()?;
                self.ranked_by().map(|group| seen.first_queries(group)).transpose()?;
                seen.target.check(self.roles.needed_target()?, self.roles.weight.as_deref())?;
                self.stage = Stage::Bin(seen, Box::new(BinningTrainer::new(self.max_bins, self.seed)?));
            }
            (Answer::Bins(partial), Stage::Bin(seen, mut trainer)) => {
                trainer.advance(partial).map_err(|e| self.roles.named(e))?;
                self.stage = match trainer.request() {
                    Some(_) => Stage::Bin(seen, trainer),
                    None => self.grow(seen, *trainer)?,
                };
            }
            (answer, Stage::Grow { seen, plan, bytes, mut told, mut trainer }) => {
                match answer {
                    Answer::Grown(partial) => {
                        trainer.advance(partial).map_err(|e| self.roles.named(e))?;
                        told = true;
                    }
                    Answer::Missed if told => told = false,
                    _ => return Err(Error::Fit(UNASKED.into())),
                }
                self.stage = Stage::Grow { seen, plan, bytes, told, trainer };
            }
            _ => return Err(Error::Fit(UNASKED.into())),
        }
        Ok(())
    }

    fn note(&self) -> String {
        match &self.stage {
            Stage::Look => "columns".into(),
            Stage::Bin(_, trainer) => format!("cuts of {}", trainer.note()),
            Stage::Grow { trainer, .. } => trainer.note(),
            Stage::Failed => "failed".into(),
        }
    }

    fn at_most(&self) -> u64 {
        0
    }
}

/// A row by its number in the source, where that is known.
fn numbered(error: Error, first: Option<u64>) -> Error {
    match (error, first) {
        (Error::Cell { row, column, what }, Some(first)) => {
            Error::Cell { row: row + first as usize, column, what }
        }
        (error, _) => error,
    }
}

impl<G: Grows> Finishes for PiecesTrainer<G> {
    fn model(self) -> Result<Box<dyn Model>> {
        self.finish()
    }
}

/// A piece's answer to a request of [`InBytes::request`](tilewise_base::InBytes::request).
///
/// # Errors
/// When the request is not one, or a row is not what it should be.
pub fn partial<G: Grows>(request: &[u8], piece: Piece<'_>) -> Result<Vec<u8>> {
    partial_bytes::<PiecesTrainer<G>>(request, &piece)
}
