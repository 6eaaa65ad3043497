//! A minimal threaded inference server for Tilewise models.
//!
//! [`start`] takes a [`Config`] and models by name, [`start_repository`] a [`Repository`] of files, and each returns a
//! [`Handle`]: where it listens, a way to drain it, a way to wait for its end. Routes, statuses and limits are listed in the README of this crate.
//!
//! # Life of a request
//! 1. The *acceptor* thread owns the only listener. It hands each connection to the worker that has the fewest
//!    (`acceptor`, `crew`); a second listener on the same port would lose its queue when it closes.
//! 2. A *worker* is a thread with a single-threaded tokio runtime (`worker`). hyper parses heads; `connection` holds
//!    what hyper leaves to its caller: time limits, replies to heads it cannot read, and a close that does not destroy
//!    the last reply. `head` and `body` refuse what they must before a byte of it is parsed.
//! 3. `rows` and `tensors` write cells straight from JSON text (`binary`: from bytes) into a reused buffer, without a
//!    document in between.
//! 4. A small request is predicted on the worker itself (`predict`): a hop to another thread would cost more than the
//!    prediction. A large one, or one of a model that was measured to take long (`cost`), waits for a *compute* thread
//!    (`compute`), so that it never stands in front of others; what waits together is predicted together, and what would
//!    wait too long is refused at once. Rows of a large request are divided by `tilewise_kernels::parallel`.
//! 5. `reply` writes the answer, shortest numbers that read back to the same bits.
//!
//! No lock is taken between 2 and 5 for a small request; counters belong to one thread each (`metrics`). Which models
//! there are stands in a table that never changes (`catalogue`); a thread of its own loads files and puts the next
//! table in its place (`repository`). A request keeps the version it found, so each answer is wholly one version's.
//!
//! **Invariant:** no file of this crate names a family of models; it knows `Arc<dyn Model>` only, and a function
//! that makes one of a file.

mod acceptor;
mod access_log;
mod binary;
mod body;
mod catalogue;
mod compute;
mod config;
mod connection;
mod cost;
mod crew;
mod error;
mod failure;
mod head;
mod json;
mod life;
mod listener;
mod metadata;
mod metrics;
mod openapi;
mod predict;
mod reply;
mod repository;
mod routes;
mod rows;
mod served;
mod server;
mod signals;
mod stream;
mod successor;
mod supervised;
mod tensors;
mod waiting;
mod worker;

pub use config::{Bind, Config, parse_bind};
pub use error::{Error, Result};
pub use repository::{Loader, Repository};
pub use server::{End, Handle, check, start, start_repository};
pub use successor::Successor;

/// The README's program is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
