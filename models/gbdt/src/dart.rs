//! Dropping stages while others are grown: DART (Rashmi and Gilad-Bachrach, "DART: dropouts meet multiple additive regression trees",
//! AISTATS 2015).

use serde::{Deserialize, Serialize};
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_tree::{BinnedTable, Tree};

/// How stages are dropped. A stage grows on the scores without k earlier ones that are drawn for it. It and they then aim at the same,
/// so it is multiplied by 1 / (k + learning rate), and they by k / (k + learning rate): with a learning rate of 1 the paper's numbers,
/// and with any XGBoost's (`normalize_type=tree`). Where none is dropped, a stage is one of plain boosting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dart {
    /// The chance of each earlier stage to be dropped; above 0 and at most 1. Where none would be, one is.
    pub rate: f64,
    /// The chance of a stage to be grown without dropping any; 0 or more and below 1.
    pub skip: f64,
    /// Stages that are dropped at a time, at most; above 0.
    pub most: usize,
}

impl Default for Dart {
    fn default() -> Self {
        Self { rate: 0.1, skip: 0.5, most: 50 }
    }
}

impl Dart {
    /// The stages that are dropped for stage number `stage`, ascending. O(stages log stages).
    pub(crate) fn dropped(self, seed: u64, stage: usize) -> Vec<usize> {
        const STAGES: u64 = Philox::purpose("stages that DART drops");
        const SKIP: u64 = Philox::purpose("stages for which DART drops none");
        if stage == 0 || Philox::new(seed, SKIP).uniform(stage as u64) < self.skip {
            return Vec::new();
        }
        let stream = Philox::new(Philox::new(seed, STAGES).bits(stage as u64), STAGES);
        let mut drawn: Vec<(f64, usize)> =
            (0..stage).map(|earlier| (stream.uniform(earlier as u64), earlier)).collect();
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
        let below = drawn.partition_point(|(number, _)| *number < self.rate);
        let mut dropped: Vec<usize> =
            drawn[..below.clamp(1, self.most.min(stage))].iter().map(|(_, earlier)| *earlier).collect();
        dropped.sort_unstable();
        dropped
    }
}

/// What takes the part of the learning rate for a stage that grows without `dropped` others, and by what these are multiplied.
pub(crate) fn shares(learning_rate: f64, dropped: usize) -> (f64, f64) {
    if dropped == 0 {
        return (learning_rate, 1.0);
    }
    let below = dropped as f64 + learning_rate;
    (learning_rate / below, dropped as f64 / below)
}

/// Rows of a piece of parallel work.
const PIECE: usize = 8 << 10;

/// Takes these trees off the scores of all rows of their table; answers what was taken off each.
pub(crate) fn take_off(trees: &[&Tree], table: &BinnedTable, scores: &mut [f64]) -> Vec<f64> {
    let mut of_rows = vec![0.0; scores.len()];
    parallel::for_each_chunk_mut(&mut of_rows, PIECE, |piece, of_rows| {
        for tree in trees {
            for (i, sum) in of_rows.iter_mut().enumerate() {
                *sum += tree.numbers(tree.leaf_of(table, piece * PIECE + i)).next().unwrap_or(0.0);
            }
        }
    });
    scores.iter_mut().zip(&of_rows).for_each(|(score, sum)| *score -= sum);
    of_rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_dropped_as_often_as_asked() {
        let dart = Dart { rate: 0.2, skip: 0.25, most: 6 };
        let (mut skipped, mut dropped, mut counts) = (0, [0; 20], [0; 8]);
        for seed in 0..4000 {
            let these = dart.dropped(seed, 20);
            assert!(these.windows(2).all(|pair| pair[0] < pair[1]) && these.iter().all(|stage| *stage < 20));
            skipped += usize::from(these.is_empty());
            counts[these.len()] += 1;
            these.iter().for_each(|&stage| dropped[stage] += 1);
        }
        // 1000, with a standard deviation of 27; of the others each stage is in one of five, and somewhat more or less for the least and
        // the most.
        assert!((836..1164).contains(&skipped) && counts[7] == 0 && counts[6] > 300, "{skipped} {counts:?}");
        assert!(dropped.iter().all(|n| (480..720).contains(n)), "{dropped:?}");
        // One at least, and never more than there are.
        let one = Dart { rate: 1e-9, skip: 0.0, most: 50 };
        assert!((1..30).all(|stage| one.dropped(7, stage).len() == 1));
        assert!(Dart { rate: 1.0, ..one }.dropped(7, 9) == (0..9).collect::<Vec<_>>());
        assert!(one.dropped(7, 0).is_empty());
    }

    #[test]
    fn what_is_dropped_and_what_is_new_make_up_for_each_other() {
        assert_eq!(shares(0.3, 0), (0.3, 1.0));
        // The paper's numbers.
        assert_eq!(shares(1.0, 1), (0.5, 0.5));
        assert_eq!(shares(1.0, 3), (0.25, 0.75));
        // A new tree that says the same as those dropped changes nothing.
        for (rate, dropped) in [(0.1, 1), (0.3, 4), (0.05, 50)] {
            let (new, old) = shares(rate, dropped);
            assert!((new + old - 1.0).abs() < 1e-15, "{rate} {dropped}");
        }
    }
}
