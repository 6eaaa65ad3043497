//! The split of a small node against all divisions of its rows that a column allows, valued by the definition of the criterion:
//! every threshold and every subset of categories, with missing values on either side.

use proptest::prelude::*;
use tilewise_base::Context;
use tilewise_tree::{BinnedTable, Criterion, DecisionTree, Feature, Test, Tree};

/// Categories of a column: 2^9 subsets with missing values.
const LEVELS: u32 = 8;

/// A column of categories and one of numbers, missing values in both, whole weights, and what is learned.
#[derive(Clone, Debug)]
struct Problem {
    codes: Vec<u32>,
    numbers: Vec<f64>,
    weights: Vec<f64>,
    y: Vec<f64>,
}

fn problem() -> impl Strategy<Value = Problem> {
    (1_usize..40).prop_flat_map(|rows| {
        let code = prop_oneof![9 => 0..LEVELS, 1 => Just(u32::MAX)];
        let number = prop_oneof![9 => (-3..4).prop_map(f64::from), 1 => Just(f64::NAN)];
        let weight = prop_oneof![3 => Just(1.0), 1 => Just(2.0), 1 => Just(0.0)];
        (
            prop::collection::vec(code, rows),
            prop::collection::vec(number, rows),
            prop::collection::vec(weight, rows),
            prop::collection::vec((0..6).prop_map(f64::from), rows),
        )
            .prop_map(|(codes, numbers, mut weights, y)| {
                weights[0] = 1.0;
                Problem { codes, numbers, weights, y }
            })
    })
}

/// How mixed rows (answer, weight) are, times their weight; `None` where a node may not be so.
fn impurity(criterion: Criterion, rows: &[(f64, f64)]) -> Option<f64> {
    let weight: f64 = rows.iter().map(|(_, w)| w).sum();
    if weight == 0.0 {
        return None;
    }
    let mean = rows.iter().map(|(y, w)| y * w).sum::<f64>() / weight;
    let over_classes = |term: &dyn Fn(f64) -> f64| {
        let share = |class: i32| {
            rows.iter().filter(|(y, _)| *y == f64::from(class)).map(|(_, w)| w).sum::<f64>() / weight
        };
        (0..6).map(share).filter(|&p| p > 0.0).map(term).sum::<f64>() * weight
    };
    Some(match criterion {
        Criterion::Squared => rows.iter().map(|(y, w)| w * (y - mean).powi(2)).sum(),
        // Of zeros alone there is no logarithm of the mean.
        Criterion::Poisson if mean == 0.0 => return None,
        Criterion::Poisson => {
            let term = |y: f64| if y > 0.0 { y * (y / mean).ln() - y + mean } else { mean };
            rows.iter().map(|&(y, w)| w * term(y)).sum()
        }
        Criterion::Entropy => over_classes(&|p| -p * p.ln()),
        _ => over_classes(&|p| p * (1.0 - p)),
    })
}

impl Problem {
    /// The gains of all divisions; of categories those of `lefts`, sets with the bit [`LEVELS`] for missing values.
    fn gains(&self, criterion: Criterion, lefts: impl Iterator<Item = u32> + Clone) -> Vec<f64> {
        let all: Vec<(f64, f64)> = self.y.iter().copied().zip(self.weights.iter().copied()).collect();
        let Some(whole) = impurity(criterion, &all) else { return Vec::new() };
        let gain = |is_left: &dyn Fn(usize) -> bool| {
            let side = |of_left: bool| {
                let rows: Vec<(f64, f64)> =
                    (0..all.len()).filter(|&row| is_left(row) == of_left).map(|row| all[row]).collect();
                impurity(criterion, &rows)
            };
            Some(whole - side(true)? - side(false)?)
        };
        let of_sets = lefts.filter_map(|set| gain(&|row| set >> self.codes[row].min(LEVELS) & 1 == 1));
        let places = (-3..4).flat_map(|last| [(last, false), (last, true)]);
        let of_numbers = places.filter_map(|(last, missing_left)| {
            gain(&|row| match self.numbers[row] {
                x if x.is_nan() => missing_left,
                x => x <= f64::from(last),
            })
        });
        of_sets.chain(of_numbers).collect()
    }

    /// A tree of one split at most, and the impurity of all.
    fn grown(&self, criterion: Criterion, classes: Option<usize>) -> (Option<f64>, f64) {
        let columns = [
            Feature::Categorical { codes: &self.codes, levels: LEVELS as usize },
            Feature::Numeric(&self.numbers),
        ];
        let table = BinnedTable::new(&columns, Some(&self.weights), 255, 0).unwrap();
        let params = DecisionTree { criterion, max_depth: Some(1), ..DecisionTree::default() };
        let context = Context::default();
        let fit = match classes {
            None => params.fit_numbers(&table, &self.y, &context),
            Some(classes) => {
                let y: Vec<u32> = self.y.iter().map(|&y| y as u32).collect();
                params.fit_classes(&table, &y, classes, &context)
            }
        };
        let tree: Tree = fit.unwrap().model;
        let all: Vec<(f64, f64)> = self.y.iter().copied().zip(self.weights.iter().copied()).collect();
        let root = tree.node(0);
        (root.test.map(|_: Test| root.gain), impurity(criterion, &all).unwrap_or(0.0))
    }
}

/// Sums of squares and of logarithms, each rounded some hundred times.
const ROUNDING: f64 = 1e-9;

fn best(gains: &[f64]) -> Option<f64> {
    gains.iter().copied().max_by(f64::total_cmp)
}

proptest! {
    /// In the order of their means no subset of categories is missed (Breiman et al. 1984, section 9.4; Fisher 1958): for two
    /// classes, squared error and Poisson deviance. Counts are above 0: where a side of zeros is refused, what is best of the rest
    /// need not be in that order.
    #[test]
    fn the_best_of_all_divisions_is_found(problem in problem()) {
        let two = Problem { y: problem.y.iter().map(|y| y % 2.0).collect(), ..problem.clone() };
        let counts = Problem { y: problem.y.iter().map(|y| y + 1.0).collect(), ..problem.clone() };
        for (problem, criterion, classes) in [
            (&two, Criterion::Gini, Some(2)),
            (&two, Criterion::Entropy, Some(2)),
            (&problem, Criterion::Squared, None),
            (&counts, Criterion::Poisson, None),
        ] {
            let (found, whole) = problem.grown(criterion, classes);
            let best = best(&problem.gains(criterion, 0..2 << LEVELS));
            let bound = ROUNDING * (1.0 + whole);
            match (found, best) {
                (Some(gain), Some(best)) => prop_assert!((gain - best).abs() <= bound, "{criterion}: {gain} {best}"),
                (None, best) => prop_assert!(whole <= bound || best.is_none(), "{criterion}: none, {best:?}"),
                (gain, None) => prop_assert!(false, "{criterion}: {gain:?} where nothing can be divided"),
            }
        }
    }

    /// With more classes that order is no theorem: what is found is a division there is, and no category against all others is
    /// better.
    #[test]
    fn of_many_classes_no_category_alone_is_better(problem in problem()) {
        for criterion in [Criterion::Gini, Criterion::Entropy] {
            let (found, whole) = problem.grown(criterion, Some(6));
            let bound = ROUNDING * (1.0 + whole);
            let all = problem.gains(criterion, 0..2 << LEVELS);
            let missing = 1 << LEVELS;
            let alone = problem.gains(criterion, (0..LEVELS).flat_map(|level| [1 << level, 1 << level | missing]));
            match found {
                Some(gain) => {
                    prop_assert!(all.iter().any(|other| (gain - other).abs() <= bound), "{criterion}: {gain}");
                    prop_assert!(alone.iter().all(|other| gain >= other - bound), "{criterion}: {gain} {alone:?}");
                }
                None => prop_assert!(whole <= bound || all.is_empty(), "{criterion}: none of {all:?}"),
            }
        }
    }
}
