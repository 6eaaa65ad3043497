//! Trees grown by worker processes ([`Engine::Processes`](tilewise_base::Engine)), one per job.
//!
//! The binned columns and what is to be learned are written once into memory that all workers map
//! ([`tilewise_tree::part`]), so a worker's own memory is what the tree it grows needs, and 4 to 16 bytes per row. Setup: the
//! parameters and the seed. Job: the number of a tree. Answer: that number and the tree. The process that asks keeps its own
//! copy of the columns, so the machine holds two; with a memory limit both lie in files.

use crate::RandomForest;
use crate::parameters::{Growing, Grown};
use tilewise_base::pool::{Pool, SharedFile, Start, Work, Workers, from_bytes, to_bytes};
use tilewise_base::{Context, Error, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_tree::{Answers, BareTree, BinnedTable, Tree, part};

/// The kind of its jobs: a worker that is started with it is to call [`begin`].
pub const KIND: &str = "trees of a forest";

/// Grows the trees of these numbers in worker processes; those that were handed out before the context was cancelled.
pub(crate) fn grow(
    forest: &RandomForest,
    (table, answers): (&BinnedTable, &Answers),
    numbers: &[u32],
    workers: &Workers,
    tell: &(dyn Fn(&Tree) + Sync),
    context: &Context<'_>,
) -> Result<Vec<Option<Grown>>> {
    let file = SharedFile::stored(&context.storage, |to| part::write(table, answers, to))?;
    let mut pool = Pool::new(workers, KIND, to_bytes(&(forest, context.seed))?, Some(file));
    let job = |job: usize| numbers[job].to_le_bytes().to_vec();
    let take = |job: usize, answer: Vec<u8>| {
        let (number, tree): (u32, BareTree) = from_bytes(&answer)?;
        if number != numbers[job] {
            let what =
                format!("a worker process that was asked for tree {} grew tree {number}", numbers[job]);
            return Err(Error::Worker(what));
        }
        let tree = tree.with_inputs_of(table, forest.tree.unseen)?;
        tell(&tree);
        Ok((number, tree))
    };
    pool.run(numbers.len(), job, take, context)
}

/// Makes a worker process ready to grow trees.
///
/// # Errors
/// When it is started without a table, or with one or parameters that are not accepted.
pub fn begin(start: Start) -> Result<Work> {
    let part = start.part.ok_or_else(|| Error::Worker(format!("{KIND:?} need a shared table")))?;
    let (forest, seed): (RandomForest, u64) = from_bytes(&start.setup)?;
    forest.check()?;
    // The process lives no longer than its work.
    let (table, answers): &'static (BinnedTable, Answers) = Box::leak(Box::new(part::read(&part)?));
    let growing = Growing::new(&forest, table, answers, seed)?;
    Ok(Box::new(move |job: &[u8]| {
        let number = job.try_into().map(u32::from_le_bytes);
        let number = number.map_err(|_| Error::Worker(format!("a job of {KIND:?} is 4 bytes")))?;
        let tree = growing.grow(number, Scheme::Auto)?;
        to_bytes(&(number, BareTree::from(tree)))
    }))
}
