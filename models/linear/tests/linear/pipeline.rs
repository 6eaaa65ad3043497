//! From tables to stored models.

use tilewise_base::encoder::Options;
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Progress, Roles, Task, predict_dataset};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_linear::{DescentLoss, ElasticNet, Errors, GradientDescent, LeastSquares, Logistic};

/// Exact in its inputs: y = 2 age - 3 [city = b] + [member] + 5, with gaps in age.
fn table(rows: usize) -> Dataset {
    let age: Vec<f64> = (0..rows).map(|i| if i % 10 == 9 { f64::NAN } else { (i * 7 % 50) as f64 }).collect();
    let codes: Vec<u32> = (0..rows).map(|i| (i * 5 % 3) as u32).collect();
    let member: Vec<Option<bool>> = (0..rows).map(|i| Some(i * 11 % 4 == 1)).collect();
    let known: Vec<f64> = age.iter().copied().filter(|a| !a.is_nan()).collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let y: Vec<f64> = (0..rows)
        .map(|i| {
            let age = if age[i].is_nan() { mean } else { age[i] };
            2.0 * age - 3.0 * f64::from(u8::from(codes[i] == 1))
                + f64::from(u8::from(member[i] == Some(true)))
                + 5.0
        })
        .collect();
    let species: Vec<u32> =
        y.iter().enumerate().map(|(i, y)| u32::from(*y > 50.0) + u32::from(i % 5 == 0)).collect();
    let dictionary = |words: [&str; 3]| words.map(String::from).to_vec();
    let columns = vec![
        ("age", Column::F64(age.into())),
        ("city", Column::Categorical { codes: codes.into(), dictionary: dictionary(["a", "b", "c"]) }),
        ("member", Column::Boolean(member.into())),
        ("y", Column::F64(y.into())),
        ("species", Column::Categorical { codes: species.into(), dictionary: dictionary(["x", "y", "z"]) }),
    ];
    Dataset::new(columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()).unwrap()
}

fn fit(estimator: &Estimator, target: &str) -> Pipeline {
    let other = if target == "y" { "species" } else { "y" };
    let roles = Roles { ignore: vec![other.into()], ..Roles::target(target) };
    Pipeline::fit("a kind", estimator, Options::default(), &table(300), &roles, &Context::default()).unwrap()
}

fn estimators() -> [(Estimator, &'static str); 2] {
    [
        (Estimator::LeastSquares(LeastSquares::default()), "y"),
        (Estimator::Logistic(Logistic::default()), "species"),
    ]
}

#[test]
fn an_exact_relation_is_found_and_told_in_original_units() {
    let model = fit(&estimators()[0].0, "y");
    let data = table(57);
    let out = predict_dataset(&model, &data, None).unwrap();
    let y = data.column("y").unwrap();
    for (i, out) in out.iter().enumerate().filter(|(i, _)| i % 10 != 9) {
        assert!((out - y.cell(i)).abs() < 1e-9, "row {i}: {out} for {}", y.cell(i));
    }
    let text = model.describe();
    let age = text.lines().rfind(|l| l.trim_start().starts_with("age ")).unwrap();
    assert!(age.ends_with(" 2.000000"), "{text}");
    // That the three cities depend on each other is as it should be.
    assert!(model.report().warnings.is_empty(), "{:?}", model.report());
    assert!(model.report().stopped.contains("Cholesky"), "{:?}", model.report());
}

/// Each target has the coefficients of a fit of its own, bit for bit, also from the file; what cannot be learned so is named.
#[test]
fn several_targets_are_several_fits() {
    let data = table(300);
    let of = |estimator: &Estimator, targets: &[&str]| {
        // What one of them has as its target is an input of none.
        let others = ["y", "member", "species"].iter().filter(|name| !targets.contains(*name));
        let ignore = others.map(|name| name.to_string()).collect();
        let targets = targets.iter().map(|name| name.to_string()).collect();
        let roles = Roles { ignore, targets, ..Roles::default() };
        Pipeline::fit("a kind", estimator, Options::default(), &data, &roles, &Context::default())
    };
    let penalised = ElasticNet { alpha: 0.01, ..ElasticNet::default() };
    for estimator in [
        Estimator::LeastSquares(LeastSquares { l2: 0.3, ..LeastSquares::default() }),
        Estimator::ElasticNet { params: penalised, search: None },
    ] {
        let both = of(&estimator, &["y", "member"]).unwrap();
        assert_eq!(*both.task(), Task::Outputs { names: vec!["y".into(), "member".into()] });
        let alone = ["y", "member"].map(|target| of(&estimator, &[target]).unwrap());
        let coefficients: Vec<f64> = alone.iter().flat_map(|one| one.linear().coefficients.clone()).collect();
        assert_eq!(both.linear().coefficients, coefficients);
        let bytes = both.to_bytes().unwrap();
        let again = Pipeline::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
        assert_eq!(again, both);
        let answers = predict_dataset(&again, &data, None).unwrap();
        for (target, one) in alone.iter().enumerate() {
            let expected = predict_dataset(one, &data, None).unwrap();
            assert!((0..300).all(|row| answers[2 * row + target] == expected[row]));
        }
    }
    let descent = GradientDescent { loss: DescentLoss::Squared, ..GradientDescent::default() };
    let refused = of(&Estimator::GradientDescent(descent), &["y", "member"]).unwrap_err().to_string();
    assert!(refused.contains("\"member\": is a second target, besides \"y\""), "{refused}");
}

#[test]
fn standard_errors_are_those_of_the_inputs_units_and_are_stored() {
    let mut data = table(120);
    // With noise, or there would be no errors.
    let y: Vec<f64> = (0..120).map(|i| data.column("y").unwrap().cell(i) + ((i * 37) % 11) as f64).collect();
    let columns = data.names().iter().zip(data.columns()).map(|(name, column)| {
        (name.clone(), if name == "y" { Column::F64(y.clone().into()) } else { column.clone() })
    });
    data = Dataset::new(columns.collect()).unwrap();
    let roles = Roles { ignore: vec!["species".into(), "city".into()], ..Roles::target("y") };
    let judged = |estimator: &Estimator, standardise: bool| {
        let options = Options { standardise, ..Options::default() };
        Pipeline::fit("a kind", estimator, options, &data, &roles, &Context::default()).unwrap().judged(
            Errors::Classical,
            &data,
            &roles,
        )
    };
    let least_squares = Estimator::LeastSquares(LeastSquares::default());
    let (raw, scaled) = (judged(&least_squares, false).unwrap(), judged(&least_squares, true).unwrap());
    let (a, b) = (raw.inference().unwrap(), scaled.inference().unwrap());
    for (a, b) in a.coefficients.iter().zip(&b.coefficients) {
        assert!((a.estimate / b.estimate - 1.0).abs() < 1e-9 && a.standard_error > 0.0);
        assert!((a.standard_error / b.standard_error - 1.0).abs() < 1e-9);
    }
    let bytes = scaled.to_bytes().unwrap();
    let read = Pipeline::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert_eq!(read.to_bytes().unwrap(), bytes);
    let text = read.describe();
    assert_eq!(text, scaled.describe());
    for part in ["No. Observations:                  120", "std err", "P>|t|", "intercept", "age  ", "AIC:"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let ridge = Estimator::LeastSquares(LeastSquares { l2: 1.0, ..Default::default() });
    assert!(judged(&ridge, true).err().unwrap().to_string().contains("without penalty"));
}

#[test]
fn files_read_back_the_same_and_bits_do_not_depend_on_threads() {
    for (estimator, target) in estimators() {
        let models: Vec<Pipeline> =
            [1, 3].map(|t| parallel::with_threads(t, || fit(&estimator, target))).into_iter().collect();
        let bytes = models[0].to_bytes().unwrap();
        assert_eq!(bytes, models[1].to_bytes().unwrap());
        let file = ModelFile::parse(&bytes).unwrap();
        assert_eq!(file.kind(), "a kind");
        let read = Pipeline::from_file(&file).unwrap();
        assert_eq!(read, models[0]);
        assert_eq!(read.to_bytes().unwrap(), bytes);
    }
}

/// Keeps what it hears.
#[derive(Default)]
struct Notes(std::sync::Mutex<Vec<String>>);

impl Progress for Notes {
    fn round(&self, _: u64, _: u64, note: &str) {
        self.0.lock().unwrap().push(note.to_owned());
    }
}

#[test]
fn no_loss_is_told_before_it_is_known() {
    let (data, notes) = (table(300), Notes::default());
    let context = Context { progress: &notes, ..Default::default() };
    for (estimator, target) in estimators() {
        let other = if target == "y" { "species" } else { "y" };
        let roles = Roles { ignore: vec![other.into()], ..Roles::target(target) };
        let model = Pipeline::fit("kind", &estimator, Options::default(), &data, &roles, &context).unwrap();
        let notes = std::mem::take(&mut *notes.0.lock().unwrap());
        assert_eq!(notes.len() as u64, model.report().rounds);
        // Least squares has solved after its first pass, classifiers begin after it.
        let known = if target == "y" { 0 } else { 1 };
        assert!(notes[..known].iter().all(|n| !n.contains("loss")), "{notes:?}");
        assert!(notes[known..].iter().all(|n| n.contains("loss")), "{notes:?}");
    }
}

/// Forty numbers and thirty cities, rows enough for several leaves and columns enough for several strips.
fn broad(rows: usize) -> Dataset {
    let random = Philox::new(5, Philox::purpose("broad table"));
    let number = |j: usize| (0..rows).map(|i| random.normal((i * 41 + j) as u64)).collect::<Vec<f64>>();
    let mut columns: Vec<_> = (0..40).map(|j| (format!("x{j}"), Column::F64(number(j).into()))).collect();
    let codes: Vec<u32> = (0..rows).map(|i| (i * 7 % 30) as u32).collect();
    let noise = number(40);
    let y: Vec<f64> = (0..rows).map(|i| noise[i] + f64::from(codes[i] % 4)).collect();
    let late = y.iter().map(|y| Some(*y > 1.5)).collect();
    let dictionary = (0..30).map(|k| format!("city {k:02}")).collect();
    columns.push(("city".into(), Column::Categorical { codes: codes.into(), dictionary }));
    columns.push(("y".into(), Column::F64(y.into())));
    columns.push(("late".into(), Column::Boolean(late)));
    Dataset::new(columns).unwrap()
}

#[test]
fn every_scheme_of_descent_keeps_its_bits_and_its_name_to_itself() {
    let data = broad(9000);
    for (loss, target, other) in [(DescentLoss::Squared, "y", "late"), (DescentLoss::Logistic, "late", "y")] {
        let params = GradientDescent { loss, max_rounds: 12, tolerance: 1e-9, ..Default::default() };
        let estimator = Estimator::GradientDescent(params);
        let roles = Roles { ignore: vec![other.into()], ..Roles::target(target) };
        let mut coefficients = Vec::new();
        for scheme in [Scheme::Rows, Scheme::Tasks, Scheme::Auto] {
            let bytes = |threads| {
                let context = Context { scheme, ..Default::default() };
                let fit =
                    || Pipeline::fit("a", &estimator, Options::default(), &data, &roles, &context).unwrap();
                parallel::with_threads(threads, fit).to_bytes().unwrap()
            };
            let one = bytes(1);
            for threads in [2, 3, 7] {
                assert!(bytes(threads) == one, "{scheme:?} on {threads} threads");
            }
            let file = ModelFile::parse(&one).unwrap();
            let read = Pipeline::from_file(&file).unwrap();
            assert_eq!(read.to_bytes().unwrap(), one);
            assert_eq!((read.report().rounds, read.report().converged), (12, false));
            let params =
                serde_json::to_string(&file.metadata::<serde_json::Value>("params").unwrap()).unwrap();
            assert!(params.contains("max_rounds") && !params.contains("scheme"), "{params}");
            coefficients.push(read.linear().coefficients.clone());
        }
        for (rows, tasks) in coefficients[0].iter().zip(&coefficients[1]) {
            assert!((rows - tasks).abs() < 1e-12, "{loss:?}: {rows} and {tasks}");
        }
    }
}

#[test]
fn a_row_alone_and_in_any_batch_and_layout() {
    for (estimator, target) in estimators() {
        let model = fit(&estimator, target);
        let (n, k) = (3000, model.outputs());
        let cells: Vec<f64> =
            (0..n).flat_map(|i| [i as f64 * 0.1, (i % 5) as f64 - 1.0, (i % 2) as f64]).collect();
        let offset: Vec<f64> = (0..n).map(|i| (i % 3) as f64).collect();
        let mut all = vec![0.0; n * k];
        let view = MatRef::new(&cells, n, 3).unwrap();
        model.predict(view, Some(&offset), MatMut::new(&mut all, n, k).unwrap()).unwrap();
        let mut by_columns = vec![0.0; n * k];
        let out = MatMut::new(&mut by_columns, k, n).unwrap().transpose();
        model.predict(view, Some(&offset), out).unwrap();
        for i in (0..n).step_by(191) {
            let mut alone = vec![0.0; k];
            let one = MatMut::new(&mut alone, 1, k).unwrap();
            model.predict(view.row_range(i..i + 1), Some(&offset[i..=i]), one).unwrap();
            assert_eq!(alone, all[i * k..(i + 1) * k]);
            (0..k).for_each(|c| assert_eq!(alone[c], by_columns[c * n + i]));
        }
    }
}

#[test]
fn mistakes_are_named() {
    let roles = Roles::target("species");
    let fit = |estimator: &Estimator, roles: &Roles, data: &Dataset, options| {
        Pipeline::fit("kind", estimator, options, data, roles, &Context::default()).unwrap_err().to_string()
    };
    let [(squares, _), (logistic, _)] = estimators();
    assert!(fit(&squares, &roles, &table(30), Options::default()).contains("\"species\""));
    let refuse = Options { impute: false, standardise: true, ..Options::default() };
    let error =
        fit(&squares, &Roles { ignore: vec!["species".into()], ..Roles::target("y") }, &table(30), refuse);
    assert!(error.contains("age"), "{error}");
    let one_class = table(30).take(&[0]);
    assert!(fit(&logistic, &roles, &one_class, Options::default()).contains("one class only"));
    let descent = GradientDescent { loss: DescentLoss::Logistic, ..Default::default() };
    let error = fit(&Estimator::GradientDescent(descent), &roles, &table(30), Options::default());
    assert!(error.contains("solver") && error.contains("two classes") && error.contains("has 3"), "{error}");
    // A file whose parts do not fit each other.
    let model = self::fit(&squares, "y");
    let text = String::from_utf8_lossy(&model.to_bytes().unwrap()).into_owned();
    assert!(text.contains("least_squares") && matches!(model.task(), Task::Regression));
    let wrong = tilewise_base::model_file::Writer::new(
        "linear",
        serde_json::json!({ "params": logistic, "encoder": model.encoder(), "task": model.task(), "target": "y" }),
    );
    let bytes = wrong.to_bytes().unwrap();
    let error = Pipeline::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap_err().to_string();
    assert!(error.contains("task"), "{error}");
}
