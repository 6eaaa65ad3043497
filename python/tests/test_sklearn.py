"""scikit-learn's own checks of estimators."""

import estimators
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

#: What is expected to fail, and why.
EXPECTED: dict[str, dict[str, str]] = {}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    estimators.ALL, expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator).__name__, {})
)
def test_estimator_checks(estimator, check):
    check(estimator)
