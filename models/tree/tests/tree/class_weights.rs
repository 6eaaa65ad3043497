//! Balanced classes count the same, as rows of such weights do.

use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_tree::{BinnedTable, ClassWeights, DecisionTree, Draw};

/// 30 rows of class 0, 10 of class 1 and none of class 2.
fn problem() -> (Vec<f64>, Vec<u32>) {
    let x = (0..80).map(|i| f64::from(i * 7 % 23)).collect();
    (x, (0..40).map(|i| u32::from(i % 4 == 1)).collect())
}

fn table(x: &[f64], weights: Option<&[f64]>) -> BinnedTable {
    BinnedTable::of_matrix(MatRef::new(x, x.len() / 2, 2).unwrap(), weights, 255, 0).unwrap()
}

#[test]
fn balanced_classes_are_rows_of_their_weights() {
    let (x, y) = problem();
    let balanced = DecisionTree {
        class_weights: ClassWeights::Balanced,
        max_depth: Some(3),
        min_samples_leaf: 2,
        ..DecisionTree::default()
    };
    let plain = DecisionTree { class_weights: ClassWeights::Rows, ..balanced.clone() };
    // 40 / (2 x 30) and 40 / (2 x 10), and the same by twos where rows count twice.
    let by_class = [2.0 / 3.0, 2.0];
    let weights: Vec<f64> = y.iter().map(|&class| by_class[class as usize]).collect();
    let context = Context::default();
    for classes in [2, 3] {
        let a = balanced.fit_classes(&table(&x, None), &y, classes, &context).unwrap().model;
        let b = plain.fit_classes(&table(&x, Some(&weights)), &y, classes, &context).unwrap().model;
        assert!(a.leaves() > 3);
        assert_eq!(
            (a.nodes().collect::<Vec<_>>(), a.outputs()),
            (b.nodes().collect::<Vec<_>>(), b.outputs())
        );
        // Both classes have half of the root.
        assert!((a.value(0)[0] - 0.5).abs() < 1e-6 && (a.value(0)[1] - 0.5).abs() < 1e-6);
        let counts: Vec<u32> = (0..40).map(|i| i % 3).collect();
        let draw = Draw { counts: Some(&counts), ..Draw::default() };
        let drawn = balanced.grow_classes(&table(&x, None), &y, classes, &draw).unwrap();
        let twos: Vec<f64> = counts.iter().zip(&weights).map(|(&n, w)| f64::from(n) * w).collect();
        let same = plain.fit_classes(&table(&x, Some(&twos)), &y, classes, &context).unwrap().model;
        assert_eq!(drawn.value(0), same.value(0));
    }
    let error = balanced.fit_numbers(&table(&x, None), &[1.0; 40], &context).unwrap_err().to_string();
    assert!(error.contains("class_weight"), "{error}");
}
