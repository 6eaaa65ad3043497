"""scikit-learn's own checks of estimators."""

import estimators
import pytest
import tilewise
from sklearn.utils._test_common.instance_generator import PER_ESTIMATOR_XFAIL_CHECKS
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data, parametrize_with_checks

_WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
_DRAWN = "rows are drawn by their number, so repeated rows are drawn otherwise than weighted ones; scikit-learn's fails too"
_COUNTED = "bins and the least rows of a leaf count rows, not weights; scikit-learn's fails too"
_QUERIES = "weights are of queries, and the check gives rows of one query different ones, which is refused"

#: What is expected to fail, and why.
EXPECTED: dict[str, dict[str, str]] = {
    "RandomForestRegressor": {_WEIGHTS: _DRAWN},
    "RandomForestClassifier": {_WEIGHTS: _DRAWN},
    "HistGradientBoostingRegressor": {_WEIGHTS: _COUNTED},
    "HistGradientBoostingClassifier": {_WEIGHTS: _COUNTED},
    "GBDTRanker": {_WEIGHTS: _QUERIES, "check_sample_weights_not_overwritten": _QUERIES},
}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    estimators.ALL,
    expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator).__name__, {}),
    xfail_strict=True,
)
def test_estimator_checks(estimator, check):
    check(estimator)


def test_no_more_is_expected_to_fail_than_in_scikit_learn():
    theirs = {kind.__name__: set(checks) for kind, checks in PER_ESTIMATOR_XFAIL_CHECKS.items()}
    # GBDTRanker is of no family of scikit-learn.
    ours = {name: set(checks) for name, checks in EXPECTED.items() if name != "GBDTRanker"}
    assert all(checks <= theirs[name] for name, checks in ours.items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("solver", ["adam", "lbfgs", "sgd"])
@pytest.mark.parametrize("kind", [tilewise.MLPClassifier, tilewise.MLPRegressor])
def test_weights_of_networks_as_they_come_are_repetitions(kind, solver):
    """scikit-learn checks its own with lbfgs, and sgd that ends after few steps."""
    check_sample_weight_equivalence_on_dense_data(kind.__name__, kind(solver=solver, **({"tol": 1e-2} if solver == "sgd" else {})))
