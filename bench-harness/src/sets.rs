//! Instruction sets: which there are and how to run on one of them.

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(());

impl Set {
    /// Its name as in `TILEWISE_ISA`.
    pub fn name(self) -> &'static str {
        "portable"
    }

    /// The sets of this CPU, best first.
    pub fn available() -> Vec<Set> {
        vec![Set(())]
    }
}

/// Runs `f` on one set.
pub fn with_set<R>(_: Set, f: impl FnOnce() -> R) -> R {
    f()
}
