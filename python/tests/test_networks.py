"""Networks: what they minimise, beside NumPy, SciPy and scikit-learn; several targets; weights of 8 bits; files of ONNX."""

import os
import pickle
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn.neural_network
import tilewise
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

COMMAND = os.environ.get("TILEWISE_COMMAND", str(Path(__file__).parents[2] / "target/debug/tilewise"))
GOLDEN = Path(__file__).parents[2] / "models/network/tests/golden/imported"


def several():
    X, y = load_diabetes(return_X_y=True)
    return X, np.column_stack([y, 0.001 * X[:, 2] ** 2 + 7.0, np.sin(y)])


def test_several_targets_without_hidden_layers_are_least_squares():
    X, Y = several()
    model = tilewise.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, tol=1e-10, max_iter=1000).fit(X, Y)
    theirs = LinearRegression().fit(X, Y)
    assert model.predict(X).shape == Y.shape and model.n_outputs_ == 3
    assert np.allclose((model.predict(X) - theirs.predict(X)) / Y.std(axis=0), 0.0, atol=1e-6)
    assert np.isclose(model.score(X, Y), r2_score(Y, theirs.predict(X)), atol=1e-9)
    # The loss is half the mean over targets of what is left of their variance.
    assert np.isclose(2.0 * model.loss_, 1.0 - r2_score(Y, theirs.predict(X)), atol=1e-9)


def test_several_targets_are_learned_about_as_well_as_by_scikit_learn(tmp_path):
    X, Y = several()
    X = StandardScaler().fit_transform(X)
    scaled = StandardScaler().fit_transform(Y)
    parameters = {"hidden_layer_sizes": (30,), "activation": "tanh", "max_iter": 300, "learning_rate_init": 0.01, "random_state": 1}
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        ours = tilewise.MLPRegressor(**parameters).fit(X, scaled)
        theirs = sklearn.neural_network.MLPRegressor(**parameters).fit(X, scaled)
    assert abs(ours.score(X, scaled) - theirs.score(X, scaled)) < 0.1
    assert [coefs.shape for coefs in ours.coefs_] == [coefs.shape for coefs in theirs.coefs_] == [(10, 30), (30, 3)]
    assert ours.out_activation_ == theirs.out_activation_ == "identity" and ours.n_layers_ == theirs.n_layers_
    assert ours.t_ == ours.n_iter_ * len(X) and len(ours.loss_curve_) == ours.n_iter_ and ours.best_loss_ == min(ours.loss_curve_)
    ours.save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m")
    assert np.array_equal(loaded.predict(X), ours.predict(X))
    assert np.array_equal(clone(loaded).fit(X, scaled).predict(X), ours.predict(X))
    one = tilewise.MLPRegressor(max_iter=2).fit(X, scaled[:, :1])
    assert one.predict(X).shape == (len(X),)


def logistic(z):
    return 1.0 / (1.0 + np.exp(-z))


#: Those whose gradient is zero at a minimum: that of relu may jump over it.
FUNCTIONS = {"identity": lambda z: z, "tanh": np.tanh, "logistic": logistic}


def forward(X, coefs, intercepts, function):
    for coef, intercept in zip(coefs[:-1], intercepts[:-1]):
        X = FUNCTIONS[function](X @ coef + intercept)
    return X @ coefs[-1] + intercepts[-1]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_ends_where_the_gradient_of_the_objective_is_zero(function, weighted):
    """The objective as the documentation has it, written again with NumPy, and its differences."""
    X, y = load_wine(return_X_y=True)
    X = X[:, :5]
    weights = np.arange(len(X)) % 4 if weighted else np.ones(len(X))
    alpha = 3.0
    model = tilewise.MLPClassifier((4,), function, solver="lbfgs", alpha=alpha, tol=1e-6, max_iter=2000, random_state=2)
    with warnings.catch_warnings(action="error", category=ConvergenceWarning):
        model.fit(X, y, weights if weighted else None)
    mean = np.average(X, axis=0, weights=weights)
    scaled = (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    shapes = [part.shape for part in model.coefs_ + model.intercepts_]

    def parts(point):
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        pieces = [piece.reshape(shape) for piece, shape in zip(np.split(point, ends[:-1]), shapes)]
        return pieces[: len(model.coefs_)], pieces[len(model.coefs_) :]

    def objective(point):
        scores = forward(scaled, *parts(point), function)
        scores = scores - scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        loss = -np.average(logs[np.arange(len(y)), y], weights=weights)
        # Biases, which come last, are not penalised.
        coefs = point[: sum(part.size for part in model.coefs_)]
        return loss + 0.5 * alpha / weights.sum() * coefs @ coefs

    point = np.concatenate([part.ravel() for part in model.coefs_ + model.intercepts_])
    assert point.dtype == np.float64 and 1e-3 < objective(point) < 1.0
    scores = forward(scaled, *parts(point), function)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.allclose(shares, model.predict_proba(X), atol=1e-12)
    assert np.isclose(model._model.report["objective"], objective(point), rtol=1e-12)
    # Differences have an error of some 1e-7; away from the minimum the gradient is of the order of 1.
    assert np.abs(approx_fprime(point, objective, 1e-7)).max() < 1e-5
    assert np.abs(approx_fprime(1.3 * point, objective, 1e-7)).max() > 1e-3


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
def test_weights_are_repetitions_in_64_bits(solver):
    X, y = load_iris(return_X_y=True)
    counts = np.arange(len(X)) % 3
    # Few steps, with a penalty: a search along directions makes more of roundings with each.
    model = tilewise.MLPClassifier((6,), "tanh", solver=solver, alpha=1.0, max_iter=20, batch_size=10_000, learning_rate_init=0.01)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        weighted = clone(model).fit(X, y, counts).predict_proba(X)
        repeated = clone(model).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts)).predict_proba(X)
        single = clone(model).set_params(precision="single").fit(X, y, counts)
    assert np.allclose(weighted, repeated, rtol=1e-8)
    assert single.coefs_[0].dtype == np.float32 and not np.array_equal(single.predict_proba(X), weighted)


@pytest.mark.parametrize("weighted", [False, True])
def test_penalty_and_loss_mean_what_those_of_scikit_learn_do(weighted):
    """Without hidden layers there is one minimum: of classes the softmax regression, of numbers ridge regression with half the loss."""
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    Z, z = load_diabetes(return_X_y=True)
    Z, z = StandardScaler().fit_transform(Z), (z - z.mean()) / z.std()
    parameters = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 20.0, "tol": 1e-9, "max_iter": 1000, "max_fun": 10**6}
    for name, X, y in [("MLPClassifier", X, y), ("MLPRegressor", Z, z)]:
        weights = None
        if weighted:
            # Of mean 1 and such that columns and targets stay standardised.
            weights = np.repeat([0.5, 1.5], len(X))
            X, y = np.vstack([X, X]), np.r_[y, y]
        with warnings.catch_warnings(action="ignore"):
            ours = getattr(tilewise, name)(**parameters).fit(X, y, weights)
            theirs = getattr(sklearn.neural_network, name)(**parameters, random_state=0).fit(X, y, weights)
        # That of several targets or classes is the sum over them there, of one it is the same.
        assert np.isclose(ours.loss_, theirs.loss_, rtol=1e-6), name
        assert np.allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-4), name
        spread = [model.intercepts_[0] - model.intercepts_[0].mean() for model in (ours, theirs)]
        assert np.allclose(*spread, atol=1e-4), name
        assert np.abs(ours.coefs_[0]).max() > 0.1


def test_first_weights_are_those_of_scikit_learn():
    """Drawn from the same intervals, biases too; by steps of 1e-12 they stay there."""
    X = np.random.default_rng(0).normal(size=(50, 300))
    y = X[:, 0] > 0
    for activation in ("relu", "logistic"):
        parameters = {"hidden_layer_sizes": (200, 100), "activation": activation, "max_iter": 1, "learning_rate_init": 1e-12}
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            ours = tilewise.MLPClassifier(**parameters, tol=None).fit(X, y)
            theirs = sklearn.neural_network.MLPClassifier(**parameters).fit(X, y)
        for layer in range(2):
            for part in ("coefs_", "intercepts_"):
                mine, other = getattr(ours, part)[layer], getattr(theirs, part)[layer]
                assert np.isclose(np.abs(mine).max(), np.abs(other).max(), rtol=0.05), part
                assert np.isclose(mine.std(), other.std(), rtol=0.2), part
        kaiming = tilewise.MLPClassifier(**parameters, tol=None, initialiser="kaiming").fit(X, y)
        assert not kaiming.intercepts_[0].round(9).any()


@pytest.mark.parametrize("epochs", [1, 4])
def test_fits_end_after_as_many_epochs_as_those_of_scikit_learn(epochs):
    """Nothing is better by so much than the first epoch."""
    X, y = load_iris(return_X_y=True)
    parameters = {"tol": 1e9, "n_iter_no_change": epochs, "hidden_layer_sizes": (5,)}
    for early in (False, True):
        ours = tilewise.MLPClassifier(**parameters, early_stopping=early).fit(X, y)
        theirs = sklearn.neural_network.MLPClassifier(**parameters, early_stopping=early).fit(X, y)
        assert ours.n_iter_ == theirs.n_iter_ == epochs + 2, early


def test_scores_are_those_of_scikit_learn():
    """Digits and a table with noise, means of seeds: in earlier versions first weights were twice as large, and 0.02 were missing."""
    noisy = make_classification(2500, 20, n_informative=8, n_classes=3, n_clusters_per_class=4, flip_y=0.05, random_state=1)
    for X, y in (load_digits(return_X_y=True), noisy):
        scores = []
        for seed in range(3):
            rows = train_test_split(StandardScaler().fit_transform(X), y, train_size=0.6, random_state=seed, stratify=y)
            for kind in (tilewise.MLPClassifier, sklearn.neural_network.MLPClassifier):
                with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
                    model = kind(max_iter=40, random_state=seed).fit(rows[0], rows[2])
                scores.append(model.score(rows[1], rows[3]))
        ours, theirs = np.mean(scores[::2]), np.mean(scores[1::2])
        assert ours > theirs - 0.01, (ours, theirs)


def test_limits_of_lbfgs_are_told():
    X, y = load_iris(return_X_y=True)
    for limit in ({"max_iter": 3}, {"max_fun": 3}):
        with pytest.warns(ConvergenceWarning, match="3 (steps|evaluations) are done"):
            model = tilewise.MLPClassifier((6,), solver="lbfgs", tol=1e-8, early_stopping=True, **limit).fit(X, y)
        assert model.n_iter_ <= 3 and model.t_ == 0 and model.validation_losses_ is None
    with pytest.raises(ValueError, match="parameter solver: 'lbfgs'.*dropout"):
        tilewise.MLPClassifier((6,), solver="lbfgs", dropout=0.1).fit(X, y)


def test_all_parameters_of_scikit_learn_are_there():
    for name in ("MLPClassifier", "MLPRegressor"):
        theirs = set(getattr(sklearn.neural_network, name)().get_params())
        assert theirs <= set(getattr(tilewise, name)().get_params())
    with pytest.raises(ValueError, match="hidden_layer_sizes is the second"):
        tilewise.MLPRegressor((20,)).fit(*load_diabetes(return_X_y=True))
    with pytest.raises(ValueError, match="squared_error.*poisson"):
        tilewise.MLPRegressor("poisson").fit(*load_diabetes(return_X_y=True))


def test_rates_that_fall_and_rows_in_their_order():
    X, y = load_diabetes(return_X_y=True)
    model = tilewise.MLPRegressor(hidden_layer_sizes=(5,), solver="sgd", max_iter=4, tol=None, random_state=1)
    constant, falls = clone(model).fit(X, y), clone(model).set_params(learning_rate="invscaling").fit(X, y)
    # The first epoch is the same, and hardly anything happens later: 442^-0.5 is 0.05.
    assert constant.loss_curve_[0] == falls.loss_curve_[0]
    moved = [abs(m.loss_curve_[3] - m.loss_curve_[1]) for m in (constant, falls)]
    assert moved[1] < 0.2 * moved[0]
    assert clone(falls).set_params(power_t=0.0).fit(X, y).loss_curve_ == constant.loss_curve_
    ordered = clone(model).set_params(shuffle=False)
    # The first batch is then the first 200 rows: with those behind it in another order its losses are the same, with these they are not.
    behind, before = np.r_[:400, 441:399:-1], np.r_[100:300, :100, 300:442]
    loss = ordered.set_params(max_iter=1).fit(X, y).loss_
    assert np.isclose(ordered.fit(X[behind], y[behind]).loss_, loss, rtol=1e-12)
    assert not np.isclose(ordered.fit(X[before], y[before]).loss_, loss, rtol=1e-9)
    other = clone(model).set_params(solver="adam", beta_1=0.5).fit(X, y)
    assert other.loss_curve_ != clone(other).set_params(beta_1=0.9).fit(X, y).loss_curve_
    assert other.loss_curve_ != clone(other).set_params(beta_2=0.5).fit(X, y).loss_curve_
    assert other.loss_curve_ != clone(other).set_params(epsilon=0.1).fit(X, y).loss_curve_
    with pytest.raises(ValueError, match="parameter beta_2: 1.0 is not"):
        clone(other).set_params(beta_2=1.0).fit(X, y)


def test_early_stopping_has_losses_of_rows_held_out():
    X, y = load_diabetes(return_X_y=True)
    model = tilewise.MLPRegressor(early_stopping=True, max_iter=20, tol=None).fit(X, y)
    assert model.best_loss_ is None and model.best_validation_loss_ == min(model.validation_losses_)
    assert model.t_ == model.n_iter_ * (len(X) - 44)


def command(*arguments):
    return subprocess.run([COMMAND, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("load", [load_iris, load_diabetes])
def test_models_of_8_bits_are_loaded(load, tmp_path):
    frame = load(as_frame=True)
    frame.frame.to_csv(tmp_path / "t.csv", index=False)
    X, y = frame.data, frame.target
    classifies = load is load_iris
    kind = tilewise.MLPClassifier if classifies else tilewise.MLPRegressor
    model = kind(hidden_layer_sizes=(40,), solver="lbfgs", alpha=1.0, max_iter=50)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(X, y)
    model.save(tmp_path / "m")
    command("quantise", "--model", tmp_path / "m", "--data", tmp_path / "t.csv", "--out", tmp_path / "small", "--target", "target")
    with pytest.warns(UserWarning, match="precision=int8, which is no parameter"):
        small = tilewise.load(tmp_path / "small")
    assert type(small) is kind and "weights of 8 bits" in small.describe()
    told = command("predict", "--model", tmp_path / "small", "--data", tmp_path / "t.csv", *["--proba"] * classifies).splitlines()[1:]
    answers = small.predict_proba(X) if classifies else small.predict(X)
    theirs = np.array([[float(cell) for cell in line.split(",")[classifies:]] for line in told])
    assert np.array_equal(answers.reshape(theirs.shape), theirs)
    before = model.predict_proba(X) if classifies else model.predict(X)
    assert 0.0 < np.abs(answers - before).max() < 0.1 * np.ptp(before)
    # Weights as they are multiplied.
    assert all(0.0 < np.abs(a - b).max() <= np.abs(b).max() / 127 for a, b in zip(small.coefs_, model.coefs_))
    again = pickle.loads(pickle.dumps(small))
    assert np.array_equal(again.predict(X), small.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        small.predict(X.rename(columns={X.columns[0]: "other"}))
    # As `tilewise predict` does with this file, which has a mean to put there.
    assert len(small.predict(X.assign(**{X.columns[0]: np.nan}))) == len(X)
    with pytest.raises(ValueError, match="infinity"):
        small.predict(X.assign(**{X.columns[0]: np.inf}))
    with pytest.raises(AttributeError, match="tells no importances|what each input adds"):
        small.expected_value_


def test_networks_of_onnx_are_loaded(tmp_path):
    lines = [line.split(",") for line in (GOLDEN / "answers.csv").read_text().splitlines()]

    def golden(name, inputs):
        numbers = np.array([[float(cell) for cell in line[1:]] for line in lines if line[0] == name])
        return numbers[:, :inputs], numbers[:, inputs:]

    X, told = golden("rows", 6)
    with warnings.catch_warnings(action="error"):
        model = tilewise.load(GOLDEN / "rows.onnx")
    assert isinstance(model, tilewise.ImportedClassifier) and model.library_ == "onnx"
    assert model.classes_.tolist() == [0, 1, 2] and model.n_features_in_ == 6
    assert np.allclose(model.predict_proba(X), told, atol=1e-5)
    assert np.array_equal(model.predict(X), told.argmax(axis=1))
    assert "gelu" in model.describe() and not hasattr(model, "feature_importances_")
    X, told = golden("images", 112)
    several = tilewise.load(GOLDEN / "images.onnx")
    assert isinstance(several, tilewise.ImportedRegressor)
    assert np.allclose(several.predict(X), told, atol=1e-4) and several.predict(X).shape == (len(X), 3)
    # As our file, and pickled.
    several.save(tmp_path / "m")
    again = pickle.loads(pickle.dumps(tilewise.load(tmp_path / "m")))
    assert type(again) is type(several) and np.array_equal(again.predict(X), several.predict(X))
    with pytest.raises(TypeError, match="another library trained"):
        model.fit(X, told)
    with pytest.raises(ValueError, match="features"):
        model.predict(X)
    with pytest.raises(ValueError, match="NaN"):
        several.predict(np.full((1, 112), np.nan))
    # What our export writes of a model of a table, with its names.
    frame = load_iris(as_frame=True)
    ours = tilewise.MLPClassifier((5,), "tanh", max_iter=3, precision="single", tol=None).fit(
        frame.data, frame.target_names[frame.target.to_numpy()]
    )
    ours.save(tmp_path / "ours")
    command("export", "--model", tmp_path / "ours", "--to", "onnx", "--out", tmp_path / "ours.onnx")
    back = tilewise.load(tmp_path / "ours.onnx")
    assert isinstance(back, tilewise.ImportedClassifier) and back.classes_.tolist() == ours.classes_.tolist()
    assert back.feature_names_in_.tolist() == list(frame.data.columns)
    assert np.array_equal(back.predict_proba(frame.data), ours.predict_proba(frame.data))
    # It knows what to put where a number is missing.
    assert np.isfinite(back.predict_proba(frame.data.iloc[:3].assign(**{frame.data.columns[1]: np.nan}))).all()
    (tmp_path / "cut.onnx").write_bytes((GOLDEN / "rows.onnx").read_bytes()[:300])
    with pytest.raises(ValueError, match="cut.onnx"):
        tilewise.load(tmp_path / "cut.onnx")
