//! From a table that lies in pieces to a model.

use super::{BoostingChunk, BoostingTrainer};
use crate::pipeline::task_of;
use crate::{BoostedModel, GradientBoosting, Loss};
use tilewise_base::{Model, Result, Rounds};
use tilewise_tree::rounds::{BinnedColumns, BinnedPiece, Described, Grows};

impl Grows for GradientBoosting {
    type Trainer = BoostingTrainer;
    type Chunk = BoostingChunk<'static>;

    const OFFSETS: bool = true;

    fn ranks(&self) -> bool {
        matches!(self.loss, Loss::LambdaRank { .. })
    }

    fn trainer(&self, columns: &BinnedColumns, classes: Option<usize>, seed: u64) -> Result<BoostingTrainer> {
        BoostingTrainer::new(self, columns, classes, seed)
    }

    fn chunk(piece: BinnedPiece) -> Result<Self::Chunk> {
        BoostingChunk::owned(piece)
    }

    fn partial(
        request: &<BoostingTrainer as Rounds>::Request,
        chunk: &Self::Chunk,
    ) -> Result<<BoostingTrainer as Rounds>::Partial> {
        BoostingTrainer::partial(request, chunk)
    }

    fn model(self, trainer: BoostingTrainer, mut described: Described) -> Result<Box<dyn Model>> {
        described.task = task_of(self.loss, described.task, &described.roles)?;
        Ok(Box::new(BoostedModel::assembled(trainer.finish()?, described)?))
    }
}
