//! Bad input and data from which little can be learned, for every way to fit: the table in the README of this crate.

use crate::families::{Family, Reach, Target, all};
use crate::support::normal;
use tilewise_base::encoder::Options;
use tilewise_base::{Column, Context, Dataset, Fit, FitReport, Model, Roles, predict_dataset};
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_linear::{LinearModel, Rows};

/// How much higher than the minimum, as a share of it, the objective of exact solvers may be.
const MINIMUM: f64 = 1e-7;

/// The same of descents, which end by a loose tolerance.
const DESCENT: f64 = 2e-2;

const ROWS: usize = 60;

/// Rows of so many columns, and a score of each row that the first and the last column tell of.
fn rows_of(rows: usize, cols: usize) -> (Vec<f64>, Vec<f64>) {
    let x = normal(rows, cols, 1);
    let noise = normal(rows, 1, 2);
    let score = x.chunks_exact(cols).zip(noise).map(|(row, e)| 0.8 * row[0] - 0.5 * row[cols - 1] + e);
    (x.clone(), score.collect())
}

/// With and without penalties.
fn both() -> impl Iterator<Item = Family> {
    all(0.05).into_iter().chain(all(0.0))
}

fn refused(family: &Family, x: &[f64], cols: usize, y: &[f64], rows: Rows<'_>, words: &[&str]) {
    match family.fit(x, cols, y, rows) {
        Ok(fit) => panic!("{} took what {words:?} is wrong with: {:?}", family.name, fit.report),
        Err(e) => {
            let message = e.to_string();
            assert!(words.iter().all(|w| message.contains(w)), "{}: {message}", family.name);
        }
    }
}

fn numbers(model: &LinearModel) -> impl Iterator<Item = &f64> {
    model.coefficients.iter().chain(&model.intercepts)
}

/// That a fit has only finite numbers, and that one which has not converged says so.
fn sound(family: &Family, fit: &Fit<LinearModel>) {
    let Fit { model, report } = fit;
    assert!(numbers(model).all(|b| b.is_finite()), "{}: {model:?}", family.name);
    assert!(report.objective.is_finite() && report.optimality.is_finite(), "{}: {report:?}", family.name);
    assert!(report.converged || !report.warnings.is_empty(), "{}: {report:?}", family.name);
}

#[test]
fn cells_that_are_no_numbers_are_named() {
    let (x, score) = rows_of(ROWS, 4);
    for family in both() {
        let y = family.targets(&score);
        for (value, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
            let mut x = x.clone();
            x[7 * 4 + 2] = value;
            refused(&family, &x, 4, &y, Rows::default(), &["row 7", "feature 2", text]);
        }
    }
}

#[test]
fn targets_weights_and_offsets_that_are_no_numbers_are_named() {
    let (x, score) = rows_of(ROWS, 4);
    let ones = vec![1.0; ROWS];
    let with = |at: usize, value: f64| {
        let mut ones = ones.clone();
        ones[at] = value;
        ones
    };
    for family in both() {
        let y = family.targets(&score);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            if family.target != Target::Classes {
                let mut y = y.clone();
                y[9] = value;
                refused(&family, &x, 4, &y, Rows::default(), &["row 9", "target"]);
            }
            let (weights, offset) = (with(5, value), with(6, value));
            let rows = Rows { weights: Some(&weights), offset: None };
            refused(&family, &x, 4, &y, rows, &["row 5", "weight"]);
            let rows = Rows { weights: None, offset: Some(&offset) };
            refused(&family, &x, 4, &y, rows, &["row 6", "offset"]);
        }
        let negative = with(3, -1.0);
        let rows = Rows { weights: Some(&negative), offset: None };
        refused(&family, &x, 4, &y, rows, &["row 3", "weight", "not negative"]);
        let all_negative = vec![-2.0; ROWS];
        let rows = Rows { weights: Some(&all_negative), offset: None };
        refused(&family, &x, 4, &y, rows, &["row 0", "weight", "not negative"]);
        let zeros = vec![0.0; ROWS];
        let rows = Rows { weights: Some(&zeros), offset: None };
        refused(&family, &x, 4, &y, rows, &["all weights are zero"]);
    }
}

#[test]
fn lengths_that_differ_and_nothing_at_all_are_refused() {
    let (x, score) = rows_of(ROWS, 4);
    for family in both() {
        let y = family.targets(&score);
        refused(&family, &x, 4, &y[1..], Rows::default(), &["targets against rows"]);
        let short = vec![1.0; ROWS - 1];
        refused(&family, &x, 4, &y, Rows { weights: Some(&short), offset: None }, &["weights against rows"]);
        refused(&family, &x, 4, &y, Rows { weights: None, offset: Some(&short) }, &["offset against rows"]);
        refused(&family, &[], 4, &[], Rows::default(), &["no rows"]);
    }
}

/// Where classes are counted one of them is refused. Descents along numbers 0 and 1 take it: their intercept grows until the gradient is small.
#[test]
fn one_class_is_refused_where_classes_are_counted() {
    let (x, _) = rows_of(ROWS, 4);
    for family in both().filter(|f| matches!(f.target, Target::Classes | Target::Sides)) {
        for class in [0.0, 1.0] {
            let y = vec![class; ROWS];
            if family.target == Target::Sides && family.reach == Reach::Descent {
                let fit = family.fit(&x, 4, &y, Rows::default()).unwrap();
                sound(&family, &fit);
                let intercept = fit.model.intercepts[0];
                assert!(if class > 0.0 { intercept > 1.0 } else { intercept < -1.0 }, "{}", family.name);
            } else {
                refused(&family, &x, 4, &y, Rows::default(), &["class"]);
            }
        }
    }
}

/// Classes that a plane separates: without penalty exact solvers and SAGA say so; descents do not look for it, and end by tolerance or limit.
#[test]
fn separated_classes_are_told() {
    let (mut x, score) = rows_of(ROWS, 3);
    x.chunks_exact_mut(3).zip(&score).for_each(|(row, s)| row[0] = s.signum() * (2.0 + row[0].abs()));
    for family in both().filter(|f| matches!(f.target, Target::Classes | Target::Sides)) {
        let y = family.targets(&score);
        let fit = family.fit(&x, 3, &y, Rows::default()).unwrap();
        sound(&family, &fit);
        let report = &fit.report;
        if family.penalised {
            assert!(report.converged && report.warnings.is_empty(), "{}: {report:?}", family.name);
        } else if family.target == Target::Classes {
            assert!(!report.converged, "{}: {report:?}", family.name);
            let told =
                report.warnings.iter().any(|w| w.contains("separate") || w.contains("did not converge"));
            assert!(told, "{}: {report:?}", family.name);
            assert!(family.reach == Reach::Descent || report.warnings[0].contains("separate"), "{report:?}");
        }
        let right = x.chunks_exact(3).zip(&y).all(|(row, y)| {
            let z = row.iter().zip(&fit.model.coefficients).map(|(x, b)| x * b).sum::<f64>();
            (z + fit.model.intercepts[0] > 0.0) == (*y > 0.5)
        });
        assert!(right, "{}", family.name);
    }
}

/// Constant columns change nothing; where columns are not centred they may share the intercept. Equal ones do not without penalty, and with
/// one lower its share of the objective.
#[test]
fn constant_and_equal_columns_are_no_trouble() {
    let (x, score) = rows_of(ROWS, 3);
    let offset: Vec<f64> = normal(ROWS, 1, 3).iter().map(|o| 0.3 * o).collect();
    let weights: Vec<f64> = (0..ROWS).map(|i| (i % 4) as f64).collect();
    let with = |extra: fn(&[f64]) -> f64| -> Vec<f64> {
        x.chunks_exact(3).flat_map(|row| [row[0], row[1], row[2], extra(row)]).collect()
    };
    for family in both() {
        let y = family.targets(&score);
        let rows = Rows { weights: Some(&weights), offset: Some(&offset) };
        let alone = family.fit(&x, 3, &y, rows).unwrap();
        sound(&family, &alone);
        // Descents may reach their limit.
        let ended = |report: &FitReport| report.converged || family.reach == Reach::Descent;
        assert!(ended(&alone.report), "{}: {:?}", family.name, alone.report);
        let least = alone.report.objective;
        let near = if family.reach == Reach::Minimum { MINIMUM } else { DESCENT } * (0.1 + least.abs());
        for value in [|_: &[f64]| 0.0, |_: &[f64]| 3.0] {
            let fit = family.fit(&with(value), 4, &y, rows).unwrap();
            sound(&family, &fit);
            let report = &fit.report;
            assert!(ended(report), "{}: {report:?}", family.name);
            assert!((report.objective - least).abs() <= near, "{}: {report:?} {least}", family.name);
            if family.reach == Reach::Minimum && !family.name.contains("bounded") {
                assert!(fit.model.coefficients[3].abs() < 1e-6, "{}: {:?}", family.name, fit.model);
            }
        }
        let fit = family.fit(&with(|row| row[1]), 4, &y, rows).unwrap();
        sound(&family, &fit);
        let report = &fit.report;
        assert!(ended(report), "{}: {report:?}", family.name);
        assert!(report.objective <= least + near, "{}: {report:?} {least}", family.name);
        let bounded = family.name.contains("bounded");
        assert!(
            family.penalised || bounded || report.objective >= least - near,
            "{}: {report:?} {least}",
            family.name
        );
    }
}

/// More columns than rows: with a penalty one answer; without one rows are met exactly, or classes are separated and the fit says so.
#[test]
fn fewer_rows_than_columns() {
    let (rows, cols) = (12, 30);
    let (x, score) = rows_of(rows, cols);
    for family in both() {
        let mut y = family.targets(&score);
        if matches!(family.target, Target::Sides | Target::Classes) {
            (y[0], y[1]) = (0.0, 1.0);
        }
        let fit = match family.fit(&x, cols, &y, Rows::default()) {
            Ok(fit) => fit,
            Err(e) => panic!("{}: {e}", family.name),
        };
        sound(&family, &fit);
        let report = &fit.report;
        if family.penalised && family.reach == Reach::Minimum {
            assert!(report.converged, "{}: {report:?}", family.name);
        } else if matches!(family.target, Target::Numbers) && !family.name.contains("bounded") {
            let size = y.iter().map(|y| y * y).sum::<f64>() / rows as f64;
            let near = if family.reach == Reach::Minimum { 1e-6 } else { 0.1 } * size;
            assert!(family.penalised || report.objective < near, "{}: {report:?}", family.name);
        }
    }
}

/// A category that training did not see has zeros everywhere, as a missing one: the answer is that of the other inputs alone.
#[test]
fn unseen_categories_count_as_missing() {
    let rows = 40;
    let table = |city: [&str; 3], missing: bool| {
        let codes: Vec<u32> = (0..rows)
            .map(|i| if missing { tilewise_base::MISSING_CODE } else { (i * 7 % 3) as u32 })
            .collect();
        let age: Vec<f64> = (0..rows).map(|i| (i * 11 % 17) as f64).collect();
        let y: Vec<f64> = (0..rows).map(|i| age[i] + (i * 7 % 3) as f64 + 0.1 * (i % 5) as f64).collect();
        let dictionary = city.map(String::from).to_vec();
        let columns = vec![
            ("age".to_owned(), Column::F64(age.into())),
            ("city".to_owned(), Column::Categorical { codes: codes.into(), dictionary }),
            ("y".to_owned(), Column::F64(y.into())),
        ];
        Dataset::new(columns).unwrap()
    };
    for estimator in [
        Estimator::LeastSquares(tilewise_linear::LeastSquares::default()),
        Estimator::ElasticNet {
            params: tilewise_linear::ElasticNet { alpha: 0.01, ..Default::default() },
            search: None,
        },
        Estimator::Generalised(tilewise_linear::Generalised { alpha: 0.01, ..Default::default() }),
    ] {
        let (train, roles) = (table(["a", "b", "c"], false), Roles::target("y"));
        let model =
            Pipeline::fit("a kind", &estimator, Options::default(), &train, &roles, &Context::default())
                .unwrap();
        assert_eq!(model.unseen(), tilewise_base::Unseen::Missing);
        let known = predict_dataset(&model, &train, None).unwrap();
        let unseen = predict_dataset(&model, &table(["x", "y", "z"], false), None).unwrap();
        let missing = predict_dataset(&model, &table(["a", "b", "c"], true), None).unwrap();
        assert_eq!(unseen, missing);
        assert!(unseen.iter().all(|y| y.is_finite()) && unseen != known);
        // Zeros everywhere: rows of the same age have the same answer, whatever their city was to be.
        assert_eq!(unseen[0], unseen[17]);
    }
}
