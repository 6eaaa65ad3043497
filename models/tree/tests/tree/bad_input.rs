//! What becomes of tables from which little or nothing can be learned, given as slices (the table is in the README).

use tilewise_base::{Column, Context, Dataset, Roles, predict_dataset};
use tilewise_tree::{BinnedTable, DecisionTree, Feature, Growth, MOST_CATEGORIES, Splitter, Tree, TreeModel};

fn table(columns: &[Feature<'_>]) -> BinnedTable {
    BinnedTable::new(columns, None, 255, 0).unwrap()
}

/// Trees by every way to grow, and whether they tell shares of classes.
fn grown(table: &BinnedTable, y: &[f64]) -> Vec<(Tree, bool)> {
    let context = Context::default();
    let mut all = Vec::new();
    for growth in [Growth::LeafWise, Growth::DepthWise, Growth::Oblivious] {
        for splitter in [Splitter::Best, Splitter::Random] {
            let params = DecisionTree { growth, splitter, ..DecisionTree::default() };
            all.push((params.fit_numbers(table, y, &context).unwrap().model, false));
            let classes: Vec<u32> = y.iter().map(|&y| y as u32).collect();
            let count = classes.iter().max().map_or(1, |most| *most as usize + 1);
            for more in 0..2 {
                all.push((params.fit_classes(table, &classes, count + more, &context).unwrap().model, true));
            }
        }
    }
    all
}

#[test]
fn where_nothing_can_be_divided_there_is_one_leaf() {
    let (x, nothing, one) = ([1.0, 2.0, 3.0, 4.0], [f64::NAN; 4], [7.0; 4]);
    let codes = [u32::MAX; 4];
    let empty = Feature::Categorical { codes: &codes, levels: 3 };
    let none_at_all = Feature::Categorical { codes: &codes, levels: 0 };
    // A target of one value, or one class; then columns without a difference.
    for (columns, y) in [
        (vec![Feature::Numeric(&x)], [2.0; 4]),
        (vec![Feature::Numeric(&x)], [0.0; 4]),
        (vec![Feature::Numeric(&nothing), Feature::Numeric(&one), empty, none_at_all], [0.0, 1.0, 1.0, 3.0]),
    ] {
        for (tree, of_classes) in grown(&table(&columns), &y) {
            assert_eq!((tree.leaves(), tree.depth()), (1, 0));
            let value = tree.value(tree.leaf(&vec![5.0; columns.len()]));
            let expected = y.iter().sum::<f64>() / 4.0;
            let mean = if of_classes {
                assert!((value.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{value:?}");
                value.iter().zip(0..).map(|(p, class)| p * f64::from(class)).sum()
            } else {
                assert_eq!(value.len(), 1);
                value[0]
            };
            assert!((mean - expected).abs() < 1e-9, "{value:?} {y:?} {of_classes}");
        }
    }
    // One row.
    for (tree, _) in grown(&table(&[Feature::Numeric(&x[..1])]), &[3.0]) {
        assert_eq!(tree.leaves(), 1);
    }
}

#[test]
fn columns_without_a_value_do_not_change_the_tree() {
    let x: Vec<f64> = (0..50).map(|i| f64::from(i * 7 % 11)).collect();
    let y: Vec<f64> = (0..50).map(|i| f64::from(i * i % 5)).collect();
    let nothing = vec![f64::NAN; 50];
    let one = table(&[Feature::Numeric(&x)]);
    let two = table(&[Feature::Numeric(&x), Feature::Numeric(&nothing)]);
    for ((a, _), (b, _)) in grown(&one, &y).iter().zip(&grown(&two, &y)) {
        assert!(a.nodes().eq(b.nodes()));
    }
}

#[test]
fn of_seventy_thousand_categories_the_rare_share_a_bin() {
    let levels = 70_000;
    // Each once, and the first ten thrice more.
    let codes: Vec<u32> = (0..levels).chain((0..30).map(|i| i % 10)).collect();
    let y: Vec<f64> = codes.iter().map(|&code| f64::from(code % 2 + 2 * u32::from(code >= 10))).collect();
    let table = table(&[Feature::Categorical { codes: &codes, levels: levels as usize }]);
    let tree = DecisionTree::default().fit_numbers(&table, &y, &Context::default()).unwrap().model;
    assert!(tree.leaves() <= MOST_CATEGORIES);
    let said = |code: u32| tree.value(tree.leaf(&[code.into()]))[0];
    assert!((0..10).all(|code| said(code) == f64::from(code % 2)));
    // Of equals the first have bins of their own.
    assert!((10..200).all(|code| said(code) == f64::from(2 + code % 2)));
    assert!((300..levels).all(|code| said(code) == said(levels - 1)) && (said(300) - 2.5).abs() < 0.01);
}

#[test]
fn what_no_tree_can_take_is_refused() {
    let told = |columns: &[Feature<'_>], weights: Option<&[f64]>| {
        BinnedTable::new(columns, weights, 255, 0).unwrap_err().to_string()
    };
    let x = [1.0, f64::INFINITY, f64::NEG_INFINITY];
    assert!(told(&[], None).contains("no columns"));
    assert!(told(&[Feature::Numeric(&[])], None).contains("no rows"));
    assert!(told(&[Feature::Numeric(&x)], Some(&[1.0, f64::INFINITY, 1.0])).contains("row 2"));
    assert!(told(&[Feature::Numeric(&x)], Some(&[1.0, f64::NAN, 1.0])).contains("row 2"));
    let table = table(&[Feature::Numeric(&x)]);
    let context = Context::default();
    let tree = DecisionTree::default();
    for odd in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let told = tree.fit_numbers(&table, &[1.0, odd, 2.0], &context).unwrap_err().to_string();
        assert!(told.contains("row 2"), "{told}");
    }
    // Infinities of a column are numbers at its ends.
    let tree = tree.fit_numbers(&table, &[1.0, 2.0, 3.0], &context).unwrap().model;
    assert_eq!(x.map(|x| tree.value(tree.leaf(&[x]))[0]), [1.0, 2.0, 3.0]);
}

#[test]
fn models_of_one_row_or_answer_are_one_leaf() {
    let text = |codes: &[u32]| Column::Categorical {
        codes: codes.to_vec().into(),
        dictionary: vec!["a".into(), "b".into()],
    };
    for (x, y, classify) in [
        (vec![1.0, 2.0, 3.0], Column::F64(vec![4.0; 3].into()), false),
        (vec![1.0, 2.0, 3.0], text(&[1, 1, 1]), true),
        (vec![1.0], Column::F64(vec![4.0].into()), false),
        (vec![1.0], text(&[0]), true),
    ] {
        let data = Dataset::new(vec![("x".into(), Column::F64(x.into())), ("y".into(), y)]).unwrap();
        let (roles, context) = (Roles::target("y"), Context::default());
        let model = TreeModel::fit(&DecisionTree::default(), 255, classify, &data, &roles, &context).unwrap();
        assert_eq!(model.tree().leaves(), 1);
        let expected = if classify { 1.0 } else { 4.0 };
        assert!(predict_dataset(&model, &data, None).unwrap().iter().all(|p| *p == expected));
    }
}
