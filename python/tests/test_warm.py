"""`warm_start` of forests and boosting: the model of as many trees at once, from a fit that was finished, stopped or loaded."""

import numpy as np
import pandas as pd
import pytest
import tilewise
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_diabetes, load_wine

MODELS = [
    (tilewise.RandomForestClassifier(oob_score=True, random_state=3), "n_estimators"),
    (tilewise.RandomForestRegressor(max_samples=0.5, random_state=3), "n_estimators"),
    (tilewise.ExtraTreesClassifier(max_depth=4), "n_estimators"),
    (tilewise.ExtraTreesRegressor(bootstrap=True, max_samples=200), "n_estimators"),
    (tilewise.HistGradientBoostingClassifier(max_depth=3), "max_iter"),
    (tilewise.HistGradientBoostingRegressor(max_leaf_nodes=None, early_stopping=True, n_iter_no_change=50), "max_iter"),
]


def problem(model):
    return (load_wine if is_classifier(model) else load_diabetes)(return_X_y=True)


def contents(model):
    return model._model.to_bytes()


@pytest.mark.filterwarnings("ignore:.*in the bag of every tree", "ignore:.*stopped after")
@pytest.mark.parametrize("model, count", MODELS, ids=lambda x: type(x).__name__ if hasattr(x, "fit") else "")
def test_what_goes_on_is_what_is_grown_at_once(model, count, tmp_path):
    X, y = problem(model)
    once = clone(model).set_params(**{count: 12}).fit(X, y)
    warm = clone(model).set_params(warm_start=True, **{count: 5}).fit(X, y)
    assert warm.n_iter_ == 5 and contents(warm) != contents(once)
    warm.set_params(**{count: 12}).fit(X, y)
    assert warm.n_iter_ == 12 and contents(warm) == contents(once)
    assert getattr(warm, "oob_score_", 0) == getattr(once, "oob_score_", 0)
    # From one that was stopped, and from a file.
    stopped = clone(model).set_params(warm_start=True, n_jobs=1, callback=lambda done, *_: done >= 4, **{count: 12})
    stopped.fit(X, y)
    assert stopped.n_iter_ < 12
    assert contents(stopped.set_params(callback=None).fit(X, y)) == contents(once)
    clone(model).set_params(**{count: 3}).fit(X, y).save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m").set_params(warm_start=True, **{count: 12})
    if count == "max_iter":
        # Files do not tell "auto" from what it came to.
        loaded.set_params(early_stopping=model.early_stopping)
    assert contents(loaded.fit(X, y)) == contents(once)


@pytest.mark.filterwarnings("ignore:.*in the bag of every tree")
@pytest.mark.parametrize("model, count", MODELS, ids=lambda x: type(x).__name__ if hasattr(x, "fit") else "")
def test_what_cannot_go_on_is_told(model, count):
    X, y = problem(model)
    warm = clone(model).set_params(warm_start=True, **{count: 5}).fit(X, y)
    before, answers = contents(warm), warm.predict(X)
    with pytest.warns(UserWarning, match=f"warm_start without a larger {count} than 5"):
        warm.fit(X, y)
    assert contents(warm) == before
    with pytest.raises(ValueError, match="the table is not the one"):
        warm.set_params(**{count: 7}).fit(X + np.arange(len(X))[:, None] % 2, y)
    with pytest.raises(ValueError, match="5 or more|5 stages; as many or more"):
        warm.set_params(**{count: 4}).fit(X, y)
    with pytest.raises(ValueError, match="features"):
        warm.set_params(**{count: 7}).fit(X[:, 1:], y)
    # What was refused left the model as it was; without warm_start a fit begins anew.
    assert contents(warm) == before and np.array_equal(warm.predict(X), answers)
    assert contents(warm.set_params(warm_start=False, **{count: 4}).fit(X, y)) != before
    if is_classifier(model):
        warm.set_params(warm_start=True, **{count: 9})
        with pytest.raises(ValueError, match="same classes"):
            warm.fit(X, np.array(["a", "b", "c"])[y])


def test_names_and_random_states_of_fits_that_go_on(tmp_path):
    X, y = load_diabetes(return_X_y=True)
    make = tilewise.RandomForestRegressor
    once = make(n_estimators=6, random_state=3).fit(X, pd.Series(y, name="price"))
    for later in (y, pd.Series(y, name="cost")):
        warm = make(n_estimators=3, random_state=3, warm_start=True).fit(X, pd.Series(y, name="price"))
        assert contents(warm.set_params(n_estimators=6).fit(X, later)) == contents(once)
    warm = make(n_estimators=3, random_state=np.random.RandomState(0), warm_start=True).fit(X, y)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    assert contents(warm.set_params(n_estimators=6).fit(X, y)) == contents(make(n_estimators=6, random_state=seed).fit(X, y))
    several = make(n_estimators=3, warm_start=True).fit(X, np.column_stack([y, -y]))
    with pytest.raises(ValueError, match="y has 3 targets, and the model to go on with 2"):
        several.set_params(n_estimators=4).fit(X, np.column_stack([y, -y, y]))
    with pytest.raises(ValueError, match="y has 1 targets, and the model to go on with 2"):
        several.fit(X, y)
    # Text that looks like numbers is numbers in what is loaded.
    X, y = load_wine(return_X_y=True)
    labels = np.array(["10", "9", "8"])[y]
    forest = tilewise.RandomForestClassifier(n_estimators=3, random_state=0).fit(X, labels)
    forest.save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m").set_params(warm_start=True, n_estimators=6).fit(X, labels)
    assert contents(loaded) == contents(tilewise.RandomForestClassifier(n_estimators=6, random_state=0).fit(X, labels))
