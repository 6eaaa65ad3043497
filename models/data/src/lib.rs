//! Readers for CSV, Parquet, Arrow IPC and libsvm files.
//!
//! [`read`] gives a whole table, [`read_files`] one of several files, [`chunks`] one of so many rows at a time. A column is numeric, boolean or
//! categorical; kinds are in the file (Parquet, Arrow), given ([`ReadOptions::schema`]) or inferred over the whole file
//! (CSV). A cell that does not fit is an error with file, line, column name and text.
//!
//! ```
//! use tilewise_data::{ReadOptions, read_bytes};
//! let table = read_bytes(b"size;color\n1.5;red\nNA;blue\n", "shirts.csv", &ReadOptions::default())?;
//! assert_eq!(table.names(), ["size", "color"]);
//! assert!(table.column("size")?.cell(1).is_nan());
//! # Ok::<(), tilewise_base::Error>(())
//! ```

mod batches;
mod chunks;
mod column;
mod csv;
mod ipc;
mod libsvm;
mod options;
mod parquet;
mod read;
mod write;

pub use chunks::{Chunks, chunks};
pub use libsvm::{read_sparse, sparse_bytes};
pub use options::{Format, MISSING, ReadOptions};
pub use read::{files, read, read_bytes, read_files};
pub use write::{push_number, write_csv};
