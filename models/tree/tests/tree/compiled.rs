//! Compiled trees give the bits of walks one by one ([`Tree::leaf`]), by every engine, on any number of threads.

use proptest::prelude::*;
use tilewise_base::Context;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{Float, MatMut, MatRef, parallel};
use tilewise_tree::{BinnedTable, Compiled, DecisionTree, Engine, Feature, Test, Tree};

const ENGINES: [Engine; 3] = [Engine::Nodes, Engine::Codes, Engine::Masks];
const COLUMNS: usize = 4;

/// Trees on one table of three columns of numbers, some missing, and one of categories, each for other answers.
fn grown(trees: u64, leaves: Option<usize>, outputs: usize, categories: bool, seed: u64) -> Vec<Tree> {
    const ROWS: usize = 300;
    let random = Philox::new(seed, Philox::purpose("compiled trees"));
    let number = |column: u64, i: usize| {
        let place = column * ROWS as u64 + i as u64;
        let x = random.normal(place);
        // Few distinct values, many, and some missing.
        match column {
            0 => x.round(),
            1 if random.below(place + 10_000, 5) == 0 => f64::NAN,
            _ => x,
        }
    };
    let numbers = [0, 1, 2].map(|column| (0..ROWS).map(|i| number(column, i)).collect::<Vec<f64>>());
    let codes: Vec<u32> = (0..ROWS as u64).map(|i| random.below(20_000 + i, 6) as u32).collect();
    let last = if categories {
        // The last category is one that training does not see.
        Feature::Categorical { codes: &codes, levels: 7 }
    } else {
        Feature::Numeric(&numbers[2])
    };
    let columns =
        [Feature::Numeric(&numbers[0]), Feature::Numeric(&numbers[1]), Feature::Numeric(&numbers[2]), last];
    let table = BinnedTable::new(&columns, None, 255, 0).unwrap();
    let params = DecisionTree { max_leaves: leaves, ..DecisionTree::default() };
    let tree = |tree: u64| {
        let noise = |i: usize| random.normal(30_000 + tree * ROWS as u64 + i as u64);
        let y = |i: usize| numbers[0][i] + f64::from(codes[i] % 3) + noise(i);
        let context = Context::default();
        if outputs == 1 {
            let y: Vec<f64> = (0..ROWS).map(y).collect();
            params.fit_numbers(&table, &y, &context).unwrap().model
        } else {
            let class = |i: usize| (y(i).max(0.0) as u32).min(outputs as u32 - 1);
            let y: Vec<u32> = (0..ROWS).map(class).collect();
            params.fit_classes(&table, &y, outputs, &context).unwrap().model
        }
    };
    (0..trees).map(tree).collect()
}

/// Cells on the thresholds of the trees and one step to either side, missing, infinite, categories known and unknown.
fn cells<T: Float>(
    trees: &[Tree],
    rows: usize,
    categories: bool,
    seed: u64,
    step: fn(T, i32) -> T,
) -> Vec<T> {
    let random = Philox::new(seed, Philox::purpose("compiled trees: cells"));
    let mut thresholds = [const { Vec::new() }; COLUMNS];
    for node in trees.iter().flat_map(Tree::nodes) {
        if let Some(Test::UpTo(threshold)) = node.test {
            thresholds[node.feature as usize].push(threshold);
        }
    }
    let cell = |i: usize| {
        let below = |k: u64, n: usize| random.below(3 * i as u64 + k, n as u64) as usize;
        let thresholds = &thresholds[i % COLUMNS];
        T::from_f64(match below(0, 10) {
            _ if categories && i % COLUMNS == 3 => {
                [f64::NAN, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0][below(1, 10)]
            }
            0 => f64::NAN,
            1 => [f64::INFINITY, f64::NEG_INFINITY][below(1, 2)],
            _ if thresholds.is_empty() => 0.5,
            _ => return step(T::from_f64(thresholds[below(1, thresholds.len())]), below(2, 3) as i32 - 1),
        })
    };
    (0..rows * COLUMNS).map(cell).collect()
}

fn step64(x: f64, step: i32) -> f64 {
    [x.next_down(), x, x.next_up()][(step + 1) as usize]
}

fn step32(x: f32, step: i32) -> f32 {
    [x.next_down(), x, x.next_up()][(step + 1) as usize]
}

/// The mean of what the trees say, one walk after the other.
fn one_by_one<T: Float>(trees: &[Tree], x: MatRef<'_, T>) -> Vec<u64> {
    let row = |i: usize| {
        let row: Vec<f64> = (0..COLUMNS).map(|j| x.get(i, j).to_f64()).collect();
        let mut sums = vec![0.0; trees[0].outputs()];
        for tree in trees {
            sums.iter_mut().zip(tree.value(tree.leaf(&row))).for_each(|(sum, x)| *sum += x);
        }
        sums.into_iter().map(|sum| (sum / trees.len() as f64).to_bits())
    };
    (0..x.rows()).flat_map(row).collect()
}

fn compiled<T: Float>(compiled: &Compiled, x: MatRef<'_, T>) -> Vec<u64> {
    let mut out = vec![0.5; x.rows() * compiled.outputs()];
    compiled.mean(x, MatMut::new(&mut out, x.rows(), compiled.outputs()).unwrap()).unwrap();
    out.iter().map(|x| x.to_bits()).collect()
}

fn all_agree<T: Float>(trees: &[Tree], categories: bool, x: &[T]) {
    let rows = x.len() / COLUMNS;
    let lying = MatRef::new(x, rows, COLUMNS).unwrap();
    let standing = MatRef::new(x, COLUMNS, rows).unwrap().transpose();
    for x in [lying, standing, lying.reverse_rows()] {
        let expected = one_by_one(trees, x);
        assert!(compiled(&Compiled::new(trees).unwrap(), x) == expected, "by the rule");
        for engine in ENGINES {
            let Some(one) = Compiled::with_engine(trees, engine).unwrap() else {
                let most = trees.iter().map(Tree::leaves).max().unwrap();
                assert!(engine == Engine::Masks && (categories || most > 256), "{engine:?}");
                continue;
            };
            assert_eq!(one.engine(rows), engine);
            assert!(compiled(&one, x) == expected, "{engine:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn engines_agree_with_walks_one_by_one(
        rows in prop_oneof![0usize..20, 50usize..300],
        trees in prop_oneof![1u64..4, 15u64..40],
        leaves in proptest::sample::select(vec![Some(1), Some(7), Some(16), Some(64), None]),
        outputs in 1usize..4,
        categories: bool,
        seed in 0u64..1000,
    ) {
        let trees = grown(trees, leaves, outputs, categories, seed);
        // Cells of a category column are read as numbers of categories in any layout.
        all_agree(&trees, categories, &cells(&trees, rows, categories, seed, step64));
        all_agree(&trees, categories, &cells(&trees, rows, categories, seed, step32));
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (leaves, categories) in [(Some(60), false), (None, true)] {
        let trees = grown(60, leaves, 3, categories, 7);
        let x = cells(&trees, 5000, categories, 8, step64);
        let x = MatRef::new(&x, 5000, COLUMNS).unwrap();
        let expected = one_by_one(&trees, x);
        for engine in ENGINES {
            let Some(one) = Compiled::with_engine(&trees, engine).unwrap() else { continue };
            for threads in [1, 2, 3, 7] {
                let out = parallel::with_threads(threads, || compiled(&one, x));
                assert!(out == expected, "{engine:?} on {threads} threads");
            }
            // A row is the same alone, and a part of the rows too.
            for (first, count) in [(0, 1), (17, 1), (300, 40), (1, 700)] {
                let part = compiled(&one, x.row_range(first..first + count));
                assert!(part == expected[3 * first..3 * (first + count)], "{engine:?}, {count} rows");
            }
        }
    }
}

#[test]
fn the_rule_is_by_shape() {
    let engines = |trees: &[Tree]| {
        let compiled = Compiled::new(trees).unwrap();
        [1, 127, 128, 50_000].map(|rows| compiled.engine(rows))
    };
    let (few, many) = (Engine::Nodes, |engine| [Engine::Nodes, Engine::Nodes, engine, engine]);
    assert_eq!(engines(&grown(1, None, 1, false, 1)), [few; 4]);
    assert_eq!(engines(&grown(20, Some(64), 1, false, 1)), many(Engine::Masks));
    assert_eq!(engines(&grown(20, Some(64), 1, true, 1)), many(Engine::Codes));
    assert_eq!(engines(&grown(20, None, 2, false, 1)), many(Engine::Masks));
    let large = grown(20, None, 1, false, 1);
    assert!(large.iter().any(|tree| tree.leaves() > 256));
    assert_eq!(engines(&large), many(Engine::Codes));
}

#[test]
fn what_does_not_fit_is_refused() {
    let trees = grown(3, None, 2, true, 1);
    assert!(Compiled::new(&[]).is_err() && Compiled::with_engine(&[], Engine::Codes).is_err());
    // Another number of outputs, other inputs.
    for others in [grown(1, None, 3, true, 1), grown(1, None, 2, false, 1)] {
        assert!(Compiled::new(&[&trees[..], &others].concat()).is_err());
    }
    let compiled = Compiled::new(&trees).unwrap();
    let x = [0.0; 2 * COLUMNS];
    let of = |rows, columns| MatRef::new(&x[..rows * columns], rows, columns).unwrap();
    let mut out = [0.0; 4];
    assert!(compiled.mean(of(2, COLUMNS), MatMut::new(&mut out, 2, 2).unwrap()).is_ok());
    assert!(compiled.mean(of(2, COLUMNS - 1), MatMut::new(&mut out, 2, 2).unwrap()).is_err());
    assert!(compiled.mean(of(1, COLUMNS), MatMut::new(&mut out, 2, 2).unwrap()).is_err());
    assert!(compiled.mean(of(2, COLUMNS), MatMut::new(&mut out, 4, 1).unwrap()).is_err());
    // Rows that do not follow each other in the output.
    let mut apart = [7.0; 6];
    let view = MatMut::with_strides(&mut apart, 0, 2, 2, 3, 1).unwrap();
    compiled.mean(of(2, COLUMNS), view).unwrap();
    compiled.mean(of(2, COLUMNS), MatMut::new(&mut out, 2, 2).unwrap()).unwrap();
    assert_eq!(apart, [out[0], out[1], 7.0, out[2], out[3], 7.0]);
    // One tree's sum is its value.
    let tree = Compiled::new(&trees[..1]).unwrap();
    tree.sum(of(1, COLUMNS), MatMut::new(&mut out[..2], 1, 2).unwrap()).unwrap();
    assert_eq!(out[..2], *trees[0].value(trees[0].leaf(&x[..COLUMNS])));
}
