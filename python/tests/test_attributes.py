"""What users of scikit-learn's estimators ask after a fit: that it is there and means the same, or that its absence is told."""

import inspect
import json
import math
import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import sklearn.ensemble
import sklearn.linear_model
import sklearn.neural_network
import sklearn.tree
import tilewise
from sklearn.datasets import load_diabetes, load_iris
from tilewise._base import Absent

HOMES = [sklearn.linear_model, sklearn.tree, sklearn.ensemble, sklearn.neural_network]
SMALL = {"n_estimators": 3, "oob_score": True, "bootstrap": True}
PARAMETERS = {
    "RandomForestClassifier": SMALL,
    "RandomForestRegressor": SMALL,
    "ExtraTreesClassifier": SMALL,
    "ExtraTreesRegressor": SMALL,
    "HistGradientBoostingClassifier": {"early_stopping": True, "max_iter": 4},
    "HistGradientBoostingRegressor": {"early_stopping": True, "max_iter": 4},
    "MLPClassifier": {"early_stopping": True, "max_iter": 12},
    "MLPRegressor": {"early_stopping": True, "max_iter": 12},
}
TWINS = {
    name: theirs
    for name in tilewise.__all__
    for theirs in [next((getattr(home, name) for home in HOMES if hasattr(home, name)), None)]
    if inspect.isclass(theirs)
}


def problem(name):
    return load_iris(return_X_y=True) if "Classifier" in name or name == "LogisticRegression" else load_diabetes(return_X_y=True)


def public(estimator):
    """Methods, and attributes that a fit sets."""
    found = set()
    for name in dir(estimator):
        if not name.startswith("_") and hasattr(estimator, name):
            if name.endswith("_") or callable(getattr(estimator, name)):
                found.add(name)
    return found


def lacking(name):
    X, y = problem(name)
    theirs = TWINS[name](**PARAMETERS.get(name, {})).fit(X, y)
    ours = getattr(tilewise, name)(**PARAMETERS.get(name, {})).fit(X, y)
    return ours, sorted(what for what in public(theirs) if not hasattr(ours, what))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TWINS)
def test_what_is_not_there_is_told(name):
    assert len(TWINS) == 21
    ours, absent = lacking(name)
    # The table of the documentation.
    table = (Path(__file__).parents[1] / "README.md").read_text()
    for what in absent:
        why = inspect.getattr_static(type(ours), what)
        assert isinstance(why, Absent), what
        with pytest.raises(AttributeError, match=f"^{name} has no {what}: {re.escape(why.why)}$"):
            getattr(ours, what)
        assert f"`{what}`" in table, what


def leaf_sizes(leaves):
    return sorted(np.unique(leaves, return_counts=True)[1])


@pytest.mark.parametrize("kind", ["DecisionTreeClassifier", "DecisionTreeRegressor"])
def test_leaves_and_paths_are_those_of_scikit_learn(kind):
    """On columns of few values both grow the same tree, whose nodes both number in the same order."""
    X, y = problem(kind)
    X = np.round(X, 2)
    ours = getattr(tilewise, kind)(max_depth=4, max_bins="exact").fit(X, y)
    theirs = getattr(sklearn.tree, kind)(max_depth=4, random_state=0).fit(X, y)
    assert np.allclose(ours.predict(X), theirs.predict(X))
    same = ours.apply(X) == theirs.apply(X)
    assert same.mean() > 0.9 and leaf_sizes(ours.apply(X)) == leaf_sizes(theirs.apply(X))
    mine, other = ours.decision_path(X), theirs.decision_path(X)
    assert mine.shape == other.shape
    assert np.array_equal(mine.toarray()[same], other.toarray()[same])
    assert ours.n_outputs_ == theirs.n_outputs_ and getattr(ours, "n_classes_", 0) == getattr(theirs, "n_classes_", 0)
    assert (ours.get_depth(), ours.get_n_leaves()) == (theirs.get_depth(), theirs.get_n_leaves())


def test_leaves_of_a_forest_give_its_predictions():
    """The mean of what rows of the same leaf have, over trees: without bootstrap a prediction is nothing else."""
    X, y = load_diabetes(return_X_y=True)
    forest = tilewise.RandomForestRegressor(n_estimators=7, max_depth=5, max_features=0.3, bootstrap=False).fit(X, y)
    leaves = forest.apply(X)
    assert leaves.shape == (len(X), 7)
    means = [[y[leaves[:, tree] == leaf].mean() for leaf in leaves[:, tree]] for tree in range(7)]
    assert np.allclose(np.mean(means, axis=0), forest.predict(X))
    path, ends = forest.decision_path(X)
    assert path.shape == (len(X), ends[-1]) and len(ends) == 8
    for tree in range(7):
        part = path[:, ends[tree] : ends[tree + 1]].toarray()
        # A row comes through the root and its leaf, and through nothing below that.
        assert part[:, 0].all() and part[np.arange(len(X)), leaves[:, tree]].all()
        assert all(np.flatnonzero(row)[-1] == leaf for row, leaf in zip(part, leaves[:, tree]))
    single = np.ascontiguousarray(X[:5].astype(np.float32))
    assert np.array_equal(forest.apply(single), forest.apply(single.astype(float)))


def test_leaves_of_missing_numbers_and_categories():
    import pandas

    rng = np.random.default_rng(2)
    frame = pandas.DataFrame({"kind": rng.choice(list("abcdef"), 300), "size": rng.normal(size=300)})
    frame.loc[::7, "size"] = np.nan
    frame.loc[::11, "kind"] = None
    y = (frame["kind"].isin(["a", "d"]).to_numpy() * 3.0) + frame["size"].fillna(-5.0).to_numpy()
    tree = tilewise.DecisionTreeRegressor(max_depth=6, min_samples_leaf=3).fit(frame, y)
    leaves = tree.apply(frame)
    assert np.allclose([y[leaves == leaf].mean() for leaf in leaves], tree.predict(frame))
    # A category that training did not see goes where predictions send it.
    new = pandas.DataFrame({"kind": ["zebra", None, "a"], "size": [0.0, np.nan, 1.0]})
    told = dict(zip(leaves, tree.predict(frame)))
    assert np.allclose([told[leaf] for leaf in tree.apply(new)], tree.predict(new))


@pytest.mark.filterwarnings("ignore")
def test_scores_of_boosting_are_minus_its_losses():
    X, y = load_diabetes(return_X_y=True)
    model = tilewise.HistGradientBoostingRegressor(max_iter=6, early_stopping=True, n_iter_no_change=20).fit(X, y)
    assert model.do_early_stopping_ and model.n_trees_per_iteration_ == 1
    assert np.array_equal(model.validation_score_, -model.validation_loss_) and len(model.train_score_) == model.n_iter_ == 6
    assert (np.diff(model.train_score_) > 0).all()
    # The last one from the rows that were not held out, whose errors are smaller than those of all rows.
    assert -model.train_score_[-1] < ((y - model.predict(X)) ** 2).mean() * 1.05
    plain = tilewise.HistGradientBoostingClassifier(max_iter=2).fit(*load_iris(return_X_y=True))
    assert not plain.do_early_stopping_ and plain.n_trees_per_iteration_ == 3 and len(plain.train_score_) == 0
    X, y = load_iris(return_X_y=True)
    staged = list(plain.staged_decision_function(X))
    assert len(staged) == 2 and np.array_equal(staged[-1], plain.decision_function(X))


def test_other_attributes_mean_what_they_do_in_scikit_learn():
    X, y = load_diabetes(return_X_y=True)
    ours, theirs = tilewise.Lasso(alpha=0.5).fit(X, y), sklearn.linear_model.Lasso(alpha=0.5, tol=1e-10).fit(X, y)
    assert ours.dual_gap_ < 1e-6 * y.var() and np.allclose(ours.sparse_coef_.toarray(), theirs.sparse_coef_.toarray(), atol=1e-3)
    for samples in ("auto", 0.5, 40):
        ours = tilewise.IsolationForest(n_estimators=3, max_samples=samples).fit(X)
        assert ours.max_samples_ == sklearn.ensemble.IsolationForest(n_estimators=3, max_samples=samples).fit(X).max_samples_
    assert np.array_equal(*(tilewise.LogisticRegression(random_state=s).fit(X, y > 100).coef_ for s in (0, 5)))
    assert not np.array_equal(*(tilewise.LogisticRegression(solver="saga", random_state=s).fit(X, y > 100).coef_ for s in (0, 5)))


def test_coefficients_become_sparse_and_dense_again():
    X, y = load_iris(return_X_y=True)
    model = tilewise.LogisticRegression(C=0.1, l1_ratio=1.0).fit(X, y)
    dense, answers = model.coef_, model.predict_proba(X)
    sparse = model.sparsify().sparsify().coef_
    assert 0 < sparse.nnz == (dense != 0).sum() < dense.size and sparse.shape == dense.shape
    assert np.array_equal(model.predict_proba(X), answers) and np.array_equal(model.densify().densify().coef_, dense)


def test_trees_are_shown_with_names_of_columns_and_classes():
    X, y = load_iris(return_X_y=True)
    model = tilewise.DecisionTreeClassifier(max_depth=2).fit(X, y)
    names = {"feature_names": ["sl", "sw", "pl", "pw"], "class_names": np.array(["setosa", "versi", "virgi"])}
    for shown in (tilewise.export_text, tilewise.export_graphviz, lambda *a, **k: tilewise.plot_tree(*a, **k).svg):
        told = shown(model, max_depth=2, **names)
        assert "setosa" in told and "virgi" in told and ("pl" in told or "pw" in told) and "x2" not in told
        assert "x2" in shown(model) or "x3" in shown(model)
        assert shown(model, class_names=True) == shown(model)
        with pytest.raises(ValueError, match="feature_names has 1 names, and the model 4"):
            shown(model, feature_names=["a"])
        with pytest.raises(ValueError, match="class_names has 2 names, and the model 3"):
            shown(model, class_names=["a", "b"])
    numbers = tilewise.DecisionTreeRegressor(max_depth=2).fit(X, y)
    with pytest.raises(ValueError, match="class_names is for models of classes"):
        tilewise.export_text(numbers, class_names=["a"])
    assert json.loads(numbers._model.metadata("target")) == "y"


def shapley(score, row, background):
    """By the definition: the mean over all orders of what an input changes when it is known, others being those of the background."""

    def value(known):
        mixed = background.copy()
        mixed[:, known] = row[known]
        return score(mixed).mean(axis=0)

    orders = list(permutations(range(len(row))))
    total = [0.0] * len(row)
    for order in orders:
        for at, j in enumerate(order):
            total[j] = total[j] + value(list(order[: at + 1])) - value(list(order[:at]))
    return np.array(total) / math.factorial(len(row))


def test_shapley_values_of_linear_models():
    X, y = load_diabetes(return_X_y=True)
    X, Z = X[:, :4], load_iris(return_X_y=True)
    cases = [
        (tilewise.Ridge(alpha=0.01).fit(X, y), X, lambda m, rows: m.predict(rows)),
        (tilewise.PoissonRegressor().fit(X * 10, y), X * 10, lambda m, rows: np.log(m.predict(rows))),
        (tilewise.LogisticRegression().fit(Z[0], Z[1] > 0), Z[0], lambda m, rows: m.decision_function(rows)),
        (tilewise.LogisticRegression().fit(*Z), Z[0], lambda m, rows: m.decision_function(rows)),
        (tilewise.LinearRegression().fit(X, np.column_stack([y, y**2])), X, lambda m, rows: m.predict(rows)),
    ]
    for model, rows, score in cases:
        background = rows[::9]
        told = model.shap_values(rows[:2], background=background)
        for row, values in zip(rows[:2], told):
            theirs = shapley(lambda mixed: score(model, mixed), row, background)
            assert values.shape == theirs.shape and np.allclose(values, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())
        with pytest.raises(ValueError, match="background=rows"):
            model.shap_values(rows)
        assert not hasattr(model, "expected_value_")
    network = tilewise.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y)
    with pytest.raises(ValueError, match="what each input adds"):
        network.shap_values(X)


def test_shapley_values_of_categories_are_those_of_their_columns():
    import pandas

    rng = np.random.default_rng(1)
    frame = pandas.DataFrame({"kind": rng.choice(list("abc"), 90), "size": rng.normal(size=90), "new": rng.random(90) < 0.5})
    y = frame["size"] + 2.0 * (frame["kind"] == "b") - frame["new"] + 0.1 * rng.normal(size=90)
    model = tilewise.Ridge(alpha=0.1).fit(frame, y)
    told = model.shap_values(frame, background=frame)
    assert told.shape == (90, 3)
    assert np.allclose(told.sum(axis=1), model.predict(frame) - model.predict(frame).mean())
    shares = (frame["kind"].to_numpy()[:, None] == np.array(list("abc"))).astype(float)
    assert np.allclose(told[:, 0], (shares - shares.mean(axis=0)) @ model.coef_[:3])
