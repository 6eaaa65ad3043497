//! Training on pieces by worker processes ([`Engine::Processes`](tilewise_base::Engine)).
//!
//! The table is written once into memory that all workers map; a piece is a range of its rows, and always goes to the same worker,
//! which keeps what it makes of it (bins, scores, a design matrix). A worker that is lost costs that and the round it was at: the one in its
//! place *misses* what it had, and is told all that leads there. Setup: the ranges. Job: the number of a piece and a request. Answer: a
//! partial. Trees and boosting are the same whatever the pieces; sums of linear models are merged in a tree of [`PIECES`] pieces, whatever
//! the number of workers, and differ from those of threads by rounding.

use super::{Piece, piece, trainer};
use crate::{Family, Settings};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use tilewise_base::pool::{Pool, SharedFile, Start, Work, Workers, from_bytes, to_bytes};
use tilewise_base::roles::queries;
use tilewise_base::{Context, Dataset, Error, Model, Result, Roles, StoredTable};

/// The kind of its jobs: a worker that is started with it is to call [`begin`].
pub(crate) const KIND: &str = "pieces of a table";

/// Pieces of a table of linear models.
const PIECES: usize = 16;

/// Rows of a piece at least, but of the last.
const LEAST: usize = 1024;

/// The rows of each piece.
fn divided(rows: usize, pieces: usize) -> Vec<Range<usize>> {
    let each = rows.div_ceil(pieces.max(1)).max(LEAST);
    (0..rows.div_ceil(each)).map(|i| i * each..rows.min((i + 1) * each)).collect()
}

/// These pieces with the end of each moved on to that of its last query. Where rows of a group are apart, which only rankings refuse,
/// they are left as they are.
fn with_whole_queries(pieces: Vec<Range<usize>>, dataset: &Dataset, group: &str) -> Vec<Range<usize>> {
    let Ok(queries) = queries(dataset, group) else { return pieces };
    let mut start = 0;
    let mut whole = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let last = queries.partition_point(|query| query.end < piece.end);
        let end = queries.get(last).map_or(piece.end, |query| query.end);
        if end > start {
            whole.push(start..end);
            start = end;
        }
    }
    whole
}

/// Trains a family that is trained on pieces. Ends early, with what is there, when the context is cancelled.
pub(crate) fn train(
    family: &Family,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    workers: &Workers,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    if context.checkpoint.is_some() {
        return Err(Error::parameter("engine", "processes", "with checkpoints only threads is"));
    }
    let mut trainer = trainer(family.name, settings, roles.inputs(dataset)?, roles, context.seed)?;
    let mut pieces = divided(dataset.rows(), if family.exact_pieces { workers.count } else { PIECES });
    if let (true, Some(group)) = (family.exact_pieces, &roles.group) {
        pieces = with_whole_queries(pieces, dataset, group);
    }
    let file = SharedFile::stored(&context.storage, |to| StoredTable::write(to, dataset))?;
    let mut pool = Pool::new(workers, KIND, to_bytes(&pieces)?, Some(file)).at_home();
    let mut done = 0;
    while let Some(request) = trainer.request()? {
        let job = |number: usize| [&(number as u64).to_le_bytes()[..], &request].concat();
        let answers = pool.run(pieces.len(), job, |_, answer| Ok(answer), context)?;
        // Cancelled in the middle of a round.
        let Some(answers) = answers.into_iter().collect::<Option<Vec<_>>>() else { break };
        trainer.advance(&answers)?;
        done += 1;
        context.progress.round(done, trainer.at_most(), &trainer.note());
        if context.cancelled() {
            break;
        }
    }
    trainer.finish()
}

/// Makes a worker process ready to answer for pieces.
///
/// # Errors
/// When it is started without a table.
pub(crate) fn begin(start: Start) -> Result<Work> {
    let pieces: Vec<Range<usize>> = from_bytes(&start.setup)?;
    let part = start.part.ok_or_else(|| Error::Worker(format!("{KIND:?} need a shared table")))?;
    let mut open: HashMap<u64, StoredTable> = HashMap::new();
    Ok(Box::new(move |job: &[u8]| {
        let odd = || Error::Worker(format!("a job of {KIND:?} is the number of one and a request"));
        let (number, request) = job.split_first_chunk().ok_or_else(odd)?;
        let number = u64::from_le_bytes(*number);
        let rows = pieces.get(number as usize).ok_or_else(odd)?;
        let table = match open.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(StoredTable::of_rows(part.clone(), rows.clone())?),
        };
        piece(request, Piece { table, number })
    }))
}
