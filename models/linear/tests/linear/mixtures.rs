//! Tables of numbers beside a category of many levels: models are those of dense rows, though these are never made.

use tilewise_base::encoder::{Encoder, Options};
use tilewise_base::model::UNSEEN;
use tilewise_base::{
    Column, Context, Dataset, Fit, MISSING_CODE, Model, ModelFile, Result, Roles, Sparse, Storage, Task,
    predict_dataset,
};
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef};
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_linear::{
    ClassWeights, Distribution, ElasticNet, ElasticNetSolver, Generalised, GeneralisedSolver, Huber,
    LeastSquares, LeastSquaresSolver, LinearModel, Logistic, LogisticSolver, Rows, StochasticDescent,
    StochasticLoss,
};

/// How far coefficients of both ways may be apart, as a share of 1 and their size: fits end at gradients of 1e-10 of columns scaled to
/// deviation 1, which of a level with a thousandth of the rows are 1e-7 of its coefficient times the curvature of losses and penalties.
const COEFFICIENTS: f64 = 1e-6;

/// How far predictions of one model by stored and by all cells may be: rounding of sums of five terms.
const SUMS: f64 = 1e-12;

/// Levels of the long category, of which the last two have no rows.
const LEVELS: usize = 142;

const ROWS: usize = 700;

/// Columns of the design matrix: two numbers, a boolean, and the levels of both categories.
const WIDTH: usize = 3 + LEVELS + 4;

/// Two numbers, one of them with gaps, a boolean, a category of many levels and one of few, the latter with gaps where `gaps`; a weight that
/// is zero at times, an offset, and a target of each kind.
fn table(gaps: bool) -> Dataset {
    table_of(ROWS, gaps)
}

fn table_of(count: usize, gaps: bool) -> Dataset {
    let random = Philox::new(3, Philox::purpose("a mixture of numbers and categories"));
    let draw = |row: usize, i: u64| random.below(16 * row as u64 + i, 1 << 20) as f64 / (1 << 20) as f64;
    let rows = || 0..count;
    let code = |row: usize| (draw(row, 0).powi(2) * (LEVELS - 2) as f64) as u32;
    let few = |row: usize| if gaps && row % 13 == 4 { MISSING_CODE } else { (draw(row, 1) * 4.0) as u32 };
    let a = |row: usize| 40.0 + 9.0 * draw(row, 2);
    let b = |row: usize| draw(row, 3) - 0.3 * draw(row, 2);
    let score = |row: usize| {
        let of_level = ((code(row) * 37) % 11) as f64 / 11.0 - 0.5;
        0.1 * (a(row) - 44.0) + b(row) + of_level + 0.8 * (draw(row, 4) - 0.5)
    };
    let numbers = |f: &dyn Fn(usize) -> f64| Column::F64(rows().map(f).collect::<Vec<_>>().into());
    let words = |count: usize| (0..count).map(|level| format!("{level:04}")).collect::<Vec<_>>();
    let codes = |f: &dyn Fn(usize) -> u32, count: usize| Column::Categorical {
        codes: rows().map(f).collect::<Vec<_>>().into(),
        dictionary: words(count),
    };
    let columns = vec![
        ("a", numbers(&|row| if row % 9 == 2 { f64::NAN } else { a(row) })),
        ("many", codes(&code, LEVELS)),
        ("b", numbers(&b)),
        ("few", codes(&few, 4)),
        ("flag", Column::Boolean(rows().map(|row| Some(draw(row, 5) > 0.6)).collect::<Vec<_>>().into())),
        ("weight", numbers(&|row| if row % 50 == 7 { 0.0 } else { 0.5 + draw(row, 6) })),
        ("offset", numbers(&|row| 0.4 * draw(row, 7))),
        ("number", numbers(&|row| 3.0 * score(row))),
        ("count", numbers(&|row| (score(row).exp() * 2.0 * draw(row, 8)).floor())),
        ("amount", numbers(&|row| score(row).exp() * (0.5 + draw(row, 8)))),
        ("yes", Column::Boolean(rows().map(|row| Some(score(row) > 0.1)).collect::<Vec<_>>().into())),
        ("kind", codes(&|row| ((score(row) + 1.0).clamp(0.0, 1.9) * 1.5) as u32, 3)),
    ];
    Dataset::new(columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()).unwrap()
}

const INPUTS: [&str; 5] = ["a", "many", "b", "few", "flag"];

fn roles(target: &str, weighted: bool) -> Roles {
    let targets = ["number", "count", "amount", "yes", "kind"];
    let mut ignore: Vec<String> = targets.iter().filter(|t| **t != target).map(|t| t.to_string()).collect();
    if weighted {
        let (weight, offset) = (Some("weight".to_owned()), (target != "kind").then(|| "offset".to_owned()));
        ignore.extend(offset.is_none().then(|| "offset".to_owned()));
        Roles { weight, offset, ignore, ..Roles::target(target) }
    } else {
        ignore.extend(["weight", "offset"].map(String::from));
        Roles { ignore, ..Roles::target(target) }
    }
}

fn cells(data: &Dataset, name: &str) -> Vec<f64> {
    let column = data.column(name).unwrap();
    (0..data.rows()).map(|row| column.cell(row)).collect()
}

/// The dense twin: the encoded table with all its zeros, and the fit of slices.
fn dense(
    estimator: &Estimator,
    options: Options,
    data: &Dataset,
    roles: &Roles,
) -> (Encoder, Fit<LinearModel>) {
    let inputs: Vec<String> = INPUTS.map(String::from).into();
    let weights = roles.weight.as_ref().map(|name| cells(data, name));
    let offset = roles.offset.as_ref().map(|name| cells(data, name));
    let encoder = Encoder::fit(data, &inputs, weights.as_deref(), options).unwrap();
    let design = encoder.encode(data).unwrap();
    let x = MatRef::new(&design, data.rows(), WIDTH).unwrap();
    let rows = Rows { weights: weights.as_deref(), offset: offset.as_deref() };
    let (y, context) = (cells(data, roles.target_name()), Context::default());
    let classes = || y.iter().map(|y| *y as u32).collect::<Vec<u32>>();
    let fit = match estimator {
        Estimator::LeastSquares(params) => params.fit(x, &y, rows, &context),
        Estimator::ElasticNet { params, .. } => params.fit(x, &y, rows, &context),
        Estimator::Generalised(params) => params.fit(x, &y, rows, &context),
        Estimator::Huber(params) => params.fit(x, &y, rows, &context),
        Estimator::Logistic(params) => params.fit(x, &classes(), rows, &context),
        Estimator::Stochastic { params, .. } => params.fit(x, &y, rows, &context),
        _ => panic!("it is not fitted to sparse rows"),
    };
    (encoder, fit.unwrap())
}

fn fit(estimator: &Estimator, options: Options, data: &Dataset, roles: &Roles) -> Pipeline {
    Pipeline::fit("a kind", estimator, options, data, roles, &Context::default()).unwrap()
}

fn fit_or_error(estimator: &Estimator, data: &Dataset, roles: &Roles) -> Result<Pipeline> {
    Pipeline::fit("a kind", estimator, Options::default(), data, roles, &Context::default())
}

/// Every family that learns from sparse rows, with |b|^2 and with |b|, and its target.
fn estimators() -> Vec<(Estimator, &'static str)> {
    let tolerance = 1e-10;
    let mut all = Vec::new();
    for (l2, intercept) in [(2.0, true), (0.5, false)] {
        all.push((
            Estimator::LeastSquares(LeastSquares { l2, intercept, ..LeastSquares::default() }),
            "number",
        ));
        let logistic = Logistic { l2, intercept, tolerance, ..Logistic::default() };
        all.push((Estimator::Logistic(logistic.clone()), "yes"));
        all.push((Estimator::Logistic(logistic), "kind"));
    }
    let balanced = ClassWeights::Balanced;
    let corners = Logistic { l1: 0.4, l2: 0.4, tolerance, class_weights: balanced, ..Logistic::default() };
    all.push((Estimator::Logistic(corners), "yes"));
    for l1_ratio in [0.0, 0.5] {
        let alpha = 0.01;
        let params = ElasticNet { alpha, l1_ratio, tolerance: 1e-14, ..ElasticNet::default() };
        all.push((Estimator::ElasticNet { params, search: None }, "number"));
        for (distribution, target) in [
            (Distribution::Poisson, "count"),
            (Distribution::Gamma, "amount"),
            (Distribution::Tweedie(1.5), "count"),
        ] {
            let params = Generalised { distribution, alpha, l1_ratio, tolerance, ..Generalised::default() };
            all.push((Estimator::Generalised(params), target));
        }
        all.push((Estimator::Huber(Huber { alpha, l1_ratio, tolerance, ..Huber::default() }), "number"));
    }
    all
}

fn close(found: &LinearModel, expected: &LinearModel, what: &str) {
    assert_eq!(found.link, expected.link);
    assert_eq!(found.coefficients.len(), expected.coefficients.len());
    let pairs = found.coefficients.iter().zip(&expected.coefficients);
    for (j, (a, b)) in pairs.chain(found.intercepts.iter().zip(&expected.intercepts)).enumerate() {
        assert!((a - b).abs() <= COEFFICIENTS * (1.0 + b.abs()), "{what}, coefficient {j}: {a} {b}");
    }
}

#[test]
fn models_are_those_of_dense_rows() {
    for (weighted, standardise, gaps) in [(false, true, true), (true, true, false), (true, false, true)] {
        let data = table(gaps);
        let options = Options { standardise, ..Options::default() };
        for (estimator, target) in estimators() {
            let what = format!("{estimator:?} {target}, weights {weighted}, standardised {standardise}");
            let roles = roles(target, weighted);
            let found = fit(&estimator, options, &data, &roles);
            let (encoder, expected) = dense(&estimator, options, &data, &roles);
            assert_eq!(found.encoder(), &encoder);
            assert!(encoder.is_mostly_zeros() && found.report().converged, "{what}: {:?}", found.report());
            assert!(found.report().warnings.is_empty(), "{what}: {:?}", found.report());
            let (a, b) = (found.report().objective, expected.report.objective);
            assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{what}: {a} {b}");
            close(found.linear(), &expected.model, &what);
        }
    }
}

/// Without penalty all that differ by constants of complete categories fit as well: the shortest is that which dense rows find by
/// rotations, with no word on categories.
#[test]
fn least_squares_of_complete_categories_are_those_of_least_norm() {
    for (gaps, intercept) in [(false, true), (false, false), (true, true)] {
        let data = table(gaps);
        let estimator = Estimator::LeastSquares(LeastSquares { intercept, ..LeastSquares::default() });
        let roles = roles("number", true);
        let found = fit(&estimator, Options::default(), &data, &roles);
        let (_, expected) = dense(&estimator, Options::default(), &data, &roles);
        assert!(found.report().converged && found.report().warnings.is_empty(), "{:?}", found.report());
        // Levels without rows, or of rows without weight, are lost, and a level of each complete category.
        assert!(expected.report.warnings[0].contains("least norm"), "{:?}", expected.report);
        close(found.linear(), &expected.model, &format!("gaps {gaps}, intercept {intercept}"));
    }
}

#[test]
fn too_few_rows_are_told() {
    // Of 8 rows, which have nearly as many levels of both categories as there are rows, or more, and three other columns.
    let data = table(false).take(&(0..8).collect::<Vec<_>>());
    let estimator = Estimator::LeastSquares(LeastSquares::default());
    let found = fit(&estimator, Options::default(), &data, &roles("number", false));
    let warnings = &found.report().warnings;
    assert!(warnings.iter().any(|w| w.contains("rank 7 of 149 at most")), "{warnings:?}");
    let answers = predict_dataset(&found, &data, None).unwrap();
    assert!(answers.iter().zip(cells(&data, "number")).all(|(a, y)| (a - y).abs() < 1e-6), "{answers:?}");
}

/// That sparse rows are read shows in the last bits; stochastic steps and SAGA read them in any case.
#[test]
fn bits_are_those_of_stored_cells() {
    let data = table(true);
    let roles_of = |target: &str| roles(target, true);
    let squares = LeastSquares { l2: 2.0, ..LeastSquares::default() };
    let (estimator, roles) = (Estimator::LeastSquares(squares.clone()), roles_of("number"));
    let found = fit(&estimator, Options::default(), &data, &roles);
    let design = found.encoder().encode(&data).unwrap();
    let x = Sparse::of_dense(MatRef::new(&design, ROWS, WIDTH).unwrap()).unwrap();
    let (weights, offset) = (cells(&data, "weight"), cells(&data, "offset"));
    let rows = Rows { weights: Some(&weights), offset: Some(&offset) };
    let y = cells(&data, "number");
    assert_eq!(*found.linear(), squares.fit_sparse(x.view(), &y, rows, &Context::default()).unwrap().model);

    let sgd =
        StochasticDescent { loss: StochasticLoss::Squared, alpha: 0.01, ..StochasticDescent::default() };
    let saga = Logistic { solver: LogisticSolver::Saga, tolerance: 1e-3, ..Logistic::default() };
    for (estimator, target) in
        [(Estimator::Stochastic { params: sgd, of_sum: false }, "number"), (Estimator::Logistic(saga), "yes")]
    {
        let found = fit(&estimator, Options::default(), &data, &roles_of(target));
        let (_, expected) = dense(&estimator, Options::default(), &data, &roles_of(target));
        assert_eq!(*found.linear(), expected.model);
    }
}

/// What only dense rows are fitted to, or what was asked for, still is.
#[test]
fn others_read_dense_rows() {
    let data = table(true);
    let gram = ElasticNet { alpha: 0.01, solver: ElasticNetSolver::Gram, ..ElasticNet::default() };
    let newton = Logistic { solver: LogisticSolver::NewtonCholesky, ..Logistic::default() };
    let corners = Logistic { l1: 0.5, ..Logistic::default() };
    let positive = ElasticNet { alpha: 0.01, positive: true, ..ElasticNet::default() };
    let joint = Huber { joint_scale: true, alpha: 0.01, ..Huber::default() };
    let squares = |solver| Estimator::LeastSquares(LeastSquares { solver, ..LeastSquares::default() });
    let amounts = |solver| {
        let params = Generalised { alpha: 0.01, solver, ..Generalised::default() };
        Estimator::Generalised(params)
    };
    let saga = Logistic { solver: LogisticSolver::Saga, l1: 0.5, ..Logistic::default() };
    let refused = fit_or_error(&Estimator::Logistic(saga), &data, &roles("kind", false)).unwrap_err();
    assert!(refused.to_string().contains("two classes"), "{refused}");
    for (estimator, target) in [
        (squares(LeastSquaresSolver::Qr), "number"),
        (squares(LeastSquaresSolver::Svd), "number"),
        (amounts(GeneralisedSolver::Lbfgs), "count"),
        (amounts(GeneralisedSolver::NewtonCholesky), "count"),
        (Estimator::ElasticNet { params: gram, search: None }, "number"),
        (Estimator::ElasticNet { params: positive, search: None }, "number"),
        (Estimator::Logistic(newton), "yes"),
        (Estimator::Logistic(corners), "kind"),
        (Estimator::Huber(joint), "number"),
    ] {
        let roles = roles(target, false);
        let found = fit(&estimator, Options::default(), &data, &roles);
        let (_, expected) = dense(&estimator, Options::default(), &data, &roles);
        assert_eq!(found.linear().coefficients, expected.model.coefficients, "{estimator:?}");
    }
    // Several classes and an offset are refused in the words of dense rows.
    let several = Roles { offset: Some("offset".into()), ..roles("kind", true) };
    let several =
        Roles { ignore: several.ignore.iter().filter(|n| *n != "offset").cloned().collect(), ..several };
    let logistic = Estimator::Logistic(Logistic::default());
    let refused =
        Pipeline::fit("a kind", &logistic, Options::default(), &data, &several, &Context::default())
            .unwrap_err();
    assert!(refused.to_string().contains("changes nothing among several classes"), "{refused}");
}

#[test]
fn several_targets_are_several_fits() {
    let data = table(true);
    let estimator = Estimator::LeastSquares(LeastSquares { l2: 0.3, ..LeastSquares::default() });
    let ignore = ["count", "yes", "kind", "weight", "offset"].map(String::from).into();
    let both = Roles { ignore, targets: vec!["number".into(), "amount".into()], ..Roles::default() };
    let both = fit(&estimator, Options::default(), &data, &both);
    assert_eq!(*both.task(), Task::Outputs { names: vec!["number".into(), "amount".into()] });
    let alone =
        ["number", "amount"].map(|target| fit(&estimator, Options::default(), &data, &roles(target, false)));
    let expected: Vec<f64> = alone.iter().flat_map(|one| one.linear().coefficients.clone()).collect();
    assert_eq!(both.linear().coefficients, expected);
}

#[test]
fn threads_change_no_bit_of_models_and_answers() {
    // Rows of several blocks and leaves, that threads share.
    let data = table_of(10_000, false);
    for (estimator, target) in estimators() {
        let roles = roles(target, true);
        let run = || {
            let model = fit(&estimator, Options::default(), &data, &roles);
            (model.to_bytes().unwrap(), predict_dataset(&model, &data, None).unwrap())
        };
        let one = parallel::with_threads(1, run);
        assert!(
            [2, 3, 7].iter().all(|&threads| parallel::with_threads(threads, run) == one),
            "{estimator:?}"
        );
    }
}

/// The file is that of any linear model, and answers are those of encoded rows, also where a category is missing or unseen.
#[test]
fn files_and_answers_are_those_of_encoded_rows() {
    let data = table(true);
    for (estimator, target) in estimators() {
        let model = fit(&estimator, Options::default(), &data, &roles(target, true));
        let bytes = model.to_bytes().unwrap();
        let read = Pipeline::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
        assert_eq!(read, model);
        let outputs = model.outputs();
        let nan = f64::NAN;
        let cells = [
            [41.0, 3.0, 0.2, 1.0, 1.0],
            [nan, nan, 0.1, 3.0, 0.0],
            [44.0, UNSEEN, -0.2, nan, nan],
            [40.0, 141.0, 0.0, UNSEEN, 1.0],
        ];
        let offset = [0.0, 0.1, 0.2, 0.3];
        let view = MatRef::new(cells.as_flattened(), 4, 5).unwrap();
        let mut found = vec![0.0; 4 * outputs];
        read.predict(view, Some(&offset), MatMut::new(&mut found, 4, outputs).unwrap()).unwrap();
        let mut encoded = vec![0.0; WIDTH];
        for (i, cells) in cells.iter().enumerate() {
            model.encoder().encode_row(cells, &mut encoded);
            let mut expected = vec![0.0; outputs];
            model.linear().predict_row(&encoded, offset[i], &mut expected).unwrap();
            for (a, b) in found[i * outputs..].iter().zip(&expected) {
                assert!((a - b).abs() <= SUMS * (1.0 + b.abs()), "{estimator:?} row {i}: {a} {b}");
            }
            // Alone as among others.
            let mut alone = vec![0.0; outputs];
            let one = MatRef::new(cells, 1, 5).unwrap();
            read.predict(one, Some(&offset[i..=i]), MatMut::new(&mut alone, 1, outputs).unwrap()).unwrap();
            assert_eq!(alone, found[i * outputs..(i + 1) * outputs]);
        }
    }
}

/// 20,000 rows of two numbers and a category of 10,000 levels would be 1.6 GB of encoded rows; three cells of 12 bytes are put into the storage
/// for each instead, and every family converges in a moment.
#[test]
fn ten_thousand_levels_take_no_memory_for_their_zeros() {
    let (rows, levels) = (20_000, 10_000);
    let random = Philox::new(9, Philox::purpose("a category of very many levels"));
    let draw = |row: usize, i: u64| random.below(4 * row as u64 + i, 1 << 20) as f64 / (1 << 19) as f64 - 1.0;
    let level = |row: usize| (row * 7919 % levels) as u32;
    let score = |row: usize| {
        2.0 * draw(row, 0) - draw(row, 1) + f64::from(level(row) % 10) / 3.0 - 1.5 + 0.1 * draw(row, 2)
    };
    let numbers = |f: &dyn Fn(usize) -> f64| Column::F64((0..rows).map(f).collect::<Vec<_>>().into());
    let dictionary = (0..levels).map(|level| format!("{level:05}")).collect();
    let columns = vec![
        ("x", numbers(&|row| draw(row, 0))),
        ("z", numbers(&|row| draw(row, 1))),
        ("shop", Column::Categorical { codes: (0..rows).map(level).collect(), dictionary }),
        ("number", numbers(&score)),
        ("count", numbers(&|row| (0.5 * score(row)).exp().round())),
        ("yes", Column::Boolean((0..rows).map(|row| Some(score(row) > 0.0)).collect::<Vec<_>>().into())),
    ];
    let data = Dataset::new(columns.into_iter().map(|(name, c)| (name.to_owned(), c)).collect()).unwrap();
    let alpha = 1e-5;
    let lasso = ElasticNet { alpha, ..ElasticNet::default() };
    let poisson = Generalised { alpha: 3e-5, ..Generalised::default() };
    for (estimator, target) in [
        (Estimator::LeastSquares(LeastSquares::default()), "number"),
        (Estimator::LeastSquares(LeastSquares { l2: 0.1, ..LeastSquares::default() }), "number"),
        (Estimator::ElasticNet { params: lasso, search: None }, "number"),
        (Estimator::Huber(Huber { alpha, ..Huber::default() }), "number"),
        (Estimator::Generalised(poisson), "count"),
        (Estimator::Logistic(Logistic { l2: 0.1, ..Logistic::default() }), "yes"),
    ] {
        let ignore = ["number", "count", "yes"].into_iter().filter(|name| *name != target);
        let roles = Roles { ignore: ignore.map(String::from).collect(), ..Roles::target(target) };
        let storage = Storage::limited(0, std::env::temp_dir()).unwrap();
        let context = Context { storage: storage.clone(), ..Context::default() };
        let model = Pipeline::fit("a kind", &estimator, Options::default(), &data, &roles, &context).unwrap();
        assert!(model.report().converged, "{estimator:?}: {:?}", model.report());
        let bytes = storage.in_files();
        assert!((1..=12 * 3 * rows as u64).contains(&bytes), "{estimator:?}: {bytes} bytes");
        // What was learned is what the table was made of.
        let answers = predict_dataset(&model, &data, None).unwrap();
        let (truth, outputs) = (cells(&data, target), model.outputs());
        let told = |row: usize| answers[(row + 1) * outputs - 1];
        let mean = truth.iter().sum::<f64>() / rows as f64;
        let around: f64 = truth.iter().map(|y| (y - mean).powi(2)).sum();
        let left: f64 = (0..rows).map(|row| (told(row) - truth[row]).powi(2)).sum();
        assert!(left < 0.3 * around, "{estimator:?}: {left} of {around}");
    }
}
