"""What forests say of rows that trees did not see, and what limits and constraints do to trees."""

import itertools

import numpy as np
import pytest
import sklearn.ensemble
import tilewise
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import r2_score


@pytest.mark.filterwarnings("ignore:.*in the bag of every tree")
@pytest.mark.parametrize("load, kind", [(load_iris, "Classifier"), (load_diabetes, "Regressor")])
def test_a_row_out_of_the_bag_is_predicted_by_the_trees_that_did_not_see_it(load, kind):
    X, y = load(return_X_y=True)
    one = getattr(tilewise, f"RandomForest{kind}")(n_estimators=1, oob_score=True, random_state=3).fit(X, y)
    classifies = kind == "Classifier"
    told = one.oob_decision_function_ if classifies else one.oob_prediction_
    unknown = np.isnan(told).reshape(len(X), -1).any(axis=1)
    # Of one tree these are its own predictions, of the rows that were not drawn: a share of 1/e.
    assert 0.25 < 1 - unknown.mean() < 0.5
    answers = one.predict_proba(X) if classifies else one.predict(X)
    assert np.array_equal(told[~unknown], answers[~unknown])
    # The tree is the same as without.
    without = clone(one).set_params(oob_score=False).fit(X, y)
    assert np.array_equal(without.predict(X), one.predict(X)) and not hasattr(without, "oob_score_")


def test_the_score_out_of_the_bag_is_that_of_its_predictions(tmp_path):
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    for kind in (tilewise.RandomForestClassifier, tilewise.ExtraTreesClassifier):
        model = kind(n_estimators=60, bootstrap=True, oob_score=True, random_state=0).fit(X, names)
        found = model.classes_[model.oob_decision_function_.argmax(axis=1)]
        assert model.oob_score_ == (found == names).mean() > 0.9
        model.save(tmp_path / "m")
        assert tilewise.load(tmp_path / "m").oob_score_ == model.oob_score_
    X, y = load_diabetes(return_X_y=True)
    model = tilewise.RandomForestRegressor(n_estimators=60, oob_score=True, random_state=0).fit(X, y)
    assert np.isclose(model.oob_score_, r2_score(y, model.oob_prediction_), rtol=1e-12)
    weights = np.arange(len(y)) % 3 + 1.0
    # A whole weight counts as so many rows, of which a tree sees the row more often.
    with pytest.warns(UserWarning, match="in the bag of every tree"):
        model.fit(X, y, weights)
    known = ~np.isnan(model.oob_prediction_)
    score = r2_score(y[known], model.oob_prediction_[known], sample_weight=weights[known])
    assert 400 < known.sum() < 442 and np.isclose(model.oob_score_, score, rtol=1e-12)
    several = np.stack([y, -y], axis=1)
    model.fit(X, several)
    assert np.isclose(model.oob_score_, r2_score(several, model.oob_prediction_), rtol=1e-12)
    # Nothing of an earlier fit stays.
    model.set_params(oob_score=False).fit(X, y)
    assert not hasattr(model, "oob_score_") and not hasattr(model, "oob_prediction_")


def test_what_has_no_bag_is_told():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="only available if bootstrap=True"):
        tilewise.ExtraTreesClassifier(oob_score=True).fit(X, y)
    with pytest.raises(ValueError, match="True or False"):
        tilewise.RandomForestClassifier(oob_score=r2_score).fit(X, y)
    with pytest.warns(UserWarning, match="rows were in the bag of every tree"):
        tilewise.RandomForestClassifier(n_estimators=2, oob_score=True).fit(X, y)


def test_leaves_have_their_share_of_the_weight():
    X, y = load_diabetes(return_X_y=True)
    share = tilewise.DecisionTreeRegressor(min_weight_fraction_leaf=0.1).fit(X, y)
    # 442 rows: 44.2 of them are 45.
    rows = tilewise.DecisionTreeRegressor(min_samples_leaf=45).fit(X, y)
    assert share.export_text() == rows.export_text() and share.get_n_leaves() > 3
    weights = np.where(np.arange(len(y)) < 20, 100.0, 1.0)
    weighted = tilewise.DecisionTreeRegressor(min_weight_fraction_leaf=0.1).fit(X, y, weights)
    leaf = weighted.predict(X)
    assert all(weights[leaf == value].sum() >= 0.1 * weights.sum() for value in np.unique(leaf))
    assert min((leaf == value).sum() for value in np.unique(leaf)) < 45
    with pytest.raises(ValueError, match="0 to 0.5"):
        share.set_params(min_weight_fraction_leaf=0.6).fit(X, y)


def test_callbacks_and_verbosity_of_forests(capsys):
    X, y = load_iris(return_X_y=True)
    heard = []
    forest = tilewise.RandomForestClassifier(n_estimators=30, n_jobs=1, verbose=1, callback=lambda *told: heard.append(told))
    forest.fit(X, y)
    assert [done for done, _, _ in heard] == list(range(1, 31)) and {total for _, total, _ in heard} == {30}
    lines = capsys.readouterr().out.splitlines()
    assert 5 < len(lines) <= 11 and lines[-1].startswith("[RandomForestClassifier] 30 of 30")


def test_columns_of_different_groups_do_not_meet():
    X, y = load_diabetes(return_X_y=True)
    groups = [[0, 3], [1, 4]]
    model = tilewise.HistGradientBoostingRegressor(max_iter=10, interaction_cst=groups).fit(X, y)
    # Those of no group are a group together.
    others = [2, 5, 6, 7, 8, 9]

    def together(a, b):
        low, high = np.quantile(X, 0.2, axis=0), np.quantile(X, 0.8, axis=0)
        corners = np.tile(np.median(X, axis=0), (4, 1))
        corners[[1, 3], a], corners[[0, 2], a] = high[a], low[a]
        corners[[2, 3], b], corners[[0, 1], b] = high[b], low[b]
        scores = model.predict(corners)
        return abs(scores[0] + scores[3] - scores[1] - scores[2])

    # What columns of different groups say adds up: at four corners nothing is left over.
    apart = [(a, b) for a in (0, 3) for b in (1, 4, *others)] + [(a, b) for a in (1, 4) for b in others]
    assert all(together(a, b) < 1e-9 for a, b in apart)
    assert together(2, 8) > 1e-3
    for wrong in ("none", [[0, 99]], [0, 1], [["a", "b"]], ["ab"], [[0.0, 1.0]], [[True, False, True]], 3):
        with pytest.raises(ValueError, match="interaction_cst"):
            tilewise.HistGradientBoostingRegressor(interaction_cst=wrong).fit(X, y)


@pytest.mark.parametrize("theirs, together", [("no_interactions", 2), ("pairwise", 3)])
def test_so_many_columns_never_meet_as_in_scikit_learn(theirs, together, tmp_path):
    X, y = load_diabetes(return_X_y=True)
    X = X[:, [2, 3, 8, 9, 1]]
    ours = tilewise.HistGradientBoostingRegressor(max_iter=40, interaction_cst=theirs).fit(X, y)
    other = sklearn.ensemble.HistGradientBoostingRegressor(max_iter=40, interaction_cst=theirs).fit(X, y)
    assert abs(ours.score(X, y) - other.score(X, y)) < 0.02
    low, high = np.quantile(X, 0.2, axis=0), np.quantile(X, 0.8, axis=0)

    def left_over(model, columns):
        """What so many columns say together beyond what fewer of them say: the alternating sum over all corners."""
        corners = np.tile(np.median(X, axis=0), (2 ** len(columns), 1))
        signs = np.ones(len(corners))
        for bit, column in enumerate(columns):
            up = (np.arange(len(corners)) >> bit) % 2 == 1
            corners[:, column] = np.where(up, high[column], low[column])
            signs = np.where(up, signs, -signs)
        return abs(signs @ model.predict(corners))

    for columns in itertools.combinations(range(5), together):
        assert left_over(ours, columns) < 1e-9 and left_over(other, columns) < 1e-9
    fewer = [left_over(ours, columns) for columns in itertools.combinations(range(5), together - 1)]
    assert max(fewer) > 1.0
    # The file has groups, by which a clone fits the same.
    ours.save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m")
    again = clone(loaded).fit(X, y)
    assert np.array_equal(again.predict(X), ours.predict(X)) and again._model.to_bytes() == ours._model.to_bytes()


def ranked(rows=300):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3))
    return X, np.digitize(X[:, 0] + 0.5 * X[:, 1], [-0.5, 0.5])


def test_queries_are_told_by_number_or_by_size():
    X, y = ranked()
    model = tilewise.GBDTRanker(max_iter=10, min_samples_leaf=5)
    by_size = clone(model).fit(X, y, group=[10] * 30).predict(X)
    assert np.array_equal(by_size, clone(model).fit(X, y, qid=np.repeat(np.arange(30), 10)).predict(X))
    # Numbers that fall, and text.
    assert np.array_equal(by_size, clone(model).fit(X, y, qid=np.repeat(np.arange(30), 10)[::-1]).predict(X))
    assert np.array_equal(by_size, clone(model).fit(X, y, qid=np.repeat([f"q{i}" for i in range(30)], 10)).predict(X))
    assert np.array_equal(by_size, clone(model).fit(X, y, group=np.full(30, 10, np.uint64)).predict(X))
    for wrong, told in [
        ({"group": [10] * 29}, "sum to the 300 rows of X, got 29 that sum to 290"),
        ({"group": np.array([2**64 - 1, 301], np.uint64)}, "sum to the 300 rows"),
        ({"group": np.empty(0, int)}, "sum to the 300 rows"),
        ({"group": ["10"] * 30}, "whole numbers"),
        ({"group": [300.0]}, "whole numbers"),
        ({"qid": np.tile(np.arange(30), 10)}, "do not follow each other"),
        ({"qid": np.arange(3)}, "3 entries"),
        ({"qid": np.zeros(300), "group": [300]}, "one of them"),
        ({"sample_weight": np.ones(3)}, "sample_weight"),
        ({"sample_weight": -np.ones(300)}, "[Nn]egative"),
        ({"sample_weight": np.repeat(np.arange(30), 10)}, "by keyword"),
        ({"sample_weight": np.arange(300) + 1.0}, "rows of a query have one weight"),
    ]:
        with pytest.raises(ValueError, match=told):
            clone(model).fit(X, y, **wrong)


def test_weights_of_a_ranking_count():
    X, y = ranked()
    qid = np.repeat(np.arange(30), 10)
    model = tilewise.GBDTRanker(max_iter=10, min_samples_leaf=5)
    plain = clone(model).fit(X, y, qid=qid).predict(X)
    assert np.array_equal(plain, clone(model).fit(X, y, np.ones(300), qid=qid).predict(X))
    # Twice the weight for some queries is twice the queries, here for their pairs alone.
    heavy = clone(model).fit(X, y, np.where(qid < 15, 2.0, 1.0), qid=qid).predict(X)
    assert not np.array_equal(heavy, plain)
    # Rows without a weight teach nothing: their answers may be any.
    weights = np.where(qid < 15, 1.0, 0.0)
    once = clone(model).fit(X, y, weights, qid=qid).predict(X)
    assert np.array_equal(once, clone(model).fit(X, np.where(weights == 0, 2 - y, y), weights, qid=qid).predict(X))
    assert not np.array_equal(once, plain)
