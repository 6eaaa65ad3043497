//! The parts of `tilewise demo`.

pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod quality;
pub(crate) mod requests;
pub(crate) mod speed;
