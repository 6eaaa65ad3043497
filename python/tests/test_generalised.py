"""Generalised linear models beside scikit-learn's: every power and link that both have, scores, what is refused."""

import numpy as np
import pytest
import sklearn.linear_model
import tilewise
from sklearn.base import clone

CASES = [(0.0, "auto"), (0.0, "log"), (1.0, "auto"), (1.5, "log"), (1.9, "auto"), (2.0, "auto"), (2.5, "auto"), (3.0, "log")]


def amounts(power, rows=300):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(rows, 4)) * [1.0, 0.5, 2.0, 1.0] + [0.0, 1.0, 0.0, -1.0]
    mean = np.exp(X @ [0.5, -0.4, 0.2, 0.0] + 0.7)
    y = rng.gamma(2.0, mean / 2.0)
    if 1.0 <= power < 2.0:
        y[rng.random(rows) < 0.3] = 0.0
    return X, y, rng.random(rows) + 0.2


@pytest.mark.parametrize("power, link", CASES)
@pytest.mark.parametrize("intercept", [True, False])
def test_coefficients_are_those_of_scikit_learn(power, link, intercept, tmp_path):
    X, y, weights = amounts(power)
    parameters = {"power": power, "link": link, "alpha": 0.1, "fit_intercept": intercept}
    ours = tilewise.TweedieRegressor(**parameters).fit(X, y, weights)
    theirs = sklearn.linear_model.TweedieRegressor(**parameters, tol=1e-9, max_iter=100_000).fit(X, y, weights)
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-5) and np.isclose(ours.intercept_, theirs.intercept_, atol=1e-5)
    assert np.allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)
    assert np.isclose(ours.score(X, y, weights), theirs.score(X, y, weights), atol=1e-6)
    assert ours._model.report["converged"] and ours._model.report["optimality"] < 1e-7
    ours.save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m")
    assert np.array_equal(loaded.predict(X), ours.predict(X)) and loaded.power == power
    assert clone(loaded).fit(X, y, weights)._model.to_bytes() == ours._model.to_bytes()


def test_defaults_are_those_of_scikit_learn():
    ours, theirs = tilewise.TweedieRegressor().get_params(), sklearn.linear_model.TweedieRegressor().get_params()
    same = set(ours) & set(theirs) - {"tol"}
    assert same >= {"power", "link", "alpha", "fit_intercept", "max_iter"}
    assert all(ours[name] == theirs[name] for name in same)


def test_scores_are_shares_of_the_deviance():
    X, y, weights = amounts(2.0)
    for name in ("PoissonRegressor", "GammaRegressor"):
        ours = getattr(tilewise, name)(alpha=0.01).fit(X, y)
        theirs = getattr(sklearn.linear_model, name)(alpha=0.01, tol=1e-9, max_iter=10_000).fit(X, y)
        assert np.isclose(ours.score(X, y, weights), theirs.score(X, y, weights), atol=1e-6)


def test_amounts_of_a_distribution_are_asked_for():
    X, y, _ = amounts(2.0)
    negative, zero = np.where(np.arange(len(y)) == 5, -1.0, y), np.where(np.arange(len(y)) == 5, 0.0, y)
    assert np.isfinite(tilewise.TweedieRegressor().fit(X, negative).coef_).all()
    assert np.isfinite(tilewise.TweedieRegressor(link="log").fit(X, negative).coef_).all()
    for power, wrong in [(1.0, negative), (1.5, negative), (2.0, zero), (3.0, zero)]:
        with pytest.raises(ValueError, match="the target is.*takes finite numbers"):
            tilewise.TweedieRegressor(power=power).fit(X, wrong)
    with pytest.raises(ValueError, match="mean of the targets is not above 0"):
        tilewise.TweedieRegressor(link="log").fit(X, -y)
    for power in (0.5, -1.0):
        with pytest.raises(ValueError, match="power.*0, or a number of 1 or more"):
            tilewise.TweedieRegressor(power=power).fit(X, y)
    with pytest.raises(ValueError, match="log or auto is expected"):
        tilewise.TweedieRegressor(power=1.5, link="identity").fit(X, y)
