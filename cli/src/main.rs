//! The tilewise command.
fn main() {}
