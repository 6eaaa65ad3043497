//! Columns that a tree and each of its levels may use, drawn for them.

use crate::search::draw;
use std::ops::ControlFlow;
use std::sync::Arc;
use tilewise_kernels::random::Philox;

/// The columns of a tree: drawn from all, and for each level drawn from these (XGBoost's `colsample_bytree` and
/// `colsample_bylevel`). What nodes look at is drawn from those of their level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    /// Ascending; `None` for all of the table.
    of_tree: Option<Arc<[u32]>>,
    /// How many of these a level may use, and the key by which they are drawn; `None` for all.
    of_level: Option<(usize, u64)>,
}

/// How many a share of so many columns is: rounded down, 1 at least.
fn part(share: f64, columns: usize) -> usize {
    ((share * columns as f64) as usize).clamp(1, columns.max(1))
}

/// So many of the columns, ascending.
fn chosen(key: u64, columns: &[u32], count: usize) -> Arc<[u32]> {
    let mut all = columns.to_vec();
    let mut drawn = Vec::with_capacity(count);
    draw(key, &mut all, &mut Vec::new(), |seen, column| {
        drawn.push(column as u32);
        if seen + 1 < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    drawn.sort_unstable();
    drawn.into()
}

impl Columns {
    /// These shares of `columns`, for the tree of this key.
    pub(crate) fn new(by_tree: f64, by_level: f64, columns: usize, key: u64) -> Self {
        const TREE: u64 = Philox::purpose("columns of a tree");
        const LEVEL: u64 = Philox::purpose("columns of the levels of a tree");
        if by_tree >= 1.0 && by_level >= 1.0 || columns == 0 {
            return Self::default();
        }
        let all: Vec<u32> = (0..columns as u32).collect();
        let of_tree = chosen(Philox::new(key, TREE).bits(0), &all, part(by_tree, columns));
        let of_level =
            (by_level < 1.0).then(|| (part(by_level, of_tree.len()), Philox::new(key, LEVEL).bits(0)));
        Self { of_tree: Some(of_tree), of_level }
    }

    /// Those of a level, ascending; `None` for all of the table. O(columns) where levels are drawn.
    pub(crate) fn of_level(&self, depth: usize) -> Option<Arc<[u32]>> {
        const LEVEL: u64 = Philox::purpose("columns of a level");
        let of_tree = self.of_tree.as_ref()?;
        Some(match self.of_level {
            Some((count, key)) => chosen(Philox::new(key, LEVEL).bits(depth as u64), of_tree, count),
            None => of_tree.clone(),
        })
    }

    /// How many those of a level are, in a table of so many.
    pub(crate) fn count(&self, columns: usize) -> usize {
        let of_tree = self.of_tree.as_ref().map_or(columns, |columns| columns.len());
        self.of_level.map_or(of_tree, |(count, _)| count)
    }

    /// The first that the tree may use.
    pub(crate) fn first(&self) -> usize {
        self.of_tree.as_ref().and_then(|columns| columns.first()).map_or(0, |&column| column as usize)
    }

    /// Whether the tree may use a column.
    pub(crate) fn has(&self, column: usize) -> bool {
        self.of_tree.as_ref().is_none_or(|columns| columns.binary_search(&(column as u32)).is_ok())
    }

    /// Whether levels use at least half of the columns of the tree: else histograms of all of these, one of two being what is left of
    /// another, cost more than those of a level that are all summed.
    pub(crate) fn share_histograms(&self) -> bool {
        let of_tree = self.of_tree.as_ref().map_or(0, |columns| columns.len());
        self.of_level.is_none_or(|(count, _)| 2 * count >= of_tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_draw_from_trees_and_trees_from_all() {
        assert!(Columns::new(1.0, 1.0, 9, 3).of_level(0).is_none());
        assert_eq!((Columns::default().count(9), Columns::default().has(8)), (9, true));
        let (mut of_trees, mut of_levels) = ([0; 20], [0; 20]);
        for key in 0..2000 {
            let tree = Columns::new(0.5, 1.0, 20, key).of_level(4).unwrap();
            assert!(tree.len() == 10 && tree.is_sorted() && tree.windows(2).all(|pair| pair[0] < pair[1]));
            let both = Columns::new(0.5, 0.35, 20, key);
            assert_eq!((both.count(20), both.share_histograms()), (3, false));
            assert!((0..20).all(|column| both.has(column) == tree.contains(&(column as u32))));
            let levels = [0, 1, 2].map(|depth| both.of_level(depth).unwrap());
            assert!(levels.iter().all(|level| level.len() == 3 && level.iter().all(|c| tree.contains(c))));
            tree.iter().for_each(|&column| of_trees[column as usize] += 1);
            levels.iter().flat_map(|level| level.iter()).for_each(|&column| of_levels[column as usize] += 1);
        }
        // Each with the same chance, within six standard deviations: 2000 trees take half of all, 6000 levels 3 of 20.
        assert!(of_trees.iter().all(|n: &i32| (n - 1000).abs() < 134), "{of_trees:?}");
        assert!(of_levels.iter().all(|n: &i32| (n - 900).abs() < 180), "{of_levels:?}");
        // One is left of however few.
        assert_eq!(Columns::new(0.01, 0.01, 5, 1).of_level(0).unwrap().len(), 1);
    }
}
