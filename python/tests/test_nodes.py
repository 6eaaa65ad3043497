"""Trees as scikit-learn's arrays, the trees of a forest by themselves, and how a tree is pruned: against scikit-learn, and by walking."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.tree
import tilewise
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris

KINDS = ["DecisionTreeClassifier", "DecisionTreeRegressor"]
FORESTS = ["RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"]


def problem(seed, rows=160, classes=False):
    """Columns without equal values, and weights of which no two splits of nodes of some rows make the same: there is one tree."""
    rng = np.random.default_rng(seed)
    X = np.stack([rng.permutation(rows) for _ in range(3)], axis=1).astype(float)
    score = X[:, 0] - 0.7 * X[:, 1] + rng.normal(0, 30, rows)
    return X, np.digitize(score, [-20, 50]) if classes else np.round(score * 4) / 4 + 300.0, rng.integers(1, 200, rows) / 16


def pair(kind, **parameters):
    """Ours and scikit-learn's, which look for the same splits."""
    return getattr(tilewise, kind)(max_bins="exact", **parameters), getattr(sklearn.tree, kind)(random_state=0, **parameters)


def walked(tree, X):
    """The leaf of each row by the arrays alone."""
    at = np.zeros(len(X), dtype=np.int64)
    while (divided := tree.children_left[at] >= 0).any():
        x = X[np.arange(len(X)), np.maximum(tree.feature[at], 0)]
        left = np.where(np.isnan(x), tree.missing_go_to_left[at] == 1, x <= tree.threshold[at])
        at = np.where(divided, np.where(left, tree.children_left[at], tree.children_right[at]), at)
    return at


@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error", "poisson", "absolute_error"])
def test_arrays_are_those_of_scikit_learn(criterion):
    classes = criterion in ("gini", "entropy")
    X, y, weights = problem(3, classes=classes)
    ours, theirs = pair(KINDS[not classes], criterion=criterion, max_depth=5, min_samples_leaf=5)
    mine, other = ours.fit(X, y, weights).tree_, theirs.fit(X, y, weights).tree_
    assert np.array_equal(ours.apply(X), theirs.apply(X))
    for name in ("children_left", "children_right", "feature", "n_node_samples", "n_classes"):
        assert np.array_equal(getattr(mine, name), getattr(other, name)), name
        assert getattr(mine, name).dtype == getattr(other, name).dtype, name
    for name in ("value", "weighted_n_node_samples") + (("impurity",) if classes else ()):
        assert getattr(mine, name).shape == getattr(other, name).shape, name
        assert np.allclose(getattr(mine, name), getattr(other, name), rtol=1e-12), name
    for name in ("node_count", "max_depth", "n_leaves", "n_features", "n_outputs", "max_n_classes"):
        assert getattr(mine, name) == getattr(other, name), name
    assert np.array_equal(mine.compute_node_depths(), other.compute_node_depths())
    # The first is in the middle between the same two numbers; deeper ones between those of the node there, of all rows here.
    assert mine.threshold[0] == other.threshold[0] and mine.threshold.dtype == other.threshold.dtype
    assert np.array_equal(mine.threshold == -2.0, other.threshold == -2.0)
    assert mine.missing_go_to_left.dtype == other.missing_go_to_left.dtype
    assert hasattr(mine, "impurity") == classes
    if not classes:
        with pytest.raises(AttributeError, match="no impurity"):
            mine.impurity


@pytest.mark.parametrize("kind", KINDS)
def test_what_scikit_learn_writes_of_a_tree_is_the_same(kind):
    """Of columns of 0 and 1 all thresholds are the same too."""
    rng = np.random.default_rng(4)
    X = rng.integers(0, 2, size=(300, 6)).astype(float)
    score = X @ [1.0, 2.0, 4.0, 0.3, 0.1, 0.7] + rng.normal(0, 0.5, 300)
    y = np.array(["low", "mid", "top"])[np.digitize(score, [3, 5])] if "Classifier" in kind else score
    weights = rng.integers(1, 9, 300)
    ours, theirs = (estimator.fit(X, y, weights) for estimator in pair(kind, max_depth=4))
    spread = {"impurity": "Classifier" in kind, "out_file": None}
    # Else they take objects of their own classes alone.
    with sklearn.config_context(skip_parameter_validation=True):
        assert sklearn.tree.export_graphviz(ours, **spread) == sklearn.tree.export_graphviz(theirs, **spread)
        mine, other = (sklearn.tree.export_text(tree).splitlines() for tree in (ours, theirs))
    # What leaves are called goes by the class too.
    questions = [line for line in other if "feature" in line]
    assert [line for line in mine if "feature" in line] == questions and len(questions) > 10
    assert len(mine) == len(other) and ("Classifier" in kind or mine == other)


@pytest.mark.parametrize("kind", KINDS + FORESTS)
def test_walking_the_arrays_is_what_the_model_does(kind):
    X, y = load_iris(return_X_y=True) if "Classifier" in kind else load_diabetes(return_X_y=True)
    rng = np.random.default_rng(5)
    X = X.copy()
    X[rng.random(X.shape) < 0.1] = np.nan
    model = getattr(tilewise, kind)(max_depth=7, random_state=1, **({"n_estimators": 4} if kind in FORESTS else {})).fit(X, y)
    trees = model.estimators_ if kind in FORESTS else [model]
    all_leaves = model.apply(X) if kind in FORESTS else model.apply(X)[:, None]
    assert len(trees) == all_leaves.shape[1]
    for number, one in enumerate(trees):
        tree = one.tree_
        rows = X[rng.integers(0, len(X), 400)] + rng.normal(0, 0.05, (400, X.shape[1]))
        # On thresholds, and beside them.
        splits = np.flatnonzero(tree.children_left >= 0)
        for i, at in enumerate(rng.choice(splits, 300)):
            rows[i, tree.feature[at]] = [tree.threshold[at], np.nextafter(tree.threshold[at], np.inf), np.nan][i % 3]
        rows[~np.isfinite(rows)] = np.nan
        for asked in (rows, rows.astype(np.float32)):
            leaves = one.apply(asked)
            assert np.array_equal(walked(tree, asked.astype(np.float64)), leaves)
            shown = one.predict_proba(asked) if hasattr(one, "predict_proba") else one.predict(asked)
            assert np.array_equal(tree.value[leaves].reshape(shown.shape), shown)
        assert np.array_equal(walked(tree, X), all_leaves[:, number])
        assert tree.n_node_samples[0] == tree.n_node_samples[tree.children_left < 0].sum() <= len(X)


def test_a_tree_is_made_once_and_not_written_to_or_kept():
    X, y = load_iris(return_X_y=True)
    model = tilewise.DecisionTreeClassifier(max_depth=3).fit(X, y)
    before = pickle.dumps(model)
    tree = model.tree_
    assert model.tree_ is tree and pickle.dumps(model) == before and "tree_" not in vars(model)
    with pytest.raises(ValueError, match="read-only"):
        tree.threshold[0] = 1.0
    again = pickle.loads(before).tree_
    assert again is not tree and np.array_equal(again.value, tree.value)
    model.fit(X, y > 0)
    assert model.tree_ is not tree and model.tree_.max_n_classes == 2
    assert not hasattr(tilewise.DecisionTreeClassifier(), "tree_")


def test_several_targets_and_categories_have_their_place():
    X, y = load_diabetes(return_X_y=True)
    tree = tilewise.DecisionTreeRegressor(max_depth=3).fit(X, np.stack([y, -y], axis=1)).tree_
    theirs = sklearn.tree.DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, np.stack([y, -y], axis=1)).tree_
    assert tree.value.shape == theirs.value.shape and tree.n_outputs == 2 and np.array_equal(tree.n_classes, theirs.n_classes)
    frame = pd.DataFrame({"kind": list("abcd") * 25, "size": np.arange(100.0), "new": [True, False] * 50})
    target = frame["kind"].isin(["a", "c"]) * 3.0 + (frame["size"] > 60) + 0.1 * frame["new"]
    tree = tilewise.DecisionTreeRegressor().fit(frame, target).tree_
    divided = tree.children_left >= 0
    assert np.array_equal(np.isnan(tree.threshold), divided & (tree.feature == 0)) and np.isnan(tree.threshold).any()


@pytest.mark.parametrize("asked", [None, "sqrt", "log2", 3, 0.5, 0.01, 1.0])
def test_columns_that_nodes_look_at_are_counted_as_in_scikit_learn(asked):
    X, y = load_diabetes(return_X_y=True)
    ours, theirs = pair("DecisionTreeRegressor", max_features=asked, max_depth=2)
    assert ours.fit(X, y).max_features_ == theirs.fit(X, y).max_features_
    forest = tilewise.RandomForestRegressor(n_estimators=2, max_features=asked, max_depth=2).fit(X, y)
    assert {tree.max_features_ for tree in forest.estimators_} == {theirs.max_features_}


def distinct(path):
    """scikit-learn's path with those of equal alphas, which it cuts one by one, as one."""
    last = np.append(np.diff(path.ccp_alphas) > 1e-9 * path.ccp_alphas[-1], True)
    return path.ccp_alphas[last], path.impurities[last]


@pytest.mark.parametrize(
    "criterion, weighted, limits",
    [
        ("gini", True, {}),
        ("gini", True, {"max_depth": 4, "class_weight": {0: 1.0, 1: 2.5, 2: 0.75}}),
        ("entropy", True, {}),
        ("squared_error", False, {"min_samples_leaf": 4}),
        ("squared_error", True, {"max_leaf_nodes": 25, "ccp_alpha": 5.0}),
        ("poisson", True, {"min_samples_leaf": 3}),
        ("absolute_error", False, {"max_depth": 3}),
    ],
)
def test_trees_are_pruned_where_scikit_learn_prunes_them(criterion, weighted, limits):
    classes = criterion in ("gini", "entropy")
    X, y, weights = problem(6, classes=classes)
    ours, theirs = pair(KINDS[not classes], criterion=criterion, **limits)
    weights = weights if weighted else None
    mine = ours.cost_complexity_pruning_path(X, y, weights)
    alphas, impurities = distinct(theirs.cost_complexity_pruning_path(X, y, weights))
    # Entropy is in nats here, in bits there.
    unit = np.log(2) if criterion == "entropy" else 1.0
    assert mine.ccp_alphas.shape == alphas.shape and len(alphas) > 4
    assert np.allclose(mine.ccp_alphas, alphas * unit, rtol=1e-9, atol=1e-9 * alphas[-1])
    assert np.allclose(mine.impurities, impurities * unit, rtol=1e-9, atol=1e-9 * impurities[-1])
    # It is not a fit of this estimator, and its alphas are what a fit prunes by.
    assert not hasattr(ours, "tree_")
    between = (mine.ccp_alphas[-3] + mine.ccp_alphas[-2]) / 2
    kept = clone(ours).set_params(ccp_alpha=between).fit(X, y, weights)
    assert kept.get_n_leaves() == theirs.set_params(ccp_alpha=between / unit).fit(X, y, weights).get_n_leaves() > 1


def test_the_path_of_several_targets_is_that_of_their_mean():
    X, y, weights = problem(7)
    y = np.stack([y, X[:, 2] * 2.0], axis=1)
    ours, theirs = pair("DecisionTreeRegressor", min_samples_leaf=5)
    mine = ours.cost_complexity_pruning_path(pd.DataFrame(X, columns=list("abc")), pd.DataFrame(y), weights)
    alphas, impurities = distinct(theirs.cost_complexity_pruning_path(X, y, weights))
    assert np.allclose(mine.ccp_alphas, alphas, rtol=1e-9) and np.allclose(mine.impurities, impurities, rtol=1e-9)


@pytest.mark.parametrize("kind", FORESTS)
def test_a_forest_is_the_mean_of_its_trees(kind):
    X, y = load_iris(return_X_y=True) if "Classifier" in kind else load_diabetes(return_X_y=True)
    classifies = "Classifier" in kind
    if classifies:
        y = np.array(["one", "two", "three"])[y]
    forest = getattr(tilewise, kind)(n_estimators=5, max_depth=6, random_state=2).fit(X, y)
    before = pickle.dumps(forest)
    trees = forest.estimators_
    assert len(trees) == 5 and isinstance(trees[0], getattr(tilewise, KINDS[not classifies]))
    assert trees[0].splitter == ("random" if "Extra" in kind else "best") and trees[0].max_depth == 6
    answers = [tree.predict_proba(X) if classifies else tree.predict(X) for tree in trees]
    whole = forest.predict_proba(X) if classifies else forest.predict(X)
    assert np.allclose(np.mean(answers, axis=0), whole, rtol=1e-13) and not np.array_equal(answers[0], answers[1])
    assert np.allclose(np.mean([tree.shap_values(X) for tree in trees], axis=0), forest.shap_values(X), atol=1e-9)
    assert np.array_equal(np.stack([tree.apply(X) for tree in trees], axis=1), forest.apply(X))
    assert trees[3].export_text() == forest.export_text(tree=3)
    if classifies:
        # Places in the classes of the forest.
        assert np.array_equal(trees[0].classes_, [0.0, 1.0, 2.0])
        named = forest.classes_[trees[0].predict(X).astype(int)]
        assert np.array_equal(named, forest.classes_[answers[0].argmax(axis=1)])
    # Made when they are asked for, of the forest that was asked, and not kept.
    assert pickle.dumps(forest) == before and trees[0] is not trees[0]
    assert [tree.export_text() for tree in trees[-2:]] == [trees[3].export_text(), trees[-1].export_text()]
    with pytest.raises(IndexError):
        trees[5]
    forest.set_params(n_estimators=2, max_depth=1).fit(X, y)
    assert len(forest.estimators_) == 2 and np.array_equal(trees[1].predict(X), trees[1].predict(X)) and trees[1].get_depth() > 1
    assert not hasattr(clone(forest), "estimators_") and forest.estimator_.get_params()["max_depth"] == 1


def test_trees_of_a_forest_read_tables_are_saved_and_come_from_files(tmp_path):
    frame = pd.DataFrame({"kind": list("abcd") * 25, "size": np.arange(100.0)})
    y = frame["kind"].isin(["a", "c"]) * 3.0 + (frame["size"] > 60)
    forest = tilewise.RandomForestRegressor(n_estimators=3).fit(frame, np.stack([y, -y], axis=1))
    assert np.allclose(np.mean([tree.predict(frame) for tree in forest.estimators_], axis=0), forest.predict(frame))
    assert forest.estimators_[0].feature_names_in_.tolist() == ["kind", "size"] and forest.estimators_[0].n_outputs_ == 2
    forest.save(tmp_path / "forest")
    (tmp_path / "forest").chmod(0o444)
    one = forest.estimators_[1]
    one.save(tmp_path / "tree")
    for mode in (None, "r"):
        again = tilewise.load(tmp_path / "forest", mmap_mode=mode).estimators_[1]
        assert np.array_equal(again.predict(frame), one.predict(frame)) and again.export_text() == one.export_text()
    assert np.array_equal(tilewise.load(tmp_path / "tree").predict(frame), one.predict(frame))
    assert np.array_equal(pickle.loads(pickle.dumps(one)).predict(frame), one.predict(frame))
