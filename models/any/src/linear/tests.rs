//! Settings of the linear families become estimators, or errors that say what is accepted.

use super::*;
use tilewise_base::Column;

#[test]
fn gradient_descent_is_a_solver_of_every_family() {
    let descent = Settings::default().with("solver", DESCENT).with("step", 0.25).with("max_rounds", 7);
    let params = GradientDescent { step: Some(0.25), max_rounds: 7, ..GradientDescent::default() };
    assert_eq!(squares(&descent, 0.0).unwrap(), Estimator::GradientDescent(params.clone()));
    let ridged = GradientDescent { l2: 3.0, ..params.clone() };
    assert_eq!(ridge(&descent.clone().with("alpha", 3)).unwrap(), Estimator::GradientDescent(ridged));
    let logistic_params = GradientDescent { loss: DescentLoss::Logistic, l2: 0.5, tolerance: 1e-8, ..params };
    assert_eq!(logistic(&descent.with("C", 2)).unwrap(), Estimator::GradientDescent(logistic_params));
}

#[test]
fn coefficients_have_bounds() {
    let given = Settings::default().with("lower", -0.5).with("upper", 2);
    let params = LeastSquares { lower: Some(-0.5), upper: Some(2.0), ..Default::default() };
    assert_eq!(squares(&given, 0.0).unwrap(), Estimator::LeastSquares(params));
    let positive = Settings::default().with("positive", true);
    let params = LeastSquares { l2: 1.0, lower: Some(0.0), ..Default::default() };
    assert_eq!(ridge(&positive).unwrap(), Estimator::LeastSquares(params));
    for (settings, word) in [
        (positive.clone().with("lower", 1), "positive=true"),
        (positive.clone().with("upper", -1), "not below lower"),
        (positive.clone().with("solver", DESCENT), "positive"),
        (positive.with("errors", "classical"), "without bounds"),
        (Settings::default().with("lower", "inf"), "none, a number"),
        (Settings::default().with("upper", "much"), "none, a number"),
        (Settings::default().with("upper", "a:1,b"), "numbers of inputs"),
        (Settings::default().with("upper", "a:1,b:nan"), "numbers of inputs"),
        (Settings::default().with("upper", "a:1").with("lower", "b:0,a:2"), "lower of \"a\" is 2"),
        (Settings::default().with("upper", "a:1").with("lower", 3), "lower of \"a\" is 3"),
        (Settings::default().with("upper", "a:1").with("errors", "hc0"), "without bounds"),
    ] {
        let message = LINEAR.check(&settings).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

/// Two columns of numbers, a category, and what they make of a target.
fn table() -> Dataset {
    let wave = |step: f64| (0..60).map(|i| (f64::from(i) * step).sin()).collect::<Vec<f64>>();
    let (a, b, noise) = (wave(1.0), wave(0.37), wave(5.3));
    let codes: Vec<u32> = (0..60).map(|i| i % 3).collect();
    let y: Vec<f64> = (0..60).map(|i| 2.0 * a[i] - b[i] + f64::from(codes[i]) + noise[i]).collect();
    let dictionary = ["p", "q", "r"].map(String::from).to_vec();
    let level = Column::Categorical { codes: codes.into(), dictionary };
    let numbers = [("a", a), ("b", b), ("y", y)].map(|(name, x)| (name.to_owned(), Column::F64(x.into())));
    Dataset::new(numbers.into_iter().chain([("level".to_owned(), level)]).collect()).unwrap()
}

#[test]
fn inputs_have_bounds_by_their_names() {
    let table = table();
    let roles = Roles::target("y");
    let fitted = |pairs: &[&str]| {
        crate::train("ridge", &table, &roles, &Settings::parse(pairs).unwrap(), &Context::default())
    };
    let coefficients = |pairs: &[&str]| {
        let model = fitted(pairs).unwrap();
        assert!(model.report().converged, "{:?}", model.report());
        let bytes = model.to_bytes().unwrap();
        assert_eq!(crate::load_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
        let any: &dyn std::any::Any = &*model;
        any.downcast_ref::<Pipeline>().unwrap().linear().coefficients.clone()
    };
    // In the order a, b, the levels.
    let free = coefficients(&[]);
    assert!(free[0] > 0.5 && free[1] < -0.3 && free[2] < -0.2, "{free:?}");
    let held = coefficients(&["upper=a:0.5", "lower=level:-0.2,b:-0.3"]);
    assert_eq!((held[0], held[1], held[2]), (0.5, -0.3, -0.2), "{held:?}");
    // Those that are not named have none, or that of all.
    assert!(held[4] > 0.2, "{held:?}");
    let mixed = coefficients(&["upper=a:0.5", "positive=true"]);
    assert_eq!((mixed[0], mixed[1]), (0.5, 0.0), "{mixed:?}");
    for (pairs, word) in [
        (&["upper=a:0.5,z:1"][..], "the name of an input is: a, b, level"),
        (&["upper=a:0.5,a:1"], "an input once"),
    ] {
        let message = fitted(pairs).err().unwrap().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn least_squares_have_a_solver() {
    for (word, solver) in [
        ("auto", LeastSquaresSolver::Auto),
        ("cholesky", LeastSquaresSolver::Cholesky),
        ("qr", LeastSquaresSolver::Qr),
        ("svd", LeastSquaresSolver::Svd),
        ("lsqr", LeastSquaresSolver::Lsqr),
    ] {
        let given = Settings::default().with("solver", word);
        let params = LeastSquares { l2: 1.0, solver, ..Default::default() };
        assert_eq!(ridge(&given).unwrap(), Estimator::LeastSquares(params));
        let bounded = LINEAR.check(&given.with("positive", true));
        assert_eq!(bounded.is_ok(), word == "auto", "{word}");
    }
    for word in ["newton-cg", "QR", ""] {
        let message = RIDGE.check(&Settings::default().with("solver", word)).unwrap_err().to_string();
        assert!(message.contains("auto, cholesky, qr, svd, lsqr, gradient-descent or sgd is"), "{message}");
    }
}

/// Columns of categories depend on each other: that is no reason for a warning, and all solvers have the shortest solution.
#[test]
fn every_solver_fits_a_table_with_categories() {
    let (table, roles) = (table(), Roles::target("y"));
    for family in ["linear", "ridge"] {
        let fitted = |solver: &str| {
            let settings = Settings::default().with("solver", solver);
            let model = crate::train(family, &table, &roles, &settings, &Context::default()).unwrap();
            assert!(model.report().converged && model.report().warnings.is_empty(), "{:?}", model.report());
            let bytes = model.to_bytes().unwrap();
            assert_eq!(crate::load_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
            let any: &dyn std::any::Any = &*model;
            let named = String::from_utf8_lossy(&bytes).contains("solver");
            (any.downcast_ref::<Pipeline>().unwrap().linear().coefficients.clone(), named)
        };
        // Files of models that leave it to the shape do not know of it.
        let (auto, named) = fitted("auto");
        assert!(!named);
        for solver in ["cholesky", "qr", "svd", "lsqr"] {
            let (coefficients, named) = fitted(solver);
            let near = coefficients.iter().zip(&auto).all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(named && near, "{family} {solver}: {coefficients:?} {auto:?}");
        }
    }
}

#[test]
fn a_penalty_is_shared() {
    let settings = Settings::default().with("C", 0.5).with("l1_ratio", 0.25);
    let params = Logistic { l1: 0.5, l2: 1.5, ..Logistic::default() };
    assert_eq!(logistic(&settings).unwrap(), Estimator::Logistic(params));
    for (settings, word) in [
        (settings.clone().with("solver", "lbfgs"), "lbfgs"),
        (settings.clone().with("solver", "newton-cg"), "newton-cg"),
        (settings.clone().with("solver", DESCENT), "l1_ratio"),
        (settings.clone().with("C", "inf"), "no penalty to share"),
        (settings.with("C", "1").with("errors", "classical"), "C=inf"),
    ] {
        let message = LOGISTIC.check(&settings).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn parameters_that_would_have_no_effect_are_refused() {
    let balanced = Settings::default().with("solver", DESCENT).with("class_weight", "balanced");
    let message = LOGISTIC.check(&balanced).unwrap_err().to_string();
    assert!(message.contains("class_weight") && message.contains("only none"), "{message}");
    for (family, key, value) in [
        (&LINEAR, "step", "0.1"),
        (&RIDGE, "max_rounds", "5"),
        (&LINEAR, "tolerance", "0"),
        (&LOGISTIC, "step", "2"),
    ] {
        let message = family.check(&Settings::default().with(key, value)).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains("solver=gradient-descent"), "{message}");
    }
    for step in ["0", "-1", "inf", "nan", "long"] {
        let settings = Settings::default().with("solver", DESCENT).with("step", step);
        let message = LINEAR.check(&settings).unwrap_err().to_string();
        assert!(message.contains("step") && message.contains("auto or a number above 0"), "{message}");
    }
}
