//! Tables from which little or nothing can be learned, and what is refused, given as slices and as tables.

use std::ops::Range;
use tilewise_base::{Column, Context, Dataset, Roles, predict_dataset};
use tilewise_gbdt::loss::Truth;
use tilewise_gbdt::{BoostedModel, EarlyStopping, GradientBoosting, Lesson, Loss};
use tilewise_tree::{Answers, BinnedTable, DecisionTree, Feature, Growth, MaxBins, Penalty};

fn table(columns: &[Feature<'_>]) -> BinnedTable {
    BinnedTable::new(columns, None, 255, 0).unwrap()
}

/// Parameters that divide wherever it gains.
fn small() -> GradientBoosting {
    let tree = DecisionTree { min_samples_leaf: 1, ..GradientBoosting::default().tree };
    GradientBoosting { stages: 5, tree, ..GradientBoosting::default() }
}

fn numbers(y: &[f64]) -> Answers {
    Answers::Numbers(y.to_vec())
}

/// What is said where nothing is fitted.
fn told(params: &GradientBoosting, table: &BinnedTable, lesson: &Lesson<'_>) -> String {
    let fit = params.fit(table, lesson, &Context::default());
    fit.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn where_nothing_can_be_divided_every_tree_is_a_leaf() {
    let (x, nothing, codes) = ([1.0, 2.0, 3.0, 4.0], [f64::NAN; 4], [u32::MAX; 4]);
    let empty = Feature::Categorical { codes: &codes, levels: 3 };
    let none_at_all = Feature::Categorical { codes: &codes, levels: 0 };
    for growth in [Growth::LeafWise, Growth::DepthWise, Growth::Oblivious] {
        for loss in [
            Loss::Squared,
            Loss::Absolute,
            Loss::Huber { delta: 1.0 },
            Loss::Quantile { quantile: 0.25 },
            Loss::Poisson,
        ] {
            let params = GradientBoosting { loss, tree: DecisionTree { growth, ..small().tree }, ..small() };
            for (columns, y) in [
                (vec![Feature::Numeric(&x)], [2.0; 4]),
                (
                    vec![Feature::Numeric(&nothing), Feature::Numeric(&[7.0; 4]), empty, none_at_all],
                    [1.0, 1.0, 1.0, 1.0],
                ),
            ] {
                let table = table(&columns);
                let boosted =
                    params.fit(&table, &Lesson::new(&numbers(&y)), &Context::default()).unwrap().model;
                let ensemble = boosted.ensemble();
                assert!(boosted.stages() == 5 && ensemble.trees(0).iter().all(|tree| tree.leaves() == 1));
                let mut score = [f64::NAN];
                ensemble.score_row(&vec![9.0; columns.len()], &mut score);
                let expected = if loss == Loss::Poisson { y[0].ln() } else { y[0] };
                assert!((score[0] - expected).abs() < 1e-12, "{loss}: {} for {expected}", score[0]);
            }
            // One row, which stands for all.
            let one = table(&[Feature::Numeric(&x[..1])]);
            let boosted =
                params.fit(&one, &Lesson::new(&numbers(&[3.0])), &Context::default()).unwrap().model;
            let mut score = [0.0];
            boosted.ensemble().score_row(&[f64::NAN], &mut score);
            let expected = if loss == Loss::Poisson { 3.0_f64.ln() } else { 3.0 };
            assert!((score[0] - expected).abs() < 1e-12 && boosted.ensemble().trees(0)[0].leaves() == 1);
        }
    }
    // Columns that tell nothing, of a target that differs: the mean.
    let boosted = small()
        .fit(
            &table(&[Feature::Numeric(&nothing)]),
            &Lesson::new(&numbers(&[0.0, 1.0, 1.0, 4.0])),
            &Context::default(),
        )
        .unwrap()
        .model;
    let mut score = [0.0];
    boosted.ensemble().score_row(&[f64::NAN], &mut score);
    assert!((score[0] - 1.5).abs() < 1e-12);
}

#[test]
fn one_class_of_two_is_learned_and_one_of_one_is_none() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let table = table(&[Feature::Numeric(&x)]);
    for (class, classes) in [(0, 2), (1, 2), (2, 3)] {
        let answers = Answers::Classes { y: vec![class; 4], classes };
        let params = GradientBoosting { stages: 50, ..small() };
        let boosted = params.fit(&table, &Lesson::new(&answers), &Context::default()).unwrap().model;
        let ensemble = boosted.ensemble();
        let mut scores = vec![0.0; ensemble.scores()];
        ensemble.score_row(&[9.0], &mut scores);
        assert!(scores.iter().all(|score| score.is_finite()), "{scores:?}");
        if classes == 2 {
            assert!(if class == 1 { scores[0] > 10.0 } else { scores[0] < -10.0 }, "{scores:?}");
        } else {
            assert!(scores[2] > scores[0] + 10.0 && scores[2] > scores[1] + 10.0, "{scores:?}");
        }
    }
    let one = Answers::Classes { y: vec![0; 4], classes: 1 };
    assert!(told(&small(), &table, &Lesson::new(&one)).contains("loss"));
    let beyond = Answers::Classes { y: vec![0, 1, 2, 0], classes: 2 };
    assert!(told(&small(), &table, &Lesson::new(&beyond)).contains("row 3"));
    let several = Answers::Outputs(vec![x.to_vec(), x.to_vec()]);
    assert!(told(&small(), &table, &Lesson::new(&several)).contains("one target"));
}

#[test]
fn answers_outside_of_the_domain_are_named() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let table = table(&[Feature::Numeric(&x)]);
    let refused = |loss: Loss, y: [f64; 4]| {
        let groups: [Range<usize>; 1] = std::array::from_fn(|_| 0..4);
        let answers = numbers(&y);
        told(
            &GradientBoosting { loss, ..small() },
            &table,
            &Lesson { groups: Some(&groups), ..Lesson::new(&answers) },
        )
    };
    for (loss, y, parts) in [
        (Loss::Poisson, [0.0, 1.0, -2.0, 0.0], ["row 3", "-2", "0 to 1e30"]),
        (Loss::Tweedie { power: 1.5 }, [0.0, 1.0, f64::NAN, 0.0], ["row 3", "NaN", "0 to 1e30"]),
        (Loss::Poisson, [0.0; 4], ["0 in all rows", "a row with more", ""]),
        (Loss::Gamma, [1.0, 0.0, 1.0, 1.0], ["row 2", "0", "above 0"]),
        (Loss::LambdaRank { truncation: 3 }, [1.0, 0.0, 1.5, 1.0], ["row 3", "1.5", "whole number"]),
        (Loss::Squared, [1.0, f64::INFINITY, 0.0, 0.0], ["row 2", "inf", "1e30"]),
        (Loss::Cox, [1.0, 2.0, 3.0, 4.0], ["event", "", ""]),
        (Loss::Logistic, [1.0, 0.0, 1.0, 0.0], ["logistic", "two classes", ""]),
    ] {
        let told = refused(loss, y);
        assert!(parts.iter().all(|part| told.contains(part)) && !told.is_empty(), "{loss}: {told}");
    }
    let answers = numbers(&[1.0, 2.0, 3.0, 4.0]);
    let ranks = GradientBoosting { loss: Loss::LambdaRank { truncation: 3 }, ..small() };
    assert!(told(&ranks, &table, &Lesson::new(&answers)).contains("group column"));
    for groups in [&[(0, 2), (3, 4)][..], &[(0, 2)], &[(0, 2), (1, 4)], &[(0, 9)]] {
        let groups: Vec<Range<usize>> = groups.iter().map(|&(start, end)| start..end).collect();
        let told = told(&ranks, &table, &Lesson { groups: Some(&groups), ..Lesson::new(&answers) });
        assert!(told.contains("row") && told.contains("query"), "{groups:?}: {told}");
    }
    let offset = [0.0, f64::NAN, 0.0, 0.0];
    let of_offset =
        |offset| told(&small(), &table, &Lesson { offset: Some(offset), ..Lesson::new(&answers) });
    assert!(of_offset(&offset).contains("row 2") && of_offset(&offset).contains("NaN"));
    assert!(!of_offset(&offset[1..]).is_empty());
    assert!(!told(&small(), &table, &Lesson::new(&numbers(&[1.0; 3]))).is_empty());
    // Survival from slices: times and events.
    let events = [true, false, true, true];
    let cox = GradientBoosting { loss: Loss::Cox, ..small() };
    let lesson = Lesson { events: Some(&events), ..Lesson::new(&answers) };
    assert_eq!(told(&cox, &table, &lesson), "");
    let none = Lesson { events: Some(&[false; 4]), ..Lesson::new(&answers) };
    assert!(told(&cox, &table, &none).contains("event"));
}

#[test]
fn parameters_out_of_range_are_named() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let table = table(&[Feature::Numeric(&x)]);
    let answers = numbers(&x);
    let sound = small();
    let penalty = |change: fn(&mut Penalty)| {
        let mut penalty = Penalty::default();
        change(&mut penalty);
        GradientBoosting { penalty, ..small() }
    };
    let stop = |patience, share| GradientBoosting {
        early_stopping: Some(EarlyStopping { patience, share }),
        ..small()
    };
    let tree = |tree: DecisionTree| GradientBoosting { tree, ..small() };
    for (name, params) in [
        ("stages", GradientBoosting { stages: 0, ..sound.clone() }),
        ("learning_rate", GradientBoosting { learning_rate: 0.0, ..sound.clone() }),
        ("learning_rate", GradientBoosting { learning_rate: f64::NAN, ..sound.clone() }),
        ("subsample", GradientBoosting { subsample: 1.5, ..sound.clone() }),
        ("l2", penalty(|p| p.l2 = -1.0)),
        ("l1", penalty(|p| p.l1 = f64::INFINITY)),
        ("min_child_weight", penalty(|p| p.min_hessian = f64::NAN)),
        ("category_smoothing", penalty(|p| p.category_smoothing = -0.5)),
        ("early_stopping", stop(0, 0.5)),
        ("validation", stop(3, 0.0)),
        ("validation", stop(3, 1.0)),
        ("loss", GradientBoosting { loss: Loss::Huber { delta: -1.0 }, ..sound.clone() }),
        ("min_samples_leaf", tree(DecisionTree { min_samples_leaf: 0, ..sound.tree.clone() })),
        ("max_leaves", tree(DecisionTree { max_leaves: Some(0), ..sound.tree.clone() })),
        ("ccp_alpha", tree(DecisionTree { ccp_alpha: 0.1, ..sound.tree.clone() })),
        ("interactions", tree(DecisionTree { interactions: vec![vec![0, 4]], ..sound.tree.clone() })),
        ("monotone", tree(DecisionTree { monotone: vec![1, 0], ..sound.tree.clone() })),
    ] {
        let told = told(&params, &table, &Lesson::new(&answers));
        assert!(told.contains(name), "{name}: {told}");
    }
    // So few rows that none is held out, or all are.
    for share in [1e-9, 1.0 - 1e-9] {
        assert!(told(&stop(3, share), &table, &Lesson::new(&answers)).contains("too few rows"));
    }
    assert!(
        BinnedTable::new(&[], None, 255, 0).is_err()
            && BinnedTable::new(&[Feature::Numeric(&[])], None, 255, 0).is_err()
    );
}

/// The largest answers and weights that are accepted make no number that is none.
#[test]
fn extremes_give_finite_scores() {
    let x = [f64::NEG_INFINITY, -1e300, 0.0, 5e-324, 1e300, f64::INFINITY, f64::NAN, -0.0];
    for (y, weight) in [
        ([1e30, -1e30, 1e30, 0.0, 1.0, -1e30, 7.0, 1e30], 1e6),
        ([9e6, -9e6, 9e6, 0.0, 1.0, -9e6, 7.0, 9e6], 1e30),
        ([1e-300, 0.0, 1e-30, 0.0, 1e-300, 0.0, 3e-300, 0.0], 1e30),
    ] {
        for weights in [None, Some([1e-300, 1.0, weight, 0.0, 1.0, 1e-5, 1.0, 1.0])] {
            let table =
                BinnedTable::new(&[Feature::Numeric(&x)], weights.as_ref().map(|w| &w[..]), 255, 0).unwrap();
            for loss in [
                Loss::Squared,
                Loss::Absolute,
                Loss::Huber { delta: 1e20 },
                Loss::Quantile { quantile: 0.99 },
            ] {
                for l2 in [0.0, 1.0] {
                    let penalty = Penalty { l2, ..Penalty::default() };
                    let params = GradientBoosting { loss, learning_rate: 1.0, penalty, ..small() };
                    let boosted =
                        params.fit(&table, &Lesson::new(&numbers(&y)), &Context::default()).unwrap().model;
                    let mut score = [0.0];
                    for x in x {
                        boosted.ensemble().score_row(&[x], &mut score);
                        assert!(score[0].is_finite(), "{loss} at {x}: {}", score[0]);
                    }
                }
            }
        }
    }
    // What derivatives in f32 cannot tell.
    for (weight, y, part) in [
        (1e300, 1e30, "weights up to 1e30"),
        (1e10, 1e29, "times the answer"),
        (1e-32, 1.0, "too small"),
        (1.0, 1e-32, "too small"),
    ] {
        let weights = [weight; 8];
        let table_of_weights = BinnedTable::new(&[Feature::Numeric(&x)], Some(&weights), 255, 0).unwrap();
        let told = told(&small(), &table_of_weights, &Lesson::new(&numbers(&[y; 8])));
        assert!(told.contains(part), "{weight} {y}: {told}");
    }
    let counts = [0.0, 1e30, 0.0, 5.0, 0.0, 1.0, 2.0, 1e9];
    let table = table(&[Feature::Numeric(&x)]);
    for loss in [Loss::Poisson, Loss::Tweedie { power: 1.01 }, Loss::Tweedie { power: 1.99 }] {
        let params = GradientBoosting { loss, learning_rate: 1.0, stages: 60, ..small() };
        let boosted = params.fit(&table, &Lesson::new(&numbers(&counts)), &Context::default()).unwrap().model;
        let mut score = [0.0];
        for x in x {
            boosted.ensemble().score_row(&[x], &mut score);
            assert!(score[0].is_finite(), "{loss} at {x}: {}", score[0]);
        }
    }
}

/// The first hundred categories have bins of their own, and all that are rare share one.
#[test]
fn seventy_thousand_categories_are_learned_from() {
    let code = |i: u32| if i.is_multiple_of(2) { i / 2 % 100 } else { 100 + i / 2 };
    let codes: Vec<u32> = (0..140_000).map(code).collect();
    let y: Vec<f64> =
        (0..140_000_u32).map(|i| f64::from(if i % 2 == 0 { i / 2 % 2 } else { i / 2 % 3 })).collect();
    let table = table(&[Feature::Categorical { codes: &codes, levels: 70_100 }]);
    let params = GradientBoosting { stages: 60, learning_rate: 0.3, ..GradientBoosting::default() };
    let boosted = params.fit(&table, &Lesson::new(&numbers(&y)), &Context::default()).unwrap().model;
    let of = |code: f64| {
        let mut score = [0.0];
        boosted.ensemble().score_row(&[code], &mut score);
        score[0]
    };
    assert!((0..100).all(|code| (of(f64::from(code)) - f64::from(code % 2)).abs() < 0.1));
    assert!((of(69_000.0) - 1.0).abs() < 0.1 && of(69_000.0) == of(70_099.0));
    // Of as many bins as there are categories none is shared, so there are too many.
    let exact =
        BinnedTable::new(&[Feature::Categorical { codes: &codes, levels: 70_100 }], None, MaxBins::Exact, 0);
    assert!(exact.unwrap_err().to_string().contains("categories"));
}

fn dataset(columns: &[(&str, Column)]) -> Dataset {
    Dataset::new(columns.iter().map(|(name, column)| ((*name).to_owned(), column.clone())).collect()).unwrap()
}

#[test]
fn rows_of_a_query_stand_together() {
    let column = |x: &[f64]| Column::F64(x.to_vec().into());
    let data = |query: [f64; 6]| {
        dataset(&[
            ("x", column(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            ("q", column(&query)),
            ("y", column(&[0.0, 1.0, 2.0, 0.0, 1.0, 3.0])),
        ])
    };
    let params = GradientBoosting { loss: Loss::LambdaRank { truncation: 30 }, ..small() };
    let roles = Roles { group: Some("q".into()), ..Roles::target("y") };
    let fit = |query, roles: &Roles| {
        BoostedModel::fit(&params, 255, false, &data(query), roles, &Context::default())
    };
    let told = fit([7.0, 7.0, 5.0, 5.0, 7.0, 9.0], &roles).unwrap_err().to_string();
    assert!(told.contains("row 5") && told.contains("\"q\"") && told.contains("sorted by query"), "{told}");
    let told = fit([1.0; 6], &Roles::target("y")).unwrap_err().to_string();
    assert!(told.contains("needs a group column"), "{told}");
    let model = fit([7.0, 7.0, 5.0, 5.0, 9.0, 9.0], &roles).unwrap();
    let scores = predict_dataset(&model, &data([0.0; 6]), None).unwrap();
    assert!(scores.len() == 6 && scores.iter().all(|score| score.is_finite()) && scores[5] > scores[0]);
    let told = fit([7.0, f64::NAN, 5.0, 5.0, 9.0, 9.0], &roles).unwrap_err().to_string();
    assert!(told.contains("row 2") && told.contains("missing"), "{told}");
}

#[test]
fn models_go_on_as_they_were_grown_alone() {
    let x: Vec<f64> = (0..60).map(|i| f64::from(i * 7 % 13)).collect();
    let y: Vec<f64> = x.iter().map(|x| (x / 2.0).sin()).collect();
    let data = dataset(&[
        ("x", Column::F64(x.clone().into())),
        ("z", Column::F64(y.iter().map(|y| y * y).collect())),
        ("y", Column::F64(y.clone().into())),
    ]);
    let (roles, context) = (Roles::target("y"), Context::default());
    let part = BoostedModel::fit(&small(), 255, false, &data, &roles, &context).unwrap();
    let more = GradientBoosting { stages: 9, ..small() };
    let refused = |params: &GradientBoosting, bins: usize, data: &Dataset, roles: &Roles, seed: u64| {
        let context = Context { seed, ..Context::default() };
        part.continued(params, bins, false, data, roles, &context)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert_eq!(refused(&more, 255, &data, &roles, 0), "");
    assert!(refused(&GradientBoosting { stages: 4, ..small() }, 255, &data, &roles, 0).contains("stages: 4"));
    assert!(
        refused(&GradientBoosting { learning_rate: 0.2, ..more.clone() }, 255, &data, &roles, 0)
            .contains("learning_rate: 0.2")
    );
    let penalty = Penalty { l2: 2.0, ..Penalty::default() };
    assert!(refused(&GradientBoosting { penalty, ..more.clone() }, 255, &data, &roles, 0).contains("l2: 2"));
    assert!(
        refused(&GradientBoosting { loss: Loss::Absolute, ..more.clone() }, 255, &data, &roles, 0)
            .contains("loss")
    );
    let early_stopping = Some(EarlyStopping { patience: 2, share: 0.1 });
    assert!(
        refused(&GradientBoosting { early_stopping, ..more.clone() }, 255, &data, &roles, 0)
            .contains("early_stopping")
    );
    assert!(refused(&more, 200, &data, &roles, 0).contains("max_bins"));
    assert!(refused(&more, 255, &data, &roles, 1).contains("seed: 1"));
    let without = Roles { ignore: vec!["z".into()], ..roles.clone() };
    let told = refused(&more, 255, &data, &without, 0);
    assert!(told.contains("the model to continue reads") && told.contains('z'), "{told}");
    assert!(
        !refused(&more, 255, &data, &Roles { ignore: vec!["y".into()], ..Roles::target("z") }, 0).is_empty()
    );
    assert!(refused(&more, 255, &data.take(&(0..59).collect::<Vec<_>>()), &roles, 0).contains("rows"));
    // A loss of one's own has no file, and goes on with nothing.
    let table = table(&[Feature::Numeric(&x)]);
    let objective = Loss::Squared.objective(None).unwrap();
    let own = small().fit_objective(&table, &*objective, &Truth::new(&y), None, &context).unwrap().model;
    assert!(more.continue_from(&own, &table, &Lesson::new(&numbers(&y)), &context).is_err());
}
