//! Where the nodes of a tree are.

use crate::arena::Arena;
use crate::stored::StoredTrees;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// The nodes of a tree: in memory, or in a file that is mapped until somebody asks for them. Compiled predictions
/// read the file where it is, and do not.
#[derive(Clone, Debug)]
pub(crate) struct Kept(Lies);

#[derive(Clone, Debug)]
enum Lies {
    Here(Arena),
    Stored { trees: Arc<StoredTrees>, number: usize, read: OnceLock<Arena> },
}

impl Kept {
    /// Tree `number` of a file, which was checked.
    pub(crate) fn stored(trees: &Arc<StoredTrees>, number: usize) -> Self {
        Self(Lies::Stored { trees: Arc::clone(trees), number, read: OnceLock::new() })
    }

    /// The file and the tree's number in it, if it lies in one.
    pub(crate) fn place(&self) -> Option<(&Arc<StoredTrees>, usize)> {
        match &self.0 {
            Lies::Here(_) => None,
            Lies::Stored { trees, number, .. } => Some((trees, *number)),
        }
    }

    /// Number of nodes. O(1), as the next.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Lies::Here(arena) => arena.len(),
            Lies::Stored { trees, number, .. } => trees.nodes_of(*number),
        }
    }

    /// Numbers that a leaf predicts.
    pub(crate) fn outputs(&self) -> usize {
        match &self.0 {
            Lies::Here(arena) => arena.values.outputs(),
            Lies::Stored { trees, .. } => trees.outputs(),
        }
    }

    /// The nodes, for whoever changes them.
    pub(crate) fn into_arena(self) -> Arena {
        match self.0 {
            Lies::Here(arena) => arena,
            Lies::Stored { .. } => (*self).clone(),
        }
    }
}

impl From<Arena> for Kept {
    fn from(arena: Arena) -> Self {
        Self(Lies::Here(arena))
    }
}

impl Deref for Kept {
    type Target = Arena;
    fn deref(&self) -> &Arena {
        match &self.0 {
            Lies::Here(arena) => arena,
            Lies::Stored { trees, number, read } => read.get_or_init(|| trees.arena(*number)),
        }
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
