"""What users do: tables with categories, pipelines, searches, threads, forks, interruptions, and garbage."""

import decimal
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn.linear_model
import tilewise
from tilewise import _data, _labels
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import HuberRegressor, LogisticRegression, PoissonRegressor, QuantileRegressor, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (tilewise.Ridge(alpha=3.0), Ridge(alpha=3.0)),
        (tilewise.PoissonRegressor(alpha=0.1), PoissonRegressor(alpha=0.1, tol=1e-10, max_iter=10_000)),
    ],
)
def test_penalties_are_those_of_scikit_learn(ours, theirs):
    X, y = load_diabetes(return_X_y=True)
    X, y = 10 * X, y / 100
    ours.fit(X, y), theirs.fit(X, y)
    assert np.allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-7)
    assert np.isclose(ours.intercept_, theirs.intercept_, rtol=1e-6)


@pytest.mark.parametrize("parameters", [{}, {"epsilon": 1.9, "alpha": 3.0, "fit_intercept": False}])
@pytest.mark.parametrize("weighted", [False, True])
def test_huber_regression_is_that_of_scikit_learn(parameters, weighted):
    X, y = load_diabetes(return_X_y=True)
    X, y = 10 * X, y / 100
    y[::40] += 30.0
    weights = 1.0 + np.arange(len(y)) % 3 if weighted else None
    ours = tilewise.HuberRegressor(**parameters).fit(X, y, weights)
    theirs = HuberRegressor(**parameters, tol=1e-9, max_iter=100_000).fit(X, y, weights)
    # L-BFGS stops at changes of 1e-9 or so.
    assert np.isclose(ours.scale_, theirs.scale_, rtol=1e-4)
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-3) and np.isclose(ours.intercept_, theirs.intercept_, atol=1e-3)
    assert np.array_equal(ours.outliers_, theirs.outliers_) and 11 < ours.outliers_.sum() < 300


@pytest.mark.parametrize("quantile, alpha, intercept", [(0.5, 0.0, True), (0.9, 0.01, True), (0.2, 0.003, False)])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantile_regression_is_that_of_scikit_learn(quantile, alpha, intercept, weighted):
    X, y = load_diabetes(return_X_y=True)
    X, y = 10 * X, y / 100
    weights = 1.0 + np.arange(len(y)) % 3 if weighted else None
    parameters = {"quantile": quantile, "alpha": alpha, "fit_intercept": intercept}
    ours = tilewise.QuantileRegressor(**parameters).fit(X, y, weights)
    theirs = QuantileRegressor(**parameters).fit(X, y, weights)
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-6) and np.isclose(ours.intercept_, theirs.intercept_, atol=1e-6)
    assert np.array_equal(ours.coef_ == 0.0, np.abs(theirs.coef_) < 1e-12)
    # As many rows are met as there are coefficients.
    met = np.abs(y - ours.predict(X)) < 1e-9
    assert met.sum() == np.count_nonzero(ours.coef_) + intercept


@pytest.mark.parametrize("name, parameters", [("LinearRegression", {}), ("Ridge", {"alpha": 3.0}), ("Lasso", {"alpha": 0.02})])
def test_several_targets_are_those_of_scikit_learn(name, parameters):
    X, y = load_diabetes(return_X_y=True)
    X, y = 10 * X, np.column_stack([y / 100, X[:, 3] ** 2, np.sin(y)])
    theirs = getattr(sklearn.linear_model, name)(**parameters)
    if name == "Lasso":
        theirs.set_params(tol=1e-10, max_iter=100_000)
    ours = getattr(tilewise, name)(**parameters).fit(X, y)
    theirs.fit(X, y)
    assert ours.coef_.shape == (3, 10)
    assert np.allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-6)
    assert np.allclose(ours.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-9)
    assert np.allclose(ours.predict(X), theirs.predict(X), atol=1e-5)


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_logistic_regression_is_that_of_scikit_learn(load):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ours, theirs = tilewise.LogisticRegression(C=0.7).fit(X, y), LogisticRegression(C=0.7, tol=1e-10, max_iter=5000)
    theirs.fit(X, y)
    assert np.allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    if len(theirs.classes_) == 2:
        assert np.allclose(ours.coef_, theirs.coef_, atol=1e-4)
        assert np.allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-3)


def colours(rows=400):
    rng = np.random.default_rng(0)
    colour = rng.choice(["red", "green", "blue"], rows)
    size = rng.normal(size=rows)
    y = np.where(colour == "red", "hot", "cold")
    return pd.DataFrame({"colour": pd.Categorical(colour), "size": size, "new": size > 0}), y


@pytest.mark.parametrize(
    "estimator",
    [
        tilewise.DecisionTreeClassifier(),
        tilewise.RandomForestClassifier(n_estimators=5, max_features=None, random_state=0),
        tilewise.HistGradientBoostingClassifier(max_iter=20),
    ],
)
def test_categories_are_taken_as_they_are(estimator):
    X, y = colours()
    model = estimator.fit(X, y)
    assert model.score(X, y) == 1.0
    assert model.feature_importances_.argmax() == 0
    assert list(model.feature_names_in_) == ["colour", "size", "new"]
    X = X.copy()
    X["colour"] = X["colour"].astype(object)
    X.loc[:2, "colour"] = None
    assert len(model.predict(X)) == len(X)
    with pytest.raises(ValueError, match="categories|could not convert"):
        model.predict(np.zeros((2, 3)))


def test_meta_estimators():
    X, y = cancer()
    forest = tilewise.RandomForestClassifier(n_estimators=10, random_state=0)
    search = GridSearchCV(forest, {"max_depth": [1, 4]}, cv=3, n_jobs=2).fit(X, y)
    assert search.best_params_ == {"max_depth": 4}
    calibrated = CalibratedClassifierCV(forest, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.95
    stack = StackingClassifier([("f", forest), ("l", tilewise.LogisticRegression())], cv=3).fit(X, y)
    assert stack.score(X, y) > 0.95
    forest.fit(X, y)
    importances = permutation_importance(forest, X, y, n_repeats=2, random_state=0).importances_mean
    assert importances.max() > 0
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    columns = ColumnTransformer([("scaled", StandardScaler(), ["c0", "c1"])], remainder="passthrough")
    assert make_pipeline(columns, tilewise.LogisticRegression()).fit(frame, y).score(frame, y) > 0.95
    assert cross_val_score(tilewise.HistGradientBoostingClassifier(max_iter=20), X, y, cv=3).mean() > 0.93


def test_joblib_gets_the_same_answers_everywhere():
    X, y = cancer()
    model = tilewise.RandomForestClassifier(n_estimators=10).fit(X, y)
    parts = joblib.Parallel(n_jobs=2)(joblib.delayed(model.predict_proba)(X) for _ in range(4))
    assert all(np.array_equal(part, model.predict_proba(X)) for part in parts)


def _unpickled_after_fork(pickled):
    model = pickle.loads(pickled)
    return pickle.dumps(model), model.predict_proba(cancer()[0]).sum()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_a_process_that_wrote_and_read_models_does_so_too():
    model = tilewise.RandomForestClassifier(n_estimators=20, random_state=0).fit(*cancer())
    pickled = pickle.dumps(model)
    expected = _unpickled_after_fork(pickled)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(_unpickled_after_fork, [pickled] * 3).get(timeout=60) == [expected] * 3


def _fit_after_fork(seed):
    X, y = cancer()
    model = tilewise.RandomForestClassifier(n_estimators=5, random_state=seed, n_jobs=2).fit(X, y)
    return model.predict_proba(np.tile(X, (10, 1))).sum()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_after_use():
    before = [_fit_after_fork(seed) for seed in range(3)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        after = pool.map_async(_fit_after_fork, range(3)).get(timeout=60)
    assert after == before


def test_threads_predict_while_another_trains():
    X, y = cancer()
    X = np.tile(X, (10, 1))
    model = tilewise.HistGradientBoostingClassifier(max_iter=20).fit(X, np.tile(y, 10))
    expected = model.predict_proba(X)
    wrong = []

    def ask():
        for _ in range(5):
            if not np.array_equal(model.predict_proba(X), expected):
                wrong.append(1)

    others = [threading.Thread(target=ask) for _ in range(8)]
    for thread in others:
        thread.start()
    tilewise.HistGradientBoostingClassifier(max_iter=30).fit(X, np.tile(y, 10))
    for thread in others:
        thread.join(60)
    assert not wrong


def test_the_interpreter_runs_while_a_model_is_trained():
    X, y = load_diabetes(return_X_y=True)
    model = tilewise.RandomForestRegressor(n_estimators=300, n_jobs=1)
    fit = threading.Thread(target=model.fit, args=(np.tile(X, (10, 1)), np.tile(y, 10)))
    fit.start()
    turns = 0
    while fit.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 3


@pytest.fixture
def interrupts():
    """Ctrl-C as on a terminal: whoever starts tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_keeps_what_was_trained(interrupts):
    X, y = cancer()
    model = tilewise.HistGradientBoostingClassifier(max_iter=1_000_000, early_stopping=False)
    stop = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert 0 < model.n_iter_ < 1_000_000
    assert model.score(X, y) > 0.9


def test_callbacks_hear_rounds_and_end_training():
    X, y = cancer()
    heard = []

    def callback(done, total, note):
        heard.append((done, total))
        return done >= 3

    model = tilewise.HistGradientBoostingClassifier(max_iter=100_000, callback=callback)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert [done for done, _ in heard] == [1, 2, 3] and heard[0][1] == 100_000 and model.n_iter_ == 3

    def broken(done, total, note):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tilewise.HistGradientBoostingClassifier(max_iter=100_000, callback=broken).fit(X, y)


def test_arrays_that_are_not_aligned_are_read():
    X, y = cancer()
    moved = np.ndarray(X.shape, np.float64, buffer=bytearray(X.nbytes + 1), offset=1)
    moved[:] = X
    assert not moved.flags.aligned
    model = tilewise.DecisionTreeClassifier(max_depth=3)
    assert np.array_equal(model.fit(moved, y).predict(moved), model.fit(X, y).predict(X))


def test_classes_are_those_that_numpy_finds():
    rng = np.random.default_rng(0)
    numbers = rng.integers(-3, 4, 500)
    for y in [
        numbers, numbers.astype(np.int8) * 40, numbers > 0, numbers.astype(np.uint64) + np.uint64(2**63), numbers * 10**12,
        numbers.astype(float), np.array(["a", "bb", "c", "d"])[numbers % 4], np.array(["a", "bb", "c", "d"], dtype=object)[numbers % 4],
        numbers[::-1], (numbers % 2).astype(np.uint8), np.array([2**63, 2**63 + 1], np.uint64), np.array([2**64 - 1, 2**64 - 3], np.uint64),
    ]:  # fmt: skip
        classes, codes = _labels.classes_of(y)
        expected, places = np.unique(y, return_inverse=True)
        assert classes.dtype == expected.dtype and np.array_equal(classes, expected) and np.array_equal(codes, places)


def test_labels_of_64_bits_without_sign_are_classes():
    y = np.array([2**63, 2**63 + 1], np.uint64)[np.arange(40) % 2]
    model = tilewise.DecisionTreeClassifier().fit(np.arange(40.0).reshape(-1, 1) % 2, y)
    assert model.classes_.dtype == np.uint64 and np.array_equal(model.predict([[0.0], [1.0]]), y[:2])


@pytest.mark.parametrize("kind", ["int64", "float32", "decimal"])
def test_missing_numbers_of_arrow_in_pandas_are_missing(kind):
    arrow = pytest.importorskip("pyarrow")
    x = [None if i % 5 == 0 else i % 7 for i in range(60)]
    kinds = {"int64": arrow.int64(), "float32": arrow.float32(), "decimal": arrow.decimal128(10, 2)}
    numbers = x if kind != "decimal" else [None if i is None else decimal.Decimal(i) for i in x]
    table = pd.DataFrame({"a": pd.array(numbers, dtype=pd.ArrowDtype(kinds[kind])), "b": np.arange(60.0)})
    plain = pd.DataFrame({"a": np.array(x, dtype=float), "b": np.arange(60.0)})
    y = [-1.0 if i is None else float(i) for i in x]
    model = tilewise.DecisionTreeRegressor()
    assert np.array_equal(model.fit(table, y).predict(table), model.fit(plain, y).predict(plain))


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_no_penalty_is_none_whatever_is_its_share(ratio):
    X, y = load_iris(return_X_y=True)
    y = np.random.default_rng(0).integers(0, 2, len(X))
    plain = tilewise.LogisticRegression(C=np.inf).fit(X, y)
    model = tilewise.LogisticRegression(C=np.inf, l1_ratio=ratio, solver="lbfgs").fit(X, y)
    assert np.allclose(model.coef_, plain.coef_, rtol=1e-4, atol=1e-6)
    assert np.array_equal(tilewise.LogisticRegression(C=np.inf, l1_ratio=ratio).fit(X, y).coef_, plain.coef_)
    with pytest.raises(ValueError, match="l1_ratio"):
        tilewise.LogisticRegression(C=np.inf, l1_ratio=1.5).fit(X, y)


def test_a_fit_that_fails_leaves_no_older_model():
    X, y = cancer()
    model = tilewise.DecisionTreeClassifier(max_depth=3).fit(X, y)
    with pytest.raises(ValueError):
        model.set_params(max_depth=-1).fit(X, y + 1)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_contributions_sum_to_predictions():
    X, y = load_diabetes(return_X_y=True)
    model = tilewise.RandomForestRegressor(n_estimators=5).fit(X, y)
    assert np.allclose(model.shap_values(X[:50]).sum(axis=1) + model.expected_value_, model.predict(X[:50]))


def test_stages():
    X, y = load_diabetes(return_X_y=True)
    model = tilewise.HistGradientBoostingRegressor(max_iter=6).fit(X, y)
    stages = list(model.staged_predict(X))
    assert len(stages) == 6
    assert np.array_equal(stages[-1], model.predict(X))
    fewer = tilewise.HistGradientBoostingRegressor(max_iter=2).fit(X, y)
    assert np.array_equal(stages[1], fewer.predict(X))


def test_ranking_by_query():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    model = tilewise.GBDTRanker(max_iter=20, min_samples_leaf=5).fit(X, y, qid=np.repeat(np.arange(30), 10))
    assert np.corrcoef(model.predict(X), y)[0, 1] > 0.8


def test_the_penalty_of_networks_counts_weights():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:80], y[:80]
    # A step takes all rows, so that their order changes roundings alone.
    model = tilewise.MLPRegressor("squared_error", (10,), alpha=20.0, max_iter=60, learning_rate_init=0.01, random_state=0)
    twice = model.fit(np.vstack([X, X]), np.hstack([y, y])).predict(X)
    weighted = model.fit(X, y, np.full(80, 2.0)).predict(X)
    assert np.allclose(weighted, twice, rtol=1e-3)
    assert not np.allclose(model.fit(X, y).predict(X), twice, rtol=1e-2)


def test_several_targets():
    X, y = load_diabetes(return_X_y=True)
    Y = np.stack([y, -y, y**2], axis=1)
    assert tilewise.RandomForestRegressor(n_estimators=3).fit(X, Y).predict(X).shape == Y.shape


X3, Y3 = np.arange(30.0).reshape(10, 3), np.array([0, 1] * 5)
NAN = np.where(X3 == 16, np.nan, X3)
GARBAGE = [
    (np.array([["a", object(), 1]] * 10, dtype=object), Y3, (TypeError, ValueError)),
    (X3 + 1j, Y3, ValueError),
    (scipy.sparse.csr_matrix(X3), Y3, TypeError),
    (X3, np.where(Y3 == 1, np.nan, 0.0), ValueError),
    (X3, Y3[:-1], ValueError),
    (X3[0], Y3, ValueError),
    (np.zeros((0, 3)), np.zeros(0), ValueError),
    (np.where(X3 == 16, np.inf, X3), Y3, ValueError),
    (X3, np.zeros(10), ValueError),
]


@pytest.mark.parametrize("X, y, error", GARBAGE)
@pytest.mark.parametrize("kind", [tilewise.LogisticRegression, tilewise.Ridge, tilewise.HistGradientBoostingClassifier])
def test_garbage_is_refused(kind, X, y, error):
    with pytest.raises(error):
        kind().fit(X, y)


def test_small_tables_of_numbers_are_answered_as_large_ones(monkeypatch):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(50, 3)), columns=["a", "b", "c"])
    frame["d"] = rng.integers(-(1 << 60), 1 << 60, 50)
    frame["e"] = rng.normal(size=50).astype(np.float32)
    kinds = (frame, frame[["a", "b", "c"]], frame.astype(np.float32), frame.assign(f=frame.a > 0), frame.assign(f="x"))
    for X in kinds:
        model = tilewise.DecisionTreeRegressor().fit(X, frame.a + frame.b)
        tables = (X, X[::-1], X.astype({"a": "Float64"}), X.iloc[:1])
        small = [model.predict(table) for table in tables]
        with monkeypatch.context() as patch:
            patch.setattr(_data, "FEW", 0)
            assert all((one == model.predict(table)).all() for one, table in zip(small, tables))
        with pytest.raises(ValueError, match="feature names"):
            model.predict(X[X.columns[::-1]])
        if "f" in X and X.f.dtype == bool:
            with pytest.raises(ValueError, match="boolean"):
                model.predict(X.assign(f=2.0))
        with pytest.raises(ValueError, match='^row 1 .counted from 0., column "b": Input X contains infinity'):
            model.predict(X.assign(b=[0.0, np.inf] * 25))


def test_errors_tell_row_and_column():
    model = tilewise.Ridge().fit(X3, Y3)
    # A table reads its columns, an array in C order its rows.
    for ask in (lambda X: tilewise.Ridge().fit(X, Y3), model.predict):
        for wrong in (NAN, np.asfortranarray(NAN), NAN.astype(np.float32)):
            with pytest.raises(ValueError, match='^row 5 .counted from 0., column "x1": Input X contains NaN'):
                ask(wrong)
        with pytest.raises(ValueError, match='^row 5 .counted from 0., column "x1": Input X contains infinity'):
            ask(np.where(np.isnan(NAN), np.inf, NAN))
    with pytest.raises(ValueError, match='^row 5 .counted from 0., column "b": Input X contains NaN'):
        tilewise.Ridge().fit(pd.DataFrame(NAN, columns=["a", "b", "c"]), Y3)
    with pytest.raises(ValueError, match='^row 5 .counted from 0., column "x1": Input X contains infinity'):
        tilewise.DecisionTreeRegressor().fit(np.where(np.isnan(NAN), -np.inf, NAN), Y3)
    with pytest.raises(ValueError, match="X has 2 features, but Ridge is expecting 3 features as input"):
        model.predict(X3[:, :2])
    with pytest.raises(NotFittedError):
        tilewise.Ridge().predict(X3)
    with pytest.raises(ValueError, match="alpha"):
        tilewise.Ridge(alpha=-1.0).fit(X3, Y3)
    with pytest.raises(ValueError, match="n_jobs == 0"):
        tilewise.Ridge(n_jobs=0).fit(X3, Y3)
    with pytest.warns(ConvergenceWarning):
        tilewise.LogisticRegression(max_iter=1).fit(*cancer())
    assert tilewise.DecisionTreeClassifier().fit(NAN, Y3).predict(NAN).shape == (10,)


def test_categories_that_are_missing_are_refused_by_fits_as_by_predictions():
    table = pd.DataFrame({"k": ["u", "v", None] * 20, "x": np.arange(60.0)})
    y = np.arange(60.0) % 7
    for kind in (tilewise.LinearRegression, tilewise.Ridge, tilewise.MLPRegressor):
        with pytest.raises(ValueError, match='row 2 .counted from 0., column "k": Input X contains NaN'):
            kind().fit(table, y)
    tilewise.DecisionTreeRegressor().fit(table, y).predict(table)


def test_columns_of_objects_that_are_numbers_are_numbers():
    table = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40) % 3})
    y = np.arange(40.0) % 5
    objects = table.astype(object)
    objects.loc[3, "a"] = None
    plain = table.copy()
    plain.loc[3, "a"] = np.nan
    ours = tilewise.DecisionTreeRegressor()
    assert np.array_equal(ours.fit(objects, y).predict(objects), ours.fit(plain, y).predict(plain))
    objects["b"] = [[1]] * 40
    with pytest.raises(ValueError, match="column 'b' holds object .list.; numbers"):
        ours.fit(objects, y)


def test_what_parameters_take_is_told():
    X, y = np.arange(80.0).reshape(20, 4), np.arange(20.0) % 7
    for parameters, told in (
        ({"monotonic_cst": [2, 0, 0, 0]}, "monotonic_cst must be -1, 0 or 1 for each column, got 2"),
        ({"monotonic_cst": [1]}, "monotonic_cst has 1 entries, and X 4 columns"),
        ({"n_jobs": "2"}, "n_jobs must be a whole number or None, got '2'"),
    ):
        with pytest.raises(ValueError, match=told):
            tilewise.DecisionTreeRegressor(**parameters).fit(X, y)
    shares = [tilewise.IsolationForest(max_samples=samples).fit(X) for samples in (0.5, 10)]
    assert shares[0]._model.to_bytes() == shares[1]._model.to_bytes()


def test_nothing_of_scikit_learn_is_imported_before_it_is_needed():
    """By processes of executors; and every name is there, with its type for checkers."""
    code = "import sys, tilewise; assert 'sklearn' not in sys.modules; [getattr(tilewise, name) for name in tilewise.__all__]; assert 'sklearn' in sys.modules; print(len(tilewise.__all__), sorted(set(tilewise.__all__) - set(dir(tilewise))))"
    told = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.split(" ", 1)[1].strip() == "[]" and int(told.stdout.split()[0]) > 25, told.stderr


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted by Linux")
def test_small_linear_models_wake_no_threads():
    """Of three that they may have; a larger fit and a larger prediction have them, with the same bits."""
    code = """
import os, warnings, numpy as np, tilewise
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, threads = rng.normal(size=(2000, 4)), lambda: len(os.listdir("/proc/self/task"))
y = X @ [1.0, 2.0, 3.0, -1.0] + rng.normal(size=2000)
# Imports what has threads of its own.
tilewise.LinearRegression
before = threads()
for kind in (tilewise.LinearRegression, tilewise.Ridge, tilewise.Lasso, tilewise.HuberRegressor, tilewise.QuantileRegressor):
    kind(n_jobs=3).fit(X, y).predict(X)
logistic = tilewise.LogisticRegression(n_jobs=3).fit(X, y > 0)
logistic.predict(X), logistic.predict_proba(X)
assert threads() == before, (threads(), before)
many = np.tile(X, (50, 1))
assert np.array_equal(logistic.decision_function(many)[:2000], logistic.decision_function(X))
assert threads() > before
"""
    told = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_ctrl_c_is_heard_by_small_linear_models(interrupts):
    """On the calling thread, where nobody else looks for signals: a fit of 29 rounds, each of tens of milliseconds."""
    rng = np.random.default_rng(0)
    model = tilewise.HuberRegressor()
    stop = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(rng.normal(size=(60, 600)), rng.normal(size=60))
        # A signal that came too late must not meet another test.
        time.sleep(5)
    assert 0 < model.n_iter_ < 29
