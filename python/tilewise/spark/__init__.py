"""Tilewise on Spark: pyspark.ml estimators whose work is done by the compiled part, inside the executors.

A fit sends each partition through Arrow once; after that a round is one small job. The fitted model is the file of a single
machine: `model.save_file(path)` writes what `tilewise serve`, `tilewise predict` and `tilewise.load` read.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_NEEDED = "tilewise.spark needs pyspark 4.1 or later, pandas below 3 and pyarrow: pip install 'pyspark>=4.1,<5' 'pandas<3' pyarrow"

try:
    import pyspark
    from pyspark.sql.functions import arrow_udf as _of_4_1
except ImportError as error:
    raise ImportError(f"{_NEEDED} ({error})") from error
del pyspark, _of_4_1

if TYPE_CHECKING:
    from ._linear import (
        SparkClassificationModel,
        SparkGammaRegressor,
        SparkHuberRegressor,
        SparkLinearRegression,
        SparkLogisticRegression,
        SparkPoissonRegressor,
        SparkRegressionModel,
        SparkRidge,
        SparkTweedieRegressor,
    )
    from ._trees import (
        SparkDecisionTreeClassifier,
        SparkDecisionTreeRegressor,
        SparkExtraTreesClassifier,
        SparkExtraTreesRegressor,
        SparkGBDTClassifier,
        SparkGBDTRanker,
        SparkGBDTRegressor,
        SparkRandomForestClassifier,
        SparkRandomForestRegressor,
    )

else:
    #: Where names of this module are. What executors import needs none of them, nor scikit-learn.
    _LINEAR = [
        "SparkClassificationModel",
        "SparkGammaRegressor",
        "SparkHuberRegressor",
        "SparkLinearRegression",
        "SparkLogisticRegression",
        "SparkPoissonRegressor",
        "SparkRegressionModel",
        "SparkRidge",
        "SparkTweedieRegressor",
    ]

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module("._linear" if name in _LINEAR else "._trees", __name__), name)
        return value


__all__ = [
    "SparkClassificationModel",
    "SparkDecisionTreeClassifier",
    "SparkDecisionTreeRegressor",
    "SparkExtraTreesClassifier",
    "SparkExtraTreesRegressor",
    "SparkGBDTClassifier",
    "SparkGBDTRanker",
    "SparkGBDTRegressor",
    "SparkGammaRegressor",
    "SparkHuberRegressor",
    "SparkLinearRegression",
    "SparkLogisticRegression",
    "SparkPoissonRegressor",
    "SparkRandomForestClassifier",
    "SparkRandomForestRegressor",
    "SparkRegressionModel",
    "SparkRidge",
    "SparkTweedieRegressor",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
