//! What forests promise.

mod bad_input;
mod explain;
mod outputs;
mod promises;
mod unseen;
