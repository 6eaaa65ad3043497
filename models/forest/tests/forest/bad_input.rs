//! Forests of tables from which little or nothing can be learned, given as slices (the table is in the README of the trees).

use tilewise_base::Context;
use tilewise_forest::{IsolationForest, RandomForest};
use tilewise_tree::{BinnedTable, DecisionTree, Feature, Splitter};

fn table(columns: &[Feature<'_>]) -> BinnedTable {
    BinnedTable::new(columns, None, 255, 0).unwrap()
}

/// A random forest and extra trees, drawn and not.
fn all() -> Vec<RandomForest> {
    let params = |splitter, bootstrap| RandomForest {
        trees: 5,
        bootstrap,
        out_of_bag: bootstrap,
        tree: DecisionTree { splitter, ..DecisionTree::default() },
        ..RandomForest::default()
    };
    let splitters = [Splitter::Best, Splitter::Random];
    splitters
        .into_iter()
        .flat_map(|splitter| [true, false].map(|bootstrap| params(splitter, bootstrap)))
        .collect()
}

#[test]
fn where_nothing_can_be_divided_every_tree_is_a_leaf() {
    let (x, nothing, codes) = ([1.0, 2.0, 3.0, 4.0], [f64::NAN; 4], [u32::MAX; 4]);
    let context = Context::default();
    let empty = Feature::Categorical { codes: &codes, levels: 2 };
    for params in all() {
        for (columns, y) in [
            (vec![Feature::Numeric(&x)], [2.0; 4]),
            (vec![Feature::Numeric(&nothing), empty], [0.0, 1.0, 1.0, 3.0]),
            (vec![Feature::Numeric(&[7.0; 4])], [0.0, 1.0, 1.0, 3.0]),
        ] {
            let forest = params.fit_numbers(&table(&columns), &y, &context).unwrap().model;
            assert_eq!(forest.leaves(), 5);
            let mut out = [0.0];
            forest.predict_row(&vec![1.0; columns.len()], &mut out);
            let mean = y.iter().sum::<f64>() / 4.0;
            // Drawn rows have a mean of their own.
            assert!(params.bootstrap && y[0] != y[3] || (out[0] - mean).abs() < 1e-9, "{out:?}");
            assert!((y[0]..=y[3]).contains(&out[0]));
        }
        // One class, and one row.
        let forest = params.fit_classes(&table(&[Feature::Numeric(&x)]), &[1; 4], 2, &context).unwrap().model;
        let mut shares = [0.5; 2];
        forest.predict_row(&[9.0], &mut shares);
        assert_eq!((forest.leaves(), shares), (5, [0.0, 1.0]));
        let one = table(&[Feature::Numeric(&x[..1])]);
        assert_eq!(params.fit_numbers(&one, &[3.0], &context).unwrap().model.leaves(), 5);
        let odd =
            params.fit_numbers(&table(&[Feature::Numeric(&x)]), &[1.0, 2.0, f64::INFINITY, 0.0], &context);
        assert!(odd.unwrap_err().to_string().contains("row 3"));
    }
}

#[test]
fn isolation_forests_take_what_there_is() {
    let (nothing, context) = ([f64::NAN; 9], Context::default());
    let codes = [u32::MAX; 9];
    let empty = Feature::Categorical { codes: &codes, levels: 4 };
    let params = IsolationForest { trees: 7, ..IsolationForest::default() };
    // Nothing sets a row apart.
    let fit = params
        .fit(&[Feature::Numeric(&nothing), Feature::Numeric(&[3.0; 9]), empty], None, &context)
        .unwrap();
    assert!((fit.model.score(&[1.0, f64::NAN, -1.0]) - 0.5).abs() < 1e-12);
    assert!(fit.report.warnings.iter().any(|warning| warning.contains("no column differs")));
    // Infinities are the numbers at the ends.
    let mut x = [1.0; 9];
    (x[0], x[1]) = (f64::INFINITY, f64::NEG_INFINITY);
    let model = params.fit(&[Feature::Numeric(&x)], None, &context).unwrap().model;
    assert!(model.score(&[f64::INFINITY]) > model.score(&[1.0]) && model.score(&[f64::NEG_INFINITY]) > 0.5);
    // More categories than bins.
    let codes: Vec<u32> = (0..70_000).collect();
    let many = [Feature::Categorical { codes: &codes, levels: 70_000 }];
    let model = params.fit(&many, None, &context).unwrap().model;
    assert!(model.score(&[3.0]).is_finite() && model.score(&[300.0]) == model.score(&[69_999.0]));
    let told = |columns: &[Feature<'_>]| params.fit(columns, None, &context).unwrap_err().to_string();
    assert!(
        told(&[]).contains("no columns") && told(&[Feature::Numeric(&[1.0])]).contains("fewer than two rows")
    );
}
