//! `tilewise worker`: what `train --engine processes` starts, talking through stdin and stdout. Not for people.

use crate::failure::Failure;
use clap::Args;

/// Do pieces of training for the process that started this one
#[derive(Args)]
pub(crate) struct Worker {}

impl Worker {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Ok(tilewise_models::work()?)
    }
}
