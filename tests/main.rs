//! One test binary: end-to-end behaviour across rooms.

// Rules of the house.
mod tidy;
