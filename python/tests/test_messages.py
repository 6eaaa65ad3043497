"""Errors of the compiled part name the parameter that was given, and rows as NumPy counts them."""

import inspect
import re

import numpy as np
import pytest
import tilewise
from sklearn.datasets import load_diabetes, load_iris
from tilewise._base import TilewiseEstimator

#: What a parameter cannot be, of which estimators, and what the error says in its place.
REFUSED = [
    ("RandomForestClassifier", {"n_estimators": 0}, "parameter n_estimators: 0 is not accepted; a whole number above 0 is"),
    ("RandomForestRegressor", {"criterion": "gini"}, "criterion: 'gini' is not accepted; squared_error, absolute_error or poisson is"),
    ("ExtraTreesClassifier", {"criterion": "squared_error"}, "criterion: 'squared_error' is not accepted; gini, entropy or log_loss is"),
    ("DecisionTreeRegressor", {"monotonic_cst": {"age": 1}}, "parameter monotonic_cst: {'age': 1} is not accepted; the name of an input"),
    ("DecisionTreeClassifier", {"max_depth": 0}, "parameter max_depth: 0 is not accepted; a whole number of 1 or more, or None, is"),
    ("RandomForestClassifier", {"max_depth": np.int64(-3)}, "parameter max_depth: -3 is not accepted"),
    ("ExtraTreesRegressor", {"max_leaf_nodes": 0}, "parameter max_leaf_nodes: 0 is not accepted; a whole number of 2 or more, or None, is"),
    ("HistGradientBoostingRegressor", {"max_leaf_nodes": 1}, "parameter max_leaf_nodes: 1 is not accepted"),
    ("HistGradientBoostingClassifier", {"max_depth": 0}, "parameter max_depth: 0 is not accepted"),
    ("GBDTRanker", {"max_leaf_nodes": 1}, "parameter max_leaf_nodes: 1 is not accepted"),
    ("RandomForestClassifier", {"n_estimators": np.int64(0)}, "parameter n_estimators: 0 is not accepted"),
    ("DecisionTreeClassifier", {"class_weight": {0: -1, 1: 1, 2: 1}}, "class_weight of 0 is -1; a finite number of 0 or more is accepted"),
    ("LogisticRegression", {"class_weight": {np.int64(1): np.float64(np.inf), 0: 1, 2: 1}}, "class_weight of 1 is inf; a finite number"),
    ("HistGradientBoostingClassifier", {"class_weight": {0: 1, 1: "2", 2: 1}}, "class_weight of 1 is '2'"),
    ("DecisionTreeClassifier", {"class_weight": "even"}, "class_weight: 'even' is not accepted; None or, for classes, balanced is"),
    ("HistGradientBoostingClassifier", {"max_iter": 0}, "parameter max_iter: 0 is not accepted"),
    ("HistGradientBoostingRegressor", {"l2_regularization": -1.0}, "parameter l2_regularization: -1.0 is not accepted; a number of 0 or more is"),
    ("HistGradientBoostingRegressor", {"loss": "quantile"}, "parameter loss: 'quantile' is not accepted; .*quantile=0.9"),
    ("HistGradientBoostingRegressor", {"early_stopping": True, "n_iter_no_change": 0}, "parameter n_iter_no_change: 0 is not accepted"),
    ("HistGradientBoostingRegressor", {"early_stopping": True, "validation_fraction": 2.0}, "validation_fraction: 2.0 is not accepted"),
    ("IsolationForest", {"max_samples": 1}, "parameter max_samples: 1 is not accepted; a whole number of 2 or more is"),
    ("IsolationForest", {"contamination": 2.0}, "parameter contamination: 2.0 is not accepted; auto or a share"),
    ("Lasso", {"tol": -1.0}, "parameter tol: -1.0 is not accepted"),
    ("LogisticRegression", {"max_iter": 0}, "parameter max_iter: 0 is not accepted"),
    ("MLPClassifier", {"max_iter": 1.5}, "parameter max_iter: 1.5 is not accepted"),
    ("MLPClassifier", {"learning_rate_init": -1.0}, "parameter learning_rate_init: -1.0 is not accepted"),
    ("MLPClassifier", {"n_iter_no_change": -1}, "parameter n_iter_no_change: -1 is not accepted; a whole number of 0 or more is"),
    ("MLPRegressor", {"loss": "huber:-1"}, "parameter loss: 'huber:-1' is not accepted; squared_error, or huber:D"),
    ("TweedieRegressor", {"power": 0.5}, "parameter power: 0.5 is not accepted; 0, or a number of 1 or more is"),
]  # fmt: skip


def problem(name):
    return load_iris(return_X_y=True) if "Classifier" in name or name in ("LogisticRegression", "GBDTRanker") else load_diabetes(return_X_y=True)


@pytest.mark.parametrize("name, parameters, told", REFUSED)
def test_errors_name_the_parameter(name, parameters, told):
    with pytest.raises(ValueError, match="(^|^parameter )" + told.replace("{", r"\{").replace("}", r"\}")) as caught:
        getattr(tilewise, name)(**parameters).fit(*problem(name))
    assert caught.value.__cause__ is None and (caught.value.__suppress_context__ or caught.value.__context__ is None)


def test_every_setting_that_is_made_has_a_parameter():
    """Of the settings that an estimator makes, but for fixed ones, so that no error can name one that nobody gave."""
    for name in tilewise.__all__:
        kind = getattr(tilewise, name)
        if not (inspect.isclass(kind) and issubclass(kind, TilewiseEstimator)) or name.startswith("Imported"):
            continue
        estimator = kind()
        estimator.n_features_in_ = 3
        made = set(estimator._settings(100, 1.0)) - set(kind._fixed) - {"decay_biases", "halved"}
        names = {key: parameter for parameter, (key, _) in kind._parameters.items()} | kind._made_of
        assert {names.get(key, key) for key in made} <= set(estimator.get_params()), name


@pytest.mark.parametrize("kind", [tilewise.Ridge, tilewise.DecisionTreeRegressor, tilewise.MLPRegressor])
def test_rows_are_counted_from_0(kind):
    X, y = load_diabetes(return_X_y=True)
    model = kind().set_params(**({"max_iter": 2} if kind is tilewise.MLPRegressor else {}))
    model.fit(X, y)
    broken = X.copy()
    broken[17, 2] = np.inf
    for call in (lambda: model.fit(broken, y), lambda: model.predict(broken)):
        with pytest.raises(ValueError, match=re.escape('row 17 (counted from 0), column "x2": Input X contains infinity')):
            call()


def test_numbers_in_errors_are_no_objects_of_numpy():
    X, y = np.arange(80.0).reshape(20, 4), np.arange(20) % 2
    calls = [
        (lambda: tilewise.LogisticRegression().fit(X, y * 0), "only one class: 0"),
        (lambda: tilewise.MLPClassifier().partial_fit(X, y, classes=[7]), "classes has one: 7"),
        (lambda: tilewise.GBDTRanker().fit(X, y, qid=y), "rows of the query 0 do not follow each other"),
        (lambda: tilewise.DecisionTreeRegressor(monotonic_cst=np.array([1, 5, 0, 0])).fit(X, y), "each column, got 5"),
        (lambda: tilewise.HistGradientBoostingRegressor(categorical_features=(np.int64(9),)).fit(X, y), "names 9; a column"),
    ]
    for call, told in calls:
        with pytest.raises(ValueError, match=told):
            call()


def test_targets_too():
    X, y = load_diabetes(return_X_y=True)
    y[5] = -1.0
    for model in (tilewise.GammaRegressor(), tilewise.HistGradientBoostingRegressor("gamma")):
        with pytest.raises(ValueError, match=re.escape('row 5 (counted from 0), column "y"')):
            model.fit(X, y)
