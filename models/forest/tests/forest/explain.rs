//! What is said of a forest is the mean of what is said of its trees; pruning a forest prunes each tree.

use tilewise_base::{
    Column, Context, Dataset, Model, ModelFile, Roles, Task, explain_dataset, predict_dataset,
};
use tilewise_forest::{ForestModel, RandomForest};
use tilewise_kernels::random::Philox;
use tilewise_tree::{DecisionTree, MaxFeatures, SHAP_TOLERANCE, Shap, TreeModel};

/// Two numbers, one of them missing here and there, and a category; a class and a number that follow from them.
fn data() -> Dataset {
    let random = Philox::new(1, Philox::purpose("problem"));
    let rows = 300;
    let a: Vec<f64> = (0..rows).map(|i| if i % 11 == 3 { f64::NAN } else { random.normal(i) }).collect();
    let b: Vec<f64> = (0..rows).map(|i| random.normal(1000 + i)).collect();
    let codes: Vec<u32> = (0..rows).map(|i| random.below(2000 + i, 4) as u32).collect();
    let y: Vec<f64> = (0..rows as usize).map(|i| a[i].max(0.0) * b[i] + f64::from(codes[i] % 2)).collect();
    let classes = y.iter().map(|y| u32::from(*y > 0.2) + u32::from(*y > 1.0)).collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let columns = vec![
        ("a", Column::F64(a.into())),
        ("b", Column::F64(b.into())),
        ("c", Column::Categorical { codes: codes.into(), dictionary: names(&["p", "q", "r", "s"]) }),
        ("class", Column::Categorical { codes: classes, dictionary: names(&["few", "many", "some"]) }),
        ("y", Column::F64(y.into())),
    ];
    Dataset::new(columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()).unwrap()
}

fn fit(params: &RandomForest, classify: bool) -> ForestModel {
    let (target, other) = if classify { ("class", "y") } else { ("y", "class") };
    let roles = Roles { ignore: vec![other.to_owned()], ..Roles::target(target) };
    ForestModel::fit(params, 255, classify, &data(), &roles, &Context::default()).unwrap()
}

#[test]
fn contributions_are_means_over_the_trees() {
    for classify in [true, false] {
        let model = fit(&RandomForest { trees: 9, ..RandomForest::default() }, classify);
        let (table, outputs) = (data(), model.outputs());
        let values = explain_dataset(&model, &table).unwrap();
        let answers = predict_dataset(&model, &table, None).unwrap();
        let trees = model.forest().trees();
        let largest = trees.iter().flat_map(|tree| (0..tree.len()).flat_map(|at| tree.value(at)));
        let tolerance = SHAP_TOLERANCE * largest.fold(1.0, |most: f64, value| most.max(value.abs()));
        let mut of_one = vec![0.0; 3 * outputs];
        for row in (0..table.rows()).step_by(7) {
            let cells = ["a", "b", "c"].map(|name| table.column(name).unwrap().cell(row));
            let mut mean = vec![0.0; 4 * outputs];
            for tree in trees {
                let shap = Shap::new(std::slice::from_ref(tree)).unwrap();
                shap.explain_row(&cells, &mut of_one);
                let all = shap.base().iter().chain(&of_one);
                mean.iter_mut().zip(all).for_each(|(mean, value)| *mean += value / 9.0);
            }
            let values = &values[row * 4 * outputs..][..4 * outputs];
            for (value, mean) in values.iter().zip(&mean) {
                assert!((value - mean).abs() <= tolerance, "{value} {mean}");
            }
            for output in 0..outputs {
                let sum: f64 = values.iter().skip(output).step_by(outputs).sum();
                assert!((sum - answers[row * outputs + output]).abs() <= tolerance);
            }
        }
        assert!(model.path(&[0.0; 3]).unwrap_err().to_string().contains("\"forest\""));
        assert!(model.outline(8).is_ok() && model.outline(9).is_err());
        assert_eq!(model.outline(3).unwrap().nodes.len(), trees[3].len());
        assert_eq!(model.importances().unwrap(), model.forest().importances());
    }
}

#[test]
fn trees_of_their_own_predict_what_the_forest_is_the_mean_of() {
    for classify in [true, false] {
        let forest = fit(&RandomForest { trees: 5, ..RandomForest::default() }, classify);
        let data = data();
        let mut mean = vec![0.0; data.rows() * forest.outputs()];
        for number in 0..5 {
            let tree = forest.tree(number).unwrap();
            assert!(tree.tree() == &forest.forest().trees()[number]);
            assert!(tree.outline(0).unwrap() == forest.outline(number).unwrap());
            assert_eq!((tree.task(), tree.targets()), (forest.task(), forest.targets()));
            // Three columns: the square root for classes, a third for numbers.
            let usual = if classify { MaxFeatures::Sqrt } else { MaxFeatures::Third };
            assert_eq!(tree.params().max_features, usual);
            let bytes = tree.to_bytes().unwrap();
            let read = TreeModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
            assert!(read.tree() == tree.tree() && read.to_bytes().unwrap() == bytes);
            let answers = predict_dataset(&tree, &data, None).unwrap();
            mean.iter_mut().zip(answers).for_each(|(mean, answer)| *mean += answer);
        }
        mean.iter_mut().for_each(|mean| *mean /= 5.0);
        assert_eq!(mean, predict_dataset(&forest, &data, None).unwrap());
        assert!(forest.tree(5).is_none());
    }
    let quantiles =
        fit(&RandomForest { trees: 2, quantiles: vec![0.1, 0.9], ..RandomForest::default() }, false);
    assert_eq!((quantiles.tree(1).unwrap().task(), quantiles.outputs()), (&Task::Regression, 2));
}

#[test]
fn a_price_of_leaves_prunes_each_tree() {
    for classify in [true, false] {
        let whole = fit(&RandomForest { trees: 5, ..RandomForest::default() }, classify);
        for ccp_alpha in [0.005, 0.02] {
            let tree = DecisionTree { ccp_alpha, ..DecisionTree::default() };
            let pruned = fit(&RandomForest { trees: 5, tree, ..RandomForest::default() }, classify);
            assert!(pruned.forest().leaves() < whole.forest().leaves());
            for (whole, pruned) in whole.forest().trees().iter().zip(pruned.forest().trees()) {
                assert_eq!(whole.pruned(ccp_alpha), *pruned);
            }
        }
    }
}
