//! That the fast trainer grows the trees of the plainest one.

use super::{Column, Problem, fit};
use crate::{EarlyStopping, GradientBoosting, Lesson, Loss};
use proptest::prelude::*;
use std::ops::Range;
use tilewise_base::Context;
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_tree::{Answers, BinnedTable, DecisionTree, Feature, Growth, MaxFeatures, Node, Penalty};

/// Rows of a drawn table.
#[derive(Clone, Debug)]
struct Rows {
    columns: Vec<Column>,
    numbers: Vec<f64>,
    weights: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
    /// Of each query, how many rows.
    queries: Vec<usize>,
}

impl Column {
    fn feature(&self) -> Feature<'_> {
        match self {
            Self::Numbers(values) => Feature::Numeric(values),
            Self::Codes(codes, levels) => Feature::Categorical { codes, levels: *levels },
        }
    }
}

impl Rows {
    fn table(&self, weights: Option<&[f64]>) -> BinnedTable {
        let features: Vec<Feature<'_>> = self.columns.iter().map(Column::feature).collect();
        BinnedTable::new(&features, weights, 255, 0).unwrap()
    }

    /// Answers that a loss accepts, and of how many classes they are.
    fn answers(&self, loss: Loss) -> (Vec<f64>, Option<usize>) {
        let y = self.numbers.iter();
        match loss {
            Loss::Logistic => (y.map(|y| f64::from(u8::from(*y > 0.5))).collect(), Some(2)),
            Loss::Softmax => (y.map(|y| (y.abs() * 4.0).floor() % 3.0).collect(), Some(3)),
            Loss::Poisson | Loss::Tweedie { .. } => (y.map(|y| y.abs().ceil()).collect(), None),
            Loss::Gamma => (y.map(|y| y.abs() + 0.25).collect(), None),
            Loss::LambdaRank { .. } => (y.map(|y| (y.abs() * 4.0).floor() % 5.0).collect(), None),
            _ => (y.copied().collect(), None),
        }
    }

    /// Ranges of all rows.
    fn groups(&self) -> Vec<Range<usize>> {
        let (mut groups, mut next) = (Vec::new(), 0);
        for &rows in self.queries.iter().cycle() {
            let end = self.numbers.len().min(next + rows);
            groups.push(next..end);
            next = end;
            if next == self.numbers.len() {
                return groups;
            }
        }
        groups
    }
}

/// That both fit the same stages, on any number of threads.
fn compare(params: &GradientBoosting, rows: &Rows, seed: u64) {
    let (y, classes) = rows.answers(params.loss);
    let ranks = matches!(params.loss, Loss::LambdaRank { .. });
    let groups = ranks.then(|| rows.groups());
    // All rows of a query have one weight.
    let mut weights = rows.weights.clone();
    for group in groups.iter().flatten() {
        weights.iter_mut().for_each(|weights| {
            let of_first = weights[group.start];
            weights[group.clone()].fill(of_first);
        });
    }
    let table = rows.table(weights.as_deref());
    let answers = match classes {
        Some(classes) => Answers::Classes { y: y.iter().map(|y| *y as u32).collect(), classes },
        None => Answers::Numbers(y.clone()),
    };
    let lesson =
        Lesson { offset: rows.offset.as_deref(), groups: groups.as_deref(), ..Lesson::new(&answers) };
    let mut expected = None;
    for (threads, scheme) in [(1, Scheme::Auto), (3, Scheme::Auto), (2, Scheme::Tasks), (3, Scheme::Rows)] {
        let context = Context { seed, scheme, ..Context::default() };
        let fit_here = || params.fit(&table, &lesson, &context);
        let fitted = match parallel::with_threads(threads, fit_here) {
            Ok(fitted) => fitted.model,
            // Of few rows or queries all may be held out, or none, or all that are not 0.
            Err(error) if params.early_stopping.is_some() => {
                let told = error.to_string();
                assert!(told.contains("too few rows") || told.contains("is 0 in all rows"), "{told}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let expected = expected.get_or_insert_with(|| {
            let objective = params.loss.objective(classes).unwrap();
            let problem = Problem {
                columns: &rows.columns,
                y: &y,
                weights: weights.as_deref(),
                offset: rows.offset.as_deref(),
                groups: groups.as_deref(),
            };
            fit(params, &*objective, &problem, seed)
        });
        let ensemble = fitted.ensemble();
        assert_eq!((ensemble.base(), fitted.validation()), (&expected.base[..], &expected.losses[..]));
        for (score, trees) in expected.trees.iter().enumerate() {
            assert_eq!(ensemble.trees(score).len(), trees.len());
            for (stage, (tree, plain)) in ensemble.trees(score).iter().zip(trees).enumerate() {
                let nodes: Vec<(Node, f64)> =
                    tree.nodes().enumerate().map(|(at, node)| (node, tree.value(at)[0])).collect();
                assert_eq!(&nodes, plain, "tree {stage} of score {score}, {threads} threads");
            }
        }
    }
}

fn column(rows: usize) -> impl Strategy<Value = Column> {
    let number =
        prop_oneof![12 => (-6..7).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)];
    let code = |levels: u32| prop_oneof![8 => 0..levels, 1 => Just(u32::MAX)];
    prop_oneof![
        2 => prop::collection::vec(number, rows).prop_map(Column::Numbers),
        1 => (1_u32..7).prop_flat_map(move |levels| {
            prop::collection::vec(code(levels), rows).prop_map(move |codes| Column::Codes(codes, levels as usize))
        }),
    ]
}

fn rows(count: impl Strategy<Value = usize>) -> impl Strategy<Value = Rows> {
    (count, 1_usize..4).prop_flat_map(|(rows, columns)| {
        let weight = prop::sample::select(vec![0.0, 1.0, 1.0, 2.0, 0.5]);
        let answer = prop::sample::select(vec![-1.5, 0.0, 0.125, 0.7, 2.0, 7.3, 1e4]);
        (
            prop::collection::vec(column(rows), columns),
            prop::collection::vec(answer, rows),
            prop::option::of(prop::collection::vec(weight, rows)),
            prop::option::of(prop::collection::vec(-1.0..1.0, rows)),
            prop::collection::vec(1_usize..12, 1..6),
        )
            .prop_map(|(columns, mut numbers, mut weights, offset, queries)| {
                // Something to learn from.
                numbers[0] = 7.3;
                weights.iter_mut().for_each(|weights| weights[0] = 1.0);
                Rows { columns, numbers, weights, offset, queries }
            })
    })
}

fn losses() -> impl Strategy<Value = Loss> {
    prop::sample::select(vec![
        Loss::Squared,
        Loss::Absolute,
        Loss::Huber { delta: 1.0 },
        Loss::Quantile { quantile: 0.2 },
        Loss::Logistic,
        Loss::Softmax,
        Loss::Poisson,
        Loss::Gamma,
        Loss::Tweedie { power: 1.4 },
        Loss::LambdaRank { truncation: 3 },
    ])
}

fn growth() -> impl Strategy<Value = DecisionTree> {
    (
        prop::sample::select(vec![Growth::LeafWise, Growth::DepthWise, Growth::Oblivious]),
        prop::sample::select(vec![None, Some(1), Some(3)]),
        prop::sample::select(vec![None, Some(2), Some(6)]),
        prop::sample::select(vec![1_usize, 2, 5]),
        prop::sample::select(vec![0.0, 0.5]),
        prop::sample::select(vec![MaxFeatures::All, MaxFeatures::All, MaxFeatures::Count(1)]),
        prop::sample::select(vec![vec![], vec![], vec![vec![0, 1], vec![1, 2]], vec![vec![0], vec![1, 2]]]),
    )
        .prop_map(
            |(growth, max_depth, max_leaves, min_samples_leaf, gain, max_features, interactions)| {
                let limited = max_depth.is_some() || max_leaves.is_some();
                DecisionTree {
                    growth,
                    max_depth: if limited { max_depth } else { Some(4) },
                    max_leaves,
                    min_samples_leaf,
                    min_impurity_decrease: gain,
                    // How levels draw is tested where they grow.
                    max_features: if growth == Growth::Oblivious { MaxFeatures::All } else { max_features },
                    interactions,
                    ..DecisionTree::default()
                }
            },
        )
}

fn penalty() -> impl Strategy<Value = Penalty> {
    let (l2, l1) = (prop::sample::select(vec![0.0, 1.0]), prop::sample::select(vec![0.0, 0.0, 0.3]));
    let (least, smoothing) = (prop::sample::select(vec![0.0, 1.0]), prop::sample::select(vec![0.0, 10.0]));
    (l2, l1, least, smoothing).prop_map(|(l2, l1, min_hessian, category_smoothing)| Penalty {
        l2,
        l1,
        min_hessian,
        category_smoothing,
    })
}

/// Signs for columns of numbers, where a loss has one score.
fn signed(mut params: GradientBoosting, rows: &Rows, sign: i8) -> GradientBoosting {
    if params.loss != Loss::Softmax {
        let of = |(i, column): (usize, &Column)| match column {
            Column::Numbers(_) if i % 2 == 0 => sign,
            Column::Numbers(_) => -sign,
            Column::Codes(..) => 0,
        };
        params.tree.monotone = rows.columns.iter().enumerate().map(of).collect();
    }
    let columns = rows.columns.len() as u32;
    params.tree.interactions.iter_mut().for_each(|group| group.retain(|&feature| feature < columns));
    params
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn stages_are_those_of_the_naive_trainer(
        rows in rows(1_usize..90),
        loss in losses(),
        tree in growth(),
        penalty in penalty(),
        (stages, learning_rate) in (1_usize..5, prop::sample::select(vec![1.0, 0.1])),
        subsample in prop::sample::select(vec![1.0, 1.0, 0.6]),
        stopping in prop::option::of((1_usize..3, prop::sample::select(vec![0.2, 0.5]))),
        sign in prop::sample::select(vec![0_i8, 0, 1, -1]),
        seed in 0_u64..9,
    ) {
        let early_stopping = stopping.map(|(patience, share)| EarlyStopping { patience, share });
        let params = GradientBoosting {
            loss,
            stages,
            learning_rate,
            subsample,
            penalty,
            tree,
            early_stopping,
            ..GradientBoosting::default()
        };
        compare(&signed(params, &rows, sign), &rows, seed);
    }
}

/// As many rows as have histograms, kernels' scans and more than one block of words.
#[test]
fn larger_trees_are_those_of_the_naive_trainer() {
    const ROWS: usize = 500;
    let random = Philox::new(3, 4);
    let number = |row: usize, column: u64| random.below(row as u64 * 8 + column, 1 << 20) as f64;
    let wide = |column: u64| Column::Numbers((0..ROWS).map(|row| number(row, column) % 120.0).collect());
    let some = (0..ROWS).map(|row| if row % 9 == 4 { f64::NAN } else { number(row, 2) % 7.0 }).collect();
    let codes = (0..ROWS).map(|row| number(row, 3) as u32 % 30).collect();
    let columns = vec![wide(0), wide(1), Column::Numbers(some), Column::Codes(codes, 30)];
    let y = |row: usize| match &columns[..] {
        [Column::Numbers(a), Column::Numbers(b), _, Column::Codes(codes, _)] => {
            a[row] / 40.0 - (b[row] / 30.0).sin() + f64::from(codes[row] % 4) + number(row, 4) / 1e6
        }
        _ => 0.0,
    };
    let numbers = (0..ROWS).map(y).collect();
    let weights = Some((0..ROWS).map(|row| [1.0, 2.0, 0.5][row % 3]).collect());
    let mut rows = Rows { columns, numbers, weights, offset: None, queries: vec![7, 19, 1] };
    for (growth, max_leaves) in [(Growth::LeafWise, 31), (Growth::DepthWise, 9), (Growth::Oblivious, 16)] {
        for loss in
            [Loss::Squared, Loss::Logistic, Loss::Softmax, Loss::Absolute, Loss::LambdaRank { truncation: 5 }]
        {
            let tree = DecisionTree {
                growth,
                max_leaves: Some(max_leaves),
                min_samples_leaf: 8,
                interactions: if loss == Loss::Logistic { vec![vec![0, 1], vec![1, 2, 3]] } else { vec![] },
                ..DecisionTree::default()
            };
            let params = GradientBoosting { loss, stages: 3, tree, ..GradientBoosting::default() };
            compare(&params, &rows, 1);
            compare(&signed(params, &rows, 1), &rows, 2);
        }
        rows.weights = None;
    }
}

/// Both halves of a table gain the same by the same division, to the last bit, and there is one left.
#[test]
fn of_equal_gains_the_first_node_is_divided() {
    let column = |of: fn(u8) -> u8| Column::Numbers((0..16).map(|row| of(row).into()).collect());
    let numbers = (0..16).map(|row| f64::from(row / 8 * 8 + row % 2)).collect();
    let columns = vec![column(|row| row / 8), column(|row| row % 2)];
    let rows = Rows { columns, numbers, weights: None, offset: None, queries: vec![16] };
    for growth in [Growth::LeafWise, Growth::DepthWise] {
        let of = |leaves| GradientBoosting {
            stages: 1,
            penalty: Penalty { l2: 0.0, ..Penalty::default() },
            tree: DecisionTree { growth, max_leaves: Some(leaves), ..DecisionTree::default() },
            ..GradientBoosting::default()
        };
        let answers = Answers::Numbers(rows.numbers.clone());
        let gains = |leaves| -> Vec<f64> {
            let fit = of(leaves).fit(&rows.table(None), &Lesson::new(&answers), &Context::default());
            fit.unwrap().model.ensemble().trees(0)[0].nodes().map(|node| node.gain).collect()
        };
        // The root, the left half and its leaves, the right half and its leaves.
        let [_, left, 0.0, 0.0, right, 0.0, 0.0] = gains(4)[..] else { panic!("{:?}", gains(4)) };
        assert!(left == right && left > 0.0);
        assert_eq!(gains(3)[1..], [left, 0.0, 0.0, 0.0]);
        compare(&of(3), &rows, 0);
    }
}
