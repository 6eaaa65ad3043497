//! Coefficients over weights of the penalty, as they are told to those who draw them.

use std::sync::Mutex;
use tilewise_base::encoder::Options;
use tilewise_base::{CoefficientPath, Column, Context, Dataset, Model, Progress, Roles};
use tilewise_kernels::random::Philox;
use tilewise_linear::pipeline::{Estimator, Pipeline, Search};
use tilewise_linear::{
    Alphas, Distribution, ElasticNet, ElasticNetSolver, Generalised, GroupLasso, GroupLoss, LeastSquares,
    Link,
};

/// Eight numbers in different units and three cities; counts and amounts that follow from some of them.
fn table() -> Dataset {
    const ROWS: usize = 120;
    let random = Philox::new(11, Philox::purpose("table of paths"));
    let number = |j: usize| -> Vec<f64> {
        (0..ROWS).map(|i| random.normal((i * 9 + j) as u64) * 10f64.powi(j as i32 % 3) + j as f64).collect()
    };
    let codes: Vec<u32> = (0..ROWS).map(|i| (i * 7 % 3) as u32).collect();
    let (a, b, noise) = (number(0), number(1), number(8));
    let y: Vec<f64> =
        (0..ROWS).map(|i| 3.0 * a[i] - 0.2 * b[i] + f64::from(codes[i]) + 0.3 * noise[i]).collect();
    let count: Vec<f64> = y.iter().map(|y| (0.1 * y).exp().round()).collect();
    let mut columns: Vec<(String, Column)> =
        (0..8).map(|j| (format!("x{j}"), Column::F64(number(j).into()))).collect();
    let dictionary = ["<Chur>", "Bern", "Genf & Co"].map(String::from).to_vec();
    columns.push(("city".into(), Column::Categorical { codes: codes.into(), dictionary }));
    columns.push(("y".into(), Column::F64(y.into())));
    columns.push(("count".into(), Column::F64(count.into())));
    Dataset::new(columns).unwrap()
}

/// Wants the path and keeps it.
#[derive(Default)]
struct Kept(Mutex<Option<CoefficientPath>>);

impl Progress for Kept {
    fn round(&self, _: u64, _: u64, _: &str) {}
    fn wants_path(&self) -> bool {
        true
    }
    fn path(&self, path: &CoefficientPath) {
        let before = self.0.lock().unwrap().replace(path.clone());
        assert!(before.is_none(), "told twice");
    }
    fn warning(&self, text: &str) {
        panic!("{text}");
    }
}

fn fit(estimator: &Estimator, target: &str, options: Options, progress: &dyn Progress) -> Pipeline {
    let other = if target == "y" { "count" } else { "y" };
    let roles = Roles { ignore: vec![other.into()], ..Roles::target(target) };
    let context = Context { progress, seed: 3, ..Context::default() };
    Pipeline::fit("kind", estimator, options, &table(), &roles, &context).unwrap()
}

/// The model and the path of a fit, whose bytes are those of a fit that tells of none.
fn told(estimator: &Estimator, target: &str, options: Options) -> (Pipeline, Option<CoefficientPath>) {
    let kept = Kept::default();
    let model = fit(estimator, target, options, &kept);
    let plain = fit(estimator, target, options, &tilewise_base::fit::Silent);
    assert_eq!(model.to_bytes().unwrap(), plain.to_bytes().unwrap());
    (model, kept.0.into_inner().unwrap())
}

fn search(count: usize) -> Search {
    Search { folds: 4, alphas: Alphas::Falling { count, ratio: 1e-3 }, one_standard_error: false }
}

/// Each coefficient of the path is that of a fit with this weight alone.
fn is_of_separate_fits(
    path: &CoefficientPath,
    target: &str,
    options: Options,
    with: impl Fn(f64) -> Estimator,
) {
    assert_eq!(path.coefficients.len(), path.alphas.len() * path.columns.len());
    assert!(path.alphas.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", path.alphas);
    for (k, &alpha) in path.alphas.iter().enumerate().step_by(3) {
        let alone = fit(&with(alpha), target, options, &tilewise_base::fit::Silent);
        for (j, b) in alone.linear().coefficients.iter().enumerate() {
            let ours = path.of_column(j).nth(k).unwrap();
            assert_eq!(ours, path.coefficients[k * path.columns.len() + j]);
            assert!((ours - b).abs() < 1e-5 * (1.0 + b.abs()), "alpha {alpha}, column {j}: {ours} and {b}");
        }
    }
}

#[test]
fn lasso_tells_the_weights_that_were_compared() {
    for standardise in [true, false] {
        let options = Options { standardise, ..Options::default() };
        let params = ElasticNet { l1_ratio: 0.8, ..ElasticNet::default() };
        let of = Estimator::ElasticNet { params: params.clone(), search: Some(search(25)) };
        let (model, path) = told(&of, "y", options);
        let path = path.unwrap();
        let names =
            ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "city=<Chur>", "city=Bern", "city=Genf & Co"];
        assert_eq!(
            (path.columns.clone(), path.standardised),
            (names.map(String::from).to_vec(), standardise)
        );
        let Estimator::ElasticNet { params: fitted, .. } = model.estimator() else { panic!("another one") };
        assert_eq!(path.alpha, fitted.alpha);
        let compared = path.compared.as_ref().unwrap();
        assert_eq!((compared.measure, compared.folds), ("mean squared error", 4));
        assert_eq!((path.alphas.len(), &compared.alphas), (25, &path.alphas));
        assert_eq!(compared.alphas[compared.best], path.alpha);
        assert!(
            compared.one_standard_error <= compared.best && compared.standard_errors.iter().all(|e| *e > 0.0)
        );
        let least = compared.errors.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(compared.errors[compared.best], least);
        // The first weight lets nothing in.
        assert!((0..11).all(|j| path.of_column(j).next() == Some(0.0)));
        is_of_separate_fits(&path, "y", options, |alpha| Estimator::ElasticNet {
            params: ElasticNet { alpha, ..params.clone() },
            search: None,
        });
    }
}

#[test]
fn the_path_goes_on_to_a_weight_that_was_given() {
    let path = |alpha: f64| {
        let params = ElasticNet { alpha, ..ElasticNet::default() };
        let path = told(&Estimator::ElasticNet { params, search: None }, "y", Options::default()).1.unwrap();
        assert!(path.compared.is_none() && path.alpha == alpha);
        path
    };
    let usual = path(0.1);
    let (first, last) = (usual.alphas[0], usual.alphas[99]);
    assert_eq!(usual.alphas.len(), 100);
    assert!((last / first - 1e-3).abs() < 1e-12 && last < 0.1);
    assert_eq!(path(2.0 * first).alphas, usual.alphas);
    let further = path(last / 50.0);
    assert_eq!((&further.alphas[..100], further.alphas.last()), (&usual.alphas[..], Some(&(last / 50.0))));
    is_of_separate_fits(&further, "y", Options::default(), |alpha| Estimator::ElasticNet {
        params: ElasticNet { alpha, ..ElasticNet::default() },
        search: None,
    });
    // But not without end.
    assert!((path(1e-30).alphas.last().unwrap() / (1e-3 * last) - 1.0).abs() < 1e-12);
}

#[test]
fn generalised_models_tell_a_fit_for_each_weight_that_was_compared() {
    let params = Generalised { l1_ratio: 0.5, ..Generalised::default() };
    let of = Estimator::Searched { of: Box::new(Estimator::Generalised(params.clone())), search: search(7) };
    let (model, path) = told(&of, "count", Options::default());
    let path = path.unwrap();
    let compared = path.compared.as_ref().unwrap();
    assert_eq!((compared.measure, &compared.alphas), ("mean deviance", &path.alphas));
    let Estimator::Generalised(fitted) = model.estimator() else { panic!("another one") };
    assert_eq!((fitted.alpha, compared.alphas[compared.best]), (path.alpha, path.alpha));
    is_of_separate_fits(&path, "count", Options::default(), |alpha| {
        Estimator::Generalised(Generalised { alpha, ..params.clone() })
    });
}

#[test]
fn fits_without_a_path_tell_none() {
    let net = |l1_ratio, solver| Estimator::ElasticNet {
        params: ElasticNet { alpha: 0.1, l1_ratio, solver, tolerance: 1e-4, ..ElasticNet::default() },
        search: None,
    };
    for of in [
        Estimator::LeastSquares(LeastSquares::default()),
        Estimator::Generalised(Generalised {
            distribution: Distribution::Normal(Link::Identity),
            ..Generalised::default()
        }),
        net(0.0, ElasticNetSolver::Auto),
        net(1.0, ElasticNetSolver::Saga),
    ] {
        assert!(told(&of, "y", Options::default()).1.is_none(), "{of:?}");
    }
}

#[test]
fn models_of_a_deviance_tell_it() {
    let group = |loss| GroupLasso { alpha: 0.1, loss, ..GroupLasso::default() };
    let deviance =
        |of: Estimator| fit(&of, "count", Options::default(), &tilewise_base::fit::Silent).deviance(2.0, 1.0);
    let poisson = Some(2.0 * (2.0 * 2f64.ln() - 1.0));
    assert_eq!(deviance(Estimator::Generalised(Generalised::default())), poisson);
    let groups = |loss| Estimator::GroupLasso { params: group(loss), inputs: vec![] };
    assert_eq!(deviance(groups(GroupLoss::Deviance(Distribution::Poisson))), poisson);
    assert_eq!(deviance(groups(GroupLoss::Squared)), None);
    let normal = Generalised { distribution: Distribution::Normal(Link::Log), ..Generalised::default() };
    assert_eq!(deviance(Estimator::Generalised(normal)), None);
    assert_eq!(deviance(Estimator::LeastSquares(LeastSquares::default())), None);
}
