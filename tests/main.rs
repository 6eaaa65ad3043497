//! One test binary: end-to-end behaviour across rooms.
