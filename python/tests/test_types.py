"""What editors and type checkers are told: a fit is of its own class, and a loaded model has what all have."""

import inspect
from typing import Self, get_type_hints

import pytest
import tilewise
from tilewise._base import TilewiseEstimator

ESTIMATORS = [
    kind
    for name in tilewise.__all__
    if inspect.isclass(kind := getattr(tilewise, name)) and issubclass(kind, TilewiseEstimator) and not name.startswith("Imported")
]


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_a_fit_is_of_its_own_class(kind):
    assert get_type_hints(kind.fit)["return"] is Self


def test_a_loaded_model_predicts_saves_and_describes():
    kind = get_type_hints(tilewise.load)["return"]
    assert kind is TilewiseEstimator and {"save", "describe", "shap_values"} <= set(dir(kind))
