//! The commands, a file each. A further one is a file here, a line below and a variant in `main.rs`.

pub(crate) mod cv;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod importance;
pub(crate) mod inspect;
pub(crate) mod predict;
pub(crate) mod quantise;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod tune;
pub(crate) mod worker;
