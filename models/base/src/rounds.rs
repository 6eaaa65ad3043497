//! Training that is a sum over rows, written once: request -> partial(chunk) -> merge -> advance.
//!
//! The trainer is a state machine. It publishes a *request*; every chunk of rows answers with a *partial*; partials merge
//! (in a fixed tree over chunks) and *advance* the trainer. In one process there is one chunk, parallel inside, and
//! nothing is serialised; a stream of chunks, a pool of processes or a cluster send requests and partials as bytes.

use crate::{Context, Error, Model, Result};
use serde::{Serialize, de::DeserializeOwned};

/// A trainer written as rounds.
pub trait Rounds {
    /// The rows of one chunk, as a worker holds them.
    type Chunk<'a>;
    /// What the workers need to know this round.
    type Request: Serialize + DeserializeOwned;
    /// What a chunk answers; merging is associative up to rounding.
    type Partial: Serialize + DeserializeOwned;

    /// The next request; `None` when training is over.
    fn request(&self) -> Option<Self::Request>;
    /// A chunk's answer. Parallel inside; does not see the trainer.
    ///
    /// # Errors
    /// When the chunk does not fit the request.
    fn partial(request: &Self::Request, chunk: &Self::Chunk<'_>) -> Result<Self::Partial>;
    /// Both answers as if one chunk had given them.
    fn merge(left: Self::Partial, right: Self::Partial) -> Self::Partial;
    /// Takes the merged answer and moves on.
    ///
    /// # Errors
    /// When the data cannot be fitted.
    fn advance(&mut self, partial: Self::Partial) -> Result<()>;
    /// A short text for the progress bar.
    fn note(&self) -> String;
    /// Rounds this trainer will take at most (0 when unknown).
    fn at_most(&self) -> u64;
}

/// Trains on one chunk in this process. Ends early, keeping what is there, when the context is cancelled.
///
/// # Errors
/// The first error of the trainer.
pub fn run<R: Rounds>(trainer: &mut R, chunk: &R::Chunk<'_>, context: &Context<'_>) -> Result<()> {
    let mut done = 0;
    while let Some(request) = trainer.request() {
        trainer.advance(R::partial(&request, chunk)?)?;
        done += 1;
        context.progress.round(done, trainer.at_most(), &trainer.note());
        if context.cancelled() {
            break;
        }
    }
    Ok(())
}

/// A trainer whose requests and partials are bytes: what an engine holds that knows no family. Whoever has the rows answers with
/// [`partial_bytes`].
pub trait InBytes: Send {
    /// The next request; `None` when training is over.
    ///
    /// # Errors
    /// When it cannot be written.
    fn request(&self) -> Result<Option<Vec<u8>>>;
    /// Takes the answers of all chunks, in their order, merges them in the fixed tree and moves on.
    ///
    /// # Errors
    /// When there is none, one is not an answer, or the data cannot be fitted.
    fn advance(&mut self, partials: &[Vec<u8>]) -> Result<()>;
    /// A short text for the progress bar.
    fn note(&self) -> String;
    /// Rounds this trainer will take at most (0 when unknown).
    fn at_most(&self) -> u64;
    /// The model.
    ///
    /// # Errors
    /// When it was stopped before it had one.
    fn finish(self: Box<Self>) -> Result<Box<dyn Model>>;
}

/// Rounds that end in a model: with their messages as bytes an [`InBytes`].
pub trait Finishes: Rounds + Send {
    /// The model.
    ///
    /// # Errors
    /// When it was stopped before it had one.
    fn model(self) -> Result<Box<dyn Model>>;
}

impl<R: Finishes> InBytes for R {
    fn request(&self) -> Result<Option<Vec<u8>>> {
        request_bytes(self)
    }
    fn advance(&mut self, partials: &[Vec<u8>]) -> Result<()> {
        advance_bytes(self, partials)
    }
    fn note(&self) -> String {
        Rounds::note(self)
    }
    fn at_most(&self) -> u64 {
        Rounds::at_most(self)
    }
    fn finish(self: Box<Self>) -> Result<Box<dyn Model>> {
        self.model()
    }
}

fn wire(e: postcard::Error) -> Error {
    Error::Fit(format!("a request or partial could not be passed on: {e}"))
}

/// [`Rounds::request`] as bytes.
///
/// # Errors
/// When it cannot be written.
pub fn request_bytes<R: Rounds>(trainer: &R) -> Result<Option<Vec<u8>>> {
    trainer.request().map(|request| postcard::to_stdvec(&request).map_err(wire)).transpose()
}

/// [`Rounds::partial`] from and to bytes.
///
/// # Errors
/// Those of the chunk, or when the request is not one.
pub fn partial_bytes<R: Rounds>(request: &[u8], chunk: &R::Chunk<'_>) -> Result<Vec<u8>> {
    let partial = R::partial(&postcard::from_bytes(request).map_err(wire)?, chunk)?;
    postcard::to_stdvec(&partial).map_err(wire)
}

/// Merges answers that are bytes, in the order of their chunks.
///
/// # Errors
/// When one of them is none, or there are none.
pub fn merge_bytes<R: Rounds>(partials: &[Vec<u8>]) -> Result<Vec<u8>> {
    postcard::to_stdvec(&merged::<R>(partials)?).map_err(wire)
}

/// Takes answers that are bytes, in the order of their chunks, and moves on.
///
/// # Errors
/// When one of them is none, there are none, or the data cannot be fitted.
pub fn advance_bytes<R: Rounds>(trainer: &mut R, partials: &[Vec<u8>]) -> Result<()> {
    trainer.advance(merged::<R>(partials)?)
}

fn merged<R: Rounds>(partials: &[Vec<u8>]) -> Result<R::Partial> {
    let all =
        partials.iter().map(|bytes| postcard::from_bytes(bytes).map_err(wire)).collect::<Result<Vec<_>>>()?;
    let merged = tilewise_kernels::parallel::reduce(all, R::merge);
    merged.ok_or_else(|| Error::Fit("there are no rows".into()))
}

/// Trains on several chunks with every request and partial passed through bytes, as workers elsewhere would.
///
/// # Errors
/// The first error of the trainer.
pub fn run_through_bytes<R: Rounds>(
    trainer: &mut R,
    chunks: &[R::Chunk<'_>],
    context: &Context<'_>,
) -> Result<()> {
    let mut done = 0;
    while let Some(request) = request_bytes(trainer)? {
        let partials = chunks.iter().map(|chunk| partial_bytes::<R>(&request, chunk));
        advance_bytes(trainer, &partials.collect::<Result<Vec<_>>>()?)?;
        done += 1;
        context.progress.round(done, trainer.at_most(), &trainer.note());
        if context.cancelled() {
            break;
        }
    }
    Ok(())
}
