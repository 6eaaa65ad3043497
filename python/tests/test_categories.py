"""`categorical_features` of boosting: numbers that are categories."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.ensemble
import tilewise
from sklearn.model_selection import cross_val_score


def problem(rows=1500, levels=40):
    """A number, and codes whose order says nothing."""
    random = np.random.default_rng(5)
    codes = random.integers(0, levels, rows)
    effect = random.normal(size=levels)
    number = random.normal(size=rows)
    return np.column_stack([number, codes]), effect[codes] + 0.3 * number


def contents(model):
    return model._model.to_bytes()


def model(**params):
    return tilewise.HistGradientBoostingRegressor(max_iter=30, **params)


def test_codes_of_an_array_are_the_categories_of_a_table():
    X, y = problem()
    texts = pd.DataFrame({"x0": X[:, 0], "x1": X[:, 1].astype(int).astype(str)})
    expected = model().fit(texts, y)
    fits = [model(categorical_features=which).fit(X, y) for which in ([1], np.array([False, True]), (np.int64(1),))]
    fits += [model(categorical_features=["x1"]).fit(table, y) for table in (pd.DataFrame(X, columns=["x0", "x1"]), pl.DataFrame(X, schema=["x0", "x1"]))]
    fits.append(model(categorical_features=np.array([False, True], dtype=object)).fit(np.asfortranarray(X), y))
    for fit in fits:
        assert contents(fit) == contents(expected)
        assert fit.is_categorical_.tolist() == [False, True]
    assert contents(fits[0]) != contents(model().fit(X, y)) and model().fit(X, y).is_categorical_ is None
    # Predictions read the same, from arrays of any layout and from tables.
    answers = expected.predict(texts)
    for rows in (X, np.asfortranarray(X), X[::-1][::-1]):
        assert np.array_equal(fits[0].predict(rows), answers)
    assert np.array_equal(fits[3].predict(pd.DataFrame(X, columns=["x0", "x1"])), answers)
    assert np.array_equal(fits[0].predict(X[:1]), answers[:1])
    assert np.allclose(fits[0].shap_values(X[:9]).sum(axis=1) + fits[0].expected_value_, answers[:9])


def test_it_is_worth_it_as_in_scikit_learn():
    X, y = problem()
    theirs = sklearn.ensemble.HistGradientBoostingRegressor
    scores = [
        cross_val_score(make(max_iter=30, max_leaf_nodes=6, categorical_features=which), X, y).mean()
        for make in (tilewise.HistGradientBoostingRegressor, theirs)
        for which in ([1], None)
    ]
    ours, ours_plain, others, others_plain = scores
    assert ours > ours_plain + 0.05 and others > others_plain + 0.05 and ours > others - 0.01, scores


def test_missing_and_unseen_codes_and_a_file(tmp_path):
    X, y = problem()
    X[::7, 1] = np.nan
    fit = model(categorical_features=[1]).fit(X, y)
    negative = np.where(np.isnan(X), -1.0, X)
    assert contents(model(categorical_features=[1]).fit(np.where(X == -1.0, 0.0, negative), y)) == contents(fit)
    fit.save(tmp_path / "m")
    # A file has texts; where all are what numbers are called these may come as numbers too.
    loaded = tilewise.load(tmp_path / "m")
    table = pd.DataFrame({"x0": X[:, 0], "x1": [None if np.isnan(x) else str(int(x)) for x in X[:, 1]]})
    assert np.array_equal(loaded.predict(X), fit.predict(X)) and loaded.is_categorical_.tolist() == [False, True]
    assert np.array_equal(tilewise.HistGradientBoostingRegressor(max_iter=30).fit(table, y).predict(table), fit.predict(X))
    assert loaded.get_params()["categorical_features"] == ["x1"]
    more = loaded.set_params(warm_start=True, max_iter=40).fit(X, y)
    assert contents(more) == contents(model(categorical_features=[1]).set_params(max_iter=40).fit(X, y))
    again = pickle.loads(pickle.dumps(fit))
    assert np.array_equal(again.predict(X), fit.predict(X))
    assert np.isfinite(fit.predict([[0.0, 999.0], [0.0, np.nan]])).all()


def test_classes_and_fractions():
    X, y = problem(400, 5)
    X[:, 1] = X[:, 1] / 4 + 0.1
    classifier = tilewise.HistGradientBoostingClassifier(max_iter=5, categorical_features=[1]).fit(X, y > 0)
    assert classifier.predict_proba(X).shape == (400, 2) and len(list(classifier.staged_predict(X[:3]))) == 5
    texts = pd.DataFrame({"x0": X[:, 0], "x1": [str(x) for x in X[:, 1].tolist()]})
    expected = tilewise.HistGradientBoostingClassifier(max_iter=5).fit(texts, y > 0)
    assert contents(classifier) == contents(expected)
    assert classifier.decision_function(X).shape == (400,)


@pytest.mark.parametrize(
    "asked, told",
    [
        ([2], "names 2; a column is accepted: a place from 0 to 1"),
        ([-1], "names -1"),
        (["x9"], "names 'x9'"),
        ([True], "a mask of 1 columns, and X has 2"),
        ([0.5], "names 0.5"),
        ([True, "x1"], "names True"),
        ("x1", "must be 'from_dtype'"),
        ([[1]], "must be 'from_dtype'"),
        ({1}, "must be 'from_dtype'"),
    ],
)
def test_what_is_no_column_is_refused(asked, told):
    X, y = problem(50)
    with pytest.raises(ValueError, match=told):
        model(categorical_features=asked).fit(X, y)


def test_numbers_of_one_value_are_one_category():
    """Of any type, as in scikit-learn."""
    X, y = problem(400, 8)
    X[:, 1] = X[:, 1] / 4 + 0.1
    # The column x0 of a table is the same in both; only the type of the codes differs.
    tables = [pd.DataFrame({"x0": X[:, 0], "x1": X[:, 1].astype(kind)}) for kind in (np.float32, float)]
    fits = [model(categorical_features=["x1"]).fit(table, y) for table in tables]
    assert contents(fits[0]) == contents(fits[1])
    assert np.array_equal(fits[0].predict(tables[1]), fits[1].predict(tables[0]))
    whole = pd.Series([1, 2, 3] * 20)
    for kind in (tilewise.HistGradientBoostingRegressor, tilewise.DecisionTreeRegressor):
        fit = kind().fit(pd.DataFrame({"k": whole.astype(float).astype("category")}), whole % 3)
        assert np.array_equal(fit.predict(pd.DataFrame({"k": whole.astype("category")})), fit.predict(pd.DataFrame({"k": whole.astype(str)})))
        assert fit.score(pd.DataFrame({"k": whole.astype("category")}), whole % 3) > 0.9


def test_a_fit_that_is_refused_leaves_the_model():
    X, y = problem(200)
    broken = X.copy()
    broken[3, 0] = np.inf
    for first, second in (([1], "from_dtype"), ("from_dtype", [1])):
        fit = model(categorical_features=first).fit(X, y)
        before = fit.predict(X)
        with pytest.raises(ValueError, match="infinity"):
            fit.set_params(categorical_features=second).fit(broken, y)
        assert np.array_equal(fit.predict(X), before)


def test_what_is_no_category_is_refused():
    large = pd.DataFrame({"id": [2**53, 2**53 + 1] * 30})
    with pytest.raises(ValueError, match='row 0 .counted from 0., column "id": .*numbers below 2.53 are accepted, or text'):
        model(categorical_features=["id"]).fit(large, np.arange(60) % 2)

    X, y = problem(50)
    fit = model(categorical_features=[1]).fit(X, y)
    broken = X.copy()
    broken[3, 1] = np.inf
    for call in (lambda: model(categorical_features=[1]).fit(broken, y), lambda: fit.predict(broken)):
        with pytest.raises(ValueError, match='row 3 .counted from 0., column "x1": Input X contains infinity'):
            call()
    with pytest.raises(ValueError, match="features"):
        fit.predict(X[:, :1])
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(str)})
    by_type = model(categorical_features=["b"]).fit(table, y)
    assert by_type.is_categorical_.tolist() == [False, True]
    # Of text numbers are no categories, at predictions either.
    with pytest.raises(ValueError, match="holds categories"):
        by_type.predict(X)
    with pytest.raises(ValueError, match="column 'b' holds text or categories, and categorical_features is None"):
        model(categorical_features=None).fit(table, y)
