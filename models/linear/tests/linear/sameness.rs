//! What every way to fit promises: the same bits at any number of threads, a weight that is a number of repetitions, and one answer for the
//! same columns dense, sparse and as categories of a table.

use crate::families::{Family, Reach, Target, all};
use crate::support::normal;
use tilewise_base::encoder::Options;
use tilewise_base::{Column, Context, Dataset, Fit, Roles, Sparse, predict_dataset};
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_linear::{
    Distribution, ElasticNet, Errors, Generalised, Huber, Inference, LeastSquares, LinearModel, Link,
    Logistic, Rows,
};

/// How far linear predictors of weighted and of repeated rows may be apart, per size: fits stop within a gradient of 1e-8, over the curvature
/// that penalties and rows leave; gaps of 1e-8 of the target's square are squares of such distances.
const REPEATED: f64 = 1e-3;

/// How far predictions of dense columns, sparse ones and categories may be: a gradient of 1e-10 over the least curvature.
const SAME_COLUMNS: f64 = 1e-7;

/// Rows enough that every method cuts them, offsets, weights of 0 to 3.
struct Many {
    cols: usize,
    x: Vec<f64>,
    score: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Many {
    fn new(rows: usize, cols: usize, seed: u64) -> Self {
        let keep = |x: f64| if x.abs() < 0.4 { 0.0 } else { x };
        let x: Vec<f64> = normal(rows, cols, seed).into_iter().map(keep).collect();
        let noise = normal(rows, 1, seed + 1);
        let signal = |row: &[f64], e: f64| 0.7 * row[0] - 0.4 * row[1] + 0.3 * row[cols - 1] + e;
        let score = x.chunks_exact(cols).zip(noise).map(|(row, e)| signal(row, e)).collect();
        let weights = (0..rows).map(|i| (i % 4) as f64).collect();
        let offset = normal(rows, 1, seed + 2).into_iter().map(|o| 0.3 * o).collect();
        Self { cols, x, score, weights, offset }
    }

    fn fit(&self, family: &Family) -> Fit<LinearModel> {
        let rows = Rows { weights: Some(&self.weights), offset: Some(&self.offset) };
        let y = family.targets(&self.score);
        family.fit(&self.x, self.cols, &y, rows).unwrap_or_else(|e| panic!("{}: {e}", family.name))
    }

    /// Each row as often as its weight says.
    fn repeated(&self) -> Self {
        let each = |i: usize| std::iter::repeat_n(i, self.weights[i] as usize);
        let all: Vec<usize> = (0..self.score.len()).flat_map(each).collect();
        let of = |from: &[f64]| all.iter().map(|&i| from[i]).collect();
        Self {
            cols: self.cols,
            x: all.iter().flat_map(|&i| self.x[i * self.cols..(i + 1) * self.cols].to_vec()).collect(),
            score: of(&self.score),
            weights: vec![1.0; all.len()],
            offset: of(&self.offset),
        }
    }
}

/// The model's bits and those of its report.
fn bits(fit: &Fit<LinearModel>) -> (Vec<u64>, String) {
    let numbers = fit.model.coefficients.iter().chain(&fit.model.intercepts);
    (numbers.map(|b| b.to_bits()).collect(), format!("{:?}", fit.report))
}

#[test]
fn every_family_has_the_same_bits_at_any_number_of_threads() {
    let many = Many::new(9000, 12, 1);
    for family in all(0.01).into_iter().chain(all(0.0)) {
        let one = bits(&parallel::with_threads(1, || many.fit(&family)));
        for threads in [2, 3, 7] {
            let others = bits(&parallel::with_threads(threads, || many.fit(&family)));
            assert_eq!(one, others, "{} on {threads} threads", family.name);
        }
    }
}

#[test]
fn standard_errors_have_the_same_bits_at_any_number_of_threads() {
    let many = Many::new(9000, 12, 4);
    let view = MatRef::new(&many.x, 9000, 12).unwrap();
    let rows = Rows { weights: Some(&many.weights), offset: Some(&many.offset) };
    let context = Context::default();
    let classes: Vec<u32> = many.score.iter().map(|s| u32::from(*s > 0.0)).collect();
    let counts: Vec<f64> = many.score.iter().map(|s| (0.5 * s).exp().round()).collect();
    let judge = || -> Vec<Inference> {
        let squares = LeastSquares::default().fit(view, &many.score, rows, &context).unwrap();
        let errors = [Errors::Classical, Errors::Hc0, Errors::Hc1, Errors::Hc2, Errors::Hc3];
        let judged = errors.map(|errors| {
            Inference::least_squares(&squares.model, view, &many.score, rows, true, errors).unwrap()
        });
        let params = Logistic { l2: 0.0, ..Logistic::default() };
        let sides = params.fit(view, &classes, rows, &context).unwrap();
        let poisson = Generalised::default().fit(view, &counts, rows, &context).unwrap();
        let of_counts =
            Inference::generalised(&poisson.model, Distribution::Poisson, view, &counts, rows, true);
        let of_sides = Inference::logistic(&sides.model, view, &classes, rows, true);
        judged.into_iter().chain([of_sides.unwrap(), of_counts.unwrap()]).collect()
    };
    let one = format!("{:?}", parallel::with_threads(1, judge));
    for threads in [2, 3, 7] {
        // Shortest decimals that read back as the same bits.
        assert_eq!(one, format!("{:?}", parallel::with_threads(threads, judge)), "{threads} threads");
    }
}

#[test]
fn weights_are_repetitions_for_every_family() {
    let weighted = Many::new(160, 5, 7);
    let repeated = weighted.repeated();
    for family in all(0.02).into_iter().chain(all(0.0)) {
        // Steps of a stream are one for each row, however heavy.
        if family.name.contains("stochastic") {
            continue;
        }
        let (a, b) = (weighted.fit(&family), repeated.fit(&family));
        if family.reach == Reach::Minimum {
            assert!(
                a.report.converged && b.report.converged,
                "{}: {:?} {:?}",
                family.name,
                a.report,
                b.report
            );
        }
        let (ours, theirs) = (a.report.objective, b.report.objective);
        assert!((ours - theirs).abs() <= 1e-6 * (1.0 + theirs.abs()), "{}: {ours} {theirs}", family.name);
        for row in weighted.x.chunks_exact(weighted.cols) {
            let z = |m: &LinearModel| {
                row.iter().zip(&m.coefficients).map(|(x, b)| x * b).sum::<f64>() + m.intercepts[0]
            };
            let (a, b) = (z(&a.model), z(&b.model));
            assert!((a - b).abs() <= REPEATED * (1.0 + b.abs()), "{}: {a} {b}", family.name);
        }
    }
}

const CITIES: usize = 5;
const COLOURS: usize = 3;
const ROWS: usize = 240;

fn city(i: usize) -> usize {
    (i * i + 3 * i) % CITIES
}

fn colour(i: usize) -> usize {
    (i / 7) % COLOURS
}

/// A number, and for each level of two categories a column that is 1 where a row has it.
fn one_hot(ages: &[f64]) -> Vec<f64> {
    let is = |a: usize, b: usize| f64::from(u8::from(a == b));
    let row = |i: usize| {
        let cities = (0..CITIES).map(move |k| is(city(i), k));
        std::iter::once(ages[i]).chain(cities).chain((0..COLOURS).map(move |k| is(colour(i), k)))
    };
    (0..ROWS).flat_map(row).collect()
}

fn table(ages: &[f64], y: &[f64]) -> Dataset {
    let category = |code: fn(usize) -> usize, levels: usize| Column::Categorical {
        codes: (0..ROWS).map(|i| code(i) as u32).collect::<Vec<u32>>().into(),
        dictionary: (0..levels).map(|k| format!("level {k}")).collect(),
    };
    let columns = vec![
        ("age".to_owned(), Column::F64(ages.to_vec().into())),
        ("city".to_owned(), category(city, CITIES)),
        ("colour".to_owned(), category(colour, COLOURS)),
        ("y".to_owned(), Column::F64(y.to_vec().into())),
    ];
    Dataset::new(columns).unwrap()
}

/// The same columns three times: as dense rows, as sparse ones, and as a table with categories, which stay as they are.
#[test]
fn dense_sparse_and_categories_have_one_answer() {
    let ages = normal(ROWS, 1, 11);
    let noise = normal(ROWS, 1, 12);
    let score: Vec<f64> = (0..ROWS)
        .map(|i| 0.4 * ages[i] + 0.3 * city(i) as f64 - 0.5 * colour(i) as f64 + 0.5 * noise[i])
        .collect();
    let x = one_hot(&ages);
    let cols = x.len() / ROWS;
    let view = MatRef::new(&x, ROWS, cols).unwrap();
    let sparse = Sparse::of_dense(view).unwrap();
    let context = Context::default();
    let compare =
        |y: &[f64], dense: &Fit<LinearModel>, others: &[Fit<LinearModel>], estimator: &Estimator| {
            let outputs = if dense.model.link == Link::Logit { 2 } else { 1 };
            let answers = |model: &LinearModel| {
                let mut out = vec![0.0; ROWS * outputs];
                model.predict(view, None, MatMut::new(&mut out, ROWS, outputs).unwrap()).unwrap();
                out
            };
            let expected = answers(&dense.model);
            let (table, options) = (table(&ages, y), Options { standardise: false, ..Options::default() });
            let of_table =
                Pipeline::fit("a kind", estimator, options, &table, &Roles::target("y"), &context).unwrap();
            let of_table = predict_dataset(&of_table, &table, None).unwrap();
            for answers in others.iter().map(|fit| answers(&fit.model)).chain([of_table]) {
                for (ours, dense) in answers.iter().zip(&expected) {
                    let near = (ours - dense).abs() <= SAME_COLUMNS * (1.0 + dense.abs());
                    assert!(near, "{ours} {dense}: {:?}", estimator);
                }
            }
        };
    let amounts: Vec<f64> = score.iter().map(|s| s.exp()).collect();
    let squares = LeastSquares { l2: 0.5, ..LeastSquares::default() };
    let dense = squares.fit(view, &score, Rows::default(), &context).unwrap();
    let of_sparse = squares.fit_sparse(sparse.view(), &score, Rows::default(), &context).unwrap();
    compare(&score, &dense, &[of_sparse], &Estimator::LeastSquares(squares));
    let params = ElasticNet { alpha: 0.01, l1_ratio: 0.3, tolerance: 1e-15, ..ElasticNet::default() };
    let dense = params.fit(view, &score, Rows::default(), &context).unwrap();
    let of_sparse = params.fit_sparse(sparse.view(), &score, Rows::default(), &context).unwrap();
    compare(&score, &dense, &[of_sparse], &Estimator::ElasticNet { params, search: None });
    let params = Generalised { alpha: 0.01, tolerance: 1e-11, ..Generalised::default() };
    let dense = params.fit(view, &amounts, Rows::default(), &context).unwrap();
    let of_sparse = params.fit_sparse(sparse.view(), &amounts, Rows::default(), &context).unwrap();
    compare(&amounts, &dense, &[of_sparse], &Estimator::Generalised(params));
    let params = Huber { alpha: 0.01, threshold: 0.5, tolerance: 1e-11, ..Huber::default() };
    let dense = params.fit(view, &score, Rows::default(), &context).unwrap();
    let of_sparse = params.fit_sparse(sparse.view(), &score, Rows::default(), &context).unwrap();
    compare(&score, &dense, &[of_sparse], &Estimator::Huber(params));
    // Classes: of a table they are found by their numbers.
    let classes: Vec<u32> = score.iter().map(|s| u32::from(*s > 0.0)).collect();
    let sides: Vec<f64> = classes.iter().map(|c| f64::from(*c)).collect();
    for l1 in [0.0, 1.0] {
        let params = Logistic { l1, l2: 0.5, tolerance: 1e-11, ..Logistic::default() };
        let dense = params.fit(view, &classes, Rows::default(), &context).unwrap();
        let of_sparse = params.fit_sparse(sparse.view(), &classes, Rows::default(), &context).unwrap();
        compare(&sides, &dense, &[of_sparse], &Estimator::Logistic(params));
    }
}

/// The list has what it is to have: dense, sparse, and every kind of target.
#[test]
fn the_list_of_families_is_whole() {
    let (with, without) = (all(0.1), all(0.0));
    assert!(with.len() > without.len() && without.len() > 25, "{} {}", with.len(), without.len());
    for target in [Target::Numbers, Target::Amounts, Target::Sides, Target::Classes] {
        assert!(with.iter().any(|f| f.target == target));
    }
    assert!(with.iter().all(|f| f.penalised) && without.iter().all(|f| !f.penalised));
}
