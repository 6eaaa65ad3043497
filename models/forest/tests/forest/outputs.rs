//! Forests of several numbers.

use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Roles, predict_dataset};
use tilewise_forest::{Forest, ForestModel, RandomForest};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatRef, parallel};
use tilewise_tree::{Answers, BinnedTable, DecisionTree, MaxFeatures};

const ROWS: usize = 900;

/// Three columns, of which the first two decide a number each; a third number is noise.
fn problem() -> (BinnedTable, Vec<f64>, Vec<Vec<f64>>) {
    let random = Philox::new(5, Philox::purpose("problem"));
    let x: Vec<f64> = (0..3 * ROWS as u64).map(|i| random.normal(i)).collect();
    let noise = |i: usize| 0.2 * random.normal((3 * ROWS + i) as u64);
    let of = |f: &dyn Fn(&[f64], f64) -> f64, first: usize| -> Vec<f64> {
        x.chunks_exact(3).enumerate().map(|(i, row)| f(row, noise(first + i))).collect()
    };
    let y = vec![
        of(&|row, noise| row[0] + noise, 0),
        of(&|row, noise| 2.0 - row[1] + noise, ROWS),
        of(&|_, noise| noise, 2 * ROWS),
    ];
    let table = BinnedTable::of_matrix(MatRef::new(&x, ROWS, 3).unwrap(), None, 255, 0).unwrap();
    (table, x, y)
}

fn fit(params: &RandomForest, table: &BinnedTable, y: &[Vec<f64>]) -> Forest {
    params.fit_outputs(table, y, &Context::default()).unwrap().model
}

#[test]
fn a_forest_predicts_the_means_of_its_trees() {
    let (table, x, y) = problem();
    let params = RandomForest { trees: 9, out_of_bag: true, ..RandomForest::default() };
    let forest = fit(&params, &table, &y);
    for row in x.chunks_exact(3).take(50) {
        let (mut all, mut one, mut sum) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        forest.predict_row(row, &mut all);
        for tree in forest.trees() {
            tree.predict_row(row, &mut one);
            sum = std::array::from_fn(|i| sum[i] + one[i]);
        }
        assert!((0..3).all(|i| (all[i] - sum[i] / 9.0).abs() < 1e-12), "{all:?} {sum:?}");
    }
    for threads in [1, 3, 7] {
        assert!(parallel::with_threads(threads, || fit(&params, &table, &y)) == forest, "{threads}");
    }
    let five = fit(&RandomForest { trees: 5, ..params.clone() }, &table, &y);
    let answers = Answers::Outputs(y.clone());
    let more = params.continue_from(&five, &table, &answers, &Context::default()).unwrap().model;
    assert!(more == forest);
}

#[test]
fn one_tree_without_drawing_is_the_decision_tree() {
    let (table, _, y) = problem();
    let tree = DecisionTree { min_samples_leaf: 3, ..DecisionTree::default() };
    let params = RandomForest {
        trees: 1,
        bootstrap: false,
        max_features: Some(MaxFeatures::All),
        tree: tree.clone(),
        ..RandomForest::default()
    };
    let expected = tree.fit_outputs(&table, &y, &Context::default()).unwrap().model;
    assert_eq!(fit(&params, &table, &y).trees(), [expected]);
}

#[test]
fn it_is_judged_by_the_mean_of_all_outputs() {
    let (table, _, y) = problem();
    let params = RandomForest { trees: 60, out_of_bag: true, ..RandomForest::default() };
    let score = |y: &[Vec<f64>]| fit(&params, &table, y).out_of_bag().unwrap().score;
    let two = score(&y[..2]);
    assert!(two > 0.8, "{two}");
    // What is only noise is explained worse than by its mean: of three outputs the mean is below two thirds of the others'.
    let three = score(&y);
    assert!((0.3..2.0 / 3.0).contains(&three), "{three}");
    let forest = fit(&params, &table, &y);
    let importances = forest.out_of_bag_importances(&table, &Answers::Outputs(y)).unwrap();
    assert!(importances[0] > 10.0 * importances[2].abs() && importances[1] > 10.0 * importances[2].abs());
}

#[test]
fn quantiles_are_of_one_number() {
    let (table, _, y) = problem();
    let params = RandomForest { quantiles: vec![0.5], ..RandomForest::default() };
    let told = params.fit_outputs(&table, &y, &Context::default()).unwrap_err().to_string();
    assert!(told.contains("quantiles") && told.contains("several numbers"), "{told}");
}

#[test]
fn a_table_with_several_targets_gives_the_forest_of_their_slices() {
    let (_, x, y) = problem();
    let names = |count: usize| (0..count).map(|j| format!("y{j}")).collect::<Vec<String>>();
    let inputs = (0..3).map(|j| (format!("x{j}"), x.chunks_exact(3).map(|row| row[j]).collect::<Vec<f64>>()));
    let columns: Vec<(String, Vec<f64>)> = inputs.chain(names(3).into_iter().zip(y.clone())).collect();
    let columns = columns.into_iter().map(|(name, values)| (name, Column::F64(values.into())));
    let data = Dataset::new(columns.collect()).unwrap();
    let of = |targets: Vec<String>| Roles { targets, ..Roles::default() };
    let fit_table = |trees: usize, roles: &Roles| {
        let params = RandomForest { trees, out_of_bag: true, ..RandomForest::default() };
        ForestModel::fit(&params, 255, false, &data, roles, &Context::default()).unwrap()
    };
    let (table, ..) = problem();
    let model = fit_table(6, &of(names(3)));
    let params = model.params().clone();
    assert!(*model.forest() == fit(&params, &table, &y));
    assert_eq!((model.target(), model.targets()), ("", vec!["y0", "y1", "y2"]));
    let bytes = model.to_bytes().unwrap();
    let same = ForestModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert!(same.forest() == model.forest() && same.to_bytes().unwrap() == bytes);
    let predictions = predict_dataset(&same, &data, None).unwrap();
    let mut out = [0.0; 3];
    for (row, answer) in x.chunks_exact(3).zip(predictions.chunks_exact(3)) {
        model.forest().predict_row(row, &mut out);
        assert_eq!(answer, out);
    }
    // It goes on for the same targets in the same order alone.
    let go_on = |roles: &Roles| {
        let nine = RandomForest { trees: 9, ..params.clone() };
        same.continued(&nine, 255, false, &data, roles, &Context::default())
    };
    let nine = go_on(&of(names(3))).unwrap().to_bytes().unwrap();
    assert!(nine == fit_table(9, &of(names(3))).to_bytes().unwrap());
    let turned = of(names(3).into_iter().rev().collect());
    let message = go_on(&turned).unwrap_err().to_string();
    assert!(message.contains("y2, y1, y0; the forest to continue predicts y0, y1, y2"), "{message}");
    // With quantiles of one it would be another model, and is refused.
    let quantiles = RandomForest { quantiles: vec![0.5], ..params };
    let refused = ForestModel::fit(&quantiles, 255, false, &data, &of(names(2)), &Context::default());
    assert!(refused.unwrap_err().to_string().contains("quantiles"));
}
