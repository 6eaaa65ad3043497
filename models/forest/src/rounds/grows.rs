//! From a table that lies in pieces to a model.

use super::{ForestChunk, ForestTrainer};
use crate::{ForestModel, RandomForest};
use tilewise_base::{Model, Result, Rounds};
use tilewise_tree::rounds::{BinnedColumns, BinnedPiece, Described, Grows};
use tilewise_tree::{DecisionTree, TreeModel};

impl Grows for RandomForest {
    type Trainer = ForestTrainer;
    type Chunk = ForestChunk<'static>;

    const OFFSETS: bool = false;

    fn trainer(&self, columns: &BinnedColumns, classes: Option<usize>, seed: u64) -> Result<ForestTrainer> {
        ForestTrainer::new(self, columns, classes, seed)
    }

    fn chunk(piece: BinnedPiece) -> Result<Self::Chunk> {
        let BinnedPiece { table, answers, first, .. } = piece;
        ForestChunk::owned(table, answers, first)
    }

    fn partial(
        request: &<ForestTrainer as Rounds>::Request,
        chunk: &Self::Chunk,
    ) -> Result<<ForestTrainer as Rounds>::Partial> {
        ForestTrainer::partial(request, chunk)
    }

    fn model(self, trainer: ForestTrainer, described: Described) -> Result<Box<dyn Model>> {
        Ok(Box::new(ForestModel::assembled(trainer.finish()?, described)))
    }
}

/// A single tree, grown as a forest of one that has all rows.
pub struct OneTree(pub DecisionTree);

impl Grows for OneTree {
    type Trainer = ForestTrainer;
    type Chunk = ForestChunk<'static>;

    const OFFSETS: bool = false;

    fn trainer(&self, columns: &BinnedColumns, classes: Option<usize>, seed: u64) -> Result<ForestTrainer> {
        ForestTrainer::of_one_tree(&self.0, columns, classes, seed)
    }

    fn chunk(piece: BinnedPiece) -> Result<Self::Chunk> {
        RandomForest::chunk(piece)
    }

    fn partial(
        request: &<ForestTrainer as Rounds>::Request,
        chunk: &Self::Chunk,
    ) -> Result<<ForestTrainer as Rounds>::Partial> {
        ForestTrainer::partial(request, chunk)
    }

    fn model(self, trainer: ForestTrainer, described: Described) -> Result<Box<dyn Model>> {
        Ok(Box::new(TreeModel::assembled(self.0, trainer.finish_tree()?, described)))
    }
}
