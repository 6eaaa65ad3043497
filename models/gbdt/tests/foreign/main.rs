//! Models of other libraries, against what these libraries make of the same rows (`../golden/*.py`).

mod golden;
mod hostile;

use golden::{Case, cases, close};
use tilewise_base::Model;
use tilewise_base::model_file::ModelFile;
use tilewise_gbdt::ForeignModel;

/// That a model kept in our file is the same one.
fn assert_is_kept(case: &Case) {
    let bytes = case.model.to_bytes().unwrap();
    let kept = ForeignModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert_eq!(kept.to_bytes().unwrap(), bytes, "{}", case.name);
    let bits = |model: &ForeignModel| case.scores(model).into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&kept), bits(&case.model), "{}", case.name);
    assert_eq!(kept.describe(), case.model.describe());
    case.check_batches();
}

#[test]
fn lightgbm_to_the_last_bit() {
    let cases = cases("lightgbm", "txt");
    assert!(cases.len() >= 40);
    for case in &cases {
        let (ours, theirs) = (case.scores(&case.model), &case.raw);
        for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
            let row = at / case.model_scores();
            assert!(
                a.to_bits() == b.to_bits(),
                "{}, row {row} {:?}: {a:e}, LightGBM {b:e}",
                case.name,
                case.row(row)
            );
        }
        assert_eq!(ours.len(), theirs.len(), "{}", case.name);
        // Exponentials may differ in the last bit.
        case.compare_predictions(4e-16);
        case.compare_contributions(1e-12);
        assert_is_kept(case);
    }
}

/// Scores of XGBoost are off by no more than this for each score, as the documentation of `foreign` says.
#[test]
fn xgboost_within_the_rounding_of_its_sums() {
    let cases = cases("xgboost", "json");
    assert!(cases.len() >= 45);
    let mut worst: f64 = 0.0;
    for case in &cases {
        let ours = case.scores(&case.model);
        let scores = case.model_scores();
        for (at, (a, b)) in ours.iter().zip(&case.raw).enumerate() {
            let bound = case.model.rounding_of_f32(at % scores);
            let row = at / scores;
            assert!(
                (a - b).abs() <= bound,
                "{}, row {row} {:?}: {a:e}, XGBoost {b:e}",
                case.name,
                case.row(row)
            );
            worst = worst.max((a - b).abs() / bound);
        }
        assert_eq!(ours.len(), case.raw.len(), "{}", case.name);
        // The same, through a link that is computed in f32.
        case.compare_predictions(2e-6);
        case.compare_contributions(1e-5);
        assert_is_kept(case);
    }
    println!("at most {worst:.3} of the bound");
}

#[test]
fn catboost_but_for_the_order_of_its_sums() {
    let cases = cases("catboost", "json");
    assert!(cases.len() >= 34);
    for case in &cases {
        let ours = case.scores(&case.model);
        for (at, (a, b)) in ours.iter().zip(&case.raw).enumerate() {
            let row = at / case.model_scores();
            assert!(
                close(*a, *b, 4e-16),
                "{}, row {row} {:?}: {a:e}, CatBoost {b:e}",
                case.name,
                case.row(row)
            );
        }
        assert_eq!(ours.len(), case.raw.len(), "{}", case.name);
        case.compare_predictions(1e-15);
        case.compare_contributions(1e-12);
        assert_is_kept(case);
    }
}
