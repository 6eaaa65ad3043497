"""Tilewise for Python: the estimators of scikit-learn on Tilewise's kernels.

Change `from sklearn.ensemble import RandomForestClassifier` to `from tilewise import RandomForestClassifier`. The same data,
parameters and `random_state` give the same bits at any `n_jobs`, and the model file of the command line.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._native import VERSION as __version__

if TYPE_CHECKING:
    from ._boosting import GBDTRanker, HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from ._forests import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
    from ._imported import ImportedClassifier, ImportedRegressor
    from ._isolation import IsolationForest
    from ._linear import (
        ElasticNet,
        GammaRegressor,
        HuberRegressor,
        Lasso,
        LinearRegression,
        LogisticRegression,
        PoissonRegressor,
        QuantileRegressor,
        Ridge,
        TweedieRegressor,
    )
    from ._loaded import load
    from ._network import MLPClassifier, MLPRegressor
    from ._pictures import TreePicture, export_graphviz, export_text, plot_tree
    from ._trees import DecisionTreeClassifier, DecisionTreeRegressor

else:
    #: The modules of these names. Each is imported with the first of its names that is asked for: processes of Spark's executors need the
    #: compiled part alone, and scikit-learn took a second of each of them to import.
    _MODULES = {
        "_boosting": ["GBDTRanker", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"],
        "_forests": ["ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"],
        "_imported": ["ImportedClassifier", "ImportedRegressor"],
        "_isolation": ["IsolationForest"],
        "_linear": [
            "ElasticNet",
            "GammaRegressor",
            "HuberRegressor",
            "Lasso",
            "LinearRegression",
            "LogisticRegression",
            "PoissonRegressor",
            "QuantileRegressor",
            "Ridge",
            "TweedieRegressor",
        ],
        "_loaded": ["load"],
        "_network": ["MLPClassifier", "MLPRegressor"],
        "_pictures": ["TreePicture", "export_graphviz", "export_text", "plot_tree"],
        "_trees": ["DecisionTreeClassifier", "DecisionTreeRegressor"],
    }

    def __getattr__(name: str) -> Any:
        for module, names in _MODULES.items():
            if name in names:
                value = globals()[name] = getattr(importlib.import_module(f".{module}", __name__), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ElasticNet",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GBDTRanker",
    "GammaRegressor",
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "HuberRegressor",
    "ImportedClassifier",
    "ImportedRegressor",
    "IsolationForest",
    "Lasso",
    "LinearRegression",
    "LogisticRegression",
    "MLPClassifier",
    "MLPRegressor",
    "PoissonRegressor",
    "QuantileRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "Ridge",
    "TreePicture",
    "TweedieRegressor",
    "__version__",
    "export_graphviz",
    "export_text",
    "load",
    "plot_tree",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
