//! What boosting promises: the same at any number of threads, constraints that hold, stages that go on or are cut off, weights,
//! contributions, and scores that are the same alone and among others.

mod constraints;
mod problem;
mod scores;
mod stages;
mod threads;
