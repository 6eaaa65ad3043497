//! One test binary for all readers.

mod columnar;
mod libsvm;
mod limits;
mod random;
mod several;
mod text;
