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
        ["task=classification", "criterion=gini", "max_depth=4"],
    ),
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
        tilewise.HistGradientBoostingRegressor(max_iter=8, random_state=3),
        "gbdt",
        ["task=regression", "stages=8", "l2=0", "loss=squared"],
    ),
    (
        tilewise.HistGradientBoostingClassifier(max_iter=8, random_state=3),
        "gbdt",
        ["task=classification", "stages=8", "l2=0"],
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
