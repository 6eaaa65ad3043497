//! What the splits of a path may use and predict.

use std::sync::Arc;

/// Constraints on the splits of a tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Constraints {
    /// For each feature 1 where predictions must not fall as it grows, -1 where they must not rise, else 0; empty for none.
    pub(crate) monotone: Vec<i8>,
    /// Features that may meet on a path; empty for all with all. Every feature is in one group at least.
    pub(crate) groups: Vec<Vec<u32>>,
}

/// What a node has from the path to it.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) depth: usize,
    /// Of its random numbers: a function of the way from the root.
    pub(crate) key: u64,
    /// Between which predictions below it must lie.
    bounds: (f64, f64),
    /// Groups that hold all features of the path; `None` for all of them.
    groups: Option<Arc<[u32]>>,
    /// Features that its level may use, ascending; `None` for all of the table.
    pub(crate) columns: Option<Arc<[u32]>>,
}

impl State {
    /// That of a root that may use these features.
    pub(crate) fn root(key: u64, columns: Option<Arc<[u32]>>) -> Self {
        Self { depth: 0, key, bounds: (f64::NEG_INFINITY, f64::INFINITY), groups: None, columns }
    }
}

impl Constraints {
    pub(crate) fn is_monotone(&self) -> bool {
        !self.monotone.is_empty()
    }

    /// Whether a split below this path may use the feature.
    pub(crate) fn may_use(&self, state: &State, feature: usize) -> bool {
        state.groups.as_ref().is_none_or(|groups| {
            groups.iter().any(|&group| self.groups[group as usize].contains(&(feature as u32)))
        })
    }

    /// Whether sides that predict these numbers keep to what is asked.
    pub(crate) fn allow(&self, state: &State, feature: usize, levels: impl Fn() -> (f64, f64)) -> bool {
        if !self.is_monotone() {
            return true;
        }
        let (left, right) = levels();
        let (low, high) = state.bounds;
        let within = low <= left.min(right) && left.max(right) <= high;
        within
            && match self.monotone[feature] {
                0 => true,
                1.. => left <= right,
                _ => left >= right,
            }
    }

    /// The states of children (with the keys and columns of their parent) of a node that is divided by a feature into sides that predict `levels`. A
    /// monotone split puts the middle of both between all that comes below on one side and on the other.
    pub(crate) fn below(&self, state: &State, feature: usize, levels: impl Fn() -> (f64, f64)) -> [State; 2] {
        let mut groups = state.groups.clone();
        if !self.groups.is_empty() {
            let all = (0..self.groups.len() as u32).collect();
            let of_path: Vec<u32> = groups.as_ref().map_or(all, |groups| groups.to_vec());
            let holds = |group: &u32| self.groups[*group as usize].contains(&(feature as u32));
            groups = Some(of_path.into_iter().filter(holds).collect());
        }
        let mut left = State { depth: state.depth + 1, groups, ..state.clone() };
        let mut right = left.clone();
        if self.is_monotone() && self.monotone[feature] != 0 {
            let (of_left, of_right) = levels();
            let middle = of_left / 2.0 + of_right / 2.0;
            if self.monotone[feature] > 0 {
                (left.bounds.1, right.bounds.0) = (middle, middle);
            } else {
                (left.bounds.0, right.bounds.1) = (middle, middle);
            }
        }
        [left, right]
    }
}
