"""The same data and parameters give the bytes of the command line, at any number of threads, and come back from them."""

import os
import pickle
import subprocess
from pathlib import Path

import estimators
import numpy as np
import pandas as pd
import pytest
import tilewise
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

COMMAND = os.environ.get("TILEWISE_COMMAND", str(Path(__file__).parents[2] / "target/debug/tilewise"))

CASES = [
    (tilewise.LinearRegression(), "linear", ["standardise=false", "impute=false"]),
    (tilewise.Ridge(alpha=2.0), "ridge", ["alpha=2", "standardise=false", "impute=false"]),
    (tilewise.LogisticRegression(C=0.5), "logistic", ["C=0.5", "standardise=false", "impute=false"]),
    (
        tilewise.DecisionTreeClassifier(max_depth=4),
        "tree",
        ["task=classification", "max_depth=4"],
    ),
    (tilewise.DecisionTreeRegressor(), "tree", ["task=regression"]),
    (
        tilewise.RandomForestRegressor(n_estimators=7, random_state=3),
        "forest",
        ["task=regression", "trees=7", "max_features=all", "criterion=squared"],
    ),
    (
        tilewise.ExtraTreesClassifier(n_estimators=7, random_state=3),
        "extra-trees",
        ["task=classification", "trees=7", "max_features=sqrt", "criterion=gini"],
    ),
    (
        tilewise.RandomForestClassifier(n_estimators=7, max_samples=0.3, random_state=3),
        "forest",
        ["task=classification", "trees=7", "max_features=sqrt", "criterion=gini", "max_samples=0.3"],
    ),
    (
        tilewise.HistGradientBoostingRegressor(max_iter=8, random_state=3),
        "gbdt",
        ["task=regression", "stages=8", "l2=0", "loss=squared"],
    ),
    (
        tilewise.HistGradientBoostingClassifier(max_iter=8, random_state=3),
        "gbdt",
        ["task=classification", "stages=8", "l2=0"],
    ),
    (
        tilewise.MLPClassifier((12,), max_iter=8, alpha=0.0, tol=0.0, batch_size=50, random_state=3),
        "network",
        [
            "task=classification", "hidden=12", "epochs=8", "batch_size=50", "validation_fraction=0", "patience=11", "tolerance=0",
            "precision=double", "initialiser=xavier-biases", "decay_biases=false",
        ],  # fmt: skip
    ),
    (
        # A penalty that is divided by the 178 rows.
        tilewise.MLPClassifier((7,), solver="lbfgs", alpha=44.5, max_iter=9, random_state=3),
        "network",
        [
            "task=classification", "hidden=7", "optimiser=lbfgs", "epochs=9", "weight_decay=0.25", "tolerance=0.0001",
            "precision=double", "initialiser=xavier-biases", "decay_biases=false",
        ],  # fmt: skip
    ),
]


def problem(estimator):
    load = load_wine if is_classifier(estimator) else load_diabetes
    data = load(as_frame=True)
    return data.data, data.target


def fitted(estimator, **changes):
    return clone(estimator).set_params(**changes).fit(*problem(estimator))


def contents(model):
    return model._model.to_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator, family, settings", CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_files_are_those_of_the_command_line(estimator, family, settings, tmp_path):
    if not Path(COMMAND).exists():
        pytest.skip(f"the command line is not built: {COMMAND}")
    X, y = problem(estimator)
    pd.concat([X, y], axis=1).to_csv(tmp_path / "table.csv", index=False, float_format="%.17g")
    train = [COMMAND, "train", "--quiet", "--model", family, "--data", tmp_path / "table.csv", "--target", "target"]
    train += ["--seed", str(getattr(estimator, "random_state", None) or 0), "--out", tmp_path / "theirs"]
    for setting in settings:
        train += ["--set", setting]
    subprocess.run(train, check=True, capture_output=True)
    ours = fitted(estimator)
    ours.save(tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    theirs = tilewise.load(tmp_path / "theirs")
    assert type(theirs) is type(ours)
    assert np.array_equal(theirs.predict(X), ours.predict(X))
    # Its parameters are those of the fit: a clone learns the same again.
    assert contents(clone(theirs).fit(X, y)) == contents(ours)


CHANGED = [
    tilewise.LinearRegression(fit_intercept=False),
    tilewise.Ridge(alpha=0.3, fit_intercept=False),
    tilewise.Lasso(alpha=0.03, max_iter=77, tol=1e-6),
    tilewise.ElasticNet(alpha=0.03, l1_ratio=0.7, max_iter=77, tol=1e-6, fit_intercept=False),
    tilewise.PoissonRegressor(alpha=0.3, max_iter=77, tol=1e-6),
    tilewise.GammaRegressor(alpha=0.3, fit_intercept=False),
    tilewise.TweedieRegressor(power=1.3, alpha=0.1),
    tilewise.TweedieRegressor(link="log", alpha=0.1),
    tilewise.QuantileRegressor(quantile=0.7, alpha=0.03, max_iter=77, tol=1e-6, fit_intercept=False),
    tilewise.HuberRegressor(epsilon=1.7, alpha=0.03, max_iter=77, tol=1e-6, fit_intercept=False),
    tilewise.LogisticRegression(C=0.3, class_weight="balanced", max_iter=77, tol=1e-6),
    tilewise.LogisticRegression(C=np.inf, fit_intercept=False),
    tilewise.LogisticRegression(C=0.3, l1_ratio=0.2, solver="newton-cholesky"),
    tilewise.ElasticNet(alpha=0.03, positive=True),
    tilewise.LinearRegression(positive=True),
    tilewise.Ridge(alpha=0.3, positive=True),
    tilewise.DecisionTreeClassifier(
        criterion="entropy", max_depth=4, min_samples_split=5, min_samples_leaf=3, class_weight="balanced", max_bins=31
    ),
    tilewise.DecisionTreeRegressor(
        criterion="absolute_error", splitter="random", max_leaf_nodes=9, max_features=0.5, monotonic_cst=[1, -1] + [0] * 8
    ),
    tilewise.DecisionTreeRegressor(min_impurity_decrease=0.1, ccp_alpha=0.2, max_bins="exact", max_features="log2"),
    tilewise.DecisionTreeClassifier(min_weight_fraction_leaf=0.04),
    tilewise.RandomForestClassifier(n_estimators=7, bootstrap=False, max_features=3, random_state=5),
    tilewise.RandomForestClassifier(n_estimators=7, oob_score=True, random_state=5),
    tilewise.RandomForestRegressor(n_estimators=7, criterion="poisson", max_features="third", random_state=5),
    tilewise.ExtraTreesRegressor(n_estimators=7, bootstrap=True, max_depth=5, max_samples=50),
    tilewise.ExtraTreesClassifier(n_estimators=7, bootstrap=True, max_samples=0.5),
    tilewise.HistGradientBoostingRegressor(
        "quantile", quantile=0.3, learning_rate=0.2, max_iter=12, max_leaf_nodes=None, max_depth=4, min_samples_leaf=7,
        l2_regularization=0.5, max_features=0.5, max_bins=63, early_stopping=True, n_iter_no_change=3,
        validation_fraction=0.2, random_state=5,
    ),
    tilewise.HistGradientBoostingRegressor(max_iter=12, interaction_cst=[[0, 1, 2], [2, 3], *([i] for i in range(4, 10))]),
    tilewise.HistGradientBoostingRegressor("huber:1.5", max_iter=12, monotonic_cst=[1, -1] + [0] * 8),
    tilewise.HistGradientBoostingRegressor("absolute_error", max_iter=12, early_stopping=False),
    tilewise.HistGradientBoostingClassifier(max_iter=12, class_weight="balanced", max_leaf_nodes=9),
    tilewise.GBDTRanker(learning_rate=0.2, max_iter=12, l2_regularization=0.5),
    tilewise.IsolationForest(n_estimators=7, max_samples=64, contamination=0.1),
    tilewise.MLPClassifier(
        (12, 7), "logistic", solver="sgd", alpha=0.01, batch_size=32, learning_rate="adaptive", max_iter=5, momentum=0.5,
        nesterovs_momentum=False, n_iter_no_change=3, random_state=5,
    ),
    tilewise.MLPClassifier((7,), solver="lbfgs", alpha=0.5, max_iter=9, max_fun=12, tol=0.001, random_state=5),
    tilewise.MLPRegressor(
        hidden_layer_sizes=(), solver="adamw", learning_rate="cosine", max_iter=5, tol=0.0, early_stopping=True,
        validation_fraction=0.2, beta_1=0.8, beta_2=0.99, epsilon=1e-5, random_state=5,
    ),
    tilewise.MLPRegressor(
        "huber:1.5", (9,), "leaky-relu", solver="rmsprop", batch_size=64, max_iter=5, dropout=0.25, precision="double", random_state=5
    ),
    tilewise.MLPRegressor(
        "huber:2", (9,), "identity", solver="sgd", learning_rate="invscaling", power_t=0.25, max_iter=5, shuffle=False, random_state=5
    ),
    tilewise.MLPRegressor(hidden_layer_sizes=(9,), solver="lamb", max_iter=5, random_state=5),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", CHANGED, ids=lambda x: type(x).__name__)
def test_parameters_come_back_from_the_file(estimator, tmp_path):
    X, y = problem(estimator)
    y = y if is_classifier(estimator) or isinstance(estimator, tilewise.GBDTRanker) else y.abs() + 1
    y = (y // 100).clip(upper=3) if isinstance(estimator, tilewise.GBDTRanker) else y
    model = clone(estimator).fit(X, y)
    model.save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m")
    assert contents(clone(loaded).fit(X, y)) == contents(model)
    before, after = estimator.get_params(), loaded.get_params()
    # None is a seed of 0, "auto" early stopping what it comes to for few rows, max_features of None all of them, a batch 200 rows, and
    # numbers of few rows are of 64 bits.
    usual = {
        "random_state": (None, 0), "early_stopping": ("auto", False), "max_features": (None, 1.0), "batch_size": ("auto", 200),
        "precision": ("auto", "double"),
    }  # fmt: skip
    for name, value in before.items():
        assert after[name] == value or (value, after[name]) == usual.get(name), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", [case[0] for case in CASES], ids=lambda x: type(x).__name__)
def test_threads_change_no_bit(estimator):
    one, three = fitted(estimator, n_jobs=1), fitted(estimator, n_jobs=3)
    assert contents(one) == contents(three)
    X = np.tile(problem(estimator)[0].to_numpy(), (20, 1))
    one.__dict__.pop("feature_names_in_"), three.__dict__.pop("feature_names_in_")
    assert np.array_equal(one.predict(X), three.predict(X))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", estimators.REGRESSORS + estimators.CLASSIFIERS, ids=lambda x: type(x).__name__)
def test_pickle_brings_the_same_model(estimator):
    X, y = problem(estimator)
    y = y if is_classifier(estimator) else y.abs() + 1
    model = clone(estimator).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert contents(again) == contents(model)
    assert np.array_equal(again.predict(X), model.predict(X))


def test_numbers_are_the_same_from_every_kind_of_table():
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    model = tilewise.RandomForestClassifier(n_estimators=5, random_state=1)
    files = [contents(clone(model).fit(table, y)) for table in (X, pl.from_pandas(X), pa.Table.from_pandas(X))]
    assert files[0] == files[1] == files[2]
    last = clone(model).fit(pl.from_pandas(X), y)
    assert np.array_equal(last.predict(X), last.predict(pa.Table.from_pandas(X)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_layouts_and_widths_change_no_answer(order, kind):
    X, y = load_diabetes(return_X_y=True)
    X = X.astype(np.float32)
    model = tilewise.HistGradientBoostingRegressor(max_iter=5).fit(X, y)
    assert np.array_equal(model.predict(X), model.predict(np.asarray(X, dtype=kind, order=order)))


@pytest.mark.parametrize("prefix", ["f", "", "Column_"])
def test_names_that_others_give_to_nameless_columns_are_names_here(prefix, tmp_path):
    X, y = load_diabetes(return_X_y=True)
    frame = pd.DataFrame(X, columns=[f"{prefix}{i}" for i in range(10)])
    tilewise.Ridge().fit(frame, y).save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m")
    assert list(loaded.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[frame.columns[::-1]])


TEXTS = ["b", None, "a", "c", "a", None, "b", "a"]


def texts():
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    more = ["z", "c", "b", "a"]
    return {
        "object": pd.Series(TEXTS, dtype=object),
        "string": pd.Series(TEXTS, dtype="string"),
        "pandas": pd.Series(pd.Categorical(TEXTS, categories=more)),
        "polars": pl.Series(TEXTS),
        "categorical": pl.Series(TEXTS, dtype=pl.Categorical),
        "enum": pl.Series(TEXTS, dtype=pl.Enum(more)),
        "arrow": pa.array(TEXTS),
        "dictionary": pa.chunked_array([pa.array(part).dictionary_encode() for part in (TEXTS[:3], TEXTS[3:])]),
    }


def test_categories_are_the_same_from_every_kind_of_table():
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    tables = {pd.Series: lambda x: pd.DataFrame({"x": x}), pl.Series: lambda x: pl.DataFrame({"x": x})}
    model = tilewise.DecisionTreeRegressor(min_samples_leaf=1)
    y = [1.0, 5.0, 2.0, 3.0, 2.0, 5.0, 1.0, 2.0]
    files = {}
    for name, column in texts().items():
        table = tables.get(type(column), lambda x: pa.table({"x": x}))(column)
        files[name] = contents(clone(model).fit(table, y))
        assert np.array_equal(model.fit(table, y).predict(table), y), name
    assert len(set(files.values())) == 1, files.keys()


def test_missing_numbers_are_missing_from_every_kind_of_table():
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    y = np.array([1.0, 5.0, 2.0, 2.0])
    numbers = [3.0, None, 4.0, 4.0]
    tables = [
        pd.DataFrame({"x": np.array([3.0, np.nan, 4.0, 4.0])}),
        pd.DataFrame({"x": pd.Series([3, None, 4, 4], dtype="Int64").astype("Float64")}),
        pl.DataFrame({"x": numbers}),
        pa.table({"x": numbers}),
        pa.table({"x": pa.chunked_array([numbers[:1], numbers[1:]])}),
    ]
    files = [contents(tilewise.DecisionTreeRegressor().fit(table, y)) for table in tables]
    assert all(file == files[0] for file in files)
    flags = [True, None, False, False]
    tables = [pd.DataFrame({"x": pd.array(flags, dtype="boolean")}), pl.DataFrame({"x": flags}), pa.table({"x": flags})]
    files = [contents(tilewise.DecisionTreeRegressor().fit(table, y)) for table in tables]
    assert all(file == files[0] for file in files)
