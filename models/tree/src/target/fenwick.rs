//! Weighted medians of rows that move from one side of a split to the other.
//!
//! The rows of a node stand in the order of their numbers. A binary indexed tree (Fenwick, "A new data structure for cumulative
//! frequency tables", *Software: Practice and Experience* 24, 1994) holds, over these places, the weights and the sums of what
//! went left; what is right is all without it. One more row, or the median of a side and how far its rows are from it, costs
//! O(log n): all candidates of a feature O(n log n).

use tilewise_kernels::tree::Pair;

/// The middle of a side: the places of its lower and upper median, and the sum of distances from either. 0 if nothing is there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Middle {
    pub(super) lower: usize,
    pub(super) upper: usize,
    pub(super) error: i64,
}

/// Numbers times weight, and weights, by place.
#[derive(Default)]
pub(crate) struct Fenwick {
    /// The sum of all before a place, one more than there are places.
    before: Vec<Pair>,
    /// Of what went left: at i the sum of the places below i from where i has one bit less.
    left: Vec<Pair>,
    /// All of what went left.
    sum: Pair,
}

impl Fenwick {
    /// Takes new places, all of them on the right.
    pub(super) fn start(&mut self, pairs: impl Iterator<Item = Pair>) {
        self.before.clear();
        self.before.push(Pair::default());
        let mut sum = Pair::default();
        self.before.extend(pairs.map(|pair| {
            sum = sum + pair;
            sum
        }));
        self.left.clear();
        self.left.resize(self.before.len(), Pair::default());
        self.sum = Pair::default();
    }

    fn at(&self, place: usize) -> Pair {
        self.before[place + 1] - self.before[place]
    }

    /// Moves a place from the right to the left.
    pub(super) fn move_left(&mut self, place: usize) {
        let pair = self.at(place);
        self.sum = self.sum + pair;
        let mut at = place + 1;
        while let Some(sum) = self.left.get_mut(at) {
            *sum = *sum + pair;
            at += at & at.wrapping_neg();
        }
    }

    /// The places of a side up to which its weight satisfies `is_less`, and their sum.
    fn reach(&self, is_left: bool, is_less: impl Fn(i64) -> bool) -> (usize, Pair) {
        let (mut at, mut sum) = (0, Pair::default());
        let mut step = self.left.len().next_power_of_two() / 2;
        while step > 0 {
            if let Some(&left) = self.left.get(at + step) {
                let block = if is_left { left } else { self.before[at + step] - self.before[at] - left };
                if is_less(sum.hessian + block.hessian) {
                    (at, sum) = (at + step, sum + block);
                }
            }
            step /= 2;
        }
        (at, sum)
    }

    /// The middle of a side, where the number at a place is `number`.
    pub(super) fn middle(&self, is_left: bool, number: impl Fn(usize) -> i64) -> Middle {
        let all = if is_left { self.sum } else { self.before[self.before.len() - 1] - self.sum };
        if all.hessian == 0 {
            return Middle::default();
        }
        let (lower, below) = self.reach(is_left, |weight| 2 * weight < all.hessian);
        let y = number(lower);
        let above = all - below;
        let error = (y * below.hessian - below.gradient) + (above.gradient - y * above.hessian);
        // Where the lower one completes half of the weight there is an upper one.
        let half = 2 * (below.hessian + self.at(lower).hessian) == all.hessian;
        let upper = if half { self.reach(is_left, |weight| 2 * weight <= all.hessian).0 } else { lower };
        Middle { lower, upper, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition: of all numbers those from which the others are least far, the first and the last of them.
    fn plain(rows: &[(usize, i64, i64)]) -> Middle {
        let error = |y: i64| rows.iter().map(|&(_, x, weight)| weight * (x - y).abs()).sum::<i64>();
        let least = rows.iter().map(|&(_, y, _)| error(y)).min().unwrap_or(0);
        let best = || rows.iter().filter(|(_, y, _)| error(*y) == least).map(|(place, ..)| *place);
        Middle { lower: best().min().unwrap_or(0), upper: best().max().unwrap_or(0), error: least }
    }

    proptest! {
        #[test]
        fn middles_are_those_of_the_definition(
            rows in prop::collection::vec((-100_i64..100, 1_i64..4, any::<bool>()), 0..40),
        ) {
            let mut rows = rows;
            // Of equal numbers which place is the median does not matter: here there are none.
            rows.sort_unstable();
            rows.dedup_by_key(|row| row.0);
            let mut fenwick = Fenwick::default();
            fenwick.start([Pair { gradient: 9, hessian: 2 }; 3].into_iter());
            fenwick.move_left(1);
            fenwick.start(rows.iter().map(|&(y, weight, _)| Pair { gradient: y * weight, hessian: weight }));
            let mut moved = vec![false; rows.len()];
            for place in (0..rows.len()).rev().filter(|&place| rows[place].2) {
                fenwick.move_left(place);
                moved[place] = true;
                for is_left in [true, false] {
                    let side: Vec<(usize, i64, i64)> = (0..rows.len())
                        .filter(|&place| moved[place] == is_left)
                        .map(|place| (place, rows[place].0, rows[place].1))
                        .collect();
                    prop_assert_eq!(fenwick.middle(is_left, |place| rows[place].0), plain(&side));
                }
            }
        }
    }
}
