//! What boosting promises.

mod bad_input;
mod going_on;
mod losses;
mod options;
mod peers;
mod promises;
