//! One test binary for all readers.

mod columnar;
mod libsvm;
mod random;
mod text;
